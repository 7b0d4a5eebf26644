//! What an operator sets about the plugin.

use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_sdk::{Error, FieldError};
use serde::Deserialize;

use crate::name::Name;
use crate::suffix::Suffixes;

/// The settings' JSON Schema.
pub const SCHEMA: &str = include_str!("../settings.schema.json");

/// The settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Which domains are public suffixes, beside the built-in ones.
    public_suffixes: Changes,
    /// How a provider's words for its states are translated.
    pub status: PhaseSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Changes {
    add: Vec<String>,
    remove: Vec<String>,
}

impl Settings {
    /// The public suffixes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] with every suffix that is no domain.
    pub fn suffixes(&self) -> Result<Suffixes, Error> {
        let mut problems = Vec::new();
        let mut read = |field: &str, domains: &[String]| -> Vec<String> {
            let mut read = Vec::with_capacity(domains.len());
            for (index, text) in domains.iter().enumerate() {
                match Name::parse(text) {
                    Ok(name) if !name.is_wildcard() => read.push(name.to_string()),
                    Ok(_) => problems.push(FieldError::new(
                        format!("publicSuffixes.{field}.{index}"),
                        format!("{text:?} is a wildcard; write the domain itself, as apps.example.org"),
                    )),
                    Err(error) => problems.push(FieldError::new(
                        format!("publicSuffixes.{field}.{index}"),
                        format!("the name {text:?} {error}"),
                    )),
                }
            }
            read
        };
        let suffixes = Suffixes {
            added: read("add", &self.public_suffixes.add),
            removed: read("remove", &self.public_suffixes.remove),
        };
        if problems.is_empty() { Ok(suffixes) } else { Err(Error::InvalidSettings(problems)) }
    }
}
