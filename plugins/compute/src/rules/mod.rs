//! The rules that an offer has for clusters and machines, as they stand in a filter's `with`.

pub mod architecture;
pub mod count;
pub mod memory;
pub mod version;

use resource_broker_plugin_kit::bounds::{Bounds, Measure};
use resource_broker_plugin_kit::judging::{Broken, no_rules_for};
use resource_broker_plugin_kit::values;
use resource_broker_sdk::{Error, Field, Filter, Problems, Violation};

use crate::settings::{Settings, Subject};

/// What an offer asks of one key's value.
#[derive(Debug)]
pub enum Rules {
    /// Of a Kubernetes version.
    Version(version::Rules),
    /// Of a number of nodes.
    Count(count::Rules),
    /// Of a processor architecture.
    Architecture(architecture::Rules),
    /// Of an amount of memory.
    Memory(memory::Rules),
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
            Subject::Version => version::Rules::read(filter)?.map(Self::Version),
            Subject::Count => count::Rules::read(filter)?.map(Self::Count),
            Subject::Architecture => {
                architecture::Rules::read(filter, &settings.architectures())?.map(Self::Architecture)
            }
            Subject::Memory => memory::Rules::read(filter)?.map(Self::Memory),
        })
    }

    /// Every rule that the object breaks.
    ///
    /// # Errors
    ///
    /// If the object cannot be read.
    pub fn violations(&self, filter: &Filter, field: &Field<'_>, settings: &Settings) -> Result<Vec<Violation>, Error> {
        let (required, example) = match self {
            Self::Version(rules) => (rules.required(), "1.34"),
            Self::Count(rules) => (rules.required(), "3"),
            Self::Architecture(rules) => (rules.required(), "amd64"),
            Self::Memory(rules) => (rules.required(), "4096"),
        };
        values::judge(filter, field, required, example, |text| self.broken(text, settings))
    }

    fn broken(&self, text: &str, settings: &Settings) -> Vec<Broken> {
        match self {
            Self::Version(rules) => rules.broken(text),
            Self::Count(rules) => rules.broken(text),
            Self::Architecture(rules) => rules.broken(text, &settings.architectures()).into_iter().collect(),
            Self::Memory(rules) => rules.broken(text),
        }
    }
}

/// What is wrong with the bounds that a filter's `with` has.
fn check_bounds<M: Measure>(filter: &Filter, bounds: &Bounds<M>) -> Result<(), Error> {
    let mut problems = Problems::new();
    bounds.check(&format!("{}.with.", filter.index), &mut problems);
    problems.finish()
}
