//! Whose a related resource is, and what of the consumer's goes with it.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use resource_broker_api::{
    conditions::reason,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use resource_broker_planner::{
    model::{
        claimed::{Claims, Owner},
        snapshot::Target,
    },
    plan::{CopyRelated, DeclaredBy, Existing, Marks},
    sync::{
        claims::{Withheld, contested},
        related::{is_of, may_replace, may_take_away},
    },
};
use serde_json::{Value, json};

use crate::world::object;

fn at(role: Role, name: &str) -> Target {
    Target::new(ClusterName::new(role, "x"), Gvk::new("core", "v1", "Secret"), Some("team".into()), name.into())
}

#[test]
fn a_source_is_given_to_its_owner_or_to_whoever_is_alone_or_to_all_that_it_is_meant_for() {
    let theirs = || at(Role::Provider, "theirs-web");
    let source =
        |shared: Value| object(&json!({"metadata": {"name": "web-tls", "annotations": {keys::SHARED: shared}}}));
    for (rivals, owner, shared, given) in [
        (vec![], Owner::Nobody, json!("no"), true),
        (vec![], Owner::This, json!("no"), true),
        (vec![theirs()], Owner::Nobody, json!("no"), false),
        (vec![theirs()], Owner::This, json!("no"), true),
        (vec![], Owner::Other(theirs()), json!("no"), false),
        (vec![theirs()], Owner::Other(theirs()), json!("no"), false),
        (vec![theirs()], Owner::Nobody, json!("true"), true),
        (vec![theirs()], Owner::Nobody, json!("yes"), false),
        (vec![], Owner::Other(theirs()), json!("true"), true),
    ] {
        let claims = Claims { unread: None, rivals: rivals.clone(), owner: owner.clone() };
        let withheld = contested(&at(Role::Provider, "web-tls"), "mine-web", &claims, &source(shared.clone()));
        assert_eq!(withheld.is_none(), given, "{rivals:?} {owner:?} {shared}: {withheld:?}");
        let Some(Withheld::Refused(finding)) = withheld else { continue };
        assert_eq!(finding.reason, reason::RELATED_AMBIGUOUS);
        assert!(!finding.message.contains("theirs-web"), "other consumers are nobody's business: {}", finding.message);
        assert!(finding.inside().message.contains("theirs-web"), "{}", finding.inside().message);
        for way_out in ["call it mine-web-…", "make the copy its owner", "PerConsumer", keys::SHARED] {
            assert!(finding.message.contains(way_out), "no {way_out} in {}", finding.message);
        }
    }
}

#[test]
fn as_long_as_other_copies_are_not_known_only_its_owner_is_given_one() {
    let source = object(&json!({"metadata": {"name": "web-tls"}}));
    let withheld = |owner: Owner| {
        let claims = Claims { unread: Some(("no answer".into(), true)), rivals: vec![], owner };
        contested(&at(Role::Provider, "web-tls"), "mine-web", &claims, &source)
    };
    assert_eq!(withheld(Owner::Nobody), Some(Withheld::Unknown("no answer".into(), true)));
    assert_eq!(withheld(Owner::This), None);
}

fn request(is_new: bool, keep: bool) -> CopyRelated {
    CopyRelated {
        source: at(Role::Provider, "tls"),
        target: at(Role::Consumer, "tls"),
        existing: Existing::Unknown,
        untouched: false,
        keep,
        by: DeclaredBy { copy: at(Role::Provider, "copy"), uid: "copy-2".into(), is_new },
        marks: Marks::Consumer {
            owner: OwnerReference { uid: "mine".into(), name: "www".into(), ..OwnerReference::default() },
            record: "certificate-www".into(),
        },
    }
}

fn there(label: Option<&str>, mark: &str, owner: &str) -> Arc<Object> {
    object(&json!({"metadata": {
        "name": "tls", "namespace": "team", "labels": label.map_or(json!({}), |label| json!({keys::RELATED_TO: label})),
        "annotations": {keys::RELATED_SOURCE: mark},
        "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner}],
    }}))
}

#[test]
fn only_what_label_and_owner_both_say_is_this_objects_goes_with_its_source() {
    let mine = Some("certificate-www");
    for (label, owner, goes) in [
        (mine, "mine", true),
        (mine, "other", false),
        (Some("certificate-other"), "mine", false),
        (Some("certificate-other"), "other", false),
        (None, "mine", false),
    ] {
        let there = there(label, "source/1/copy-2", owner);
        assert_eq!(may_take_away(&there, &request(false, false)), goes, "{label:?} {owner}");
        assert!(!may_take_away(&there, &request(false, true)), "an object that moves keeps what it has");
    }
    let referred = there(Some("certificate-other"), "source/1", "mine");
    assert!(!may_replace(&referred, &request(false, false).marks), "the label says that it is another's");
}

#[test]
fn what_an_earlier_copy_declared_stays_while_the_present_one_is_new() {
    let of = |mark: &str| there(Some("certificate-www"), mark, "mine");
    for (mark, is_new, goes) in [
        ("source/1/copy-1", true, false),
        ("source/1/copy-1", false, true),
        ("source/1/copy-2", true, true),
        ("source/1/copy-2", false, true),
        // As an earlier release marked it.
        ("source/1", true, false),
        ("source/1", false, true),
    ] {
        assert_eq!(may_take_away(&of(mark), &request(is_new, false)), goes, "{mark} {is_new}");
    }
}

#[test]
fn a_copy_is_of_one_version_of_its_source_whichever_copy_declared_it() {
    let source = object(&json!({"metadata": {"name": "tls", "uid": "source", "resourceVersion": "1"}}));
    for (mark, is_it) in [
        ("source/1", true),
        ("source/1/copy-1", true),
        ("source/12", false),
        ("source/12/copy-1", false),
        ("other/1", false),
    ] {
        assert_eq!(is_of(&there(None, mark, "mine"), &source), is_it, "{mark}");
    }
}
