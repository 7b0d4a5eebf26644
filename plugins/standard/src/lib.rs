//! The plugin that serves every API for which there is no other.
//!
//! As an accept filter it knows the rules `valueIn`, `boundary` and `suffix`; see [`filter`] for what a filter may say and
//! [`judge`] for when an object keeps to it. As a status transformer it makes the names of related resources the
//! consumer's own; see [`status`].

pub mod decimal;
pub mod filter;
pub mod judge;
pub mod status;

use resource_broker_sdk::{
    AcceptFilter, CopyContext, Document, Error, FieldError, Offer, Plugin, StatusTransformer, Verdict,
};

/// The standard plugin.
#[derive(Debug)]
pub struct Standard;

impl Plugin for Standard {}

impl AcceptFilter for Standard {
    fn validate(filters: &[String]) -> Result<(), Error> {
        let problems: Vec<FieldError> =
            filters.iter().enumerate().flat_map(|(index, filter)| filter::problems(index, filter)).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::InvalidInput(problems)) }
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        judge::Judge::new(object).offer(offer)
    }

    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        let mut judge = judge::Judge::new(object);
        offers.iter().map(|offer| judge.offer(offer)).collect()
    }
}

impl StatusTransformer for Standard {
    fn transform(
        copy: &Document<'_>,
        _previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        match copy.get("status") {
            Some(status) if status != "null" => status::transform(&status, context).map(Some),
            _ => Ok(None),
        }
    }
}

resource_broker_sdk::export!(Standard: AcceptFilter, StatusTransformer);
