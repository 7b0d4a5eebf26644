//! What an operator sets about the plugin; `settings.schema.json` says the same to programs.

use std::collections::BTreeMap;

use resource_broker_plugin_kit::judging::finish_settings;
use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_sdk::{Document, Error, Problems, parse_settings};
use serde::Deserialize;

use crate::facts::Fact;
use crate::model::{IdError, Model};
use crate::runtime;

/// How many facts there may be; each is looked at for each model.
const MOST_FACTS: usize = 1_000;

/// What the value of a key is, and so which rules there are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A model's id.
    Model,
    /// What serves it.
    Runtime,
}

/// The keys of the generic kind.
const KEYS: &[(&str, Subject)] = &[("modelID", Subject::Model), ("runtime", Subject::Runtime)];

/// The plugin's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// What the operator knows about models.
    models: Vec<Fact>,
    /// What the values of other keys are, for kinds beside the generic one.
    keys: BTreeMap<String, Subject>,
    /// More phases and conditions.
    pub status: PhaseSettings,
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
        if settings.models.len() > MOST_FACTS {
            problems.push(
                "models",
                format!("there are {} of them; at most {MOST_FACTS} are possible", settings.models.len()),
            );
        }
        for (index, fact) in settings.models.iter().enumerate().filter(|(_, fact)| fact.is_empty()) {
            problems.push(
                format!("models.{index}"),
                format!("it says nothing about {}: add a fact, or remove it", fact.matches),
            );
        }
        finish_settings(problems)?;
        Ok(settings)
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

    /// The key under which an object has its model.
    pub fn model_key(&self) -> &str {
        self.key_of(Subject::Model)
    }

    fn key_of(&self, subject: Subject) -> &str {
        let own = self.keys.iter().find(|(_, own)| **own == subject).map(|(key, _)| key.as_str());
        let known = || KEYS.iter().find(|(_, known)| *known == subject).map_or("", |(key, _)| *key);
        own.unwrap_or_else(known)
    }

    /// What is known about the model of that id, as the object's runtime understands it.
    ///
    /// # Errors
    ///
    /// If it is no id.
    pub fn model(&self, id: &str, object: &Document<'_>) -> Result<Model, IdError> {
        let wanted =
            object.text(&format!("spec.{}", self.key_of(Subject::Runtime))).and_then(|text| runtime::read(&text));
        Model::parse(id, wanted.as_ref().map(|wanted| wanted.name.as_str()), &self.models)
    }
}
