//! The copies that a record names.

use crate::model::{
    key::Target,
    record::{Record, Seat},
};

/// The copies that a record names, each with the UID that it knows of it.
pub(crate) fn places(record: &Record) -> Vec<(Target, Option<&str>)> {
    let served = (Seat::from(&record.spec.provider), record.copy_uid());
    let next = record.spec.next.as_ref().map(|next| (Seat::from(next), record.next_uid()));
    let previous = record.spec.previous.iter().map(|place| (Seat::from(place), place.uid.as_deref()));
    let all = std::iter::once(served).chain(next).chain(previous);
    all.filter_map(|(seat, uid)| Some((record.target(&seat)?, uid))).collect()
}
