//! The filters of an AcceptAPI: what one may say, and what is wrong with one that says something else.
//!
//! A filter is a JSON object: `key`, a dotted path below `spec`, and any of
//!
//! - `valueIn`: a list of texts, numbers or booleans;
//! - `boundary`: `min`, `max` or both, each a number or a number as text;
//! - `suffix`: a text;
//! - `with`: an object, whose fields are the plugin's own rules.
//!
//! A rule that is null or empty (`[]`, `{}`, `""`) asks for nothing, as if it were absent: that is how they come out of
//! templates and typed clients. Anything else is refused, above all a rule of another name: to pass over a misspelt rule
//! would be to accept what its author wanted refused.
//!
//! [`standard`](crate::standard) applies the first three to an object.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Violation;
use crate::decimal::Decimal;
use crate::document::Document;
use crate::error::{Error, FieldError, Problems};
use crate::field::Field;
use crate::read;
use crate::value::{describe, scalar};

/// A filter that makes sense, as far as the rules go that every plugin has in common.
///
/// ```
/// # use resource_broker_sdk::{Filter, version::Range};
/// # use serde::Deserialize;
/// /// The rules of this plugin, as they stand in `with`.
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Rules {
///     semver: Option<Range>,
/// }
///
/// let filter = Filter::parse(0, r#"{"key": "version", "with": {"semver": ">=15, <18"}}"#).unwrap();
/// let rules: Rules = filter.with().unwrap().expect("the filter has rules");
/// assert!(rules.semver.is_some_and(|range| range.contains(&"16".parse().unwrap())));
///
/// let wrong = Filter::parse(2, r#"{"key": "version", "with": {"semver": "new"}}"#).unwrap();
/// let error = wrong.with::<Rules>().err().unwrap();
/// assert!(error.to_string().contains(r#"2.with.semver: "new" is not a range"#), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its place among the offer's filters, with which the paths of errors begin.
    pub index: usize,
    /// A dotted path below `spec`.
    pub key: String,
    /// The texts of which the value has to be one; empty: any.
    pub value_in: Vec<String>,
    /// How small and how large the value may be.
    pub boundary: Boundary,
    /// How the value's text has to end; empty: anyhow.
    pub suffix: String,
    with: Option<Value>,
}

/// How small and how large a value may be, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    /// The smallest value.
    pub min: Option<Bound>,
    /// The largest value.
    pub max: Option<Bound>,
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
    /// Everything that is wrong; paths begin with the filter's index.
    pub problems: Vec<FieldError>,
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::InvalidInput(invalid.problems)
    }
}

impl Filter {
    /// Reads the filter at `index` of an offer.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, except for what `with` holds: that is for [`with`](Self::with) to read.
    pub fn parse(index: usize, json: &str) -> Result<Self, Invalid> {
        let fields = match serde_json::from_str(json) {
            Ok(Value::Object(fields)) => fields,
            Ok(other) => return Err(not_a_filter(index, format!("a filter is an object, not {}", describe(&other)))),
            Err(error) => return Err(not_a_filter(index, format!("a filter is JSON: {error}"))),
        };
        let mut problems = Vec::new();
        let filter = Self::read(index, fields, &mut problems);
        if problems.is_empty() {
            return Ok(filter);
        }
        for problem in &mut problems {
            problem.path = read::join(&index.to_string(), &problem.path);
        }
        Err(Invalid { key: filter.key, problems })
    }

    fn read(index: usize, mut fields: Map<String, Value>, problems: &mut Vec<FieldError>) -> Self {
        let key = read_key(&fields, problems);
        let value_in = read_value_in(fields.get("valueIn"), problems);
        let boundary = read_boundary(fields.get("boundary"), problems);
        let suffix = read_suffix(fields.get("suffix"), problems);
        refuse_others(&fields, &["key", "valueIn", "boundary", "suffix", "with"], "", problems);
        let with = read_with(fields.remove("with"), problems);
        Self { index, key, value_in, boundary, suffix, with }
    }

    /// Whether the filter has rules of the plugin's own.
    pub fn has_with(&self) -> bool {
        self.with.is_some()
    }

    /// The rules of the plugin's own, as a type of yours; `None` if the filter has none. Give the type
    /// `#[serde(deny_unknown_fields)]`, so that a misspelt rule is refused rather than passed over.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] whose path leads to what does not fit, as in `2.with.semver`.
    pub fn with<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let Some(with) = &self.with else { return Ok(None) };
        Ok(Some(read::from(&format!("{}.with", self.index), with)?))
    }

    /// That something is wrong with one of the plugin's own rules; `field` is a path below `with`.
    ///
    /// ```
    /// # use resource_broker_sdk::{Error, Filter};
    /// let filter = Filter::parse(3, r#"{"key": "nodes", "with": {"min": 5, "max": 1}}"#).unwrap();
    /// assert_eq!(filter.invalid("min", "it is above max"), Error::invalid("3.with.min", "it is above max"));
    /// ```
    pub fn invalid(&self, field: &str, message: impl Into<String>) -> Error {
        Error::invalid(read::join(&format!("{}.with", self.index), field), message)
    }

    /// The field of `object` that the filter is about.
    pub fn field<'d>(&self, object: &'d Document<'_>) -> Field<'d> {
        object.at(&format!("spec.{}", self.key))
    }

    /// A broken rule of this filter; [`Violation::expected`] and [`Violation::found`] say more.
    pub fn violation(&self, rule: impl Into<String>, message: impl Into<String>) -> Violation {
        Violation::new(&self.key, rule, message)
    }

    /// Every rule of `valueIn`, `boundary` and `suffix` that the object breaks. To judge many offers,
    /// [`standard::Judge`](crate::standard::Judge) looks at each field once.
    ///
    /// # Errors
    ///
    /// If the object cannot be read.
    pub fn standard_violations(&self, object: &Document<'_>) -> Result<Vec<Violation>, Error> {
        Ok(crate::standard::violations(self, self.field(object).value()?))
    }
}

/// Reads all filters of an offer, and judges with `rules` those that can be read: for
/// [`AcceptFilter::validate`](crate::AcceptFilter::validate).
///
/// ```
/// # use resource_broker_sdk::{Error, filter};
/// # use serde::Deserialize;
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Rules {
///     most: u64,
/// }
///
/// fn validate(filters: &[String]) -> Result<(), Error> {
///     filter::validate(filters, |filter| filter.with::<Rules>().map(drop))
/// }
///
/// let wrong = [r#"{"key": "a", "sufix": "x"}"#.to_owned(), r#"{"key": "b", "with": {"least": 1}}"#.to_owned()];
/// let Err(Error::InvalidInput(problems)) = validate(&wrong) else { unreachable!() };
/// assert_eq!((problems[0].path.as_str(), problems[1].path.as_str()), ("0.sufix", "1.with.least"));
/// ```
///
/// # Errors
///
/// [`Error::InvalidInput`] with everything that is wrong.
pub fn validate(filters: &[String], mut rules: impl FnMut(&Filter) -> Result<(), Error>) -> Result<(), Error> {
    let mut problems = Problems::new();
    for (index, json) in filters.iter().enumerate() {
        let judged = match Filter::parse(index, json) {
            Ok(filter) => rules(&filter),
            Err(invalid) => Err(invalid.into()),
        };
        problems.take(judged);
    }
    problems.finish()
}

fn not_a_filter(index: usize, message: String) -> Invalid {
    Invalid { key: String::new(), problems: vec![FieldError::new(index.to_string(), message)] }
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
        match scalar(value) {
            Some(text) => texts.push(text.into_owned()),
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

fn read_boundary(rule: Option<&Value>, problems: &mut Vec<FieldError>) -> Boundary {
    let fields = match rule {
        None | Some(Value::Null) => return Boundary::default(),
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            let message = format!("the boundary is an object with min and max, not {}", describe(other));
            problems.push(FieldError::new("boundary", message));
            return Boundary::default();
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
    Boundary { min, max }
}

fn read_bound(fields: &Map<String, Value>, name: &str, problems: &mut Vec<FieldError>) -> Option<Bound> {
    let found = match fields.get(name) {
        None | Some(Value::Null) => return None,
        Some(found) => found,
    };
    let number = match found {
        Value::Number(_) | Value::String(_) => scalar(found),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let bound = number.and_then(|text| Decimal::parse(&text).map(|value| Bound { text: text.into_owned(), value }));
    if bound.is_none() {
        problems.push(FieldError::new(format!("boundary.{name}"), format!("{name} is a number, not {found}")));
    }
    bound
}

fn read_with(rules: Option<Value>, problems: &mut Vec<FieldError>) -> Option<Value> {
    match rules {
        None | Some(Value::Null) => None,
        Some(Value::Object(fields)) => (!fields.is_empty()).then_some(Value::Object(fields)),
        Some(other) => {
            let message = format!("with is an object with the plugin's own rules, not {}", describe(&other));
            problems.push(FieldError::new("with", message));
            None
        }
    }
}

fn refuse_others(fields: &Map<String, Value>, known: &[&str], prefix: &str, problems: &mut Vec<FieldError>) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("there is no rule {name:?}; there are {}", known.join(", "));
        problems.push(FieldError::new(format!("{prefix}{name}"), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(filter: &str) -> Vec<FieldError> {
        Filter::parse(3, filter).err().map_or_else(Vec::new, |invalid| invalid.problems)
    }

    fn paths(filter: &str) -> Vec<String> {
        problems(filter).into_iter().map(|problem| problem.path).collect()
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
        let bare = Filter::parse(0, r#"{"key": "a"}"#);
        for filter in [
            r#"{"key": "a", "valueIn": [], "boundary": {}, "suffix": "", "with": {}}"#,
            r#"{"key": "a", "valueIn": null, "boundary": null, "suffix": null, "with": null}"#,
            r#"{"key": "a", "boundary": {"min": null, "max": null}}"#,
        ] {
            assert_eq!(Filter::parse(0, filter), bare, "{filter}");
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
            (r#"{"key": "a", "with": [">=15"]}"#, vec!["3.with"]),
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
        let problems = problems(r#"{"key": "spec.fqdn", "suffix": "x"}"#);
        assert!(problems[0].message.contains(r#"write "fqdn""#), "{}", problems[0]);
    }
}
