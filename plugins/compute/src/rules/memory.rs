//! Rules for amounts of memory.

use std::fmt;
use std::str::FromStr;

use resource_broker_plugin_kit::bounds::{Bounds, Measure};
use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::quantity::Quantity;
use resource_broker_sdk::{Error, Filter};
use serde::Deserialize;
use serde_json::Value;

use super::check_bounds;

/// How many sizes one list may have; more is no rule that a person has written.
const MOST_SIZES: usize = 200;

/// An amount of memory: a quantity with its suffix, or a number of MiB, which is what a number by itself means in the
/// generic kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Value")]
pub struct Memory(Quantity);

impl Measure for Memory {
    const WHAT: &'static str = "an amount of memory";

    fn atoms(&self) -> i128 {
        self.0.nanos()
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let read = if bare { format!("{text}Mi").parse() } else { text.parse::<Quantity>() };
        read.map(Self).map_err(|_| {
            let hint = match text.trim_end_matches(['B', 'b']) {
                shorter if shorter.len() < text.len() && shorter.parse::<Quantity>().is_ok() => {
                    format!("; write {shorter}, without the B")
                }
                _ => String::new(),
            };
            format!("{text:?} is no amount of memory, such as 8Gi, or 8192 for as many MiB{hint}")
        })
    }
}

impl TryFrom<Value> for Memory {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => text.parse(),
            Value::Number(number) => number.to_string().parse(),
            other => Err(format!("{other} is neither a text nor a number")),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an offer asks of an amount.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    bounds: Bounds<Memory>,
    sizes: Vec<Memory>,
    required: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    min: Option<Memory>,
    max: Option<Memory>,
    multiple_of: Option<Memory>,
    sizes: Option<Vec<Memory>>,
    required: bool,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(written) = filter.with::<Written>()? else { return Ok(None) };
        let Written { min, max, multiple_of, sizes, required } = written;
        let bounds = Bounds { min, max, multiple_of };
        check_bounds(filter, &bounds)?;
        if let Some(sizes) = &sizes {
            let message = match sizes.len() {
                0 => "the list is empty, so that nothing is accepted: name sizes, or remove it".to_owned(),
                count if count > MOST_SIZES => format!("it has {count} sizes; at most {MOST_SIZES} are possible"),
                _ if sizes.iter().all(|size| !bounds.broken(size).is_empty()) => {
                    "all of the sizes are out of bounds, so that nothing is accepted".to_owned()
                }
                _ => return Ok(Some(Self { bounds, sizes: sizes.clone(), required })),
            };
            return Err(filter.invalid("sizes", message));
        }
        Ok(Some(Self { bounds, sizes: Vec::new(), required }))
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Every rule that an amount breaks.
    pub fn broken(&self, text: &str) -> Vec<Broken> {
        let Ok(memory) = text.parse::<Memory>() else {
            let reason = "is no amount of memory: write it in MiB, or with a unit such as Gi";
            return vec![Broken::new("syntax", "an amount of memory, such as 4096 or 4Gi", reason)];
        };
        let mut broken = self.bounds.broken(&memory);
        if !self.sizes.is_empty() && !self.sizes.contains(&memory) {
            let list = self.sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let next = self.sizes.iter().filter(|size| **size > memory).min();
            let advice =
                next.map_or_else(|| "choose one of them".to_owned(), |next| format!("the next larger one is {next}"));
            let reason = format!("is none of the sizes that there are here ({list}): {advice}");
            broken.push(Broken::new("sizes", format!("one of {list}"), reason));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_by_itself_is_mebibytes() {
        for (left, right) in [("4096", "4Gi"), ("0.5", "512Ki"), ("1G", "1000M"), ("1024Mi", "1Gi")] {
            assert_eq!(left.parse::<Memory>(), right.parse::<Memory>(), "{left} and {right}");
        }
        for text in ["", "much", "4 Gi", ".", "-", "1e99"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
        let error = "8GiB".parse::<Memory>().unwrap_err();
        assert!(error.ends_with("write 8Gi, without the B"), "{error}");
    }
}
