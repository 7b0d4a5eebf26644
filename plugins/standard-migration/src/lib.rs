//! The plugin that moves objects of every API for which there is no other: it does what a `MigrationConfiguration` says.
//!
//! A configuration's stages deploy templates, whose strings may hold `${CEL}`, and wait for conditions, which are CEL.
//! The README is the reference for those who write them.
//!
//! ```text
//! configuration   spec as JSON → stages, and all that is wrong with their form
//!      │
//! check           every expression of every stage: does it compile, can it have a value
//!      │
//! template        strings with ${…} → pieces → objects
//! condition       how a stage stands
//!      │
//! expression      CEL: compiled, evaluated, and its errors put in words
//! value           JSON ↔ CEL
//! ```

mod check;
mod cluster;
mod condition;
mod configuration;
mod expression;
mod template;
mod value;

use resource_broker_sdk::{
    Deployed, Document, Error, Manifest, MigrationContext, MigrationTemplate, Plugin, Stage, StageOutcome,
    unknown_stage,
};
use serde_json::{Value, json};

use crate::configuration::{Configuration, StageSpec};
use crate::expression::{Language, Scope};

/// The standard migration plugin.
#[derive(Debug)]
pub struct StandardMigration;

impl Plugin for StandardMigration {}

impl MigrationTemplate for StandardMigration {
    fn validate(configuration: &Document<'_>) -> Result<(), Error> {
        let (stages, mut problems) = Configuration::read(configuration)?;
        configuration::endpoints(configuration, &mut problems)?;
        let language = Language::new()?;
        let nothing = language.scope()?;
        for stage in &stages.stages {
            check::stage(&language, &nothing, stage, &mut problems);
        }
        problems.finish()
    }

    fn stages(context: &MigrationContext, _: &Document<'_>, _: &Document<'_>) -> Result<Vec<Stage>, Error> {
        let configuration = Configuration::valid(&context.configuration)?;
        Ok(configuration.stages.iter().map(StageSpec::to_stage).collect())
    }

    fn render(
        context: &MigrationContext,
        old: &Document<'_>,
        new: &Document<'_>,
        stage: &str,
    ) -> Result<Vec<Manifest>, Error> {
        let stage = find(context, stage)?;
        let language = Language::new()?;
        let mut scope = copies(&language, old, new)?;
        scope.set(expression::MIGRATION, &json!({"id": context.id, "namespace": context.namespace}));
        template::manifests(&language, &scope, &stage)
    }

    fn assess(
        context: &MigrationContext,
        old: &Document<'_>,
        new: &Document<'_>,
        stage: &str,
        deployed: &[Deployed],
    ) -> Result<StageOutcome, Error> {
        let stage = find(context, stage)?;
        let language = Language::new()?;
        let scope = copies(&language, old, new)?;
        condition::assess(&language, scope, &stage, deployed)
    }
}

resource_broker_sdk::export!(StandardMigration: MigrationTemplate);

fn find(context: &MigrationContext, stage: &str) -> Result<StageSpec, Error> {
    let stages = Configuration::valid(&context.configuration)?.stages;
    stages.into_iter().find(|spec| spec.name == stage).ok_or_else(|| unknown_stage(stage))
}

/// A scope with the two copies, which every expression sees.
fn copies(language: &Language, old: &Document<'_>, new: &Document<'_>) -> Result<Scope, Error> {
    let mut scope = language.scope()?;
    for (name, copy) in [(expression::FROM, old), (expression::TO, new)] {
        scope.set(name, &copy.parse::<Value>("")?.unwrap_or_default());
    }
    Ok(scope)
}
