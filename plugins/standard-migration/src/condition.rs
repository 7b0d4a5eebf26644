//! How a stage stands, by its conditions.

use cel::Value;
use resource_broker_sdk::{Deployed, Error, StageOutcome, assess_jobs};
use serde_json::Value as Json;

use crate::check::about;
use crate::configuration::{StageSpec, Template};
use crate::expression::{FROM, Failure, Language, Scope, TO, shorten};
use crate::value::describe;

/// Judges a stage. `scope` has the two copies.
///
/// # Errors
///
/// [`Error::InvalidInput`] if a condition makes no sense, with the stage and its text.
pub(crate) fn assess(
    language: &Language,
    mut scope: Scope,
    stage: &StageSpec,
    deployed: &[Deployed],
) -> Result<StageOutcome, Error> {
    if deployed.is_empty() {
        if let Some(reason) = preconditions(language, &scope, stage)? {
            return Ok(StageOutcome::Waiting(reason));
        }
        if !stage.templates.is_empty() {
            return Ok(StageOutcome::Ready);
        }
    }
    for template in &stage.templates {
        let found = deployed.iter().find(|deployed| deployed.name == template.name);
        let Some(object) = found.and_then(|deployed| deployed.object.as_ref()) else {
            return Ok(StageOutcome::waiting(format!("{} is not there yet", template.name)));
        };
        scope.set(&template.variable(), &object.parse::<Json>("")?.unwrap_or_default());
    }
    if stage.success_conditions.is_empty() && !deployed.is_empty() {
        return assess_jobs(deployed);
    }
    match success(language, &scope, stage)? {
        None => Ok(StageOutcome::Succeeded),
        Some(reason) => Ok(failed_job(deployed)?.unwrap_or(StageOutcome::Waiting(reason))),
    }
}

/// A Job that has failed for good makes no condition true any more that waits for it.
fn failed_job(deployed: &[Deployed]) -> Result<Option<StageOutcome>, Error> {
    let outcomes = deployed.iter().map(Deployed::outcome).collect::<Result<Vec<_>, _>>()?;
    Ok(outcomes.into_iter().find(|outcome| matches!(outcome, StageOutcome::Failed(_))))
}

fn preconditions(language: &Language, scope: &Scope, stage: &StageSpec) -> Result<Option<String>, Error> {
    let kind = Kind { field: "preconditions", word: "precondition" };
    kind.first_unmet(language, scope, stage, &stage.preconditions, &[FROM, TO])
}

fn success(language: &Language, scope: &Scope, stage: &StageSpec) -> Result<Option<String>, Error> {
    let kind = Kind { field: "successConditions", word: "success condition" };
    let deployed: Vec<String> = stage.templates.iter().map(Template::variable).collect();
    let variables: Vec<&str> = [FROM, TO].into_iter().chain(deployed.iter().map(String::as_str)).collect();
    kind.first_unmet(language, scope, stage, &stage.success_conditions, &variables)
}

/// Which of a stage's conditions are meant.
struct Kind {
    field: &'static str,
    word: &'static str,
}

impl Kind {
    /// What the first condition waits for that is not true; `None` if all are.
    fn first_unmet(
        &self,
        language: &Language,
        scope: &Scope,
        stage: &StageSpec,
        conditions: &[String],
        variables: &[&str],
    ) -> Result<Option<String>, Error> {
        let Self { field, word } = self;
        for (index, text) in conditions.iter().enumerate() {
            let field = format!("{field}.{index}");
            let wrong =
                |what: &str| Error::invalid(format!("{}.{field}", stage.path), about(&stage.name, &field, text, what));
            let expression = language
                .compile(text, variables)
                .map_err(|flaws| wrong(&flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")))?;
            match expression.evaluate(scope) {
                Ok(Value::Bool(true)) => {}
                Ok(Value::Bool(false)) => return Ok(Some(format!("{word} `{}` is false", shorten(text)))),
                Ok(other) => {
                    let what = format!("it is {}, and a condition has to be true or false", describe(&other));
                    return Err(wrong(&what));
                }
                Err(Failure::Missing(what)) => {
                    return Ok(Some(format!("{word} `{}` waits: {what} is not there yet", shorten(text))));
                }
                Err(Failure::Wrong(why)) => return Err(wrong(&why)),
            }
        }
        Ok(None)
    }
}
