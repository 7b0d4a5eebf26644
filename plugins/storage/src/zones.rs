//! Where a region lies: named zones, each a list of patterns.
//!
//! A pattern is a region's name with `*` for any characters; `@zone` stands for all of another zone, and a `!` in front
//! takes regions out again. A region belongs to a zone if one of its patterns says so and none takes it out.
//!
//! There is no register of regions: the patterns that are known from the start follow the names of large providers and the
//! habit of beginning with a country's code. Where two providers call different places alike (`eu-west-1` is Dublin for one
//! and London for another), an offer lists its regions, or the settings say better.

use std::collections::BTreeMap;

use resource_broker_plugin_kit::glob::{self, Glob};
use resource_broker_sdk::{Problems, escape_key};

/// How many patterns a zone may have.
const MOST_PATTERNS: usize = 500;

/// The member states of the European Union, by the codes with which many regions begin.
const EU_COUNTRIES: [&str; 27] = [
    "at", "be", "bg", "cy", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr", "hr", "hu", "ie", "it", "lt", "lu", "lv",
    "mt", "nl", "pl", "pt", "ro", "se", "si", "sk",
];

/// Regions of the European Union that do not begin with a country's code, and those that look as if they were.
const EU_REGIONS: &[&str] = &[
    "eu",
    "eu-*",
    "europe-*",
    "eusc-*",
    "westeurope",
    "northeurope",
    "austriaeast",
    "belgiumcentral",
    "denmarkeast",
    "francecentral",
    "francesouth",
    "germanywestcentral",
    "germanynorth",
    "greececentral",
    "italynorth",
    "polandcentral",
    "spaincentral",
    "swedencentral",
    "swedensouth",
    // London, Zurich and others outside
    "!eu-west-2",
    "!eu-central-2",
    "!europe-west2",
    "!europe-west6",
    "!eu-gb*",
    "!eu-uk*",
    "!eu-ch*",
    "!eu-no",
    "!eu-no-*",
    "!eu-zurich-*",
    "!eu-jovanovac-*",
    "!eu-london-*",
];

/// Zones that are known from the start.
const KNOWN: &[(&str, &[&str])] = &[
    ("eea", &["@eu", "no", "no-*", "is", "is-*", "li", "li-*", "norwayeast", "norwaywest", "eu-no", "eu-no-*"]),
    ("europe", &["@eea", "@uk", "@ch", "eu-jovanovac-*"]),
    (
        "de",
        &[
            "de",
            "de-*",
            "eu-de",
            "eu-de-*",
            "eusc-de-*",
            "eu-central-1",
            "eu-frankfurt-*",
            "europe-west3",
            "europe-west10",
            "germanywestcentral",
            "germanynorth",
        ],
    ),
    (
        "fr",
        &["fr", "fr-*", "eu-west-3", "eu-paris-*", "eu-marseille-*", "europe-west9", "francecentral", "francesouth"],
    ),
    (
        "ch",
        &["ch", "ch-*", "eu-ch*", "eu-central-2", "eu-zurich-*", "europe-west6", "switzerlandnorth", "switzerlandwest"],
    ),
    (
        "uk",
        &[
            "uk",
            "uk-*",
            "gb",
            "gb-*",
            "eu-gb*",
            "eu-uk*",
            "eu-london-*",
            "eu-west-2",
            "europe-west2",
            "uksouth",
            "ukwest",
        ],
    ),
    (
        "us",
        &[
            "us",
            "us-*",
            "eastus*",
            "westus*",
            "centralus",
            "northcentralus",
            "southcentralus",
            "westcentralus",
            "usgov*",
        ],
    ),
];

/// All zones.
#[derive(Clone, Copy, Debug)]
pub struct Zones<'a> {
    /// The operator's, which replace a known one of the same name.
    pub settings: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> Zones<'a> {
    /// Whether there is such a zone.
    pub fn has(self, zone: &str) -> bool {
        self.settings.contains_key(zone) || zone == "eu" || KNOWN.iter().any(|(name, _)| *name == zone)
    }

    /// The names of all zones.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).chain(["eu"]).collect();
        names.extend(self.settings.keys().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the region lies in the zone. Case does not count.
    pub fn contains(self, zone: &str, region: &str) -> bool {
        self.contains_with(zone, &region.trim().to_lowercase(), &mut BTreeMap::new())
    }

    /// `known` has the answers for the zones that were asked before, so that each is asked once, however they refer to
    /// each other.
    fn contains_with(self, zone: &str, region: &str, known: &mut BTreeMap<String, bool>) -> bool {
        if let Some(answer) = known.get(zone) {
            return *answer;
        }
        known.insert(zone.to_owned(), false);
        let mut says = |pattern: &str| match pattern.strip_prefix('@') {
            Some(other) => self.contains_with(other, region, known),
            None => glob::is_match(pattern, region),
        };
        let is_out = self.patterns(zone).filter_map(|pattern| pattern.strip_prefix('!')).any(&mut says);
        let by_pattern = !is_out && self.patterns(zone).filter(|pattern| !pattern.starts_with('!')).any(says);
        let by_country = || zone == "eu" && !self.settings.contains_key(zone) && is_of_eu_country(region);
        let answer = by_pattern || (!is_out && by_country());
        known.insert(zone.to_owned(), answer);
        answer
    }

    fn patterns(self, zone: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let own = self.settings.get(zone);
        let known = match (own, zone) {
            (Some(_), _) => &[][..],
            (None, "eu") => EU_REGIONS,
            (None, zone) => KNOWN.iter().find(|(name, _)| *name == zone).map_or(&[][..], |(_, patterns)| *patterns),
        };
        own.into_iter().flatten().map(String::as_str).chain(known.iter().copied())
    }

    /// What is wrong with the operator's zones; paths begin with `zones.`.
    pub fn check(self, problems: &mut Problems) {
        for (zone, patterns) in self.settings {
            let path = format!("zones.{}", escape_key(zone));
            if patterns.is_empty() || patterns.len() > MOST_PATTERNS {
                let message = format!("a zone has from 1 to {MOST_PATTERNS} patterns, not {}", patterns.len());
                problems.push(&path, message);
                continue;
            }
            for (index, pattern) in patterns.iter().enumerate() {
                let bare = pattern.strip_prefix('!').unwrap_or(pattern);
                let wrong = match bare.strip_prefix('@') {
                    Some(other) if !self.has(other) => {
                        let names = self.names().join(", ");
                        Some(format!("there is no zone {other:?}; there are {names}"))
                    }
                    Some(_) => None,
                    None if bare.to_lowercase() != bare => Some(format!("write {bare:?} in lower case")),
                    None => Glob::try_from(bare.to_owned()).err(),
                };
                if let Some(message) = wrong {
                    problems.push(format!("{path}.{index}"), message);
                }
            }
            if self.refers_to(zone, zone, &mut Vec::new()) {
                problems.push(&path, "the zone refers to itself: take out one of the references");
            }
        }
    }

    /// Whether the zone refers to `target`, by itself or through others; `seen` are those that were asked before.
    fn refers_to(self, zone: &str, target: &str, seen: &mut Vec<String>) -> bool {
        let mut others = self.patterns(zone).filter_map(|pattern| pattern.trim_start_matches('!').strip_prefix('@'));
        others.any(|other| {
            if other == target {
                return true;
            }
            if seen.iter().any(|zone| zone == other) {
                return false;
            }
            seen.push(other.to_owned());
            self.refers_to(other, target, seen)
        })
    }
}

/// Whether the region begins with the code of a member state: `de`, `de-fra`.
fn is_of_eu_country(region: &str) -> bool {
    let code = region.split('-').next().unwrap_or_default();
    EU_COUNTRIES.contains(&code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn zones(settings: serde_json::Value) -> BTreeMap<String, Vec<String>> {
        serde_json::from_value(settings).unwrap()
    }

    #[test]
    fn known_zones_leave_out_what_only_looks_like_them() {
        let settings = zones(json!({}));
        let zones = Zones { settings: &settings };
        for region in [
            "eu-central-1",
            "EU-West-1",
            "eu-north-1",
            "europe-west4",
            "westeurope",
            "germanywestcentral",
            "de-fra",
            "fr-par",
            "nl-ams",
            "it",
            "eu-frankfurt-1",
            "eu-de",
            "eusc-de-east-1",
        ] {
            assert!(zones.contains("eu", region) && zones.contains("europe", region), "{region}");
        }
        for region in [
            "eu-west-2",
            "eu-central-2",
            "europe-west2",
            "europe-west6",
            "uksouth",
            "switzerlandnorth",
            "ch-gva-2",
            "us-east-1",
            "deeplands",
            "me-south-1",
            "ap-south-1",
            "norwayeast",
            "eu-gb",
            "eu-zurich-1",
            "",
        ] {
            assert!(!zones.contains("eu", region), "{region}");
        }
        assert!(zones.contains("eea", "norwayeast") && zones.contains("europe", "eu-west-2"));
        assert!(zones.contains("de", "eu-central-1") && !zones.contains("de", "eu-west-1"));
        assert!(zones.contains("us", "us-east-1") && zones.contains("us", "eastus2"));
        assert!(!zones.contains("nowhere", "eu-central-1"));
    }

    #[test]
    fn settings_add_and_replace() {
        let settings = zones(json!({"ours": ["@de", "!de-ber*", "lab"], "us": ["us-gov-*"]}));
        let zones = Zones { settings: &settings };
        for (zone, region, expected) in [
            ("ours", "de-fra", true),
            ("ours", "de-ber-2", false),
            ("ours", "lab", true),
            ("us", "us-gov-west-1", true),
            ("us", "us-east-1", false),
        ] {
            assert_eq!(zones.contains(zone, region), expected, "{region} in {zone}");
        }
        let mut problems = Problems::new();
        zones.check(&mut problems);
        assert_eq!(problems.finish(), Ok(()));
    }

    #[test]
    fn zones_that_make_no_sense_are_found() {
        for (settings, path) in [
            (json!({"a": []}), "zones.a: "),
            (json!({"a": [""]}), "zones.a.0: "),
            (json!({"a": ["x", "@nowhere"]}), "zones.a.1: there is no zone \"nowhere\""),
            (json!({"a": ["@a"]}), "zones.a: the zone refers to itself"),
            (json!({"a": ["@b"], "b": ["!@a"]}), "zones.b: the zone refers to itself"),
        ] {
            let settings = zones(settings);
            let zones = Zones { settings: &settings };
            let mut problems = Problems::new();
            zones.check(&mut problems);
            let error = problems.finish().unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
            assert!(!zones.contains("a", "z"), "and ends");
        }
    }
}
