//! Whose word a migration goes by, when it ends, and when its Migration goes.

use super::{
    RUNNING, copied_from, handed_over, planned, recorded, running, spec, unread, with_migration, with_record,
    writes_migration,
};
use crate::mishaps::{AT_ANNA, CHANGED, SERVED, STAGES, has_live_copy, run, whose_secret};
use crate::world::provider;
use resource_broker_api::broker::MigrationState;
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_api::names::Gvk;
use resource_broker_planner::migration::retention;
use resource_broker_planner::model::snapshot::{KindView, Snapshot, View};
use resource_broker_planner::plan::{Action, Plan};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_move_whose_stages_nobody_tells_any_more_does_not_go_ahead() {
    let stages = "- stages-plugin\n- stages: [{name: copy, deploys: {job: Job}, progress: true}]\n";
    let mut world = run(&[SERVED, stages, CHANGED, AT_ANNA, RUNNING]);
    assert_eq!(world.migration.as_ref().map(|it| it.status.stages.len()), Some(1));
    world.stages_plugin = false;
    world.end_jobs(true);
    world.settle();
    assert_eq!(world.assigned(), Some(provider("nestor")));
    // All stages are taken out of the configuration while one of them is under way.
    let mut world = running();
    world.compute.stages.clear();
    world.end_jobs(true);
    world.settle();
    let state = world.migration.as_ref().and_then(|it| it.status.state);
    assert_eq!((world.assigned(), state), (Some(provider("nestor")), Some(MigrationState::InitialInProgress)));
}

#[test]
fn a_move_waits_until_configurations_are_read() {
    let world = run(&[SERVED, CHANGED, AT_ANNA]);
    let plan = planned(&world, |snapshot| {
        snapshot.migration.configurations = View::Unknown { why: "not yet".into(), failing: false };
    });
    assert!(recorded(&plan).is_empty(), "one of them may be for this move: {plan:#?}");
}

#[test]
fn a_configuration_for_other_kinds_holds_nothing_up() {
    let mut world = run(&[SERVED, STAGES, CHANGED]);
    let to = Gvk { version: "v9".into(), ..world.key.gvk.clone() };
    world.configurations.iter_mut().for_each(|it| it.to = to.clone());
    world.pass();
    world.pass();
    world.make_ready(&provider("anna"), "tls");
    world.settle();
    assert_eq!((world.assigned(), world.migration.is_none()), (Some(provider("anna")), true));
}

#[test]
fn an_order_that_is_none_is_not_followed() {
    let failed = "- settle\n- jobs-fail\n- settle\n- orders: {retry: \"false\"}\n- settle\n";
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, failed]);
    let status = world.migration.expect("it is kept").status;
    assert_eq!((status.state, status.stages[0].attempt), (Some(MigrationState::Failed), 1));
}

#[test]
fn what_was_rolled_back_goes_by_the_object_as_it_was_then() {
    let rolled_back = "- orders: {rollback: \"true\"}\n- settle\n";
    // It changed after its stages had begun, and then was ordered to stay as it is.
    let world =
        run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, "- object: {spec: {days: 3}}\n- settle\n", rolled_back]);
    assert_eq!((world.assigned(), spec(&world).next), (Some(provider("nestor")), None));
    assert!(has_live_copy(&world, "nestor") && !has_live_copy(&world, "anna"));
    // It changes after that order: the order is over.
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, rolled_back]);
    world.edit_object(&json!({"spec": {"days": 4}}));
    world.settle();
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#anna"));
    // What was ordered at one provider says nothing of another.
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, rolled_back]);
    let plan = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.spec.from.cluster_name = provider("berta").to_string());
    });
    assert!(recorded(&plan).iter().any(|spec| spec.next.is_some()), "{plan:#?}");
}

#[test]
fn an_order_about_another_move_is_not_carried_out_on_this_one() {
    let mut world = running();
    let orders = &mut world.migration.as_mut().expect("it is under way").orders;
    orders.insert(keys::MIGRATION_ROLLBACK.into(), "true".into());
    let failed = |plan: &Plan| {
        plan.actions().any(|action| match action {
            Action::MigrationStatus { status, .. } => {
                status.conditions.iter().any(|condition| condition.reason == reason::ROLLED_BACK)
            }
            _ => false,
        })
    };
    assert!(failed(&planned(&world, |_| ())));
    let other = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.spec.to.cluster_name = provider("berta").to_string());
    });
    assert!(!failed(&other), "{other:#?}");
    let complete = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.status.state = Some(MigrationState::CutoverCompleted));
    });
    assert!(!failed(&complete), "{complete:#?}");
}

#[test]
fn only_this_moves_own_migration_hands_the_new_secrets_over() {
    let world = handed_over();
    assert_eq!(copied_from(&world, &planned(&world, |_| ())), Vec::<String>::new());
    let other = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.spec.to.cluster_name = provider("berta").to_string());
    });
    assert_eq!(copied_from(&world, &other), ["provider#nestor"]);
    // The copy whose data the stages brought is gone, and with it the migration.
    let mut world = handed_over();
    world.providers.get_mut(&provider("anna")).expect("it is attached").copy = None;
    world.pass();
    world.pass();
    world.pass();
    assert_eq!(whose_secret(&world), "nestor");
}

#[test]
fn a_migration_ends_only_with_what_is_certain() {
    let world = running();
    let gone = planned(&world, |snapshot| snapshot.consumer = View::Absent);
    assert!(!writes_migration(&gone), "a cache alone is no proof: {gone:#?}");
    let mut history = world.history_snapshot();
    history.record = View::Unknown { why: "not yet".into(), failing: false };
    assert_eq!(retention::plan(&history).actions().count(), 0, "its object's record is not known");
    // Nothing moves any more, and nobody has told the Migration.
    let stays = planned(&world, |snapshot| with_record(snapshot, |record| record.spec.next = None));
    let state = stays.actions().find_map(|action| match action {
        Action::MigrationStatus { status, .. } => status.state,
        _ => None,
    });
    assert_eq!(state, Some(MigrationState::Failed), "{stays:#?}");
}

/// Whether a Migration is let go, by deleting it or by releasing it.
fn goes(plan: &Plan) -> bool {
    let goes = |action: &Action| matches!(action, Action::DeleteMigration { .. } | Action::ReleaseMigration { .. });
    plan.actions().any(goes)
}

#[test]
fn a_migration_stays_until_compute_is_known_to_be_clean_of_it() {
    let world = running();
    let compute = world.history_snapshot().compute;
    let over = "- orders: {rollback: \"true\"}\n- settle\n- orders: {retry: \"true\"}\n";
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, over]);
    let clean = world.history_snapshot();
    assert!(goes(&retention::plan(&clean)), "it is tried again: {clean:#?}");
    let mut deployed = clean.clone();
    deployed.compute.deployed.clone_from(&compute.deployed);
    assert!(!compute.deployed.is_empty() && !goes(&retention::plan(&deployed)), "its Job is there");
    let mut not_read = clean;
    not_read.compute.kinds.insert(Gvk::new("batch", "v1", "Job"), KindView { read: unread(), namespaced: Some(true) });
    assert!(!goes(&retention::plan(&not_read)), "its Job may be there");
}

#[test]
fn a_migration_that_may_hold_its_object_stays_while_the_record_is_not_known() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, "- orders: {rollback: \"true\"}\n- settle\n"]);
    world.wait(Duration::from_hours(25));
    let mut snapshot = world.history_snapshot();
    snapshot.record = View::Unknown { why: "not yet".into(), failing: false };
    assert!(!goes(&retention::plan(&snapshot)));
    snapshot.record = View::Absent;
    assert!(goes(&retention::plan(&snapshot)));
}

#[test]
fn the_migration_of_another_move_ends_before_this_ones_begins() {
    let world = running();
    let other = |snapshot: &mut Snapshot| {
        with_migration(snapshot, |it| it.spec.to.cluster_name = provider("berta").to_string());
    };
    let plan = planned(&world, other);
    let state = plan.actions().find_map(|action| match action {
        Action::MigrationStatus { status, .. } => status.state,
        _ => None,
    });
    assert_eq!(state, Some(MigrationState::Failed), "{plan:#?}");
    let over = planned(&world, |snapshot| {
        other(snapshot);
        with_migration(snapshot, |it| it.status.state = Some(MigrationState::CutoverCompleted));
    });
    assert!(!goes(&over), "its Job is there: {over:#?}");
}
