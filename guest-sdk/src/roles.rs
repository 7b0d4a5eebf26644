//! The roles that decide which provider takes an object and how its consumer sees its status.

use resource_broker_plugin_types::{CopyContext, Offer, Verdict};

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
            if offer.provider == "broken" { Err(Error::Internal("no".to_owned())) } else { Ok(Verdict::accepted()) }
        }
    }

    fn offer(provider: &str) -> Offer {
        Offer { provider: provider.to_owned(), name: "default/offer".to_owned(), filters: Vec::new().into() }
    }

    #[test]
    fn by_default_every_offer_is_judged_in_order_and_one_failure_fails_the_call() {
        let object = Document::from(json!({}));
        assert_eq!(
            Plain::judge(&object, &[offer("a"), offer("b")]),
            Ok(vec![Verdict::accepted(), Verdict::accepted()])
        );
        assert_eq!(Plain::judge(&object, &[offer("a"), offer("broken")]), Err(Error::Internal("no".to_owned())));
    }

    #[test]
    fn by_default_the_status_goes_through_and_none_or_null_is_none() {
        let context = CopyContext { names: Vec::new(), consumer_namespace: String::new(), provider: String::new() };
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
