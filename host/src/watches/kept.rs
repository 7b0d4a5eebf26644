//! A store of the cache, as its watch keeps it: what the watch sees goes into the cache, and what that concerns into the queue.

use std::sync::Arc;

use resource_broker_api::object::Object;
use resource_broker_kube_io::observe::Shared;
use tokio::sync::Notify;

use super::selection::selection;
use crate::{
    cache::{Cache, StoreId, WorkKey},
    metrics::Metrics,
    queue::Queue,
    resource::Resource,
    transport::Cluster,
    watch::{State, Store, Watch},
};

/// See the module.
pub(super) struct Kept {
    pub(super) id: StoreId,
    pub(super) cache: Arc<Cache>,
    pub(super) queue: Arc<Queue<WorkKey>>,
}

impl Kept {
    /// The watch of this store. `namespace` is the broker's, in the coordination and in the compute cluster.
    pub(super) fn watch(self, cluster: Arc<Cluster>, namespace: &str, most: usize, metrics: &Metrics) -> Watch {
        Watch {
            name: self.id.to_string(),
            kind: self.id.what.to_string(),
            selection: selection(&self.id, namespace),
            cluster,
            most,
            observer: Shared::new(metrics.clone()),
            store: Arc::new(self),
        }
    }
}

impl Store for Kept {
    fn is_synced(&self) -> bool {
        self.cache.is_synced(&self.id)
    }

    fn weight(&self) -> usize {
        self.cache.weight(&self.id)
    }

    fn newest(&self) -> Option<u64> {
        self.cache.newest(&self.id)
    }

    fn is_belied_by(&self, object: &Object, version: u64) -> bool {
        self.cache.is_belied_by(&self.id, object, version)
    }

    fn doubt(&self) -> Arc<Notify> {
        self.cache.doubt(&self.id)
    }

    fn call(&self) -> Arc<Notify> {
        self.cache.call(&self.id)
    }

    fn unfollowed(&self, why: Option<String>) {
        self.cache.unfollowed(&self.id, why);
    }

    fn state(&self, state: State) {
        self.cache.state(&self.id, state).enqueue(&self.queue);
    }

    fn distrust(&self, why: String) {
        self.cache.distrust(&self.id, why).enqueue(&self.queue);
    }

    fn discovered(&self, resource: Resource) {
        self.cache.discovered(&self.id, resource).enqueue(&self.queue);
    }

    fn listed(&self, version: &str, objects: Vec<Object>) {
        self.cache.listed(&self.id, version, objects).enqueue(&self.queue);
    }

    fn seen(&self, object: Object) {
        self.cache.seen(&self.id, object).enqueue(&self.queue);
    }

    fn deleted(&self, object: &Object) {
        self.cache.deleted(&self.id, object).enqueue(&self.queue);
    }

    fn seen_to(&self, version: &str) {
        self.cache.seen_to(&self.id, version);
    }
}
