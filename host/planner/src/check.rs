//! Lints over a plan: what must hold of any plan whatever the snapshot. Run in tests and in debug builds, so that a
//! step that breaks an invariant is caught where it is written.

use resource_broker_api::names::Role;

use crate::{
    plan::{Action, Guard, Plan},
    snapshot::{Snapshot, View},
};

/// What is wrong with a plan; empty where nothing is.
pub fn problems(snapshot: &Snapshot, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let mut has_record = snapshot.record.present().is_some();
    for step in &plan.steps {
        let before = has_record;
        for action in step {
            has_record |= matches!(action, Action::CreateRecord { .. });
            if let Some(problem) = problem(snapshot, action, before) {
                problems.push(problem);
            }
        }
    }
    let unread = !snapshot.consumer.is_known() || !snapshot.record.is_known();
    if unread && !plan.steps.is_empty() {
        problems.push("it writes although the object or its record has not been read".into());
    }
    problems
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
    let named = snapshot.record.present().and_then(|record| record.provider());
    let problem = match action {
        Action::CreateRecord { .. } if snapshot.record.present().is_some() => "a second record for one object",
        Action::ApplyCopy { .. } if !has_record => "a copy before its record",
        Action::ApplyCopy { target, .. } if target.cluster.role != Role::Provider => "a copy outside the providers",
        Action::ApplyCopy { target, .. } if named.as_ref().is_some_and(|named| *named != target.cluster) => {
            "a copy at a provider that the record does not name"
        }
        Action::PutStatus { target, .. } | Action::Decorate { target, .. } if target.cluster != *consumer => {
            "a write to another cluster than the object's"
        }
        Action::CopyRelated(copy)
            if copy.target.cluster != *consumer || copy.target.namespace != snapshot.key.namespace =>
        {
            "a related resource outside the object's namespace"
        }
        Action::Delete { target, uid, guards } => return delete_problem(snapshot, target.cluster.role, uid, guards),
        Action::ReleaseFinalizer { uid, .. } | Action::DeleteRecord { uid, .. } | Action::RecordStatus { uid, .. }
            if uid.is_empty() =>
        {
            "a write that does not say which object is meant"
        }
        _ => return None,
    };
    Some(problem.into())
}

/// A provider's copy goes only with its object: deleted, or confirmed gone.
fn delete_problem(snapshot: &Snapshot, role: Role, uid: &str, guards: &[Guard]) -> Option<String> {
    if uid.is_empty() {
        return Some("a deletion that does not say which object is meant".into());
    }
    let goes = match &snapshot.consumer {
        View::Present(object) => object.is_deleting(),
        View::Absent | View::Unknown { .. } => false,
    };
    let confirmed = guards.iter().any(|guard| matches!(guard, Guard::NotThatOne(..)));
    (role == Role::Provider && !goes && !confirmed).then(|| "a copy deleted while its object may live".into())
}
