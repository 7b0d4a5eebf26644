//! Step 8: an object goes; first its copy, then its record and its finalizer. Needs no client.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use resource_broker_api::{conditions::reason, keys, names::ClusterName, object::Object};

use crate::{
    copy,
    findings::{Finding, Findings},
    plan::{Action, Guard, Plan, State},
    related,
    snapshot::{Key, ProviderView, Record, Snapshot, View},
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

/// Where the copy's end stands.
enum End {
    /// Nothing of ours is there.
    Gone,
    /// This is to be done now.
    Act(Box<Action>),
    /// This is awaited.
    Wait(String),
}

/// Takes down the copy that a record names, then what hangs on it.
pub fn take_down(snapshot: &Snapshot, record: &Record, why: Why<'_>) -> Plan {
    let Some(provider) = record.provider() else {
        return Plan::wait(State::Blocked, format!("Assignment {} names no provider cluster", record.name));
    };
    let guard = match why {
        Why::Deleting(_) => None,
        // A cache alone is no proof that somebody's object is gone.
        Why::Vanished | Why::Replaced => {
            Some(Guard::NotThatOne(snapshot.key.target(), record.spec.consumer.uid.clone()))
        }
    };
    let Some(view) = snapshot.providers.get(&provider) else {
        return hold(
            snapshot,
            record,
            why,
            format!(
                "{provider}, which holds the copy {}, is not attached to this broker; attach it again so that the copy can be deleted",
                record.spec.provider.name
            ),
        );
    };
    match copy_end(&snapshot.key, &provider, view, Some(record), guard.as_ref()) {
        End::Wait(what) => hold(snapshot, record, why, what),
        End::Act(action) => {
            let mut plan = Plan { state: State::Deleting, ..Plan::default() };
            if let Some(failure) = &snapshot.memory.failure {
                plan = hold(snapshot, record, why, failure.message.clone());
            }
            plan.then([*action]);
            plan
        }
        End::Gone => finish(snapshot, record, why, guard),
    }
}

fn copy_end(
    key: &Key,
    provider: &ClusterName,
    view: &ProviderView,
    record: Option<&Record>,
    guard: Option<&Guard>,
) -> End {
    let copy = match &view.copy {
        View::Unknown { why, .. } => return End::Wait(format!("the copy at {provider} cannot be read: {why}")),
        View::Absent => return End::Gone,
        View::Present(copy) if !copy::is_ours(copy, key, record) => return End::Gone,
        View::Present(copy) => copy,
    };
    let target = key.copy_at(provider);
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
pub fn release(target: crate::snapshot::Target, object: &Object, guards: Vec<Guard>) -> Action {
    release_finalizer(target, object, keys::GENERIC_FINALIZER, guards)
}

/// Takes one finalizer off; whatever others put there stays.
pub fn release_finalizer(
    target: crate::snapshot::Target,
    object: &Object,
    finalizer: &str,
    guards: Vec<Guard>,
) -> Action {
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
        && consumer.has_finalizer(keys::GENERIC_FINALIZER)
    {
        plan.then([release(snapshot.key.target(), consumer, std::mem::take(&mut guards))]);
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

/// An uncached look at the copy, unless its end was seen in an API server's own answer.
fn confirm_gone(snapshot: &Snapshot, record: &Record) -> Vec<Guard> {
    let recorded = record.status.copy.as_ref();
    let seen = snapshot.memory.gone.as_ref().is_some_and(|gone| recorded.is_none_or(|copy| copy.uid == *gone));
    let provider = record.provider().filter(|_| !seen);
    let foreign = snapshot.copy().is_some();
    provider.filter(|_| !foreign).map(|provider| Guard::Gone(snapshot.key.copy_at(&provider))).into_iter().collect()
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
    if !consumer.has_finalizer(keys::GENERIC_FINALIZER) {
        return Plan::default();
    }
    if !snapshot.held_is_read {
        return Plan::wait(State::Deleting, unread(snapshot));
    }
    let mut plan = Plan { state: State::Deleting, ..Plan::default() };
    let claimed = consumer.annotation(keys::PROVIDER_CLUSTER).and_then(ClusterName::parse);
    let mut guards = Vec::new();
    if let Some((provider, view)) = claimed.and_then(|provider| snapshot.providers.get_key_value(&provider)) {
        match copy_end(&snapshot.key, provider, view, None, None) {
            End::Wait(what) => return Plan::wait(State::Deleting, what),
            End::Act(action) => {
                plan.then([*action]);
                return plan;
            }
            End::Gone if view.copy.present().is_none() => guards.push(Guard::Gone(snapshot.key.copy_at(provider))),
            End::Gone => {}
        }
    }
    guards.push(Guard::NoRecord(snapshot.key.record_name()));
    plan.then([release(snapshot.key.target(), consumer, guards)]);
    plan.then(held_copies(snapshot, consumer.uid(), &[]));
    plan
}
