//! What becomes of a Migration that somebody deletes, of what it has in the compute cluster, and of its move.

use std::time::Duration;

use resource_broker_api::{
    broker::{MigrationState, StageState},
    conditions::{PROGRESSING, reason},
    keys,
    names::Gvk,
};
use resource_broker_planner::{migration::retention, model::snapshot::Memory, plan::Action};
use serde_json::Value;

use crate::{
    mishaps::{AT_ANNA, CHANGED, HANDED_OVER, SERVED, STAGES, has_live_copy, run, whose_secret},
    world::{World, provider},
};

/// Its provider takes the object again.
const BACK: &str = "- offers: {nestor/certs: accepts, anna/certs: accepts}\n";
/// The first stage runs.
const RUNNING: &str = "- settle\n";

/// An object on its way, whose first stage runs.
fn running() -> World {
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING]);
    assert!(job(&world).is_some() && mirrors(&world) > 0, "{:?}", world.compute.objects);
    world
}

fn job(world: &World) -> Option<String> {
    let job = Gvk::new("batch", "v1", "Job");
    let (_, there) = world.compute.objects.iter().find(|((gvk, _), _)| *gvk == job)?;
    there["metadata"]["uid"].as_str().map(str::to_owned)
}

fn mirrors(world: &World) -> usize {
    let is_mirror = |there: &&Value| there["metadata"]["labels"][keys::MIGRATION_STAGE].is_null();
    world.compute.objects.values().filter(is_mirror).count()
}

#[test]
fn another_one_begins_with_the_first_stage_and_takes_over_nothing() {
    let mut world = running();
    let (first, old_job) = (world.migration.clone().expect("it is under way"), job(&world));
    world.end_jobs(true);
    world.delete_migration();
    for _ in 0..10 {
        world.pass();
        assert_eq!(whose_secret(&world), "nestor");
    }
    let second = world.migration.clone().expect("it is made again");
    assert_ne!(second.uid, first.uid);
    assert_eq!(second.status.id, first.status.id, "it is the same move");
    let stage = second.status.stages.last().expect("it has begun");
    assert_eq!((stage.name.as_str(), stage.state), ("copy", StageState::Running), "{:?}", second.status);
    assert!(job(&world).is_some() && job(&world) != old_job, "what the old one did is taken for its work");
    assert_eq!(world.wrongs, Vec::<String>::new());
}

#[test]
fn the_consumer_has_a_secret_at_every_moment_after_the_hand_over() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER]);
    assert_eq!(whose_secret(&world), "anna");
    world.delete_migration();
    world.pass();
    assert_eq!(whose_secret(&world), "nestor", "what is begun anew must not be written to meanwhile");
    world.settle();
    world.end_jobs(true);
    world.settle();
    assert_eq!(whose_secret(&world), "anna");
    assert_eq!(world.assigned(), Some(provider("nestor")), "the second stage waits for a person");
}

#[test]
fn deleted_while_no_broker_ran_and_the_object_changed_back() {
    let mut world = running();
    world.delete_migration();
    world.memory = Memory::default();
    world.offers = run(&[SERVED, CHANGED, BACK]).offers;
    world.settle();
    assert!(world.migration.is_none() && world.compute.objects.is_empty(), "{:?}", world.compute.objects);
    assert!(has_live_copy(&world, "nestor") && !has_live_copy(&world, "anna"));
}

#[test]
fn deleted_while_no_broker_ran_and_the_object_too() {
    let mut world = running();
    world.delete_migration();
    world.delete_object();
    world.memory = Memory::default();
    world.settle();
    assert!(world.object.is_none() && world.record.is_none());
    assert!(world.migration.is_none() && world.compute.objects.is_empty(), "{:?}", world.compute.objects);
}

#[test]
fn compute_that_does_not_answer_holds_the_migration_and_nothing_else() {
    let mut world = running();
    world.compute.broken = true;
    world.delete_migration();
    world.delete_object();
    for _ in 0..10 {
        world.pass();
        world.wait(Duration::from_secs(1));
    }
    assert!(world.object.is_none() && world.record.is_none(), "they wait for compute");
    let migration = world.migration.clone().expect("what it has is in compute");
    let says = migration.status.conditions.iter().find(|it| it.type_ == PROGRESSING).expect("it says why");
    assert_eq!(says.reason, reason::CLEANING);
    assert!(says.message.contains("compute#compute") && says.message.contains("Job"), "{}", says.message);
    world.compute.broken = false;
    world.settle();
    assert!(world.migration.is_none() && world.compute.objects.is_empty(), "{:?}", world.compute.objects);
}

#[test]
fn what_others_hold_it_by_stays() {
    let mut world = running();
    let others = "corp.com/audit".to_owned();
    world.migration.as_mut().expect("it is under way").finalizers.push(others.clone());
    world.delete_migration();
    world.settle();
    let held = world.migration.clone().expect("somebody holds it");
    assert_eq!(held.finalizers, [others]);
    assert_eq!(held.status.state, Some(MigrationState::InitialInProgress), "it went on");
    assert!(world.compute.objects.is_empty(), "{:?}", world.compute.objects);
    assert_eq!(world.assigned(), Some(provider("nestor")));
    world.migration.as_mut().expect("somebody holds it").finalizers.clear();
    world.delete_migration();
    world.settle();
    assert!(job(&world).is_some(), "the move goes on with another one");
}

#[test]
fn one_that_is_over_can_be_deleted_without_a_broker() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, "- settle\n- orders: {rollback: \"true\"}\n- settle\n"]);
    assert!(world.migration.as_ref().is_some_and(|it| !it.is_held()), "{:?}", world.migration);
    world.delete_migration();
    assert!(world.migration.is_none());
}

#[test]
fn one_that_an_older_broker_made_is_not_given_a_finalizer() {
    let mut world = running();
    world.migration.as_mut().expect("it is under way").finalizers.clear();
    world.end_jobs(true);
    world.settle();
    let writes = |world: &World| retention::plan(&world.history_snapshot()).steps;
    let releases =
        |world: &World| writes(world).iter().flatten().any(|action| matches!(action, Action::ReleaseMigration { .. }));
    assert!(world.migration.as_ref().is_some_and(|it| it.finalizers.is_empty()) && !releases(&world));
    world.offers = run(&[SERVED, CHANGED, BACK]).offers;
    world.settle();
    assert!(world.compute.objects.is_empty() && !releases(&world));
}

#[test]
fn a_copy_that_was_replaced_meanwhile_is_filled_from_the_first_stage_on() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER]);
    world.delete_migration();
    world.providers.get_mut(&provider("anna")).expect("it is attached").copy = None;
    world.pass();
    world.pass();
    world.make_ready(&provider("anna"), "tls");
    world.settle();
    let stages = &world.migration.as_ref().expect("it is made again").status.stages;
    let shown: Vec<_> = stages.iter().map(|stage| (stage.name.as_str(), stage.state)).collect();
    assert_eq!(shown, [("copy", StageState::Running)]);
    assert!(has_live_copy(&world, "nestor"));
}
