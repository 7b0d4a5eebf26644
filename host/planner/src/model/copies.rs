//! Whose a copy is, as far as its UID and what is on it say so.

use resource_broker_api::{keys, object::Object};

use crate::model::key::Key;

/// Whether a copy says that it is this object's: the broker's own marks, as it sets them.
pub fn is_claimed(copy: &Object, key: &Key) -> bool {
    copy.annotation(keys::CONSUMER_CLUSTER) == Some(key.consumer.to_string().as_str())
        && copy.annotation(keys::CONSUMER_NAME) == Some(key.name.as_str())
        && claimed_namespace(copy) == key.namespace.as_deref()
}

/// The namespace of the object that a copy says it is of: its own, unless it says another one.
pub fn claimed_namespace(copy: &Object) -> Option<&str> {
    copy.annotation(keys::CONSUMER_NAMESPACE).or_else(|| copy.namespace())
}

/// Whether what stands at the place of a copy is that copy: its UID is the recorded one, or a broker's apply wrote its content
/// and nothing on it says that it is another broker's or another object's. Its marks alone say nothing: a policy may strip them, and
/// anybody may write them. Where others have taken all of its content since, the marks of this very broker have to be there too.
pub fn is_ours(copy: &Object, key: &Key, recorded: Option<&str>, broker: Option<&str>) -> bool {
    if recorded.is_some_and(|recorded| recorded == copy.uid()) {
        return true;
    }
    let is_unclaimed =
        copy.annotation(keys::CONSUMER_CLUSTER).is_none() && copy.annotation(keys::CONSUMER_NAME).is_none();
    let is_taken = || copy.owned.is_some() && broker.is_some() && copy.annotation(keys::BROKER) == broker;
    (copy.is_applied() && is_of(copy, broker) && (is_unclaimed || is_claimed(copy, key)))
        || (is_taken() && is_claimed(copy, key))
}

/// Whether a copy does not say that another broker made it.
pub fn is_of(copy: &Object, broker: Option<&str>) -> bool {
    copy.annotation(keys::BROKER).is_none_or(|made_by| Some(made_by) == broker)
}
