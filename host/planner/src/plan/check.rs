//! Lints over a plan: what must hold of any plan whatever the snapshot. Run in tests and in debug builds, so that a
//! step that breaks an invariant is caught where it is written.

use std::collections::BTreeSet;

use resource_broker_api::{
    broker::AssignmentSpec,
    keys,
    names::{ClusterName, Role},
    object::Object,
};

use crate::{
    model::{
        placements,
        snapshot::{Placement, Record, Snapshot, Target, View},
    },
    plan::{Action, Guard, Marks, Plan},
};

/// What is wrong with a plan; empty where nothing is.
pub fn problems(snapshot: &Snapshot, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let mut has_record = snapshot.record.present().is_some();
    let mut is_claimed = is_claimed(snapshot);
    for step in &plan.steps {
        let before = has_record;
        let claimed = is_claimed;
        for action in step {
            has_record |= matches!(action, Action::CreateRecord { .. });
            is_claimed |= matches!(action, Action::Decorate { .. });
            if let Some(problem) = problem(snapshot, action, before) {
                problems.push(problem);
            }
            if matches!(action, Action::ApplyCopy { uid: None, .. }) && !claimed {
                problems.push("a copy of an object that is not claimed yet".into());
            }
        }
    }
    let unread = !snapshot.consumer.is_known() || !snapshot.record.is_known();
    if unread && !plan.steps.is_empty() {
        problems.push("it writes although the object or its record has not been read".into());
    }
    problems
}

/// Whether the object says that this broker serves it. One that does not know who it is claims nothing.
fn is_claimed(snapshot: &Snapshot) -> bool {
    let Some(broker) = snapshot.broker.as_deref() else { return true };
    snapshot.consumer.present().is_none_or(|consumer| consumer.annotation(keys::SERVED_BY) == Some(broker))
}

/// In debug builds, stops at the first plan that breaks a rule.
pub fn check(snapshot: &Snapshot, plan: &Plan) {
    if cfg!(debug_assertions) {
        let problems = problems(snapshot, plan);
        debug_assert!(problems.is_empty(), "plan for {}: {}", snapshot.key, problems.join("; "));
    }
}

fn problem(snapshot: &Snapshot, action: &Action, has_record: bool) -> Option<String> {
    let consumer = &snapshot.key.consumer;
    let named: Option<Vec<ClusterName>> =
        snapshot.record.present().map(|record| record.provider().into_iter().chain(record.next()).collect());
    let problem = match action {
        Action::CreateRecord { .. } if snapshot.record.present().is_some() => "a second record for one object",
        Action::ApplyCopy { .. } if !has_record => "a copy before its record",
        Action::ApplyCopy { target, .. } if target.cluster.role != Role::Provider => "a copy outside the providers",
        Action::ApplyCopy { target, .. } if named.as_ref().is_some_and(|named| !named.contains(&target.cluster)) => {
            "a copy at a provider that the record does not name"
        }
        Action::PutStatus { target, .. } | Action::Decorate { target, .. } | Action::Unmark { target, .. }
            if target.cluster != *consumer =>
        {
            "a write to another cluster than the object's"
        }
        Action::CopyRelated(copy)
            if !matches!(copy.marks, Marks::Mirror { .. })
                && (copy.target.cluster != *consumer || copy.target.namespace != snapshot.key.namespace) =>
        {
            "a related resource outside the object's namespace"
        }
        Action::CopyRelated(copy)
            if matches!(copy.marks, Marks::Mirror { .. }) && !is_in_compute(snapshot, &copy.target) =>
        {
            "a mirror outside the broker's namespace in compute"
        }
        Action::Deploy { target, .. } if !is_in_compute(snapshot, target) => {
            "a stage's resource outside the broker's namespace in compute"
        }
        Action::UpdateRecord { spec, guards, .. } if !keeps_places(snapshot, spec, guards) => {
            "a place that the record forgets although its copy may be there"
        }
        Action::Delete { target, uid, guards } => return delete_problem(snapshot, target, uid, guards),
        Action::ReleaseFinalizer { uid, .. } | Action::DeleteRecord { uid, .. } | Action::RecordStatus { uid, .. }
            if uid.is_empty() =>
        {
            "a write that does not say which object is meant"
        }
        _ => return None,
    };
    Some(problem.into())
}

fn is_in_compute(snapshot: &Snapshot, target: &Target) -> bool {
    let compute = &snapshot.migration.compute;
    target.cluster == compute.cluster && target.namespace.as_ref() == Some(&compute.namespace)
}

/// Whether each place that the record names is named by the new one too, or known to be empty.
fn keeps_places(snapshot: &Snapshot, spec: &AssignmentSpec, guards: &[Guard]) -> bool {
    let Some(record) = snapshot.record.present() else { return true };
    let after = Record { spec: spec.clone(), ..record.as_ref().clone() };
    let named: BTreeSet<_> = after.places().into_iter().map(without_version).collect();
    let gone = &snapshot.memory.gone;
    // A place that was left may be the one that serves, under another name of its cluster.
    let serves_on = after.spec.provider.cluster == record.spec.provider.cluster;
    placements::places(record).iter().all(|(place, uid)| {
        named.contains(&without_version(place.clone()))
            || guards.contains(&Guard::Gone(place.clone()))
            || uid.map_or(!gone.is_empty(), |uid| gone.contains(uid))
            || uid.is_some_and(|uid| serves_on && after.serving().any(|serving| serving == uid))
            || snapshot.view_of(place).is_some_and(|view| {
                let key = snapshot.key.in_version(&place.gvk.version);
                let is_other = |there: &Object| {
                    (serves_on && after.serving().any(|serving| serving == there.uid()))
                        || !snapshot.is_ours(there, &key, &place.cluster, *uid)
                };
                view.present().is_some_and(|there| is_other(there))
            })
    })
}

/// A copy is one object in every version of its kind.
fn without_version(mut place: Target) -> Target {
    place.gvk.version.clear();
    place
}

/// A provider's copy goes only with its object (deleted, or confirmed gone), or where the object has left the provider.
fn delete_problem(snapshot: &Snapshot, target: &Target, uid: &str, guards: &[Guard]) -> Option<String> {
    if uid.is_empty() {
        return Some("a deletion that does not say which object is meant".into());
    }
    let goes = match &snapshot.consumer {
        View::Present(object) => object.is_deleting(),
        View::Absent | View::Unknown { .. } => false,
    };
    let left = snapshot.record.present().is_some_and(|record| {
        let is_it = |placement: Placement<'_>| {
            record.target(&placement).is_some_and(|place| without_version(place) == without_version(target.clone()))
        };
        let serves = std::iter::once(&record.spec.provider).chain(&record.spec.next);
        !serves.into_iter().any(|place| is_it(place.into()))
            && record.spec.previous.iter().any(|place| is_it(place.into()))
    });
    let confirmed = guards.iter().any(|guard| matches!(guard, Guard::NotThatOne(..)));
    if target.cluster.role == Role::Provider && !goes && !confirmed && !left {
        return Some("a copy deleted while its object may live".into());
    }
    let is_served = target.cluster.role == Role::Provider && snapshot.is_serving(uid);
    is_served.then(|| "a copy deleted that a record names for use".into())
}
