//! The plugin for networks: `networking.generic.platform-mesh.io`, and any other API with addresses in its spec.
//!
//! As an accept filter it judges ranges of addresses (part of what an offer has, beside what is used otherwise, large and
//! small enough, in the right region), regions, the two ends of a peering, and what may pass through it; see [`rules`].
//! Networks have names as well as ranges; see [`networks`]. As a status transformer it translates what providers of
//! networks report.

pub mod networks;
pub mod rules;
pub mod settings;

use resource_broker_plugin_kit::phases::{Phases, State};
use resource_broker_sdk::{
    AcceptFilter, CopyContext, Document, Error, Offer, Plugin, StatusTransformer, Verdict, filter, parse_settings,
    settings_as, standard,
};

use crate::rules::Rules;
use crate::settings::Settings;

/// What controllers of networks and peerings at the larger clouds report, beyond what is common.
const PHASES: &[(&str, State)] = &[
    ("initiating-request", State::Provisioning),
    ("initiated", State::Provisioning),
    ("pending-acceptance", State::Provisioning),
    ("provisioned", State::Available),
    ("connected", State::Available),
    ("succeeded", State::Available),
    ("up", State::Available),
    ("down", State::Unavailable),
    ("disconnected", State::Unavailable),
    ("inactive", State::Unavailable),
    ("expired", State::Failed),
    ("rejected", State::Failed),
    ("deleted", State::Deleting),
];

/// Conditions of theirs that say whether the thing can be used.
const CONDITIONS: &[&str] = &["NetworkReady", "Connected"];

/// The plugin.
#[derive(Debug)]
pub struct Networking;

impl Plugin for Networking {
    const SETTINGS_SCHEMA: Option<&'static str> = Some(settings::SCHEMA);

    fn validate_settings(settings: &str) -> Result<(), Error> {
        parse_settings::<Settings>(settings)?.check()
    }
}

impl AcceptFilter for Networking {
    fn validate(filters: &[String]) -> Result<(), Error> {
        let settings: Settings = settings_as()?;
        filter::validate(filters, |filter| Rules::read(filter, &settings).map(drop))
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        let verdicts = Self::judge(object, std::slice::from_ref(offer))?;
        verdicts.into_iter().next().ok_or_else(|| Error::internal("an offer has no verdict"))
    }

    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        let settings: Settings = settings_as()?;
        let mut judge = standard::Judge::new(object);
        let verdict = |offer| {
            judge.offer_with(offer, |filter, field| match Rules::read(filter, &settings)? {
                Some(rules) => rules.violations(filter, field, object),
                None => Ok(Vec::new()),
            })
        };
        offers.iter().map(verdict).collect()
    }
}

impl StatusTransformer for Networking {
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let settings: Settings = settings_as()?;
        let phases = Phases { known: PHASES, conditions: CONDITIONS, settings: &settings.status };
        phases.transform(copy, previous, context)
    }
}

resource_broker_sdk::export!(Networking: AcceptFilter, StatusTransformer);
