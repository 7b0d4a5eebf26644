//! The plugin for certificates: `identity.generic.platform-mesh.io`, and any other API with DNS names in its spec.
//!
//! As an accept filter it judges domain names: in which domains they are, whether they are wildcards and what these
//! stand for, how deep they are, and whether they are anybody's at all; see [`rules`]. Names are compared in one form,
//! ASCII and lower case, however they were written; see [`name`]. As a status transformer it translates what issuers report.

pub mod name;
pub mod pattern;
pub mod rules;
pub mod settings;
pub mod suffix;

use resource_broker_plugin_kit::judging::Broken;
use resource_broker_plugin_kit::phases::{Phases, State};
use resource_broker_plugin_kit::values;
use resource_broker_sdk::{
    AcceptFilter, CopyContext, Document, Error, Field, Filter, Offer, Plugin, StatusTransformer, Verdict, Violation,
    filter, parse_settings, settings_as, standard,
};

use crate::name::Name;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::suffix::Suffixes;

/// What issuers report beyond what is common: cert-manager's conditions, and the states of ACME orders and of certificates
/// at the larger clouds.
const PHASES: &[(&str, State)] = &[
    ("issuing", State::Provisioning),
    ("pending_validation", State::Provisioning),
    ("processing", State::Provisioning),
    ("issued", State::Available),
    ("valid", State::Available),
    ("renewing", State::Degraded),
    ("expired", State::Unavailable),
    ("inactive", State::Unavailable),
    ("revoked", State::Unavailable),
    ("errored", State::Failed),
    ("validation_timed_out", State::Failed),
];

/// The plugin.
#[derive(Debug)]
pub struct Identity;

impl Plugin for Identity {
    const SETTINGS_SCHEMA: Option<&'static str> = Some(settings::SCHEMA);

    fn validate_settings(settings: &str) -> Result<(), Error> {
        parse_settings::<Settings>(settings)?.suffixes().map(drop)
    }
}

impl AcceptFilter for Identity {
    fn validate(filters: &[String]) -> Result<(), Error> {
        filter::validate(filters, |filter| Rules::read(filter).map(drop))
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        let verdicts = Self::judge(object, std::slice::from_ref(offer))?;
        verdicts.into_iter().next().ok_or_else(|| Error::internal("an offer has no verdict"))
    }

    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        let suffixes = settings_as::<Settings>()?.suffixes()?;
        let mut judge = standard::Judge::new(object);
        offers
            .iter()
            .map(|offer| judge.offer_with(offer, |filter, field| violations(filter, field, &suffixes)))
            .collect()
    }
}

fn violations(filter: &Filter, field: &Field<'_>, suffixes: &Suffixes) -> Result<Vec<Violation>, Error> {
    let Some(rules) = Rules::read(filter)? else { return Ok(Vec::new()) };
    values::judge(filter, field, rules.required, "www.example.org", |text| match Name::parse(text) {
        Ok(name) => rules.broken(&name, suffixes),
        Err(error) => vec![Broken::new("syntax", "a DNS name, such as www.example.org", error.to_string())],
    })
}

impl StatusTransformer for Identity {
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let settings: Settings = settings_as()?;
        let phases = Phases { known: PHASES, conditions: &[], settings: &settings.status };
        phases.transform(copy, previous, context)
    }
}

resource_broker_sdk::export!(Identity: AcceptFilter, StatusTransformer);
