//! What is asked about one object, and what is answered: plugins by way of the sandbox, and the compute cluster about pods.
//! The host carries questions there and brings answers back; nothing here knows how.

use std::sync::Arc;

use resource_broker_api::{names::ClusterName, object::Object};
use resource_broker_plugin_types::{CopyContext, Deployed, Manifest, MigrationContext, Stage, StageOutcome, Verdict};
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
    /// Where both are and what they are called.
    pub context: CopyContext,
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
    /// How far a stage is, with what it has deployed.
    Assess(String, Vec<Deployed>),
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

/// What came of asking about one offer: its verdict; `Err` where it could not be judged, although others could.
pub type Judgement = Result<Verdict, PluginFailure>;

/// A plugin that gave no answer. Never the same as "refused": nothing is decided by guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFailure {
    /// What went wrong, fit for a condition.
    pub message: String,
}

impl From<String> for PluginFailure {
    fn from(message: String) -> Self {
        Self { message }
    }
}

/// The answers to [`Questions`].
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// One judgement for each offer asked about, in that order.
    pub judge: Option<Result<Vec<Judgement>, PluginFailure>>,
    /// The status for the consumer; `None` where the copy has none.
    pub transform: Option<Result<Option<Value>, PluginFailure>>,
    /// Judgements for each of [`Questions::elsewhere`], in that order.
    pub elsewhere: Option<Vec<Result<Vec<Judgement>, PluginFailure>>>,
    /// The migration's stages.
    pub stages: Option<Result<Vec<Stage>, PluginFailure>>,
    /// What the stage under way deploys.
    pub manifests: Option<Result<Vec<Manifest>, PluginFailure>>,
    /// How far the stage under way is.
    pub outcome: Option<Result<StageOutcome, PluginFailure>>,
    /// The names of pods that have not ended, some of them where there are many; or why that cannot be told.
    pub pods: Option<Result<Vec<String>, String>>,
    /// What is at each of [`Questions::places`], in that order (metadata only), or why that cannot be told.
    pub places: Option<Vec<Result<Option<Arc<Object>>, String>>>,
}
