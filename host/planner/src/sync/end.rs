//! The end of one copy that a record names.

use std::sync::Arc;

use resource_broker_api::{keys, object::Object};

use crate::{
    model::{
        identity,
        snapshot::{Record, Snapshot, Target, View},
    },
    plan::{Action, Guard, writes::release},
};

/// Where a copy's end stands.
pub(crate) enum End {
    /// Nothing of ours is there.
    Gone,
    /// This is to be done now.
    Act(Box<Action>),
    /// This is awaited.
    Wait(String),
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

pub(crate) fn copy_end(
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

/// The look at one copy's place that shows that it is gone. Where something else stands there is nothing to look for.
pub(crate) fn confirm(snapshot: &Snapshot, record: &Record, target: Target, uid: Option<&str>) -> Option<Guard> {
    let gone = &snapshot.memory.gone;
    let is_only = record.spec.next.is_none() && record.spec.previous.is_empty();
    let seen = uid.map_or(is_only && !gone.is_empty(), |uid| gone.contains(uid));
    let foreign = snapshot.view_of(&target).is_some_and(|view| view.present().is_some());
    (!seen && !foreign).then_some(Guard::Gone(target))
}
