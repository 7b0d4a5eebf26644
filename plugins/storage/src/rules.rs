//! What `with` of a filter means for each key, and when an object keeps to it.
//!
//! | key | rules |
//! |---|---|
//! | `size` | [`SizeRules`]: `min`, `max`, `multipleOf`, `byClass`, `required` |
//! | `region` | [`RegionRules`]: `within`, `outside`, `regions`, `notRegions`, `required` |
//! | `versioning` | [`VersioningRules`]: `enabled`, `required` |
//! | `protocol` | [`ProtocolRules`]: `protocols`, `required` |

use std::collections::BTreeMap;

use resource_broker_plugin_kit::bounds::{Bounds, Size};
use resource_broker_plugin_kit::glob::{self, Glob};
use resource_broker_plugin_kit::judging::{Broken, missing, no_rules_for};
use resource_broker_sdk::version::Range;
use resource_broker_sdk::{Document, Error, Field, Filter, Problems, Violation, escape_key};
use serde::Deserialize;

use crate::protocol::{self, Protocol};
use crate::settings::Settings;
use crate::zones::Zones;

/// The keys for which there are rules.
const KEYS: &[&str] = &["size", "region", "versioning", "protocol"];

/// How many entries one rule may have; more is no rule that a person has written.
const MOST_ENTRIES: usize = 200;

/// What is wrong with a filter's rules.
///
/// # Errors
///
/// [`Error::InvalidInput`] with everything that is wrong.
pub fn check(filter: &Filter, settings: &Settings) -> Result<(), Error> {
    if !filter.has_with() {
        return Ok(());
    }
    match filter.key.as_str() {
        "size" => SizeRules::read(filter).map(drop),
        "region" => RegionRules::read(filter, settings.zones()).map(drop),
        "versioning" => VersioningRules::read(filter).map(drop),
        "protocol" => ProtocolRules::read(filter).map(drop),
        _ => Err(no_rules_for(filter, KEYS)),
    }
}

/// Every rule that the object breaks.
///
/// # Errors
///
/// [`Error::InvalidInput`] if the rules make no sense, or the object's value can be judged by none.
pub fn broken(
    filter: &Filter,
    field: &Field<'_>,
    object: &Document<'_>,
    settings: &Settings,
) -> Result<Vec<Violation>, Error> {
    match filter.key.as_str() {
        "size" => {
            let rules = SizeRules::read(filter)?;
            let Some(size) = field.read::<Size>()? else { return Ok(missing(filter, field, rules.required, "100Gi")) };
            let class = object.text("spec.storageClass");
            Ok(violations(rules.of_class(class.as_deref()).broken(&size), filter, field, &size.to_string()))
        }
        "region" => {
            let rules = RegionRules::read(filter, settings.zones())?;
            let Some(region) = field.text()? else { return Ok(missing(filter, field, rules.required, "eu-central-1")) };
            Ok(violations(rules.broken(settings.zones(), &region), filter, field, &region))
        }
        "versioning" => {
            let rules = VersioningRules::read(filter)?;
            let Some(enabled) = field.boolean()? else { return Ok(missing(filter, field, rules.required, "true")) };
            Ok(violations(rules.broken(enabled), filter, field, &enabled.to_string()))
        }
        "protocol" => {
            let rules = ProtocolRules::read(filter)?;
            let Some(text) = field.text()? else { return Ok(missing(filter, field, rules.required, "nfs4.1")) };
            Ok(violations(rules.broken(&text), filter, field, &text))
        }
        _ => Err(no_rules_for(filter, KEYS)),
    }
}

fn violations(broken: Vec<Broken>, filter: &Filter, field: &Field<'_>, found: &str) -> Vec<Violation> {
    broken.into_iter().map(|broken| broken.violation(filter, field, found)).collect()
}

fn finish(filter: &Filter, problems: Problems) -> Result<(), Error> {
    problems.finish().map_err(|error| error.below(&format!("{}.with", filter.index)))
}

/// `with` of the key `size`. A number by itself means GiB, in the rules as in the objects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SizeRules {
    min: Option<Size>,
    max: Option<Size>,
    multiple_of: Option<Size>,
    /// Bounds for objects of one storage class, each in place of the general one.
    by_class: BTreeMap<String, Bounds<Size>>,
    required: bool,
}

impl SizeRules {
    fn read(filter: &Filter) -> Result<Self, Error> {
        let rules: Self = filter.with()?.unwrap_or_default();
        let mut problems = Problems::new();
        rules.of_class(None).check("", &mut problems);
        too_many("byClass", rules.by_class.len(), &mut problems);
        for class in rules.by_class.keys() {
            rules.of_class(Some(class)).check(&format!("byClass.{}.", escape_key(class)), &mut problems);
        }
        finish(filter, problems)?;
        Ok(rules)
    }

    /// The bounds for an object of that storage class.
    fn of_class(&self, class: Option<&str>) -> Bounds<Size> {
        let own = class.and_then(|class| self.by_class.get(class));
        let own = |bound: fn(&Bounds<Size>) -> Option<Size>| own.and_then(bound);
        Bounds {
            min: own(|bounds| bounds.min).or(self.min),
            max: own(|bounds| bounds.max).or(self.max),
            multiple_of: own(|bounds| bounds.multiple_of).or(self.multiple_of),
        }
    }
}

/// `with` of the key `region`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RegionRules {
    /// The region lies in one of these zones.
    within: Vec<String>,
    /// The region lies in none of these zones.
    outside: Vec<String>,
    /// The region is one of these.
    regions: Vec<Glob>,
    /// The region is none of these.
    not_regions: Vec<Glob>,
    required: bool,
}

impl RegionRules {
    fn read(filter: &Filter, zones: Zones<'_>) -> Result<Self, Error> {
        let rules: Self = filter.with()?.unwrap_or_default();
        let mut problems = Problems::new();
        too_many("within", rules.within.len(), &mut problems);
        too_many("outside", rules.outside.len(), &mut problems);
        too_many("regions", rules.regions.len(), &mut problems);
        too_many("notRegions", rules.not_regions.len(), &mut problems);
        finish(filter, std::mem::take(&mut problems))?;
        for (name, list) in [("within", &rules.within), ("outside", &rules.outside)] {
            for (index, zone) in list.iter().enumerate().filter(|(_, zone)| !zones.has(zone)) {
                let known = zones.names().join(", ");
                let message = format!("there is no zone {zone:?}; there are {known}, and the settings can add more");
                problems.push(format!("{name}.{index}"), message);
            }
        }
        for (index, zone) in rules.within.iter().enumerate().filter(|(_, zone)| rules.outside.contains(zone)) {
            problems
                .push(format!("within.{index}"), format!("{zone:?} is in outside as well: drop it from one of them"));
        }
        finish(filter, problems)?;
        Ok(rules)
    }

    fn broken(&self, zones: Zones<'_>, region: &str) -> Vec<Broken> {
        let region = region.trim();
        let lies_in = |list: &[String]| list.iter().find(|zone| zones.contains(zone, region)).cloned();
        let mut broken = Vec::new();
        if !self.within.is_empty() && lies_in(&self.within).is_none() {
            let list = self.within.join(", ");
            let reason = format!("does not lie in {list}: ask for a region that does");
            broken.push(Broken::new("within", format!("a region in {list}"), reason));
        }
        if let Some(zone) = lies_in(&self.outside) {
            let list = self.outside.join(", ");
            let reason = format!("lies in {zone}: ask for a region outside {list}");
            broken.push(Broken::new("outside", format!("a region outside {list}"), reason));
        }
        if !self.regions.is_empty() && !self.regions.iter().any(|pattern| pattern.is_match(region)) {
            let list = glob::list(&self.regions);
            let reason = format!("is not offered here: ask for one of {list}");
            broken.push(Broken::new("regions", format!("one of {list}"), reason));
        }
        if self.not_regions.iter().any(|pattern| pattern.is_match(region)) {
            let list = glob::list(&self.not_regions);
            broken.push(Broken::new(
                "notRegions",
                format!("none of {list}"),
                format!("is ruled out here, as are {list}"),
            ));
        }
        broken
    }
}

/// `with` of the key `versioning`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VersioningRules {
    /// Whether former versions of objects are kept.
    enabled: Option<bool>,
    required: bool,
}

impl VersioningRules {
    fn read(filter: &Filter) -> Result<Self, Error> {
        Ok(filter.with()?.unwrap_or_default())
    }

    fn broken(&self, enabled: bool) -> Vec<Broken> {
        match self.enabled {
            Some(true) if !enabled => {
                let reason = "is not offered here: buckets keep former versions, so set it to true";
                vec![Broken::new("enabled", "versioning", reason)]
            }
            Some(false) if enabled => {
                let reason = "is not offered here: buckets keep no former versions, so set it to false";
                vec![Broken::new("enabled", "no versioning", reason)]
            }
            _ => Vec::new(),
        }
    }
}

/// `with` of the key `protocol`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProtocolRules {
    /// The protocols that there are, and the versions of each.
    protocols: BTreeMap<String, Range>,
    required: bool,
}

impl ProtocolRules {
    fn read(filter: &Filter) -> Result<Self, Error> {
        let rules: Self = filter.with()?.unwrap_or_default();
        let mut problems = Problems::new();
        too_many("protocols", rules.protocols.len(), &mut problems);
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for name in rules.protocols.keys() {
            let path = format!("protocols.{}", escape_key(name));
            match Protocol::parse(name) {
                Ok(Protocol { version: None, .. }) => {}
                Ok(Protocol { name: bare, version: Some(version) }) => {
                    problems.push(&path, format!("the version goes into the range: write {bare}: \"{version}\""));
                }
                Err(message) => problems.push(&path, format!("{name:?} {message}")),
            }
            if let Some(other) = seen.insert(protocol::resolve(name), name) {
                problems.push(&path, format!("{name:?} and {other:?} are the same protocol: keep one of them"));
            }
        }
        finish(filter, problems)?;
        Ok(rules)
    }

    fn broken(&self, text: &str) -> Vec<Broken> {
        if self.protocols.is_empty() {
            return Vec::new();
        }
        let offered =
            self.protocols.iter().map(|(name, range)| format!("{name} {range}")).collect::<Vec<_>>().join(", ");
        let expected = format!("one of {offered}");
        let asked = match Protocol::parse(text) {
            Ok(asked) => asked,
            Err(message) => return vec![Broken::new("protocols", expected, message)],
        };
        let range =
            self.protocols.iter().find(|(name, _)| protocol::resolve(name) == asked.name).map(|(_, range)| range);
        let reason = match (range, &asked.version) {
            (None, _) => format!("is not offered here: ask for one of {offered}"),
            (Some(range), Some(version)) if !range.meets(version) => {
                format!("is outside {range}: ask for a version of {} within it", asked.name)
            }
            (Some(_), _) => return Vec::new(),
        };
        vec![Broken::new("protocols", expected, reason)]
    }
}

fn too_many(name: &str, length: usize, problems: &mut Problems) {
    if length > MOST_ENTRIES {
        problems.push(name, format!("{length} entries are more than the {MOST_ENTRIES} that a rule may have"));
    }
}
