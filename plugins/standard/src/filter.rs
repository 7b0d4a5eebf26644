//! What a filter may say, and what is wrong with one that says something else.
//!
//! A filter is a JSON object: `key`, a dotted path below `spec`, and any of
//!
//! - `valueIn`: a list of texts, numbers or booleans;
//! - `boundary`: `min`, `max` or both, each a number or a number as text;
//! - `suffix`: a text.
//!
//! A rule that is null or empty (`[]`, `{}`, `""`) asks for nothing, as if it were absent: that is how they come out of
//! templates and typed clients. Anything else is refused, above all a rule of another name: to pass over a misspelt rule
//! would be to accept what its author wanted refused.

use resource_broker_sdk::FieldError;
use serde_json::{Map, Value};

use crate::decimal::Decimal;

/// A filter that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// A dotted path below `spec`.
    pub key: String,
    /// The texts of which the value has to be one; empty: any.
    pub value_in: Vec<String>,
    /// The smallest value.
    pub min: Option<Bound>,
    /// The largest value.
    pub max: Option<Bound>,
    /// How the value's text has to end; empty: anyhow.
    pub suffix: String,
}

/// One end of a `boundary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// As its author wrote it.
    pub text: String,
    /// Its value.
    pub value: Decimal,
}

/// A filter that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The filter's key, as far as there is one.
    pub key: String,
    /// Everything that is wrong; paths are relative to the filter.
    pub problems: Vec<FieldError>,
}

/// What is wrong with the filter at `index` of an offer; paths begin with the index.
pub fn problems(index: usize, filter: &str) -> Vec<FieldError> {
    let Err(invalid) = parse(filter) else { return Vec::new() };
    let at_index = |FieldError { path, message }| {
        let path = if path.is_empty() { index.to_string() } else { format!("{index}.{path}") };
        FieldError { path, message }
    };
    invalid.problems.into_iter().map(at_index).collect()
}

/// Reads a filter.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn parse(filter: &str) -> Result<Filter, Invalid> {
    let fields = match serde_json::from_str(filter) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return Err(not_a_filter(&format!("a filter is an object, not {}", describe(&other)))),
        Err(error) => return Err(not_a_filter(&format!("a filter is JSON: {error}"))),
    };
    let mut problems = Vec::new();
    let key = read_key(&fields, &mut problems);
    let (min, max) = read_boundary(fields.get("boundary"), &mut problems);
    let filter = Filter {
        key,
        value_in: read_value_in(fields.get("valueIn"), &mut problems),
        min,
        max,
        suffix: read_suffix(fields.get("suffix"), &mut problems),
    };
    refuse_others(&fields, &["key", "valueIn", "boundary", "suffix"], "", &mut problems);
    if problems.is_empty() { Ok(filter) } else { Err(Invalid { key: filter.key, problems }) }
}

fn not_a_filter(message: &str) -> Invalid {
    Invalid { key: String::new(), problems: vec![FieldError::new("", message)] }
}

/// A JSON value's kind, for people.
pub fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A scalar's text; `None` for null, lists and objects.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn read_key(fields: &Map<String, Value>, problems: &mut Vec<FieldError>) -> String {
    let key = match fields.get("key") {
        Some(Value::String(key)) => key.clone(),
        Some(other) => {
            problems.push(FieldError::new("key", format!("the key is a text, not {}", describe(other))));
            return String::new();
        }
        None => String::new(),
    };
    let message = if key.is_empty() {
        "the key is missing: name a field below spec".to_owned()
    } else if let Some(below) = key.strip_prefix("spec.") {
        format!("the key begins below spec: write {below:?} instead of {key:?}")
    } else if key.split('.').any(str::is_empty) {
        format!("the key {key:?} has an empty part between its dots")
    } else {
        return key;
    };
    problems.push(FieldError::new("key", message));
    key
}

fn read_value_in(rule: Option<&Value>, problems: &mut Vec<FieldError>) -> Vec<String> {
    let values = match rule {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(values)) => values,
        Some(other) => {
            problems.push(FieldError::new("valueIn", format!("valueIn is a list, not {}", describe(other))));
            return Vec::new();
        }
    };
    let mut texts = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match text(value) {
            Some(text) => texts.push(text),
            None => problems.push(FieldError::new(
                format!("valueIn.{index}"),
                format!("a value is a text, a number or a boolean, not {}", describe(value)),
            )),
        }
    }
    texts
}

fn read_suffix(rule: Option<&Value>, problems: &mut Vec<FieldError>) -> String {
    match rule {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(suffix)) => suffix.clone(),
        Some(other) => {
            problems.push(FieldError::new("suffix", format!("the suffix is a text, not {}", describe(other))));
            String::new()
        }
    }
}

fn read_boundary(rule: Option<&Value>, problems: &mut Vec<FieldError>) -> (Option<Bound>, Option<Bound>) {
    let fields = match rule {
        None | Some(Value::Null) => return (None, None),
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            let message = format!("the boundary is an object with min and max, not {}", describe(other));
            problems.push(FieldError::new("boundary", message));
            return (None, None);
        }
    };
    refuse_others(fields, &["min", "max"], "boundary.", problems);
    let min = read_bound(fields, "min", problems);
    let max = read_bound(fields, "max", problems);
    if let (Some(min), Some(max)) = (&min, &max)
        && min.value > max.value
    {
        let message = format!("min ({}) is larger than max ({}), so that no value is accepted", min.text, max.text);
        problems.push(FieldError::new("boundary", message));
    }
    (min, max)
}

fn read_bound(fields: &Map<String, Value>, name: &str, problems: &mut Vec<FieldError>) -> Option<Bound> {
    let found = match fields.get(name) {
        None | Some(Value::Null) => return None,
        Some(found) => found,
    };
    let number = match found {
        Value::Number(_) | Value::String(_) => text(found),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let bound = number.and_then(|text| Decimal::parse(&text).map(|value| Bound { text, value }));
    if bound.is_none() {
        problems.push(FieldError::new(format!("boundary.{name}"), format!("{name} is a number, not {found}")));
    }
    bound
}

fn refuse_others(fields: &Map<String, Value>, known: &[&str], prefix: &str, problems: &mut Vec<FieldError>) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let message = match name.as_str() {
            "with" => "the standard filter has no rule \"with\"; it needs a plugin that serves this API".to_owned(),
            _ => format!("the standard filter has nothing called {name:?}; it has {}", known.join(", ")),
        };
        problems.push(FieldError::new(format!("{prefix}{name}"), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(filter: &str) -> Vec<String> {
        problems(3, filter).into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn every_form_that_a_manifest_may_have_is_read() {
        for filter in [
            r#"{"key": "fqdn", "suffix": "corp.com"}"#,
            r#"{"key": "a.b.c", "valueIn": ["x", 16, true]}"#,
            r#"{"key": "nodes", "boundary": {"min": 1, "max": 5}}"#,
            r#"{"key": "nodes", "boundary": {"min": "1", "max": "5.5"}}"#,
            r#"{"key": "nodes", "boundary": {"min": 5, "max": "5.0"}}"#,
            r#"{"key": "nodes", "boundary": {"max": 5}, "valueIn": ["3"], "suffix": "3"}"#,
        ] {
            assert_eq!(paths(filter), Vec::<String>::new(), "{filter}");
        }
    }

    #[test]
    fn an_empty_rule_is_no_rule() {
        let bare = parse(r#"{"key": "a"}"#);
        for filter in [
            r#"{"key": "a", "valueIn": [], "boundary": {}, "suffix": ""}"#,
            r#"{"key": "a", "valueIn": null, "boundary": null, "suffix": null}"#,
            r#"{"key": "a", "boundary": {"min": null, "max": null}}"#,
        ] {
            assert_eq!(parse(filter), bare, "{filter}");
        }
        assert!(bare.is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_is() {
        for (filter, expected) in [
            ("{", vec!["3"]),
            ("[]", vec!["3"]),
            ("{}", vec!["3.key"]),
            (r#"{"key": ""}"#, vec!["3.key"]),
            (r#"{"key": 7}"#, vec!["3.key"]),
            (r#"{"key": "spec.fqdn"}"#, vec!["3.key"]),
            (r#"{"key": "a..b"}"#, vec!["3.key"]),
            (r#"{"key": "a."}"#, vec!["3.key"]),
            (r#"{"key": "a", "with": {"semver": ">=15"}}"#, vec!["3.with"]),
            (r#"{"key": "a", "valuein": ["x"]}"#, vec!["3.valuein"]),
            (r#"{"key": "a", "valueIn": "x"}"#, vec!["3.valueIn"]),
            (r#"{"key": "a", "valueIn": ["x", null, ["y"], {}]}"#, vec!["3.valueIn.1", "3.valueIn.2", "3.valueIn.3"]),
            (r#"{"key": "a", "suffix": 1}"#, vec!["3.suffix"]),
            (r#"{"key": "a", "boundary": 1}"#, vec!["3.boundary"]),
            (r#"{"key": "a", "boundary": {"min": 2, "max": 1}}"#, vec!["3.boundary"]),
            (r#"{"key": "a", "boundary": {"min": "10", "max": "9"}}"#, vec!["3.boundary"]),
            (r#"{"key": "a", "boundary": {"min": "1Gi"}}"#, vec!["3.boundary.min"]),
            (r#"{"key": "a", "boundary": {"max": true}}"#, vec!["3.boundary.max"]),
            (r#"{"key": "a", "boundary": {"minimum": 1}}"#, vec!["3.boundary.minimum"]),
            (r#"{"suffix": 1, "boundary": {"min": []}, "x": 0}"#, vec!["3.key", "3.boundary.min", "3.suffix", "3.x"]),
        ] {
            assert_eq!(paths(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_refused_key_says_what_to_write_instead() {
        let problems = problems(0, r#"{"key": "spec.fqdn", "suffix": "x"}"#);
        assert!(problems[0].message.contains(r#"write "fqdn""#), "{}", problems[0]);
    }
}
