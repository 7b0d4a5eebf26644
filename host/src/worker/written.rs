//! What is remembered of writes to offers and migration configurations: the last status, and what an API server denied.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use resource_broker_api::{conditions::reason, names::ClusterName, object::Object};
use tokio::time::Instant;

use crate::{
    apply::{Fault, Learned},
    cache::WorkKey,
    planner::{
        model::snapshot::{Applied, Failure, Part},
        offers::Denied,
    },
};

/// See the module.
#[derive(Default)]
pub(super) struct Writings {
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// With the state of the object in which that was: in another one it is tried again, once.
    denied: HashMap<WorkKey, (State, Denied)>,
    statuses: HashMap<WorkKey, (Applied, Instant)>,
    /// Clusters of which the log has it.
    reported: HashSet<ClusterName>,
}

/// What people change of an object; its status alone makes no new one.
type State = (String, Option<i64>, bool);

fn state(there: &Object) -> State {
    (there.uid().to_owned(), there.meta.generation, there.is_deleting())
}

impl Writings {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock()
    }

    /// What an API server has denied of an object as it is now.
    pub(super) fn denied(&self, key: &WorkKey, there: Option<&Object>) -> Denied {
        let mut all = self.lock();
        let Some(there) = there else {
            all.denied.remove(key);
            all.statuses.remove(key);
            return Denied::default();
        };
        all.denied.get(key).filter(|(known, _)| *known == state(there)).map(|(_, denied)| *denied).unwrap_or_default()
    }

    /// The last write of an object's status.
    pub(super) fn last(&self, key: &WorkKey) -> Option<Applied> {
        let all = self.lock();
        let (applied, at) = all.statuses.get(key)?;
        Some(Applied { ago: at.elapsed(), ..applied.clone() })
    }

    /// Takes in what a pass has learned.
    pub(super) fn learn(&self, key: &WorkKey, there: Option<&Object>, learned: Vec<Learned>) {
        let mut all = self.lock();
        for learned in learned {
            if let (Learned::Status(asked, got), true) = (learned, there.is_some()) {
                let before = all.statuses.get(key).filter(|(before, _)| before.asked == asked);
                let times = before.map_or(1, |(before, _)| before.times.saturating_add(1));
                let applied = Applied { asked, got, times, ago: Duration::ZERO };
                all.statuses.insert(key.clone(), (applied, Instant::now()));
            }
        }
    }

    /// A finalizer was taken off an object: where another broker puts it back, that is not done for ever.
    pub(super) fn released(&self, key: &WorkKey, there: Option<&Object>) {
        let Some(there) = there else { return };
        let mut all = self.lock();
        let mut denied = all.denied.remove(key).filter(|(known, _)| *known == state(there)).unwrap_or_default().1;
        denied.finalizer = true;
        all.denied.insert(key.clone(), (state(there), denied));
    }

    /// Whether a pass failed since an API server denied a write: then that is remembered, and the log has it once.
    pub(super) fn is_denied(&self, key: &WorkKey, there: Option<&Object>, fault: Option<&Fault>) -> bool {
        let Some(Fault::Failed { failure: Failure { part, reason: reason::FORBIDDEN, message, .. }, .. }) = fault
        else {
            return false;
        };
        let Some(there) = there else { return false };
        let cluster = match key {
            WorkKey::Offer(target) | WorkKey::Configuration(target) => &target.cluster,
            _ => return false,
        };
        let mut all = self.lock();
        let mut denied = all.denied.remove(key).filter(|(known, _)| *known == state(there)).unwrap_or_default().1;
        match part {
            Part::Delete => denied.finalizer = true,
            _ => denied.status = true,
        }
        all.denied.insert(key.clone(), (state(there), denied));
        if all.reported.insert(cluster.clone()) {
            tracing::warn!(
                %cluster,
                object = %key,
                error = message,
                "the broker may not write this; everything else goes on, and it is not tried again before the object changes"
            );
        } else {
            tracing::debug!(%cluster, object = %key, error = message, "denied as well");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{Gvk, Role};
    use serde_json::json;

    use super::*;
    use crate::{planner::model::snapshot::Target, testing::object};

    fn key() -> WorkKey {
        let provider = ClusterName::new(Role::Provider, "p");
        WorkKey::Offer(Target::new(provider, Gvk::new("g.io", "v1", "Offer"), Some("n".into()), "o".into()))
    }

    fn offer(generation: i64) -> Object {
        object(&json!({"metadata": {"name": "o", "uid": "1", "generation": generation, "resourceVersion": "7"}}))
    }

    fn fault(part: Part, reason: &'static str) -> Fault {
        let failure = Failure { part, invalid: false, reason, message: "no".into() };
        Fault::Failed { failure, category: "denied", retry_in: None }
    }

    #[test]
    fn what_is_denied_is_remembered_part_by_part_until_the_object_changes() {
        let (writings, key, first) = (Writings::default(), key(), offer(1));
        let denied = |there: &Object| writings.denied(&key, Some(there));
        assert!(!writings.is_denied(&key, Some(&first), None));
        assert!(!writings.is_denied(&key, Some(&first), Some(&fault(Part::Status, reason::CLUSTER_UNAVAILABLE))));
        assert!(writings.is_denied(&key, Some(&first), Some(&fault(Part::Status, reason::FORBIDDEN))));
        assert_eq!(denied(&first), Denied { finalizer: false, status: true });
        assert!(writings.is_denied(&key, Some(&first), Some(&fault(Part::Delete, reason::FORBIDDEN))));
        assert_eq!(denied(&first), Denied { finalizer: true, status: true });
        assert_eq!(denied(&offer(2)), Denied::default(), "it is another one now");
        assert_eq!(writings.denied(&key, None), Denied::default());
    }

    #[test]
    fn a_finalizer_that_comes_back_is_not_taken_off_again_before_the_object_changes() {
        let (writings, key) = (Writings::default(), key());
        writings.released(&key, Some(&offer(1)));
        assert_eq!(writings.denied(&key, Some(&offer(1))), Denied { finalizer: true, status: false });
        let deleted = json!({"name": "o", "uid": "1", "generation": 1, "deletionTimestamp": "2026-01-02T03:04:05Z"});
        let deleted = object(&json!({"metadata": deleted}));
        assert_eq!(writings.denied(&key, Some(&deleted)), Denied::default(), "it goes now");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_status_again_is_counted() {
        let (writings, key, there) = (Writings::default(), key(), offer(1));
        for (asked, times) in [("a", 1), ("a", 2), ("b", 1)] {
            writings.learn(&key, Some(&there), vec![Learned::Status(asked.into(), "got".into())]);
            assert_eq!(writings.last(&key).map(|last| last.times), Some(times), "{asked}");
        }
        writings.denied(&key, None);
        assert!(writings.last(&key).is_none(), "it is gone");
    }
}
