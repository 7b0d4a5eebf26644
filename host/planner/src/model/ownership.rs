//! Whose an object is: which broker serves it, and whether what stands at the place of a copy is that copy.

use resource_broker_api::{keys, names::ClusterName, object::Object};

pub use crate::model::copies::{claimed_namespace, is_claimed, is_of, is_ours};
use crate::model::{record::Record, snapshot::Snapshot};

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

/// Which cluster stands behind a name, where that is known.
pub fn fingerprint(snapshot: &Snapshot, cluster: &ClusterName) -> Option<String> {
    snapshot.identities.get(cluster)?.fingerprint.clone()
}

/// The annotations that make an object a copy of ours.
pub const MARKS: [&str; 4] = [keys::CONSUMER_CLUSTER, keys::CONSUMER_NAME, keys::CONSUMER_NAMESPACE, keys::BROKER];
