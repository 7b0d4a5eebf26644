//! What an operator sets about the plugin; `settings.schema.json` says the same to programs.

use resource_broker_plugin_kit::engines::{Catalogue, EngineSettings};
use resource_broker_plugin_kit::judging::finish_settings;
use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_plugin_kit::pods::PodSettings;
use resource_broker_sdk::{Error, Problems, parse_settings};
use serde::Deserialize;

use crate::{catalogue, migration};

/// The plugin's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// More engines, families and ends of life.
    pub engines: EngineSettings,
    /// More phases and conditions.
    pub status: PhaseSettings,
    /// How databases are moved.
    pub migration: MigrationSettings,
}

/// How databases are moved.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MigrationSettings {
    /// Whether the old database is made read-only before it is dumped, where the engine can do that. Otherwise a person
    /// has to stop whoever writes to it, and approves the stage.
    pub freeze: bool,
    /// For how long at most a key-value store's writers are paused while the new one catches up.
    pub pause_seconds: u32,
    /// Whether connections have to be encrypted.
    pub tls: Tls,
    /// The pods of the stages.
    pub pods: PodSettings,
}

/// Whether connections to both ends have to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Where the server and the client can do it.
    Prefer,
    /// Always.
    Require,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self { freeze: true, pause_seconds: 30, tls: Tls::Prefer, pods: PodSettings::default() }
    }
}

impl Settings {
    /// Reads settings and looks for what makes no sense.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] with everything that is wrong.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let settings: Self = parse_settings(json)?;
        let mut problems = Problems::new();
        settings.engines.check("engines.", &mut problems);
        settings.migration.pods.check("migration.pods.", migration::IMAGES, migration::KEYS, &mut problems);
        if !(1..=600).contains(&settings.migration.pause_seconds) {
            problems.push("migration.pauseSeconds", "the pause is between 1 and 600 seconds");
        }
        finish_settings(problems)?;
        Ok(settings)
    }

    /// The engines that are known.
    pub fn catalogue(&self) -> Catalogue<'_> {
        Catalogue { engines: catalogue::ENGINES, settings: &self.engines }
    }
}
