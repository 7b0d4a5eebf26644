//! From a broken rule to a violation that the person who made the object understands.

use resource_broker_sdk::{Error, Field, Filter, Problems, Violation};

/// A rule that a value breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule's name within `with`.
    pub rule: String,
    /// What it asks for.
    pub expected: String,
    /// The rest of a sentence that begins with the value and `which`: why it is broken, and what to ask for instead.
    pub reason: String,
}

impl Broken {
    /// A broken rule.
    pub fn new(rule: impl Into<String>, expected: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { rule: rule.into(), expected: expected.into(), reason: reason.into() }
    }

    /// The violation of `filter` by the object's `field`, where `found` stands.
    pub fn violation(self, filter: &Filter, field: &Field<'_>, found: &str) -> Violation {
        let message = format!("{} is {found}, which {}", field.path(), self.reason);
        filter.violation(self.rule, message).expected(self.expected).found(found)
    }
}

/// That a field is missing of which a rule says `required: true`; nothing if the rule does not.
pub fn missing(filter: &Filter, field: &Field<'_>, required: bool, example: &str) -> Vec<Violation> {
    if !required {
        return Vec::new();
    }
    let message = format!("{} is missing, and this provider needs it: set it, for example to {example}", field.path());
    vec![filter.violation("required", message).expected("a value")]
}

/// That a plugin has no rules for a filter's key.
pub fn no_rules_for(filter: &Filter, known: &[&str]) -> Error {
    let known = known.join(", ");
    let message = format!("there are no rules for the key {:?}; with can be used for {known}", filter.key);
    filter.invalid("", message)
}

/// The problems of settings as an error about them.
///
/// # Errors
///
/// [`Error::InvalidSettings`] if there are any.
pub fn finish_settings(problems: Problems) -> Result<(), Error> {
    problems.finish().map_err(|error| match error {
        Error::InvalidInput(problems) => Error::InvalidSettings(problems),
        other => other,
    })
}
