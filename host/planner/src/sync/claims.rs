//! Whose a related resource at a provider is: several consumers' copies may declare one, and a status may name anything.

use resource_broker_api::{broker::ProviderRef, conditions::reason, keys, names::ClusterName, object::Object};

use crate::{
    model::{
        claimed::{Claims, Owner},
        declared::Declared,
        snapshot::{Offer, Snapshot, Target, View},
    },
    plan::findings::Finding,
};

/// Why a related resource is not given to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// That cannot be told yet; with whether this lasts.
    Unknown(String, bool),
    /// It is not to be had.
    Refused(Finding),
}

/// A copy at a provider that declares related resources.
#[derive(Clone, Copy, Debug)]
pub struct Declarer<'a> {
    /// The provider.
    pub provider: &'a ClusterName,
    /// The place in the record, which names the offer.
    pub place: &'a ProviderRef,
    /// The copy.
    pub copy: &'a Object,
}

/// Whether a related resource is withheld from the consumer whose copy declares it; `source` is the resource as far as a watch
/// shows it.
pub fn withheld(
    snapshot: &Snapshot,
    by: Declarer<'_>,
    declared: &Declared,
    claims: &Claims,
    source: Option<&Object>,
) -> Option<Withheld> {
    let Declarer { provider, copy, .. } = by;
    let at =
        Target::new(provider.clone(), declared.gvk.clone(), Some(declared.namespace.clone()), declared.name.clone());
    let own_namespace = copy.namespace() == Some(declared.namespace.as_str());
    if !own_namespace && let Some(withheld) = outside(snapshot, by, &at) {
        return Some(withheld);
    }
    // What is not there is missing, whosever it may be; what no watch shows is read first.
    contested(&at, copy.name(), claims, source?)
}

/// A resource that is not in the copy's own namespace.
fn outside(snapshot: &Snapshot, by: Declarer<'_>, at: &Target) -> Option<Withheld> {
    let Declarer { provider, place, copy } = by;
    let namespace = at.namespace.as_deref().unwrap_or_default();
    let own = copy.namespace().unwrap_or("none");
    let refused = |why: String| {
        let message = format!("{at} is declared by a copy in namespace {own}, and is not copied: {why}");
        Some(Withheld::Refused(Finding::no(reason::RELATED_NOT_ALLOWED, message)))
    };
    let named = &place.accept_api;
    let Some(offer) = offer(snapshot, provider, place) else {
        return match snapshot.providers.get(provider).map(|view| &view.offers) {
            Some(View::Unknown { why, failing }) => {
                Some(Withheld::Unknown(format!("offers of {provider} cannot be read: {why}"), *failing))
            }
            _ => refused(format!("its offer {}/{}, which could allow it, is not there", named.namespace, named.name)),
        };
    };
    if offer.related_namespaces.iter().any(|listed| listed == namespace) {
        return None;
    }
    refused(format!(
        "have {provider} keep it in the copy's namespace, or list {namespace} in spec.relatedResources.namespaces of its \
         AcceptAPI {}/{}",
        named.namespace, named.name
    ))
}

/// The offer under which a copy is at a provider.
fn offer<'a>(snapshot: &'a Snapshot, provider: &ClusterName, place: &ProviderRef) -> Option<&'a Offer> {
    let all = snapshot.offers.iter().chain(snapshot.versions.iter().flat_map(|view| &view.offers));
    let named = &place.accept_api;
    let is_it =
        |offer: &&Offer| offer.provider == *provider && offer.namespace == named.namespace && offer.name == named.name;
    all.map(AsRef::as_ref).find(is_it)
}

/// A resource that belongs to another consumer's copy, or that several declare and that is nobody's for certain. An owner
/// reference to anything that is not a copy says nothing.
pub fn contested(at: &Target, copy: &str, claims: &Claims, source: &Object) -> Option<Withheld> {
    let is_shared = source.annotation(keys::SHARED) == Some("true");
    if is_shared || claims.owner == Owner::This {
        return None;
    }
    let way_out = format!(
        "have {} call it {copy}-…, or make the copy its owner; an AcceptAPI with spec.copies.namespace: PerConsumer keeps \
         consumers apart; one that is meant for several is marked {}: \"true\"",
        at.cluster,
        keys::SHARED
    );
    let (what, others) = match &claims.owner {
        Owner::Other(other) => {
            ("belongs to a copy of another consumer or namespace".to_owned(), vec![other.to_string()])
        }
        _ if !claims.rivals.is_empty() => {
            let others = claims.rivals.iter().map(ToString::to_string).collect();
            ("is declared by copies of other consumers or namespaces too, and nothing says whose it is".into(), others)
        }
        _ => return claims.unread.clone().map(|(why, lasts)| Withheld::Unknown(why, lasts)),
    };
    let finding = Finding::no(reason::RELATED_AMBIGUOUS, format!("{at} {what}, so it is not copied: {way_out}"));
    let inside = Some(format!("the other copies: {}", others.join(", ")));
    Some(Withheld::Refused(Finding { inside, ..finding }))
}
