//! Whether every expression of a stage makes sense, before any of them is needed.

use resource_broker_sdk::Problems;

use crate::configuration::{StageSpec, Template};
use crate::expression::{FROM, Language, MIGRATION, Purpose, Scope, TO, shorten};
use crate::template::{self, Piece};

/// Adds what is wrong with a stage's expressions. `nothing` is a scope without variables.
pub(crate) fn stage(language: &Language, nothing: &Scope, stage: &StageSpec, problems: &mut Problems) {
    let copies = [FROM, TO];
    let deployed: Vec<String> = stage.templates.iter().map(Template::variable).collect();
    let with_deployed: Vec<&str> = copies.into_iter().chain(deployed.iter().map(String::as_str)).collect();
    for (field, conditions, variables) in [
        ("preconditions", &stage.preconditions, &copies[..]),
        ("successConditions", &stage.success_conditions, &with_deployed),
    ] {
        for (index, text) in conditions.iter().enumerate() {
            for flaw in language.check(text, variables, Purpose::Condition, nothing) {
                let field = format!("{field}.{index}");
                problems.push(format!("{}.{field}", stage.path), about(&stage.name, &field, text, &flaw.to_string()));
            }
        }
    }
    for template in &stage.templates {
        template::each_string(template, |field, text| {
            string(language, nothing, stage, (field, text), problems);
        });
    }
}

/// A string of a template.
fn string(
    language: &Language,
    nothing: &Scope,
    stage: &StageSpec,
    (field, text): (&str, &str),
    problems: &mut Problems,
) {
    let path = format!("{}.{field}", stage.path);
    let pieces = match template::pieces(text) {
        Ok(pieces) => pieces,
        Err(unclosed) => return problems.push(path, about(&stage.name, field, text, &unclosed.to_string())),
    };
    for piece in pieces {
        let Piece::Expression(expression) = piece else { continue };
        for flaw in language.check(expression, &[FROM, TO, MIGRATION], Purpose::Value, nothing) {
            let what = format!("{flaw}; where ${{ is meant as it stands, as in a shell's script, write $${{");
            problems.push(path.clone(), about(&stage.name, field, expression, &what));
        }
    }
}

/// A problem in one sentence: the stage, the field, the expression, and what is wrong with it.
pub(crate) fn about(stage: &str, field: &str, expression: &str, what: &str) -> String {
    format!("stage {stage:?}, {field}, `{}`, {what}", shorten(expression))
}
