//! The rules that an offer has for networks and peerings, as they stand in a filter's `with`.

pub mod flag;
pub mod range;
pub mod reference;
pub mod region;

use resource_broker_plugin_kit::judging::{Broken, no_rules_for};
use resource_broker_plugin_kit::values;
use resource_broker_sdk::{Document, Error, Field, Filter, Violation};

use crate::settings::{Settings, Subject};

/// What an offer asks of one key's value.
#[derive(Debug)]
pub enum Rules {
    /// Of a range of addresses.
    Range(range::Rules),
    /// Of a region.
    Region(region::Rules),
    /// Of a reference to another network.
    Reference(reference::Rules),
    /// Of a switch.
    Flag(flag::Rules),
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
            Subject::Cidr => range::Rules::read(filter, settings.names())?.map(Self::Range),
            Subject::Region => filter.with()?.map(Self::Region),
            Subject::Reference => filter.with()?.map(Self::Reference),
            Subject::Flag => flag::Rules::read(filter)?.map(Self::Flag),
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
    ) -> Result<Vec<Violation>, Error> {
        let (required, example) = match self {
            Self::Range(rules) => (rules.required(), "10.20.0.0/16"),
            Self::Region(rules) => (rules.required, "eu-west-1"),
            Self::Reference(rules) => (rules.required, "backbone"),
            Self::Flag(rules) => (rules.required, "false"),
        };
        values::judge(filter, field, required, example, |text| self.broken(text, filter, object))
    }

    fn broken(&self, text: &str, filter: &Filter, object: &Document<'_>) -> Vec<Broken> {
        match self {
            Self::Range(rules) => rules.broken(text, object),
            Self::Region(rules) => rules.broken(text).into_iter().collect(),
            Self::Reference(rules) => rules.broken(text, &filter.key, object),
            Self::Flag(rules) => rules.broken(text, object),
        }
    }
}
