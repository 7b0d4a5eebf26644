//! Everything that one decision may look at. Built from the caches, so that the same snapshot gives the same plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::{Copies, MigrationSpec, MigrationStatus},
    keys,
    names::{ClusterName, Gvk},
    object::{Object, Shape},
};

use crate::model::{claimed::Claims, copies::is_ours, filters::Filters, referred::References};
pub use crate::model::{
    key::{Key, Location, Target},
    record::{Placement, Record},
    view::{View, Watched},
};

/// One AcceptAPI for the key's resource.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The provider cluster that published it.
    pub provider: ClusterName,
    /// Its namespace there.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its filters.
    pub filters: Filters,
    /// How copies that are made under it are called, and where they are put.
    pub copies: Copies,
    /// Namespaces besides the copy's own where related resources may be.
    pub related_namespaces: Vec<String>,
}

/// Which cluster stands behind a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's fingerprint; `None` where none can be read.
    pub fingerprint: Option<String>,
    /// Why the cluster, although a kubeconfig names it, is not attached: another one stands under its name, or it is attached
    /// under another name.
    pub refused: Option<String>,
    /// The cluster behind the name is another one than the recorded one. `refused` says more.
    pub changed: bool,
    /// Fingerprints in records that are as good as `fingerprint`: an administrator has accepted that this cluster takes the
    /// place of those.
    pub accepted: Vec<String>,
}

/// What is known of one provider that is attached.
#[derive(Clone, Debug)]
pub struct ProviderView {
    /// Whether its offers are known: `Absent` where it does not know what an offer is, and so has none.
    pub offers: View<()>,
    /// The copy of this key's object there, under the name and in the namespace that copies have by default.
    pub copy: View<Arc<Object>>,
    /// The same in the kind's other watched versions.
    pub versions: BTreeMap<String, View<Arc<Object>>>,
    /// What is there under other names that a copy may have, or that the record names. What is not listed is not there, as
    /// far as the kind is known in its version.
    pub others: BTreeMap<Location, View<Arc<Object>>>,
}

/// The key's object in another watched version of its kind.
#[derive(Clone, Debug)]
pub struct VersionView {
    /// The version.
    pub version: String,
    /// The consumer object, as its cluster converts it.
    pub consumer: View<Arc<Object>>,
    /// The offers for that version, ordered by provider, namespace and name.
    pub offers: Vec<Arc<Offer>>,
}

/// A related resource that the copy's status declares, with both ends.
#[derive(Clone, Debug)]
pub struct RelatedView {
    /// What the status says.
    pub declared: crate::model::declared::Declared,
    /// Whether its kind may be copied.
    pub allowed: bool,
    /// The resource at the provider (metadata only).
    pub source: Watched,
    /// Its copy at the consumer (metadata only). The watch there selects the broker's own copies: `Absent` may still
    /// be an object of somebody else.
    pub target: Watched,
    /// What copies at the provider have to do with it.
    pub claims: Claims,
}

/// What the process remembers of a key between passes. Losing it costs at most a repeated request that changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The last apply of the copy at each provider.
    pub applied: BTreeMap<ClusterName, Applied>,
    /// The last write of the consumer's status.
    pub status: Option<Written>,
    /// The resourceVersions that our writes of related resources gave, by kind and name at the consumer.
    pub related: BTreeMap<(Gvk, String), String>,
    /// Time since sources of related resources were first seen missing, by kind and name at the consumer.
    pub missing: BTreeMap<(Gvk, String), Duration>,
    /// The UID of the copy that this process applied last at each provider, as the answer to that had it.
    pub made: BTreeMap<ClusterName, String>,
    /// Time since this process placed the object.
    pub since_placed: Option<Duration>,
    /// The UIDs of copies whose end was seen in an API server's own answer.
    pub gone: BTreeSet<String>,
    /// How the providers that the object is at, or moves to, answered lately.
    pub judged: BTreeMap<ClusterName, Judged>,
    /// Time since the next copy was first seen fit to take over but for related resources that the old one declares.
    pub fit: Option<Duration>,
    /// The providers that refused the object's first copy.
    pub refused_copies: BTreeMap<ClusterName, RefusedCopy>,
    /// The types of conditions that the provider was seen to report where others keep conditions beside them.
    pub reported: BTreeSet<String>,
    /// What went wrong in the last pass.
    pub failure: Option<Failure>,
}

/// How a provider's offers judged the object lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// The object's generation that they accepted last; `None` where they have not since this process began.
    pub accepted: Option<i64>,
    /// The one that they refused last; the same.
    pub refused: Option<i64>,
    /// For how long they have refused it without a break.
    pub refused_for: Option<Duration>,
    /// For how long they have accepted it without a break. Counted while the object moves.
    pub accepted_for: Option<Duration>,
}

/// What the broker was told about moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For how long a provider must refuse an object that has not changed before it moves, and accept it again before it does
    /// not move after all.
    pub settle: Duration,
    /// How many objects may move at once from or to one provider.
    pub moves_per_provider: usize,
}

/// The objects that move from or to one provider now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// How many they are.
    pub count: usize,
    /// The names of their Assignments: some of them, in order.
    pub names: Vec<String>,
}

/// A Migration as the planner needs it.
#[derive(Clone, Debug)]
pub struct MigrationRecord {
    /// Its name, which is the Assignment's.
    pub name: String,
    /// The broker's namespace, in which it is.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Its `metadata.resourceVersion`.
    pub resource_version: String,
    /// Its `metadata.generation`.
    pub generation: Option<i64>,
    /// When somebody deleted it, where something holds it.
    pub deleted_at: Option<Time>,
    /// What holds it.
    pub finalizers: Vec<String>,
    /// Its annotations under the broker's prefix: people's orders.
    pub orders: BTreeMap<String, String>,
    /// Between which copies.
    pub spec: MigrationSpec,
    /// How far it is.
    pub status: MigrationStatus,
}

impl MigrationRecord {
    /// Whether it is on its way out: nothing of it goes on.
    pub fn is_deleting(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// Whether the broker holds it, since something of it may be in the compute cluster.
    pub fn is_held(&self) -> bool {
        self.finalizers.iter().any(|held| held == keys::MIGRATION_FINALIZER)
    }
}

/// A MigrationConfiguration for the object's kind.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// The kind that is left.
    pub from: Gvk,
    /// The kind that is gone to.
    pub to: Gvk,
    /// Its `spec` as JSON.
    pub spec: String,
    /// Why the API's template component refuses it; `None`: it does not, or has not been asked yet.
    pub invalid: Option<String>,
}

/// What is known of the object's migration, beside its copies.
#[derive(Clone, Debug)]
pub struct MigrationView {
    /// The Migration of the object's Assignment.
    pub object: View<Arc<MigrationRecord>>,
    /// The configurations for the object's kind, in any of its versions, ordered by name.
    pub configurations: View<Vec<Arc<Configuration>>>,
    /// Whether a Plugin makes the stages of the object's API, with or without a configuration.
    pub plugin: bool,
    /// What the compute cluster holds of it.
    pub compute: ComputeView,
}

/// What the compute cluster holds of one migration.
#[derive(Clone, Debug)]
pub struct ComputeView {
    /// The compute cluster.
    pub cluster: ClusterName,
    /// The one namespace of it that the broker uses.
    pub namespace: String,
    /// The kinds that the Migration's status says it has deployed.
    pub kinds: BTreeMap<Gvk, KindView>,
    /// Stage resources with the migration's id, of these kinds.
    pub deployed: Vec<(Gvk, Arc<Object>)>,
    /// Mirrored related resources with the migration's id (metadata only).
    pub mirrored: Vec<(Gvk, Arc<Object>)>,
    /// Whether `mirrored` can be believed.
    pub mirrored_is_read: View<()>,
    /// The related resources of both copies that are to be mirrored.
    pub mirrors: Vec<MirrorView>,
}

/// Whether stage resources of a kind can be deployed and seen.
#[derive(Clone, Debug)]
pub struct KindView {
    /// Whether they can be seen.
    pub read: View<()>,
    /// Whether objects of the kind live in namespaces; `None`: not known yet.
    pub namespaced: Option<bool>,
}

/// Which copy of the two between which an object moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The one that is left.
    From,
    /// The one that is gone to.
    To,
}

impl Side {
    /// What the names of mirrored resources begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::From => "from-",
            Self::To => "to-",
        }
    }
}

/// One related resource that is to be seen in the compute cluster.
#[derive(Clone, Debug)]
pub struct MirrorView {
    /// Whose it is.
    pub side: Side,
    /// What the copy's status says.
    pub declared: crate::model::declared::Declared,
    /// Whether its kind may be copied.
    pub allowed: bool,
    /// The resource at the provider (metadata only).
    pub source: Watched,
    /// What is under its name in the compute cluster, of any migration (metadata only).
    pub there: View<Arc<Object>>,
    /// What copies at the provider have to do with it.
    pub claims: Claims,
    /// Mirrors of other kinds under the same name, of any migration (metadata only).
    pub rivals: Vec<(Gvk, Arc<Object>)>,
}

/// An apply and what the API server made of it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Digest of what we asked for.
    pub asked: String,
    /// Digest of the content that resulted.
    pub got: String,
    /// How often in a row the same was asked for.
    pub times: u32,
    /// Time since then.
    pub ago: Duration,
}

/// A write and what the API server made of it.
#[derive(Clone, Debug)]
pub struct Written {
    /// Digest of what we asked for.
    pub asked: String,
    /// Digest of what resulted.
    pub got: String,
    /// How often in a row the same was asked for.
    pub times: u32,
    /// Time since then.
    pub ago: Duration,
}

/// A provider's API server refused an object's first copy as invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCopy {
    /// The object's generation.
    pub generation: Option<i64>,
    /// What it said.
    pub message: String,
}

/// Which part of a pass failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Writing the record, or the Migration.
    Record,
    /// What a migration has in the compute cluster.
    Migration,
    /// Metadata of the consumer object.
    Decorate,
    /// The copy at the provider.
    Copy,
    /// The status at the consumer.
    Status,
    /// A related resource.
    Related,
    /// Taking things away.
    Delete,
}

/// What went wrong in the last pass.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The part of the pass.
    pub part: Part,
    /// Whether the API server refused the content (422, or its schema does not have it), rather than the moment.
    pub invalid: bool,
    /// A condition's reason.
    pub reason: &'static str,
    /// Names the cluster, what was tried, and what came of it.
    pub message: String,
}

/// All inputs of one consumer object.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What this broker marks its copies with, where it could find that out.
    pub broker: Option<Arc<str>>,
    /// Which object.
    pub key: Key,
    /// The time, for conditions.
    pub now: Time,
    /// The consumer object.
    pub consumer: View<Arc<Object>>,
    /// What the consumer cluster serves of its kind.
    pub shape: Shape,
    /// Its Assignment.
    pub record: View<Arc<Record>>,
    /// The broker's own namespace in the coordination cluster, for commands that people are given.
    pub namespace: String,
    /// The record that names the consumer object as its copy: by the UID, or by a place in a cluster that is this one.
    pub copy_of: Option<String>,
    /// Whether the consumer object's name begins as those of a known consumer's copies do.
    pub is_named_as_copy: bool,
    /// Of the copies that this snapshot shows, the UIDs of those that some record names for the use of an object that lives.
    pub serving: BTreeSet<String>,
    /// Whether the version that the record names is watched too. If not, the key's version takes its place.
    pub record_is_watched: bool,
    /// All offers for its resource, ordered by provider, namespace and name.
    pub offers: Vec<Arc<Offer>>,
    /// The attached providers.
    pub providers: BTreeMap<ClusterName, ProviderView>,
    /// Which clusters stand behind the names that are known, attached or refused.
    pub identities: Arc<BTreeMap<ClusterName, Identity>>,
    /// Random text that nobody has seen before: the token of a record that is made in this pass.
    pub fresh_token: String,
    /// The object in the other watched versions of its kind.
    pub versions: Vec<VersionView>,
    /// What the broker was told about moves.
    pub limits: Limits,
    /// Objects that move from or to each provider now. This one is not among them.
    pub moves: BTreeMap<ClusterName, Moves>,
    /// What the object refers to, and what refers to it.
    pub references: References,
    /// The object's migration.
    pub migration: MigrationView,
    /// Related resources that the copy's status declares.
    pub related: Vec<RelatedView>,
    /// Related resources that the next copy's status declares.
    pub related_next: Vec<RelatedView>,
    /// Every copy of a related resource that the consumer cluster holds for this record.
    pub held: Vec<(Gvk, Arc<Object>)>,
    /// Whether `held` can be believed: false while the consumer's related resources are being listed. Where they may not be
    /// listed at all there is nothing to wait for.
    pub held_is_read: bool,
    /// What the process remembers.
    pub memory: Memory,
}

impl Snapshot {
    /// The copy at the provider that the record names.
    pub fn copy(&self) -> Option<&Arc<Object>> {
        let record = self.record.present()?;
        self.view(&Placement::from(&record.spec.provider))?.present()
    }

    /// The copy at the provider that the object is moving to.
    pub fn next_copy(&self) -> Option<&Arc<Object>> {
        let next = self.record.present()?.spec.next.as_ref()?;
        self.view(&Placement::from(next))?.present()
    }

    /// The same, where it is this object's: something else may stand under its name.
    pub fn own_copy(&self) -> Option<&Arc<Object>> {
        let record = self.record.present()?;
        let provider = record.provider()?;
        self.copy().filter(|copy| self.is_ours(copy, &self.key, &provider, record.copy_uid()))
    }

    /// The copy at the provider that the object is moving to, where it is this object's.
    pub fn own_next_copy(&self) -> Option<&Arc<Object>> {
        let record = self.record.present()?;
        let next = record.next()?;
        self.next_copy().filter(|copy| self.is_ours(copy, &self.key, &next, record.next_uid()))
    }

    /// Whether a record names a copy for the use of an object that lives.
    pub fn is_serving(&self, uid: &str) -> bool {
        self.serving.contains(uid)
    }

    /// Whether what stands at a place for this object's copy is that copy. `recorded` is the UID that the record knows of it.
    pub fn is_ours(&self, copy: &Object, key: &Key, provider: &ClusterName, recorded: Option<&str>) -> bool {
        let made = self.memory.made.get(provider).map(String::as_str);
        made == Some(copy.uid()) || is_ours(copy, key, recorded, self.broker.as_deref())
    }

    /// What is known of the copy at a place; `None` where its cluster is not attached.
    pub fn view(&self, placement: &Placement<'_>) -> Option<&View<Arc<Object>>> {
        let provider = self.providers.get(&ClusterName::parse(placement.cluster)?)?;
        let version = placement.version.unwrap_or(&self.key.gvk.version);
        let default = if version == self.key.gvk.version {
            &provider.copy
        } else {
            provider.versions.get(version).unwrap_or(&UNWATCHED)
        };
        let is_default = placement.namespace == self.key.namespace.as_deref() && placement.name == self.key.copy_name();
        if is_default {
            return Some(default);
        }
        let (namespace, name) = (placement.namespace.map(str::to_owned), placement.name.to_owned());
        match provider.others.get(&Location { version: version.to_owned(), namespace, name }) {
            Some(view) => Some(view),
            None if default.is_known() => Some(&ABSENT),
            None => Some(default),
        }
    }

    /// The same of a copy in one of the providers.
    pub fn view_of(&self, target: &Target) -> Option<&View<Arc<Object>>> {
        self.view(&Placement {
            cluster: &target.cluster.to_string(),
            version: Some(&target.gvk.version),
            namespace: target.namespace.as_deref(),
            name: &target.name,
        })
    }

    /// The key in the version of a place.
    pub fn key_at(&self, placement: &Placement<'_>) -> Key {
        placement.version.map_or_else(|| self.key.clone(), |version| self.key.in_version(version))
    }

    /// The consumer object in a version of its kind; `None` where that is not watched, or not read.
    pub fn consumer_in(&self, version: Option<&str>) -> Option<&Arc<Object>> {
        match version.filter(|version| *version != self.key.gvk.version) {
            None => self.consumer.present(),
            Some(version) => self.versions.iter().find(|view| view.version == version)?.consumer.present(),
        }
    }
}

/// A place where nothing is.
static ABSENT: View<Arc<Object>> = View::Absent;

/// A copy in a version that the broker does not watch.
static UNWATCHED: LazyLock<View<Arc<Object>>> = LazyLock::new(|| View::Unknown {
    why: "its version is not watched any more: have the broker's operator add it with --watch-kind".into(),
    failing: true,
});

/// How long a cluster may be unread before objects tell of it: then they are looked at again. The host counts ten
/// seconds.
pub(crate) const UNREAD: Duration = Duration::from_secs(11);
