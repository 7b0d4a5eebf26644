//! The plugin that serves every API for which there is no other: the SDK's [`standard`] rules, and nothing else.
//!
//! As an accept filter it knows the rules `valueIn`, `boundary` and `suffix`. As a status transformer it makes the names of
//! related resources the consumer's own.

use resource_broker_sdk::{
    AcceptFilter, CopyContext, Document, Error, Offer, Plugin, StatusTransformer, Verdict, standard,
};

/// The standard plugin.
#[derive(Debug)]
pub struct Standard;

impl Plugin for Standard {}

impl AcceptFilter for Standard {
    fn validate(filters: &[String]) -> Result<(), Error> {
        standard::validate(filters)
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        standard::Judge::new(object).offer(offer)
    }

    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        let mut judge = standard::Judge::new(object);
        offers.iter().map(|offer| judge.offer(offer)).collect()
    }
}

impl StatusTransformer for Standard {
    fn transform(
        copy: &Document<'_>,
        _previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        standard::transform_status(copy, context)
    }
}

resource_broker_sdk::export!(Standard: AcceptFilter, StatusTransformer);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What this depends on is how this workspace builds `serde_json`.
    #[test]
    fn a_number_is_judged_as_it_was_written() {
        for (size, max) in
            [("1e400", "1e399"), ("0.10000000000000000001", "0.1"), ("18446744073709551617", "18446744073709551616")]
        {
            let object: Value = serde_json::from_str(&format!(r#"{{"spec": {{"size": {size}}}}}"#)).unwrap();
            let offer = Offer {
                provider: "provider#nestor".to_owned(),
                name: "default/offer".to_owned(),
                filters: [format!(r#"{{"key": "size", "boundary": {{"max": {max}}}}}"#)].into(),
            };
            let Ok(Verdict::Refused(violations)) = Standard::judge_offer(&Document::from(object), &offer) else {
                panic!("{size} is more than {max}");
            };
            assert_eq!(violations[0].rule, "boundary");
        }
    }
}
