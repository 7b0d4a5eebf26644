//! The lean form in which objects of any kind are held: typed metadata, everything else as JSON text.
//!
//! A cache holds tens of thousands of these. `managedFields`, most of an object's bytes, is not kept but for the
//! broker's own entry, which says exactly what the broker applied and still owns.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::{Resource, core::ApiResource};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::keys;

/// Which parts of a kind a cluster serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// It has the status subresource.
    pub status: bool,
    /// Its schema has `status.conditions`.
    pub conditions: bool,
}

/// An object of any kind. `apiVersion` and `kind` are not held: whoever holds the object knows its kind, and the
/// items of a list come without them.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The metadata, without `managedFields`.
    pub meta: ObjectMeta,
    /// What the broker applied and still owns: the `fieldsV1` of its own server-side apply entry.
    pub owned: Option<Box<RawValue>>,
    /// Whether that entry names anything outside the metadata and the status: the broker wrote the content, not only marks.
    pub owns_content: bool,
    /// Whether another manager owns anything outside the metadata and the status.
    pub touched_by_others: bool,
    /// Which conditions in the status the broker wrote.
    pub own_conditions: OwnConditions,
    /// The other top-level fields (`spec`, `status`, `data`, …) as they were sent.
    pub fields: BTreeMap<String, Box<RawValue>>,
}

/// The conditions that are the broker's as managed fields say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnConditions {
    /// None that is known of: the broker has written none, or somebody else wrote the list after it.
    #[default]
    None,
    /// Those of these types.
    Types(Box<[Box<str>]>),
    /// All that are there: the list is one thing, and the broker was the last to write it.
    All,
}

impl OwnConditions {
    /// Whether the condition of this type is the broker's.
    pub fn has(&self, type_: &str) -> bool {
        match self {
            Self::None => false,
            Self::Types(own) => own.iter().any(|other| **other == *type_),
            Self::All => true,
        }
    }

    /// Reads an entry of managed fields for the status.
    fn read(fields: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Key {
            #[serde(rename = "type")]
            type_: Box<str>,
        }
        let fields: Value = serde_json::from_str(fields.get()).unwrap_or_default();
        let status = &fields["f:status"];
        let Some(conditions) = status["f:conditions"].as_object() else {
            let is_whole = status.as_object().is_some_and(|status| !status.keys().any(|key| key.starts_with("f:")));
            return if is_whole { Self::All } else { Self::None };
        };
        if conditions.keys().all(|key| key == ".") {
            return Self::All;
        }
        let keys = conditions.keys().filter_map(|key| serde_json::from_str::<Key>(key.strip_prefix("k:")?).ok());
        Self::Types(keys.map(|key| key.type_).collect())
    }
}

impl Object {
    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        // What each field, label and annotation takes beside its text, and an object that has none.
        const EACH: usize = 64;
        const BARE: usize = 1024;
        let of_map = |map: &Option<BTreeMap<String, String>>| -> usize {
            map.iter().flatten().map(|(key, value)| key.len() + value.len() + EACH).sum()
        };
        let fields: usize = self.fields.iter().map(|(field, value)| field.len() + value.get().len() + EACH).sum();
        let owned = self.owned.as_ref().map_or(0, |owned| owned.get().len());
        BARE + fields + owned + of_map(&self.meta.labels) + of_map(&self.meta.annotations)
    }

    /// The name; empty only for an object that no API server sent.
    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// The namespace; `None` for cluster-scoped kinds.
    pub fn namespace(&self) -> Option<&str> {
        self.meta.namespace.as_deref()
    }

    /// The UID; empty only for an object that no API server sent.
    pub fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    /// The resourceVersion as it was sent.
    pub fn resource_version(&self) -> &str {
        self.meta.resource_version.as_deref().unwrap_or_default()
    }

    /// The resourceVersion as a number, comparable within one resource of one cluster; 0 where it is none.
    pub fn revision(&self) -> u64 {
        self.resource_version().parse().unwrap_or_default()
    }

    /// Whether somebody deleted it, and finalizers hold it.
    pub fn is_deleting(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// Its finalizers.
    pub fn finalizers(&self) -> &[String] {
        self.meta.finalizers.as_deref().unwrap_or_default()
    }

    /// Whether it carries this finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers().iter().any(|f| f == finalizer)
    }

    /// One annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.meta.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// One label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.meta.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether an owner reference names this UID.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.meta.owner_references.iter().flatten().any(|owner| owner.uid == uid)
    }

    /// Whether a broker's server-side apply made what is there: it owns content, or there is none that could be owned.
    pub fn is_applied(&self) -> bool {
        let is_bare = || self.fields.keys().all(|name| name == "status");
        self.owns_content || (self.owned.is_some() && is_bare())
    }

    /// One top-level field, parsed; `None` where it is missing or null.
    pub fn field(&self, name: &str) -> Option<Value> {
        let value: Value = serde_json::from_str(self.fields.get(name)?.get()).ok()?;
        (!value.is_null()).then_some(value)
    }

    /// Everything outside `metadata` and `status`, parsed: what is copied.
    pub fn content(&self) -> Map<String, Value> {
        let content = self.fields.iter().filter(|(name, _)| name.as_str() != "status");
        content.filter_map(|(name, raw)| Some((name.clone(), serde_json::from_str(raw.get()).ok()?))).collect()
    }

    /// The whole object as JSON text, with the type that its holder knows.
    pub fn to_json(&self, api_version: &str, kind: &str) -> String {
        // The parts are JSON text already: they are joined, not parsed.
        let metadata = serde_json::to_string(&self.meta).unwrap_or_else(|_| "{}".into());
        let mut text = format!("{{\"apiVersion\":{},\"kind\":{}", Value::from(api_version), Value::from(kind));
        text.push_str(",\"metadata\":");
        text.push_str(&metadata);
        for (name, raw) in &self.fields {
            text.push(',');
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(raw.get());
        }
        text.push('}');
        text
    }
}

impl Resource for Object {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        dt.kind.as_str().into()
    }
    fn group(dt: &ApiResource) -> Cow<'_, str> {
        dt.group.as_str().into()
    }
    fn version(dt: &ApiResource) -> Cow<'_, str> {
        dt.version.as_str().into()
    }
    fn api_version(dt: &ApiResource) -> Cow<'_, str> {
        dt.api_version.as_str().into()
    }
    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        dt.plural.as_str().into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// The metadata as it is on the wire, as far as it is kept.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<ManagedFields>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ManagedFields {
    manager: String,
    operation: String,
    subresource: String,
    #[serde(rename = "fieldsV1")]
    fields: Option<Box<RawValue>>,
}

impl ManagedFields {
    fn is_ours(&self) -> bool {
        self.manager == keys::FIELD_MANAGER
    }

    /// Whether it names a top-level field other than the metadata and the status.
    fn owns_content(&self) -> bool {
        let Some(fields) = &self.fields else { return false };
        serde_json::from_str::<HashMap<String, &RawValue>>(fields.get())
            .is_ok_and(|fields| fields.keys().any(|key| !matches!(key.as_str(), "." | "f:metadata" | "f:status")))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Kubernetes object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "apiVersion" | "kind" => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                        "metadata" => object.take_meta(map.next_value::<Option<WireMeta>>()?.unwrap_or_default()),
                        _ => {
                            object.fields.insert(key, map.next_value()?);
                        }
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl Object {
    fn take_meta(&mut self, wire: WireMeta) {
        for entry in wire.managed_fields.unwrap_or_default() {
            if entry.is_ours() && entry.subresource == "status" {
                self.own_conditions = entry.fields.as_deref().map(OwnConditions::read).unwrap_or_default();
            }
            if entry.is_ours() && entry.operation == "Apply" && entry.subresource.is_empty() {
                self.owns_content = entry.owns_content();
                self.owned = entry.fields;
            } else if !entry.is_ours() && entry.owns_content() {
                self.touched_by_others = true;
            }
        }
        self.meta = ObjectMeta {
            name: wire.name,
            namespace: wire.namespace,
            uid: wire.uid,
            resource_version: wire.resource_version,
            generation: wire.generation,
            creation_timestamp: wire.creation_timestamp,
            deletion_timestamp: wire.deletion_timestamp,
            deletion_grace_period_seconds: wire.deletion_grace_period_seconds,
            labels: wire.labels,
            annotations: wire.annotations,
            finalizers: wire.finalizers,
            owner_references: wire.owner_references,
            ..ObjectMeta::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    #[test]
    fn reads_what_an_api_server_sends_and_keeps_numbers_as_they_are() {
        let text = r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"12",
            "finalizers":["f"],"selfLink":"old","annotations":{"k":"v"}},"spec":{"big":9007199254740993},"status":null}"#;
        let object: Object = serde_json::from_str(text).unwrap();
        assert_eq!((object.name(), object.namespace(), object.uid(), object.revision()), ("a", Some("n"), "u", 12));
        assert!(object.has_finalizer("f") && object.annotation("k") == Some("v"));
        assert_eq!(object.field("spec").unwrap()["big"].to_string(), "9007199254740993");
        assert_eq!(object.field("status"), None);
        let back: Value = serde_json::from_str(&object.to_json("v1", "X")).unwrap();
        assert_eq!((&back["apiVersion"], &back["spec"]["big"]), (&json!("v1"), &json!(9_007_199_254_740_993_i64)));
    }

    #[test]
    fn keeps_the_brokers_own_apply_entry_alone() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields});
        let of = |entries: Vec<Value>| object(&json!({"metadata": {"name": "a", "managedFields": entries}}));
        let ours = of(vec![entry("resource-broker", "Apply", json!({"f:spec": {"f:a": {}}}))]);
        assert_eq!(ours.owned.as_ref().unwrap().get(), r#"{"f:spec":{"f:a":{}}}"#);
        assert!(!ours.touched_by_others);
        let updated = of(vec![entry("resource-broker", "Update", json!({"f:spec": {}}))]);
        assert!(updated.owned.is_none() && !updated.touched_by_others);
        assert!(of(vec![entry("kubectl-edit", "Update", json!({"f:data": {"f:k": {}}}))]).touched_by_others);
        assert!(!of(vec![entry("operator", "Update", json!({"f:metadata": {}, "f:status": {}}))]).touched_by_others);
        let both = of(vec![
            entry("resource-broker", "Apply", json!({"f:spec": {"f:a": {}}})),
            entry("resource-broker-marks", "Apply", json!({"f:metadata": {"f:finalizers": {}}})),
        ]);
        assert!(both.owned.as_ref().unwrap().get().contains("f:spec"), "marks are another entry");
        assert!(both.owns_content && !both.touched_by_others);
    }

    #[test]
    fn marks_of_an_earlier_release_are_no_content() {
        let entry = |fields: Value| json!([{"manager": "resource-broker", "operation": "Apply", "fieldsV1": fields}]);
        let of = |fields: Value, spec: Value| {
            let mut there = json!({"metadata": {"name": "a", "managedFields": entry(fields)}, "status": {"a": 1}});
            if !spec.is_null() {
                there["spec"] = spec;
            }
            object(&there)
        };
        let (marks, content) = (json!({"f:metadata": {"f:annotations": {}}}), json!({"f:metadata": {}, "f:spec": {}}));
        assert!(!of(marks.clone(), json!({"a": 1})).is_applied());
        assert!(of(content, json!({"a": 1})).is_applied());
        assert!(of(marks, Value::Null).is_applied(), "a kind without content");
        assert!(!object(&json!({"metadata": {"name": "a"}})).is_applied());
    }

    #[test]
    fn knows_which_conditions_the_broker_wrote() {
        let of = |manager: &str, subresource: &str, fields: Value| {
            let entry = json!({
                "manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields,
            });
            object(&json!({"metadata": {"name": "a", "managedFields": [entry]}})).own_conditions
        };
        let map = json!({"f:status": {"f:status": {}, "f:conditions": {
            ".": {}, "k:{\"type\":\"Issued\"}": {".": {}, "f:type": {}}, "k:{\"type\":\"Ready\"}": {"f:reason": {}},
        }}});
        let own = of("resource-broker", "status", map.clone());
        assert!(own.has("Issued") && own.has("Ready") && !own.has("Theirs"));
        assert!(own == OwnConditions::Types(["Issued".into(), "Ready".into()].into()));
        assert_eq!(of("kubectl", "status", map.clone()), OwnConditions::None);
        assert_eq!(of("resource-broker", "", map), OwnConditions::None);
        let list = json!({"f:status": {"f:phase": {}, "f:conditions": {}}});
        assert_eq!(of("resource-broker", "status", list), OwnConditions::All, "the list is atomic");
        let taken = json!({"f:status": {"f:phase": {}}});
        assert_eq!(of("resource-broker", "status", taken), OwnConditions::None, "somebody wrote the list after us");
        assert_eq!(
            of("resource-broker", "status", json!({"f:status": {}})),
            OwnConditions::All,
            "the status is atomic"
        );
    }
}
