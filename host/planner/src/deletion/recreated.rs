//! An object that came back under the name of another one, or that another broker serves too.

use std::sync::Arc;

use resource_broker_api::{conditions::reason, keys, object::Object};

use crate::{
    deletion::delete::{self, Why},
    model::{
        placements::places,
        snapshot::{Record, Snapshot, View},
    },
    plan::{
        Action, Plan, State,
        findings::{Finding, Findings},
        writes,
    },
    sync::{
        end,
        marks::release,
        service::{tell, without_conditions},
        status,
    },
};

/// What an administrator writes about an object that came back: the new one gets the copy.
pub(crate) const TAKE_OVER: &str = "take-over";

/// The copy goes, and the new object gets another one.
pub(crate) const START_ANEW: &str = "start-anew";

/// Another object stands under the name of the recorded one: it was restored, or made anew. With the token it is the same order.
/// Without, it may be anybody's: what the earlier one had is neither taken away nor given to it, until somebody decides.
pub fn recreated(snapshot: &Snapshot, consumer: &Arc<Object>, record: &Record) -> Plan {
    let token = record.spec.consumer.token.as_deref();
    let is_same = token.is_some() && consumer.annotation(keys::TOKEN) == token;
    let decided = record.recreated.as_deref();
    if is_same || decided == Some(TAKE_OVER) {
        let mut plan = Plan { state: State::Placed, ..Plan::default() };
        let mut spec = record.spec.clone();
        spec.consumer.uid = consumer.uid().into();
        let mut action = writes::update(record, spec, Vec::new());
        if let Action::UpdateRecord { obeyed, .. } = &mut action {
            *obeyed = decided.map(|_| keys::RECREATED);
        }
        plan.then([action]);
        return plan;
    }
    // What comes of it is looked at under the version in which the object is brokered.
    if record.spec.consumer.version != snapshot.key.gvk.version && snapshot.record_is_watched {
        return Plan::wait(State::None, format!("it is brokered as {}", record.spec.consumer.version));
    }
    if decided == Some(START_ANEW) || !may_have_copy(snapshot, record) {
        return delete::take_down(snapshot, record, Why::Replaced);
    }
    // Whoever deletes the new object waits for nothing.
    if consumer.is_deleting() {
        let mut plan = Plan { state: State::Deleting, ..Plan::default() };
        plan.then(release(snapshot, consumer, Some(record), Vec::new()));
        return plan;
    }
    let findings = came_back(snapshot, record);
    let mut plan = Plan::wait(State::Blocked, "it came back with another UID, and its copy is not given to it");
    tell(&mut plan, snapshot, consumer, record, None, without_conditions(consumer), &findings);
    plan
}

/// What is said of an object that came back without its token, with the two ways out.
pub(crate) fn came_back(snapshot: &Snapshot, record: &Record) -> Findings {
    let command = |decision: &str| {
        format!("kubectl annotate assignment {} -n {} {}={decision}", record.name, snapshot.namespace, keys::RECREATED)
    };
    let provider = &record.spec.provider.cluster;
    let message = format!(
        "this object was made anew under the name of another one, whose copy {} is at {provider}; that copy is neither deleted nor \
         given to it. Whoever runs the broker decides in the coordination cluster: `{}` gives it the copy; `{}` deletes the copy \
         and begins with a new one",
        record.spec.provider.name,
        command(TAKE_OVER),
        command(START_ANEW),
    );
    let accepted = Finding::yes(reason::ACCEPTED, format!("{provider} holds the copy of the earlier object"));
    let ready = Finding::no(reason::RECREATED, "what the earlier object had is not given to this one");
    Findings { accepted, synced: Finding::no(reason::RECREATED, message), ready }
}

/// The recorded object is not there, after one came back under its name that nobody has decided about: nothing is taken down
/// before somebody does.
pub fn is_undecided(record: &Record) -> bool {
    record.recreated.as_deref() != Some(START_ANEW)
        && record.status.conditions.iter().any(|condition| condition.reason == reason::RECREATED)
}

/// An object that another broker serves, although this one has a record of it: both began at the same time, or somebody copied
/// records. What was not begun is forgotten; nothing else is done.
pub fn yield_to(snapshot: &Snapshot, consumer: &Object, record: &Record, other: &str) -> Plan {
    if record.copy_uid().is_none() && !may_have_copy(snapshot, record) {
        let mut plan = Plan { state: State::None, served_by: Some(other.to_owned()), ..Plan::default() };
        // Where the other broker's copy stands already there is nothing to look for.
        let places = places(record).into_iter();
        let guards = places.filter_map(|(target, uid)| end::confirm(snapshot, record, target, uid)).collect();
        plan.then([Action::DeleteRecord { name: record.name.clone(), uid: record.uid.clone(), guards }]);
        return plan;
    }
    let mut plan = Plan::wait(State::Blocked, format!("broker {other} serves it too"));
    plan.served_by = Some(other.to_owned());
    let provider = &record.spec.provider.cluster;
    let message = format!(
        "broker {other} serves this object, as its annotation {} says, and this broker has the copy {} at {provider}: nothing is \
         written until one of them gives it up. Delete this Assignment if the other is to serve it, and that copy where nobody \
         needs it; else have the other broker leave the object, and take the annotation off",
        keys::SERVED_BY,
        record.spec.provider.name,
    );
    let accepted = Finding::yes(reason::ACCEPTED, format!("{provider} has a copy of this object"));
    let other = Finding::no(reason::SERVED_BY_OTHER, message);
    let findings = Findings { accepted, synced: other.clone(), ready: other };
    plan.then(status::record(snapshot, record, consumer, None, &findings));
    plan
}

/// Whether something of this object may be at a place that its record names. A copy that is on its way out is nobody's any more.
pub(crate) fn may_have_copy(snapshot: &Snapshot, record: &Record) -> bool {
    places(record).iter().any(|(target, uid)| {
        let key = snapshot.key.in_version(&target.gvk.version);
        match snapshot.view_of(target) {
            None | Some(View::Unknown { .. }) => true,
            Some(View::Absent) => false,
            Some(View::Present(copy)) => !copy.is_deleting() && snapshot.is_ours(copy, &key, &target.cluster, *uid),
        }
    })
}
