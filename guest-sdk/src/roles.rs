//! The roles that a plugin can take, and what passes through them.

use crate::document::Document;
use crate::error::Error;

/// What every plugin is.
pub trait Plugin {
    /// The JSON Schema of the plugin's settings, if it has any.
    const SETTINGS_SCHEMA: Option<&'static str> = None;

    /// Judges settings, given as JSON, before they are used. By default all are welcome.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] with everything that is wrong.
    fn validate_settings(settings: &str) -> Result<(), Error> {
        let _ = settings;
        Ok(())
    }
}

/// One provider's offer (an `AcceptAPI`) for an object's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The provider's cluster.
    pub provider: String,
    /// The `AcceptAPI`, as `namespace/name`.
    pub name: String,
    /// The offer's filters in their order, each one as JSON.
    pub filters: Vec<String>,
}

/// One rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A rule of a filter that an object breaks; what was expected and found is yet to be said.
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

/// A provider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider takes the object.
    Accepted,
    /// It does not: every broken rule, not just the first.
    Refused(Vec<Violation>),
}

impl From<Vec<Violation>> for Verdict {
    /// No violations: accepted.
    fn from(violations: Vec<Violation>) -> Self {
        if violations.is_empty() { Self::Accepted } else { Self::Refused(violations) }
    }
}

/// The role that decides whether a provider takes an object.
pub trait AcceptFilter: Plugin {
    /// Judges the filters of one offer, when it is made or changed. By default all are welcome.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with everything that is wrong; a path begins with the filter's index.
    fn validate(filters: &[String]) -> Result<(), Error> {
        let _ = filters;
        Ok(())
    }

    /// Judges one object against one offer.
    ///
    /// # Errors
    ///
    /// If there is no verdict. The object is then routed nowhere, so prefer a refusal where one offer alone is at fault.
    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error>;

    /// Judges one object against all offers for it: one verdict an offer, in the same order. By default it asks
    /// [`judge_offer`](Self::judge_offer) for each; take it over to share work between the offers.
    ///
    /// # Errors
    ///
    /// As [`judge_offer`](Self::judge_offer).
    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        offers.iter().map(|offer| Self::judge_offer(object, offer)).collect()
    }
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

/// The role that shows a provider's status to the consumer.
pub trait StatusTransformer: Plugin {
    /// Makes the consumer's status from the provider's `copy`: a JSON object, or `None` if there is no status to show yet.
    /// `previous` is the consumer's object as it is, with the status that it shows now. By default the status goes through
    /// as it is.
    ///
    /// # Errors
    ///
    /// If there is no answer; the consumer then keeps the status that it has.
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let _ = (previous, context);
        Ok(copy.get("status").filter(|status| status != "null"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Plain;

    impl Plugin for Plain {}

    impl StatusTransformer for Plain {}

    impl AcceptFilter for Plain {
        fn judge_offer(_: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
            if offer.provider == "broken" { Err(Error::Internal("no".to_owned())) } else { Ok(Verdict::Accepted) }
        }
    }

    fn offer(provider: &str) -> Offer {
        Offer { provider: provider.to_owned(), name: "default/offer".to_owned(), filters: Vec::new() }
    }

    #[test]
    fn by_default_every_offer_is_judged_in_order_and_one_failure_fails_the_call() {
        let object = Document::from(json!({}));
        assert_eq!(Plain::judge(&object, &[offer("a"), offer("b")]), Ok(vec![Verdict::Accepted, Verdict::Accepted]));
        assert_eq!(Plain::judge(&object, &[offer("a"), offer("broken")]), Err(Error::Internal("no".to_owned())));
    }

    #[test]
    fn by_default_the_status_goes_through_and_none_or_null_is_none() {
        let context = CopyContext { prefix: String::new(), consumer_namespace: String::new(), provider: String::new() };
        for (copy, expected) in [
            (json!({"status": {"phase": "Ready"}}), Some(r#"{"phase":"Ready"}"#)),
            (json!({"status": null}), None),
            (json!({}), None),
        ] {
            let status = Plain::transform(&Document::from(copy), None, &context).unwrap();
            assert_eq!(status.as_deref(), expected);
        }
    }
}
