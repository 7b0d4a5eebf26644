//! One case: a call, and what is expected of it.

use resource_broker_plugin_types::{CopyContext, Endpoint, Offer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::answer::FailureKind;

/// A call with an expected answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// For people; unique within a file unless its author repeats one.
    pub name: String,
    /// The file that it is from.
    pub file: String,
    /// Which of the file's documents it is, from 1.
    pub document: usize,
    /// The plugin's settings; `None`: none are given, which the plugin reads as `null`.
    pub settings: Option<Value>,
    /// What is asked.
    pub call: Call,
    /// What should come of it.
    pub(crate) expect: Expect,
}

impl Case {
    /// The settings as JSON text, `null` where there are none.
    pub fn settings_json(&self) -> String {
        self.settings.as_ref().map_or_else(|| "null".to_owned(), Value::to_string)
    }

    /// Where it stands, as `FILE, document N`.
    pub fn place(&self) -> String {
        place(&self.file, self.document)
    }
}

pub(crate) fn place(file: &str, document: usize) -> String {
    format!("{file}, document {document}")
}

/// What a plugin is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Judge an object against offers.
    Judge {
        /// The consumer's object.
        object: Value,
        /// The offers.
        offers: Vec<Offer>,
    },
    /// Judge an offer's filters, each one as JSON.
    ValidateFilters(Vec<String>),
    /// Judge the case's settings.
    ValidateSettings,
    /// Make the consumer's status.
    TransformStatus {
        /// The provider's copy.
        copy: Value,
        /// The consumer's object.
        previous: Option<Value>,
        /// Where they live.
        context: CopyContext,
    },
    /// Judge `spec` of a MigrationConfiguration.
    ValidateMigration(Value),
    /// Which stages there are.
    Stages(Box<Migration>),
    /// What a stage deploys.
    Render {
        /// The migration.
        migration: Box<Migration>,
        /// The stage's name.
        stage: String,
    },
    /// How a stage stands.
    Assess {
        /// The migration.
        migration: Box<Migration>,
        /// The stage's name.
        stage: String,
        /// What it has deployed.
        deployed: Vec<Deployed>,
    },
}

impl Call {
    /// What is asked, for people.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Judge { .. } => "judge an object",
            Self::ValidateFilters(_) => "judge filters",
            Self::ValidateSettings => "judge settings",
            Self::TransformStatus { .. } => "transform a status",
            Self::ValidateMigration(_) => "judge a migration's configuration",
            Self::Stages(_) => "ask for stages",
            Self::Render { .. } => "render a stage",
            Self::Assess { .. } => "assess a stage",
        }
    }
}

/// A migration with its two copies.
#[derive(Clone, Debug, PartialEq)]
pub struct Migration {
    /// Its id.
    pub id: String,
    /// The compute cluster's namespace.
    pub namespace: String,
    /// `spec` of the MigrationConfiguration.
    pub configuration: Value,
    /// The end that is left.
    pub old: Endpoint,
    /// The end to which the object goes.
    pub new: Endpoint,
    /// The copy that is left.
    pub old_copy: Value,
    /// The copy that will be.
    pub new_copy: Value,
}

/// What the case does not say about an end is what its copy says.
pub(crate) fn completed(mut endpoint: Endpoint, copy: &Value, provider: &str) -> Endpoint {
    let text = |pointer| copy.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    for (field, pointer) in [
        (&mut endpoint.api_version, "/apiVersion"),
        (&mut endpoint.kind, "/kind"),
        (&mut endpoint.namespace, "/metadata/namespace"),
        (&mut endpoint.name, "/metadata/name"),
    ] {
        if field.is_empty() {
            *field = text(pointer);
        }
    }
    if endpoint.provider.is_empty() {
        provider.clone_into(&mut endpoint.provider);
    }
    endpoint
}

/// Something that a stage has deployed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// The template's name.
    pub name: String,
    /// The object; `None` if it is not there.
    #[serde(default)]
    pub object: Option<Value>,
}

/// What should come of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expect {
    Valid,
    Invalid(Vec<ExpectedProblem>),
    Verdicts(Vec<ExpectedVerdict>),
    Status(Option<Value>),
    Stages(Vec<ExpectedStage>),
    Manifests(Vec<ExpectedManifest>),
    Outcome { outcome: ExpectedOutcome, reason: Option<String> },
    Error(ExpectedError),
}

/// A verdict, as far as it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedVerdict {
    /// With this score; `None`: with any, or without one.
    Accepted(Option<u8>),
    /// For these reasons; `None`: for any.
    Refused(Option<Vec<ExpectedViolation>>),
}

impl<'de> Deserialize<'de> for ExpectedVerdict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "accepted" => Ok(Self::Accepted(None)),
            Value::String(text) if text == "refused" => Ok(Self::Refused(None)),
            Value::Object(fields) if fields.contains_key("accepted") => {
                match Accepted::deserialize(Value::Object(fields)) {
                    Ok(Accepted { accepted: Scored { score } }) => Ok(Self::Accepted(Some(score))),
                    Err(error) => Err(D::Error::custom(error)),
                }
            }
            fields @ Value::Object(_) => match Refused::deserialize(fields) {
                Ok(Refused { refused }) => Ok(Self::Refused(Some(refused))),
                Err(error) => Err(D::Error::custom(error)),
            },
            other => Err(D::Error::custom(format!(
                "a verdict is \"accepted\", {{accepted: {{score: 0 to 100}}}}, \"refused\" or {{refused: [violations]}}, not {other}"
            ))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    accepted: Scored,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scored {
    score: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    refused: Vec<ExpectedViolation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedViolation {
    pub(crate) filter: Option<String>,
    pub(crate) rule: Option<String>,
    #[serde(default, deserialize_with = "scalar_text")]
    pub(crate) expected: Option<String>,
    #[serde(default, deserialize_with = "scalar_text")]
    pub(crate) found: Option<String>,
    pub(crate) message: Option<String>,
}

/// A text; YAML makes a number of `found: 14` and of `path: 0`.
fn scalar_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        scalar @ (Value::Number(_) | Value::Bool(_)) => Ok(Some(scalar.to_string())),
        other @ (Value::Array(_) | Value::Object(_)) => {
            Err(D::Error::custom(format!("a text was expected, not {other}")))
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedProblem {
    #[serde(default, deserialize_with = "scalar_text")]
    pub(crate) path: Option<String>,
    pub(crate) message: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExpectedStage {
    pub(crate) name: String,
    pub(crate) progress: Option<bool>,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) approval: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedManifest {
    pub(crate) name: String,
    pub(crate) body: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExpectedOutcome {
    Waiting,
    Ready,
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedError {
    pub(crate) kind: Option<ExpectedKind>,
    pub(crate) message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExpectedKind {
    InvalidSettings,
    InvalidInput,
    Unsupported,
    Internal,
    Crashed,
}

impl From<ExpectedKind> for FailureKind {
    fn from(kind: ExpectedKind) -> Self {
        match kind {
            ExpectedKind::InvalidSettings => Self::InvalidSettings,
            ExpectedKind::InvalidInput => Self::InvalidInput,
            ExpectedKind::Unsupported => Self::Unsupported,
            ExpectedKind::Internal => Self::Internal,
            ExpectedKind::Crashed => Self::Crashed,
        }
    }
}
