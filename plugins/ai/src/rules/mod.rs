//! The rules that an offer has for models and runtimes, as they stand in a filter's `with`.

pub mod model;
pub mod runtime;

use resource_broker_plugin_kit::judging::{Broken, no_rules_for};
use resource_broker_plugin_kit::values;
use resource_broker_sdk::{Document, Error, Field, Filter, Violation};

use crate::settings::{Settings, Subject};

/// What an offer asks of one key's value.
#[derive(Debug)]
pub enum Rules {
    /// Of a model.
    Model(model::Rules),
    /// Of a runtime.
    Runtime(runtime::Rules),
}

impl Rules {
    /// The filter's rules; `None` if it has none of the plugin's own.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter, settings: &Settings) -> Result<Option<Self>, Error> {
        if !filter.has_with() {
            return Ok(None);
        }
        let Some(subject) = settings.subject(&filter.key) else {
            return Err(no_rules_for(filter, &settings.known_keys()));
        };
        Ok(match subject {
            Subject::Model => model::Rules::read(filter)?.map(Self::Model),
            Subject::Runtime => runtime::Rules::read(filter)?.map(Self::Runtime),
        })
    }

    /// Every rule that the object breaks.
    ///
    /// # Errors
    ///
    /// If the object cannot be read.
    pub fn violations(
        &self,
        filter: &Filter,
        field: &Field<'_>,
        object: &Document<'_>,
        settings: &Settings,
    ) -> Result<Vec<Violation>, Error> {
        let (required, example) = match self {
            Self::Model(rules) => (rules.required(), "meta-llama/Llama-3.1-8B-Instruct"),
            Self::Runtime(rules) => (rules.required(), "vllm"),
        };
        values::judge(filter, field, required, example, |text| self.broken(text, object, settings))
    }

    fn broken(&self, text: &str, object: &Document<'_>, settings: &Settings) -> Vec<Broken> {
        match self {
            Self::Model(rules) => rules.broken(text, object, settings),
            Self::Runtime(rules) => rules.broken(text, object, settings),
        }
    }
}
