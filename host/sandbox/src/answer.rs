//! What plugins answer, checked as a stranger's input is.

pub(crate) mod migration;

use resource_broker_plugin_types::{HIGHEST_SCORE, Verdict, Violation};

use crate::error::FieldError;
use crate::text;

/// The most violations that one verdict may list.
const VIOLATIONS: usize = 1000;
/// The most problems that one error may list; the rest adds nothing for a reader.
const PROBLEMS: usize = 100;
/// The longest name of a filter, rule or path, in characters.
const NAME: usize = 256;
/// The longest sentence or value, in characters.
const SENTENCE: usize = 1024;

/// Verdicts that fit the question, with their texts made fit to be shown; or else what is wrong with them.
pub(crate) fn verdicts(verdicts: Vec<Verdict>, offers: usize) -> Result<Vec<Verdict>, String> {
    if verdicts.len() != offers {
        return Err(format!("{} verdicts on {offers} offers", verdicts.len()));
    }
    verdicts.into_iter().map(verdict).collect()
}

fn verdict(verdict: Verdict) -> Result<Verdict, String> {
    match verdict {
        Verdict::Accepted { score: Some(score) } if score > HIGHEST_SCORE => {
            Err(format!("an acceptance with score {score}, more than {HIGHEST_SCORE}"))
        }
        accepted @ Verdict::Accepted { .. } => Ok(accepted),
        Verdict::Refused(violations) if violations.is_empty() => Err("a refusal without a reason".to_owned()),
        Verdict::Refused(violations) if violations.len() > VIOLATIONS => {
            Err(format!("a refusal with {} reasons, more than {VIOLATIONS}", violations.len()))
        }
        Verdict::Refused(violations) => Ok(Verdict::Refused(violations.into_iter().map(violation).collect())),
    }
}

fn violation(violation: Violation) -> Violation {
    let Violation { filter, rule, expected, found, message } = violation;
    Violation {
        filter: text::clean(&filter, NAME),
        rule: text::clean(&rule, NAME),
        expected: text::clean(&expected, SENTENCE),
        found: found.map(|found| text::clean(&found, SENTENCE)),
        message: text::clean(&message, SENTENCE),
    }
}

/// Problems made fit to be shown.
pub(crate) fn problems(problems: Vec<FieldError>) -> Vec<FieldError> {
    let clean =
        |FieldError { path, message }| FieldError { path: text::clean(&path, NAME), message: sentence(&message) };
    problems.into_iter().take(PROBLEMS).map(clean).collect()
}

/// One sentence made fit to be shown.
pub(crate) fn sentence(sentence: &str) -> String {
    text::clean(sentence, SENTENCE)
}

/// A JSON Schema, as far as it is JSON; or else what is wrong with it.
pub(crate) fn schema(schema: String) -> Result<String, String> {
    match serde_json::from_str::<serde_json::Value>(&schema) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(schema),
        Ok(_) => Err("a schema of the settings that is no JSON Schema".to_owned()),
        Err(error) => Err(format!("a schema of the settings that is no JSON: {error}")),
    }
}

/// A status that may be written; or else what is wrong with it.
pub(crate) fn status(status: String) -> Result<String, String> {
    // The parser refuses what is nested deeper than 128 levels, and numbers that no other parser would read.
    match serde_json::from_str::<serde_json::Value>(&status) {
        Ok(serde_json::Value::Object(_)) => Ok(status),
        Ok(_) => Err("a status that is no JSON object".to_owned()),
        Err(error) => Err(format!("a status that is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation_with(text: &str) -> Violation {
        Violation {
            filter: text.to_owned(),
            rule: text.to_owned(),
            expected: text.to_owned(),
            found: Some(text.to_owned()),
            message: text.to_owned(),
        }
    }

    #[test]
    fn there_is_one_verdict_an_offer() {
        assert!(verdicts(vec![Verdict::accepted()], 1).is_ok());
        assert!(verdicts(vec![], 1).is_err());
        assert!(verdicts(vec![Verdict::accepted(), Verdict::accepted()], 1).is_err());
    }

    #[test]
    fn a_score_is_at_most_the_highest() {
        assert!(verdicts(vec![Verdict::scored(HIGHEST_SCORE)], 1).is_ok());
        assert_eq!(
            verdicts(vec![Verdict::scored(HIGHEST_SCORE + 1)], 1),
            Err("an acceptance with score 101, more than 100".to_owned())
        );
    }

    #[test]
    fn a_refusal_has_reasons_but_not_without_end() {
        assert!(verdicts(vec![Verdict::Refused(vec![])], 1).is_err());
        assert!(verdicts(vec![Verdict::Refused(vec![violation_with("x"); VIOLATIONS])], 1).is_ok());
        assert!(verdicts(vec![Verdict::Refused(vec![violation_with("x"); VIOLATIONS + 1])], 1).is_err());
    }

    #[test]
    fn texts_are_cleaned_and_cut() {
        let long = format!("\u{1b}[31m{}", "y".repeat(100_000));
        let cleaned = verdicts(vec![Verdict::Refused(vec![violation_with(&long)])], 1);
        let Ok([Verdict::Refused(violations)]) = cleaned.as_deref() else { panic!("refused") };
        let Violation { filter, rule, expected, found, message } = &violations[0];
        for text in [filter, rule, expected, found.as_ref().unwrap(), message] {
            assert!(text.starts_with("\u{fffd}[31my") && text.chars().count() <= SENTENCE + 1, "{text}");
        }
        let problem = FieldError { path: long.clone(), message: long };
        let problems = problems(vec![problem; PROBLEMS + 1]);
        assert_eq!(problems.len(), PROBLEMS);
        assert!(problems[0].path.len() < 2 * NAME && problems[0].message.len() < 2 * SENTENCE);
    }

    #[test]
    fn a_schema_is_json() {
        assert!(schema(r#"{"type":"object"}"#.to_owned()).is_ok() && schema("true".to_owned()).is_ok());
        assert!(schema("7".to_owned()).is_err() && schema("\u{1b}[2J".to_owned()).is_err());
    }

    #[test]
    fn a_status_is_a_bounded_object_and_goes_through_as_written() {
        let good = r#"{ "a": 1.10, "b": 18446744073709551616 }"#;
        assert_eq!(status(good.to_owned()).as_deref(), Ok(good));
        let deep = r#"{"a":"#.repeat(10_000) + "1" + &"}".repeat(10_000);
        for bad in ["", "null", "[]", "1", "{", "{} {}", r#"{"a": NaN}"#, &deep] {
            assert!(status(bad.to_owned()).is_err(), "{}", &bad[..bad.len().min(20)]);
        }
    }
}
