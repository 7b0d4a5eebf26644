//! Another cluster under the name of one that a record names: nothing is written there, nothing is deleted because of it, and
//! nothing moves.

use std::collections::BTreeMap;

use super::{planned, recorded, spec, with_record};
use crate::mishaps::{AT_ANNA, CHANGED, SERVED, run};
use crate::world::{World, provider};
use resource_broker_api::broker::AssignmentSpec;
use resource_broker_api::conditions::{ACCEPTED, SYNCED, reason};
use resource_broker_api::keys;
use resource_broker_api::names::ClusterName;
use resource_broker_planner::model::snapshot::{Identity, Snapshot, View};
use resource_broker_planner::plan::{Action, Plan};

fn is(fingerprint: &str) -> Identity {
    Identity { fingerprint: Some(fingerprint.into()), ..Identity::default() }
}

fn identify(snapshot: &mut Snapshot, cluster: &ClusterName, identity: Identity) {
    let mut identities = BTreeMap::clone(&snapshot.identities);
    identities.insert(cluster.clone(), identity);
    snapshot.identities = identities.into();
}

/// Puts an annotation on the object.
fn annotate(snapshot: &mut Snapshot, annotation: &str, value: &str) {
    let mut object = snapshot.consumer.present().expect("it is there").as_ref().clone();
    object.meta.annotations.get_or_insert_default().insert(annotation.into(), value.into());
    snapshot.consumer = View::Present(object.into());
}

/// The plan where the record knows its clusters by the fingerprint `old`, and the one of this name is another one now.
fn with_stranger(world: &World, cluster: &ClusterName, identity: Identity) -> Plan {
    planned(world, |snapshot| {
        with_record(snapshot, |record| remember(&mut record.spec));
        identify(snapshot, cluster, identity);
    })
}

fn remember(spec: &mut AssignmentSpec) {
    spec.consumer.fingerprint = Some("old".into());
    spec.provider.fingerprint = Some("old".into());
    if let Some(next) = &mut spec.next {
        next.fingerprint = Some("old".into());
    }
}

/// What a plan changes in a cluster.
fn changes_in(plan: &Plan, cluster: &ClusterName) -> Vec<String> {
    let in_cluster = |action: &&Action| match action {
        Action::Decorate { target, .. }
        | Action::Unmark { target, .. }
        | Action::ReleaseFinalizer { target, .. }
        | Action::ApplyCopy { target, .. }
        | Action::PutStatus { target, .. }
        | Action::Delete { target, .. } => target.cluster == *cluster,
        Action::CopyRelated(copy) => copy.target.cluster == *cluster || copy.source.cluster == *cluster,
        _ => false,
    };
    plan.actions().filter(in_cluster).map(|action| format!("{action:?}")).collect()
}

fn deletes(plan: &Plan) -> bool {
    plan.actions().any(|action| {
        matches!(action, Action::Delete { .. } | Action::DeleteRecord { .. } | Action::ReleaseFinalizer { .. })
    })
}

/// What the record is to say of a condition.
fn said(plan: &Plan, type_: &str) -> Option<(String, String)> {
    plan.actions().find_map(|action| match action {
        Action::RecordStatus { status, .. } => {
            let condition = status.conditions.iter().find(|condition| condition.type_ == type_)?;
            Some((condition.reason.clone(), condition.message.clone()))
        }
        _ => None,
    })
}

#[test]
fn a_provider_that_is_another_cluster_now_is_left_alone() {
    let mut world = run(&[SERVED]);
    for change in [false, true] {
        if change {
            // It would be copied, or moved, else.
            world = run(&[SERVED, CHANGED]);
        }
        for identity in [is("new"), Identity { refused: Some("it is another".into()), changed: true, ..is("x") }] {
            let plan = with_stranger(&world, &provider("nestor"), identity);
            assert_eq!(changes_in(&plan, &provider("nestor")), Vec::<String>::new());
            assert!(recorded(&plan).is_empty() && !deletes(&plan), "{plan:#?}");
            let (reason, message) = said(&plan, ACCEPTED).expect("it is told");
            assert_eq!(reason, reason::CLUSTER_CHANGED);
            assert!(message.contains("nothing moves"), "{message}");
        }
    }
    // The owner does not learn of fingerprints; who runs the broker does, with the way out.
    let plan = with_stranger(&run(&[SERVED]), &provider("nestor"), is("new"));
    assert!(said(&plan, ACCEPTED).unwrap().1.contains("cluster accept provider#nestor"));
    let shown = plan.actions().find_map(|action| match action {
        Action::PutStatus { status, .. } => Some(status.to_string()),
        _ => None,
    });
    let shown = shown.expect("the object says it, too");
    assert!(shown.contains(reason::CLUSTER_CHANGED) && !shown.contains("accept provider#nestor"), "{shown}");
}

#[test]
fn an_object_whose_provider_is_another_cluster_now_is_not_let_go() {
    let mut world = run(&[SERVED]);
    world.delete_object();
    let plan = with_stranger(&world, &provider("nestor"), is("new"));
    assert!(!deletes(&plan), "{plan:#?}");
    assert_eq!(changes_in(&plan, &provider("nestor")), Vec::<String>::new());
}

#[test]
fn a_consumer_that_is_another_cluster_now_loses_nothing() {
    let world = run(&[SERVED]);
    let consumer = world.key.consumer.clone();
    let gone = |snapshot: &mut Snapshot| {
        with_record(snapshot, |record| remember(&mut record.spec));
        identify(snapshot, &consumer, is("new"));
        snapshot.consumer = View::Absent;
    };
    let plan = planned(&world, gone);
    assert!(!deletes(&plan) && changes_in(&plan, &consumer).is_empty(), "{plan:#?}");
    assert_eq!(said(&plan, SYNCED).map(|(reason, _)| reason).as_deref(), Some(reason::CLUSTER_CHANGED));
    assert!(said(&plan, SYNCED).unwrap().1.contains("cluster accept consumer#"));
}

#[test]
fn the_next_provider_that_is_another_cluster_now_gets_nothing() {
    let world = run(&[SERVED, CHANGED, AT_ANNA]);
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#anna"));
    let plan = with_stranger(&world, &provider("anna"), is("new"));
    assert_eq!(changes_in(&plan, &provider("anna")), Vec::<String>::new());
    assert!(recorded(&plan).is_empty() && !deletes(&plan), "{plan:#?}");
}

#[test]
fn records_follow_a_cluster_that_was_accepted_and_nothing_else_happens_meanwhile() {
    let world = run(&[SERVED]);
    let accepted = Identity { accepted: vec!["old".into()], ..is("new") };
    let plan = with_stranger(&world, &provider("nestor"), accepted);
    let [spec] = recorded(&plan)[..] else { panic!("{plan:#?}") };
    assert_eq!(spec.provider.fingerprint.as_deref(), Some("new"));
    assert_eq!(plan.actions().count(), 1);
    // What is as recorded is not written again.
    assert!(recorded(&with_stranger(&world, &provider("nestor"), is("old"))).is_empty());
}

#[test]
fn a_record_that_was_made_while_a_fingerprint_was_unknown_learns_which_cluster_has_the_copy() {
    let world = run(&[SERVED]);
    let known = |snapshot: &mut Snapshot| {
        with_record(snapshot, |record| record.spec.consumer.token = Some("token".into()));
        identify(snapshot, &provider("nestor"), is("new"));
    };
    let plan = planned(&world, known);
    let [spec] = recorded(&plan)[..] else { panic!("{plan:#?}") };
    assert_eq!(spec.provider.fingerprint.as_deref(), Some("new"));
    // Without the copy nothing says that it is the same cluster.
    let plan = planned(&world, |snapshot| {
        known(snapshot);
        let view = snapshot.providers.get_mut(&provider("nestor")).unwrap();
        view.copy = View::Absent;
    });
    assert!(recorded(&plan).iter().all(|spec| spec.provider.fingerprint.is_none()), "{plan:#?}");
}

#[test]
fn a_record_of_an_earlier_release_learns_which_cluster_has_the_copy_only_where_it_is() {
    let world = run(&[SERVED]);
    let earlier = |snapshot: &mut Snapshot| {
        with_record(snapshot, |record| record.spec.consumer.token = None);
        identify(snapshot, &provider("nestor"), is("new"));
    };
    let plan = planned(&world, earlier);
    let [spec] = recorded(&plan)[..] else { panic!("{plan:#?}") };
    assert_eq!(spec.provider.fingerprint.as_deref(), Some("new"));
    let plan = planned(&world, |snapshot| {
        earlier(snapshot);
        let view = snapshot.providers.get_mut(&provider("nestor")).unwrap();
        view.copy = View::Absent;
    });
    assert!(recorded(&plan).iter().all(|spec| spec.provider.fingerprint.is_none()), "{plan:#?}");
}

#[test]
fn a_record_takes_no_token_that_the_broker_did_not_make() {
    let world = run(&[SERVED]);
    let long = "0123456789abcdef".repeat(5);
    for (theirs, taken) in [
        ("0123456789abcdef0123456789abcdef", true),
        ("", false),
        ("guessed", false),
        ("0123456789abcdef/../..", false),
        (long.as_str(), false),
    ] {
        let plan = planned(&world, |snapshot| {
            with_record(snapshot, |record| record.spec.consumer.token = None);
            annotate(snapshot, keys::TOKEN, theirs);
        });
        let [spec] = recorded(&plan)[..] else { panic!("{plan:#?}") };
        let token = spec.consumer.token.as_deref().unwrap_or_default();
        assert_eq!(token == theirs, taken, "{theirs:?} {token:?}");
        assert!(!token.is_empty());
    }
}
