//! The role `migration-template`: its calls, and the conversion of its types.

use resource_broker_plugin_types::{
    Deployed, Endpoint, Manifest, MigrationContext, Mirrored, Role, Stage, StageOutcome,
};
use wasmtime::Store;
use wasmtime::component::Resource;

use super::{check_size, lacks, lend, malformed, refusal};
use crate::answer;
use crate::call::Call;
use crate::document::Document;
use crate::error::CallError;
use crate::interface::template;
use crate::linked::Linked;
use crate::state::State;

/// The two copies that a migration is between.
pub(crate) struct Copies {
    pub(crate) old: Document,
    pub(crate) new: Document,
}

impl Copies {
    fn size(&self) -> usize {
        self.old.json().len() + self.new.json().len()
    }

    fn lend(self, store: &mut Store<State>) -> wasmtime::Result<(Resource<Document>, Resource<Document>)> {
        Ok((lend(store, self.old)?, lend(store, self.new)?))
    }
}

/// Judges `spec` of a MigrationConfiguration.
pub(crate) fn validate(call: &mut Call<'_>, configuration: &str) -> Result<(), CallError> {
    let linked = call.linked();
    let indices = indices(linked)?;
    let answer = call.run(configuration.len(), |store, instance| {
        indices.load(&mut *store, instance)?.call_validate(store, configuration)
    })?;
    answer.map_err(|error| refusal(linked, error))
}

/// The stages of a migration.
pub(crate) fn stages(call: &mut Call<'_>, context: MigrationContext, copies: Copies) -> Result<Vec<Stage>, CallError> {
    let linked = call.linked();
    let indices = indices(linked)?;
    let input = copies.size() + context.configuration.len();
    let context = convert(context);
    let answer = call.run(input, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let (old, new) = copies.lend(store)?;
        guest.call_stages(store, &context, old, new)
    })?;
    let stages = answer.map_err(|error| refusal(linked, error))?.into_iter().map(stage).collect();
    answer::migration::stages(stages).map_err(|message| malformed(linked, message))
}

/// What one stage deploys.
pub(crate) fn render(
    call: &mut Call<'_>,
    context: MigrationContext,
    copies: Copies,
    stage: &str,
) -> Result<Vec<Manifest>, CallError> {
    let linked = call.linked();
    let indices = indices(linked)?;
    let input = copies.size() + context.configuration.len();
    let id = context.id.clone();
    let context = convert(context);
    let answer = call.run(input, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let (old, new) = copies.lend(store)?;
        guest.call_render(store, &context, old, new, stage)
    })?;
    let manifest = |template::Manifest { name, body }| Manifest { name, body };
    let manifests: Vec<Manifest> = answer.map_err(|error| refusal(linked, error))?.into_iter().map(manifest).collect();
    check_size(linked, "manifests", manifests.iter().map(|manifest| manifest.body.len()).sum())?;
    answer::migration::manifests(manifests, &id).map_err(|message| malformed(linked, message))
}

/// How one stage stands.
pub(crate) fn assess(
    call: &mut Call<'_>,
    context: MigrationContext,
    copies: Copies,
    stage: &str,
    deployed: Vec<Deployed>,
) -> Result<StageOutcome, CallError> {
    let linked = call.linked();
    let indices = indices(linked)?;
    let objects = deployed.iter().filter_map(|deployed| deployed.object.as_ref()).map(String::len).sum::<usize>();
    let input = copies.size() + context.configuration.len() + objects;
    let context = convert(context);
    let deployed: Vec<template::Deployed> =
        deployed.into_iter().map(|Deployed { name, object }| template::Deployed { name, object }).collect();
    let answer = call.run(input, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let (old, new) = copies.lend(store)?;
        guest.call_assess(store, &context, old, new, stage, &deployed)
    })?;
    Ok(match answer.map_err(|error| refusal(linked, error))? {
        template::Outcome::Waiting(reason) => StageOutcome::Waiting(answer::sentence(&reason)),
        template::Outcome::Ready => StageOutcome::Ready,
        template::Outcome::Succeeded => StageOutcome::Succeeded,
        template::Outcome::Failed(reason) => StageOutcome::Failed(answer::sentence(&reason)),
    })
}

fn indices(linked: &Linked) -> Result<&template::GuestIndices, CallError> {
    linked.compiled.exports.template.as_ref().ok_or_else(|| lacks(linked, Role::MigrationTemplate))
}

fn convert(context: MigrationContext) -> template::Context {
    let MigrationContext { id, namespace, configuration, old, new } = context;
    template::Context { id, namespace, configuration, old: endpoint(old), new: endpoint(new) }
}

fn endpoint(endpoint: Endpoint) -> template::Endpoint {
    let mirrored = |Mirrored { key, api_version, kind, name }| template::Mirrored { key, api_version, kind, name };
    let Endpoint { provider, api_version, kind, namespace, name, related } = endpoint;
    let related = related.into_iter().map(mirrored).collect();
    template::Endpoint { provider, api_version, kind, namespace, name, related }
}

fn stage(stage: template::Stage) -> Stage {
    let template::Stage { name, progress, timeout_seconds, retries, approval } = stage;
    Stage { name, progress, timeout_seconds, retries, approval }
}
