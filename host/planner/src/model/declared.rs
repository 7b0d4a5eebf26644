//! What the status of a copy declares.

use std::collections::BTreeSet;

use resource_broker_api::{
    names::{Gvk, prefix_of_copy},
    object::Object,
};
use resource_broker_plugin_types::NamePair;
use serde_json::Value;

use crate::model::key::Key;

/// How many related resources one object may declare: a provider's mistake must not fill a consumer's cluster.
pub const MOST: usize = 100;

/// One entry of `status.relatedResources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The entry's key.
    pub entry: String,
    /// The resource's kind.
    pub gvk: Gvk,
    /// Where it is at the provider.
    pub namespace: String,
    /// Its name at the provider.
    pub name: String,
    /// Its name at the consumer.
    pub target_name: String,
}

/// What the copy's status declares, ordered by entry; entries without a kind or a name are left out.
pub fn declared(copy: &Object, key: &Key) -> Vec<Declared> {
    declared_under(copy, &prefix_of_copy(&key.consumer, copy.name()))
}

/// The same of any copy: the kinds, namespaces and names at the provider.
pub fn sources(copy: &Object) -> Vec<(Gvk, String, String)> {
    let all = if names_some(copy) { declared_under(copy, "") } else { Vec::new() };
    all.into_iter().take(MOST).map(|one| (one.gvk, one.namespace, one.name)).collect()
}

/// What the object itself is called on both sides, then each related resource that the copy's status names, by entry; each pair
/// once. Entries without a kind count as well: a component shows them to people.
pub fn names(consumer: &Object, copy: &Object, key: &Key) -> Vec<NamePair> {
    let prefix = prefix_of_copy(&key.consumer, copy.name());
    let status = if names_some(copy) { copy.field("status") } else { None };
    let entries = status.as_ref().and_then(|status| status.get("relatedResources")?.as_object());
    let mut related: Vec<(&String, &str)> =
        entries.into_iter().flatten().filter_map(|(entry, it)| Some((entry, it.get("name")?.as_str()?))).collect();
    related.sort_unstable();
    let mut pairs = vec![NamePair { consumer: consumer.name().to_owned(), copy: copy.name().to_owned() }];
    let mut known = BTreeSet::from([copy.name()]);
    for (_, name) in related.into_iter().filter(|(_, name)| !name.is_empty()) {
        if known.insert(name) {
            pairs.push(NamePair { consumer: target_name(name, &prefix).to_owned(), copy: name.to_owned() });
        }
    }
    pairs
}

/// Whether a copy's status may name related resources. Most are about something else: nothing is parsed for them.
fn names_some(copy: &Object) -> bool {
    copy.fields.get("status").is_some_and(|status| status.get().contains("relatedResources"))
}

/// What a related resource is called at the consumer.
fn target_name<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(name)
}

pub(crate) fn declared_under(copy: &Object, prefix: &str) -> Vec<Declared> {
    let Some(status) = copy.field("status") else { return Vec::new() };
    let Some(entries) = status.get("relatedResources").and_then(Value::as_object) else { return Vec::new() };
    let mut declared: Vec<Declared> = entries
        .iter()
        .filter_map(|(entry, resource)| {
            let gvk = &resource["gvk"];
            let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let name = text(&resource["name"])?;
            Some(Declared {
                entry: entry.clone(),
                gvk: Gvk::new(gvk["group"].as_str().unwrap_or_default(), &text(&gvk["version"])?, &text(&gvk["kind"])?),
                namespace: text(&resource["namespace"]).or_else(|| copy.namespace().map(str::to_owned))?,
                target_name: target_name(&name, prefix).to_owned(),
                name,
            })
        })
        .collect();
    declared.sort_by(|a, b| a.entry.cmp(&b.entry));
    declared
}

/// Whether the status is one at which related resources are worth having. While it is not, what is there stays.
pub(crate) fn is_time(copy: &Object) -> bool {
    let Some(status) = copy.field("status") else { return false };
    !matches!(status.get("status").and_then(Value::as_str), Some("" | "Unknown" | "Provisioning"))
}

/// What a status says in its own `status`, where that says anything.
pub(crate) fn word(status: Option<&Value>) -> Option<&str> {
    status?.get("status")?.as_str().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{ClusterName, Role, copy_name, letter_copy_name};
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object {
        serde_json::from_value(value.clone()).expect("it is an object")
    }

    #[test]
    fn pairs_begin_with_the_object_and_know_both_kinds_of_copy_names() {
        let key = Key {
            consumer: ClusterName::new(Role::Consumer, "acme"),
            gvk: Gvk::new("g", "v1", "Widget"),
            namespace: Some("team".into()),
            name: "web".into(),
        };
        let consumer = object(&json!({"metadata": {"name": "web", "namespace": "team"}}));
        let prefix = key.consumer.copy_prefix();
        for (name, prefix) in [
            (copy_name(&key.consumer, "web"), prefix.clone()),
            (letter_copy_name(&key.consumer, "web"), format!("c-{prefix}")),
        ] {
            let copy = object(&json!({
                "metadata": {"name": name},
                "status": {"relatedResources": {
                    "b": {"name": format!("{prefix}login")},
                    "a": {"name": "plain"},
                    "again": {"name": format!("{prefix}login")},
                    "bare": {"name": prefix},
                    "none": {"name": ""},
                    "number": {"name": 7},
                }},
            }));
            let names = names(&consumer, &copy, &key);
            let names: Vec<(&str, &str)> =
                names.iter().map(|pair| (pair.consumer.as_str(), pair.copy.as_str())).collect();
            let login = format!("{prefix}login");
            let expected = [("web", name.as_str()), ("plain", "plain"), ("login", &login), (&prefix, &prefix)];
            assert_eq!(names, expected);
        }
        let silent = object(&json!({"metadata": {"name": "x"}, "status": {"relatedResources": []}}));
        assert_eq!(names(&consumer, &silent, &key).len(), 1);
    }
}
