//! Which watches run: begun as clusters come and as snapshots need them, ended as clusters go and as nothing needs them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use resource_broker_api::names::{ClusterName, Role};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    cache::{Cache, Scope, StoreId, What, WorkKey},
    clusters::{ClusterEvent, ClusterSet},
    metrics::Metrics,
    queue::Queue,
};

mod kept;
mod selection;

use kept::Kept;

#[cfg(test)]
mod lies;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

/// How often is looked for watches that nothing needs. One that is found twice in a row ends.
const TIDY: Duration = Duration::from_secs(10);

/// See the module.
pub struct Watches {
    scope: Scope,
    clusters: Arc<ClusterSet>,
    cache: Arc<Cache>,
    queue: Arc<Queue<WorkKey>>,
    metrics: Metrics,
    tasks: Mutex<HashMap<StoreId, AbortHandle>>,
    settled: watch::Sender<bool>,
}

impl Watches {
    /// No watches yet.
    pub fn new(
        scope: Scope,
        clusters: Arc<ClusterSet>,
        cache: Arc<Cache>,
        queue: Arc<Queue<WorkKey>>,
        metrics: Metrics,
    ) -> Self {
        Self { scope, clusters, cache, queue, metrics, tasks: Mutex::default(), settled: watch::Sender::new(false) }
    }

    /// Follows clusters as they come and go, and ends watches that nothing needs any more, for as long as `events` come.
    pub async fn follow(&self, mut events: mpsc::Receiver<ClusterEvent>) {
        let mut ticks = interval(TIDY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = HashSet::new();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on(&event),
                    None => return,
                },
                _ = ticks.tick() => idle = self.tidy(&idle),
            }
        }
    }

    /// Ends the watches that nothing needs, now and at the last look, which found them `idle`. What is idle now.
    fn tidy(&self, idle: &HashSet<StoreId>) -> HashSet<StoreId> {
        let mut found = self.cache.unneeded();
        for id in found.extract_if(|id| idle.contains(id)) {
            // Locked first: whoever needs it from now on finds neither store nor watch, or both.
            let mut tasks = self.tasks();
            if self.cache.close(&id) {
                tracing::debug!(store = %id, "nothing needs it any more; watching it no more");
                tasks.remove(&id).iter().for_each(AbortHandle::abort);
                self.metrics.forget_watch(&id.cluster, &id.what.to_string());
            }
        }
        found
    }

    /// Waits until every cluster that was there from the start is watched, or not to be.
    pub async fn settled(&self) {
        // The sender is here.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// A cluster came or went.
    pub fn on(&self, event: &ClusterEvent) {
        match event {
            ClusterEvent::Attached(cluster) => self.attach(cluster.name()),
            ClusterEvent::Detached(name) => self.detach(name),
            ClusterEvent::Identified(identities) => self.cache.identify(identities.clone()).enqueue(&self.queue),
            ClusterEvent::Settled => drop(self.settled.send_replace(true)),
        }
    }

    fn attach(&self, name: &ClusterName) {
        tracing::debug!(cluster = %name, "watching it");
        self.cache.attach(name);
        let kinds = self.scope.kinds.iter().cloned().map(What::Kind);
        let whats: Vec<What> = match name.role {
            Role::Consumer => kinds.chain(self.scope.related.iter().cloned().map(What::Related)).collect(),
            Role::Provider => kinds.chain([What::Offers]).collect(),
            Role::Coordination => {
                vec![What::Clusters, What::Records, What::Plugins, What::Migrations, What::Configurations]
            }
            // Begun when the first migration is there: a broker that never has one needs no rights there.
            Role::Compute => Vec::new(),
        };
        for what in whats {
            self.begin(StoreId { cluster: name.clone(), what });
        }
        if name.role == Role::Compute {
            self.cache.migrations().enqueue(&self.queue);
        }
    }

    fn detach(&self, name: &ClusterName) {
        tracing::info!(cluster = %name, "watching it no more; nothing is deleted in it or because of it");
        let mut tasks = self.tasks();
        tasks.retain(|id, task| {
            let stays = id.cluster != *name;
            if !stays {
                task.abort();
            }
            stays
        });
        drop(tasks);
        self.cache.detach(name).enqueue(&self.queue);
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<StoreId, AbortHandle>> {
        self.tasks.lock()
    }

    /// Begins a watch, unless it runs already or its cluster is gone.
    pub fn begin(&self, id: StoreId) {
        // Locked first: a cluster that is detached after this look finds the watch, and ends it.
        let mut tasks = self.tasks();
        if tasks.contains_key(&id) {
            return;
        }
        let Some(cluster) = self.clusters.get(&id.cluster) else { return };
        self.cache.open(&id);
        let namespace = match id.cluster.role {
            Role::Compute => &self.scope.compute.namespace,
            _ => &self.scope.namespace,
        };
        let kept = Kept { id: id.clone(), cache: self.cache.clone(), queue: self.queue.clone() };
        let watch = kept.watch(cluster, namespace, self.scope.most_of_a_kind, &self.metrics);
        tasks.insert(id, tokio::spawn(watch.run()).abort_handle());
    }
}
