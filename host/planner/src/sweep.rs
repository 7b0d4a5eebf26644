//! A copy at a provider that no record names: what a crash or a restored backup left behind. Needs no client.
//!
//! It is taken away only where everything says that it is ours and that nobody needs it: the broker's marks, its
//! finalizer, its managed fields and its own mark; the consumer cluster is attached and read; in the caches and in uncached
//! reads, the object's record names other places, or neither the object nor its record is there.

use std::sync::Arc;

use resource_broker_api::{
    keys,
    names::{ClusterName, Role},
    object::Object,
};

use crate::{
    delete,
    plan::{Action, Guard, Plan, State},
    snapshot::{Key, Target, View},
};

/// All inputs of one copy.
#[derive(Clone, Debug)]
pub struct SweepSnapshot {
    /// What this broker marks its copies with, where it could find that out.
    pub broker: Option<Arc<str>>,
    /// The copy's place.
    pub target: Target,
    /// The copy; `None` where it went.
    pub copy: Option<Arc<Object>>,
    /// Whether a record of the object that it claims is there. One that names this copy is not asked about.
    pub record: View<()>,
    /// Whether a record names it.
    pub named: bool,
    /// The consumer object that it claims; `None` where that cluster is not attached.
    pub consumer: Option<View<()>>,
}

/// The consumer object that a copy claims to be of, if its marks agree with its name.
pub fn claim(target: &Target, copy: &Object) -> Option<Key> {
    let consumer = ClusterName::parse(copy.annotation(keys::CONSUMER_CLUSTER)?)?;
    let name = copy.annotation(keys::CONSUMER_NAME)?.to_owned();
    let key = Key { consumer, gvk: target.gvk.clone(), namespace: target.namespace.clone(), name };
    (key.consumer.role == Role::Consumer && key.copy_name() == target.name).then_some(key)
}

/// What is to be done about a copy.
pub fn plan(snapshot: &SweepSnapshot) -> Plan {
    let Some(copy) = &snapshot.copy else { return Plan::default() };
    let Some(key) = claim(&snapshot.target, copy) else { return Plan::default() };
    let is_ours = copy.has_finalizer(keys::GENERIC_FINALIZER)
        && copy.owned.is_some()
        && copy.annotation(keys::BROKER) == snapshot.broker.as_deref();
    if !is_ours || snapshot.named {
        return Plan::default();
    }
    let guards = match (&snapshot.record, &snapshot.consumer) {
        (View::Absent, Some(View::Absent)) => vec![Guard::Gone(key.target()), Guard::NoRecord(key.record_name())],
        (View::Present(()), Some(View::Present(()))) => {
            vec![Guard::NotNamed(key.record_name(), snapshot.target.clone())]
        }
        _ => return Plan::default(),
    };
    let mut plan = Plan { state: State::Deleting, ..Plan::default() };
    if !copy.is_deleting() {
        plan.then([Action::Delete { target: snapshot.target.clone(), uid: copy.uid().into(), guards }]);
    } else if copy.finalizers() == [keys::GENERIC_FINALIZER] {
        plan.then([delete::release(snapshot.target.clone(), copy, guards)]);
    }
    plan
}
