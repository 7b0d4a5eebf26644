//! Which kinds name objects of others, and what is known of those.

use std::sync::Arc;

use resource_broker_api::{names::Gvk, object::Object};

use crate::model::{
    key::{Key, Target},
    record::{Placement, Record},
    view::View,
};

/// Fields of a kind's spec that each name an object of another kind in the same namespace. Both kinds are of one group.
pub(crate) struct Rule {
    group: &'static str,
    kind: &'static str,
    fields: &'static [&'static str],
    to: &'static str,
}

pub(crate) const RULES: [Rule; 1] = [Rule {
    group: "networking.generic.platform-mesh.io",
    kind: "Peering",
    fields: &["localNetworkRef", "remoteNetworkRef"],
    to: "VirtualNetwork",
}];

pub(crate) fn rule(gvk: &Gvk) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.group == gvk.group && rule.kind == gvk.kind)
}

/// The kind that objects of this one refer to, where they do.
pub fn referred(gvk: &Gvk) -> Option<(&'static str, &'static str)> {
    rule(gvk).map(|rule| (rule.group, rule.to))
}

/// Whether objects of this kind are referred to.
pub fn is_referred(gvk: &Gvk) -> bool {
    RULES.iter().any(|rule| rule.group == gvk.group && rule.to == gvk.kind)
}

/// The names that an object's spec refers to, by field.
pub fn names(gvk: &Gvk, object: &Object) -> Vec<(&'static str, String)> {
    let Some(rule) = rule(gvk) else { return Vec::new() };
    let Some(spec) = object.field("spec") else { return Vec::new() };
    let name = |field: &&'static str| Some((*field, spec.get(*field)?.as_str()?.to_owned()));
    rule.fields.iter().filter_map(name).filter(|(_, name)| !name.is_empty()).collect()
}

/// What is known of the objects around one that refers to others, or that others refer to. Empty for all other kinds, and
/// where the kind that is referred to is not watched.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// What the object refers to.
    pub to: Vec<Reference>,
    /// The objects with a record that refer to it, in order.
    pub from: Vec<Key>,
}

/// An object that another one refers to.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The field of the spec that names it.
    pub field: &'static str,
    /// The object.
    pub key: Key,
    /// Whether it is there, in any watched version.
    pub object: View<()>,
    /// Its record.
    pub record: View<Arc<Record>>,
}

impl Reference {
    /// Its kind and name, as a sentence names it.
    pub(crate) fn named(&self) -> String {
        self.key.gvk.kind.clone() + " " + &self.key.name
    }

    /// Its copy, where it has one that stays.
    pub(crate) fn copy(&self) -> Result<Target, String> {
        let name = self.named();
        let record = match (&self.object, &self.record) {
            (View::Unknown { why, .. }, _) => return Err(format!("{name} cannot be read: {why}")),
            (_, View::Unknown { why, .. }) => return Err(format!("the record of {name} cannot be read: {why}")),
            (View::Absent, _) => return Err(format!("{name} does not exist")),
            (View::Present(()), View::Absent) => return Err(format!("{name} has no provider yet")),
            (View::Present(()), View::Present(record)) => record,
        };
        let provider = &record.spec.provider;
        if let Some(next) = &record.spec.next {
            return Err(format!("{name} moves from {} to {} now", provider.cluster, next.cluster));
        }
        record
            .target(&Placement::from(provider))
            .ok_or_else(|| format!("the record of {name} names no provider cluster"))
    }
}
