//! What one decision may look at, taken out of the cache at one moment.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{
    broker::GroupVersionResource,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};

use super::{
    Cache, Inner, State, StoreId, What,
    changes::{COUNT_DELAY, accept_api, gvr_of, offer_id},
    store::place,
};
use crate::planner::{
    offer::{OfferSnapshot, Served},
    related,
    snapshot::{Key, Memory, Offer, ProviderView, Record, RelatedView, Snapshot, Target, View, Watched},
    sweep::{SweepSnapshot, claim},
};

fn now() -> Time {
    Time(Timestamp::now())
}

impl Cache {
    /// All inputs of one consumer object, and the watches that it needs and that have not begun.
    pub fn snapshot(&self, key: &Key, memory: Memory) -> (Snapshot, Vec<StoreId>) {
        let mut inner = self.lock();
        let record = inner.record(&key.record_name());
        let assigned = record.present().and_then(|record| record.provider());
        let consumer_store = inner.store(&key.consumer, What::Kind(key.gvk.clone()));
        let consumer = inner.view(&key.consumer, What::Kind(key.gvk.clone()), key.namespace.as_deref(), &key.name);
        let shape = consumer_store.and_then(|store| Some(store.resource.as_ref()?.shape)).unwrap_or_default();
        let providers = inner.providers(key, assigned.as_ref());
        let copy = assigned.as_ref().and_then(|at| providers.get(at)?.copy.present().cloned());
        let mut needed = Vec::new();
        let related = match (&assigned, &copy) {
            (Some(provider), Some(copy)) => inner.related(key, provider, copy, &mut needed),
            _ => Vec::new(),
        };
        let snapshot = Snapshot {
            now: now(),
            consumer,
            shape,
            offers: inner.offers(&key.gvk),
            held: inner.held(key),
            key: key.clone(),
            record,
            providers,
            related,
            memory,
        };
        (snapshot, needed)
    }

    /// All inputs of one offer.
    pub fn offer_snapshot(&self, target: &Target) -> OfferSnapshot {
        let inner = self.lock();
        let place = place(target.namespace.as_deref(), &target.name);
        let offer = inner.store(&target.cluster, What::Offers).and_then(|store| store.get(&place)).cloned();
        let served = offer
            .as_ref()
            .and_then(|offer| gvr_of(offer))
            .map_or_else(|| Served::No("spec.gvr cannot be read".into()), |gvr| inner.served(&target.cluster, &gvr));
        let count = inner.counts.get(&offer_id(target));
        OfferSnapshot {
            target: target.clone(),
            offer,
            now: now(),
            served,
            objects: count.map_or(0, |count| count.objects),
            count_is_due: count.and_then(|count| count.changed).is_some_and(|since| since.elapsed() >= COUNT_DELAY),
        }
    }

    /// All inputs of a copy that no record names.
    pub fn sweep_snapshot(&self, target: &Target) -> SweepSnapshot {
        let inner = self.lock();
        let kind = || What::Kind(target.gvk.clone());
        let place = place(target.namespace.as_deref(), &target.name);
        let copy = inner.store(&target.cluster, kind()).and_then(|store| store.get(&place)).cloned();
        let key = copy.as_ref().and_then(|copy| claim(target, copy));
        let record = match &key {
            Some(key) if !inner.copies.contains_key(target) => nothing(inner.record(&key.record_name())),
            _ => View::Present(()),
        };
        let consumer = key
            .filter(|key| inner.clusters.contains(&key.consumer))
            .map(|key| nothing(inner.view(&key.consumer, kind(), key.namespace.as_deref(), &key.name)));
        SweepSnapshot { target: target.clone(), copy, record, consumer }
    }
}

fn nothing<T>(view: View<T>) -> View<()> {
    match view {
        View::Unknown { why, failing } => View::Unknown { why, failing },
        View::Absent => View::Absent,
        View::Present(_) => View::Present(()),
    }
}

impl Inner {
    fn view(&self, cluster: &ClusterName, what: What, namespace: Option<&str>, name: &str) -> View<Arc<Object>> {
        match self.store(cluster, what) {
            Some(store) => store.view(&place(namespace, name)),
            None if self.clusters.contains(cluster) => {
                View::Unknown { why: "it has not been read yet".into(), failing: false }
            }
            None => View::Unknown { why: format!("{cluster} is not attached"), failing: true },
        }
    }

    fn record(&self, name: &str) -> View<Arc<Record>> {
        let store = self.records_at.as_ref().and_then(|id| self.stores.get(id));
        let why = store.map_or_else(|| Some("they have not been read yet".into()), super::Store::why_unread);
        match (why, self.records.get(name)) {
            (Some(why), _) => View::Unknown { why, failing: false },
            (None, Some(record)) => View::Present(record.clone()),
            (None, None) => View::Absent,
        }
    }

    /// The provider that has the object; all of them where none has.
    fn providers(&self, key: &Key, assigned: Option<&ClusterName>) -> BTreeMap<ClusterName, ProviderView> {
        let providers = self.clusters.iter().filter(|cluster| cluster.role == Role::Provider);
        let of_interest = providers.filter(|provider| assigned.is_none_or(|assigned| assigned == *provider));
        let copy_name = key.copy_name();
        of_interest
            .map(|provider| {
                let offers = self.store(provider, What::Offers);
                let view = ProviderView {
                    offers_unknown: offers.map_or_else(|| Some("not read yet".into()), super::Store::why_unread),
                    copy: self.view(provider, What::Kind(key.gvk.clone()), key.namespace.as_deref(), &copy_name),
                };
                (provider.clone(), view)
            })
            .collect()
    }

    fn offers(&self, gvk: &Gvk) -> Vec<Arc<Offer>> {
        let Some(plural) = self.plurals.get(gvk) else { return Vec::new() };
        let gvr =
            GroupVersionResource { group: gvk.group.clone(), version: gvk.version.clone(), resource: plural.clone() };
        self.offers.get(&gvr).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn related(
        &mut self,
        key: &Key,
        provider: &ClusterName,
        copy: &Object,
        needed: &mut Vec<StoreId>,
    ) -> Vec<RelatedView> {
        let declared: Vec<related::Declared> =
            related::declared(copy, key).into_iter().take(related::MOST + 1).collect();
        self.index_declared(key, provider, &declared);
        let views = declared.into_iter().map(|declared| {
            let allowed = self.scope.related.contains(&declared.gvk);
            let source = StoreId { cluster: provider.clone(), what: What::Sources(declared.gvk.clone()) };
            if allowed && !self.stores.contains_key(&source) && !needed.contains(&source) {
                needed.push(source.clone());
            }
            let target = StoreId { cluster: key.consumer.clone(), what: What::Related(declared.gvk.clone()) };
            RelatedView {
                allowed,
                source: self.watched(&source, Some(&declared.namespace), &declared.name),
                target: self.watched(&target, key.namespace.as_deref(), &declared.target_name),
                declared,
            }
        });
        views.collect()
    }

    fn watched(&self, id: &StoreId, namespace: Option<&str>, name: &str) -> Watched {
        match self.stores.get(id).map(super::Store::state) {
            Some(State::Forbidden(_)) => Watched::Unwatchable,
            _ => Watched::View(self.view(&id.cluster, id.what.clone(), namespace, name)),
        }
    }

    fn held(&self, key: &Key) -> Vec<(Gvk, Arc<Object>)> {
        let owner = (key.consumer.clone(), key.record_name());
        let places = self.held.get(&owner).into_iter().flatten();
        places
            .filter_map(|(gvk, namespace, name)| {
                let store = self.store(&key.consumer, What::Related(gvk.clone()))?;
                Some((gvk.clone(), store.get(&(namespace.clone(), name.clone()))?.clone()))
            })
            .collect()
    }

    fn served(&self, provider: &ClusterName, gvr: &GroupVersionResource) -> Served {
        let in_version = |gvk: &&Gvk| gvk.group == gvr.group && gvk.version == gvr.version;
        let Some(gvk) = self.kinds_of(gvr).into_iter().next() else {
            let unresolved: Vec<&Gvk> =
                self.scope.kinds.iter().filter(in_version).filter(|gvk| !self.plurals.contains_key(*gvk)).collect();
            return match unresolved.first() {
                Some(gvk) => self.state_of_kind(provider, gvk),
                None => Served::NotWatched,
            };
        };
        self.state_of_kind(provider, &gvk)
    }

    fn state_of_kind(&self, provider: &ClusterName, gvk: &Gvk) -> Served {
        match self.store(provider, What::Kind(gvk.clone())).map(super::Store::state) {
            Some(State::Synced) => Served::Yes,
            Some(State::NotServed(why) | State::Forbidden(why)) => Served::No(why.clone()),
            Some(State::Failing(why)) => Served::Unknown(why.clone()),
            Some(State::Starting) | None => Served::Unknown("it has not been read yet".into()),
        }
    }
}

/// The kinds of the broker's own objects.
pub mod own {
    use super::{Gvk, accept_api, keys};
    use crate::resource::Resource;

    /// Offers.
    pub fn offers() -> Resource {
        Resource::known(accept_api(), "acceptapis")
    }

    /// Records.
    pub fn records() -> Resource {
        Resource::known(Gvk::new(keys::GROUP, "v1alpha1", "Assignment"), "assignments")
    }
}
