//! Whether every expression of a stage compiles, before any of them is needed.

use resource_broker_sdk::Problems;

use crate::configuration::{StageSpec, Template};
use crate::expression::{FROM, Flaw, Language, MIGRATION, TO, shorten};
use crate::template::{self, Piece};

/// Adds what is wrong with a stage's expressions.
pub(crate) fn stage(language: &Language, stage: &StageSpec, problems: &mut Problems) {
    let copies = [FROM, TO];
    let deployed: Vec<String> = stage.templates.iter().map(Template::variable).collect();
    let with_deployed: Vec<&str> = copies.into_iter().chain(deployed.iter().map(String::as_str)).collect();
    for (field, conditions, variables) in [
        ("preconditions", &stage.preconditions, &copies[..]),
        ("successConditions", &stage.success_conditions, &with_deployed),
    ] {
        for (index, text) in conditions.iter().enumerate() {
            for flaw in condition_flaws(language, text, variables) {
                let field = format!("{field}.{index}");
                problems.push(format!("{}.{field}", stage.path), about(&stage.name, &field, text, &flaw.to_string()));
            }
        }
    }
    for template in &stage.templates {
        template::each_string(template, |field, text| string(language, stage, field, text, problems));
    }
}

fn condition_flaws(language: &Language, text: &str, variables: &[&str]) -> Vec<Flaw> {
    match language.compile(text, variables) {
        Ok(expression) if expression.is_never_boolean() => {
            vec![Flaw::without_place("a condition has to be true or false, and this is neither")]
        }
        Ok(_) => Vec::new(),
        Err(flaws) => flaws,
    }
}

/// A string of a template.
fn string(language: &Language, stage: &StageSpec, field: &str, text: &str, problems: &mut Problems) {
    let path = format!("{}.{field}", stage.path);
    let pieces = match template::pieces(text) {
        Ok(pieces) => pieces,
        Err(unclosed) => return problems.push(path, about(&stage.name, field, text, &unclosed.to_string())),
    };
    for piece in pieces {
        let Piece::Expression(expression) = piece else { continue };
        for flaw in language.compile(expression, &[FROM, TO, MIGRATION]).err().unwrap_or_default() {
            let what = format!("{flaw}; where ${{ is meant as it stands, as in a shell's script, write $${{");
            problems.push(path.clone(), about(&stage.name, field, expression, &what));
        }
    }
}

/// A problem in one sentence: the stage, the field, the expression, and what is wrong with it.
pub(crate) fn about(stage: &str, field: &str, expression: &str, what: &str) -> String {
    format!("stage {stage:?}, {field}, `{}`, {what}", shorten(expression))
}
