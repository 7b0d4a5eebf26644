//! What follows from a change: the indexes over all stores are kept up, and the keys that it concerns are named.

use std::sync::Arc;

use resource_broker_api::{
    broker::{AssignmentSpec, AssignmentStatus, GroupVersionResource},
    conditions::ACCEPTED,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use tokio::time::Instant;

use super::{
    CopyId, Dirty, Inner, OfferId, StoreId, What, WorkKey,
    store::{Change, place},
};
use crate::planner::{
    deletion::orphans,
    model::snapshot::{Key, Offer, Record, Target},
    offers,
};

/// The identity of an offer.
pub(super) fn offer_id(offer: &Target) -> OfferId {
    (offer.cluster.clone(), offer.namespace.clone().unwrap_or_default(), offer.name.clone())
}

fn offer_target(id: &OfferId) -> Target {
    let (provider, namespace, name) = id.clone();
    Target::new(provider, accept_api(), Some(namespace), name)
}

/// The kind of offers.
pub fn accept_api() -> Gvk {
    Gvk::new(keys::GROUP, "v1alpha1", "AcceptAPI")
}

impl Inner {
    pub(super) fn changed(&mut self, id: &StoreId, change: &Change, dirty: &mut Dirty) {
        match &id.what {
            What::Records => self.record_changed(change, dirty),
            What::Offers => self.offer_changed(&id.cluster, change, dirty),
            What::Plugins | What::Components => self.plugins.notify_one(),
            What::Migrations => self.migration_changed(change, dirty),
            What::Configurations => self.configuration_changed(change, dirty),
            What::Clusters => self.cluster_changed(change),
            What::Stage(_) | What::Mirrors(_) => self.compute_changed(id, change, dirty),
            What::Kind(gvk) if id.cluster.role == Role::Consumer => {
                if let Some(object) = change.new.as_ref().or(change.old.as_ref()) {
                    let key = key_of(&id.cluster, gvk, object);
                    if change.new.is_none() {
                        self.possible_copies(&key, dirty);
                    }
                    self.references_changed(&key, change, dirty);
                    // It may be brokered in another version, whose watch shows the change a moment later, or earlier.
                    let recorded = self.recorded_key(&key).filter(|recorded| *recorded != key);
                    dirty.now.extend(recorded.into_iter().chain([key]).map(WorkKey::Object));
                }
            }
            What::Kind(gvk) => {
                self.copy_changed(&id.cluster, gvk, change, dirty);
                if let Some(object) = change.new.as_ref().or(change.old.as_ref()) {
                    self.claims_changed(&target_of(&id.cluster, gvk, object), change, dirty);
                }
            }
            What::Sources(gvk) => {
                if let Some(object) = change.new.as_ref().or(change.old.as_ref()) {
                    let target = target_of(&id.cluster, gvk, object);
                    let keys = self.declared.get(&target).into_iter().flatten();
                    dirty.now.extend(keys.cloned().map(WorkKey::Object));
                }
            }
            What::Related(gvk) => self.related_changed(&id.cluster, gvk, change, dirty),
        }
    }

    fn record_changed(&mut self, change: &Change, dirty: &mut Dirty) {
        let old = change.old.as_ref().and_then(|old| self.records.remove(old.name()));
        let new = change.new.as_ref().and_then(|object| parse_record(object)).map(Arc::new);
        self.uids_changed(old.as_deref(), new.as_deref());
        for record in old.iter().chain(&new) {
            dirty.now.extend(key_of_record(record).map(WorkKey::Object));
        }
        let offer_of = |record: &Arc<Record>| record.spec.provider.clone();
        if old.as_ref().map(offer_of) != new.as_ref().map(offer_of) {
            for (record, by) in old.iter().map(|old| (old, -1)).chain(new.iter().map(|new| (new, 1))) {
                self.count(record, by, dirty);
            }
        }
        self.moves_changed(old.as_deref(), new.as_deref(), dirty);
        self.uses_changed(old.as_deref(), new.as_deref());
        self.references_moved(old.as_deref(), new.as_deref(), dirty);
        let name = old.as_ref().or(new.as_ref()).map(|record| &record.name);
        if let Some(name) = name.filter(|name| self.migrations.records.contains_key(*name)) {
            dirty.now.push(WorkKey::Migration(name.clone()));
        }
        if let Some(old) = &old {
            self.forget_copies(old);
            // A place that it names no more may still hold a copy.
            let named = new.as_ref().map(|new| new.places()).unwrap_or_default();
            dirty.now.extend(old.places().into_iter().filter(|place| !named.contains(place)).map(WorkKey::Copy));
            if let Some(key) = key_of_record(old).filter(|_| new.is_none()) {
                self.possible_copies(&key, dirty);
                // What is remembered of the object in other versions is over with it.
                let others = self.other_versions(&key).map(|gvk| WorkKey::Object(Key { gvk, ..key.clone() }));
                dirty.now.extend(others);
            }
        }
        let Some(record) = new else { return };
        if let Some(key) = key_of_record(&record) {
            for place in record.places() {
                self.copies.insert(CopyId::of(&place), key.clone());
            }
            if old.is_none_or(|old| old.spec != record.spec) {
                self.strays(&key, dirty);
            }
        }
        self.records.insert(record.name.clone(), record);
    }

    /// A copy that no record names any more, wherever it is, is the sweep's business.
    fn possible_copies(&self, key: &Key, dirty: &mut Dirty) {
        let providers = self.clusters.iter().filter(|cluster| cluster.role == Role::Provider);
        let is_possible = |copy: &Target| {
            let store = || self.store(&copy.cluster, What::Kind(copy.gvk.clone()));
            let is_there = || store()?.get(&place(copy.namespace.as_deref(), &copy.name));
            *copy == key.copy_at(&copy.cluster) || is_there().is_some()
        };
        let copies = providers.flat_map(|provider| key.copies_at(provider)).filter(is_possible);
        dirty.now.extend(copies.map(WorkKey::Copy));
    }

    /// Copies of a recorded object that are there without being named: they may be needed, or not any more.
    fn strays(&self, key: &Key, dirty: &mut Dirty) {
        let locations = key.copy_locations();
        for provider in self.clusters.iter().filter(|cluster| cluster.role == Role::Provider) {
            let Some(store) = self.store(provider, What::Kind(key.gvk.clone())) else { continue };
            let there =
                locations.iter().filter(|(namespace, name)| store.get(&place(namespace.as_deref(), name)).is_some());
            let there = there.map(|(namespace, name)| {
                Target::new(provider.clone(), key.gvk.clone(), namespace.clone(), name.clone())
            });
            let unnamed = there.filter(|copy| !self.copies.contains_key(&CopyId::of(copy)));
            dirty.now.extend(unnamed.map(WorkKey::Copy));
        }
    }

    fn forget_copies(&mut self, record: &Record) {
        for place in record.places() {
            self.copies.remove(&CopyId::of(&place));
        }
    }

    /// The key under which an object is brokered, where it is.
    pub(super) fn recorded_key(&self, key: &Key) -> Option<Key> {
        key_of_record(self.records.get(&key.record_name())?)
    }

    fn count(&mut self, record: &Record, by: i64, dirty: &mut Dirty) {
        let Some(provider) = record.provider() else { return };
        let offer = &record.spec.provider.accept_api;
        let id = (provider, offer.namespace.clone(), offer.name.clone());
        let count = self.counts.entry(id.clone()).or_default();
        count.objects += by;
        count.changed.get_or_insert_with(Instant::now);
        if count.objects == 0 && !self.is_offered(&id) {
            self.counts.remove(&id);
            return;
        }
        dirty.later.push(WorkKey::Offer(offer_target(&id)));
    }

    fn is_offered(&self, id: &OfferId) -> bool {
        self.offers.values().any(|offers| offers.contains_key(id))
    }

    fn offer_changed(&mut self, provider: &ClusterName, change: &Change, dirty: &mut Dirty) {
        let before = change.old.as_ref().and_then(|old| gvr_of(old));
        let after = change.new.as_ref().and_then(|new| gvr_of(new));
        let Some(object) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let target = target_of(provider, &accept_api(), object);
        let id = offer_id(&target);
        let had = before.as_ref().and_then(|gvr| self.offers.get_mut(gvr)?.remove(&id));
        // The number of objects in its status changes more often than its filters, which may be long.
        let known = had.as_ref().zip(change.old.as_ref()).filter(|(_, old)| {
            let is_same = |new: &Arc<Object>| new.uid() == old.uid() && new.meta.generation == old.meta.generation;
            old.meta.generation.is_some() && change.new.as_ref().is_some_and(is_same)
        });
        let offer = change.new.as_ref().filter(|new| !new.is_deleting()).map(|new| Offer {
            provider: provider.clone(),
            namespace: id.1.clone(),
            name: id.2.clone(),
            filters: known.map_or_else(|| offers::filters(new), |(had, _)| had.filters.clone()),
            copies: offers::copies(new),
            related_namespaces: offers::related_namespaces(new),
        });
        let same = match (&had, &offer) {
            // How it wants its copies may be what kept an object from it: a name that is taken.
            (Some(had), Some(offer)) => {
                before == after
                    && (&had.filters, &had.related_namespaces) == (&offer.filters, &offer.related_namespaces)
                    && had.copies == offer.copies
            }
            (None, None) => true,
            _ => false,
        };
        if let (Some(gvr), Some(offer)) = (&after, offer) {
            self.offers.entry(gvr.clone()).or_default().insert(id, Arc::new(offer));
        }
        dirty.now.push(WorkKey::Offer(target));
        if same {
            return;
        }
        for gvr in [&before, &after].into_iter().flatten() {
            for gvk in self.kinds_of(provider, gvr) {
                self.routable(&gvk, provider, dirty);
            }
        }
    }

    /// The watched kinds that a resource stands for at a provider.
    pub(super) fn kinds_of(&self, provider: &ClusterName, gvr: &GroupVersionResource) -> Vec<Gvk> {
        let of = |gvk: &&Gvk| {
            gvk.group == gvr.group
                && gvk.version == gvr.version
                && self.plural_at(provider, gvk).is_some_and(|plural| plural == gvr.resource)
        };
        self.scope.kinds.iter().filter(of).cloned().collect()
    }

    /// A kind's plural as a cluster serves it; where it does not, as whoever was the first to say.
    pub(super) fn plural_at(&self, cluster: &ClusterName, gvk: &Gvk) -> Option<&str> {
        let store = self.store(cluster, What::Kind(gvk.clone()));
        let there = store.and_then(|store| Some(store.resource.as_ref()?.plural.as_str()));
        there.or_else(|| self.plurals.get(gvk).map(String::as_str))
    }

    /// Objects whose place may change with an offer of `provider`: those without one, those that it holds, those that move,
    /// and those that their provider does not accept.
    fn routable(&self, gvk: &Gvk, provider: &ClusterName, dirty: &mut Dirty) {
        for cluster in self.clusters.iter().filter(|cluster| cluster.role == Role::Consumer) {
            let Some(store) = self.store(cluster, What::Kind(gvk.clone())) else { continue };
            for (_, object) in store.iter() {
                let key = key_of(cluster, gvk, object);
                let record = self.records.get(&key.record_name());
                let Some(record) = record else {
                    dirty.now.push(WorkKey::Object(key));
                    continue;
                };
                if record.provider().as_ref() == Some(provider) || record.spec.next.is_some() || !is_accepted(record) {
                    dirty.now.push(WorkKey::Object(key_of_record(record).unwrap_or(key)));
                }
            }
        }
    }

    fn copy_changed(&mut self, provider: &ClusterName, gvk: &Gvk, change: &Change, dirty: &mut Dirty) {
        let Some(object) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let target = target_of(provider, gvk, object);
        if let Some(key) = self.copies.get(&CopyId::of(&target)) {
            dirty.now.push(WorkKey::Object(key.clone()));
            return;
        }
        // It may be in an object's way, or be a copy that was left behind.
        for key in self.keys_by_name(&target) {
            dirty.now.push(WorkKey::Object(self.recorded_key(&key).unwrap_or(key)));
        }
        if orphans::claim(&target, object).is_some() {
            dirty.now.push(WorkKey::Copy(target));
        }
    }

    /// The consumer objects whose copy could have this name: one in the copy's namespace, and, where that is one for this
    /// consumer alone, one in the namespace that it stands for.
    fn keys_by_name(&self, target: &Target) -> Vec<Key> {
        let whole = target.name.strip_prefix("c-").unwrap_or(&target.name);
        let Some((hash, name)) = whole.split_once('-') else { return Vec::new() };
        let Some(consumer) = self.prefixes.get(&format!("{hash}-")) else { return Vec::new() };
        let inside = target.namespace.as_ref().and_then(|own| own.strip_prefix(hash)?.strip_prefix('-'));
        let namespaces = std::iter::once(target.namespace.clone()).chain(inside.map(|inside| Some(inside.to_owned())));
        let key =
            |namespace| Key { consumer: consumer.clone(), gvk: target.gvk.clone(), namespace, name: name.to_owned() };
        namespaces.map(key).collect()
    }

    fn related_changed(&mut self, consumer: &ClusterName, gvk: &Gvk, change: &Change, dirty: &mut Dirty) {
        let entry = |object: &Object| {
            let record = object.label(keys::RELATED_TO)?.to_owned();
            let held = (gvk.clone(), object.namespace().unwrap_or_default().to_owned(), object.name().to_owned());
            Some(((consumer.clone(), record), held))
        };
        let old = change.old.as_ref().and_then(|object| entry(object));
        let new = change.new.as_ref().and_then(|object| entry(object));
        if let Some((owner, held)) = &old
            && let Some(all) = self.held.get_mut(owner)
        {
            all.remove(held);
            if all.is_empty() {
                self.held.remove(owner);
            }
        }
        if let Some((owner, held)) = &new {
            self.held.entry(owner.clone()).or_default().insert(held.clone());
        }
        for ((_, record), _) in old.iter().chain(&new) {
            if let Some(key) = self.records.get(record).and_then(|record| key_of_record(record)) {
                dirty.now.push(WorkKey::Object(key));
            }
        }
        // It may have been in the way of another object's.
        if let Some(object) = change.new.as_ref().or(change.old.as_ref()).filter(|_| old.is_some() != new.is_some()) {
            let keys = self.declared.get(&target_of(consumer, gvk, object)).into_iter().flatten();
            dirty.now.extend(keys.cloned().map(WorkKey::Object));
        }
    }

    /// Whatever may be decided otherwise now that a store can be believed, or not any more.
    pub(super) fn all_after_state(&self, id: &StoreId, dirty: &mut Dirty) {
        match &id.what {
            What::Kind(gvk) => {
                self.all_of(gvk, dirty);
                self.offers_of(gvk, dirty);
                self.configurations(|it| it.from == *gvk, dirty);
            }
            What::Plugins | What::Components => self.plugins.notify_one(),
            What::Clusters => self.directory.notify_one(),
            What::Stage(_) | What::Mirrors(_) => self.all_migrations(dirty),
            What::Records
            | What::Offers
            | What::Sources(_)
            | What::Related(_)
            | What::Migrations
            | What::Configurations => {
                if id.what == What::Records {
                    self.directory.notify_one();
                }
                if matches!(id.what, What::Records | What::Migrations) {
                    self.all_migrations(dirty);
                }
                for gvk in &self.scope.kinds {
                    self.all_of(gvk, dirty);
                    self.offers_of(gvk, dirty);
                }
            }
        }
    }

    /// Every consumer object of a kind, every record of it, and every copy that no record names. An object that is brokered
    /// in another version may have its copy, or find its next provider, in this one.
    pub(super) fn all_of(&self, gvk: &Gvk, dirty: &mut Dirty) {
        let recorded = self.records.values().filter_map(|record| key_of_record(record));
        let is_of_it = |key: &Key| key.gvk.group == gvk.group && key.gvk.kind == gvk.kind;
        dirty.now.extend(recorded.filter(is_of_it).map(WorkKey::Object));
        for cluster in &self.clusters {
            let Some(store) = self.store(cluster, What::Kind(gvk.clone())) else { continue };
            if cluster.role == Role::Consumer {
                dirty.now.extend(store.iter().map(|(_, object)| WorkKey::Object(key_of(cluster, gvk, object))));
                continue;
            }
            for (_, object) in store.iter() {
                let target = target_of(cluster, gvk, object);
                if !self.copies.contains_key(&CopyId::of(&target)) && orphans::claim(&target, object).is_some() {
                    dirty.now.push(WorkKey::Copy(target));
                }
            }
        }
    }

    /// Every offer of a kind's group and version.
    pub(super) fn offers_of(&self, gvk: &Gvk, dirty: &mut Dirty) {
        for (gvr, offers) in &self.offers {
            if group_of(gvr) == gvk.group && gvr.version == gvk.version {
                dirty.now.extend(offers.keys().map(|id| WorkKey::Offer(offer_target(id))));
            }
        }
    }

    /// Remembers which related resources an object's copies declare, so that their changes find the object.
    pub(super) fn index_declared(&mut self, key: &Key, targets: Vec<Target>) {
        if self.declares.get(key) == Some(&targets) || (targets.is_empty() && !self.declares.contains_key(key)) {
            return;
        }
        for old in self.declares.remove(key).unwrap_or_default() {
            if let Some(keys) = self.declared.get_mut(&old) {
                keys.remove(key);
                if keys.is_empty() {
                    self.declared.remove(&old);
                }
            }
        }
        for target in &targets {
            self.declared.entry(target.clone()).or_default().insert(key.clone());
        }
        if !targets.is_empty() {
            self.declares.insert(key.clone(), targets);
        }
    }
}

/// The group of a resource; `core` is written for the core group by people who write kinds that way.
fn group_of(gvr: &GroupVersionResource) -> &str {
    if gvr.group == "core" { "" } else { &gvr.group }
}

/// The resource that an offer is for.
pub(super) fn gvr_of(offer: &Object) -> Option<GroupVersionResource> {
    let mut spec = offer.field("spec")?;
    let gvr: GroupVersionResource = serde_json::from_value(spec["gvr"].take()).ok()?;
    Some(GroupVersionResource { group: group_of(&gvr).to_owned(), ..gvr })
}

fn key_of(consumer: &ClusterName, gvk: &Gvk, object: &Object) -> Key {
    Key {
        consumer: consumer.clone(),
        gvk: gvk.clone(),
        namespace: object.meta.namespace.clone(),
        name: object.name().to_owned(),
    }
}

fn target_of(cluster: &ClusterName, gvk: &Gvk, object: &Object) -> Target {
    Target::new(cluster.clone(), gvk.clone(), object.meta.namespace.clone(), object.name().to_owned())
}

/// The consumer object that a record is about.
pub(super) fn key_of_record(record: &Record) -> Option<Key> {
    let consumer = &record.spec.consumer;
    Some(Key {
        consumer: ClusterName::parse(&consumer.cluster)?,
        gvk: Gvk::new(&consumer.group, &consumer.version, &consumer.kind),
        namespace: consumer.namespace.clone(),
        name: consumer.name.clone(),
    })
}

/// Whether a record says that its provider accepts the object.
fn is_accepted(record: &Record) -> bool {
    record.status.conditions.iter().any(|condition| condition.type_ == ACCEPTED && condition.status == "True")
}

/// Whether an Assignment names a copy, in any version; `None` where it cannot be read.
pub fn is_named(assignment: &Object, copy: &Target) -> Option<bool> {
    let places = parse_record(assignment)?.places();
    Some(places.iter().any(|place| CopyId::of(place) == CopyId::of(copy)))
}

fn parse_record(object: &Object) -> Option<Record> {
    let spec: AssignmentSpec = serde_json::from_str(object.fields.get("spec")?.get()).ok()?;
    let status: Option<AssignmentStatus> =
        object.fields.get("status").and_then(|status| serde_json::from_str(status.get()).ok());
    Some(Record {
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        generation: object.meta.generation,
        deleting: object.is_deleting(),
        recreated: object.annotation(keys::RECREATED).map(str::to_owned),
        spec,
        status: status.unwrap_or_default(),
    })
}
