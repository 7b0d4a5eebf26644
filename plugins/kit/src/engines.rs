//! The engines of a domain: what they are also called, which of them speak the same protocol, how long their versions are
//! maintained.

use std::collections::{BTreeMap, BTreeSet};

use resource_broker_sdk::Problems;
use resource_broker_sdk::time::Timestamp;
use resource_broker_sdk::version::{Range, Version};
use serde::Deserialize;

use crate::judging::Broken;

/// How many entries one rule may have; more is no rule that a person has written.
const MOST_ENTRIES: usize = 200;

/// One engine that is known from the start.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// Its name, in lower case.
    pub name: &'static str,
    /// What else it is called, in lower case.
    pub aliases: &'static [&'static str],
    /// The families whose protocol it speaks.
    pub families: &'static [&'static str],
    /// Until when (inclusive) its versions are maintained, each named by as many numbers as are given: `15`, `8.4`.
    pub maintained: &'static [(&'static str, &'static str)],
}

/// What the operator adds to the engines that are known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineSettings {
    /// More names: `{"pg-enterprise": "postgres"}`.
    pub aliases: BTreeMap<String, String>,
    /// More families: `{"postgres": ["our-postgres"]}`.
    pub families: BTreeMap<String, BTreeSet<String>>,
    /// Until when versions are maintained, over what is known: `{"postgres": {"13": "2027-01-31"}}`.
    pub maintained: BTreeMap<String, BTreeMap<String, String>>,
}

impl EngineSettings {
    /// What is wrong; paths begin with `base`, which is empty or ends in a dot.
    pub fn check(&self, base: &str, problems: &mut Problems) {
        for (engine, versions) in &self.maintained {
            for (version, date) in versions {
                let path = format!("{base}maintained.{engine}.{}", resource_broker_sdk::escape_key(version));
                if version.parse::<Version>().is_err() {
                    problems.push(&path, format!("{version:?} is no version; write one as 15 or 8.4"));
                }
                if let Err(message) = day(date) {
                    problems.push(&path, message);
                }
            }
        }
    }
}

/// All engines of a domain.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue<'a> {
    /// Known from the start.
    pub engines: &'a [Engine],
    /// What the operator adds.
    pub settings: &'a EngineSettings,
}

impl Catalogue<'_> {
    /// The one name of an engine, whatever it is called; an unknown name stands for itself. Case does not count.
    pub fn resolve(&self, name: &str) -> String {
        let name = name.trim().to_ascii_lowercase();
        let added = self.settings.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&name));
        let name = added.map_or(name, |(_, engine)| engine.to_ascii_lowercase());
        self.known(&name).map_or(name, |engine| engine.name.to_owned())
    }

    fn known(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name == name || engine.aliases.contains(&name))
    }

    /// Whether there is such a family.
    pub fn has_family(&self, family: &str) -> bool {
        self.settings.families.contains_key(family)
            || self.engines.iter().any(|engine| engine.families.contains(&family))
    }

    /// All families.
    pub fn families(&self) -> BTreeSet<&str> {
        let known = self.engines.iter().flat_map(|engine| engine.families.iter().copied());
        known.chain(self.settings.families.keys().map(String::as_str)).collect()
    }

    /// Whether the engine (by its one name) belongs to the family.
    pub fn is_in_family(&self, engine: &str, family: &str) -> bool {
        let added = self.settings.families.get(family);
        added.is_some_and(|names| names.iter().any(|name| self.resolve(name) == engine))
            || self.known(engine).is_some_and(|known| known.families.contains(&family))
    }

    /// The last day on which the version is maintained, as `YYYY-MM-DD`; `None` if it is not known.
    pub fn maintained_until(&self, engine: &str, version: &Version) -> Option<&str> {
        let added = self.settings.maintained.iter().find(|(name, _)| self.resolve(name) == engine);
        let added =
            added.into_iter().flat_map(|(_, versions)| versions).map(|(cycle, day)| (cycle.as_str(), day.as_str()));
        let known = self.known(engine).map_or(&[][..], |engine| engine.maintained).iter().copied();
        // Whoever comes first wins among equally long ones, which are the operator's.
        let mut best: Option<(u8, &str)> = None;
        for (cycle, day) in added.chain(known) {
            let Ok(cycle) = cycle.parse::<Version>() else { continue };
            if is_of_cycle(version, &cycle) && best.is_none_or(|(written, _)| cycle.written() > written) {
                best = Some((cycle.written(), day));
            }
        }
        best.map(|(_, day)| day)
    }
}

/// Whether the version's first numbers are those of the cycle. `8` is of the cycle 8, and not of 8.4.
fn is_of_cycle(version: &Version, cycle: &Version) -> bool {
    version.written() >= cycle.written()
        && version.major() == cycle.major()
        && (cycle.written() < 2 || version.minor() == cycle.minor())
        && (cycle.written() < 3 || version.patch() == cycle.patch())
}

/// A day as the moment with which it begins.
fn day(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| format!("{text:?} is no date; write one as 2027-11-11");
    format!("{text}T00:00:00Z").parse().map_err(wrong)
}

/// `with` of the key `engine`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineRules {
    /// The engine is one of these, by whatever name.
    pub one_of: Vec<String>,
    /// The engine is none of these.
    pub none_of: Vec<String>,
    /// The engine speaks the protocol of one of these families.
    pub families: Vec<String>,
    /// The object has to name an engine.
    pub required: bool,
}

impl EngineRules {
    /// What is wrong with the rules.
    pub fn check(&self, catalogue: Catalogue<'_>, problems: &mut Problems) {
        for (name, list) in [("oneOf", &self.one_of), ("noneOf", &self.none_of), ("families", &self.families)] {
            if list.len() > MOST_ENTRIES {
                problems.push(
                    name,
                    format!("{} entries are more than the {MOST_ENTRIES} that a rule may have", list.len()),
                );
                return;
            }
            for (index, entry) in list.iter().enumerate().filter(|(_, entry)| entry.trim().is_empty()) {
                problems.push(format!("{name}.{index}"), format!("{entry:?} names nothing"));
            }
        }
        for (index, family) in self.families.iter().enumerate().filter(|(_, family)| !catalogue.has_family(family)) {
            let known = catalogue.families().into_iter().collect::<Vec<_>>().join(", ");
            problems.push(format!("families.{index}"), format!("there is no family {family:?}; known are {known}"));
        }
        let excluded: BTreeSet<String> = self.none_of.iter().map(|name| catalogue.resolve(name)).collect();
        for (index, name) in self.one_of.iter().enumerate() {
            if excluded.contains(&catalogue.resolve(name)) {
                problems
                    .push(format!("oneOf.{index}"), format!("{name:?} is in noneOf as well: drop it from one of them"));
            }
        }
    }

    /// Every rule that the engine breaks.
    pub fn broken(&self, catalogue: Catalogue<'_>, engine: &str) -> Vec<Broken> {
        let engine = catalogue.resolve(engine);
        let is = |name: &String| catalogue.resolve(name) == engine;
        let mut broken = Vec::new();
        if !self.one_of.is_empty() && !self.one_of.iter().any(is) {
            let list = self.one_of.join(", ");
            let reason = format!("is not offered here: ask for one of {list}");
            broken.push(Broken::new("oneOf", format!("one of {list}"), reason));
        }
        if self.none_of.iter().any(is) {
            let list = self.none_of.join(", ");
            broken.push(Broken::new("noneOf", format!("none of {list}"), format!("is ruled out here, as are {list}")));
        }
        if !self.families.is_empty() && !self.families.iter().any(|family| catalogue.is_in_family(&engine, family)) {
            let list = self.families.join(", ");
            let reason = format!("does not speak the protocol of {list}: ask for an engine that does");
            broken.push(Broken::new("families", format!("an engine compatible with {list}"), reason));
        }
        broken
    }
}

/// `with` of the key `version`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VersionRules {
    /// The range in which the version is, whatever the engine.
    pub semver: Option<Range>,
    /// The range in which it is, by engine; `*` stands for those that are not named.
    pub engines: BTreeMap<String, Range>,
    /// A day on which the engine's makers still maintain the version, as `YYYY-MM-DD`.
    pub maintained_on: Option<String>,
    /// The object has to name a version.
    pub required: bool,
}

impl VersionRules {
    /// What is wrong with the rules.
    pub fn check(&self, catalogue: Catalogue<'_>, problems: &mut Problems) {
        if self.engines.len() > MOST_ENTRIES {
            let message =
                format!("{} engines are more than the {MOST_ENTRIES} that a rule may have", self.engines.len());
            problems.push("engines", message);
        }
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for name in self.engines.keys() {
            if let Some(other) = seen.insert(catalogue.resolve(name), name) {
                let message = format!("{name:?} and {other:?} are the same engine: keep one of them");
                problems.push(format!("engines.{}", resource_broker_sdk::escape_key(name)), message);
            }
        }
        if let Some(Err(message)) = self.maintained_on.as_deref().map(day) {
            problems.push("maintainedOn", message);
        }
    }

    /// Every rule that a version of an engine breaks. A version that is written in part, as `15`, stands for all that begin
    /// so: it keeps to a range that some of them are in.
    pub fn broken(&self, catalogue: Catalogue<'_>, engine: Option<&str>, version: &Version) -> Vec<Broken> {
        let engine = engine.map(|engine| catalogue.resolve(engine));
        let mut broken = Vec::new();
        if let Some(range) = self.semver.as_ref().filter(|range| !range.meets(version)) {
            broken.push(outside("semver", "", range));
        }
        if !self.engines.is_empty() {
            let named = self.engines.iter().find(|(name, _)| Some(catalogue.resolve(name)) == engine);
            match named.map(|(_, range)| range).or_else(|| self.engines.get("*")) {
                Some(range) if range.meets(version) => {}
                Some(range) => broken.push(outside("engines", engine.as_deref().unwrap_or_default(), range)),
                None => broken.push(self.other_engine(engine.as_deref())),
            }
        }
        if let (Some(on), Some(engine)) = (&self.maintained_on, &engine)
            && let Some(until) = catalogue.maintained_until(engine, version)
            && let (Ok(on_day), Ok(last_day)) = (day(on), day(until))
            && on_day > last_day
        {
            let reason = format!("is maintained by the makers of {engine} until {until} only: ask for a newer one");
            broken.push(Broken::new("maintainedOn", format!("a version maintained on {on}"), reason));
        }
        broken
    }

    fn other_engine(&self, engine: Option<&str>) -> Broken {
        let list = self.engines.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let reason = match engine {
            Some(engine) => format!("is one of {engine}, which is not offered here: ask for one of {list}"),
            None => format!("is of no engine: name one of {list} in spec.engine"),
        };
        Broken::new("engines", format!("a version of one of {list}"), reason)
    }
}

fn outside(rule: &str, engine: &str, range: &Range) -> Broken {
    let of = if engine.is_empty() { String::new() } else { format!(" of {engine}") };
    let reason = format!("is outside {range}: ask for a version{of} within it");
    Broken::new(rule, format!("a version{of} within {range}"), reason)
}
