//! Single decisions that keep service and data, each in the moment in which it alone does: were it left out, no later pass would
//! make good for it. What holds over whole histories is in `crate::moves` and `crate::versions`.

mod clusters;
mod migrations;
mod moves;
mod stages;
mod versions;

use crate::mishaps::{AT_ANNA, CHANGED, HANDED_OVER, SERVED, STAGES, has_live_copy, run};
use crate::world::{World, provider};
use resource_broker_api::broker::{AssignmentSpec, PreviousRef};
use resource_broker_planner::model::snapshot::{MigrationRecord, Record, Snapshot, View};
use resource_broker_planner::plan::{Action, Plan};

/// The first stage has begun, and its Job runs.
const RUNNING: &str = "- settle\n";

/// An object that `nestor` does not take any more, and `anna` takes in another version of its kind.
const TO_ANOTHER_VERSION: &str = r#"
- versions: {v1beta1: {anna/certs: accepts}}
- attach: [anna]
- offers: {nestor/certs: ["fqdn: no"]}
- pass
- wait: 11
- pass
"#;

fn unread<T>() -> View<T> {
    View::Unknown { why: "connection refused".into(), failing: false }
}

fn spec(world: &World) -> AssignmentSpec {
    world.record.as_ref().expect("it has one").spec.clone()
}

/// The record's new specs, as a plan writes them.
fn recorded(plan: &Plan) -> Vec<&AssignmentSpec> {
    let updates = plan.actions().filter_map(|action| match action {
        Action::UpdateRecord { spec, .. } => Some(spec.as_ref()),
        _ => None,
    });
    updates.collect()
}

/// The plan for a snapshot of the world that is changed first.
fn planned(world: &World, change: impl FnOnce(&mut Snapshot)) -> Plan {
    let mut snapshot = world.snapshot();
    change(&mut snapshot);
    world.decide(&snapshot)
}

fn with_record(snapshot: &mut Snapshot, change: impl FnOnce(&mut Record)) {
    let mut record = snapshot.record.present().expect("it has one").as_ref().clone();
    change(&mut record);
    snapshot.record = View::Present(record.into());
}

fn with_migration(snapshot: &mut Snapshot, change: impl FnOnce(&mut MigrationRecord)) {
    let mut migration = snapshot.migration.object.present().expect("it has one").as_ref().clone();
    change(&mut migration);
    snapshot.migration.object = View::Present(migration.into());
}

/// A place at `carla` that the object left while its entries said no version.
fn left_at_carla(record: &mut Record) {
    let at = &record.spec.provider;
    let (namespace, name) = (at.namespace.clone(), at.name.clone());
    let cluster = provider("carla").to_string();
    record.spec.previous.push(PreviousRef { cluster, version: None, namespace, name, uid: None, fingerprint: None });
}

/// Whether a plan writes to a Migration's status.
fn writes_migration(plan: &Plan) -> bool {
    plan.actions().any(|action| matches!(action, Action::MigrationStatus { .. }))
}

/// From which providers a plan has the consumer's related resources copied.
fn copied_from(world: &World, plan: &Plan) -> Vec<String> {
    let of = |action: &Action| match action {
        Action::CopyRelated(copy) if copy.target.cluster == world.key.consumer => Some(copy.source.cluster.to_string()),
        _ => None,
    };
    plan.actions().filter_map(of).collect()
}

fn running() -> World {
    run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING])
}

fn handed_over() -> World {
    run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER])
}

/// The object goes to `berta` since `anna` refuses it, where a copy has been made already.
fn turned_to_berta() -> World {
    let turned = r#"
- offers: {nestor/certs: ["fqdn: no"], anna/certs: ["fqdn: no"], berta/certs: accepts}
- pass
- wait: 11
- pass
"#;
    let world = run(&[SERVED, CHANGED, "- pass\n- pass\n", turned]);
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#berta"));
    assert!(has_live_copy(&world, "anna"), "it is cleared in a later pass");
    assert!(spec(&world).previous[0].uid.is_some(), "it is known");
    world
}
