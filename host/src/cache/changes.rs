//! How the cache changes: what watches and our own writes tell it.

use std::time::Duration;

use resource_broker_api::{
    keys,
    names::{ClusterName, Role},
    object::Object,
};

use super::{
    Cache, StoreId, What, WorkKey,
    indexes::offer_id,
    slim,
    store::{Change, Store, place},
};
use crate::{planner::model::snapshot::Target, queue::Queue, resource::Resource, watch::State};

/// How long a changed number of objects may stand before it is written on the offer.
pub const COUNT_DELAY: Duration = Duration::from_secs(10);

/// What is to be looked at because of a change.
#[derive(Debug, Default)]
pub struct Dirty {
    /// Now.
    pub now: Vec<WorkKey>,
    /// After [`COUNT_DELAY`].
    pub later: Vec<WorkKey>,
}

impl Dirty {
    /// Adds all of it to the queue.
    pub fn enqueue(self, queue: &Queue<WorkKey>) {
        queue.add_all(self.now);
        for key in self.later {
            queue.add_after(key, COUNT_DELAY);
        }
    }
}

impl Cache {
    /// A cluster is there, to be watched.
    pub fn attach(&self, cluster: &ClusterName) {
        let mut inner = self.lock();
        inner.clusters.insert(cluster.clone());
        if cluster.role == Role::Consumer {
            inner.prefixes.insert(cluster.copy_prefix(), cluster.clone());
        }
    }

    /// A cluster was taken away. Nothing that it held is thought to be deleted: it is not known any more.
    pub fn detach(&self, cluster: &ClusterName) -> Dirty {
        let mut inner = self.lock();
        inner.clusters.remove(cluster);
        inner.prefixes.remove(&cluster.copy_prefix());
        inner.stores.retain(|id, _| id.cluster != *cluster);
        for offers in inner.offers.values_mut() {
            offers.retain(|(provider, ..), _| provider != cluster);
        }
        inner.held.retain(|(consumer, _), _| consumer != cluster);
        inner.claims.forget(cluster);
        inner.referrers.forget(cluster);
        if *cluster == inner.scope.compute.cluster {
            inner.migrations.deployed.forget();
            inner.migrations.mirrored.forget();
        }
        let kinds = inner.scope.kinds.clone();
        let mut dirty = Dirty::default();
        for gvk in &kinds {
            inner.all_of(gvk, &mut dirty);
        }
        drop(inner);
        self.settled.notify_waiters();
        dirty
    }

    /// What every migration concerns.
    pub fn migrations(&self) -> Dirty {
        let mut dirty = Dirty::default();
        self.lock().all_migrations(&mut dirty);
        dirty
    }

    /// A watch begins.
    pub fn open(&self, id: &StoreId) {
        let mut inner = self.lock();
        inner.stores.entry(id.clone()).or_insert_with(Store::new);
        if id.what == What::Records {
            inner.records_at = Some(id.clone());
        }
    }

    /// Whether a watch of this has begun.
    pub fn is_open(&self, id: &StoreId) -> bool {
        self.lock().stores.contains_key(id)
    }

    /// A watch found out how the cluster serves its kind. Where it serves it otherwise than before, all its objects are concerned.
    pub fn discovered(&self, id: &StoreId, resource: Resource) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        let mut is_new = false;
        if let What::Kind(gvk) = &id.what {
            is_new = !inner.is_served_as(gvk, &resource.plural);
            inner.plurals.entry(gvk.clone()).or_insert_with(|| resource.plural.clone());
        }
        if let Some(store) = inner.stores.get_mut(id) {
            let is_other = store.resource.as_ref().is_some_and(|before| *before != resource);
            store.resource = Some(resource);
            if is_other {
                inner.all_after_state(id, &mut dirty);
            }
        }
        drop(inner);
        if is_new {
            // A Plugin may claim the kind under this plural.
            self.plugins.notify_one();
        }
        dirty
    }

    /// A watch is in another state.
    pub fn state(&self, id: &StoreId, state: State) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        // A cluster that does not know what an offer, a plugin or a migration is has none.
        let none_if_unserved = [What::Offers, What::Plugins, What::Migrations, What::Configurations, What::Clusters];
        let nothing = none_if_unserved.contains(&id.what) && matches!(state, State::NotServed(_));
        let Some(store) = inner.stores.get_mut(id) else { return dirty };
        let changed = store.set_state(state);
        let withdrawn = if nothing { store.replace(0, Vec::new()) } else { Vec::new() };
        for change in withdrawn {
            inner.changed(id, &change, &mut dirty);
        }
        if changed {
            inner.all_after_state(id, &mut dirty);
        }
        drop(inner);
        self.settled.notify_waiters();
        dirty
    }

    /// What a store holds is of another cluster, or of a state that the cluster was set back from, until it is listed again.
    pub fn distrust(&self, id: &StoreId, why: String) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        let Some(store) = inner.stores.get_mut(id) else { return dirty };
        if store.distrust(why) {
            inner.all_after_state(id, &mut dirty);
        }
        drop(inner);
        self.settled.notify_waiters();
        dirty
    }

    /// A watch listed everything.
    pub fn listed(&self, id: &StoreId, version: &str, objects: Vec<Object>) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        let objects = if id.what.is_slim() { objects.into_iter().map(slim).collect() } else { objects };
        let Some(store) = inner.stores.get_mut(id) else { return dirty };
        let changes = store.replace(version.parse().unwrap_or_default(), objects);
        let synced = store.set_state(State::Synced);
        for change in changes {
            inner.changed(id, &change, &mut dirty);
        }
        if synced {
            inner.all_after_state(id, &mut dirty);
        }
        drop(inner);
        self.settled.notify_waiters();
        dirty
    }

    /// A watch has shown everything up to a version.
    pub fn seen_to(&self, id: &StoreId, version: &str) {
        if let (Some(store), Ok(version)) = (self.lock().stores.get_mut(id), version.parse()) {
            store.seen_to(version);
        }
    }

    /// A watch shows an object.
    pub fn seen(&self, id: &StoreId, object: Object) -> Dirty {
        let object = if id.what.is_slim() { slim(object) } else { object };
        self.change(id, |store| store.seen(object))
    }

    /// A watch shows the end of an object.
    pub fn deleted(&self, id: &StoreId, object: &Object) -> Dirty {
        self.change(id, |store| store.deleted(object))
    }

    /// An API server answered our write with this.
    pub fn wrote(&self, target: &Target, object: &Object) -> Dirty {
        self.change_all(target, |id, store| {
            let mut object = object.clone();
            // What a watch selects by labels has no others; and of what only the metadata is watched, the bytes of a
            // Secret say, nothing else is kept.
            match &id.what {
                What::Related(_) => {
                    object.label(keys::RELATED_TO)?;
                    object.fields.clear();
                }
                What::Stage(_) => drop(object.label(keys::MIGRATION_STAGE)?),
                What::Mirrors(_) => {
                    object.label(keys::MIGRATION_ID).filter(|_| object.label(keys::MIGRATION_STAGE).is_none())?;
                    object.fields.clear();
                }
                _ => {}
            }
            // It is served, then, although the watch did not find it.
            store.call_if_unread();
            store.wrote(object)
        })
    }

    /// An API server's answer to our write says that this object ended.
    pub fn ended(&self, target: &Target, uid: &str) -> Dirty {
        self.change_all(target, |_, store| store.ended(&place(target.namespace.as_deref(), &target.name), uid))
    }

    /// Changes every store that may hold an object.
    fn change_all(&self, target: &Target, mut change: impl FnMut(&StoreId, &mut Store) -> Option<Change>) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        let own = match target.gvk.group.as_str() {
            keys::GROUP if target.gvk.kind == "AcceptAPI" => Some(What::Offers),
            keys::GROUP if target.gvk.kind == "Assignment" => Some(What::Records),
            keys::GROUP if target.gvk.kind == "Plugin" => Some(What::Plugins),
            keys::GROUP if target.gvk.kind == "Migration" => Some(What::Migrations),
            keys::GROUP if target.gvk.kind == "MigrationConfiguration" => Some(What::Configurations),
            keys::GROUP if target.gvk.kind == "BrokerCluster" => Some(What::Clusters),
            _ => None,
        };
        let of_kind = [What::Kind, What::Related, What::Stage, What::Mirrors].map(|what| what(target.gvk.clone()));
        for what in of_kind.into_iter().chain(own) {
            let id = StoreId { cluster: target.cluster.clone(), what };
            if let Some(change) = inner.stores.get_mut(&id).and_then(|store| change(&id, store)) {
                inner.changed(&id, &change, &mut dirty);
            }
        }
        dirty
    }

    fn change(&self, id: &StoreId, change: impl FnOnce(&mut Store) -> Option<Change>) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        if let Some(change) = inner.stores.get_mut(id).and_then(change) {
            inner.changed(id, &change, &mut dirty);
        }
        dirty
    }

    /// This number of objects is on an offer now.
    pub fn counted(&self, offer: &Target, objects: i64) {
        if let Some(count) = self.lock().counts.get_mut(&offer_id(offer)).filter(|count| count.objects == objects) {
            count.changed = None;
        }
    }

    /// When the number of objects is to be written on an offer; `None` where it is there.
    pub fn count_due_in(&self, offer: &Target) -> Option<Duration> {
        let changed = self.lock().counts.get(&offer_id(offer))?.changed?;
        Some(COUNT_DELAY.saturating_sub(changed.elapsed()))
    }
}
