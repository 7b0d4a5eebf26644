//! What is asked about one object, and what is answered: plugins by way of the sandbox, and the compute cluster about pods.
//! The host carries questions there and brings answers back; nothing here knows how.

use std::{sync::Arc, time::Duration};

use resource_broker_api::{names::ClusterName, object::Object};
use serde_json::Value;

use crate::model::key::Target;

/// What a pass asks.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// Which offers accept the object?
    pub judge: Option<Judge>,
    /// How does the consumer see the copy's status?
    pub transform: Option<Transform>,
    /// Which of the offers that were not asked about at first accept the object? One call for each version of its kind.
    pub elsewhere: Vec<Judge>,
    /// What is known of the object's migration?
    pub template: Option<Template>,
    /// Which pods of a stage's Jobs have not ended?
    pub pods: Option<PodsOf>,
    /// What is at these places? They are looked at uncached: watches show the broker's own objects there alone.
    pub places: Vec<Target>,
}

impl Questions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        let Self { judge, transform, elsewhere, template, pods, places } = self;
        let asks_nobody = judge.is_none() && transform.is_none() && elsewhere.is_empty() && template.is_none();
        asks_nobody && pods.is_none() && places.is_empty()
    }
}

/// One call for all offers.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The consumer object as JSON.
    pub object: String,
    /// The other version of the kind that the object and the offers are of, as an index into the snapshot's; `None`: the
    /// key's own.
    pub version: Option<usize>,
    /// The offers, as indices into the snapshot's, or into that version's.
    pub offers: Vec<usize>,
}

/// One call for the copy's status.
#[derive(Clone, Debug)]
pub struct Transform {
    /// The copy as JSON.
    pub copy: String,
    /// The consumer object as JSON.
    pub previous: String,
    /// What the names of this consumer's copies begin with.
    pub prefix: String,
    /// Where the consumer object is.
    pub consumer_namespace: String,
    /// The provider.
    pub provider: ClusterName,
}

/// One call about a migration.
#[derive(Clone, Debug)]
pub struct Template {
    /// What the migration is about.
    pub context: MigrationContext,
    /// The copy that is left as JSON.
    pub old: String,
    /// The copy that is gone to as JSON.
    pub new: String,
    /// What is asked.
    pub ask: TemplateAsk,
}

/// What is asked about a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateAsk {
    /// Its stages.
    Stages,
    /// What a stage deploys.
    Render(String),
    /// How a stage stands, with what it has deployed: each template's name, and the object as JSON where it is there.
    Assess(String, Vec<(String, Option<String>)>),
}

/// What a migration is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationContext {
    /// The migration's id.
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
    /// The provider.
    pub provider: ClusterName,
    /// The copy's `group/version`, or `version` for the core group.
    pub api_version: String,
    /// The copy's kind.
    pub kind: String,
    /// The copy's namespace; empty for a cluster-wide kind.
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

/// Whose pods are asked about. No plugin is: it takes an uncached look at the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodsOf {
    /// The compute cluster.
    pub cluster: ClusterName,
    /// Its namespace.
    pub namespace: String,
    /// The names of the Jobs, which may be gone; at least one.
    pub jobs: Vec<String>,
}

/// One stage, as a template component makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Unique within the migration.
    pub name: String,
    /// Whether the migration's next state is reached when this stage is done.
    pub progress: bool,
    /// After how long an attempt has failed; `None`: never.
    pub timeout: Option<Duration>,
    /// How often it is tried again after an attempt that failed.
    pub retries: u32,
    /// Whether a person has to approve it before it begins.
    pub approval: bool,
}

/// Something that a stage deploys.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The template's name, a DNS label.
    pub template: String,
    /// The object: `apiVersion`, `kind`, and in `metadata` labels and annotations at most.
    pub body: Value,
}

/// How a stage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not yet: what is waited for.
    Waiting(String),
    /// Its preconditions hold: it may be deployed.
    Ready,
    /// Its success conditions hold.
    Succeeded,
    /// It cannot succeed any more: why.
    Failed(String),
}

/// One answer about one offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The offer accepts the object.
    Accepted,
    /// It does not; each line names key, rule and the value found.
    Refused(Vec<String>),
    /// It could not be judged, although others could.
    Failed(String),
}

/// A plugin that gave no answer. Never the same as "refused": nothing is decided by guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFailure {
    /// What went wrong, fit for a condition.
    pub message: String,
}

/// The answers to [`Questions`].
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// One verdict for each offer asked about, in that order.
    pub judge: Option<Result<Vec<Verdict>, PluginFailure>>,
    /// The status for the consumer; `None` where the copy has none.
    pub transform: Option<Result<Option<Value>, PluginFailure>>,
    /// Verdicts for each of [`Questions::elsewhere`], in that order.
    pub elsewhere: Option<Vec<Result<Vec<Verdict>, PluginFailure>>>,
    /// The migration's stages.
    pub stages: Option<Result<Vec<Stage>, PluginFailure>>,
    /// What the stage under way deploys.
    pub manifests: Option<Result<Vec<Manifest>, PluginFailure>>,
    /// How the stage under way stands.
    pub outcome: Option<Result<Outcome, PluginFailure>>,
    /// The names of pods that have not ended, some of them where there are many; or why that cannot be told.
    pub pods: Option<Result<Vec<String>, String>>,
    /// What is at each of [`Questions::places`], in that order (metadata only), or why that cannot be told.
    pub places: Option<Vec<Result<Option<Arc<Object>>, String>>>,
}
