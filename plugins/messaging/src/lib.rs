//! The plugin for messaging: `PubSub`, `EventStreaming` and `MessageBroker` of `messaging.generic.platform-mesh.io`.
//!
//! - As an accept filter it knows engines and versions, and calculates with retention, partitions and what they fill; see
//!   [`rules`].
//! - As a status transformer it translates the phases of well-known operators; see [`status`].
//! - As a migration template it mirrors what is there and drains the old end; see [`migration`].
//!
//! The README says how an offer, the settings and a migration are written.

pub mod catalogue;
pub mod estimate;
pub mod migration;
pub mod rules;
pub mod settings;
pub mod status;

use resource_broker_sdk::{
    AcceptFilter, CopyContext, Deployed, Document, Error, Manifest, MigrationContext, MigrationTemplate, Offer, Plugin,
    Stage, StageOutcome, StatusTransformer, Verdict, filter, settings_as, standard,
};

use crate::settings::Settings;

/// The plugin for messaging.
#[derive(Debug)]
pub struct Messaging;

impl Plugin for Messaging {
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn validate_settings(settings: &str) -> Result<(), Error> {
        Settings::parse(settings).map(drop)
    }
}

impl AcceptFilter for Messaging {
    fn validate(filters: &[String]) -> Result<(), Error> {
        let settings: Settings = settings_as()?;
        filter::validate(filters, |filter| rules::check(filter, &settings))
    }

    fn judge_offer(object: &Document<'_>, offer: &Offer) -> Result<Verdict, Error> {
        let mut verdicts = Self::judge(object, std::slice::from_ref(offer))?;
        verdicts.pop().ok_or_else(|| Error::internal("one offer has no verdict"))
    }

    fn judge(object: &Document<'_>, offers: &[Offer]) -> Result<Vec<Verdict>, Error> {
        let settings: Settings = settings_as()?;
        let mut judge = standard::Judge::new(object);
        let mut judge_one =
            |offer| judge.offer_with(offer, |filter, field| rules::broken(filter, field, object, &settings));
        offers.iter().map(&mut judge_one).collect()
    }
}

impl StatusTransformer for Messaging {
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let settings: Settings = settings_as()?;
        status::phases(&settings.status).transform(copy, previous, context)
    }
}

impl MigrationTemplate for Messaging {
    fn validate(configuration: &Document<'_>) -> Result<(), Error> {
        migration::check(configuration)
    }

    fn stages(context: &MigrationContext, old: &Document<'_>, new: &Document<'_>) -> Result<Vec<Stage>, Error> {
        migration::stages(context, old, new, &settings_as()?)
    }

    fn render(
        context: &MigrationContext,
        old: &Document<'_>,
        new: &Document<'_>,
        stage: &str,
    ) -> Result<Vec<Manifest>, Error> {
        migration::render(context, old, new, stage, &settings_as()?)
    }

    fn assess(
        context: &MigrationContext,
        old: &Document<'_>,
        new: &Document<'_>,
        _stage: &str,
        deployed: &[Deployed],
    ) -> Result<StageOutcome, Error> {
        migration::assess(context, old, new, deployed, &settings_as()?)
    }
}

resource_broker_sdk::export!(Messaging: AcceptFilter, StatusTransformer, MigrationTemplate);
