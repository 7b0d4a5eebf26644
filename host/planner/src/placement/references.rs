//! Brokered objects that name each other: one goes only where those are that it names, with the names that their copies have
//! there, and those stay where they are as long as it names them.
//!
//! Which fields of which kinds these are stands in a table here; there is no general mechanism.

use resource_broker_api::{conditions::reason, names::ClusterName};
use serde_json::{Map, Value};

use crate::{
    model::{
        referred::Reference,
        snapshot::{Snapshot, Target},
    },
    plan::findings::Finding,
};

/// How many of the objects that hold another one are named.
const NAMED: usize = 3;

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
