//! A plugin that migrates as its settings say: whatever stages and manifests they name, right or wrong.

use resource_broker_sdk::{Document, Error, Manifest, MigrationContext, MigrationTemplate, Plugin, Stage, settings};
use serde::Deserialize;
use serde_json::{Value, json};

struct Stager;

/// How it migrates.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Settings {
    /// The stages of every migration.
    stages: Vec<StageSettings>,
    /// What each stage deploys. A `ConfigMap` is told in its data what the migration is about, where it has data.
    manifests: Vec<ManifestSettings>,
    /// What is wrong with any configuration.
    refuses: Option<String>,
    /// Whether it crashes when it is asked for stages.
    traps: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct StageSettings {
    name: String,
    progress: bool,
    timeout: Option<u32>,
    retries: u32,
    approval: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ManifestSettings {
    name: String,
    body: Value,
}

impl Plugin for Stager {}

impl MigrationTemplate for Stager {
    fn validate(_: &Document<'_>) -> Result<(), Error> {
        settings::<Settings>()?.refuses.map_or(Ok(()), |words| Err(Error::invalid("", words)))
    }

    fn stages(_: &MigrationContext, _: &Document<'_>, _: &Document<'_>) -> Result<Vec<Stage>, Error> {
        let settings: Settings = settings()?;
        assert!(!settings.traps, "told to trap");
        let stage = |stage: StageSettings| {
            let StageSettings { name, progress, timeout, retries, approval } = stage;
            Stage { name, progress, timeout_seconds: timeout, retries, approval }
        };
        Ok(settings.stages.into_iter().map(stage).collect())
    }

    fn render(context: &MigrationContext, _: &Document<'_>, _: &Document<'_>, _: &str) -> Result<Vec<Manifest>, Error> {
        let mut manifests = Vec::new();
        for ManifestSettings { name, mut body } in settings::<Settings>()?.manifests {
            if body["kind"] == "ConfigMap" && body["data"].is_object() {
                body["data"] = json!({
                    "id": context.id,
                    "old": context.old.required("credentials")?.name,
                    "new": context.new.required("credentials")?.name,
                });
            }
            manifests.push(Manifest::new(name, body));
        }
        Ok(manifests)
    }
}

resource_broker_sdk::export!(Stager: MigrationTemplate);
