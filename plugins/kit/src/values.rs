//! Judging what an object has in a field: a single value, or each element of a list.

use resource_broker_sdk::{Error, Field, Filter, Violation};
use serde_json::Value;

use crate::judging::{Broken, missing};

/// How many characters of a value are shown to people.
const SHOWN: usize = 200;
/// How many violations one filter reports; a list of strangers' values may have any number of them.
const MOST_VIOLATIONS: usize = 20;
/// How many elements of a list are judged; each costs all rules of all offers.
const MOST_VALUES: usize = 1_000;

/// The violations of `filter` in `field`. `judge` is asked for each value by its text: the field's own, or every element's
/// where the field is a list. Nothing there is fine unless it is `required`, for which `example` shows a value.
///
/// # Errors
///
/// If the field cannot be read.
pub fn judge(
    filter: &Filter,
    field: &Field<'_>,
    required: bool,
    example: &str,
    mut judge: impl FnMut(&str) -> Vec<Broken>,
) -> Result<Vec<Violation>, Error> {
    if !field.exists() {
        return Ok(missing(filter, field, required, example));
    }
    let is_list = matches!(field.value()?, Some(Value::Array(_)));
    let values = if is_list { field.each() } else { vec![field.clone()] };
    if values.is_empty() {
        return Ok(missing(filter, field, required, example));
    }
    if values.len() > MOST_VALUES {
        let reason = format!("is more than the {MOST_VALUES} values that are judged: make several objects of it");
        let broken = Broken::new("value", format!("at most {MOST_VALUES} values"), reason);
        return Ok(vec![broken.violation(filter, field, &format!("a list of {} values", values.len()))]);
    }
    let mut violations = Vec::new();
    for value in &values {
        violations.extend(judge_one(filter, value, example, &mut judge)?);
        if violations.len() >= MOST_VIOLATIONS {
            violations.truncate(MOST_VIOLATIONS);
            break;
        }
    }
    Ok(violations)
}

fn judge_one(
    filter: &Filter,
    field: &Field<'_>,
    example: &str,
    judge: &mut impl FnMut(&str) -> Vec<Broken>,
) -> Result<Vec<Violation>, Error> {
    let text = match field.value()? {
        Some(Value::String(text)) => text.clone(),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
        other => {
            let found = other.map_or_else(|| "null".to_owned(), ToString::to_string);
            let broken = Broken::new("value", "a single value", format!("is not a single value, such as {example}"));
            return Ok(vec![broken.violation(filter, field, &shorten(&found))]);
        }
    };
    let found = if text.is_empty() { "\"\"".to_owned() } else { shorten(&text) };
    Ok(judge(&text).into_iter().map(|broken| broken.violation(filter, field, &found)).collect())
}

/// As much of a text as is shown to people.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_sdk::Document;
    use serde_json::json;

    use super::*;

    fn messages(spec: &Value, required: bool) -> Vec<String> {
        let document = Document::from(json!({ "spec": spec }));
        let filter = Filter::parse(0, r#"{"key": "v", "with": {"x": 1}}"#).unwrap();
        let no_a = |text: &str| {
            if text.starts_with('a') { vec![Broken::new("a", "no a", "has an a")] } else { Vec::new() }
        };
        let field = document.at("spec.v");
        let violations = super::judge(&filter, &field, required, "b", no_a).unwrap();
        violations.into_iter().map(|violation| format!("{}: {}", violation.rule, violation.message)).collect()
    }

    #[test]
    fn every_value_is_judged() {
        for (spec, expected) in [
            (json!({"v": "b"}), vec![]),
            (json!({"v": "ab"}), vec!["a: spec.v is ab, which has an a"]),
            (
                json!({"v": ["b", "a", 7, "a2"]}),
                vec!["a: spec.v.1 is a, which has an a", "a: spec.v.3 is a2, which has an a"],
            ),
            (json!({"v": [["a"]]}), vec![r#"value: spec.v.0 is ["a"], which is not a single value, such as b"#]),
            (json!({"v": {"a": 1}}), vec![r#"value: spec.v is {"a":1}, which is not a single value, such as b"#]),
            (json!({"v": [null]}), vec!["value: spec.v.0 is null, which is not a single value, such as b"]),
            (json!({"v": null}), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(messages(&spec, false), expected, "{spec}");
        }
    }

    #[test]
    fn what_is_required_has_to_be_there() {
        for spec in [json!({}), json!({"v": null}), json!({"v": []})] {
            let found = messages(&spec, true);
            assert!(found.len() == 1 && found[0].starts_with("required: spec.v is missing"), "{spec}: {found:?}");
        }
        assert!(messages(&json!({"v": ""}), true).is_empty());
    }

    #[test]
    fn violations_and_what_they_show_are_bounded() {
        let many: Vec<String> = (0..MOST_VALUES).map(|_| "a".repeat(1_000)).collect();
        let found = messages(&json!({ "v": many }), false);
        assert_eq!(found.len(), MOST_VIOLATIONS);
        assert!(found[0].len() < 2 * SHOWN);
        let more: Vec<&str> = (0..=MOST_VALUES).map(|_| "b").collect();
        let found = messages(&json!({ "v": more }), false);
        assert!(found.len() == 1 && found[0].starts_with("value: spec.v is a list of 1001 values"), "{found:?}");
    }
}
