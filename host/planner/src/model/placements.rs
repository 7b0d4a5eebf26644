//! The copies that a record names.

use crate::model::{
    key::Target,
    record::{Placement, Record},
};

/// The copies that a record names, each with the UID that it knows of it.
pub(crate) fn places(record: &Record) -> Vec<(Target, Option<&str>)> {
    let served = (Placement::from(&record.spec.provider), record.copy_uid());
    let next = record.spec.next.as_ref().map(|next| (Placement::from(next), record.next_uid()));
    let previous = record.spec.previous.iter().map(|place| (Placement::from(place), place.uid.as_deref()));
    let all = std::iter::once(served).chain(next).chain(previous);
    all.filter_map(|(placement, uid)| Some((record.target(&placement)?, uid))).collect()
}
