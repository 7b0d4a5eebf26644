//! What `with` of a filter means for each key, and when a database keeps to it.
//!
//! | key | rules |
//! |---|---|
//! | `engine` | [`EngineRules`]: `oneOf`, `noneOf`, `families`, `required` |
//! | `version` | [`VersionRules`]: `semver`, `engines`, `maintainedOn`, `required` |

use resource_broker_plugin_kit::engines::{Catalogue, EngineRules, VersionRules};
use resource_broker_plugin_kit::judging::{Broken, missing, no_rules_for};
use resource_broker_sdk::{Document, Error, Field, Filter, Problems, Violation};

/// The keys for which there are rules.
const KEYS: &[&str] = &["engine", "version"];

/// What is wrong with a filter's rules.
///
/// # Errors
///
/// [`Error::InvalidInput`] with everything that is wrong.
pub fn check(filter: &Filter, catalogue: Catalogue<'_>) -> Result<(), Error> {
    if !filter.has_with() {
        return Ok(());
    }
    match filter.key.as_str() {
        "engine" => engine_rules(filter, catalogue).map(drop),
        "version" => version_rules(filter, catalogue).map(drop),
        _ => Err(no_rules_for(filter, KEYS)),
    }
}

/// Every rule that the object breaks.
///
/// # Errors
///
/// [`Error::InvalidInput`] if the rules make no sense.
pub fn broken(
    filter: &Filter,
    field: &Field<'_>,
    object: &Document<'_>,
    catalogue: Catalogue<'_>,
) -> Result<Vec<Violation>, Error> {
    match filter.key.as_str() {
        "engine" => {
            let rules = engine_rules(filter, catalogue)?;
            let Some(engine) = field.text()? else { return Ok(missing(filter, field, rules.required, "postgres")) };
            Ok(violations(rules.broken(catalogue, &engine), filter, field, &engine))
        }
        "version" => {
            let rules = version_rules(filter, catalogue)?;
            let Some(version) = field.version()? else { return Ok(missing(filter, field, rules.required, "16")) };
            let engine = object.text("spec.engine");
            let broken = rules.broken(catalogue, engine.as_deref(), &version);
            Ok(violations(broken, filter, field, &version.to_string()))
        }
        _ => Err(no_rules_for(filter, KEYS)),
    }
}

fn violations(broken: Vec<Broken>, filter: &Filter, field: &Field<'_>, found: &str) -> Vec<Violation> {
    broken.into_iter().map(|broken| broken.violation(filter, field, found)).collect()
}

fn engine_rules(filter: &Filter, catalogue: Catalogue<'_>) -> Result<EngineRules, Error> {
    let rules: EngineRules = filter.with()?.unwrap_or_default();
    let mut problems = Problems::new();
    rules.check(catalogue, &mut problems);
    finish(filter, problems)?;
    Ok(rules)
}

fn version_rules(filter: &Filter, catalogue: Catalogue<'_>) -> Result<VersionRules, Error> {
    let rules: VersionRules = filter.with()?.unwrap_or_default();
    let mut problems = Problems::new();
    rules.check(catalogue, &mut problems);
    finish(filter, problems)?;
    Ok(rules)
}

fn finish(filter: &Filter, problems: Problems) -> Result<(), Error> {
    problems.finish().map_err(|error| error.below(&format!("{}.with", filter.index)))
}
