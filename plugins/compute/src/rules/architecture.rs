//! Rules for processor architectures.

use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::{Error, Filter, Problems};
use serde::Deserialize;

use crate::architecture::{Architecture, Architectures};

/// What an offer asks of an architecture.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// It is one of these; empty: any.
    one_of: Vec<Architecture>,
    /// It is none of these, whatever its level.
    none_of: Vec<Architecture>,
    required: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    one_of: Vec<String>,
    none_of: Vec<String>,
    required: bool,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them: above all a name that there is not, which would refuse everything.
    pub fn read(filter: &Filter, all: &Architectures<'_>) -> Result<Option<Self>, Error> {
        let Some(written) = filter.with::<Written>()? else { return Ok(None) };
        let mut problems = Problems::new();
        let mut read = |field: &str, names: &[String]| -> Vec<Architecture> {
            let mut read = Vec::with_capacity(names.len());
            for (index, name) in names.iter().enumerate() {
                if let Some(architecture) = all.read(name).filter(|architecture| all.knows(architecture)) {
                    read.push(architecture);
                } else {
                    let message = format!(
                        "there is no architecture {name:?}; there are {}, and the plugin's settings may name more",
                        all.list()
                    );
                    problems.take(Err::<(), _>(filter.invalid(&format!("{field}.{index}"), message)));
                }
            }
            read
        };
        let (one_of, none_of) = (read("oneOf", &written.one_of), read("noneOf", &written.none_of));
        if !one_of.is_empty() && one_of.iter().all(|one| none_of.iter().any(|none| none.name == one.name)) {
            let message = "it takes away everything that oneOf has, so that nothing is accepted";
            problems.take(Err::<(), _>(filter.invalid("noneOf", message)));
        }
        problems.finish()?;
        Ok(Some(Self { one_of, none_of, required: written.required }))
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// The rule that an architecture breaks.
    pub fn broken(&self, text: &str, all: &Architectures<'_>) -> Option<Broken> {
        let Some(wanted) = all.read(text) else {
            let reason = format!("is no architecture: choose one of {}", all.list());
            return Some(Broken::new("syntax", "an architecture, such as amd64", reason));
        };
        if let Some(none) = self.none_of.iter().find(|none| none.name == wanted.name) {
            let reason = format!("is {} by another name or by its own, which is ruled out here", none.name);
            return Some(Broken::new("noneOf", format!("none of {}", list(&self.none_of)), reason));
        }
        if self.one_of.is_empty() || self.one_of.iter().any(|one| one.runs(&wanted)) {
            return None;
        }
        let offered = list(&self.one_of);
        let reason = if self.one_of.iter().any(|one| one.name == wanted.name) {
            format!("asks for newer processors than there are here ({offered}): ask for a lower level, or leave it out")
        } else {
            format!("is not what there is here: choose one of {offered}")
        };
        Some(Broken::new("oneOf", format!("one of {offered}"), reason))
    }
}

fn list(architectures: &[Architecture]) -> String {
    architectures.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
