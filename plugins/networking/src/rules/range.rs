//! Rules for ranges of addresses.

use std::collections::BTreeMap;
use std::fmt;

use resource_broker_plugin_kit::glob::Glob;
use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::cidr::Cidr;
use resource_broker_sdk::{Document, Error, Filter, Problems, escape_key};
use serde::Deserialize;

use crate::networks::{Names, Network, list};

/// How many ranges all lists of one filter may come to; more is no rule that a person has written.
const MOST_RANGES: usize = 1_000;

/// As they are written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    within: Option<Vec<Network>>,
    outside: Vec<Network>,
    by_region: BTreeMap<Glob, Vec<Network>>,
    prefix: Option<Prefix>,
    ipv6_prefix: Option<Prefix>,
    family: Family,
    region_key: Option<String>,
    required: bool,
}

/// How long prefixes may be; a longer one is a smaller network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Prefix {
    min: Option<u8>,
    max: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Family {
    Ipv4,
    Ipv6,
    #[default]
    Any,
}

/// What an offer asks of a range of addresses. Everything that is given has to hold, and a range has to be written with
/// its first address.
#[derive(Clone, Debug)]
pub struct Rules {
    written: Written,
    within: Option<Vec<Cidr>>,
    outside: Vec<Cidr>,
    by_region: Vec<(Glob, Vec<Cidr>)>,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter, names: Names<'_>) -> Result<Option<Self>, Error> {
        let Some(written) = filter.with::<Written>()? else { return Ok(None) };
        let mut problems = Problems::new();
        let mut resolve = |field: &str, networks: &[Network]| {
            let resolved = names.resolve(networks);
            let invalid = |(index, message)| filter.invalid(&format!("{field}.{index}"), message);
            problems.take(resolved.map_err(invalid)).unwrap_or_default()
        };
        let within = written.within.as_deref().map(|networks| resolve("within", networks));
        let outside = resolve("outside", &written.outside);
        let by_region: Vec<(Glob, Vec<Cidr>)> = written
            .by_region
            .iter()
            .map(|(region, networks)| {
                let field = format!("byRegion.{}", escape_key(&region.to_string()));
                (region.clone(), resolve(&field, networks))
            })
            .collect();
        let rules = Self { written, within, outside, by_region };
        for (field, message) in rules.nonsense() {
            problems.take(Err::<(), _>(filter.invalid(field, message)));
        }
        problems.finish()?;
        Ok(Some(rules))
    }

    /// Rules that nothing could keep, with their fields.
    fn nonsense(&self) -> Vec<(&'static str, String)> {
        let Written { prefix, ipv6_prefix, family, region_key, .. } = &self.written;
        let mut found = Vec::new();
        let bits = if *family == Family::Ipv4 { 32 } else { 128 };
        for (field, bounds, bits) in [("prefix", prefix, bits), ("ipv6Prefix", ipv6_prefix, 128)] {
            let Some(Prefix { min, max }) = *bounds else { continue };
            if let Some(bound) = min.into_iter().chain(max).find(|bound| *bound > bits) {
                found.push((field, format!("{bound} is longer than an address; it has {bits} bits")));
            } else if min > max && max.is_some() {
                found.push((field, "min is larger than max, so that nothing is accepted".to_owned()));
            }
        }
        if ipv6_prefix.is_some() && *family == Family::Ipv4 {
            found.push(("ipv6Prefix", "the family is ipv4: remove one of the two".to_owned()));
        }
        if region_key.is_some() && self.by_region.is_empty() {
            found.push(("regionKey", "it is used by byRegion alone, which is missing".to_owned()));
        }
        if self.written.within.as_ref().is_some_and(Vec::is_empty) {
            found.push((
                "within",
                "the list is empty, so that nothing is accepted: name networks, or remove it".to_owned(),
            ));
        }
        let covered = |range: &Cidr| self.outside.iter().any(|outside| outside.contains(range));
        if self.within.as_ref().is_some_and(|within| !within.is_empty() && within.iter().all(covered)) {
            found.push(("outside", "it takes away everything that within has, so that nothing is accepted".to_owned()));
        }
        let ranges = self.within.iter().chain([&self.outside]).chain(self.by_region.iter().map(|(_, ranges)| ranges));
        if ranges.map(Vec::len).sum::<usize>() > MOST_RANGES {
            found.push(("", format!("these are more than {MOST_RANGES} ranges in all")));
        }
        found
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.written.required
    }

    /// Every rule that a range breaks.
    pub fn broken(&self, text: &str, object: &Document<'_>) -> Vec<Broken> {
        let Ok(range) = text.parse::<Cidr>() else {
            let reason = "is no range of addresses: write its first address, a slash and the bits that are fixed";
            return vec![Broken::new("syntax", "a range of addresses, such as 10.20.0.0/16", reason)];
        };
        if !range.is_canonical() {
            let reason =
                format!("has bits behind its prefix, so that it is unclear which network is meant: write {range}");
            return vec![Broken::new("canonical", "a range that is written with its first address", reason)];
        }
        let region_key = self.written.region_key.as_deref().unwrap_or("region");
        let region = object.text(&format!("spec.{region_key}")).filter(|region| !region.is_empty());
        [
            self.wrong_family(&range),
            self.not_within(&range),
            self.not_outside(&range),
            self.wrong_size(&range),
            self.elsewhere(&range, region.as_deref(), region_key),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn wrong_family(&self, range: &Cidr) -> Option<Broken> {
        let fits = match self.written.family {
            Family::Any => true,
            Family::Ipv4 => range.is_ipv4(),
            Family::Ipv6 => !range.is_ipv4(),
        };
        let family = self.written.family;
        (!fits).then(|| {
            Broken::new("family", family.to_string(), format!("is not {family}, the only one that is had here"))
        })
    }

    fn not_within(&self, range: &Cidr) -> Option<Broken> {
        let within = self.within.as_ref()?;
        if within.iter().any(|network| network.contains(range)) {
            return None;
        }
        let list = list(within);
        let partly = within.iter().find(|network| network.overlaps(range));
        let reason = match partly {
            Some(network) => format!("is larger than {network}: ask for a part of {list}"),
            None => format!("is not part of {list}: choose a range there"),
        };
        Some(Broken::new("within", format!("a part of {list}"), reason))
    }

    fn not_outside(&self, range: &Cidr) -> Option<Broken> {
        let taken = self.outside.iter().find(|network| network.overlaps(range))?;
        let reason = format!("overlaps with {taken}, which is used otherwise: choose a range beside it");
        Some(Broken::new("outside", format!("no address of {}", list(&self.outside)), reason))
    }

    fn wrong_size(&self, range: &Cidr) -> Option<Broken> {
        let Written { prefix, ipv6_prefix, .. } = self.written;
        let (rule, bounds) = match (range.is_ipv4(), ipv6_prefix) {
            (false, Some(bounds)) => ("ipv6Prefix", bounds),
            _ => ("prefix", prefix?),
        };
        let length = range.prefix();
        if let Some(min) = bounds.min.filter(|min| length < *min) {
            let reason = format!("is too large: ask for a /{min} or a smaller network");
            return Some(Broken::new(rule, format!("a prefix of at least {min} bits"), reason));
        }
        let max = bounds.max.filter(|max| length > *max)?;
        let reason = format!("is too small: ask for a /{max} or a larger network");
        Some(Broken::new(rule, format!("a prefix of at most {max} bits"), reason))
    }

    /// Outside of what its region has. A range without a region may be in any of them.
    fn elsewhere(&self, range: &Cidr, region: Option<&str>, key: &str) -> Option<Broken> {
        if self.by_region.is_empty() {
            return None;
        }
        let here = self.by_region.iter().filter(|(pattern, _)| region.is_none_or(|region| pattern.is_match(region)));
        let ranges: Vec<Cidr> = here.flat_map(|(_, ranges)| ranges.iter().copied()).collect();
        if ranges.iter().any(|network| network.contains(range)) {
            return None;
        }
        let list = list(&ranges);
        Some(match region {
            Some(region) if ranges.is_empty() => {
                let known: Vec<Glob> = self.by_region.iter().map(|(region, _)| region.clone()).collect();
                let known = resource_broker_plugin_kit::glob::list(&known);
                let reason = format!(
                    "is asked for in {region}, where this provider has no networks: set spec.{key} to one of {known}"
                );
                Broken::new("byRegion", format!("a region among {known}"), reason)
            }
            Some(region) => {
                let reason = format!("is not part of {list}, which is what there is in {region}: choose a range there");
                Broken::new("byRegion", format!("a part of {list}"), reason)
            }
            None => {
                let reason =
                    format!("is not part of {list}, which is what there is in all regions: choose a range there");
                Broken::new("byRegion", format!("a part of {list}"), reason)
            }
        })
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Any => "IPv4 or IPv6",
        })
    }
}
