//! Everything that is known of all clusters: a [`Store`] for each watch, and the indexes that map a change to the keys
//! it concerns. The only reader of it is [`Cache::snapshot`] and its like; nothing here sends a request.

mod changes;
mod claims;
mod identities;
mod indexes;
mod migration_views;
mod migrations;
mod moves;
mod named;
mod needs;
pub mod own;
mod plugins;
mod references;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use resource_broker_api::{
    broker::{BrokerCluster, GroupVersionResource},
    keys,
    names::{ClusterName, Gvk},
    object::Object,
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    planner::model::snapshot::{Identity, Key, Limits, Offer, Record, Target},
    resource::Resource,
};

pub use crate::watch::State;
pub use changes::{COUNT_DELAY, Dirty};
pub use identities::{Directory, Use};
pub use indexes::{accept_api, is_named};
pub use migrations::{Compute, MirrorName};
pub use moves::Reservation;
pub use plugins::{PluginsView, Unread};
use {migrations::Migrations, moves::Moves, references::Referrers, store::Store};

/// What a watch shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// The Assignments of the broker's namespace.
    Records,
    /// A provider's AcceptAPIs.
    Offers,
    /// The Plugins of the broker's namespace.
    Plugins,
    /// The Migrations of the broker's namespace.
    Migrations,
    /// The MigrationConfigurations of the broker's namespace.
    Configurations,
    /// The BrokerClusters of the broker's namespace.
    Clusters,
    /// Metadata of the config maps of the broker's namespace, which may hold plugins' components.
    Components,
    /// A brokered kind: consumer objects in a consumer, copies in a provider.
    Kind(Gvk),
    /// Metadata of a related kind at a provider.
    Sources(Gvk),
    /// Metadata of our copies of a related kind at a consumer.
    Related(Gvk),
    /// What migrations' stages have deployed of a kind, in the compute cluster.
    Stage(Gvk),
    /// Metadata of what migrations have mirrored of a related kind, in the compute cluster.
    Mirrors(Gvk),
}

impl What {
    /// Whether nothing is kept but what shows a change.
    fn is_slim(&self) -> bool {
        matches!(self, Self::Sources(_) | Self::Components)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records => f.write_str("Assignments"),
            Self::Offers => f.write_str("AcceptAPIs"),
            Self::Plugins => f.write_str("Plugins"),
            Self::Components => f.write_str("metadata of plugins' config maps"),
            Self::Kind(gvk) => gvk.fmt(f),
            Self::Sources(gvk) => write!(f, "metadata of {gvk}"),
            Self::Related(gvk) => write!(f, "copies of {gvk}"),
            Self::Migrations => f.write_str("Migrations"),
            Self::Configurations => f.write_str("MigrationConfigurations"),
            Self::Clusters => f.write_str("BrokerClusters"),
            Self::Stage(gvk) => write!(f, "{gvk} of migrations' stages"),
            Self::Mirrors(gvk) => write!(f, "{gvk} mirrored for migrations"),
        }
    }
}

/// One watch's store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId {
    /// The cluster.
    pub cluster: ClusterName,
    /// What of it.
    pub what: What,
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cluster, self.what)
    }
}

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkKey {
    /// A consumer object.
    Object(Key),
    /// An AcceptAPI.
    Offer(Target),
    /// A copy that no record names.
    Copy(Target),
    /// A MigrationConfiguration.
    Configuration(Target),
    /// The Migration of this name, as history.
    Migration(String),
}

impl fmt::Display for WorkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => key.fmt(f),
            Self::Offer(target) | Self::Copy(target) | Self::Configuration(target) => target.fmt(f),
            Self::Migration(name) => write!(f, "Migration {name}"),
        }
    }
}

/// See the module.
pub struct Cache {
    inner: Mutex<Inner>,
    /// A store changed its state.
    settled: Notify,
    /// What is known of clusters changed: BrokerClusters, or which clusters Assignments name.
    clusters: Arc<Notify>,
    /// A Plugin or a config map changed, or whether they can be read. One task waits for it.
    plugins: Arc<Notify>,
}

/// What never changes while the process runs.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The kinds to broker.
    pub kinds: Vec<Gvk>,
    /// The kinds of related resources that may be copied.
    pub related: Vec<Gvk>,
    /// The broker's own namespace in the coordination cluster.
    pub namespace: String,
    /// Where migrations' stages run.
    pub compute: Compute,
    /// What holds for moves.
    pub limits: Limits,
    /// How much of one kind is kept of one cluster, in bytes.
    pub most_of_a_kind: usize,
}

struct Inner {
    scope: Scope,
    /// See [`Cache::known_as`].
    broker: Option<Arc<str>>,
    /// See [`Cache::plugins`].
    plugins: Arc<Notify>,
    /// See [`Cache::clusters`].
    directory: Arc<Notify>,
    clusters: BTreeSet<ClusterName>,
    /// Which clusters stand behind the names that are known, attached or refused.
    identities: Arc<BTreeMap<ClusterName, Identity>>,
    /// The BrokerClusters, by name.
    known: HashMap<String, Arc<BrokerCluster>>,
    /// How many Assignments name a cluster, and with which fingerprints.
    uses: HashMap<ClusterName, Use>,
    stores: HashMap<StoreId, Store>,
    /// Whether most of what records name at a consumer is not there, by kind, and when that was counted.
    disappearances: HashMap<(ClusterName, Gvk), (Instant, Option<String>)>,
    /// Where the Assignments are watched.
    records_at: Option<StoreId>,
    records: HashMap<String, Arc<Record>>,
    /// Copies that records name, whatever their version, to the consumer object.
    copies: HashMap<CopyId, Key>,
    /// The records that name a copy by this UID, for whatever reason.
    uids: HashMap<String, BTreeSet<String>>,
    /// Objects that another broker serves, with its id.
    others: BTreeMap<Key, String>,
    moves: Moves,
    /// Consumer objects that refer to each other.
    referrers: Referrers,
    migrations: Migrations,
    offers: HashMap<GroupVersionResource, BTreeMap<OfferId, Arc<Offer>>>,
    counts: HashMap<OfferId, Count>,
    /// Related resources at providers that copies declare, and their places at the consumers, to the consumer objects.
    declared: HashMap<Target, BTreeSet<Key>>,
    declares: HashMap<Key, Vec<Target>>,
    /// Which copies declare which related resources at their providers.
    claims: claims::Index,
    /// Our copies of related resources, by consumer and record.
    held: HashMap<(ClusterName, String), BTreeSet<HeldId>>,
    /// Consumers by what the names of their copies begin with.
    prefixes: HashMap<String, ClusterName>,
    /// The plural of each watched kind, from whichever cluster was the first to say.
    plurals: HashMap<Gvk, String>,
}

/// A copy in any version of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CopyId(Target);

impl CopyId {
    fn of(target: &Target) -> Self {
        let gvk = Gvk { version: String::new(), ..target.gvk.clone() };
        Self(Target { gvk, ..target.clone() })
    }
}

/// Kind, namespace and name.
type HeldId = (Gvk, String, String);

/// Provider, namespace and name.
type OfferId = (ClusterName, String, String);

#[derive(Debug, Default)]
struct Count {
    objects: i64,
    /// Since when the number has not been written.
    changed: Option<Instant>,
}

impl Cache {
    /// An empty cache.
    pub fn new(scope: Scope) -> Self {
        let plugins = Arc::<Notify>::default();
        let clusters = Arc::<Notify>::default();
        let inner = Inner {
            scope,
            broker: None,
            plugins: plugins.clone(),
            directory: clusters.clone(),
            clusters: BTreeSet::new(),
            identities: Arc::default(),
            known: HashMap::new(),
            uses: HashMap::new(),
            stores: HashMap::new(),
            disappearances: HashMap::new(),
            records_at: None,
            records: HashMap::new(),
            copies: HashMap::new(),
            uids: HashMap::new(),
            others: BTreeMap::new(),
            moves: Moves::default(),
            referrers: Referrers::default(),
            migrations: Migrations::default(),
            offers: HashMap::new(),
            counts: HashMap::new(),
            declared: HashMap::new(),
            declares: HashMap::new(),
            claims: claims::Index::default(),
            held: HashMap::new(),
            prefixes: HashMap::new(),
            plurals: HashMap::new(),
        };
        Self { inner: Mutex::new(inner), settled: Notify::new(), clusters, plugins }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// From now on copies are marked as this broker's.
    pub fn known_as(&self, broker: &str) {
        self.lock().broker = Some(broker.into());
    }

    /// How a cluster serves a kind, where a watch has found out.
    pub fn resource(&self, cluster: &ClusterName, gvk: &Gvk) -> Option<Resource> {
        let inner = self.lock();
        [What::Kind, What::Sources, What::Related, What::Mirrors, What::Stage]
            .map(|what| what(gvk.clone()))
            .into_iter()
            .find_map(|what| inner.stores.get(&StoreId { cluster: cluster.clone(), what })?.resource.clone())
    }

    /// A kind's plural, as whoever serves it was the first to say.
    pub fn plural(&self, gvk: &Gvk) -> Option<String> {
        self.lock().plurals.get(gvk).cloned()
    }

    /// Whether a store shows what its cluster holds.
    pub fn is_synced(&self, id: &StoreId) -> bool {
        self.lock().stores.get(id).is_some_and(Store::is_synced)
    }

    /// About how many bytes the objects of a store take in memory.
    pub fn weight(&self, id: &StoreId) -> usize {
        self.lock().stores.get(id).map_or(0, Store::weight)
    }

    /// Whether a store's cluster has answered that it does not serve the kind.
    pub fn is_unserved(&self, id: &StoreId) -> bool {
        self.lock().stores.get(id).is_some_and(|store| matches!(store.state(), State::NotServed(_)))
    }

    /// Every store with what is wrong with it: it cannot be believed, or has not been followed for a while. Ordered by name.
    pub fn states(&self) -> Vec<(StoreId, Option<String>)> {
        let inner = self.lock();
        let mut states: Vec<_> = inner.stores.iter().map(|(id, store)| (id.clone(), store.complaint())).collect();
        states.sort();
        states
    }

    /// The newest version that a store has seen, where all that it has seen is of one history.
    pub fn newest(&self, id: &StoreId) -> Option<u64> {
        self.lock().stores.get(id).and_then(Store::newest)
    }

    /// Whether an object that a cluster shows belies the store, which has seen everything up to `version`.
    pub fn is_belied_by(&self, id: &StoreId, object: &Object, version: u64) -> bool {
        self.lock().stores.get(id).is_some_and(|store| store.is_belied_by(object, version))
    }

    /// The names of a store's objects, with their versions.
    #[cfg(test)]
    pub(crate) fn shown(&self, id: &StoreId) -> BTreeMap<String, u64> {
        let inner = self.lock();
        let objects = inner.stores.get(id).into_iter().flat_map(Store::iter);
        objects.map(|((_, name), object)| (name.clone(), object.revision())).collect()
    }

    /// What a store's watch is asked by to make sure that the cluster is still in the state that the store shows.
    pub fn doubt(&self, id: &StoreId) -> Arc<Notify> {
        self.lock().stores.get(id).map(|store| store.doubt.clone()).unwrap_or_default()
    }

    /// A store is believed and not followed now, for this reason; `None`: it is followed.
    pub fn unfollowed(&self, id: &StoreId, why: Option<String>) {
        if let Some(store) = self.lock().stores.get_mut(id) {
            store.unfollowed(why);
        }
    }

    /// Waits until no store is in its first list any more.
    pub async fn settled(&self) {
        loop {
            let changed = self.settled.notified();
            let starting = {
                let inner = self.lock();
                inner.stores.values().any(|store| *store.state() == State::Starting)
            };
            if !starting {
                return;
            }
            changed.await;
        }
    }
}

impl Inner {
    fn store(&self, cluster: &ClusterName, what: What) -> Option<&Store> {
        self.stores.get(&StoreId { cluster: cluster.clone(), what })
    }
}

/// The metadata that related resources at providers are kept with: enough to see a change, and whose they are.
fn slim(mut object: Object) -> Object {
    let mut slim = Object::default();
    slim.meta.owner_references = object.meta.owner_references.take();
    let shared = object.annotation(keys::SHARED).map(|shared| (keys::SHARED.to_owned(), shared.to_owned()));
    slim.meta.annotations = shared.map(|shared| BTreeMap::from([shared]));
    slim.meta.name = object.meta.name;
    slim.meta.namespace = object.meta.namespace;
    slim.meta.uid = object.meta.uid;
    slim.meta.resource_version = object.meta.resource_version;
    slim
}
