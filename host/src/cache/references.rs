//! Which consumer objects refer to which: kept up so that a change of the one has the others looked at.

use std::collections::{BTreeSet, HashMap};

use resource_broker_api::{
    names::{ClusterName, Gvk},
    object::Object,
};

use super::{Dirty, Inner, What, WorkKey, indexes::key_of_record, store::Change, views::nothing};
use crate::planner::model::{
    referred::{self, Reference},
    snapshot::{Key, Record, View},
};

/// An object in any version of its kind.
fn any_version(key: &Key) -> Key {
    key.in_version("")
}

/// See the module. Objects are named without a version.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    /// What an object refers to.
    to: HashMap<Key, BTreeSet<Key>>,
    /// What refers to an object.
    from: HashMap<Key, BTreeSet<Key>>,
}

impl Referrers {
    fn set(&mut self, key: Key, to: BTreeSet<Key>) {
        for old in self.to.remove(&key).into_iter().flatten() {
            if let Some(all) = self.from.get_mut(&old) {
                all.remove(&key);
                if all.is_empty() {
                    self.from.remove(&old);
                }
            }
        }
        for one in &to {
            self.from.entry(one.clone()).or_default().insert(key.clone());
        }
        if !to.is_empty() {
            self.to.insert(key, to);
        }
    }

    /// A consumer is not attached any more.
    pub(super) fn forget(&mut self, cluster: &ClusterName) {
        self.to.retain(|key, _| key.consumer != *cluster);
        self.from.retain(|key, _| key.consumer != *cluster);
    }
}

impl Inner {
    /// The objects that one of a kind refers to. Empty where their kind is not watched.
    fn referred_by(&self, key: &Key, object: &Object) -> Vec<(&'static str, Key)> {
        let Some((group, kind)) = referred::referred(&key.gvk) else { return Vec::new() };
        let Some(gvk) = self.scope.kinds.iter().find(|gvk| gvk.group == group && gvk.kind == kind) else {
            return Vec::new();
        };
        let to = |(field, name)| (field, Key { gvk: gvk.clone(), name, ..key.clone() });
        referred::names(&key.gvk, object).into_iter().map(to).collect()
    }

    /// A consumer object changed: what it refers to, and what refers to it, may be able to go on.
    pub(super) fn references_changed(&mut self, key: &Key, change: &Change, dirty: &mut Dirty) {
        if referred::referred(&key.gvk).is_some() {
            let to = change.new.as_ref().map(|new| self.referred_by(key, new)).unwrap_or_default();
            let to: BTreeSet<Key> = to.into_iter().map(|(_, key)| any_version(&key)).collect();
            let key = any_version(key);
            let before = self.referrers.to.get(&key).cloned().unwrap_or_default();
            if before != to {
                let changed: Vec<Key> = before.symmetric_difference(&to).cloned().collect();
                self.referrers.set(key, to);
                for key in &changed {
                    self.look_at(key, dirty);
                }
            }
        }
        if referred::is_referred(&key.gvk) && change.old.is_some() != change.new.is_some() {
            self.look_at_referrers(key, dirty);
        }
    }

    /// A record changed: of one that is referred to, or that refers to others.
    pub(super) fn references_moved(&self, old: Option<&Record>, new: Option<&Record>, dirty: &mut Dirty) {
        let place =
            |record: Option<&Record>| record.map(|record| (record.spec.provider.clone(), record.spec.next.clone()));
        let Some(key) = new.or(old).and_then(key_of_record) else { return };
        if referred::is_referred(&key.gvk) && place(old) != place(new) {
            self.look_at_referrers(&key, dirty);
        }
        if referred::referred(&key.gvk).is_some() && old.is_some() != new.is_some() {
            let to = self.referrers.to.get(&any_version(&key));
            to.into_iter().flatten().for_each(|key| self.look_at(key, dirty));
        }
    }

    fn look_at_referrers(&self, key: &Key, dirty: &mut Dirty) {
        let from = self.referrers.from.get(&any_version(key));
        from.into_iter().flatten().for_each(|key| self.look_at(key, dirty));
    }

    /// Looks at an object in the version in which it is brokered, or else in all that are watched.
    fn look_at(&self, key: &Key, dirty: &mut Dirty) {
        if let Some(recorded) = self.recorded_key(key) {
            dirty.now.push(WorkKey::Object(recorded));
            return;
        }
        let is_it = |gvk: &&Gvk| gvk.group == key.gvk.group && gvk.kind == key.gvk.kind;
        let versions = self.scope.kinds.iter().filter(is_it);
        dirty.now.extend(versions.map(|gvk| WorkKey::Object(Key { gvk: gvk.clone(), ..key.clone() })));
    }

    /// What is known of the objects around one.
    pub(super) fn references(&self, key: &Key, consumer: &View<std::sync::Arc<Object>>) -> referred::References {
        let to = consumer.present().map(|object| self.referred_by(key, object)).unwrap_or_default();
        let to = to.into_iter().map(|(field, key)| Reference {
            field,
            object: self.in_any_version(&key),
            record: self.record(&key.record_name()),
            key,
        });
        let mut from = Vec::new();
        if referred::is_referred(&key.gvk) {
            let all = self.referrers.from.get(&any_version(key)).into_iter().flatten();
            from.extend(all.filter_map(|key| self.recorded_key(key)));
        }
        referred::References { to: to.collect(), from }
    }

    fn in_any_version(&self, key: &Key) -> View<()> {
        let mut known = View::Absent;
        for gvk in std::iter::once(key.gvk.clone()).chain(self.other_versions(key)) {
            match nothing(self.view(&key.consumer, What::Kind(gvk), key.namespace.as_deref(), &key.name)) {
                View::Present(()) => return View::Present(()),
                unknown @ View::Unknown { .. } => known = unknown,
                View::Absent => {}
            }
        }
        known
    }
}
