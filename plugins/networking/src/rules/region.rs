//! Rules for regions.

use resource_broker_plugin_kit::glob::{Glob, list};
use resource_broker_plugin_kit::judging::Broken;
use serde::Deserialize;

/// What an offer asks of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// It is as one of these patterns; empty: any.
    one_of: Vec<Glob>,
    /// It is as none of these.
    none_of: Vec<Glob>,
    /// Whether an object without the field is refused.
    pub required: bool,
}

impl Rules {
    /// The rule that a region breaks.
    pub fn broken(&self, region: &str) -> Option<Broken> {
        let region = region.trim();
        if let Some(excluded) = self.none_of.iter().find(|pattern| pattern.is_match(region)) {
            let reason = format!("is ruled out here, as is all of {excluded}: choose another region");
            return Some(Broken::new("noneOf", format!("a region that is none of {}", list(&self.none_of)), reason));
        }
        if self.one_of.is_empty() || self.one_of.iter().any(|pattern| pattern.is_match(region)) {
            return None;
        }
        let regions = list(&self.one_of);
        Some(Broken::new(
            "oneOf",
            format!("one of {regions}"),
            format!("is none of the regions that there are here: {regions}"),
        ))
    }
}
