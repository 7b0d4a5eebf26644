//! What `with` of a filter means for each key, and when an object keeps to it.
//!
//! | key | rules |
//! |---|---|
//! | `engine` | [`EngineRules`]: `oneOf`, `noneOf`, `families`, `required` |
//! | `version` | [`VersionRules`]: `semver`, `engines`, `maintainedOn`, `required` |
//! | `retentionSeconds`, `retentionHours` | [`AmountRules`] in spans of time: `min`, `max`, `multipleOf`, `byEngine`, `storage`, `required` |
//! | `partitions`, `maxSize` | [`AmountRules`] in numbers: the same |

use std::collections::BTreeMap;

use resource_broker_plugin_kit::bounds::{Bounds, Measure, Span};
use resource_broker_plugin_kit::engines::{EngineRules, VersionRules};
use resource_broker_plugin_kit::judging::{Broken, missing, no_rules_for};
use resource_broker_sdk::quantity::Quantity;
use resource_broker_sdk::{Document, Error, Field, Filter, Problems, Violation, escape_key};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::estimate::{self, Workload};
use crate::settings::Settings;

/// The keys for which there are rules.
const KEYS: &[&str] = &["engine", "version", "retentionSeconds", "retentionHours", "partitions", "maxSize"];

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
        "engine" => engine_rules(filter, settings).map(drop),
        "version" => version_rules(filter, settings).map(drop),
        "retentionSeconds" | "retentionHours" => AmountRules::<Span>::read(filter, settings).map(drop),
        "partitions" | "maxSize" => AmountRules::<Quantity>::read(filter, settings).map(drop),
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
        "engine" => {
            let rules = engine_rules(filter, settings)?;
            let Some(engine) = field.text()? else { return Ok(missing(filter, field, rules.required, "kafka")) };
            Ok(violations(rules.broken(settings.catalogue(), &engine), filter, field, &engine))
        }
        "version" => {
            let rules = version_rules(filter, settings)?;
            let Some(version) = field.version()? else { return Ok(missing(filter, field, rules.required, "3.13")) };
            let engine = object.text("spec.engine");
            let broken = rules.broken(settings.catalogue(), engine.as_deref(), &version);
            Ok(violations(broken, filter, field, &version.to_string()))
        }
        "retentionSeconds" => {
            let rules: AmountRules<Span> = AmountRules::read(filter, settings)?;
            rules.judge(filter, field, object, settings, |seconds| Some(Span::from_seconds(seconds)))
        }
        "retentionHours" => {
            let rules: AmountRules<Span> = AmountRules::read(filter, settings)?;
            rules.judge(filter, field, object, settings, Span::from_hours)
        }
        "partitions" | "maxSize" => {
            let rules: AmountRules<Quantity> = AmountRules::read(filter, settings)?;
            rules.judge(filter, field, object, settings, |number| Some(Quantity::new(number)))
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

fn engine_rules(filter: &Filter, settings: &Settings) -> Result<EngineRules, Error> {
    let rules: EngineRules = filter.with()?.unwrap_or_default();
    let mut problems = Problems::new();
    rules.check(settings.catalogue(), &mut problems);
    finish(filter, problems)?;
    Ok(rules)
}

fn version_rules(filter: &Filter, settings: &Settings) -> Result<VersionRules, Error> {
    let rules: VersionRules = filter.with()?.unwrap_or_default();
    let mut problems = Problems::new();
    rules.check(settings.catalogue(), &mut problems);
    finish(filter, problems)?;
    Ok(rules)
}

/// `with` of a key whose value is a number or a span of time.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, bound = "M: Deserialize<'de>")]
pub struct AmountRules<M> {
    min: Option<M>,
    max: Option<M>,
    multiple_of: Option<M>,
    /// Bounds for objects of one engine, each in place of the general one.
    by_engine: BTreeMap<String, Bounds<M>>,
    /// How much storage all messages may fill.
    storage: Option<StorageRule>,
    required: bool,
}

/// How much storage all messages may fill.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StorageRule {
    max: Quantity,
    /// What is assumed to come in, over the settings.
    #[serde(default)]
    bytes_per_second: Option<Quantity>,
    #[serde(default)]
    message_bytes: Option<Quantity>,
    #[serde(default)]
    replicas: Option<u32>,
}

impl<M> Default for AmountRules<M> {
    /// No rules.
    fn default() -> Self {
        Self { min: None, max: None, multiple_of: None, by_engine: BTreeMap::new(), storage: None, required: false }
    }
}

impl<M: Measure + Clone + DeserializeOwned> AmountRules<M> {
    fn read(filter: &Filter, settings: &Settings) -> Result<Self, Error> {
        let rules: Self = filter.with()?.unwrap_or_default();
        let mut problems = Problems::new();
        rules.of_engine(None, settings).check("", &mut problems);
        if rules.by_engine.len() > MOST_ENTRIES {
            let message =
                format!("{} entries are more than the {MOST_ENTRIES} that a rule may have", rules.by_engine.len());
            problems.push("byEngine", message);
        }
        for engine in rules.by_engine.keys() {
            rules.of_engine(Some(engine), settings).check(&format!("byEngine.{}.", escape_key(engine)), &mut problems);
        }
        if let Some(storage) = &rules.storage {
            storage.check(settings, &mut problems);
        }
        finish(filter, problems)?;
        Ok(rules)
    }

    /// The bounds for an object of that engine.
    fn of_engine(&self, engine: Option<&str>, settings: &Settings) -> Bounds<M> {
        let catalogue = settings.catalogue();
        let engine = engine.map(|engine| catalogue.resolve(engine));
        let own = self.by_engine.iter().find(|(name, _)| Some(catalogue.resolve(name)) == engine).map(|(_, own)| own);
        let own = |bound: fn(&Bounds<M>) -> Option<M>| own.and_then(bound);
        Bounds {
            min: own(|bounds| bounds.min.clone()).or_else(|| self.min.clone()),
            max: own(|bounds| bounds.max.clone()).or_else(|| self.max.clone()),
            multiple_of: own(|bounds| bounds.multiple_of.clone()).or_else(|| self.multiple_of.clone()),
        }
    }

    /// Every rule that the object breaks; `measure` makes the field's number what it means, if that is not too much.
    fn judge(
        &self,
        filter: &Filter,
        field: &Field<'_>,
        object: &Document<'_>,
        settings: &Settings,
        measure: impl Fn(i64) -> Option<M>,
    ) -> Result<Vec<Violation>, Error> {
        let Some(number) = field.integer()? else { return Ok(missing(filter, field, self.required, "24")) };
        let Some(value) = measure(number) else {
            let broken =
                Broken::new("value", "a number that can be counted", "is more than can be counted: ask for less");
            return Ok(vec![broken.violation(filter, field, &number.to_string())]);
        };
        let engine = object.text("spec.engine");
        let broken = self.of_engine(engine.as_deref(), settings).broken(&value);
        let found = match value.to_string() {
            shown if shown == number.to_string() => shown,
            shown => format!("{number} ({shown})"),
        };
        let mut violations = violations(broken, filter, field, &found);
        if let Some(storage) = &self.storage {
            violations.extend(storage.violation(filter, object, settings)?);
        }
        Ok(violations)
    }
}

impl StorageRule {
    fn workload(&self, settings: &Settings) -> Workload {
        let Self { bytes_per_second, message_bytes, replicas, .. } = *self;
        Workload { bytes_per_second, message_bytes, replicas }.or(settings.workload)
    }

    fn check(&self, settings: &Settings, problems: &mut Problems) {
        if self.max.is_negative() {
            problems.push("storage.max", format!("{} is negative; write it as 500Gi", self.max));
        }
        let Self { bytes_per_second, message_bytes, replicas, .. } = *self;
        Workload { bytes_per_second, message_bytes, replicas }.check("storage.", problems);
        if !self.workload(settings).is_known() {
            let message = "nothing is known of what comes in: write bytesPerSecond or messageBytes here, or workload in \
                           the plugin's settings";
            problems.push("storage", message);
        }
    }

    /// That the object's messages would fill too much.
    fn violation(
        &self,
        filter: &Filter,
        object: &Document<'_>,
        settings: &Settings,
    ) -> Result<Option<Violation>, Error> {
        let Some(bytes) = estimate::bytes(object, &self.workload(settings))? else { return Ok(None) };
        if bytes <= self.max.value() {
            return Ok(None);
        }
        let (found, max) = (estimate::shown(bytes), self.max);
        let message = format!(
            "its messages would fill an estimated {found}, and {max} is the most here: ask for a shorter retention, fewer \
             partitions or fewer messages"
        );
        Ok(Some(filter.violation("storage", message).expected(format!("at most {max}")).found(found)))
    }
}
