//! Which watches of the compute cluster some migration needs: those of the others end, and those that fail are called when a
//! migration changes that needs them.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use resource_broker_api::names::Gvk;
use tokio::sync::Notify;

use super::{Cache, Inner, StoreId, What};
use crate::planner::model::snapshot::MigrationRecord;

/// The kinds that a migration's stages deploy, or have deployed.
pub(super) fn stage_kinds(migration: &MigrationRecord) -> impl Iterator<Item = Gvk> {
    let resources = migration.status.stages.iter().flat_map(|stage| &stage.resources);
    resources.map(|resource| Gvk::new(&resource.gvk.group, &resource.gvk.version, &resource.gvk.kind))
}

impl Cache {
    /// The open stores that nothing needs any more.
    pub fn unneeded(&self) -> HashSet<StoreId> {
        let inner = self.lock();
        let needed = inner.needed();
        inner.stores.keys().filter(|id| !needed.covers(id)).cloned().collect()
    }

    /// Closes a store, unless something needs it by now: whether it is closed. Nothing that it held is thought to be deleted.
    pub fn close(&self, id: &StoreId) -> bool {
        let mut inner = self.lock();
        if inner.needed().covers(id) {
            return false;
        }
        match &id.what {
            What::Stage(kind) => inner.migrations.deployed.forget_kind(kind),
            What::Mirrors(kind) => inner.migrations.mirrored.forget_kind(kind),
            _ => {}
        }
        let closed = inner.stores.remove(id).is_some();
        drop(inner);
        self.settled.notify_waiters();
        closed
    }

    /// What a watch that waits for its next try is called by.
    pub fn call(&self, id: &StoreId) -> Arc<Notify> {
        self.lock().stores.get(id).map(|store| store.call.clone()).unwrap_or_default()
    }
}

/// What all migrations need.
struct Needed {
    /// There is a migration.
    any: bool,
    /// The kinds of all stages.
    kinds: BTreeSet<Gvk>,
}

impl Needed {
    fn covers(&self, id: &StoreId) -> bool {
        match &id.what {
            What::Stage(kind) => self.kinds.contains(kind),
            What::Mirrors(_) => self.any,
            _ => true,
        }
    }
}

impl Inner {
    fn needed(&self) -> Needed {
        let migrations = || self.migrations.records.values().chain(self.migrations.lost.values());
        Needed {
            any: migrations().next().is_some(),
            kinds: migrations().flat_map(|migration| stage_kinds(migration)).collect(),
        }
    }

    /// A migration is new or another: the watches that it needs try again soon, where they fail.
    pub(super) fn call_watches(&self, migration: &MigrationRecord) {
        let mirrors = self.scope.related.iter().cloned().map(What::Mirrors);
        for what in stage_kinds(migration).map(What::Stage).chain(mirrors) {
            if let Some(store) = self.store(&self.scope.compute.cluster, what) {
                store.call_if_unread();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use resource_broker_api::{
        keys,
        names::{ClusterName, Role},
        object::Object,
    };
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        cache::State,
        testing::{key, object, scope},
    };

    fn kind(kind: &str) -> Gvk {
        Gvk::new("batch", "v1", kind)
    }

    fn compute(what: What) -> StoreId {
        StoreId { cluster: ClusterName::new(Role::Compute, "compute"), what }
    }

    fn migrations() -> StoreId {
        StoreId { cluster: ClusterName::new(Role::Coordination, "coord"), what: What::Migrations }
    }

    /// A Migration whose stages deploy these kinds.
    fn migration(version: u64, kinds: &[&str]) -> Object {
        let resource = |kind: &&str| {
            let gvk = json!({"group": "batch", "version": "v1", "kind": kind});
            json!({"template": "run", "gvk": gvk, "name": "m1-run"})
        };
        let stages = kinds.iter().map(resource).map(|it| json!({"name": "s", "state": "Running", "resources": [it]}));
        let end = |provider: &str| {
            let gvk = json!({"group": "g.io", "version": "v1", "kind": "Thing"});
            json!({"gvk": gvk, "name": "n", "clusterName": format!("provider#{provider}")})
        };
        object(&json!({
            "metadata": {"name": key("a").record_name(), "uid": "m", "resourceVersion": version.to_string()},
            "spec": {"from": end("p"), "to": end("q")},
            "status": {"state": "InitialInProgress", "id": "m1", "stages": stages.collect::<Vec<_>>()},
        }))
    }

    /// A cache with open stores of Jobs, of the mirrors of Secrets, and of the Migrations, of which there are none.
    fn cache() -> Cache {
        let secret = Gvk::new("", "v1", "Secret");
        let cache = Cache::new(scope(vec![key("a").gvk], vec![secret.clone()]));
        for id in [migrations(), compute(What::Stage(kind("Job"))), compute(What::Mirrors(secret))] {
            cache.attach(&id.cluster);
            cache.open(&id);
            cache.listed(&id, "1", vec![]);
        }
        cache
    }

    #[test]
    fn a_store_is_needed_as_long_as_a_stage_of_some_migration_has_its_kind() {
        let cache = cache();
        let jobs = compute(What::Stage(kind("Job")));
        cache.seen(&migrations(), migration(2, &["Job", "Other"]));
        assert!(cache.unneeded().is_empty() && !cache.close(&jobs));
        cache.seen(&migrations(), migration(3, &["Other"]));
        assert_eq!(cache.unneeded(), HashSet::from([jobs.clone()]));
        assert!(cache.close(&jobs) && !cache.close(&jobs) && !cache.is_open(&jobs));
        // It is needed again: whoever looks is told to begin a watch of it.
        cache.seen(&migrations(), migration(4, &["Job"]));
        let (_, needed) = cache.history_snapshot(&key("a").record_name(), Duration::ZERO);
        assert_eq!(needed, [jobs]);
        cache.deleted(&migrations(), &migration(5, &["Job"]));
        let mirrors = compute(What::Mirrors(Gvk::new("", "v1", "Secret")));
        assert_eq!(cache.unneeded(), HashSet::from([mirrors]), "and nobody else's");
    }

    #[test]
    fn what_is_known_of_a_kind_goes_with_its_store() {
        let cache = cache();
        let jobs = compute(What::Stage(kind("Job")));
        cache.seen(&migrations(), migration(2, &["Job"]));
        let labels = json!({keys::MIGRATION_ID: "m1", keys::MIGRATION_STAGE: "s"});
        let metadata = json!({"name": "m1-run", "uid": "j", "resourceVersion": "3", "labels": labels});
        cache.seen(&jobs, object(&json!({"metadata": metadata})));
        let held = |cache: &Cache| cache.lock().migrations.deployed.of("m1").count();
        assert_eq!(held(&cache), 1);
        cache.seen(&migrations(), migration(4, &[]));
        assert!(cache.close(&jobs));
        assert_eq!(held(&cache), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_a_migration_calls_the_watches_that_it_needs_and_that_fail() {
        let cache = cache();
        let (jobs, others) = (compute(What::Stage(kind("Job"))), compute(What::Stage(kind("Other"))));
        cache.open(&others);
        let is_called = async |id: &StoreId| timeout(Duration::from_secs(1), cache.call(id).notified()).await.is_ok();
        for (version, fails) in [(2, false), (3, true)] {
            if fails {
                for id in [&jobs, &others] {
                    cache.state(id, State::NotServed("no such kind".into()));
                }
            }
            cache.seen(&migrations(), migration(version, &["Job"]));
            assert_eq!((is_called(&jobs).await, is_called(&others).await), (fails, false));
        }
    }
}
