//! Cases about a copy that no record names: what is known of it in YAML, and its plan as text.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{
    GroupVersionKind,
    broker::{MigrationRef, MigrationSpec},
    keys,
};
use resource_broker_planner::{
    deletion::orphans::{self, OrphanSnapshot},
    model::snapshot::{Key, MigrationRecord, Record, View},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::accepts;
use crate::{
    fields, render,
    world::{NAMESPACE, World, object, provider},
};

/// What the broker of these cases marks its copies with.
const BROKER: &str = "uid-of-this-broker";

/// What is known of a copy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Case {
    /// A merge patch of a copy as the broker makes it; null where it went.
    copy: Value,
    /// Where it is, as `NAMESPACE/NAME`, if it is not where copies are by default.
    place: Option<String>,
    /// `gone`, `there` or `unread`. It names a copy at `anna`.
    record: String,
    /// The provider to which it says that the object moves.
    next: Option<String>,
    /// The copy at `anna`: `gone`, `unread`, `failing`, `detached`, or a merge patch of it as the broker makes it.
    serving: Value,
    /// Whether a record names the copy.
    named: bool,
    /// `gone`, `there`, `unread` or `detached`.
    consumer: String,
    /// The Migration of its object: `gone`, `unread`, `failing`, or its state; it is from `nestor` to `anna`.
    migration: String,
    /// Whether people know already.
    told: bool,
}

impl Default for Case {
    fn default() -> Self {
        let gone = || "gone".to_owned();
        let (copy, serving) = (json!({}), json!({}));
        Self {
            copy,
            place: None,
            record: gone(),
            next: None,
            serving,
            named: false,
            consumer: gone(),
            migration: gone(),
            told: false,
        }
    }
}

fn view<T>(text: &str, there: impl FnOnce() -> T) -> Option<View<T>> {
    match text {
        "gone" => Some(View::Absent),
        "there" => Some(View::Present(there())),
        "unread" => Some(View::Unknown { why: "it has not been read yet".into(), failing: false }),
        "failing" => Some(View::Unknown { why: "connection refused".into(), failing: true }),
        "detached" => None,
        other => panic!("{other}?"),
    }
}

/// An object that `anna` has: its record, and its copy there.
fn served() -> (Record, Value) {
    let mut world = World::new();
    let anna = provider("anna");
    world.providers.entry(anna.clone()).or_default();
    world.offers.insert((anna.clone(), "offers".into(), "certs".into()), accepts());
    world.settle();
    let copy = world.providers.remove(&anna).and_then(|anna| anna.copy);
    world.record.zip(copy).expect("it is placed")
}

/// The Migration of an object that goes, or went, from `nestor` to `anna`.
fn migration(key: &Key, text: &str) -> View<Arc<MigrationRecord>> {
    if let "gone" | "unread" | "failing" = text {
        return view(text, || unreachable!()).unwrap_or(View::Absent);
    }
    let end = |name: &str| MigrationRef {
        gvk: GroupVersionKind {
            group: key.gvk.group.clone(),
            version: key.gvk.version.clone(),
            kind: key.gvk.kind.clone(),
        },
        name: key.copy_name(),
        namespace: key.namespace.clone(),
        cluster_name: provider(name).to_string(),
    };
    let status = serde_json::from_value(json!({"state": text})).unwrap_or_else(|error| panic!("{text}: {error}"));
    View::Present(Arc::new(MigrationRecord {
        name: key.record_name(),
        namespace: "broker".into(),
        uid: "uid-of-the-migration".into(),
        resource_version: "1".into(),
        generation: Some(1),
        deleted_at: None,
        finalizers: Vec::new(),
        orders: BTreeMap::new(),
        spec: MigrationSpec { from: end("nestor"), to: end("anna") },
        status,
    }))
}

/// The plan.
pub(crate) fn planned(text: &str) -> String {
    let case: Case = if text.trim().is_empty() {
        Case::default()
    } else {
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("the case cannot be read: {error}\n{text}"))
    };
    let key = World::new().key;
    let bare = json!({
        "metadata": {
            "name": key.copy_name(), "namespace": NAMESPACE, "uid": "uid-1", "resourceVersion": "7",
            "annotations": {
                keys::CONSUMER_CLUSTER: key.consumer.to_string(),
                keys::CONSUMER_NAME: key.name,
                keys::BROKER: BROKER,
            },
            "finalizers": [keys::GENERIC_FINALIZER],
            "managedFields": [
                {"manager": keys::FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:fqdn": {}}}},
            ],
        },
        "spec": {"fqdn": "www.corp.com"},
    });
    let mut target = key.copy_at(&provider("nestor"));
    if let Some((namespace, name)) = case.place.as_ref().and_then(|place| place.split_once('/')) {
        (target.namespace, target.name) = (Some(namespace.to_owned()), name.to_owned());
    }
    let copy = (!case.copy.is_null()).then(|| {
        let mut document = bare;
        document["metadata"]["namespace"] = json!(target.namespace);
        document["metadata"]["name"] = json!(target.name);
        fields::patch(&mut document, &case.copy);
        object(&document)
    });
    let (mut record, mut serving) = served();
    record.spec.next = case.next.map(|next| {
        let cluster = provider(&next).to_string();
        resource_broker_api::broker::ProviderRef { cluster, ..record.spec.provider.clone() }
    });
    let there = case.serving.as_str().unwrap_or("there");
    if case.serving.is_object() {
        fields::patch(&mut serving, &case.serving);
    }
    let snapshot = OrphanSnapshot {
        broker: Some(BROKER.into()),
        target,
        copy,
        named: case.named,
        identities: Arc::default(),
        record: view(&case.record, || record.into()).unwrap_or_else(|| panic!("a record is never detached")),
        consumer: view(&case.consumer, || ()),
        serving: view(there, || object(&serving)),
        migration: migration(&key, &case.migration),
        told: case.told,
    };
    render::plan(&orphans::plan(&snapshot), &Time(Timestamp::UNIX_EPOCH))
}
