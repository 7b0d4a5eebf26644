//! Which clusters stand behind the names: what `BrokerCluster`s say, what Assignments name, and what the keeper of clusters
//! found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use resource_broker_api::{
    broker::{BrokerCluster, BrokerClusterSpec, BrokerClusterStatus},
    names::{ClusterName, Role},
    object::Object,
};

use super::{Cache, Dirty, Inner, State, What, WorkKey, indexes::key_of_record, store::Change};
use crate::planner::model::snapshot::{Identity, Record};

/// How Assignments name one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// How many name it, as consumer, as provider or as the next one.
    pub objects: i64,
    /// How many name it with each fingerprint.
    pub fingerprints: BTreeMap<String, i64>,
}

/// What the keeper of clusters has to know before it attaches one.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The `BrokerCluster`s, by cluster.
    pub clusters: BTreeMap<ClusterName, Arc<BrokerCluster>>,
    /// Why `BrokerCluster`s cannot be kept; `None` where they can.
    pub unkept: Option<String>,
    /// How Assignments name clusters.
    pub uses: BTreeMap<ClusterName, Use>,
}

impl Cache {
    /// What is known of clusters; `None` where it has not been read yet.
    pub fn directory(&self) -> Option<Directory> {
        let inner = self.lock();
        let records = inner.records_at.as_ref()?;
        if !inner.stores.get(records).is_some_and(super::Store::is_synced) {
            return None;
        }
        let unkept = match inner.store(&records.cluster, What::Clusters)?.state() {
            State::Synced => None,
            State::NotServed(why) | State::Forbidden(why) => Some(why.clone()),
            State::Starting | State::Failing(_) => return None,
        };
        let named = inner.known.values().map(|known| (name_of(&known.spec), known.clone()));
        let uses = inner.uses.iter().map(|(name, uses)| (name.clone(), uses.clone()));
        Some(Directory { clusters: named.collect(), unkept, uses: uses.collect() })
    }

    /// Waits until [`Self::directory`] may be another one. One task waits for it.
    pub async fn directory_changed(&self) {
        self.clusters.notified().await;
    }

    /// Which clusters stand behind the names from now on.
    pub fn identify(&self, identities: BTreeMap<ClusterName, Identity>) -> Dirty {
        let mut inner = self.lock();
        let mut dirty = Dirty::default();
        let before = std::mem::replace(&mut inner.identities, Arc::new(identities));
        let after = inner.identities.clone();
        let names: BTreeSet<&ClusterName> = before.keys().chain(after.keys()).collect();
        let changed: Vec<&ClusterName> =
            names.into_iter().filter(|name| before.get(*name) != after.get(*name)).collect();
        if changed.is_empty() {
            return dirty;
        }
        // No record names the compute cluster; those that move may have a migration there.
        let is_compute = changed.contains(&&inner.scope.compute.cluster);
        let concerned = inner.records.values().filter(|record| {
            let names = clusters_of(record);
            changed.iter().any(|changed| names.contains(*changed)) || (is_compute && record.next().is_some())
        });
        dirty.now.extend(concerned.filter_map(|record| key_of_record(record)).map(WorkKey::Object));
        dirty
    }

    /// The clusters that let us list nothing of what is watched there, each with what one of them said.
    pub fn denied_everywhere(&self) -> BTreeMap<ClusterName, String> {
        let inner = self.lock();
        let mut denied: BTreeMap<ClusterName, Option<String>> = BTreeMap::new();
        for (id, store) in &inner.stores {
            let why = match store.state() {
                State::Forbidden(why) => Some(why.clone()),
                _ => None,
            };
            denied.entry(id.cluster.clone()).and_modify(|all| *all = all.take().and(why.clone())).or_insert(why);
        }
        denied.into_iter().filter_map(|(name, why)| Some((name, why?))).collect()
    }

    /// What this broker's copies are marked with, where that is known.
    pub fn me(&self) -> Option<Arc<str>> {
        self.lock().broker.clone()
    }

    /// Which clusters stand behind the names.
    pub fn identities(&self) -> Arc<BTreeMap<ClusterName, Identity>> {
        self.lock().identities.clone()
    }
}

/// The cluster that a `BrokerCluster` is about.
fn name_of(spec: &BrokerClusterSpec) -> ClusterName {
    ClusterName::new(spec.role, &spec.name)
}

/// The clusters that a record names now or next.
fn clusters_of(record: &Record) -> BTreeSet<ClusterName> {
    let consumer = ClusterName::parse(&record.spec.consumer.cluster);
    consumer.into_iter().chain(record.provider()).chain(record.next()).collect()
}

impl Inner {
    /// Why a cluster's objects are not known. Why compute is refused is for the operator, who reads Migrations; what orders show of
    /// their clusters is for the planner to decide.
    pub(super) fn not_attached(&self, cluster: &ClusterName) -> String {
        let refused = self.identities.get(cluster).filter(|_| cluster.role == Role::Compute);
        let why =
            refused.and_then(|identity| identity.refused.as_ref()).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{cluster} is not attached{why}")
    }

    pub(super) fn cluster_changed(&mut self, change: &Change) {
        if let Some(old) = &change.old {
            self.known.remove(old.name());
        }
        if let Some(new) = &change.new
            && let Some(known) = parse(new)
        {
            self.known.insert(new.name().to_owned(), Arc::new(known));
        }
        self.directory.notify_one();
    }

    pub(super) fn uses_changed(&mut self, old: Option<&Record>, new: Option<&Record>) {
        let mut changed = false;
        for (record, by) in old.map(|it| (it, -1)).into_iter().chain(new.map(|it| (it, 1))) {
            for (name, fingerprint) in uses_of(record) {
                let uses = self.uses.entry(name.clone()).or_default();
                uses.objects += by;
                if let Some(fingerprint) = fingerprint {
                    let count = uses.fingerprints.entry(fingerprint.to_owned()).or_default();
                    *count += by;
                    if *count <= 0 {
                        uses.fingerprints.remove(fingerprint);
                    }
                }
                if uses.objects <= 0 {
                    self.uses.remove(&name);
                }
                changed = true;
            }
        }
        if changed {
            self.directory.notify_one();
        }
    }
}

/// The clusters that a record names, each once, with the fingerprint.
fn uses_of(record: &Record) -> BTreeMap<ClusterName, Option<&str>> {
    let spec = &record.spec;
    let consumer = (ClusterName::parse(&spec.consumer.cluster), spec.consumer.fingerprint.as_deref());
    let places = [Some(&spec.provider), spec.next.as_ref()].into_iter().flatten();
    let places = places.map(|place| (ClusterName::parse(&place.cluster), place.fingerprint.as_deref()));
    std::iter::once(consumer).chain(places).filter_map(|(name, fingerprint)| Some((name?, fingerprint))).collect()
}

fn parse(object: &Object) -> Option<BrokerCluster> {
    let spec: BrokerClusterSpec = serde_json::from_str(object.fields.get("spec")?.get()).ok()?;
    let status: Option<BrokerClusterStatus> =
        object.fields.get("status").and_then(|status| serde_json::from_str(status.get()).ok());
    // Nobody can attach coordination under another name.
    if spec.role == Role::Coordination || spec.name.is_empty() {
        return None;
    }
    let mut known = BrokerCluster::new(object.name(), spec);
    known.metadata.uid = Some(object.uid().to_owned());
    known.metadata.generation = object.meta.generation;
    known.metadata.resource_version = Some(object.resource_version().to_owned());
    known.metadata.deletion_timestamp.clone_from(&object.meta.deletion_timestamp);
    known.status = status;
    Some(known)
}
