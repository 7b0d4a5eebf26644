//! What an API server does with field ownership, as far as copies need it: maps are merged, everything else is one
//! value.

use serde_json::{Map, Value};

/// Parts of a document whose ownership the model leaves out.
fn is_frame(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata" | "status")
}

/// The content of a document: everything but its frame and what is null.
pub(crate) fn content_of(document: &Value) -> Map<String, Value> {
    let fields = document.as_object().into_iter().flatten();
    fields.filter(|(name, value)| !is_frame(name) && !value.is_null()).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// The `fieldsV1` of whoever applies `content`.
pub(crate) fn fields_of(content: &Map<String, Value>) -> Map<String, Value> {
    let owned = |value: &Value| Value::Object(value.as_object().map(fields_of).unwrap_or_default());
    content
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (format!("f:{name}"), owned(value)))
        .collect()
}

/// Applies `wanted` over `there`: what was `owned` before and is not wanted any more goes.
pub(crate) fn apply(there: &mut Map<String, Value>, owned: &Map<String, Value>, wanted: &Map<String, Value>) {
    for (name, parts) in names(owned) {
        let Some(old) = there.get_mut(name) else { continue };
        match (old.as_object_mut(), wanted.get(name)) {
            (Some(old), Some(Value::Object(wanted))) => apply(old, parts, wanted),
            (Some(old), None) if !parts.is_empty() => {
                apply(old, parts, &Map::new());
                if old.is_empty() {
                    there.remove(name);
                }
            }
            (_, None) => {
                there.remove(name);
            }
            (_, Some(_)) => {}
        }
    }
    merge(there, wanted);
}

fn merge(there: &mut Map<String, Value>, wanted: &Map<String, Value>) {
    for (name, value) in wanted.iter().filter(|(_, value)| !value.is_null()) {
        match (there.get_mut(name), value) {
            (Some(Value::Object(there)), Value::Object(wanted)) => merge(there, wanted),
            _ => {
                there.insert(name.clone(), value.clone());
            }
        }
    }
}

/// What is left of `owned` after somebody else changed `before` to `after`: a field that changed is theirs.
pub(crate) fn disown(
    owned: &Map<String, Value>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Map<String, Value> {
    names(owned)
        .filter_map(|(name, parts)| {
            let left = match (before.get(name)?, after.get(name)?) {
                (Value::Object(before), Value::Object(after)) if !parts.is_empty() => disown(parts, before, after),
                (before, after) if before == after => parts.clone(),
                _ => return None,
            };
            Some((format!("f:{name}"), Value::Object(left)))
        })
        .collect()
}

fn names(owned: &Map<String, Value>) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    owned.iter().filter_map(|(key, parts)| Some((key.strip_prefix("f:")?, parts.as_object()?)))
}

/// A JSON merge patch: maps are merged, null removes.
pub(crate) fn patch(there: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *there = change.clone();
        return;
    };
    if !there.is_object() {
        *there = Value::Object(Map::new());
    }
    let Some(there) = there.as_object_mut() else { return };
    for (name, value) in change {
        if value.is_null() {
            there.remove(name);
        } else {
            patch(there.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn an_apply_takes_away_what_it_no_longer_names_and_leaves_the_rest() {
        let mut there = map(&json!({"spec": {"a": 1, "b": 2, "theirs": 3}, "data": {"k": "v"}}));
        let owned = fields_of(&map(&json!({"spec": {"a": 1, "b": 2}, "data": {"k": "v"}})));
        apply(&mut there, &owned, &map(&json!({"spec": {"a": 5}})));
        assert_eq!(Value::Object(there), json!({"spec": {"a": 5, "theirs": 3}}));
    }

    #[test]
    fn a_field_that_somebody_changes_is_theirs() {
        let before = map(&json!({"spec": {"a": 1, "b": 2}}));
        let owned = fields_of(&before);
        let after = map(&json!({"spec": {"a": 1, "b": 3}}));
        assert_eq!(Value::Object(disown(&owned, &before, &after)), json!({"f:spec": {"f:a": {}}}));
    }
}
