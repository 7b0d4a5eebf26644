//! The lints over plans find what they are there to find: each plan here breaks one rule.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use resource_broker_api::{
    broker::{AssignmentSpec, PreviousRef, ProviderRef},
    keys,
    names::Gvk,
};
use resource_broker_planner::{
    model::snapshot::{Snapshot, Target, View},
    plan::{Action, CopyRelated, DeclaredBy, Existing, Guard, Marks, Plan, check::problems},
};
use serde_json::json;

use crate::world::accepts;
use crate::world::{World, provider};

/// An object that `nestor` has, and the record and the copy of it.
fn placed() -> Snapshot {
    let mut world = World::new();
    for name in ["nestor", "anna"] {
        world.providers.entry(provider(name)).or_default();
    }
    world.offers.insert((provider("nestor"), "offers".into(), "certs".into()), accepts());
    world.settle();
    world.snapshot()
}

/// The same object before anybody had it.
fn unplaced() -> Snapshot {
    Snapshot { record: View::Absent, ..placed() }
}

fn apply(snapshot: &Snapshot, at: &str) -> Action {
    let target = snapshot.key.copy_at(&provider(at));
    Action::ApplyCopy { target, uid: None, body: json!({}), asked: String::new() }
}

fn create(snapshot: &Snapshot) -> Action {
    let record = placed().record.present().map(|record| record.spec.clone());
    Action::CreateRecord { name: snapshot.key.record_name(), spec: Box::new(record.expect("it is placed")) }
}

fn delete(target: Target, uid: &str, guards: Vec<Guard>) -> Action {
    Action::Delete { target, uid: uid.into(), guards }
}

fn of(steps: Vec<Vec<Action>>) -> Plan {
    Plan { steps, ..Plan::default() }
}

#[track_caller]
fn finds(snapshot: &Snapshot, steps: Vec<Vec<Action>>, what: &str) {
    let found = problems(snapshot, &of(steps));
    assert!(found.len() == 1 && found[0].contains(what), "{what:?} is not what is found: {found:?}");
}

#[test]
fn the_record_comes_before_the_copy_and_names_its_place() {
    let (placed, unplaced) = (placed(), unplaced());
    assert!(problems(&unplaced, &of(vec![vec![create(&unplaced)], vec![apply(&unplaced, "nestor")]])).is_empty());
    assert!(problems(&placed, &of(vec![vec![apply(&placed, "nestor")]])).is_empty());
    finds(&placed, vec![vec![create(&placed)]], "a second record");
    finds(&unplaced, vec![vec![apply(&unplaced, "nestor")]], "before its record");
    // Actions of one step may run in any order.
    finds(&unplaced, vec![vec![create(&unplaced), apply(&unplaced, "nestor")]], "before its record");
    finds(&placed, vec![vec![apply(&placed, "anna")]], "does not name");
    let home = Action::ApplyCopy { target: placed.key.target(), uid: None, body: json!({}), asked: String::new() };
    finds(&placed, vec![vec![home]], "outside the providers");
}

#[test]
fn what_is_written_for_the_consumer_is_written_where_its_object_is() {
    let placed = placed();
    let copy = placed.key.copy_at(&provider("nestor"));
    let put = Action::PutStatus {
        target: copy.clone(),
        uid: "uid".into(),
        status: json!({}),
        beside: None,
        asked: String::new(),
    };
    finds(&placed, vec![vec![put]], "another cluster");
    let (target, finalizer) = (copy.clone(), keys::GENERIC_FINALIZER);
    let mark = Action::Decorate {
        target,
        uid: "uid".into(),
        resource_version: None,
        finalizer: finalizer.into(),
        annotations: BTreeMap::new(),
        hand_over: false,
    };
    finds(&placed, vec![vec![mark]], "another cluster");
    let secret = |namespace: &str| {
        let target =
            Target::new(placed.key.consumer.clone(), Gvk::new("", "v1", "Secret"), Some(namespace.into()), "x".into());
        Action::CopyRelated(Box::new(CopyRelated {
            source: copy.clone(),
            target,
            existing: Existing::NoneOfOurs,
            untouched: false,
            keep: false,
            by: DeclaredBy { copy: copy.clone(), uid: "uid-4".into(), is_new: false },
            marks: Marks::Consumer { owner: OwnerReference::default(), record: "r".into() },
        }))
    };
    assert!(problems(&placed, &of(vec![vec![secret(crate::world::NAMESPACE)]])).is_empty());
    finds(&placed, vec![vec![secret("elsewhere")]], "outside the object's namespace");
}

#[test]
fn a_copy_goes_with_its_object_only() {
    let placed = placed();
    let copy = placed.key.copy_at(&provider("nestor"));
    finds(&placed, vec![vec![delete(copy.clone(), "uid-4", Vec::new())]], "while its object may live");
    let gone = Snapshot { consumer: View::Absent, serving: std::collections::BTreeSet::new(), ..placed.clone() };
    finds(&gone, vec![vec![delete(copy.clone(), "uid-4", Vec::new())]], "while its object may live");
    let confirmed = vec![Guard::NotThatOne(placed.key.target(), "uid-1".into())];
    assert!(problems(&gone, &of(vec![vec![delete(copy, "uid-4", confirmed)]])).is_empty());
}

/// The object of `placed`, as its record's spec is changed.
fn recorded(change: impl FnOnce(&mut AssignmentSpec)) -> Snapshot {
    let placed = placed();
    let mut record = placed.record.present().expect("it is placed").as_ref().clone();
    change(&mut record.spec);
    Snapshot { record: View::Present(record.into()), ..placed }
}

/// A place at `anna` that the object has left.
fn left(spec: &mut AssignmentSpec) {
    let ProviderRef { version, namespace, name, .. } = spec.provider.clone();
    spec.previous.push(PreviousRef {
        cluster: provider("anna").to_string(),
        version,
        namespace,
        name,
        uid: None,
        fingerprint: None,
    });
}

fn update(snapshot: &Snapshot, guards: Vec<Guard>, change: impl FnOnce(&mut AssignmentSpec)) -> Action {
    let record = snapshot.record.present().expect("it is placed");
    let mut spec = record.spec.clone();
    change(&mut spec);
    let (name, uid) = (record.name.clone(), record.uid.clone());
    let spec = Box::new(spec);
    Action::UpdateRecord { name, uid, generation: record.generation, spec, obeyed: None, budget: None, guards }
}

#[test]
fn a_place_that_was_left_is_cleared_and_one_that_serves_is_not() {
    let snapshot = recorded(left);
    let at = |name: &str| snapshot.key.copy_at(&provider(name));
    assert!(problems(&snapshot, &of(vec![vec![delete(at("anna"), "uid-9", Vec::new())]])).is_empty());
    finds(&snapshot, vec![vec![delete(at("nestor"), "uid-4", Vec::new())]], "while its object may live");
    // A place that the object has come back to.
    let back = recorded(|spec| {
        left(spec);
        spec.next = Some(ProviderRef { cluster: provider("anna").to_string(), ..spec.provider.clone() });
    });
    finds(&back, vec![vec![delete(at("anna"), "uid-9", Vec::new())]], "while its object may live");
    assert!(problems(&back, &of(vec![vec![apply(&back, "anna")]])).is_empty());
}

#[test]
fn a_record_forgets_a_place_only_where_nothing_is_there() {
    let snapshot = recorded(left);
    let forget = |guards| update(&snapshot, guards, |spec| spec.previous.clear());
    finds(&snapshot, vec![vec![forget(Vec::new())]], "forgets");
    let gone = vec![Guard::Gone(snapshot.key.copy_at(&provider("anna")))];
    assert!(problems(&snapshot, &of(vec![vec![forget(gone)]])).is_empty());
    // What serves is there, and ours.
    let leave = update(&snapshot, Vec::new(), |spec| spec.provider.cluster = provider("berta").to_string());
    finds(&snapshot, vec![vec![leave]], "forgets");
}

#[test]
fn stages_stay_in_the_brokers_namespace_of_compute() {
    let placed = placed();
    let compute = &placed.migration.compute;
    let job = |namespace: &str| {
        let gvk = Gvk::new("batch", "v1", "Job");
        Target::new(compute.cluster.clone(), gvk, Some(namespace.into()), "m-job".into())
    };
    let deploy = |target| Action::Deploy { target, body: json!({}) };
    assert!(problems(&placed, &of(vec![vec![deploy(job(&compute.namespace))]])).is_empty());
    finds(&placed, vec![vec![deploy(job("kube-system"))]], "outside the broker's namespace");
    let consumer = Target::new(placed.key.consumer.clone(), Gvk::new("batch", "v1", "Job"), None, "m-job".into());
    finds(&placed, vec![vec![deploy(consumer)]], "outside the broker's namespace");
    let mirror = Action::CopyRelated(Box::new(CopyRelated {
        source: placed.key.copy_at(&provider("nestor")),
        target: job("kube-system"),
        existing: Existing::NoneOfOurs,
        untouched: false,
        keep: true,
        by: DeclaredBy { copy: placed.key.copy_at(&provider("nestor")), uid: "uid-4".into(), is_new: false },
        marks: Marks::Mirror { id: "m".into(), broker: None },
    }));
    finds(&placed, vec![vec![mirror]], "outside the broker's namespace");
}

#[test]
fn what_is_taken_away_is_named_by_its_uid() {
    let placed = placed();
    let (name, uid) = (placed.key.record_name(), String::new());
    finds(&placed, vec![vec![delete(placed.key.target(), "", Vec::new())]], "does not say which object");
    finds(&placed, vec![vec![Action::DeleteRecord { name, uid, guards: Vec::new() }]], "does not say which object");
    let release = Action::ReleaseFinalizer {
        target: placed.key.target(),
        uid: String::new(),
        resource_version: "1".into(),
        keep: Vec::new(),
        guards: Vec::new(),
    };
    finds(&placed, vec![vec![release]], "does not say which object");
}

#[test]
fn nothing_is_written_before_object_and_record_are_read() {
    let unread = || "connection refused".to_owned();
    let no_object = Snapshot { consumer: View::Unknown { why: unread(), failing: true }, ..placed() };
    let no_record = Snapshot { record: View::Unknown { why: unread(), failing: true }, ..placed() };
    for snapshot in [no_object, no_record] {
        let held = Target::new(snapshot.key.consumer.clone(), Gvk::new("", "v1", "Secret"), None, "x".into());
        finds(&snapshot, vec![vec![delete(held, "uid", Vec::new())]], "has not been read");
        assert!(problems(&snapshot, &Plan::default()).is_empty());
    }
}

#[test]
fn an_object_is_claimed_before_its_copy_is_made() {
    let placed = placed();
    let mut bare = placed.consumer.present().expect("it is there").as_ref().clone();
    bare.meta.annotations = None;
    let unclaimed = Snapshot { consumer: View::Present(bare.into()), ..placed.clone() };
    finds(&unclaimed, vec![vec![apply(&unclaimed, "nestor")]], "not claimed");
    let mark = Action::Decorate {
        target: placed.key.target(),
        uid: "uid-1".into(),
        resource_version: Some("1".into()),
        finalizer: keys::GENERIC_FINALIZER.into(),
        annotations: BTreeMap::new(),
        hand_over: false,
    };
    assert!(problems(&unclaimed, &of(vec![vec![mark.clone()], vec![apply(&unclaimed, "nestor")]])).is_empty());
    // Actions of one step may run in any order.
    finds(&unclaimed, vec![vec![mark, apply(&unclaimed, "nestor")]], "not claimed");
}

#[test]
fn no_copy_goes_that_a_record_names_for_use() {
    let mut snapshot = recorded(left);
    let anna = snapshot.key.copy_at(&provider("anna"));
    assert!(problems(&snapshot, &of(vec![vec![delete(anna.clone(), "uid-9", Vec::new())]])).is_empty());
    snapshot.serving.insert("uid-9".into());
    finds(&snapshot, vec![vec![delete(anna, "uid-9", Vec::new())]], "names for use");
}
