//! The questions that can be put to a plugin: each is work for one call, whoever makes it.

use resource_broker_plugin_types::{
    CopyContext, Deployed, Manifest, MigrationContext, Offer, Stage, StageOutcome, Verdict,
};

use crate::call::{Call, Question};
use crate::calls;
use crate::document::Document;
use crate::error::CallError;

/// One verdict an offer on `object`.
pub(crate) fn judge(object: String, offers: Vec<Offer>) -> impl Question<Vec<Verdict>> {
    move |call: &mut Call<'_>| {
        let object = document(call, "the object", object)?;
        calls::judge(call, object, offers)
    }
}

/// Whether the filters of one offer make sense.
pub(crate) fn validate_filters(filters: Vec<String>) -> impl Question<()> {
    move |call: &mut Call<'_>| calls::validate_filters(call, &filters)
}

/// The consumer's status.
pub(crate) fn transform_status(
    copy: String,
    previous: Option<String>,
    context: CopyContext,
) -> impl Question<Option<String>> {
    move |call: &mut Call<'_>| {
        let copy = document(call, "the copy", copy)?;
        let previous = previous.map(|previous| document(call, "the consumer's object", previous)).transpose()?;
        calls::transform(call, copy, previous, context)
    }
}

/// Whether the plugin takes these settings.
pub(crate) fn validate_settings(settings: String) -> impl Question<()> {
    move |call: &mut Call<'_>| calls::validate_settings(call, &settings)
}

/// Whether `spec` of a MigrationConfiguration makes sense.
pub(crate) fn validate_migration(configuration: String) -> impl Question<()> {
    move |call: &mut Call<'_>| calls::migration::validate(call, &configuration)
}

/// The stages of a migration between two copies.
pub(crate) fn migration_stages(context: MigrationContext, old: String, new: String) -> impl Question<Vec<Stage>> {
    move |call: &mut Call<'_>| {
        let copies = copies(call, old, new)?;
        calls::migration::stages(call, context, copies)
    }
}

/// What one stage deploys.
pub(crate) fn render_stage(
    context: MigrationContext,
    old: String,
    new: String,
    stage: String,
) -> impl Question<Vec<Manifest>> {
    move |call: &mut Call<'_>| {
        let copies = copies(call, old, new)?;
        calls::migration::render(call, context, copies, &stage)
    }
}

/// How one stage stands.
pub(crate) fn assess_stage(
    context: MigrationContext,
    old: String,
    new: String,
    stage: String,
    deployed: Vec<Deployed>,
) -> impl Question<StageOutcome> {
    move |call: &mut Call<'_>| {
        let copies = copies(call, old, new)?;
        calls::migration::assess(call, context, copies, &stage, deployed)
    }
}

fn copies(call: &Call<'_>, old: String, new: String) -> Result<calls::migration::Copies, CallError> {
    Ok(calls::migration::Copies {
        old: document(call, "the old copy", old)?,
        new: document(call, "the new copy", new)?,
    })
}

fn document(call: &Call<'_>, what: &str, json: String) -> Result<Document, CallError> {
    Document::parse(json).map_err(|error| CallError::Host {
        plugin: call.linked().name.to_string(),
        message: format!("{what} is not JSON: {error}"),
    })
}
