//! The patterns by which an offer speaks of domains.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::name::{Name, NameError};

/// A set of names: `corp.com` is that name alone, `*.corp.com` what has one label more, `**.corp.com` what has one label
/// more or several, and `**` every name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    below: Below,
    labels: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Itself,
    OneLabel,
    AnyLabels,
}

impl Pattern {
    /// Whether every name that `name` stands for is in the set.
    pub fn contains(&self, name: &Name) -> bool {
        let below = name.count().checked_sub(self.labels.len());
        name.base().ends_with(&self.labels)
            && match self.below {
                Below::Itself => below == Some(0),
                Below::OneLabel => below == Some(1),
                Below::AnyLabels => below >= Some(1),
            }
    }

    /// Whether any name that `name` stands for is in the set. A wildcard stands for what it does not spell out:
    /// `*.corp.com` touches `pay.corp.com`.
    pub fn touches(&self, name: &Name) -> bool {
        let behind_star = name.is_wildcard() && self.below == Below::Itself && {
            self.labels.len() == name.count() && self.labels.ends_with(name.base())
        };
        behind_star || self.contains(name)
    }

    /// What to say to somebody whose name is close to the set but not in it: the domain itself, or too deep below it.
    pub fn near_miss(&self, name: &Name) -> Option<String> {
        let depth = name.count().checked_sub(self.labels.len())?;
        if self.labels.is_empty() || !name.base().ends_with(&self.labels) {
            return None;
        }
        match (self.below, depth) {
            (Below::OneLabel | Below::AnyLabels, 0) => Some(format!("; {self} does not have the domain itself")),
            (Below::OneLabel, 2..) => Some(format!("; {self} has one more label only, {name} has {depth}")),
            (Below::Itself, 1..) => Some(format!("; {self} has nothing below it")),
            (Below::OneLabel | Below::AnyLabels | Below::Itself, _) => None,
        }
    }
}

impl FromStr for Pattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "**" {
            return Ok(Self { below: Below::AnyLabels, labels: Vec::new() });
        }
        if let Some(rest) = text.strip_prefix("**.") {
            let base = Name::parse(rest)?;
            return if base.is_wildcard() {
                Err(NameError::Star)
            } else {
                Ok(Self { below: Below::AnyLabels, labels: base.base().to_vec() })
            };
        }
        let name = Name::parse(text)?;
        let below = if name.is_wildcard() { Below::OneLabel } else { Below::Itself };
        Ok(Self { below, labels: name.base().to_vec() })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|error| {
            format!(
                "the pattern {text:?} {error}; a pattern is a name (corp.com), what is one label below it \
                 (*.corp.com), or everything below it (**.corp.com)"
            )
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.below {
            Below::AnyLabels if self.labels.is_empty() => return f.write_str("**"),
            Below::AnyLabels => f.write_str("**.")?,
            Below::OneLabel => f.write_str("*.")?,
            Below::Itself => {}
        }
        f.write_str(&self.labels.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{text} {error}"))
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
    }

    #[test]
    fn a_pattern_contains_what_lies_as_far_below_it_as_it_says() {
        for (text, inside, outside) in [
            ("corp.com", vec!["corp.com", "CORP.com."], vec!["a.corp.com", "*.corp.com", "xcorp.com", "com"]),
            (
                "*.corp.com",
                vec!["a.corp.com", "*.corp.com"],
                vec!["corp.com", "a.b.corp.com", "*.b.corp.com", "a.xcorp.com"],
            ),
            (
                "**.corp.com",
                vec!["a.corp.com", "a.b.c.corp.com", "*.corp.com", "*.a.corp.com"],
                vec!["corp.com", "xcorp.com", "*.com", "com"],
            ),
            ("**", vec!["a", "a.b.c", "*.com"], vec![]),
            ("*.bücher.example", vec!["a.xn--bcher-kva.example"], vec!["a.bucher.example"]),
        ] {
            for candidate in inside {
                assert!(pattern(text).contains(&name(candidate)), "{text} has {candidate}");
                assert!(pattern(text).touches(&name(candidate)), "{text} touches {candidate}");
            }
            for candidate in outside {
                assert!(!pattern(text).contains(&name(candidate)), "{text} has not {candidate}");
            }
        }
    }

    #[test]
    fn a_wildcard_touches_the_names_that_it_stands_for() {
        for (text, candidate, touches) in [
            ("pay.corp.com", "*.corp.com", true),
            ("pay.corp.com", "*.com", false),
            ("corp.com", "*.corp.com", false),
            ("a.pay.corp.com", "*.corp.com", false),
            ("*.corp.com", "*.corp.com", true),
            ("*.pay.corp.com", "*.corp.com", false),
            ("**.corp.com", "*.a.corp.com", true),
            ("**.pay.corp.com", "*.corp.com", false),
        ] {
            assert_eq!(pattern(text).touches(&name(candidate)), touches, "{text} and {candidate}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_compared() {
        for (text, canonical) in [("**", "**"), ("**.Corp.com.", "**.corp.com"), ("*.A.b", "*.a.b"), ("A.b", "a.b")] {
            assert_eq!(pattern(text).to_string(), canonical);
        }
        for text in ["", "***", "***.corp.com", "**.*.corp.com", "*.*.corp.com", "a.**.com", "corp com", "**."] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
