//! What one decision may look at, taken out of the cache at one moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{
    broker::GroupVersionResource,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};

use tokio::time::Instant;

use super::{
    Cache, Inner, State, StoreId, What, WorkKey,
    changes::COUNT_DELAY,
    indexes::{accept_api, gvr_of, offer_id},
    store::place,
};
use crate::planner::{
    offer::{OfferSnapshot, Served},
    related,
    snapshot::{Key, Memory, Offer, ProviderView, Record, RelatedView, Snapshot, Target, View, Watched},
    sweep::{SweepSnapshot, claim},
};

/// How long a count of vanished objects holds.
const RECOUNT: Duration = Duration::from_secs(5);
/// So many may vanish at once and be believed.
const FEW: usize = 20;

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
        let mut consumer = inner.view(&key.consumer, What::Kind(key.gvk.clone()), key.namespace.as_deref(), &key.name);
        let shape = consumer_store.and_then(|store| Some(store.resource.as_ref()?.shape)).unwrap_or_default();
        if matches!((&consumer, &record), (View::Absent, View::Present(_)))
            && let Some(why) = inner.most_vanished(key)
        {
            consumer = View::Unknown { why, failing: true };
        }
        let providers = inner.providers(key, assigned.as_ref());
        let copy = assigned.as_ref().and_then(|at| providers.get(at)?.copy.present().cloned());
        let mut needed = Vec::new();
        let related = if let (Some(provider), Some(copy)) = (&assigned, &copy) {
            inner.related(key, provider, copy, &mut needed)
        } else {
            inner.index_declared(key, &key.consumer, &[]);
            Vec::new()
        };
        let record_is_watched = record.present().is_none_or(|record| {
            let recorded = &record.spec.consumer;
            inner.scope.kinds.contains(&Gvk::new(&recorded.group, &recorded.version, &recorded.kind))
        });
        let snapshot = Snapshot {
            broker: inner.broker.clone(),
            record_is_watched,
            now: now(),
            consumer,
            shape,
            offers: inner.offers(&key.gvk),
            held: inner.held(key),
            held_is_read: inner.held_is_read(&key.consumer),
            key: key.clone(),
            record,
            providers,
            related,
            memory,
        };
        (snapshot, needed)
    }

    /// The clusters that a pass over the key mostly deals with.
    pub fn clusters_of(&self, key: &WorkKey) -> Vec<ClusterName> {
        match key {
            WorkKey::Offer(target) | WorkKey::Copy(target) => vec![target.cluster.clone()],
            WorkKey::Object(key) => {
                let provider = self.lock().records.get(&key.record_name()).and_then(|record| record.provider());
                std::iter::once(key.consumer.clone()).chain(provider).collect()
            }
        }
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
        SweepSnapshot { broker: inner.broker.clone(), target: target.clone(), copy, record, consumer }
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

    /// Objects leave through their finalizer. Where most of a consumer's are gone without, this is more likely another
    /// cluster, or one restored from before their time, than their end: nothing is taken down then.
    fn most_vanished(&mut self, key: &Key) -> Option<String> {
        let id = (key.consumer.clone(), key.gvk.clone());
        if let Some((_, why)) = self.vanished.get(&id).filter(|(at, _)| at.elapsed() < RECOUNT) {
            return why.clone();
        }
        let consumer = key.consumer.to_string();
        let store = self.store(&key.consumer, What::Kind(key.gvk.clone()));
        let (mut all, mut gone) = (0_usize, 0_usize);
        for record in self.records.values().map(|record| &record.spec.consumer) {
            if record.cluster == consumer && record.kind == key.gvk.kind && record.group == key.gvk.group {
                all += 1;
                let place = place(record.namespace.as_deref(), &record.name);
                gone += usize::from(store.is_none_or(|store| store.get(&place).is_none()));
            }
        }
        let why = (gone > FEW && gone * 2 > all).then(|| {
            format!(
                "{gone} of {all} recorded {} objects are not there although none was deleted: is this still the same \
                 cluster? If they are gone for good, delete their Assignments",
                key.gvk.kind
            )
        });
        if let Some(why) = &why {
            tracing::error!(cluster = %key.consumer, why, "nothing is taken down");
        }
        self.vanished.insert(id, (Instant::now(), why.clone()));
        why
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
                    offers: offers_view(offers),
                    copy: self.view(provider, What::Kind(key.gvk.clone()), key.namespace.as_deref(), &copy_name),
                };
                (provider.clone(), view)
            })
            .collect()
    }

    fn offers(&self, gvk: &Gvk) -> Vec<Arc<Offer>> {
        let of_version = self.offers.iter().filter(|(gvr, _)| gvr.group == gvk.group && gvr.version == gvk.version);
        let mut offers: BTreeMap<&super::OfferId, &Arc<Offer>> = BTreeMap::new();
        for (gvr, all) in of_version {
            // A provider's own plural decides about its own offers, and about nobody else's.
            offers.extend(all.iter().filter(|(id, _)| self.plural_at(&id.0, gvk) == Some(gvr.resource.as_str())));
        }
        offers.into_values().cloned().collect()
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

    /// Whether no related kind is in its first list at this consumer.
    fn held_is_read(&self, consumer: &ClusterName) -> bool {
        let state = |gvk: &Gvk| self.store(consumer, What::Related(gvk.clone())).map(super::Store::state);
        self.scope.related.iter().all(|gvk| state(gvk).is_some_and(|state| *state != State::Starting))
    }

    fn served(&self, provider: &ClusterName, gvr: &GroupVersionResource) -> Served {
        let in_version = |gvk: &&Gvk| gvk.group == gvr.group && gvk.version == gvr.version;
        let Some(gvk) = self.kinds_of(provider, gvr).into_iter().next() else {
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

/// Whether a provider's offers are known. One that does not know what an offer is has none, and that is known.
fn offers_view(store: Option<&super::Store>) -> View<()> {
    match store {
        None => View::Unknown { why: "they have not been read yet".into(), failing: false },
        Some(store) if matches!(store.state(), State::NotServed(_)) => View::Absent,
        Some(store) => match store.unread() {
            Some((why, failing)) => View::Unknown { why, failing },
            None => View::Present(()),
        },
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

    /// Plugins.
    pub fn plugins() -> Resource {
        Resource::known(Gvk::new(keys::GROUP, "v1alpha1", "Plugin"), "plugins")
    }

    /// What plugins' components are kept in.
    pub fn config_maps() -> Resource {
        Resource::known(Gvk::new("core", "v1", "ConfigMap"), "configmaps")
    }
}
