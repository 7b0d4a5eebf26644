//! Writes that several layers make.

use resource_broker_api::{broker::AssignmentSpec, keys, object::Object};

use crate::{
    model::snapshot::{Record, Target},
    plan::{Action, Guard},
};

/// Takes our finalizer off; whatever others put there stays.
pub fn release(target: Target, object: &Object, guards: Vec<Guard>) -> Action {
    release_finalizer(target, object, keys::GENERIC_FINALIZER, guards)
}

/// Takes one finalizer off; whatever others put there stays.
pub fn release_finalizer(target: Target, object: &Object, finalizer: &str, guards: Vec<Guard>) -> Action {
    Action::ReleaseFinalizer {
        target,
        uid: object.uid().into(),
        resource_version: object.resource_version().into(),
        keep: object.finalizers().iter().filter(|f| *f != finalizer).cloned().collect(),
        guards,
    }
}

/// A record's new spec in place of the one that is known.
pub(crate) fn update(record: &Record, spec: AssignmentSpec, guards: Vec<Guard>) -> Action {
    Action::UpdateRecord {
        name: record.name.clone(),
        uid: record.uid.clone(),
        generation: record.generation,
        spec: Box::new(spec),
        obeyed: None,
        budget: None,
        guards,
    }
}
