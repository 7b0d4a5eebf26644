//! What follows from the clusters that a record names being other ones, or being accepted in the place of those.

use resource_broker_api::{
    broker::AssignmentSpec,
    conditions::{SYNCED, reason},
    names::ClusterName,
};

use crate::{
    model::{
        identity::changed,
        snapshot::{Identity, Record, Snapshot},
    },
    plan::{
        Action, Plan, State,
        findings::{Finding, condition},
        writes,
    },
};

/// The consumer's cluster is another one: neither the object nor its copy is touched, and the record says why.
pub(crate) fn stop(snapshot: &Snapshot, record: &Record) -> Option<Plan> {
    let consumer = &record.spec.consumer;
    let why = changed(snapshot, &consumer.cluster, consumer.fingerprint.as_deref())?;
    let mut plan = Plan::wait(State::Blocked, why.clone());
    let before = &record.status;
    let finding = Finding::no(reason::CLUSTER_CHANGED, why);
    let synced = condition(SYNCED, &finding, &before.conditions, record.generation, &snapshot.now);
    let mut status = before.clone();
    match status.conditions.iter_mut().find(|condition| condition.type_ == SYNCED) {
        Some(there) => *there = synced,
        None => status.conditions.push(synced),
    }
    plan.then((status != *before).then(|| Action::RecordStatus {
        name: record.name.clone(),
        uid: record.uid.clone(),
        status: Box::new(status),
    }));
    Some(plan)
}

/// The record's spec with the fingerprints that the clusters have now, where that is another one: an administrator has accepted
/// that they take the place of the recorded ones, or the record is of an earlier release and its copy is seen there.
pub(crate) fn follow(snapshot: &Snapshot, record: &Record) -> Option<Action> {
    let mut spec: AssignmentSpec = record.spec.clone();
    let now = |cluster: &str| {
        let identity = snapshot.identities.get(&ClusterName::parse(cluster)?)?;
        Some((identity, identity.fingerprint.clone()?))
    };
    let is_complete = record.spec.consumer.token.is_some();
    let brought = |recorded: &mut Option<String>, cluster: &str, is_seen: bool| {
        let Some((identity, fingerprint)) = now(cluster) else { return };
        let Identity { accepted, .. } = identity;
        let follows = match recorded {
            // One of an earlier release is completed as a whole.
            None => is_seen && is_complete,
            Some(recorded) => *recorded != fingerprint && accepted.contains(recorded),
        };
        if follows {
            *recorded = Some(fingerprint);
        }
    };
    let is_it = snapshot.consumer.present().is_some_and(|consumer| consumer.uid() == spec.consumer.uid);
    brought(&mut spec.consumer.fingerprint, &spec.consumer.cluster, is_it);
    brought(&mut spec.provider.fingerprint, &spec.provider.cluster, snapshot.own_copy().is_some());
    if let Some(next) = &mut spec.next {
        brought(&mut next.fingerprint, &next.cluster, snapshot.own_next_copy().is_some());
    }
    for place in &mut spec.previous {
        brought(&mut place.fingerprint, &place.cluster, false);
    }
    (spec != record.spec).then(|| writes::update(record, spec, Vec::new()))
}
