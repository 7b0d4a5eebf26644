//! The role `accept-filter`: which offers accept an object.

use std::fmt;
use std::sync::Arc;

/// The highest score of an acceptance; the lowest is 0. As in the Kubernetes scheduler's framework.
pub const HIGHEST_SCORE: u8 = 100;

/// One provider's offer (an `AcceptAPI`) for an object's API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Offer {
    /// The provider's cluster.
    pub provider: String,
    /// The `AcceptAPI`, as `namespace/name`.
    pub name: String,
    /// The offer's filters in their order, each one as JSON. Shared by all calls that ask about the offer.
    pub filters: Arc<[String]>,
}

/// One rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Violation {
    /// The filter's key.
    pub filter: String,
    /// The rule's name within the filter, as in `valueIn`.
    pub rule: String,
    /// What the rule asks for.
    pub expected: String,
    /// What the object has; `None` if it has nothing there.
    pub found: Option<String>,
    /// One sentence for the person who made the object.
    pub message: String,
}

impl Violation {
    /// A rule of a filter that an object breaks, without what was expected and found.
    pub fn new(filter: impl Into<String>, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { filter: filter.into(), rule: rule.into(), expected: String::new(), found: None, message: message.into() }
    }

    /// What the rule asks for.
    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    /// What the object has.
    #[must_use]
    pub fn found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.filter, self.rule, self.message)
    }
}

/// A provider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider takes the object.
    Accepted {
        /// How well the object fits this offer: from 0 to [`HIGHEST_SCORE`], more is better. `None`: no opinion, as 0.
        score: Option<u8>,
    },
    /// It does not: every broken rule, not just the first.
    Refused(Vec<Violation>),
}

impl Verdict {
    /// The provider takes the object; all offers that say so are equally good.
    pub const fn accepted() -> Self {
        Self::Accepted { score: None }
    }

    /// The provider takes the object, which fits this well: from 0 to [`HIGHEST_SCORE`], more is better.
    pub const fn scored(score: u8) -> Self {
        Self::Accepted { score: Some(score) }
    }

    /// Whether the provider takes the object.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

impl From<Vec<Violation>> for Verdict {
    /// No violations: accepted.
    fn from(violations: Vec<Violation>) -> Self {
        if violations.is_empty() { Self::accepted() } else { Self::Refused(violations) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { score: None } => f.write_str("accepted"),
            Self::Accepted { score: Some(score) } => write!(f, "accepted with score {score}"),
            Self::Refused(violations) => {
                let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
                write!(f, "refused: {}", all.join("; "))
            }
        }
    }
}

/// As case files write it: `accepted`, `{accepted: {score: 70}}` or `{refused: [violations]}`.
#[cfg(feature = "serde")]
impl serde::Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        enum Written<'a> {
            Accepted { score: u8 },
            Refused(&'a [Violation]),
        }
        match self {
            Self::Accepted { score: None } => serializer.serialize_str("accepted"),
            Self::Accepted { score: Some(score) } => Written::Accepted { score: *score }.serialize(serializer),
            Self::Refused(violations) => Written::Refused(violations).serialize(serializer),
        }
    }
}
