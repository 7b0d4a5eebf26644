//! Which watches run: begun as clusters come and as snapshots need them, ended as clusters go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use resource_broker_api::names::{ClusterName, Role};
use tokio::task::AbortHandle;

use crate::{
    cache::{Cache, Scope, StoreId, What, WorkKey},
    clusters::{ClusterEvent, ClusterSet},
    metrics::Metrics,
    queue::Queue,
    watch::{Watch, enqueue},
};

/// See the module.
pub struct Watches {
    scope: Scope,
    clusters: Arc<ClusterSet>,
    cache: Arc<Cache>,
    queue: Arc<Queue<WorkKey>>,
    metrics: Metrics,
    tasks: Mutex<HashMap<StoreId, AbortHandle>>,
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
        Self { scope, clusters, cache, queue, metrics, tasks: Mutex::default() }
    }

    /// A cluster came or went.
    pub fn on(&self, event: &ClusterEvent) {
        match event {
            ClusterEvent::Attached(cluster) => self.attach(cluster.name()),
            ClusterEvent::Detached(name) => self.detach(name),
        }
    }

    fn attach(&self, name: &ClusterName) {
        tracing::debug!(cluster = %name, "watching it");
        self.cache.attach(name);
        let kinds = self.scope.kinds.iter().cloned().map(What::Kind);
        let whats: Vec<What> = match name.role {
            Role::Consumer => kinds.chain(self.scope.related.iter().cloned().map(What::Related)).collect(),
            Role::Provider => kinds.chain([What::Offers]).collect(),
            Role::Coordination => vec![What::Records, What::Plugins, What::Migrations, What::Configurations],
            // Begun when the first migration is there: a broker that never has one needs no rights there.
            Role::Compute => Vec::new(),
        };
        for what in whats {
            self.begin(StoreId { cluster: name.clone(), what });
        }
        if name.role == Role::Compute {
            enqueue(&self.queue, self.cache.migrations());
        }
    }

    fn detach(&self, name: &ClusterName) {
        tracing::info!(cluster = %name, "watching it no more; nothing is deleted in it or because of it");
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|id, task| {
            let stays = id.cluster != *name;
            if !stays {
                task.abort();
            }
            stays
        });
        drop(tasks);
        enqueue(&self.queue, self.cache.detach(name));
    }

    /// Begins a watch, unless it runs already or its cluster is gone.
    pub fn begin(&self, id: StoreId) {
        // Locked first: a cluster that is detached after this look finds the watch, and ends it.
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.contains_key(&id) {
            return;
        }
        let Some(cluster) = self.clusters.get(&id.cluster) else { return };
        self.cache.open(&id);
        let watch = Watch {
            id: id.clone(),
            cluster,
            namespace: match id.cluster.role {
                Role::Compute => self.scope.compute.namespace.clone(),
                _ => self.scope.namespace.clone(),
            },
            cache: self.cache.clone(),
            queue: self.queue.clone(),
            metrics: self.metrics.clone(),
        };
        tasks.insert(id, tokio::spawn(watch.run()).abort_handle());
    }
}
