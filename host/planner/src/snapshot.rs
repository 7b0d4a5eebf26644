//! Everything that one decision may look at. Built from the caches, so that the same snapshot gives the same plan.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::{AssignmentSpec, AssignmentStatus},
    names::{ClusterName, Gvk, assignment_name, copy_name},
    object::Object,
};

/// One consumer object: the unit of work. At most one pass runs for a key at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The consumer cluster.
    pub consumer: ClusterName,
    /// The object's kind, in the version in which it is watched.
    pub gvk: Gvk,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The name of this object's Assignment.
    pub fn record_name(&self) -> String {
        assignment_name(&self.consumer, &self.gvk.group, &self.gvk.kind, self.namespace.as_deref(), &self.name)
    }

    /// The name of this object's copy, at any provider.
    pub fn copy_name(&self) -> String {
        copy_name(&self.consumer, &self.name)
    }

    /// The consumer object itself.
    pub fn target(&self) -> Target {
        Target::new(self.consumer.clone(), self.gvk.clone(), self.namespace.clone(), self.name.clone())
    }

    /// This object's copy at `provider`.
    pub fn copy_at(&self, provider: &ClusterName) -> Target {
        Target::new(provider.clone(), self.gvk.clone(), self.namespace.clone(), self.copy_name())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target().fmt(f)
    }
}

/// One object in one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Where it is.
    pub cluster: ClusterName,
    /// Its kind.
    pub gvk: Gvk,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Target {
    /// An object in a cluster.
    pub fn new(cluster: ClusterName, gvk: Gvk, namespace: Option<String>, name: String) -> Self {
        Self { cluster, gvk, namespace, name }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.gvk.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{} in {}", self.name, self.cluster)
    }
}

/// What a cache knows of an object. "Not there" is a fact only where the cache has synced.
#[derive(Clone, Debug)]
pub enum View<T> {
    /// The cache has not synced.
    Unknown {
        /// Why, for a condition: "the Certificate CRD is not installed", "connection refused", …
        why: String,
        /// Whether this has gone on long enough to be told; start-up is not a failure.
        failing: bool,
    },
    /// It is not there.
    Absent,
    /// It is there.
    Present(T),
}

impl<T> View<T> {
    /// The object, where it is there.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unknown { .. } | Self::Absent => None,
        }
    }

    /// Whether the cache has synced.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

/// An Assignment as the planner needs it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The Assignment's name.
    pub name: String,
    /// The Assignment's UID.
    pub uid: String,
    /// Its `metadata.generation`, for `observedGeneration`.
    pub generation: Option<i64>,
    /// Whether somebody deleted the Assignment itself.
    pub deleting: bool,
    /// What it records.
    pub spec: AssignmentSpec,
    /// What it last reported.
    pub status: AssignmentStatus,
}

impl Record {
    /// The provider that holds the object.
    pub fn provider(&self) -> Option<ClusterName> {
        ClusterName::parse(&self.spec.provider.cluster)
    }
}

/// One AcceptAPI for the key's resource.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The provider cluster that published it.
    pub provider: ClusterName,
    /// Its namespace there.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its filters, each as JSON text.
    pub filters: Vec<String>,
}

/// What is known of one provider that is attached.
#[derive(Clone, Debug)]
pub struct ProviderView {
    /// Whether its offers are known: `Absent` where it does not know what an offer is, and so has none.
    pub offers: View<()>,
    /// The copy of this key's object there.
    pub copy: View<Arc<Object>>,
}

/// A related resource that the copy's status declares, with both ends.
#[derive(Clone, Debug)]
pub struct RelatedView {
    /// What the status says.
    pub declared: crate::related::Declared,
    /// Whether its kind may be copied.
    pub allowed: bool,
    /// The resource at the provider (metadata only).
    pub source: Watched,
    /// Its copy at the consumer (metadata only). The watch there selects the broker's own copies: `Absent` may still
    /// be an object of somebody else.
    pub target: Watched,
}

/// What is known of an object of a kind that may not be watched.
#[derive(Clone, Debug)]
pub enum Watched {
    /// A watch holds it, or will soon.
    View(View<Arc<Object>>),
    /// The kind may not be listed or watched there: it takes a single read to know.
    Unwatchable,
}

/// What the consumer cluster serves of the key's kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// It has the status subresource.
    pub status: bool,
    /// Its schema has `status.conditions`.
    pub conditions: bool,
}

/// What the process remembers of a key between passes. Losing it costs at most a repeated request that changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The last apply of the copy.
    pub applied: Option<Applied>,
    /// The last write of the consumer's status.
    pub status: Option<Written>,
    /// The resourceVersions that our writes of related resources gave, by kind and name at the consumer.
    pub related: BTreeMap<(Gvk, String), String>,
    /// Time since this process placed the object.
    pub since_placed: Option<Duration>,
    /// The UID of a copy whose end was seen in an API server's own answer.
    pub gone: Option<String>,
    /// What went wrong in the last pass.
    pub failure: Option<Failure>,
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
}

/// Which part of a pass failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Writing the record.
    Record,
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
    /// Whether the API server refused the content (422), rather than the moment.
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
    /// Whether the version that the record names is watched too. If not, the key's version takes its place.
    pub record_is_watched: bool,
    /// All offers for its resource, ordered by provider, namespace and name.
    pub offers: Vec<Arc<Offer>>,
    /// The attached providers.
    pub providers: BTreeMap<ClusterName, ProviderView>,
    /// Related resources that the copy's status declares.
    pub related: Vec<RelatedView>,
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
        let provider = self.record.present()?.provider()?;
        self.providers.get(&provider)?.copy.present()
    }
}
