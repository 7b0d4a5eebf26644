//! An object goes: first its copy, then its record and its finalizer.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::SignedDuration;
use resource_broker_api::{conditions::reason, keys, names::ClusterName, object::Object};

use crate::{
    copy,
    findings::{Finding, Findings},
    identity, migrate, ownership,
    plan::{Action, Guard, Plan, State},
    related,
    snapshot::{Record, Seat, Snapshot, Target, View},
    status,
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

/// Where a copy's end stands.
pub(crate) enum End {
    /// Nothing of ours is there.
    Gone,
    /// This is to be done now.
    Act(Box<Action>),
    /// This is awaited.
    Wait(String),
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

/// The copies that a record names, each with the UID that it knows of it.
pub(crate) fn places(record: &Record) -> Vec<(Target, Option<&str>)> {
    let served = (Seat::from(&record.spec.provider), record.copy_uid());
    let next = record.spec.next.as_ref().map(|next| (Seat::from(next), record.next_uid()));
    let previous = record.spec.previous.iter().map(|place| (Seat::from(place), place.uid.as_deref()));
    let all = std::iter::once(served).chain(next).chain(previous);
    all.filter_map(|(seat, uid)| Some((record.target(&seat)?, uid))).collect()
}

/// How far the end of a copy that the record names is.
pub(crate) fn end_at(
    snapshot: &Snapshot,
    record: &Record,
    target: &Target,
    uid: Option<&str>,
    guard: Option<&Guard>,
) -> End {
    let provider = &target.cluster;
    let cluster = provider.to_string();
    if let Some(why) = identity::changed_at(snapshot, record, &cluster) {
        return End::Wait(why);
    }
    if let Some(view) = snapshot.view_of(target) {
        return copy_end(snapshot, target, view, uid, guard);
    }
    let is_left = record.spec.previous.iter().any(|place| place.cluster == cluster);
    // What the object has left may be forgotten by hand; the provider that serves may not.
    let or_else = is_left.then(|| {
        let record = &record.name;
        format!(", or take that place out of Assignment {record} to have it swept when it is attached again")
    });
    End::Wait(format!(
        "{provider}, which holds the copy {}, is not attached to this broker; attach it again so that the copy can be deleted{}",
        target.name,
        or_else.unwrap_or_default()
    ))
}

fn copy_end(
    snapshot: &Snapshot,
    target: &Target,
    view: &View<Arc<Object>>,
    uid: Option<&str>,
    guard: Option<&Guard>,
) -> End {
    let provider = &target.cluster;
    let key = &snapshot.key.in_version(&target.gvk.version);
    let copy = match view {
        View::Unknown { why, .. } => return End::Wait(format!("the copy at {provider} cannot be read: {why}")),
        View::Absent => return End::Gone,
        View::Present(copy) if !snapshot.is_ours(copy, key, provider, uid) => return End::Gone,
        View::Present(copy) => copy,
    };
    let target = target.clone();
    if snapshot.is_serving(copy.uid()) {
        return End::Wait(format!("the copy {} at {provider} is in use by a record", copy.name()));
    }
    if !copy.is_deleting() {
        return End::Act(Box::new(Action::Delete {
            target,
            uid: copy.uid().into(),
            guards: guard.cloned().into_iter().collect(),
        }));
    }
    let others: Vec<&str> =
        copy.finalizers().iter().map(String::as_str).filter(|f| *f != keys::GENERIC_FINALIZER).collect();
    if !others.is_empty() {
        return End::Wait(format!(
            "{provider} is taking the copy {} down; its finalizers still hold it: {}",
            copy.name(),
            others.join(", ")
        ));
    }
    if !copy.has_finalizer(keys::GENERIC_FINALIZER) {
        return End::Wait(format!("{provider} is removing the copy {}", copy.name()));
    }
    End::Act(Box::new(release(target, copy, Vec::new())))
}

/// Takes our finalizer off; whatever others put there stays.
pub fn release(target: Target, object: &Object, guards: Vec<Guard>) -> Action {
    release_finalizer(target, object, keys::GENERIC_FINALIZER, guards)
}

/// Takes one finalizer off; whatever others put there stays.
pub fn release_finalizer(target: Target, object: &Object, finalizer: &str, guards: Vec<Guard>) -> Action {
    Action::ReleaseFinalizer {
        target,
        uid: object.uid().into(),
        resource_version: object.resource_version().into(),
        keep: object.finalizers().iter().filter(|f| *f != finalizer).cloned().collect(),
        guards,
    }
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
        && !ownership::our_finalizers(snapshot, consumer, Some(record)).is_empty()
    {
        plan.then(ownership::release(snapshot, consumer, Some(record), std::mem::take(&mut guards)));
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

/// The look at one copy's place that shows that it is gone. Where something else stands there is nothing to look for.
pub(crate) fn confirm(snapshot: &Snapshot, record: &Record, target: Target, uid: Option<&str>) -> Option<Guard> {
    let gone = &snapshot.memory.gone;
    let is_only = record.spec.next.is_none() && record.spec.previous.is_empty();
    let seen = uid.map_or(is_only && !gone.is_empty(), |uid| gone.contains(uid));
    let foreign = snapshot.view_of(&target).is_some_and(|view| view.present().is_some());
    (!seen && !foreign).then_some(Guard::Gone(target))
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
    if ownership::our_finalizers(snapshot, consumer, None).is_empty() {
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
        let claimed = view.present().filter(|copy| copy::is_claimed(copy, &snapshot.key));
        let uid = claimed.filter(|copy| copy::is_of(copy, snapshot.broker.as_deref())).map(|copy| copy.uid());
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
    plan.then(ownership::release(snapshot, consumer, None, guards));
    plan.then(held_copies(snapshot, consumer.uid(), &[]));
    plan
}
