//! Is the copy as we applied it? Read off the managed fields: they say exactly what we own, so that a field taken
//! from the source, a value changed by hand and a default set by the provider are told apart without any record.
//!
//! Field sets are nested maps: `f:NAME` a field, `k:{…}` an item of a list by its keys, `v:…` a member of a set, `.` the
//! thing itself. Something owned without parts is owned as one (a scalar, an atomic list or map).

use resource_broker_api::{keys, object::Object};
use serde_json::{Map, Value};

use crate::model::ownership::MARKS;

/// Whether applying `wanted` would change nothing of what the copy shows and we own.
pub fn in_step(wanted: &Value, copy: &Object) -> bool {
    let Some(owned) = copy.owned.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()) else {
        return false;
    };
    let (Some(wanted), Value::Object(owned)) = (wanted.as_object(), &owned) else { return false };
    let marks = || {
        copy.has_finalizer(keys::GENERIC_FINALIZER)
            && MARKS.into_iter().all(|mark| match wanted["metadata"]["annotations"][mark].as_str() {
                None => true,
                wanted => copy.annotation(mark) == wanted,
            })
    };
    let fields = || {
        wanted.iter().filter(|(name, _)| !is_frame(name)).all(|(name, value)| {
            let actual = copy.field(name);
            // A null or an empty thing that the server dropped is no difference.
            if actual.is_none() && is_nothing(value) {
                return true;
            }
            owned.get(&format!("f:{name}")).is_some_and(|owned| same(value, owned, actual.as_ref()))
        })
    };
    let nothing_left_over = || {
        owned.keys().filter_map(|key| key.strip_prefix("f:")).all(|name| is_frame(name) || wanted.contains_key(name))
    };
    marks() && nothing_left_over() && fields()
}

/// Parts of a document that are not compared as content.
fn is_frame(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata" | "status")
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn same(wanted: &Value, owned: &Value, actual: Option<&Value>) -> bool {
    let Some(actual) = actual else { return wanted.is_null() };
    let parts = owned.as_object().filter(|parts| parts.keys().any(|key| key != "."));
    match (wanted, parts, actual) {
        (Value::Object(wanted), Some(parts), Value::Object(actual)) => same_map(wanted, parts, actual),
        (Value::Array(wanted), Some(parts), Value::Array(actual)) => same_items(wanted, parts, actual),
        // An empty map that we own may be filled by the provider's side.
        (Value::Object(wanted), None, Value::Object(_)) if wanted.is_empty() => true,
        (_, None, _) => wanted == actual,
        _ => false,
    }
}

fn same_map(wanted: &Map<String, Value>, owned: &Map<String, Value>, actual: &Map<String, Value>) -> bool {
    let wanted_is_there = wanted.iter().all(|(name, value)| {
        let part = owned.get(&format!("f:{name}"));
        match part {
            Some(part) => same(value, part, actual.get(name)),
            None => value.is_null() && !actual.contains_key(name),
        }
    });
    wanted_is_there && owned.keys().filter_map(|key| key.strip_prefix("f:")).all(|name| wanted.contains_key(name))
}

fn same_items(wanted: &[Value], owned: &Map<String, Value>, actual: &[Value]) -> bool {
    let members: Vec<&String> = owned.keys().filter(|key| key.starts_with("v:")).collect();
    if !members.is_empty() {
        return members.len() == wanted.len() && wanted.iter().all(|value| actual.contains(value));
    }
    let items: Vec<(Map<String, Value>, &Value)> = owned
        .iter()
        .filter_map(|(key, part)| Some((serde_json::from_str(key.strip_prefix("k:")?).ok()?, part)))
        .collect();
    items.len() == wanted.len()
        && wanted.iter().all(|item| {
            // A key that the source leaves to its default is not in the source's item.
            let found =
                items.iter().find(|(keys, _)| keys.iter().all(|(name, key)| item.get(name).is_none_or(|v| v == key)));
            found.is_some_and(|(keys, part)| {
                let there = actual.iter().find(|there| keys.iter().all(|(name, key)| there.get(name) == Some(key)));
                same(item, part, there)
            })
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A copy of `content` of which we own `owned`.
    fn copy(content: &Value, owned: &Value) -> Object {
        let mut object = json!({
            "metadata": {
                "name": "x",
                "annotations": {keys::CONSUMER_CLUSTER: "consumer#c", keys::CONSUMER_NAME: "x"},
                "finalizers": [keys::GENERIC_FINALIZER],
                "managedFields": [{"manager": "resource-broker", "operation": "Apply", "fieldsV1": owned}],
            },
        });
        for (name, value) in content.as_object().unwrap() {
            object[name] = value.clone();
        }
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn wanted(content: &Value) -> Value {
        let mut wanted = json!({
            "apiVersion": "v1", "kind": "X",
            "metadata": {"annotations": {keys::CONSUMER_CLUSTER: "consumer#c", keys::CONSUMER_NAME: "x"}},
        });
        for (name, value) in content.as_object().unwrap() {
            wanted[name] = value.clone();
        }
        wanted
    }

    #[track_caller]
    fn check(expected: bool, want: &Value, there: &Value, owned: &Value) {
        assert_eq!(
            in_step(&wanted(want), &copy(there, owned)),
            expected,
            "wanted {want}, there {there}, owned {owned}"
        );
    }

    #[test]
    fn fields_of_the_provider_are_no_difference_and_ours_are() {
        let (want, owned) = (json!({"spec": {"a": 1}}), json!({"f:spec": {"f:a": {}}}));
        check(true, &want, &json!({"spec": {"a": 1}}), &owned);
        check(true, &want, &json!({"spec": {"a": 1, "defaulted": 2}}), &owned);
        check(false, &want, &json!({"spec": {"a": 2}}), &owned);
        // Changed by hand to the value that we want, beside another field of ours: it is taken back.
        check(
            false,
            &json!({"spec": {"a": 1, "b": 2}}),
            &json!({"spec": {"a": 1, "b": 2}}),
            &json!({"f:spec": {"f:b": {}}}),
        );
        // An atomic map is owned as one.
        check(true, &want, &json!({"spec": {"a": 1}}), &json!({"f:spec": {}}));
        check(false, &want, &json!({"spec": {"a": 1, "b": 2}}), &json!({"f:spec": {"f:a": {}, "f:b": {}}}));
        check(false, &want, &json!({"spec": {"a": 1}, "data": {}}), &json!({"f:spec": {"f:a": {}}, "f:data": {}}));
    }

    #[test]
    fn lists_are_compared_as_the_schema_merges_them() {
        let atomic = json!({"f:spec": {"f:l": {}}});
        check(true, &json!({"spec": {"l": [1, 2]}}), &json!({"spec": {"l": [1, 2]}}), &atomic);
        check(false, &json!({"spec": {"l": [1]}}), &json!({"spec": {"l": [1, 2]}}), &atomic);
        let set = json!({"f:spec": {"f:l": {"v:\"a\"": {}}}});
        check(true, &json!({"spec": {"l": ["a"]}}), &json!({"spec": {"l": ["theirs", "a"]}}), &set);
        check(false, &json!({"spec": {"l": ["a", "b"]}}), &json!({"spec": {"l": ["a"]}}), &set);
        let keyed = json!({"f:spec": {"f:l": {"k:{\"name\":\"a\",\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}}}});
        let there =
            json!({"spec": {"l": [{"name": "z", "protocol": "TCP"}, {"name": "a", "port": 1, "protocol": "TCP"}]}});
        check(true, &json!({"spec": {"l": [{"name": "a", "port": 1}]}}), &there, &keyed);
        check(false, &json!({"spec": {"l": [{"name": "a", "port": 2}]}}), &there, &keyed);
        check(false, &json!({"spec": {"l": []}}), &there, &keyed);
    }

    #[test]
    fn nothing_and_absent_are_the_same() {
        let owned = json!({"f:spec": {"f:a": {}}});
        check(true, &json!({"spec": {"a": 1}, "data": {}}), &json!({"spec": {"a": 1}}), &owned);
        check(true, &json!({"spec": {"a": 1, "b": null}}), &json!({"spec": {"a": 1}}), &owned);
        check(true, &json!({"spec": {"a": {}}}), &json!({"spec": {"a": {"theirs": 1}}}), &owned);
    }

    #[test]
    fn a_copy_without_our_marks_or_our_entry_is_applied_again() {
        let want = wanted(&json!({"spec": {"a": 1}}));
        let whole = copy(&json!({"spec": {"a": 1}}), &json!({"f:spec": {"f:a": {}}}));
        assert!(in_step(&want, &whole));
        let mut bare = whole.clone();
        bare.meta.finalizers = None;
        assert!(!in_step(&want, &bare));
        let mut unowned = whole.clone();
        unowned.owned = None;
        assert!(!in_step(&want, &unowned));
        let mut renamed = whole;
        renamed.meta.annotations = None;
        assert!(!in_step(&want, &renamed));
    }
}
