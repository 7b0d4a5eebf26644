//! What plugins are asked about one object, and what they answer. The host carries questions to the sandbox and brings
//! answers back; nothing here knows how.

use resource_broker_api::names::ClusterName;
use serde_json::Value;

/// What a pass asks.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// Which offers accept the object?
    pub judge: Option<Judge>,
    /// How does the consumer see the copy's status?
    pub transform: Option<Transform>,
}

/// One call for all offers.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The consumer object as JSON.
    pub object: String,
    /// The offers, as indices into the snapshot's.
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
}
