//! What a plugin is given and answers, in plain types that neither the SDK nor the sandbox has to know.

use std::fmt;

use resource_broker_plugin_types::{Stage, StageOutcome, Verdict};
use serde::Serialize;
use serde_json::Value;

/// A call's answer. Each kind of [`Call`](crate::Call) has one kind of answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Settings, filters or a configuration are valid.
    Valid,
    /// One verdict an offer.
    Verdicts(Vec<Verdict>),
    /// The consumer's status, if there is one.
    Status(Option<Value>),
    /// The stages of a migration.
    Stages(Vec<Stage>),
    /// What a stage deploys.
    Manifests(Vec<Manifest>),
    /// How a stage stands.
    Outcome(StageOutcome),
}

/// Something that a stage deploys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Manifest {
    /// The template's name.
    pub name: String,
    /// The object.
    pub body: Value,
}

/// One thing that is wrong with one place of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where; empty: the input as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What is wrong and where, if it is the input.
    pub problems: Vec<Problem>,
    /// What is wrong, if it is anything else.
    pub message: String,
}

impl Failure {
    /// The input or the settings are wrong.
    pub fn refused(kind: FailureKind, problems: Vec<Problem>) -> Self {
        Self { kind, problems, message: String::new() }
    }

    /// Anything else is wrong.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, problems: Vec::new(), message: message.into() }
    }

    /// Everything that it says.
    pub fn text(&self) -> String {
        let problems = self.problems.iter().map(ToString::to_string);
        let message = Some(self.message.clone()).filter(|message| !message.is_empty());
        problems.chain(message).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.text())
    }
}

/// Whose fault it is that a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The settings are wrong.
    InvalidSettings,
    /// The input is wrong.
    InvalidInput,
    /// The settings or the input are wrong, where the executor cannot tell which. It meets either expectation.
    Refused,
    /// The plugin does not do this.
    Unsupported,
    /// The plugin says that it is at fault.
    Internal,
    /// The plugin panicked, was stopped, or gave an answer that the host does not take.
    Crashed,
}

impl FailureKind {
    /// As it is written in a case file; [`Refused`](Self::Refused) has no place there.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidSettings => "invalid-settings",
            Self::InvalidInput => "invalid-input",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::Crashed => "crashed",
        }
    }

    /// Whether a failure of this kind is one of the `expected` kind.
    pub(crate) fn meets(self, expected: Self) -> bool {
        self == expected || (self == Self::Refused && matches!(expected, Self::InvalidSettings | Self::InvalidInput))
    }
}
