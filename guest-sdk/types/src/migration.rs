//! The role `migration-template`: what the stages of a migration are, what they deploy, and how far they are.

use std::error::Error;
use std::fmt;

/// What a migration is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationContext {
    /// The migration's id, which begins the name of everything that its stages deploy.
    pub id: String,
    /// The compute cluster's namespace.
    pub namespace: String,
    /// `spec` of the MigrationConfiguration as JSON.
    pub configuration: String,
    /// The former placement.
    pub old: Endpoint,
    /// The next placement.
    pub new: Endpoint,
}

/// One end of a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct Endpoint {
    /// The provider's cluster.
    pub provider: String,
    /// The copy's `group/version`, or `version` for the core group.
    pub api_version: String,
    /// The copy's kind.
    pub kind: String,
    /// The copy's namespace at the provider; empty for a cluster-wide kind.
    pub namespace: String,
    /// The copy's name at the provider.
    pub name: String,
    /// Its related resources that are mirrored into the compute cluster.
    pub related: Vec<Mirrored>,
}

impl Endpoint {
    /// The related resource of that key in `status.relatedResources`.
    pub fn related(&self, key: &str) -> Option<&Mirrored> {
        self.related.iter().find(|related| related.key == key)
    }

    /// As [`related`](Self::related), where there has to be one.
    ///
    /// # Errors
    ///
    /// Which related resource is missing, and at which provider.
    pub fn required(&self, key: &str) -> Result<&Mirrored, MissingRelated> {
        self.related(key).ok_or_else(|| {
            let Self { provider, kind, namespace, name, .. } = self;
            MissingRelated { key: key.to_owned(), copy: format!("{kind} {namespace}/{name} at {provider}") }
        })
    }
}

/// A related resource that a migration needs and a copy does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRelated {
    /// The key in `status.relatedResources`.
    pub key: String,
    /// The copy, as `KIND NAMESPACE/NAME at PROVIDER`.
    pub copy: String,
}

impl fmt::Display for MissingRelated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no related resource {:?}", self.copy, self.key)
    }
}

impl Error for MissingRelated {}

/// A related resource of one end, as it is found in the compute cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Mirrored {
    /// Its key in `status.relatedResources`.
    pub key: String,
    /// Its `group/version`, or `version` for the core group; in case files `v1` by default.
    #[cfg_attr(feature = "serde", serde(default = "core"))]
    pub api_version: String,
    /// Its kind; in case files `Secret` by default.
    #[cfg_attr(feature = "serde", serde(default = "secret"))]
    pub kind: String,
    /// Its name in the compute cluster's namespace.
    pub name: String,
}

#[cfg(feature = "serde")]
fn core() -> String {
    "v1".to_owned()
}

#[cfg(feature = "serde")]
fn secret() -> String {
    "Secret".to_owned()
}

/// One step of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct Stage {
    /// A DNS label, unique within the migration.
    pub name: String,
    /// Whether the migration reaches its next state when this stage is done.
    pub progress: bool,
    /// After how many seconds an attempt has failed; `None`: never.
    pub timeout_seconds: Option<u32>,
    /// How many times a failed stage is tried again.
    pub retries: u32,
    /// Whether a person has to approve the stage before it starts.
    pub approval: bool,
}

impl Stage {
    /// A stage without a timeout, that is not tried again and needs no approval.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), progress: false, timeout_seconds: None, retries: 0, approval: false }
    }

    /// When this stage is done, the migration reaches its next state.
    #[must_use]
    pub fn progress(self) -> Self {
        Self { progress: true, ..self }
    }

    /// An attempt at this stage fails after so many seconds.
    #[must_use]
    pub fn timeout(self, seconds: u32) -> Self {
        Self { timeout_seconds: Some(seconds), ..self }
    }

    /// If it fails, it is tried again so many times.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// A person has to approve it before it starts.
    #[must_use]
    pub fn approval(self) -> Self {
        Self { approval: true, ..self }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Something that a stage deploys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The template's name, a DNS label, unique within the stage. The deployed object is called by the migration's id, a dash
    /// and this.
    pub name: String,
    /// The object as JSON: it has `apiVersion` and `kind`, and in `metadata` no more than labels and annotations that are
    /// not the broker's.
    pub body: String,
}

/// Something that a stage has deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The template's name.
    pub name: String,
    /// The object as JSON as the compute cluster shows it; `None` if it is not there.
    pub object: Option<String>,
}

/// How far a stage is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub enum StageOutcome {
    /// Not yet: what is waited for, one sentence.
    Waiting(String),
    /// Its preconditions hold: it may be deployed.
    Ready,
    /// Its success conditions hold: what it deployed may go.
    Succeeded,
    /// It cannot succeed any more: why, one sentence.
    Failed(String),
}

impl StageOutcome {
    /// Not yet: what is waited for, one sentence.
    pub fn waiting(reason: impl Into<String>) -> Self {
        Self::Waiting(reason.into())
    }

    /// It cannot succeed any more: why, one sentence.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }
}

impl fmt::Display for StageOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(reason) => write!(f, "waiting ({reason})"),
            Self::Ready => f.write_str("ready"),
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed(reason) => write!(f, "failed ({reason})"),
        }
    }
}
