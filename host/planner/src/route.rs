//! Step 2: which provider takes an object that has none. Needs no client.

use std::sync::Arc;

use resource_broker_api::{conditions::reason, keys, names::ClusterName, object::Object};
use sha2::{Digest, Sha256};

use crate::{
    copy,
    findings::Finding,
    question::{PluginFailure, Verdict},
    snapshot::{Key, Offer, Seat, Snapshot, View},
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
    let mut heard = Heard::default();
    for (offer, verdict) in snapshot.offers.iter().zip(verdicts) {
        heard.hear(offer, verdict, || obstacle(snapshot, offer, None));
    }
    if let Some(held) = heard.candidates.iter().find(|offer| is_taken_over(snapshot, consumer, &offer.provider)) {
        return Route::To(Arc::clone(held));
    }
    if let Some(offer) = heard.best(&snapshot.key) {
        return Route::To(offer);
    }
    let message = format!("none of {} accepts it: {}", count(snapshot.offers.len()), heard.refusals.join(" | "));
    // Who could not be judged might accept.
    Route::Nowhere(if heard.failed {
        Finding::unknown(reason::PLUGIN_FAILED, message)
    } else {
        Finding::no(reason::NO_MATCHING_OFFER, message)
    })
}

/// What several offers said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Those that accept, at providers that can take the object now.
    pub(crate) candidates: Vec<Arc<Offer>>,
    /// Why the others do not, a line each.
    pub(crate) refusals: Vec<String>,
    /// One could not be judged.
    pub(crate) failed: bool,
}

impl Heard {
    /// Takes in what one offer said.
    pub(crate) fn hear(&mut self, offer: &Arc<Offer>, verdict: &Verdict, obstacle: impl FnOnce() -> Option<String>) {
        match verdict {
            Verdict::Refused(why) => self.refusals.push(refusal(offer, &why.join("; "))),
            Verdict::Failed(why) => {
                self.failed = true;
                self.refusals.push(refusal(offer, why));
            }
            Verdict::Accepted => match obstacle() {
                Some(why) => self.refusals.push(refusal(offer, &why)),
                None => self.candidates.push(Arc::clone(offer)),
            },
        }
    }

    /// The candidate that the object's share falls to.
    pub(crate) fn best(&self, key: &Key) -> Option<Arc<Offer>> {
        self.candidates.iter().max_by_key(|offer| weight(key, offer)).map(Arc::clone)
    }
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

/// What keeps a provider from taking an object that its offer accepts, in the key's version or another one.
pub(crate) fn obstacle(snapshot: &Snapshot, offer: &Offer, version: Option<&str>) -> Option<String> {
    let view = snapshot.providers.get(&offer.provider)?;
    if let View::Unknown { why, .. } = &view.offers {
        return Some(format!("accepted it, but its offers cannot be read any more: {why}"));
    }
    let cluster = offer.provider.to_string();
    let seat = Seat { cluster: &cluster, version, namespace: None, name: "" };
    match snapshot.view(&seat)? {
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
