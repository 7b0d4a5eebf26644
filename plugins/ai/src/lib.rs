//! The plugin for hosted models: `HostedModel` of `ai.generic.platform-mesh.io`, and any other API that names models.
//!
//! - As an accept filter it reads a model's id (family, publisher, size, purpose, how the weights are stored), estimates
//!   the memory that the model needs, and knows what can serve it; see [`rules`], [`model`] and [`memory`].
//! - As a status transformer it translates what the operators of model servers report; see [`status`].
//!
//! The README says how an offer and the settings are written, and what the estimate is worth.

pub mod facts;
pub mod memory;
pub mod model;
pub mod quantisation;
pub mod rules;
pub mod runtime;
pub mod settings;
pub mod size;
pub mod status;

use resource_broker_sdk::{
    AcceptFilter, CopyContext, Document, Error, Offer, Plugin, StatusTransformer, Verdict, filter, settings_as,
    standard,
};

use crate::rules::Rules;
use crate::settings::Settings;

/// The plugin for hosted models.
#[derive(Debug)]
pub struct Ai;

impl Plugin for Ai {
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn validate_settings(settings: &str) -> Result<(), Error> {
        Settings::parse(settings).map(drop)
    }
}

impl AcceptFilter for Ai {
    fn validate(filters: &[String]) -> Result<(), Error> {
        let settings: Settings = settings_as()?;
        filter::validate(filters, |filter| Rules::read(filter, &settings).map(drop))
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        let mut verdicts = Self::judge(object, std::slice::from_ref(offer))?;
        verdicts.pop().ok_or_else(|| Error::internal("one offer has no verdict"))
    }

    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        let settings: Settings = settings_as()?;
        let mut judge = standard::Judge::new(object);
        let mut judge_one = |offer| {
            judge.offer_with(offer, |filter, field| match Rules::read(filter, &settings)? {
                Some(rules) => rules.violations(filter, field, object, &settings),
                None => Ok(Vec::new()),
            })
        };
        offers.iter().map(&mut judge_one).collect()
    }
}

impl StatusTransformer for Ai {
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let settings: Settings = settings_as()?;
        status::phases(&settings.status).transform(copy, previous, context)
    }
}

resource_broker_sdk::export!(Ai: AcceptFilter, StatusTransformer);
