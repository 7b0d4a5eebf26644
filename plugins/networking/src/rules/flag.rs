//! Rules for switches, such as whether a peering's gateway may be used.

use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::{Document, Error, Filter};
use serde::Deserialize;

/// What an offer asks of a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// How it has to stand.
    is: Option<bool>,
    /// Switches that have to be on as well if this one is.
    needs: Vec<String>,
    /// Whether an object without the field is refused.
    pub required: bool,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(rules) = filter.with::<Self>()? else { return Ok(None) };
        if rules.is == Some(false) && !rules.needs.is_empty() {
            return Err(
                filter.invalid("needs", "the switch has to be off, so that it needs nothing: remove one of the two")
            );
        }
        if let Some(index) = rules.needs.iter().position(|key| *key == filter.key) {
            return Err(filter.invalid(&format!("needs.{index}"), "a switch does not need itself: name another key"));
        }
        Ok(Some(rules))
    }

    /// Every rule that a switch breaks.
    pub fn broken(&self, text: &str, object: &Document<'_>) -> Vec<Broken> {
        let on = match text {
            "true" => true,
            "false" => false,
            _ => return vec![Broken::new("syntax", "true or false", "is neither true nor false")],
        };
        let mut broken = Vec::new();
        if let Some(wanted) = self.is.filter(|wanted| *wanted != on) {
            let reason = if wanted {
                "is always on here: set it to true, or leave it out"
            } else {
                "is not offered here: set it to false, or leave it out"
            };
            broken.push(Broken::new("is", wanted.to_string(), reason));
        }
        let off = |key: &&String| object.text(&format!("spec.{key}")).as_deref() != Some("true");
        for key in self.needs.iter().filter(|_| on).filter(off) {
            let reason = format!("works here only together with spec.{key}: set that to true as well");
            broken.push(Broken::new("needs", format!("spec.{key} is true"), reason));
        }
        broken
    }
}
