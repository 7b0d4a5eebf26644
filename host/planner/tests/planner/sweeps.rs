//! Cases about a copy that no record names: what is known of it in YAML, and its plan as text.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::keys;
use resource_broker_planner::{
    snapshot::View,
    sweep::{self, SweepSnapshot},
};
use serde::Deserialize;
use serde_json::{Value, json};

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
    /// `gone`, `there` or `unread`.
    record: String,
    /// Whether a record names the copy.
    named: bool,
    /// `gone`, `there`, `unread` or `detached`.
    consumer: String,
}

impl Default for Case {
    fn default() -> Self {
        Self { copy: json!({}), record: "gone".into(), named: false, consumer: "gone".into() }
    }
}

fn view(text: &str) -> Option<View<()>> {
    match text {
        "gone" => Some(View::Absent),
        "there" => Some(View::Present(())),
        "unread" => Some(View::Unknown { why: "it has not been read yet".into(), failing: false }),
        "detached" => None,
        other => panic!("{other}?"),
    }
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
    let copy = (!case.copy.is_null()).then(|| {
        let mut document = bare;
        fields::patch(&mut document, &case.copy);
        object(&document)
    });
    let snapshot = SweepSnapshot {
        broker: Some(BROKER.into()),
        target: key.copy_at(&provider("nestor")),
        copy,
        named: case.named,
        record: view(&case.record).unwrap_or_else(|| panic!("a record is never detached")),
        consumer: view(&case.consumer),
    };
    render::plan(&sweep::plan(&snapshot), &Time(Timestamp::UNIX_EPOCH))
}
