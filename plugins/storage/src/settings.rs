//! What an operator sets about the plugin; `settings.schema.json` says the same to programs.

use std::collections::BTreeMap;

use resource_broker_plugin_kit::judging::finish_settings;
use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_plugin_kit::pods::PodSettings;
use resource_broker_sdk::{Error, Problems, parse_settings};
use serde::Deserialize;

use crate::migration;
use crate::zones::Zones;

/// The plugin's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// More zones, or other ones in place of those that are known: `{"eu": ["eu-*", "!eu-west-2"]}`.
    pub zones: BTreeMap<String, Vec<String>>,
    /// More phases and conditions.
    pub status: PhaseSettings,
    /// How storage is moved.
    pub migration: MigrationSettings,
}

/// How storage is moved.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MigrationSettings {
    /// Whether both ends are compared before the new one is used.
    pub verify: bool,
    /// How many objects of a bucket are copied at the same time.
    pub transfers: u32,
    /// The pods of the stages.
    pub pods: PodSettings,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self { verify: true, transfers: 16, pods: PodSettings::default() }
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
        settings.zones().check(&mut problems);
        settings.migration.pods.check("migration.pods.", migration::IMAGES, migration::KEYS, &mut problems);
        if !(1..=256).contains(&settings.migration.transfers) {
            problems.push("migration.transfers", "between 1 and 256 objects are copied at the same time");
        }
        finish_settings(problems)?;
        Ok(settings)
    }

    /// The zones that are known.
    pub fn zones(&self) -> Zones<'_> {
        Zones { settings: &self.zones }
    }
}
