//! When an object keeps to an offer's filters.
//!
//! - A field that the object lacks, or that is null, violates nothing.
//! - `valueIn` and `suffix` look at the value's text: `16` and `"16"` are the same.
//! - `boundary` looks at its number, exact at any size; `"16"` is one, `"16Gi"` is not. Both ends are included.
//! - An array keeps to a rule if each of its elements does, and so does an empty one. A null, an array or an object as an
//!   element breaks every rule, and so does an object as the value.
//! - A filter that makes no sense refuses every object: to pass over it would accept what its author wanted refused.

use std::collections::BTreeMap;

use resource_broker_sdk::{Document, Error, Offer, Verdict, Violation};
use serde_json::Value;

use crate::decimal::Decimal;
use crate::filter::{self, Filter, Invalid};

/// How many characters of a value or a list are shown to people.
const SHOWN: usize = 200;

/// Judges offers for one object, looking at each of its fields once.
#[derive(Debug)]
pub struct Judge<'a> {
    object: &'a Document<'a>,
    values: BTreeMap<String, Option<Value>>,
}

impl<'a> Judge<'a> {
    /// A judge of `object`.
    pub fn new(object: &'a Document<'a>) -> Self {
        Self { object, values: BTreeMap::new() }
    }

    /// Judges one offer.
    ///
    /// # Errors
    ///
    /// If the object itself cannot be read.
    pub fn offer(&mut self, offer: &Offer) -> Result<Verdict, Error> {
        let mut violations = Vec::new();
        for (index, json) in offer.filters.iter().enumerate() {
            match filter::parse(json) {
                Ok(filter) => violations.extend(check(&filter, self.value(&filter.key)?)),
                Err(invalid) => violations.extend(refuse(index, invalid)),
            }
        }
        Ok(Verdict::from(violations))
    }

    fn value(&mut self, key: &str) -> Result<Option<&Value>, Error> {
        if !self.values.contains_key(key) {
            let value = self.object.parse(&format!("spec.{key}"))?;
            self.values.insert(key.to_owned(), value);
        }
        Ok(self.values.get(key).and_then(Option::as_ref))
    }
}

fn refuse(index: usize, Invalid { key, problems }: Invalid) -> Vec<Violation> {
    let filter = if key.is_empty() { format!("#{index}") } else { key };
    problems
        .into_iter()
        .map(|problem| Violation {
            filter: filter.clone(),
            rule: problem.path.split('.').next().unwrap_or_default().to_owned(),
            expected: "a filter that makes sense".to_owned(),
            found: None,
            message: format!("the offer's filter is wrong, so that it accepts nothing: {problem}"),
        })
        .collect()
}

/// Every rule of the filter that the value breaks.
pub fn check(filter: &Filter, value: Option<&Value>) -> Vec<Violation> {
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
            let found = shorten(&filter::text(element.value).unwrap_or_else(|| element.value.to_string()));
            let shown = if element.value.is_string() { format!("{found:?}") } else { found.clone() };
            Some(Violation {
                filter: filter.key.clone(),
                rule: rule.name().to_owned(),
                expected: rule.expected(),
                found: Some(found),
                message: format!("{place} is {shown}, which {reason}"),
            })
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
    Boundary(&'f Filter),
    Suffix(&'f str),
}

fn rules(filter: &Filter) -> Vec<Rule<'_>> {
    let mut rules = Vec::with_capacity(3);
    if !filter.value_in.is_empty() {
        rules.push(Rule::ValueIn(&filter.value_in));
    }
    if filter.min.is_some() || filter.max.is_some() {
        rules.push(Rule::Boundary(filter));
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
            Self::Boundary(Filter { min: Some(min), max: Some(max), .. }) => {
                shorten(&format!("{} <= value <= {}", min.text, max.text))
            }
            Self::Boundary(Filter { min: Some(min), .. }) => shorten(&format!("value >= {}", min.text)),
            Self::Boundary(Filter { max: Some(max), .. }) => shorten(&format!("value <= {}", max.text)),
            Self::Boundary(_) => "any number".to_owned(),
            Self::Suffix(suffix) => shorten(&format!("a text that ends in {suffix:?}")),
        }
    }

    /// Why the value breaks the rule, as the rest of a sentence; `None` if it keeps to it.
    fn broken_by(&self, value: &Value) -> Option<String> {
        let Some(text) = filter::text(value) else {
            return Some(format!("is {}, not a single value", filter::describe(value)));
        };
        match self {
            Self::ValueIn(values) => {
                (!values.contains(&text)).then(|| shorten(&format!("is not one of {}", values.join(", "))))
            }
            Self::Suffix(suffix) => (!text.ends_with(suffix)).then(|| shorten(&format!("does not end in {suffix:?}"))),
            Self::Boundary(filter) => match (value, Decimal::parse(&text)) {
                (Value::Number(_) | Value::String(_), Some(number)) => out_of_bounds(filter, &number),
                _ => Some("is not a plain number".to_owned()),
            },
        }
    }
}

fn out_of_bounds(filter: &Filter, number: &Decimal) -> Option<String> {
    match (&filter.min, &filter.max) {
        (Some(min), _) if *number < min.value => Some(shorten(&format!("is less than {}", min.text))),
        (_, Some(max)) if *number > max.value => Some(shorten(&format!("is more than {}", max.text))),
        _ => None,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(object: &Value, filters: &[Value]) -> Vec<Violation> {
        let object = Document::from(json!({ "spec": object }));
        let offer = Offer {
            provider: "provider#nestor".to_owned(),
            name: "default/offer".to_owned(),
            filters: filters.iter().map(Value::to_string).collect(),
        };
        match Judge::new(&object).offer(&offer) {
            Ok(Verdict::Accepted) => Vec::new(),
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
        let object: Value = serde_json::from_str("1e400").unwrap();
        assert_eq!(broken(&object, json!({"boundary": {"max": "1e399"}})), ["boundary"]);
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
}
