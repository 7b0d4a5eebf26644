//! Brokered objects that name each other: one goes only where those are that it names, with the names that their copies have
//! there, and those stay where they are as long as it names them.
//!
//! Which fields of which kinds these are stands in a table here; there is no general mechanism.

use std::sync::Arc;

use resource_broker_api::{
    conditions::reason,
    names::{ClusterName, Gvk},
    object::Object,
};
use serde_json::{Map, Value};

use crate::{
    findings::Finding,
    snapshot::{Key, Record, Seat, Snapshot, Target, View},
};

/// How many of the objects that hold another one are named.
const NAMED: usize = 3;

/// Fields of a kind's spec that each name an object of another kind in the same namespace. Both kinds are of one group.
struct Rule {
    group: &'static str,
    kind: &'static str,
    fields: &'static [&'static str],
    to: &'static str,
}

const RULES: [Rule; 1] = [Rule {
    group: "networking.generic.platform-mesh.io",
    kind: "Peering",
    fields: &["localNetworkRef", "remoteNetworkRef"],
    to: "VirtualNetwork",
}];

fn rule(gvk: &Gvk) -> Option<&'static Rule> {
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
    fn named(&self) -> String {
        self.key.gvk.kind.clone() + " " + &self.key.name
    }

    /// Its copy, where it has one that stays.
    fn copy(&self) -> Result<Target, String> {
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
        record.target(&Seat::from(provider)).ok_or_else(|| format!("the record of {name} names no provider cluster"))
    }
}

/// Where an object can be for the sake of those that it refers to.
pub(crate) enum Bound {
    /// Anywhere.
    Free,
    /// At this provider.
    At(ClusterName),
    /// Nowhere yet: why.
    Waits(String),
}

/// Where the key's object can be.
pub(crate) fn bound(snapshot: &Snapshot) -> Bound {
    let references = &snapshot.references.to;
    let mut copies = Vec::new();
    let mut missing = Vec::new();
    for reference in references {
        match reference.copy() {
            Ok(copy) => copies.push((reference.named(), copy)),
            Err(why) if missing.contains(&why) => {}
            Err(why) => missing.push(why),
        }
    }
    if !missing.is_empty() {
        let known = copies.iter().map(|(name, copy)| format!("{name} is at {}", copy.cluster));
        let all: Vec<String> = missing.into_iter().chain(known).collect();
        return Bound::Waits(all.join("; "));
    }
    let Some((_, first)) = copies.first() else { return Bound::Free };
    if copies.iter().all(|(_, copy)| copy.cluster == first.cluster) {
        return Bound::At(first.cluster.clone());
    }
    let at: Vec<String> = copies.iter().map(|(name, copy)| format!("{name} is at {}", copy.cluster)).collect();
    Bound::Waits(format!("it needs all that it refers to at one provider, and {}", at.join(", ")))
}

/// Something that the object refers to has not been read yet, and will be soon.
pub(crate) fn unread(snapshot: &Snapshot) -> Option<String> {
    snapshot.references.to.iter().find_map(|reference| {
        let of_object = reference.object.soon();
        let why = of_object.or_else(|| reference.record.soon())?;
        Some(format!("{}, which it refers to, cannot be read: {why}", reference.named()))
    })
}

/// What keeps an object that refers to others from being anywhere.
pub(crate) fn waits(snapshot: &Snapshot) -> Option<Finding> {
    match bound(snapshot) {
        Bound::Waits(why) => Some(Finding::no(reason::REFERENCE_ELSEWHERE, why)),
        Bound::Free | Bound::At(_) => None,
    }
}

/// Why an object cannot be at `provider`, where what it refers to is at another one.
pub(crate) fn is_away(snapshot: &Snapshot, provider: &ClusterName) -> Option<String> {
    match bound(snapshot) {
        Bound::At(there) if there != *provider => {
            let names: Vec<String> = snapshot.references.to.iter().map(Reference::named).collect();
            Some(format!("what it refers to is at {there}: {}", names.join(", ")))
        }
        _ => None,
    }
}

/// Puts the names that the copies have at the copy's provider in the place of those that the consumer wrote, or says what is in
/// the way. A copy in another namespace than `target` is named with its own.
pub(crate) fn translate(snapshot: &Snapshot, target: &Target, content: &mut Map<String, Value>) -> Result<(), String> {
    if snapshot.references.to.is_empty() {
        return Ok(());
    }
    match bound(snapshot) {
        Bound::Free => return Ok(()),
        Bound::Waits(why) => return Err(why),
        Bound::At(there) if there != target.cluster => {
            return Err(
                is_away(snapshot, &target.cluster).unwrap_or_else(|| format!("what it refers to is at {there}"))
            );
        }
        Bound::At(_) => {}
    }
    let Some(spec) = content.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    for reference in &snapshot.references.to {
        let copy = reference.copy()?;
        let name = match &copy.namespace {
            Some(namespace) if copy.namespace != target.namespace => format!("{namespace}/{}", copy.name),
            _ => copy.name,
        };
        spec.insert(reference.field.to_owned(), Value::from(name));
    }
    Ok(())
}

/// Why an object does not move: the ones that refer to it would be left behind.
pub(crate) fn held(snapshot: &Snapshot) -> Option<String> {
    let from = &snapshot.references.from;
    let first = from.first()?;
    let names: Vec<&str> = from.iter().take(NAMED).map(|key| key.name.as_str()).collect();
    let more = if from.len() > NAMED { ", …" } else { "" };
    let (kind, it) = (&first.gvk.kind, if from.len() == 1 { "refers" } else { "refer" });
    Some(format!(
        "{kind} {}{more} {it} to it: delete that, or have it refer to another one, and it moves",
        names.join(", ")
    ))
}
