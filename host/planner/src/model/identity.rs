//! Whether the clusters that a record names are still the ones that it was written about.
//!
//! A record says which cluster it means by name and by fingerprint. Where another cluster stands under the name, nothing is
//! written there, nothing is deleted because of it, and nothing moves: that is for an administrator to decide.

use std::borrow::Cow;

use resource_broker_api::names::ClusterName;

use crate::model::snapshot::{Record, Snapshot};

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
