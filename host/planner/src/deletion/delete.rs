//! An object goes: first its copy, then its record and its finalizer.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use resource_broker_api::{conditions::reason, keys, names::ClusterName, object::Object};

use crate::{
    migration::migrate,
    model::{
        ownership,
        placements::places,
        snapshot::{Record, Snapshot},
    },
    plan::{
        Action, Guard, Plan, State,
        findings::{Finding, Findings},
    },
    sync::{
        end::{End, confirm, copy_end, end_at},
        marks, related, status,
    },
};

/// How long a deletion may take before the object's conditions say what holds it.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// Why an object is taken down.
#[derive(Clone, Copy, Debug)]
pub enum Why<'a> {
    /// Its owner deleted it; the finalizer holds it.
    Deleting(&'a Object),
    /// It is not there any more, although its record is.
    Vanished,
    /// Another object stands under its name.
    Replaced,
}

/// Takes down every copy that a record names, then what hangs on it.
pub fn take_down(snapshot: &Snapshot, record: &Record, why: Why<'_>) -> Plan {
    if record.provider().is_none() {
        return Plan::wait(State::Blocked, format!("Assignment {} names no provider cluster", record.name));
    }
    let guard = match why {
        Why::Deleting(_) => None,
        // A cache alone is no proof that somebody's object is gone.
        Why::Vanished | Why::Replaced => {
            Some(Guard::NotThatOne(snapshot.key.target(), record.spec.consumer.uid.clone()))
        }
    };
    let (mut acts, mut waits) = (migrate::abandon(snapshot, "its object is deleted", guard.as_ref()), Vec::new());
    for (target, uid) in places(record) {
        match end_at(snapshot, record, &target, uid, guard.as_ref()) {
            End::Gone => {}
            End::Act(action) => acts.push(*action),
            End::Wait(what) => waits.push(what),
        }
    }
    if acts.is_empty() && waits.is_empty() {
        return finish(snapshot, record, why, guard);
    }
    let waits_for = snapshot.memory.failure.as_ref().map(|failure| failure.message.clone());
    let waits_for = waits_for.or_else(|| (!waits.is_empty()).then(|| waits.join("; ")));
    let mut plan = match waits_for {
        Some(what) => hold(snapshot, record, why, what),
        None => Plan { state: State::Deleting, ..Plan::default() },
    };
    plan.then(acts);
    plan
}

/// The copy is gone: the object goes, then what hung on it, and the record last, since it is what finds the rest again.
fn finish(snapshot: &Snapshot, record: &Record, why: Why<'_>, guard: Option<Guard>) -> Plan {
    if !snapshot.held_is_read {
        return hold(snapshot, record, why, unread(snapshot));
    }
    let mut plan = match &snapshot.memory.failure {
        Some(failure) => hold(snapshot, record, why, failure.message.clone()),
        None => Plan { state: State::Deleting, ..Plan::default() },
    };
    let mut guards: Vec<Guard> = confirm_gone(snapshot, record).into_iter().chain(guard).collect();
    if let Why::Deleting(consumer) = why
        && !marks::our_finalizers(snapshot, consumer, Some(record)).is_empty()
    {
        plan.then(marks::release(snapshot, consumer, Some(record), std::mem::take(&mut guards)));
    }
    // Where the object merely seems to be gone, nothing is taken away before these have said so.
    plan.then(held_copies(snapshot, &record.spec.consumer.uid, &guards));
    plan.then([Action::DeleteRecord { name: record.name.clone(), uid: record.uid.clone(), guards }]);
    plan
}

/// Why nothing can be finished before the consumer's related resources have been listed.
fn unread(snapshot: &Snapshot) -> String {
    format!("the copies of related resources at {} have not been read yet", snapshot.key.consumer)
}

/// The consumer's copies of related resources of the object with this UID.
fn held_copies(snapshot: &Snapshot, consumer_uid: &str, guards: &[Guard]) -> Vec<Action> {
    let namespace = snapshot.key.namespace.as_deref();
    let held = snapshot
        .held
        .iter()
        .filter(|(_, object)| !object.is_deleting() && related::is_copy(object, namespace, consumer_uid));
    held.map(|(gvk, object)| related::delete_held(&snapshot.key, gvk, object, guards.to_vec())).collect()
}

/// An uncached look at each copy, unless its end was seen in an API server's own answer.
fn confirm_gone(snapshot: &Snapshot, record: &Record) -> Vec<Guard> {
    places(record).into_iter().filter_map(|(target, uid)| confirm(snapshot, record, target, uid)).collect()
}

/// It cannot go on now; whoever deleted the object is told why.
fn hold(snapshot: &Snapshot, record: &Record, why: Why<'_>, what: String) -> Plan {
    let mut plan = Plan::wait(State::Deleting, what.clone());
    let Why::Deleting(consumer) = why else { return plan };
    // A deletion that is simply under way is not worth a write.
    let since = consumer.meta.deletion_timestamp.as_ref().map_or(PATIENCE, |at| snapshot.now.0.duration_since(at.0));
    if since < PATIENCE {
        let rest = Duration::try_from(PATIENCE - since)
            .unwrap_or_default()
            .min(Duration::from_secs(PATIENCE.as_secs().unsigned_abs()));
        plan.again_in(rest);
        return plan;
    }
    let deleting = Finding::no(reason::DELETING, what);
    let accepted =
        Finding::yes(reason::ACCEPTED, format!("{} holds the copy until it is deleted", record.spec.provider.cluster));
    let findings = Findings { accepted, synced: deleting.clone(), ready: deleting };
    let shown = consumer.field("status").map(status::without_ours);
    plan.then(
        status::put(snapshot, consumer, shown, &findings)
            .into_iter()
            .chain(status::record(snapshot, record, consumer, None, &findings)),
    );
    plan
}

/// An object is being deleted, carries our finalizer and has no record: either its record went a moment ago, or another
/// broker (the one written in Go) placed it. A copy that both sides name is deleted first.
pub fn release_unrecorded(snapshot: &Snapshot, consumer: &Object) -> Plan {
    if let Some(other) = ownership::other_broker(snapshot, consumer, None) {
        return Plan { served_by: Some(other.to_owned()), ..Plan::default() };
    }
    if marks::our_finalizers(snapshot, consumer, None).is_empty() {
        return Plan::default();
    }
    if !snapshot.held_is_read {
        return Plan::wait(State::Deleting, unread(snapshot));
    }
    let mut plan = Plan { state: State::Deleting, ..Plan::default() };
    let claimed = consumer.annotation(keys::PROVIDER_CLUSTER).and_then(ClusterName::parse);
    let mut guards = Vec::new();
    let claimed = claimed.filter(|provider| snapshot.providers.contains_key(provider));
    for target in claimed.into_iter().flat_map(|provider| snapshot.key.copies_at(&provider)) {
        let Some(view) = snapshot.view_of(&target) else { continue };
        // Each of the two names the other.
        let claimed = view.present().filter(|copy| ownership::is_claimed(copy, &snapshot.key));
        let uid = claimed.filter(|copy| ownership::is_of(copy, snapshot.broker.as_deref())).map(|copy| copy.uid());
        match copy_end(snapshot, &target, view, uid, None) {
            End::Wait(what) => return Plan::wait(State::Deleting, what),
            End::Act(action) => {
                plan.then([*action]);
                return plan;
            }
            // A copy is where copies are by default, unless it is seen in another place: those are the broker's own idea, and
            // the sweep finds what it has left there.
            End::Gone if view.present().is_none() && target == snapshot.key.copy_at(&target.cluster) => {
                guards.push(Guard::Gone(target));
            }
            End::Gone => {}
        }
    }
    guards.push(Guard::NoRecord(snapshot.key.record_name()));
    plan.then(marks::release(snapshot, consumer, None, guards));
    plan.then(held_copies(snapshot, consumer.uid(), &[]));
    plan
}
