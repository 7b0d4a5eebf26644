//! Providers whose API server refused the first copy of an object.

use resource_broker_api::{names::ClusterName, object::Object};

use crate::{
    model::snapshot::{Failure, Part, Snapshot},
    plan::findings::Finding,
};

/// The providers that refused the first copy of the object as it is now, with what they said.
pub(crate) fn refused<'a>(
    snapshot: &'a Snapshot,
    consumer: &Object,
) -> impl Iterator<Item = (&'a ClusterName, &'a str)> + use<'a> {
    let generation = consumer.meta.generation;
    let of_now = snapshot.memory.refused_copies.iter().filter(move |(_, refused)| refused.generation == generation);
    of_now.map(|(provider, refused)| (provider, refused.message.as_str()))
}

/// What `Synced` says where several providers refused the object's first copy.
pub(crate) fn refusals(snapshot: &Snapshot, consumer: &Object) -> Option<Finding> {
    let failure = snapshot.memory.failure.as_ref().filter(|failure| failure.part == Part::Copy && failure.invalid)?;
    let lines: Vec<&str> = refused(snapshot, consumer).map(|(_, message)| message).collect();
    if lines.len() < 2 {
        return None;
    }
    let message = format!("each provider that accepts the object refuses its copy: {}", lines.join(" | "));
    Some(Finding::of_failure(&Failure { message, ..failure.clone() }))
}
