//! What is known of one object's surroundings: its offers, its copies, its related resources.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use resource_broker_api::{
    broker::GroupVersionResource,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use tokio::time::Instant;

use super::{Inner, State, StoreId, What, store::place};
use crate::planner::{
    deletion::disappearance,
    model::{
        claimed::Claims,
        declared,
        snapshot::{
            Key, Location, Offer, Placement, ProviderView, Record, RelatedView, Target, VersionView, View, Watched,
        },
    },
    offers::Served,
};

/// How long a count of disappeared objects holds.
const RECOUNT: Duration = Duration::from_secs(5);

/// A copy at a provider, with the related resources that it declares.
pub(super) struct End {
    pub(super) provider: ClusterName,
    /// The copy itself.
    pub(super) copy: Target,
    pub(super) declared: Vec<declared::Declared>,
}

impl End {
    /// Where the related resources are.
    pub(super) fn sources(&self) -> impl Iterator<Item = Target> {
        self.declared.iter().map(|one| self.source(one))
    }

    /// Where one of them is.
    pub(super) fn source(&self, one: &declared::Declared) -> Target {
        Target::new(self.provider.clone(), one.gvk.clone(), Some(one.namespace.clone()), one.name.clone())
    }

    /// Where the consumer has them, or somebody else's in their way.
    pub(super) fn targets(&self, key: &Key) -> impl Iterator<Item = Target> {
        self.declared.iter().map(|one| {
            Target::new(key.consumer.clone(), one.gvk.clone(), key.namespace.clone(), one.target_name.clone())
        })
    }
}

/// The same knowledge without the object.
pub(super) fn nothing<T>(view: View<T>) -> View<()> {
    match view {
        View::Unknown { why, failing } => View::Unknown { why, failing },
        View::Absent => View::Absent,
        View::Present(_) => View::Present(()),
    }
}

impl Inner {
    pub(super) fn view(
        &self,
        cluster: &ClusterName,
        what: What,
        namespace: Option<&str>,
        name: &str,
    ) -> View<Arc<Object>> {
        match self.store(cluster, what) {
            Some(store) => store.view(&place(namespace, name)),
            None if self.clusters.contains(cluster) => {
                View::Unknown { why: "it has not been read yet".into(), failing: false }
            }
            None => View::Unknown { why: self.not_attached(cluster), failing: true },
        }
    }

    /// Why it is not believed that this object is gone, where most of its consumer's are. They are counted now and then.
    pub(super) fn disappearance_doubt(&mut self, key: &Key) -> Option<String> {
        let id = (key.consumer.clone(), key.gvk.clone());
        if let Some((_, why)) = self.disappearances.get(&id).filter(|(at, _)| at.elapsed() < RECOUNT) {
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
        let why = disappearance::doubt(&key.gvk.kind, gone, all);
        if let Some(why) = &why {
            tracing::error!(cluster = %key.consumer, why, "nothing is taken down");
        }
        self.disappearances.insert(id, (Instant::now(), why.clone()));
        why
    }

    pub(super) fn record(&self, name: &str) -> View<Arc<Record>> {
        let store = self.records_at.as_ref().and_then(|id| self.stores.get(id));
        let why = store.map_or_else(|| Some("they have not been read yet".into()), super::Store::why_unread);
        match (why, self.records.get(name)) {
            (Some(why), _) => View::Unknown { why, failing: false },
            (None, Some(record)) => View::Present(record.clone()),
            (None, None) => View::Absent,
        }
    }

    /// Every attached provider.
    pub(super) fn providers(&self, key: &Key, record: Option<&Record>) -> BTreeMap<ClusterName, ProviderView> {
        let locations = key.copy_locations();
        let copy_name = key.copy_name();
        let recorded: Vec<Target> = record.map(|record| record.places().into_iter().collect()).unwrap_or_default();
        let others: Vec<Gvk> = self.other_versions(key).collect();
        let copy = |provider: &ClusterName, gvk: &Gvk| {
            self.view(provider, What::Kind(gvk.clone()), key.namespace.as_deref(), &copy_name)
        };
        let providers = self.clusters.iter().filter(|cluster| cluster.role == Role::Provider);
        let others_of_kind = std::iter::once(&key.gvk).chain(&others);
        providers
            .map(|provider| {
                let versions = others.iter().map(|gvk| (gvk.version.clone(), copy(provider, gvk)));
                let mut others = BTreeMap::new();
                for gvk in others_of_kind.clone() {
                    let Some(store) = self.store(provider, What::Kind(gvk.clone())) else { continue };
                    let here = recorded.iter().filter(|target| target.cluster == *provider);
                    let here = here.map(|target| (&target.namespace, &target.name));
                    for (namespace, name) in locations.iter().skip(1).map(|(ns, name)| (ns, name)).chain(here) {
                        let place = place(namespace.as_deref(), name);
                        if store.get(&place).is_some() {
                            let (namespace, name) = (namespace.clone(), name.clone());
                            let at = Location { version: gvk.version.clone(), namespace, name };
                            others.insert(at, store.view(&place));
                        }
                    }
                }
                let view = ProviderView {
                    others,
                    offers: offers_view(self.store(provider, What::Offers)),
                    copy: copy(provider, &key.gvk),
                    versions: versions.collect(),
                };
                (provider.clone(), view)
            })
            .collect()
    }

    /// The kind of a key in its other watched versions.
    pub(super) fn other_versions(&self, key: &Key) -> impl Iterator<Item = Gvk> {
        let is_other = |gvk: &&Gvk| gvk.group == key.gvk.group && gvk.kind == key.gvk.kind && **gvk != key.gvk;
        self.scope.kinds.iter().filter(is_other).cloned()
    }

    /// The key's object in the other watched versions of its kind.
    pub(super) fn versions(&self, key: &Key) -> Vec<VersionView> {
        let view = |gvk: Gvk| VersionView {
            consumer: self.view(&key.consumer, What::Kind(gvk.clone()), key.namespace.as_deref(), &key.name),
            offers: self.offers(&gvk),
            version: gvk.version,
        };
        self.other_versions(key).map(view).collect()
    }

    /// The copy at a place that a record names, where it can be seen.
    pub(super) fn end(&self, key: &Key, placement: &Placement<'_>) -> Option<End> {
        let provider = ClusterName::parse(placement.cluster)?;
        let gvk = placement.version.map_or_else(|| key.gvk.clone(), |version| key.in_version(version).gvk);
        let view = self.view(&provider, What::Kind(gvk.clone()), placement.namespace, placement.name);
        let there = view.present()?;
        let declared = declared::declared(there, key).into_iter().take(declared::MOST + 1).collect();
        let copy = Target::new(provider.clone(), gvk, there.meta.namespace.clone(), there.name().to_owned());
        Some(End { provider, copy, declared })
    }

    pub(super) fn offers(&self, gvk: &Gvk) -> Vec<Arc<Offer>> {
        let of_version = self.offers.iter().filter(|(gvr, _)| gvr.group == gvk.group && gvr.version == gvk.version);
        let mut offers: BTreeMap<&super::OfferId, &Arc<Offer>> = BTreeMap::new();
        for (gvr, all) in of_version {
            // A provider's own plural decides about its own offers, and about nobody else's.
            offers.extend(all.iter().filter(|(id, _)| self.plural_at(&id.0, gvk) == Some(gvr.resource.as_str())));
        }
        offers.into_values().cloned().collect()
    }

    /// The related resources that a copy declares, at both ends.
    pub(super) fn related(&self, key: &Key, end: &End, needed: &mut Vec<StoreId>) -> Vec<RelatedView> {
        let views = end.declared.iter().map(|declared| {
            let target = StoreId { cluster: key.consumer.clone(), what: What::Related(declared.gvk.clone()) };
            let source = self.source(end, declared, needed);
            RelatedView {
                allowed: self.scope.related.contains(&declared.gvk),
                claims: self.claims_on(end, declared, &source),
                source,
                target: self.watched(&target, key.namespace.as_deref(), &declared.target_name),
                declared: declared.clone(),
            }
        });
        views.collect()
    }

    /// A related resource at the provider. Where its kind may be copied and is not watched yet, that is needed.
    pub(super) fn source(&self, end: &End, declared: &declared::Declared, needed: &mut Vec<StoreId>) -> Watched {
        let source = StoreId { cluster: end.provider.clone(), what: What::Sources(declared.gvk.clone()) };
        let allowed = self.scope.related.contains(&declared.gvk);
        if allowed && !self.stores.contains_key(&source) && !needed.contains(&source) {
            needed.push(source.clone());
        }
        self.watched(&source, Some(&declared.namespace), &declared.name)
    }

    /// What copies at the provider have to do with a related resource there.
    pub(super) fn claims_on(&self, end: &End, declared: &declared::Declared, source: &Watched) -> Claims {
        let there = match source {
            Watched::View(view) => view.present().map(AsRef::as_ref),
            Watched::Unwatchable => None,
        };
        self.claims(&end.copy, &end.source(declared), there)
    }

    pub(super) fn watched(&self, id: &StoreId, namespace: Option<&str>, name: &str) -> Watched {
        match self.stores.get(id).map(super::Store::state) {
            Some(State::Forbidden(_)) => Watched::Unwatchable,
            _ => Watched::View(self.view(&id.cluster, id.what.clone(), namespace, name)),
        }
    }

    pub(super) fn held(&self, key: &Key) -> Vec<(Gvk, Arc<Object>)> {
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
    pub(super) fn held_is_read(&self, consumer: &ClusterName) -> bool {
        let state = |gvk: &Gvk| self.store(consumer, What::Related(gvk.clone())).map(super::Store::state);
        self.scope.related.iter().all(|gvk| state(gvk).is_some_and(|state| *state != State::Starting))
    }

    pub(super) fn served(&self, provider: &ClusterName, gvr: &GroupVersionResource) -> Served {
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
