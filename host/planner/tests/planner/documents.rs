//! The documents that plans lead to, beyond what a plan shows, and limits on what strangers may fill them with.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use resource_broker_api::{
    conditions::{READY, SYNCED, reason},
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use resource_broker_planner::{
    model::{declared::MOST, snapshot::Target},
    plan::{Action, CopyRelated, DeclaredBy, Existing, Marks, text::clip},
    sync::related::{document, may_replace},
};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, object, provider};
use crate::world::{accepts, refuses};

fn request() -> CopyRelated {
    let secret = || Gvk::new("core", "v1", "Secret");
    let at = |role, name: &str| ClusterName::new(role, name);
    CopyRelated {
        source: Target::new(at(Role::Provider, "nestor"), secret(), Some("there".into()), "hash-tls".into()),
        target: Target::new(at(Role::Consumer, "acme"), secret(), Some("team".into()), "tls".into()),
        existing: Existing::NoneOfOurs,
        untouched: false,
        keep: false,
        by: DeclaredBy {
            copy: Target::new(at(Role::Provider, "nestor"), secret(), Some("there".into()), "hash-www".into()),
            uid: "uid-copy".into(),
            is_new: false,
        },
        marks: Marks::Consumer {
            owner: OwnerReference { uid: "uid-owner".into(), name: "www".into(), ..OwnerReference::default() },
            record: "certificate-www".into(),
        },
    }
}

fn source(change: &Value) -> Value {
    let mut source = json!({
        "metadata": {
            "name": "hash-tls", "namespace": "there", "uid": "uid-source", "resourceVersion": "8",
            "labels": {"theirs": "yes"}, "annotations": {"theirs": "yes"}, "finalizers": ["corp.com/hold"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "uid-of-the-provider"}],
        },
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "YQ=="},
        "immutable": true,
    });
    crate::fields::patch(&mut source, change);
    source
}

#[test]
fn a_related_resource_gets_the_consumers_metadata_and_the_providers_content() {
    let document = document(&object(&source(&json!({}))), &request(), None).expect("a Secret is copied");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "tls", "namespace": "team",
            "labels": {keys::RELATED_TO: "certificate-www"},
            "annotations": {keys::RELATED_SOURCE: "uid-source/8/uid-copy"},
            "ownerReferences": [{"apiVersion": "", "kind": "", "name": "www", "uid": "uid-owner"}],
        },
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "YQ=="},
        "immutable": true,
    });
    assert_eq!(document, expected);
}

#[test]
fn a_related_resource_that_is_there_keeps_what_others_put_on_it() {
    let there = json!({"metadata": {
        "name": "tls", "namespace": "team", "uid": "uid-there", "resourceVersion": "5", "finalizers": ["corp.com/mine"],
        "labels": {"mine": "yes", keys::RELATED_TO: "certificate-www"}, "annotations": {keys::RELATED_SOURCE: "uid-source/7"},
    }});
    let document =
        document(&object(&source(&json!({}))), &request(), Some(&object(&there))).expect("a Secret is copied");
    let metadata = &document["metadata"];
    assert_eq!(metadata["labels"], json!({"mine": "yes", keys::RELATED_TO: "certificate-www"}));
    assert_eq!(metadata["annotations"], json!({keys::RELATED_SOURCE: "uid-source/8/uid-copy"}));
    assert_eq!(metadata["finalizers"], json!(["corp.com/mine"]));
    // Whoever changed it in between is not overwritten.
    assert_eq!((&metadata["uid"], &metadata["resourceVersion"]), (&json!("uid-there"), &json!("5")));
}

#[test]
fn a_service_account_token_is_never_copied() {
    let token = object(&source(&json!({"type": "kubernetes.io/service-account-token"})));
    let refusal = document(&token, &request(), None).expect_err("a token of the provider's own");
    assert_eq!(refusal.reason, reason::RELATED_NOT_ALLOWED);
    assert!(refusal.message.contains("hash-tls in provider#nestor"), "{}", refusal.message);
    // No byte of what it holds is told.
    assert!(!refusal.message.contains("YQ=="), "{}", refusal.message);
}

#[test]
fn only_the_brokers_own_copies_for_this_object_are_replaced() {
    let there = |label: &str, source: Value, owner: &str, controller: bool| {
        let owner = json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner, "controller": controller});
        object(&json!({"metadata": {
            "name": "tls", "labels": {keys::RELATED_TO: label}, "annotations": {keys::RELATED_SOURCE: source},
            "ownerReferences": [owner],
        }}))
    };
    let may = |there: Arc<Object>| may_replace(&there, &request().marks);
    let plain = || json!({"metadata": {"name": "tls"}});
    assert!(may(there("certificate-www", json!("uid-source/7"), "uid-owner", false)));
    // Of the object that stood under this name before.
    assert!(may(there("certificate-www", json!("uid-source/7"), "uid-old", false)));
    assert!(!may(there("certificate-other", json!("uid-source/7"), "uid-other", false)));
    // As another broker marked it: by a plain reference.
    let mut referred = plain();
    referred["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "uid-owner"}]);
    assert!(may(object(&referred)));
    // What a controller of the consumer made for the object is that controller's.
    referred["metadata"]["ownerReferences"][0]["controller"] = true.into();
    assert!(!may(object(&referred)));
    assert!(!may(object(&plain())));
    // A label alone is cloned with the object that carries it.
    let labelled = json!({"metadata": {"name": "tls", "labels": {keys::RELATED_TO: "certificate-www"}}});
    assert!(!may(object(&labelled)));
}

/// A world in which `nestor` takes the object.
fn placed() -> World {
    let mut world = World::new();
    world.providers.entry(provider("nestor")).or_default();
    world.offers.insert((provider("nestor"), "offers".into(), "certs".into()), accepts());
    world.settle();
    world
}

#[test]
fn a_provider_cannot_fill_a_consumers_namespace() {
    let mut world = placed();
    let gvk = || Gvk::new("core", "v1", "Secret");
    let entries: serde_json::Map<String, Value> = (0..MOST + 5)
        .map(|number| {
            let name = format!("secret-{number:03}");
            world.put_source(&provider("nestor"), gvk(), &name);
            let kind = json!({"group": "core", "version": "v1", "kind": "Secret"});
            (name.clone(), json!({"gvk": kind, "name": name, "namespace": NAMESPACE}))
        })
        .collect();
    world.edit_copy(&provider("nestor"), &json!({"status": {"status": "Available", "relatedResources": entries}}));
    let plan = world.plan();
    let copied = plan.actions().filter(|action| matches!(action, Action::CopyRelated(_))).count();
    assert_eq!(copied, MOST);
    world.settle();
    let status = object(world.object.as_ref().expect("it is there")).field("status").unwrap_or_default().to_string();
    assert!(status.contains(reason::RELATED_NOT_ALLOWED), "the consumer is told: {status}");
}

#[test]
fn long_reasons_are_cut_to_what_an_api_server_takes() {
    let mut world = World::new();
    world.providers.entry(provider("nestor")).or_default();
    let long = refuses(&"\u{fc}".repeat(40_000));
    world.offers.insert((provider("nestor"), "offers".into(), "certs".into()), long);
    let (mut message, mut event) = (0, 0);
    for action in world.plan().actions() {
        match action {
            Action::PutStatus { status, .. } => {
                message = status["conditions"][0]["message"].as_str().unwrap_or_default().len();
            }
            Action::Event(told) => event = told.message.len(),
            other => panic!("not expected: {other:?}"),
        }
    }
    assert!((32_000..=32_768).contains(&message), "a condition's message of {message} bytes");
    assert!((1_000..=1_024).contains(&event), "an Event's message of {event} bytes");
}

#[test]
fn a_cut_text_says_so_and_stays_text() {
    assert_eq!(clip("short", 20), "short");
    for max in 20..30 {
        let cut = clip(&"\u{20ac}".repeat(20), max);
        assert!(cut.len() <= max && cut.ends_with("(cut)"), "{cut}");
    }
}

/// A value that nests deeper than a JSON parser goes.
fn deep() -> Value {
    (0..200).fold(json!({}), |inner, _| json!({"more": inner}))
}

/// What the consumer is told of one condition: status, reason.
fn told(world: &World, condition: &str) -> (String, String) {
    let status = object(world.object.as_ref().expect("it is there")).field("status").unwrap_or_default();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|it| it["type"] == condition).cloned().unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

#[test]
fn an_object_that_nests_too_deep_is_not_copied_in_part() {
    let mut world = placed();
    world.edit_object(&json!({"spec": {"fqdn": "new.corp.com"}, "data": deep()}));
    world.settle();
    assert_eq!(world.copy().expect("it was copied before")["spec"]["fqdn"], "www.corp.com");
    assert_eq!(told(&world, SYNCED), ("False".into(), reason::INVALID.into()));
}

#[test]
fn a_status_that_nests_too_deep_leaves_the_last_one() {
    let mut world = placed();
    world.edit_copy(&provider("nestor"), &json!({"status": {"status": "Available"}}));
    world.settle();
    assert_eq!(told(&world, READY).0, "True");
    world.edit_copy(&provider("nestor"), &json!({"status": {"status": "Failed", "detail": deep()}}));
    world.settle();
    assert_eq!(told(&world, READY).0, "True");
    assert_eq!(told(&world, SYNCED), ("False".into(), reason::INVALID.into()));
}
