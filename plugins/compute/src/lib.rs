//! The plugin for computers: `KubernetesCluster` and `VirtualMachine` of `compute.generic.platform-mesh.io`, and any other
//! API that asks for versions of Kubernetes, nodes, architectures or memory.
//!
//! - As an accept filter it knows version skew, parity, architectures by all their names, and memory; see [`rules`].
//! - As a status transformer it translates the phases of well-known operators; see [`status`].
//! - As a migration template it moves clusters by backup and restore, and machines by copying their disks; see
//!   [`migration`].
//!
//! The README says how an offer, the settings and a migration are written.

pub mod architecture;
pub mod migration;
pub mod rules;
pub mod settings;
pub mod status;

use resource_broker_sdk::{
    AcceptFilter, CopyContext, Deployed, Document, Error, Manifest, MigrationContext, MigrationTemplate, Offer, Plugin,
    Stage, StageOutcome, StatusTransformer, Verdict, filter, settings_as, standard,
};

use crate::rules::Rules;
use crate::settings::Settings;

/// The plugin for computers.
#[derive(Debug)]
pub struct Compute;

impl Plugin for Compute {
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn validate_settings(settings: &str) -> Result<(), Error> {
        Settings::parse(settings).map(drop)
    }
}

impl AcceptFilter for Compute {
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
                Some(rules) => rules.violations(filter, field, &settings),
                None => Ok(Vec::new()),
            })
        };
        offers.iter().map(&mut judge_one).collect()
    }
}

impl StatusTransformer for Compute {
    fn transform(
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let settings: Settings = settings_as()?;
        status::phases(&settings.status).transform(copy, previous, context)
    }
}

impl MigrationTemplate for Compute {
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

resource_broker_sdk::export!(Compute: AcceptFilter, StatusTransformer, MigrationTemplate);
