//! What an operator sets about the plugin.

use std::collections::BTreeMap;

use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_sdk::cidr::Cidr;
use resource_broker_sdk::{Error, FieldError, escape_key};
use serde::Deserialize;

use crate::networks::Names;

/// The settings' JSON Schema.
pub const SCHEMA: &str = include_str!("../settings.schema.json");

/// What the value of a key is, and so which rules there are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A range of addresses.
    Cidr,
    /// Where something is.
    Region,
    /// The name of another network, with or without its namespace.
    Reference,
    /// A switch that is on or off.
    Flag,
}

/// The keys of the generic kinds.
const KEYS: &[(&str, Subject)] = &[
    ("allowForwardedTraffic", Subject::Flag),
    ("allowGatewayTransit", Subject::Flag),
    ("cidr", Subject::Cidr),
    ("localNetworkRef", Subject::Reference),
    ("region", Subject::Region),
    ("remoteNetworkRef", Subject::Reference),
];

/// The settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Names for networks, beside the built-in ones.
    networks: BTreeMap<String, Vec<Cidr>>,
    /// What the values of other keys are, for kinds beside the generic ones.
    keys: BTreeMap<String, Subject>,
    /// How a provider's words for its states are translated.
    pub status: PhaseSettings,
}

impl Settings {
    /// What is wrong with them beyond their form.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] with everything that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        for (name, ranges) in &self.networks {
            let path = format!("networks.{}", escape_key(name));
            for (index, range) in ranges.iter().enumerate().filter(|(_, range)| !range.is_canonical()) {
                let message =
                    format!("{}/{} has bits behind its prefix: write {range}", range.address(), range.prefix());
                problems.push(FieldError::new(format!("{path}.{index}"), message));
            }
            if ranges.is_empty() {
                problems.push(FieldError::new(path, "a name for no network at all: give it a range, or remove it"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::InvalidSettings(problems)) }
    }

    /// The names of networks.
    pub fn names(&self) -> Names<'_> {
        Names { own: &self.networks }
    }

    /// What the value of a key is; `None` for a key that nobody knows.
    pub fn subject(&self, key: &str) -> Option<Subject> {
        let known = || KEYS.iter().find(|(known, _)| *known == key).map(|(_, subject)| *subject);
        self.keys.get(key).copied().or_else(known)
    }

    /// The keys for which there are rules.
    pub fn known_keys(&self) -> Vec<&str> {
        KEYS.iter().map(|(key, _)| *key).chain(self.keys.keys().map(String::as_str)).collect()
    }
}
