//! The documents that plans lead to, beyond what a plan shows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use resource_broker_api::{
    conditions::reason,
    keys,
    names::{ClusterName, Gvk, Role},
};
use resource_broker_planner::{
    plan::{CopyRelated, Existing},
    related::{document, may_replace},
    snapshot::Target,
};
use serde_json::{Value, json};

use crate::world::object;

fn request() -> CopyRelated {
    let secret = || Gvk::new("core", "v1", "Secret");
    let at = |role, name: &str| ClusterName::new(role, name);
    CopyRelated {
        source: Target::new(at(Role::Provider, "nestor"), secret(), Some("there".into()), "hash-tls".into()),
        target: Target::new(at(Role::Consumer, "acme"), secret(), Some("team".into()), "tls".into()),
        existing: Existing::NoneOfOurs,
        owner: OwnerReference { uid: "uid-owner".into(), name: "www".into(), ..OwnerReference::default() },
        record: "certificate-www".into(),
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
            "annotations": {keys::RELATED_SOURCE: "uid-source/8"},
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
    let document = document(&object(&source(&json!({}))), &request(), Some(&object(&there))).expect("a Secret is copied");
    let metadata = &document["metadata"];
    assert_eq!(metadata["labels"], json!({"mine": "yes", keys::RELATED_TO: "certificate-www"}));
    assert_eq!(metadata["annotations"], json!({keys::RELATED_SOURCE: "uid-source/8"}));
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
    let there = |labels: Value, owner: &str| {
        let owners = json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner}]);
        object(&json!({"metadata": {"name": "tls", "labels": labels, "ownerReferences": owners}}))
    };
    let may = |labels: Value, owner: &str| may_replace(&there(labels, owner), &request());
    assert!(may(json!({keys::RELATED_TO: "certificate-www"}), "uid-other"));
    // As another broker marked it: by its owner.
    assert!(may(json!({}), "uid-owner"));
    assert!(!may(json!({}), "uid-other"));
    assert!(!may(json!({keys::RELATED_TO: "certificate-other"}), "uid-other"));
}
