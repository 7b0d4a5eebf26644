//! Whether the clusters that a record names are still the ones that it was written about.
//!
//! A record says which cluster it means by name and by fingerprint. Where another cluster stands under the name, nothing is
//! written there, nothing is deleted because of it, and nothing moves: that is for an administrator to decide.

use std::borrow::Cow;

use resource_broker_api::{
    broker::AssignmentSpec,
    conditions::{SYNCED, reason},
    names::ClusterName,
};

use crate::{
    findings::{Finding, condition},
    leave,
    plan::{Action, Plan, State},
    snapshot::{Identity, Record, Snapshot},
};

/// Whether `cluster`, which a record knows by `recorded`, is another one now: what administrators are told.
pub fn changed(snapshot: &Snapshot, cluster: &str, recorded: Option<&str>) -> Option<String> {
    let identity = snapshot.identities.get(&ClusterName::parse(cluster)?)?;
    if identity.changed {
        let why = identity.refused.as_deref().unwrap_or("another cluster is there than the recorded one");
        return Some(format!("{cluster}: {why}"));
    }
    let (recorded, now) = (recorded?, identity.fingerprint.as_deref()?);
    let is_same = recorded == now || identity.accepted.iter().any(|accepted| accepted == recorded);
    (!is_same).then(|| {
        format!(
            "{cluster} is another cluster now than the one that this Assignment was made for: it was {recorded}, and is {now}. \
             Nothing is written there because of this object, and nothing is deleted; if it takes that one's place, say so: \
             resource-broker cluster accept {cluster}"
        )
    })
}

/// As [`changed`], of a provider where a record has a place.
pub(crate) fn changed_at(snapshot: &Snapshot, record: &Record, cluster: &str) -> Option<String> {
    let spec = &record.spec;
    let places = [Some(&spec.provider), spec.next.as_ref()].into_iter().flatten();
    let places = places.map(|place| (&place.cluster, &place.fingerprint));
    let left = spec.previous.iter().map(|place| (&place.cluster, &place.fingerprint));
    let mut there = places.chain(left).filter(|(at, _)| *at == cluster);
    there.find_map(|(at, recorded)| changed(snapshot, at, recorded.as_deref()))
}

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

/// The snapshot as it is to be looked at: a provider that is another cluster than the one that the record was written about is
/// as good as detached.
pub(crate) fn without_strangers<'a>(snapshot: &'a Snapshot, record: &Record) -> Cow<'a, Snapshot> {
    let mut seen = Cow::Borrowed(snapshot);
    let spec = &record.spec;
    let places = [Some((&spec.provider, true)), spec.next.as_ref().map(|next| (next, false))];
    for (place, serves) in places.into_iter().flatten() {
        let Some(name) = ClusterName::parse(&place.cluster) else { continue };
        let is_there = snapshot.providers.contains_key(&name);
        if !is_there || changed(snapshot, &place.cluster, place.fingerprint.as_deref()).is_none() {
            continue;
        }
        let seen = seen.to_mut();
        seen.providers.remove(&name);
        if serves {
            seen.related.clear();
        } else {
            seen.related_next.clear();
        }
    }
    seen
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
    (spec != record.spec).then(|| leave::update(record, spec, Vec::new()))
}
