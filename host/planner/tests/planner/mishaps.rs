//! What must not be lost when something happens at the wrong moment of a move: each case is one sequence of events, and what
//! has to be there after it.

use std::{collections::BTreeMap, time::Duration};

use resource_broker_api::{
    broker::{MigrationState, StageState},
    conditions::{FAILED, reason},
    keys,
    names::Gvk,
};
use resource_broker_planner::{
    migration::retention,
    model::snapshot::{Memory, View},
    plan::Action,
};

use crate::world::{accepts, refuses};
use crate::{
    script,
    world::{Unread, World, provider},
};

/// An object that `nestor` serves.
pub(crate) const SERVED: &str = "
- offers: {nestor/certs: accepts}
- settle
- ready: {nestor: tls}
- settle
";
/// It changed: `anna` takes it.
pub(crate) const CHANGED: &str = r#"
- object: {spec: {fqdn: www.other.org}}
  offers: {nestor/certs: ["fqdn: no"], anna/certs: accepts}
"#;
/// Two passes that begin the move and make the copy, which is available then.
pub(crate) const AT_ANNA: &str = "
- pass
- pass
- ready: {anna: tls}
";
/// It moves through stages.
pub(crate) const STAGES: &str = "
- configurations: {databases: null}
- stages: [{name: copy, deploys: {job: Job}, progress: true}, {name: check, progress: true, approval: true}]
";
/// The first stage is done, and the second waits for its approval.
pub(crate) const HANDED_OVER: &str = "
- settle
- jobs-end
- settle
";

pub(crate) fn run(steps: &[&str]) -> World {
    script::run(&steps.concat())
}

/// Of which provider's Secret the consumer has a copy.
pub(crate) fn whose_secret(world: &World) -> &'static str {
    let secret = Gvk::new("core", "v1", "Secret");
    let there = &world.beside[&(secret.clone(), "tls".to_owned())];
    let mark = there["metadata"]["annotations"][keys::RELATED_SOURCE].as_str().expect("it is marked");
    let of = |name: &str| {
        let mut sources = world.providers[&provider(name)].sources.values();
        sources.any(|source| mark.starts_with(source["metadata"]["uid"].as_str().expect("it has a UID")))
    };
    ["nestor", "anna"].into_iter().find(|name| of(name)).expect("it is of one of the two")
}

fn unread(failing: bool) -> Unread {
    Unread { why: "connection refused".into(), failing }
}

pub(crate) fn has_live_copy(world: &World, name: &str) -> bool {
    let copy = world.providers[&provider(name)].copy.as_ref();
    copy.is_some_and(|copy| copy["metadata"]["deletionTimestamp"].is_null())
}

#[test]
fn an_object_that_was_ordered_to_stay_stays_while_migrations_cannot_be_read() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, "- settle\n- orders: {rollback: \"true\"}\n- settle\n"]);
    assert_eq!(world.assigned(), Some(provider("nestor")));
    world.memory = Memory::default();
    world.migrations_unread = Some(unread(false));
    for _ in 0..20 {
        world.pass();
        world.wait(Duration::from_secs(5));
    }
    assert_eq!(world.record.as_ref().and_then(|record| record.spec.next.clone()), None, "a move has begun");
    world.migrations_unread = None;
    world.settle();
    assert!(has_live_copy(&world, "nestor") && !has_live_copy(&world, "anna"));
}

#[test]
fn what_was_handed_over_is_not_taken_back_while_migrations_cannot_be_read() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER]);
    assert_eq!(whose_secret(&world), "anna");
    world.memory = Memory::default();
    world.migrations_unread = Some(unread(false));
    for _ in 0..5 {
        world.pass();
        assert_eq!(whose_secret(&world), "anna", "written to the old provider's again");
    }
}

#[test]
fn the_old_copy_stays_until_the_consumer_can_be_given_the_new_secret() {
    let mut world = run(&[SERVED, CHANGED, AT_ANNA]);
    world.targets.unread = Some(unread(true));
    for _ in 0..10 {
        world.pass();
    }
    assert_eq!(world.assigned(), Some(provider("anna")), "the switch does not wait for that");
    assert_eq!(whose_secret(&world), "nestor");
    assert!(has_live_copy(&world, "nestor"), "its Secret is what the consumer has");
    world.targets.unread = None;
    world.settle();
    assert_eq!(whose_secret(&world), "anna");
    assert!(!has_live_copy(&world, "nestor"));
}

#[test]
fn the_old_copy_stays_while_the_new_one_is_made_anew() {
    let mut world = run(&[SERVED, CHANGED, AT_ANNA]);
    while world.assigned() != Some(provider("anna")) {
        assert_ne!(world.pass(), 0, "the switch is due");
    }
    // Somebody at the new provider deletes its copy, and with it all that its operator had made.
    let at_anna = world.providers.get_mut(&provider("anna")).expect("it is attached");
    (at_anna.copy, at_anna.sources) = (None, BTreeMap::new());
    for _ in 0..10 {
        world.pass();
    }
    assert!(has_live_copy(&world, "anna"), "it is made again");
    assert!(has_live_copy(&world, "nestor"), "nothing has come in its stead");
    world.make_ready(&provider("anna"), "tls");
    world.settle();
    assert!(!has_live_copy(&world, "nestor"));
    assert_eq!(whose_secret(&world), "anna");
}

#[test]
fn stages_begin_anew_for_another_copy() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER]);
    let first = world.migration.clone().expect("it is under way");
    assert_eq!(first.status.state, Some(MigrationState::InitialCompleted));
    // The copy that the stages filled goes, and is made again, empty.
    world.providers.get_mut(&provider("anna")).expect("it is attached").copy = None;
    world.pass();
    world.pass();
    let ended = world.migration.clone().expect("it stays for now");
    let why = ended.status.conditions.iter().find(|condition| condition.type_ == FAILED).expect("it has failed");
    assert_eq!(why.reason, reason::ABANDONED);
    assert!(why.message.contains("provider#anna was replaced"), "{}", why.message);
    world.make_ready(&provider("anna"), "tls");
    world.settle();
    let second = world.migration.clone().expect("it is made again");
    assert_ne!(second.uid, first.uid);
    let stage = second.status.stages.last().expect("it has begun");
    assert_eq!((stage.name.as_str(), stage.state), ("copy", StageState::Running));
    assert!(has_live_copy(&world, "nestor"));
}

#[test]
fn what_ended_while_nobody_looked_has_succeeded_whatever_the_time() {
    let stages = "
- configurations: {databases: null}
- stages: [{name: copy, deploys: {job: Job}, timeout: 60, progress: true}]
";
    let world = run(&[SERVED, stages, CHANGED, AT_ANNA, "- settle\n- jobs-end\n- wait: 3600\n- restart\n- pass\n"]);
    let status = &world.migration.expect("it is under way").status;
    assert_eq!(status.stages[0].state, StageState::Succeeded, "{:?}", status.stages[0].message);
}

#[test]
fn a_stage_whose_configuration_wants_no_approval_any_more_goes_on() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER]);
    world.compute.stages[1].approval = false;
    world.settle();
    assert_eq!(world.assigned(), Some(provider("anna")), "{:?}", world.migration.map(|it| it.status));
}

#[test]
fn a_migration_that_holds_its_object_no_more_goes_in_its_time() {
    let mut world = run(&[
        SERVED,
        STAGES,
        CHANGED,
        AT_ANNA,
        "
- settle
- orders: {rollback: \"true\"}
- settle
- object: {spec: {fqdn: www.corp.com}}
  offers: {nestor/certs: accepts, anna/certs: accepts}
- settle
",
    ]);
    assert!(world.migration.is_some(), "people can read what happened");
    world.wait(Duration::from_hours(25));
    world.history_pass();
    assert!(world.migration.is_none(), "it is only history");
}

#[test]
fn the_uid_of_a_copy_that_was_left_is_not_the_new_ones() {
    let mut world = run(&[SERVED, CHANGED, AT_ANNA]);
    while world.assigned() != Some(provider("anna")) {
        assert_ne!(world.pass(), 0, "the switch is due");
    }
    let record = world.record.expect("it is there");
    assert_eq!(record.status.copy.as_ref().map(|copy| &copy.uid), record.spec.previous[0].uid.as_ref());
    assert_eq!(record.copy_uid(), None);
}

#[test]
fn a_provider_that_takes_the_object_in_its_own_version_again_is_gone_to() {
    let versions = "
- versions: {v1beta1: {anna/certs: accepts}}
- attach: [anna]
- offers: {nestor/certs: [\"fqdn: no\"]}
- pass
- wait: 11
- pass
- pass
";
    let mut world = run(&[SERVED, versions]);
    let next = |world: &World| world.record.as_ref().and_then(|record| record.spec.next.clone()).expect("it moves");
    assert_eq!(next(&world).version.as_deref(), Some("v1beta1"));
    let refused = refuses("days: no");
    let offer = (provider("anna"), "offers".to_owned(), "certs".to_owned());
    world.versions.get_mut("v1beta1").expect("it is watched").insert(offer.clone(), refused);
    world.offers.insert(offer, accepts());
    world.pass();
    world.wait(Duration::from_secs(11));
    world.pass();
    assert_eq!((next(&world).cluster.as_str(), next(&world).version), ("provider#anna", None));
}

#[test]
fn what_a_deleted_migration_had_in_compute_goes_with_its_move_and_not_before() {
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, "- pass\n- pass\n- pass\n- pass\n- pass\n"]);
    let mut snapshot = world.history_snapshot();
    let there = snapshot.compute.deployed.len() + snapshot.compute.mirrored.len();
    assert!(there > 0, "nothing has been deployed or mirrored yet");
    snapshot.migration = None;
    assert_eq!(retention::plan(&snapshot).actions().count(), 0, "it is made anew, and needs what it had");
    snapshot.record = View::Absent;
    let plan = retention::plan(&snapshot);
    assert!(plan.actions().all(|action| matches!(action, Action::Delete { .. })));
    assert_eq!(plan.actions().count(), there);
    snapshot.record = View::Unknown { why: "not yet".into(), failing: false };
    assert_eq!(retention::plan(&snapshot).actions().count(), 0, "whether it moves is not known");
}
