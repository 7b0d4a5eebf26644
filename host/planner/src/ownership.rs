//! Whose an object is: which broker serves it, what that marks it with, and what becomes of one that came back under its name.

use std::{collections::BTreeMap, sync::Arc};

use resource_broker_api::{
    broker::AssignmentSpec,
    conditions::reason,
    keys,
    names::{ClusterName, own_finalizer},
    object::Object,
};

use crate::{
    delete::{self, Why, places},
    findings::{Finding, Findings},
    leave,
    plan::{Action, Guard, Plan, State},
    service::{tell, without_conditions},
    snapshot::{Record, Snapshot, View},
    status,
};

/// What an administrator writes about an object that came back: the new one gets the copy.
const TAKE_OVER: &str = "take-over";
/// The copy goes, and the new object gets another one.
const START_ANEW: &str = "start-anew";
/// The longest token that is taken from an object whose record has none.
const LONGEST_TOKEN: usize = 64;

/// Whether the broker itself made an object: a copied related resource, or a copy, seen in a cluster that is consumer and provider.
/// Such an object is nobody's order. A copy is known by records and UIDs; one that a lost record leaves behind by the field manager
/// beside the mark and the name. Marks alone, which people copy together with an object, do not count.
pub fn is_made_by_broker(snapshot: &Snapshot, consumer: &Object) -> bool {
    let is_left = || {
        let is_marked = snapshot.broker.is_some() && consumer.annotation(keys::BROKER) == snapshot.broker.as_deref();
        is_marked && consumer.is_applied() && snapshot.is_named_as_copy
    };
    consumer.label(keys::RELATED_TO).is_some() || snapshot.copy_of.is_some() || is_left()
}

/// The other broker that serves an object: it says so, and what this one's record knows it by is not on it.
pub fn other_broker<'a>(snapshot: &Snapshot, consumer: &'a Object, record: Option<&Record>) -> Option<&'a str> {
    let served_by = consumer.annotation(keys::SERVED_BY)?;
    let token = record.and_then(|record| record.spec.consumer.token.as_deref());
    let is_known = token.is_some() && consumer.annotation(keys::TOKEN) == token;
    (snapshot.broker.as_deref() != Some(served_by) && !is_known).then_some(served_by)
}

/// Whether an object says that it is a copy, or looks like one: the public finalizer on it is for whoever made it.
fn is_copy(consumer: &Object) -> bool {
    consumer.annotation(keys::CONSUMER_CLUSTER).is_some() || consumer.owns_content
}

/// Whether an earlier release's marks stand under the field manager of contents, with nothing else.
fn has_old_marks(consumer: &Object) -> bool {
    consumer.owned.is_some() && !consumer.is_applied()
}

/// The finalizer with which this broker holds an object.
fn finalizer(snapshot: &Snapshot, consumer: &Object) -> String {
    match snapshot.broker.as_deref().filter(|_| is_copy(consumer)) {
        Some(broker) => own_finalizer(broker),
        None => keys::GENERIC_FINALIZER.to_owned(),
    }
}

/// The finalizers on an object that are this broker's to take off.
pub fn our_finalizers(snapshot: &Snapshot, consumer: &Object, record: Option<&Record>) -> Vec<String> {
    let own = snapshot.broker.as_deref().map(own_finalizer);
    let is_public = other_broker(snapshot, consumer, record).is_none()
        && (snapshot.broker.is_none() || !is_copy(consumer) || has_old_marks(consumer));
    let public = is_public.then(|| keys::GENERIC_FINALIZER.to_owned());
    own.into_iter().chain(public).filter(|finalizer| consumer.has_finalizer(finalizer)).collect()
}

/// Takes this broker's finalizers off the consumer object; `None` where there is none.
pub fn release(snapshot: &Snapshot, consumer: &Object, record: Option<&Record>, guards: Vec<Guard>) -> Option<Action> {
    let ours = our_finalizers(snapshot, consumer, record);
    (!ours.is_empty()).then(|| Action::ReleaseFinalizer {
        target: snapshot.key.target(),
        uid: consumer.uid().into(),
        resource_version: consumer.resource_version().into(),
        keep: consumer.finalizers().iter().filter(|held| !ours.contains(held)).cloned().collect(),
        guards,
    })
}

/// The consumer object's finalizer and annotations, where they are not as they should be. `token` is what its record knows it by.
pub fn mark(
    snapshot: &Snapshot,
    consumer: &Object,
    token: Option<&str>,
    provider: &ClusterName,
    next: Option<&ClusterName>,
) -> Option<Action> {
    let key = &snapshot.key;
    let broker = snapshot.broker.as_deref();
    let wanted = [
        (keys::PROVIDER_CLUSTER, Some(provider.to_string())),
        (keys::NEW_PROVIDER_CLUSTER, next.map(ToString::to_string)),
        (keys::SERVED_BY, broker.map(str::to_owned)),
        (keys::TOKEN, token.map(str::to_owned)),
    ];
    let annotations: BTreeMap<&'static str, String> =
        wanted.into_iter().filter_map(|(annotation, value)| Some((annotation, value?))).collect();
    let finalizer = finalizer(snapshot, consumer);
    let is_shown = |(annotation, value): (&&str, &String)| consumer.annotation(annotation) == Some(value.as_str());
    if consumer.has_finalizer(&finalizer) && annotations.iter().all(is_shown) {
        // An apply would not take off what somebody else has put there.
        let is_stray = next.is_none() && consumer.annotation(keys::NEW_PROVIDER_CLUSTER).is_some();
        let annotation = keys::NEW_PROVIDER_CLUSTER;
        return is_stray.then(|| Action::Unmark { target: key.target(), uid: consumer.uid().into(), annotation });
    }
    let is_claim = broker.is_some() && consumer.annotation(keys::SERVED_BY).is_none();
    Some(Action::Decorate {
        target: key.target(),
        uid: consumer.uid().into(),
        resource_version: is_claim.then(|| consumer.resource_version().to_owned()),
        finalizer,
        annotations,
        hand_over: has_old_marks(consumer),
    })
}

/// The record of an earlier release with what it lacks; `None` where that is nothing. The object is the recorded one.
pub fn complete(snapshot: &Snapshot, consumer: &Object, record: &Record) -> Option<AssignmentSpec> {
    if record.spec.consumer.token.is_some() {
        return None;
    }
    let mut spec = record.spec.clone();
    let is_token =
        |text: &&str| (16..=LONGEST_TOKEN).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric());
    let known = consumer.annotation(keys::TOKEN).filter(is_token);
    spec.consumer.token = Some(known.unwrap_or(&snapshot.fresh_token).to_owned());
    spec.consumer.fingerprint = spec.consumer.fingerprint.or_else(|| fingerprint(snapshot, &snapshot.key.consumer));
    let copies = [(Some(&mut spec.provider), snapshot.own_copy()), (spec.next.as_mut(), snapshot.own_next_copy())];
    for (place, copy) in copies {
        let Some(place) = place else { continue };
        let version = place.version.as_deref().unwrap_or(&snapshot.key.gvk.version);
        let gvk = snapshot.key.in_version(version).gvk;
        place.api_version.get_or_insert_with(|| gvk.api_version());
        place.kind.get_or_insert(gvk.kind);
        // Which cluster it was is known where the copy is there.
        if let Some(provider) = ClusterName::parse(&place.cluster).filter(|_| copy.is_some()) {
            place.fingerprint = place.fingerprint.take().or_else(|| fingerprint(snapshot, &provider));
        }
    }
    Some(spec)
}

/// Which cluster stands behind a name, where that is known.
pub fn fingerprint(snapshot: &Snapshot, cluster: &ClusterName) -> Option<String> {
    snapshot.identities.get(cluster)?.fingerprint.clone()
}

/// Whether something of this object may be at a place that its record names. A copy that is on its way out is nobody's any more.
fn may_have_copy(snapshot: &Snapshot, record: &Record) -> bool {
    places(record).iter().any(|(target, uid)| {
        let key = snapshot.key.in_version(&target.gvk.version);
        match snapshot.view_of(target) {
            None | Some(View::Unknown { .. }) => true,
            Some(View::Absent) => false,
            Some(View::Present(copy)) => !copy.is_deleting() && snapshot.is_ours(copy, &key, &target.cluster, *uid),
        }
    })
}

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
        let mut action = leave::update(record, spec, Vec::new());
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
fn came_back(snapshot: &Snapshot, record: &Record) -> Findings {
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
        let guards = places.filter_map(|(target, uid)| delete::confirm(snapshot, record, target, uid)).collect();
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
