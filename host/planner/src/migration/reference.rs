//! What the manifests of a stage mount by name. A name that a template takes from a provider's status must not lead to what was
//! mirrored for another migration.

use serde_json::Value;

use crate::model::snapshot::Side;

/// A reference to a Secret or a `ConfigMap` under a name that mirrors have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// The kind.
    pub(crate) kind: Referred,
    /// The name.
    pub(crate) name: String,
}

/// What a reference is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Referred {
    Secret,
    ConfigMap,
    /// It cannot be told from the place of the reference.
    Any,
}

impl Referred {
    /// The kind's name; `None`: any.
    pub(crate) const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Secret => Some("Secret"),
            Self::ConfigMap => Some("ConfigMap"),
            Self::Any => None,
        }
    }
}

/// All references of a manifest to names that mirrors have.
pub(crate) fn all(body: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    walk(body, "", &mut found);
    found.sort();
    found.dedup();
    found
}

/// Goes through what is under the field `at`.
fn walk(value: &Value, at: &str, found: &mut Vec<Reference>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, at, found)),
        Value::Object(fields) => {
            for (field, below) in fields {
                let kind = match (field.as_str(), at) {
                    ("secretName", _) => Some(Referred::Secret),
                    ("name", at) => kind_of(at),
                    _ => None,
                };
                match (kind, below.as_str()) {
                    (Some(kind), Some(name)) if is_mirrors(name) => {
                        found.push(Reference { kind, name: name.to_owned() });
                    }
                    _ => walk(below, field, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an object under a field refers to by its `name`, if it refers to anything.
fn kind_of(field: &str) -> Option<Referred> {
    match field {
        "secret" | "secretRef" | "secretKeyRef" | "imagePullSecrets" | "nodePublishSecretRef" => Some(Referred::Secret),
        "configMap" | "configMapRef" | "configMapKeyRef" => Some(Referred::ConfigMap),
        other if other.ends_with("SecretRef") => Some(Referred::Secret),
        other if other.ends_with("Ref") || other.ends_with("Refs") => Some(Referred::Any),
        _ => None,
    }
}

fn is_mirrors(name: &str) -> bool {
    [Side::From, Side::To].iter().any(|side| name.starts_with(side.prefix()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pod_takes_by_name_is_found() {
        let job = json!({"metadata": {"name": "from-job"}, "spec": {"template": {"spec": {
            "imagePullSecrets": [{"name": "from-pull"}],
            "containers": [{
                "name": "from-copy",
                "env": [
                    {"name": "from-env", "valueFrom": {"secretKeyRef": {"name": "from-a", "key": "uri"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "to-b", "key": "uri", "optional": true}}},
                    {"name": "C", "value": "from-c"},
                ],
                "envFrom": [{"secretRef": {"name": "from-d"}}, {"configMapRef": {"name": "to-e"}}],
            }],
            "volumes": [
                {"name": "from-volume", "secret": {"secretName": "to-f"}},
                {"name": "own", "configMap": {"name": "scripts"}},
                {"name": "all", "projected": {"sources": [{"secret": {"name": "from-g"}}, {"configMap": {"name": "to-h"}}]}},
            ],
        }}}});
        let found = all(&job).into_iter().map(|it| (it.name, it.kind)).collect::<Vec<_>>();
        let mut expected: Vec<(String, Referred)> = [
            ("from-pull", Referred::Secret),
            ("from-a", Referred::Secret),
            ("to-b", Referred::ConfigMap),
            ("from-d", Referred::Secret),
            ("to-e", Referred::ConfigMap),
            ("to-f", Referred::Secret),
            ("from-g", Referred::Secret),
            ("to-h", Referred::ConfigMap),
        ]
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect();
        expected.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        assert_eq!(found, expected);
        let workflow = json!({"spec": {"connectionRef": {"name": "from-x"}}});
        assert_eq!(all(&workflow), [Reference { kind: Referred::Any, name: "from-x".into() }]);
    }
}
