//! When an object keeps to an offer's filters.
//!
//! - A field that the object lacks, or that is null, violates nothing.
//! - `valueIn` and `suffix` look at the value's text: `16` and `"16"` are the same.
//! - `boundary` looks at its number, exact at any size; `"16"` is one, `"16Gi"` is not. Both ends are included.
//! - An array keeps to a rule if each of its elements does, and so does an empty one. A null, an array or an object as an
//!   element breaks every rule, and so does an object as the value.
//! - A filter that makes no sense refuses every object: to pass over it would accept what its author wanted refused.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::decimal::Decimal;
use crate::document::Document;
use crate::error::{Error, FieldError};
use crate::field::Field;
use crate::filter::{Boundary, Filter, Invalid};
use crate::value::{describe, scalar, shorten, show};
use crate::{Offer, Verdict, Violation};

/// Judges offers for one object, looking at each of its fields once.
#[derive(Debug)]
pub struct Judge<'a> {
    object: &'a Document<'a>,
    fields: BTreeMap<String, Field<'a>>,
}

impl<'a> Judge<'a> {
    /// A judge of `object`.
    pub fn new(object: &'a Document<'a>) -> Self {
        Self { object, fields: BTreeMap::new() }
    }

    /// Judges one offer by the standard rules alone; an offer with other rules is refused.
    ///
    /// # Errors
    ///
    /// If the object itself cannot be read.
    pub fn offer(&mut self, offer: &Offer) -> Result<Verdict, Error> {
        self.offer_with(offer, |filter, _| super::refuse_with(filter).map(|()| Vec::new()))
    }

    /// Judges one offer by the standard rules, and by `rules` each filter that has a `with`. `rules` is given the filter
    /// and the field that the filter is about, and answers with what is broken.
    ///
    /// Where `rules` fails, the offer is refused, be it that the filter makes no sense or that the object has something
    /// there that cannot be judged. Only [`Error::Internal`] fails the call.
    ///
    /// # Errors
    ///
    /// If the object itself cannot be read.
    pub fn offer_with<F>(&mut self, offer: &Offer, mut rules: F) -> Result<Verdict, Error>
    where
        F: FnMut(&Filter, &Field<'_>) -> Result<Vec<Violation>, Error>,
    {
        let mut broken = Vec::new();
        for (index, json) in offer.filters.iter().enumerate() {
            let filter = match Filter::parse(index, json) {
                Ok(filter) => filter,
                Err(Invalid { key, problems }) => {
                    broken.extend(refuse(index, &key, problems));
                    continue;
                }
            };
            let field = self.field(&filter);
            broken.extend(violations(&filter, field.value()?));
            if filter.has_with() {
                match rules(&filter, field) {
                    Ok(violations) => broken.extend(violations),
                    Err(error) => broken.extend(refuse_for(&filter, error)?),
                }
            }
        }
        Ok(Verdict::from(broken))
    }

    /// The field that a filter is about.
    fn field(&mut self, filter: &Filter) -> &Field<'a> {
        if !self.fields.contains_key(&filter.key) {
            self.fields.insert(filter.key.clone(), filter.field(self.object));
        }
        &self.fields[&filter.key]
    }
}

/// A filter that makes no sense refuses everything.
fn refuse(index: usize, key: &str, problems: Vec<FieldError>) -> Vec<Violation> {
    let prefix = format!("{index}.");
    let filter = if key.is_empty() { format!("#{index}") } else { key.to_owned() };
    problems
        .into_iter()
        .map(|FieldError { path, message }| {
            let path = path.strip_prefix(&prefix).unwrap_or_default();
            let rule = path.split('.').next().unwrap_or_default();
            let problem = FieldError::new(path, message);
            let message = format!("the offer's filter is wrong, so that it accepts nothing: {problem}");
            Violation::new(&filter, rule, message).expected("a filter that makes sense")
        })
        .collect()
}

/// What a plugin's own rules could not judge is refused, whosever fault it is; only the plugin's own fails the call.
fn refuse_for(filter: &Filter, error: Error) -> Result<Vec<Violation>, Error> {
    let of_filter = format!("{}.", filter.index);
    match error {
        Error::InvalidInput(problems) => {
            let (wrong, unreadable): (Vec<_>, Vec<_>) =
                problems.into_iter().partition(|problem| problem.path.starts_with(&of_filter));
            let unreadable = unreadable.into_iter().map(|problem| {
                filter.violation("with", problem.to_string()).expected("a value that the rule can be asked of")
            });
            Ok(refuse(filter.index, &filter.key, wrong).into_iter().chain(unreadable).collect())
        }
        Error::Unsupported(message) => {
            Ok(vec![filter.violation("with", message).expected("a rule that this API's plugin has")])
        }
        other @ (Error::Internal(_) | Error::InvalidSettings(_)) => Err(other),
    }
}

/// Every rule of the filter that the value breaks.
pub fn violations(filter: &Filter, value: Option<&Value>) -> Vec<Violation> {
    let elements: Vec<Element<'_>> = match value {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(index, value)| Element { index: Some(index), value }).collect()
        }
        Some(value) => vec![Element { index: None, value }],
    };
    rules(filter)
        .into_iter()
        .filter_map(|rule| {
            let (element, reason) =
                elements.iter().find_map(|element| Some((element, rule.broken_by(element.value)?)))?;
            let place = match element.index {
                Some(index) => format!("spec.{}.{index}", filter.key),
                None => format!("spec.{}", filter.key),
            };
            let found = scalar(element.value).unwrap_or_else(|| element.value.to_string().into());
            let message = format!("{place} is {}, which {reason}", show(element.value));
            Some(filter.violation(rule.name(), message).expected(rule.expected()).found(shorten(&found)))
        })
        .collect()
}

struct Element<'v> {
    /// Its place in an array.
    index: Option<usize>,
    value: &'v Value,
}

enum Rule<'f> {
    ValueIn(&'f [String]),
    Boundary(&'f Boundary),
    Suffix(&'f str),
}

fn rules(filter: &Filter) -> Vec<Rule<'_>> {
    let mut rules = Vec::with_capacity(3);
    if !filter.value_in.is_empty() {
        rules.push(Rule::ValueIn(&filter.value_in));
    }
    if filter.boundary != Boundary::default() {
        rules.push(Rule::Boundary(&filter.boundary));
    }
    if !filter.suffix.is_empty() {
        rules.push(Rule::Suffix(&filter.suffix));
    }
    rules
}

impl Rule<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::ValueIn(_) => "valueIn",
            Self::Boundary(_) => "boundary",
            Self::Suffix(_) => "suffix",
        }
    }

    fn expected(&self) -> String {
        match self {
            Self::ValueIn(values) => shorten(&format!("one of {}", values.join(", "))),
            Self::Boundary(Boundary { min: Some(min), max: Some(max) }) => {
                shorten(&format!("{} <= value <= {}", min.text, max.text))
            }
            Self::Boundary(Boundary { min: Some(min), .. }) => shorten(&format!("value >= {}", min.text)),
            Self::Boundary(Boundary { max: Some(max), .. }) => shorten(&format!("value <= {}", max.text)),
            Self::Boundary(_) => "any number".to_owned(),
            Self::Suffix(suffix) => shorten(&format!("a text that ends in {suffix:?}")),
        }
    }

    /// Why the value breaks the rule, as the rest of a sentence; `None` if it keeps to it.
    fn broken_by(&self, value: &Value) -> Option<String> {
        let Some(text) = scalar(value) else {
            return Some(format!("is {}, not a single value", describe(value)));
        };
        match self {
            Self::ValueIn(values) => (!values.iter().any(|value| *value == text))
                .then(|| shorten(&format!("is not one of {}", values.join(", ")))),
            Self::Suffix(suffix) => (!text.ends_with(suffix)).then(|| shorten(&format!("does not end in {suffix:?}"))),
            Self::Boundary(boundary) => match (value, Decimal::parse(&text)) {
                (Value::Number(_) | Value::String(_), Some(number)) => out_of_bounds(boundary, &number),
                _ => Some("is not a plain number".to_owned()),
            },
        }
    }
}

fn out_of_bounds(boundary: &Boundary, number: &Decimal) -> Option<String> {
    match (&boundary.min, &boundary.max) {
        (Some(min), _) if *number < min.value => Some(shorten(&format!("is less than {}", min.text))),
        (_, Some(max)) if *number > max.value => Some(shorten(&format!("is more than {}", max.text))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many characters of a value may be shown, quotes and all.
    const SHOWN: usize = 210;

    fn judge(object: &Value, filters: &[Value]) -> Vec<Violation> {
        let object = Document::from(json!({ "spec": object }));
        let offer = Offer {
            provider: "provider#nestor".to_owned(),
            name: "default/offer".to_owned(),
            filters: filters.iter().map(Value::to_string).collect(),
        };
        match Judge::new(&object).offer(&offer) {
            Ok(Verdict::Accepted { .. }) => Vec::new(),
            Ok(Verdict::Refused(violations)) => {
                assert!(!violations.is_empty(), "a refusal has a reason");
                violations
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The rules that `value` at `spec.v` breaks.
    fn broken(value: &Value, mut filter: Value) -> Vec<String> {
        filter["key"] = json!("v");
        judge(&json!({ "v": value }), &[filter]).into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn value_in() {
        let list = json!({"valueIn": ["amd64", "16", "true", "1.50", ""]});
        for value in [json!("amd64"), json!("16"), json!(16), json!(true), json!(""), json!("1.50")] {
            assert!(broken(&value, list.clone()).is_empty(), "{value}");
        }
        for value in [json!("AMD64"), json!("amd"), json!(17), json!(false), json!("1.5"), json!({"a": 1})] {
            assert_eq!(broken(&value, list.clone()), ["valueIn"], "{value}");
        }
        assert!(broken(&json!(16), json!({"valueIn": [16]})).is_empty());
        assert_eq!(broken(&json!("a"), json!({"valueIn": [1]})), ["valueIn"]);
    }

    #[test]
    fn boundary() {
        let between = json!({"boundary": {"min": 1, "max": "16.5"}});
        for value in [json!(1), json!(1.0), json!("1"), json!("16"), json!(16.5), json!("16.50"), json!("1e1")] {
            assert!(broken(&value, between.clone()).is_empty(), "{value}");
        }
        for value in [
            json!(0),
            json!("0.999"),
            json!(16.51),
            json!(-5),
            json!("16Gi"),
            json!(""),
            json!("many"),
            json!(true),
            json!({"min": 2}),
        ] {
            assert_eq!(broken(&value, between.clone()), ["boundary"], "{value}");
        }
        assert!(broken(&json!(-9), json!({"boundary": {"max": 0}})).is_empty());
        assert_eq!(broken(&json!(1), json!({"boundary": {"max": 0}})), ["boundary"]);
        assert!(broken(&json!(9), json!({"boundary": {"min": 0}})).is_empty());
        assert_eq!(broken(&json!(-1), json!({"boundary": {"min": 0}})), ["boundary"]);
    }

    #[test]
    fn boundary_is_exact_where_floating_point_is_not() {
        let object: Value = serde_json::from_str("9007199254740993").unwrap();
        assert_eq!(broken(&object, json!({"boundary": {"max": 9_007_199_254_740_992_u64}})), ["boundary"]);
        assert_eq!(broken(&json!("1e400"), json!({"boundary": {"max": "1e399"}})), ["boundary"]);
    }

    #[test]
    fn suffix() {
        let corp = json!({"suffix": ".corp.com"});
        for value in [json!("a.corp.com"), json!(".corp.com")] {
            assert!(broken(&value, corp.clone()).is_empty(), "{value}");
        }
        for value in [json!("corp.com"), json!("a.corp.com "), json!("a.CORP.com"), json!(""), json!(1), json!({})] {
            assert_eq!(broken(&value, corp.clone()), ["suffix"], "{value}");
        }
        assert!(broken(&json!(125), json!({"suffix": "25"})).is_empty());
    }

    #[test]
    fn a_missing_field_is_not_violated() {
        let all = json!({"valueIn": ["x"], "boundary": {"min": 1}, "suffix": "y"});
        assert!(broken(&Value::Null, all.clone()).is_empty());
        for (key, object) in [
            ("v", json!({})),
            ("a.b", json!({"a": {}})),
            ("a.b", json!({"a": "text"})),
            ("a.b", json!({"a": null})),
            ("a.1", json!({"a": [1]})),
            ("a", Value::Null),
        ] {
            let mut filter = all.clone();
            filter["key"] = json!(key);
            assert!(judge(&object, &[filter]).is_empty(), "{key} in {object}");
        }
    }

    #[test]
    fn nested_keys() {
        let object = json!({"a": {"b": {"c": "x"}, "list": [{"n": 3}], "d.e": "dotted"}});
        for (key, held, broken) in [("a.b.c", "x", "y"), ("a.list.0.n", "3", "4"), (r"a.d\.e", "dotted", "plain")] {
            assert!(judge(&object, &[json!({"key": key, "valueIn": [held]})]).is_empty(), "{key}");
            assert_eq!(judge(&object, &[json!({"key": key, "valueIn": [broken]})]).len(), 1, "{key}");
        }
    }

    #[test]
    fn arrays_keep_to_a_rule_if_every_element_does() {
        for (value, rules) in [
            (json!([]), json!([])),
            (json!(["1x", "2x"]), json!(["boundary"])),
            (json!(["1", "2"]), json!(["suffix"])),
            (json!(["1x", 9]), json!(["valueIn", "boundary", "suffix"])),
            (json!([null]), json!(["valueIn", "boundary", "suffix"])),
            (json!([["1"]]), json!(["valueIn", "boundary", "suffix"])),
        ] {
            let filter = json!({"valueIn": ["1", "2", "1x", "2x"], "boundary": {"max": 5}, "suffix": "x"});
            assert_eq!(json!(broken(&value, filter)), rules, "{value}");
        }
        let violations = judge(&json!({"v": ["a", "c", "d"]}), &[json!({"key": "v", "valueIn": ["a"]})]);
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].found.as_deref(), Some("c"));
        assert_eq!(violations[0].message, r#"spec.v.1 is "c", which is not one of a"#);
    }

    #[test]
    fn an_empty_rule_asks_for_nothing() {
        for value in [json!("x"), json!(1), json!({"a": 1}), json!(["y"])] {
            let filter = json!({"valueIn": [], "boundary": {}, "suffix": ""});
            assert!(broken(&value, filter).is_empty(), "{value}");
        }
        assert!(judge(&json!({"v": 1}), &[]).is_empty());
    }

    #[test]
    fn every_broken_rule_of_every_filter_is_reported() {
        let violations = judge(
            &json!({"fqdn": "a.example.org", "nodes": "9"}),
            &[
                json!({"key": "fqdn", "suffix": ".corp.com", "valueIn": ["b.corp.com"]}),
                json!({"key": "nodes", "boundary": {"min": 1, "max": 5}}),
                json!({"key": "region", "valueIn": ["eu"]}),
            ],
        );
        let expected = [
            ("fqdn", "valueIn", "one of b.corp.com", "a.example.org"),
            ("fqdn", "suffix", r#"a text that ends in ".corp.com""#, "a.example.org"),
            ("nodes", "boundary", "1 <= value <= 5", "9"),
        ];
        let found: Vec<_> = violations
            .iter()
            .map(|v| (v.filter.as_str(), v.rule.as_str(), v.expected.as_str(), v.found.as_deref().unwrap()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(violations[1].message, r#"spec.fqdn is "a.example.org", which does not end in ".corp.com""#);
        assert_eq!(violations[2].message, r#"spec.nodes is "9", which is more than 5"#);
    }

    #[test]
    fn a_wrong_filter_refuses_even_what_lacks_the_field() {
        for (filter, key, rule) in [
            (json!({"key": "v", "with": {"semver": ">=15"}}), "v", "with"),
            (json!({"key": "v", "sufix": "x"}), "v", "sufix"),
            (json!({"key": "v", "boundary": {"min": 5, "max": 1}}), "v", "boundary"),
            (json!({"key": "v", "boundary": {"min": "1Gi"}}), "v", "boundary"),
            (json!({"key": "spec.v", "suffix": "x"}), "spec.v", "key"),
            (json!({"suffix": "x"}), "#0", "key"),
            (json!("text"), "#0", ""),
        ] {
            for object in [json!({"v": "x"}), json!({})] {
                let violations = judge(&object, std::slice::from_ref(&filter));
                assert_eq!(violations.len(), 1, "{filter}");
                assert_eq!((violations[0].filter.as_str(), violations[0].rule.as_str()), (key, rule), "{filter}");
            }
        }
    }

    #[test]
    fn long_values_and_lists_are_shortened() {
        let values: Vec<String> = (0..1000).map(|n| format!("value-{n}")).collect();
        let violations = judge(&json!({"v": "ü".repeat(1000)}), &[json!({"key": "v", "valueIn": values})]);
        assert!(violations[0].message.chars().count() < 3 * SHOWN, "{}", violations[0].message);
        assert!(violations[0].expected.ends_with('…'));
    }

    /// What comes of an offer whose filter's own rules fail so.
    fn failing(error: &Error) -> Result<Vec<(String, String)>, Error> {
        let object = Document::from(json!({"spec": {"v": "x"}}));
        let offer = Offer {
            provider: "provider#nestor".to_owned(),
            name: "default/offer".to_owned(),
            filters: vec![json!({"key": "other"}).to_string(), json!({"key": "v", "with": {"rule": 1}}).to_string()]
                .into(),
        };
        match Judge::new(&object).offer_with(&offer, |_, _| Err(error.clone()))? {
            Verdict::Accepted { .. } => Ok(Vec::new()),
            Verdict::Refused(list) => Ok(list.into_iter().map(|found| (found.rule, found.message)).collect()),
        }
    }

    #[test]
    fn rules_that_fail_refuse_their_offer_unless_the_plugin_is_at_fault() {
        let wrong = "the offer's filter is wrong, so that it accepts nothing: with.rule: it is odd";
        for (error, rule, message) in [
            (Error::invalid("1.with.rule", "it is odd"), "with", wrong),
            (Error::invalid("spec.v", "it is odd"), "with", "spec.v: it is odd"),
            (Error::unsupported("there is no such engine"), "with", "there is no such engine"),
        ] {
            assert_eq!(failing(&error), Ok(vec![(rule.to_owned(), message.to_owned())]), "{error}");
        }
        for error in [Error::internal("lost"), Error::settings("a", "it is missing")] {
            assert_eq!(failing(&error), Err(error));
        }
    }

    #[test]
    fn own_rules_are_asked_of_filters_that_have_some_and_of_their_field() {
        let object = Document::from(json!({"spec": {"a": 1, "b": [2]}}));
        let offer = Offer {
            provider: "provider#nestor".to_owned(),
            name: "default/offer".to_owned(),
            filters: [
                json!({"key": "a"}),
                json!({"key": "a", "with": {}}),
                json!({"key": "b", "with": {"x": 1}, "valueIn": [3]}),
                json!({"key": "c", "with": {"x": 1}}),
            ]
            .map(|filter| filter.to_string())
            .into(),
        };
        let mut asked = Vec::new();
        let verdict = Judge::new(&object).offer_with(&offer, |filter, field| {
            asked.push((filter.index, field.path().to_owned(), field.exists()));
            Ok(vec![filter.violation("x", "it is so")])
        });
        assert_eq!(asked, [(2, "spec.b".to_owned(), true), (3, "spec.c".to_owned(), false)]);
        let Ok(Verdict::Refused(violations)) = verdict else { panic!("{verdict:?}") };
        let rules: Vec<_> = violations.iter().map(|found| (found.filter.as_str(), found.rule.as_str())).collect();
        assert_eq!(rules, [("b", "valueIn"), ("b", "x"), ("c", "x")]);
    }
}
