//! Rules for numbers of nodes.

use std::fmt;
use std::str::FromStr;

use resource_broker_plugin_kit::bounds::{Bounds, Measure};
use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::{Error, Filter};
use serde::Deserialize;

use super::check_bounds;

/// A number of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Count(i64);

impl Measure for Count {
    const WHAT: &'static str = "a number";

    fn atoms(&self) -> i128 {
        i128::from(self.0)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Count {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What an offer asks of a number.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    bounds: Bounds<Count>,
    parity: Option<Parity>,
    required: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    min: Option<Count>,
    max: Option<Count>,
    multiple_of: Option<Count>,
    parity: Option<Parity>,
    required: bool,
}

/// Whether a number can be halved. Voters, such as etcd's members, have a majority more cheaply where it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Parity {
    Odd,
    Even,
}

impl Parity {
    fn has(self, number: i64) -> bool {
        (number % 2 == 0) == (self == Self::Even)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Odd => "odd",
            Self::Even => "even",
        }
    }
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(written) = filter.with::<Written>()? else { return Ok(None) };
        let Written { min, max, multiple_of, parity, required } = written;
        let bounds = Bounds { min, max, multiple_of };
        check_bounds(filter, &bounds)?;
        if parity == Some(Parity::Odd) && multiple_of.is_some_and(|Count(step)| Parity::Even.has(step)) {
            return Err(filter.invalid("parity", "no multiple of an even number is odd, so that nothing is accepted"));
        }
        if let (Some(parity), Some(Count(min)), Some(Count(max))) = (parity, min, max)
            && min == max
            && !parity.has(min)
        {
            return Err(filter.invalid("parity", format!("{min}, the only number in bounds, is not {}", parity.word())));
        }
        Ok(Some(Self { bounds, parity, required }))
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Every rule that a number breaks.
    pub fn broken(&self, text: &str) -> Vec<Broken> {
        let count = match text.parse::<Count>() {
            Ok(count) if count.0 >= 0 => count,
            Ok(_) | Err(_) => {
                return vec![Broken::new("syntax", "a whole number, such as 3", "is no whole number of nodes")];
            }
        };
        let mut broken = self.bounds.broken(&count);
        if let Some(parity) = self.parity.filter(|parity| !parity.has(count.0)) {
            let reason = match parity {
                Parity::Odd => {
                    let more = count.0.saturating_add(1);
                    let fewer = if count.0 > 1 { format!("{} or ", count.0 - 1) } else { String::new() };
                    format!("is even, and half of the nodes would be no majority: ask for {fewer}{more}")
                }
                Parity::Even => {
                    format!("is odd, and cannot be spread evenly over two sites: ask for {}", count.0.saturating_add(1))
                }
            };
            broken.push(Broken::new("parity", format!("an {} number", parity.word()), reason));
        }
        broken
    }
}
