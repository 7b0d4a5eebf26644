//! What is asked of plugins and what they answer, in plain types.

use std::fmt;
use std::sync::Arc;

/// An API whose objects are brokered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiName {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its resource, plural and in lower case.
    pub resource: String,
}

impl fmt::Display for ApiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

/// What a plugin can do for an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Decides whether a provider takes an object.
    AcceptFilter,
    /// Shows a provider's status to the consumer.
    StatusTransformer,
    /// Moves an object between providers.
    MigrationTemplate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::AcceptFilter, Self::StatusTransformer, Self::MigrationTemplate];

    /// The role's name, which is its interface's.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptFilter => "accept-filter",
            Self::StatusTransformer => "status-transformer",
            Self::MigrationTemplate => "migration-template",
        }
    }
}

/// One provider's offer for an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The provider's cluster.
    pub provider: String,
    /// The offer's object, as `namespace/name`.
    pub name: String,
    /// Its filters in their order, each one as JSON. Shared by all calls that wait for their turn.
    pub filters: Arc<[String]>,
}

/// One rule that an object breaks; a plugin's words, bounded and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The filter's key.
    pub filter: String,
    /// The rule's name within the filter.
    pub rule: String,
    /// What the rule asks for.
    pub expected: String,
    /// What the object has; `None` if it has nothing there.
    pub found: Option<String>,
    /// One sentence for the person who made the object.
    pub message: String,
}

/// An offer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider takes the object.
    Accepted,
    /// It does not, for at least one reason.
    Refused(Vec<Violation>),
}

/// Where a copy and its origin live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyContext {
    /// What names at the provider begin with, dash included, as in `0123456789ab-`.
    pub prefix: String,
    /// The namespace of the consumer's object.
    pub consumer_namespace: String,
    /// The provider's cluster.
    pub provider: String,
}

/// What a migration is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationContext {
    /// The migration's id, which begins the name of everything that its stages deploy.
    pub id: String,
    /// The compute cluster's namespace.
    pub namespace: String,
    /// `spec` of the MigrationConfiguration as JSON.
    pub configuration: String,
    /// Where the object is.
    pub old: Endpoint,
    /// Where it goes.
    pub new: Endpoint,
}

/// One end of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The provider's cluster.
    pub provider: String,
    /// The copy's `group/version`, or `version` for the core group.
    pub api_version: String,
    /// The copy's kind.
    pub kind: String,
    /// The copy's namespace.
    pub namespace: String,
    /// The copy's name.
    pub name: String,
    /// Its related resources that are mirrored into the compute cluster.
    pub related: Vec<Mirrored>,
}

/// A related resource of one end, as it is found in the compute cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Its key in `status.relatedResources`.
    pub key: String,
    /// Its `group/version`, or `version` for the core group.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name in the compute cluster's namespace.
    pub name: String,
}

/// One step of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// A DNS label, unique within the migration.
    pub name: String,
    /// Whether the next of the migration's great steps is reached when this stage is done.
    pub progress: bool,
    /// After how many seconds the stage has failed; `None`: never.
    pub timeout_seconds: Option<u32>,
    /// How many times a failed stage is tried again.
    pub retries: u32,
    /// Whether a person has to approve the stage before it starts.
    pub approval: bool,
}

/// Something that a stage deploys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// A DNS label, unique within the stage; the deployed object is called by the migration's id, a dash and this.
    pub name: String,
    /// The object as JSON: it has `apiVersion` and `kind`, and in `metadata` no more than labels and annotations that are
    /// not the broker's. Whether its kind is one that lives in a namespace is not known here.
    pub body: String,
}

/// Something that a stage has deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The manifest's name.
    pub name: String,
    /// The object as JSON as the compute cluster shows it; `None` if it is not there.
    pub object: Option<String>,
}

/// How a stage stands. Sentences are a plugin's words, bounded and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// Not yet: what is waited for.
    Waiting(String),
    /// Its preconditions hold: it may be deployed.
    Ready,
    /// Its success conditions hold: what it deployed may go.
    Succeeded,
    /// It cannot succeed any more: why.
    Failed(String),
}
