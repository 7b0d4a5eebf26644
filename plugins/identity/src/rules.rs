//! The rules that an offer has for a certificate's name, as they stand in a filter's `with`.

use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::{Error, Filter, Problems};
use serde::Deserialize;

use crate::name::Name;
use crate::pattern::Pattern;
use crate::suffix::Suffixes;

/// How many patterns one list may have; more is no rule that a person has written.
const MOST_PATTERNS: usize = 500;
/// How many labels a name can have at all.
const MOST_LABELS: usize = 127;
/// How many characters a name can have at all.
const MOST_CHARACTERS: usize = 253;

/// What an offer asks of a name. Everything that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// The name is in one of these; empty: anywhere.
    domains: Vec<Pattern>,
    /// The name stands for nothing that is in any of these.
    except: Vec<Pattern>,
    /// Whether the name may be a wildcard.
    wildcards: Wildcards,
    /// How many labels it has at least, a wildcard included.
    min_labels: Option<usize>,
    /// How many labels it has at most, a wildcard included.
    max_labels: Option<usize>,
    /// How many characters it has at most in its ASCII form; a common name has room for 64.
    max_length: Option<usize>,
    /// Whether the name may be a public suffix or a wildcard right below one.
    public_suffix: Permission,
    /// Whether an object without the field is refused.
    pub required: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wildcards {
    #[default]
    Allow,
    Deny,
    Only,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Permission {
    Allow,
    #[default]
    Deny,
}

impl Rules {
    /// The filter's rules; none if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(rules) = filter.with::<Self>()? else { return Ok(None) };
        let mut problems = Problems::new();
        let mut problem = |field: &str, message: String| {
            problems.take(Err::<(), _>(filter.invalid(field, message)));
        };
        for (field, patterns) in [("domains", &rules.domains), ("except", &rules.except)] {
            if patterns.len() > MOST_PATTERNS {
                problem(field, format!("it has {} patterns; at most {MOST_PATTERNS} are possible", patterns.len()));
            }
        }
        for (field, most, number) in [
            ("minLabels", MOST_LABELS, rules.min_labels),
            ("maxLabels", MOST_LABELS, rules.max_labels),
            ("maxLength", MOST_CHARACTERS, rules.max_length),
        ] {
            if let Some(number) = number.filter(|number| !(1..=most).contains(number)) {
                problem(field, format!("it is {number}; a name has from 1 to {most}"));
            }
        }
        if let (Some(min), Some(max)) = (rules.min_labels, rules.max_labels)
            && min > max
        {
            problem("maxLabels", format!("it is {max}, less than minLabels ({min}), so that nothing is accepted"));
        }
        problems.finish()?;
        Ok(Some(rules))
    }

    /// Every rule that a name breaks.
    pub fn broken(&self, name: &Name, suffixes: &Suffixes) -> Vec<Broken> {
        [
            self.outside(name),
            self.within_exception(name),
            self.wrong_kind(name),
            self.wrong_depth(name),
            self.too_long(name),
            self.too_public(name, suffixes),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn outside(&self, name: &Name) -> Option<Broken> {
        if self.domains.is_empty() || self.domains.iter().any(|pattern| pattern.contains(name)) {
            return None;
        }
        let list = list(&self.domains);
        let hint = self.domains.iter().find_map(|pattern| pattern.near_miss(name)).unwrap_or_default();
        Some(Broken::new(
            "domains",
            format!("a name in {list}"),
            format!("is in none of the domains that this provider issues for ({list}){hint}"),
        ))
    }

    fn within_exception(&self, name: &Name) -> Option<Broken> {
        let exception = self.except.iter().find(|pattern| pattern.touches(name))?;
        let reason = if exception.contains(name) {
            format!("is in {exception}, for which this provider does not issue")
        } else {
            format!(
                "would be valid for {exception} as well, for which this provider does not issue: ask for single names"
            )
        };
        Some(Broken::new("except", format!("a name in none of {}", list(&self.except)), reason))
    }

    fn wrong_kind(&self, name: &Name) -> Option<Broken> {
        match (self.wildcards, name.is_wildcard()) {
            (Wildcards::Deny, true) => Some(Broken::new(
                "wildcards",
                "a name without *",
                "is a wildcard, which this provider does not issue: ask for each name by itself",
            )),
            (Wildcards::Only, false) => Some(Broken::new(
                "wildcards",
                "a wildcard, as *.example.org",
                "is no wildcard, and this provider issues nothing else",
            )),
            (Wildcards::Allow, _) | (Wildcards::Deny, false) | (Wildcards::Only, true) => None,
        }
    }

    fn wrong_depth(&self, name: &Name) -> Option<Broken> {
        let count = name.count();
        if let Some(min) = self.min_labels.filter(|min| count < *min) {
            let reason = format!("has {count} labels, fewer than the {min} that it needs here");
            return Some(Broken::new("minLabels", format!("at least {min} labels"), reason));
        }
        let max = self.max_labels.filter(|max| count > *max)?;
        let reason = format!("has {count} labels, more than the {max} that are possible here");
        Some(Broken::new("maxLabels", format!("at most {max} labels"), reason))
    }

    fn too_long(&self, name: &Name) -> Option<Broken> {
        let length = name.to_string().len();
        let max = self.max_length.filter(|max| length > *max)?;
        let reason = format!("has {length} characters in its ASCII form, more than the {max} that are possible here");
        Some(Broken::new("maxLength", format!("at most {max} characters"), reason))
    }

    fn too_public(&self, name: &Name, suffixes: &Suffixes) -> Option<Broken> {
        if self.public_suffix == Permission::Allow || !suffixes.contains(name.base()) {
            return None;
        }
        let reason = if name.is_wildcard() {
            format!("stands for everybody's names below {}: ask for a name that is yours alone", name.base().join("."))
        } else {
            "is a domain below which anybody registers names: ask for a name below it".to_owned()
        };
        Some(Broken::new("publicSuffix", "a name below a domain that is registered to somebody", reason))
    }
}

fn list(patterns: &[Pattern]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
