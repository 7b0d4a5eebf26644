//! Passes that are in a cluster for the time of one step, without a place in its lane: a new object has its provider only once
//! its pass is under way.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use resource_broker_api::names::ClusterName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// At most so many at once in one cluster: that it has become slow is known only after a while. No more requests are under way
/// at one cluster anyway.
pub(super) const AT_ONCE: usize = 64;

/// The places of each cluster that ever had a visit.
#[derive(Debug, Default)]
pub(super) struct Visits(Mutex<HashMap<ClusterName, Arc<Semaphore>>>);

impl Visits {
    /// A place in a cluster until it is dropped, if there is one.
    pub(super) fn begin(&self, cluster: &ClusterName) -> Option<OwnedSemaphorePermit> {
        let mut places = self.0.lock();
        let places = places.entry(cluster.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
        places.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_so_many_places_and_each_comes_back() {
        let visits = Visits::default();
        let (one, other) = (ClusterName::parse("provider#one").unwrap(), ClusterName::parse("provider#other").unwrap());
        let mut places: Vec<_> = std::iter::from_fn(|| visits.begin(&one)).collect();
        assert_eq!(places.len(), AT_ONCE);
        assert!(visits.begin(&other).is_some(), "another cluster has its own");
        places.pop();
        assert!(visits.begin(&one).is_some());
    }
}
