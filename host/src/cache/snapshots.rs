//! What one decision may look at, taken out of the cache at one moment.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{
    names::{ClusterName, Gvk},
    object::Object,
};

use super::{
    Cache, CopyId, StoreId, What, WorkKey,
    changes::COUNT_DELAY,
    indexes::{gvr_of, offer_id},
    migration_views::About,
    store::place,
    views::{End, nothing},
};
use crate::planner::{
    configurations::ConfigurationSnapshot,
    deletion::orphans::{OrphanSnapshot, claim},
    migration::retention::RetentionSnapshot,
    model::snapshot::{Key, Memory, Placement, Snapshot, Target, View},
    offers::{Denied, OfferSnapshot, Served},
};

fn now() -> Time {
    Time(Timestamp::now())
}

/// 128 random bits as hex digits.
fn fresh_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Cache {
    /// All inputs of one consumer object, and the watches that it needs and that have not begun. Whether a Plugin makes its
    /// migrations' stages is for whoever knows to say.
    pub fn snapshot(&self, key: &Key, memory: Memory) -> (Snapshot, Vec<StoreId>) {
        let mut inner = self.lock();
        let mut needed = Vec::new();
        let record = inner.record(&key.record_name());
        let consumer_store = inner.store(&key.consumer, What::Kind(key.gvk.clone()));
        let shape = consumer_store.and_then(|store| Some(store.resource.as_ref()?.shape)).unwrap_or_default();
        let mut consumer = inner.view(&key.consumer, What::Kind(key.gvk.clone()), key.namespace.as_deref(), &key.name);
        if matches!((&consumer, &record), (View::Absent, View::Present(_)))
            && let Some(why) = inner.disappearance_doubt(key)
        {
            consumer = View::Unknown { why, failing: true };
        }
        let spec = record.present().map(|record| &record.spec);
        let at = spec.and_then(|spec| inner.end(key, &Placement::from(&spec.provider)));
        let next = spec.and_then(|spec| inner.end(key, &Placement::from(spec.next.as_ref()?)));
        let ends = || at.iter().chain(&next);
        let declared = ends().flat_map(End::sources).chain(ends().flat_map(|end| end.targets(key)));
        inner.index_declared(key, declared.collect());
        let record_is_watched = record.present().is_none_or(|record| {
            let recorded = &record.spec.consumer;
            inner.scope.kinds.contains(&Gvk::new(&recorded.group, &recorded.version, &recorded.kind))
        });
        let copy_of = consumer.present().and_then(|object| inner.copy_of(key, object));
        let providers = inner.providers(key, record.present().map(AsRef::as_ref));
        let copies = providers.values().flat_map(|view| std::iter::once(&view.copy).chain(view.versions.values()));
        let shown = copies.filter_map(|view| view.present()).map(|copy| copy.uid());
        let serving = shown.filter(|uid| inner.is_serving(uid)).map(str::to_owned).collect();
        let about = About { key, record: record.present().map(AsRef::as_ref), from: at.as_ref(), to: next.as_ref() };
        let references = inner.references(key, &consumer);
        let snapshot = Snapshot {
            references,
            broker: inner.broker.clone(),
            namespace: inner.scope.namespace.clone(),
            copy_of,
            is_named_as_copy: inner.is_named_as_copy(&key.name),
            serving,
            record_is_watched,
            now: now(),
            consumer,
            shape,
            offers: inner.offers(&key.gvk),
            providers,
            identities: inner.identities.clone(),
            fresh_token: fresh_token(),
            versions: inner.versions(key),
            limits: inner.scope.limits,
            moves: inner.moves.counts(&key.record_name()),
            migration: inner.migration(&about, &mut needed),
            related: at.as_ref().map(|end| inner.related(key, end, &mut needed)).unwrap_or_default(),
            related_next: next.as_ref().map(|end| inner.related(key, end, &mut needed)).unwrap_or_default(),
            held: inner.held(key),
            held_is_read: inner.held_is_read(&key.consumer),
            key: key.clone(),
            record,
            memory,
        };
        (snapshot, needed)
    }

    /// The clusters that a pass over the key mostly deals with.
    pub fn clusters_of(&self, key: &WorkKey) -> Vec<ClusterName> {
        match key {
            WorkKey::Offer(target) | WorkKey::Copy(target) | WorkKey::Configuration(target) => {
                vec![target.cluster.clone()]
            }
            WorkKey::Migration(_) => {
                let inner = self.lock();
                let coordination = inner.records_at.as_ref().map(|id| id.cluster.clone());
                coordination.into_iter().chain([inner.scope.compute.cluster.clone()]).collect()
            }
            WorkKey::Object(key) => {
                let record = self.lock().records.get(&key.record_name()).cloned();
                let record = record.as_ref();
                let providers = [record.and_then(|record| record.provider()), record.and_then(|record| record.next())];
                let mut clusters = vec![key.consumer.clone()];
                for provider in providers.into_iter().flatten() {
                    if !clusters.contains(&provider) {
                        clusters.push(provider);
                    }
                }
                clusters
            }
        }
    }

    /// All inputs of one offer. What was written and denied before is for whoever knows to say.
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
            broker: inner.broker.clone(),
            denied: Denied::default(),
            written: None,
        }
    }

    /// All inputs of a copy that no record names. Whether people have been told of it is for whoever knows to say.
    pub fn sweep_snapshot(&self, target: &Target) -> OrphanSnapshot {
        let inner = self.lock();
        let kind = || What::Kind(target.gvk.clone());
        let place = place(target.namespace.as_deref(), &target.name);
        let copy = inner.store(&target.cluster, kind()).and_then(|store| store.get(&place)).cloned();
        let key = copy.as_ref().and_then(|copy| claim(target, copy));
        let record = key.as_ref().map_or(View::Absent, |key| inner.record(&key.record_name()));
        let serving = record.present().and_then(|record| {
            let at = record.target(&Placement::from(&record.spec.provider))?;
            let is_attached = inner.clusters.contains(&at.cluster);
            is_attached.then(|| inner.view(&at.cluster, What::Kind(at.gvk.clone()), at.namespace.as_deref(), &at.name))
        });
        let is_named = |copy: &Object| inner.named_by_uid(copy.uid()).is_some();
        let named = inner.copies.contains_key(&CopyId::of(target)) || copy.as_deref().is_some_and(is_named);
        let migration = key.as_ref().map_or(View::Absent, |key| inner.migration_of(&key.record_name()));
        let consumer = key
            .filter(|key| inner.clusters.contains(&key.consumer))
            .map(|key| nothing(inner.view(&key.consumer, kind(), key.namespace.as_deref(), &key.name)));
        let (broker, target, identities) = (inner.broker.clone(), target.clone(), inner.identities.clone());
        OrphanSnapshot { identities, broker, target, copy, record, named, consumer, serving, migration, told: false }
    }

    /// All inputs of one `MigrationConfiguration`.
    pub fn configuration_snapshot(&self, target: &Target) -> ConfigurationSnapshot {
        let inner = self.lock();
        let place = place(target.namespace.as_deref(), &target.name);
        let object = inner.store(&target.cluster, What::Configurations).and_then(|store| store.get(&place)).cloned();
        let known = inner.migrations.configurations.get(&target.name).map(|known| known.configuration.clone());
        let kinds = known.iter().flat_map(|known| [&known.from, &known.to]);
        let unwatched: BTreeSet<Gvk> = kinds.filter(|gvk| !inner.scope.kinds.contains(gvk)).cloned().collect();
        ConfigurationSnapshot {
            target: target.clone(),
            object,
            now: now(),
            pair: known.as_ref().map(|known| (known.from.clone(), known.to.clone())),
            unwatched: unwatched.into_iter().collect(),
            rivals: known.as_ref().map(|known| inner.rivals(known)).unwrap_or_default(),
            denied: Denied::default(),
        }
    }

    /// The kind that a `MigrationConfiguration` is for moves from.
    pub fn configured_kind(&self, target: &Target) -> Option<Gvk> {
        self.lock().migrations.configurations.get(&target.name).map(|known| known.configuration.from.clone())
    }

    /// All inputs of a Migration as history, and the watches that it needs and that have not begun.
    pub fn history_snapshot(&self, name: &str, keep: Duration) -> (RetentionSnapshot, Vec<StoreId>) {
        let mut inner = self.lock();
        let mut needed = Vec::new();
        let migration = inner.migrations.records.get(name).cloned();
        inner.forget_lost(name);
        let of = migration.clone().or_else(|| inner.migrations.lost.get(name).cloned());
        let snapshot = RetentionSnapshot {
            name: name.to_owned(),
            record: inner.record(name),
            now: now(),
            keep,
            compute: inner.compute(of.as_deref(), &mut needed),
            broker: inner.broker.clone(),
            migration,
        };
        (snapshot, needed)
    }
}
