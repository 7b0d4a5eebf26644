//! Step 2: which provider takes an object that has none. Needs no client.

use std::sync::Arc;

use resource_broker_api::{conditions::reason, keys, names::ClusterName, object::Object};
use sha2::{Digest, Sha256};

use crate::{
    copy,
    findings::Finding,
    question::{PluginFailure, Verdict},
    snapshot::{Key, Offer, Snapshot, View},
};

/// Where an object without a record goes.
#[derive(Debug)]
pub enum Route {
    /// To the provider of this offer.
    To(Arc<Offer>),
    /// Nowhere, for now.
    Nowhere(Finding),
    /// It cannot be told yet: this is awaited.
    Wait(String),
}

/// Chooses a provider.
pub fn route(snapshot: &Snapshot, consumer: &Object, judged: Option<&Result<Vec<Verdict>, PluginFailure>>) -> Route {
    if let Some(wait) = unread_claim(snapshot, consumer) {
        return wait;
    }
    if snapshot.offers.is_empty() {
        return Route::Nowhere(no_offers(snapshot));
    }
    let verdicts = match judged {
        Some(Ok(verdicts)) => verdicts,
        Some(Err(failure)) => return Route::Nowhere(Finding::unknown(reason::PLUGIN_FAILED, failure.message.clone())),
        None => return Route::Wait("the offers have not been judged".into()),
    };
    let mut refusals = Vec::new();
    let mut candidates = Vec::new();
    let mut failed = false;
    for (offer, verdict) in snapshot.offers.iter().zip(verdicts) {
        match verdict {
            Verdict::Refused(why) => refusals.push(refusal(offer, &why.join("; "))),
            Verdict::Failed(why) => {
                failed = true;
                refusals.push(refusal(offer, why));
            }
            Verdict::Accepted => match obstacle(snapshot, offer) {
                Some(why) => refusals.push(refusal(offer, &why)),
                None => candidates.push(offer),
            },
        }
    }
    if let Some(held) = candidates.iter().find(|offer| is_taken_over(snapshot, consumer, &offer.provider)) {
        return Route::To(Arc::clone(held));
    }
    if let Some(offer) = candidates.into_iter().max_by_key(|offer| weight(&snapshot.key, offer)) {
        return Route::To(Arc::clone(offer));
    }
    let message = format!("none of {} accepts it: {}", count(snapshot.offers.len()), refusals.join(" | "));
    // Who could not be judged might accept.
    Route::Nowhere(if failed {
        Finding::unknown(reason::PLUGIN_FAILED, message)
    } else {
        Finding::no(reason::NO_MATCHING_OFFER, message)
    })
}

/// An object whose annotation names a provider that cannot be read may be there already: it is not placed twice.
fn unread_claim(snapshot: &Snapshot, consumer: &Object) -> Option<Route> {
    let provider = claimed(consumer)?;
    let view = snapshot.providers.get(&provider)?;
    let unread = |view: &View<_>| match view {
        View::Unknown { why, failing } => Some((why.clone(), *failing)),
        View::Absent | View::Present(()) => None,
    };
    let copies = match &view.copy {
        View::Unknown { why, failing } => Some((why.clone(), *failing)),
        View::Absent | View::Present(_) => None,
    };
    let (why, failing) = unread(&view.offers).or(copies)?;
    let message = format!(
        "{provider}, which the annotation {} names, cannot be read: {why}; if nothing of this object is there, remove the annotation",
        keys::PROVIDER_CLUSTER
    );
    Some(if failing {
        Route::Nowhere(Finding::unknown(reason::PROVIDER_UNAVAILABLE, message))
    } else {
        Route::Wait(message)
    })
}

fn no_offers(snapshot: &Snapshot) -> Finding {
    let unread: Vec<String> = snapshot
        .providers
        .iter()
        .filter_map(|(name, view)| match &view.offers {
            View::Unknown { why, .. } => Some(format!("{name} ({why})")),
            View::Absent | View::Present(()) => None,
        })
        .collect();
    let kind = &snapshot.key.gvk;
    let mut message = format!("no provider offers {kind}: an AcceptAPI for it is needed in a provider cluster");
    if !unread.is_empty() {
        message.push_str("; not known yet: ");
        message.push_str(&unread.join(", "));
    }
    Finding::no(reason::NO_OFFERS, message)
}

fn refusal(offer: &Offer, why: &str) -> String {
    format!("{} ({}/{}): {why}", offer.provider, offer.namespace, offer.name)
}

fn count(offers: usize) -> String {
    if offers == 1 { "one offer".into() } else { format!("{offers} offers") }
}

/// What keeps a provider from taking an object that its offer accepts.
fn obstacle(snapshot: &Snapshot, offer: &Offer) -> Option<String> {
    let view = snapshot.providers.get(&offer.provider)?;
    if let View::Unknown { why, .. } = &view.offers {
        return Some(format!("accepted it, but its offers cannot be read any more: {why}"));
    }
    match &view.copy {
        View::Unknown { why, .. } => Some(format!("accepts it, but its copies cannot be read: {why}")),
        View::Present(copy) if !copy::is_claimed(copy, &snapshot.key) => Some(format!(
            "accepts it, but the name {} is taken there by an object that the broker did not make; rename or delete that",
            copy.name()
        )),
        View::Present(_) | View::Absent => None,
    }
}

/// The provider that the object's annotation names.
fn claimed(consumer: &Object) -> Option<ClusterName> {
    ClusterName::parse(consumer.annotation(keys::PROVIDER_CLUSTER)?)
}

/// Whether a broker placed the object there before, and the copy is still there.
fn is_taken_over(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName) -> bool {
    claimed(consumer).as_ref() == Some(provider)
        && snapshot.providers.get(provider).and_then(|view| view.copy.present()).is_some()
}

/// Rendezvous hashing: each provider gets an even share, and one that comes or goes moves no more than its own share.
fn weight<'a>(key: &Key, offer: &'a Offer) -> ([u8; 32], &'a ClusterName, &'a str, &'a str) {
    let mut hash = Sha256::new();
    for part in [
        offer.provider.to_string().as_str(),
        key.consumer.to_string().as_str(),
        &key.gvk.group,
        &key.gvk.kind,
        key.namespace.as_deref().unwrap_or_default(),
        &key.name,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    (hash.finalize().into(), &offer.provider, &offer.namespace, &offer.name)
}
