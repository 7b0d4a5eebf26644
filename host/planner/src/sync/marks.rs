//! What an object is marked with: the finalizer and the annotations of the broker that serves it.

use std::collections::BTreeMap;

use resource_broker_api::{
    broker::AssignmentSpec,
    keys,
    names::{ClusterName, own_finalizer},
    object::Object,
};

use crate::{
    model::{
        ownership::{fingerprint, other_broker},
        snapshot::{Record, Snapshot},
    },
    plan::{Action, Guard},
};

/// The longest token that is taken from an object whose record has none.
pub(crate) const LONGEST_TOKEN: usize = 64;

/// Whether an object says that it is a copy, or looks like one: the public finalizer on it is for whoever made it.
pub(crate) fn is_copy(consumer: &Object) -> bool {
    consumer.annotation(keys::CONSUMER_CLUSTER).is_some() || consumer.owns_content
}

/// Whether an earlier release's marks stand under the field manager of contents, with nothing else.
pub(crate) fn has_old_marks(consumer: &Object) -> bool {
    consumer.owned.is_some() && !consumer.is_applied()
}

/// The finalizer with which this broker holds an object.
pub(crate) fn finalizer(snapshot: &Snapshot, consumer: &Object) -> String {
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
