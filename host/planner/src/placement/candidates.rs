//! Which offers can have an object now: their judgements, what keeps a provider from taking it, the placement that its copy would
//! get there, and which of them gets it.

use std::sync::Arc;

use resource_broker_api::{
    broker::{NamespacedName, ProviderRef},
    keys,
    names::ClusterName,
    object::Object,
};
use resource_broker_plugin_types::Verdict;
use sha2::{Digest, Sha256};

use crate::{
    model::{
        ownership,
        question::{Judgement, PluginFailure},
        snapshot::{Key, Offer, Placement, Snapshot, Target, View},
    },
    placement::{references, verdict},
};

/// The offers that can have an object, and why the others cannot.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The offers that accept, at providers that can take the object now; each with its score.
    accepting: Vec<(Arc<Offer>, u8)>,
    /// Why the others do not, a line each.
    pub(crate) refusals: Vec<String>,
    /// One could not be judged.
    pub(crate) failed: bool,
    /// None could.
    pub(crate) is_silent: bool,
    /// One accepts, and its provider cannot be read now.
    pub(crate) is_unread: bool,
}

impl Candidates {
    /// Adds an offer, by its judgement and by what keeps its provider from taking the object.
    pub(crate) fn add(&mut self, offer: &Arc<Offer>, judgement: &Judgement, obstacle: impl FnOnce() -> Option<String>) {
        match judgement {
            Ok(Verdict::Refused(violations)) => self.refusals.push(refusal(offer, &verdict::reasons(violations))),
            Err(failure) => {
                self.failed = true;
                self.refusals.push(refusal(offer, &failure.message));
            }
            Ok(Verdict::Accepted { score }) => match obstacle() {
                Some(why) => self.refusals.push(refusal(offer, &why)),
                None => self.accepting.push((Arc::clone(offer), score.unwrap_or_default())),
            },
        }
    }

    /// The offers that can have the object.
    pub(crate) fn offers(&self) -> impl Iterator<Item = &Arc<Offer>> {
        self.accepting.iter().map(|(offer, _)| offer)
    }

    /// Records that no offer could be judged.
    pub(crate) fn fail(&mut self, failure: &PluginFailure) {
        (self.failed, self.is_silent) = (true, true);
        self.refusals.push(failure.message.clone());
    }

    /// The offer with the highest score; of several, the one that the object's even share falls to.
    pub(crate) fn best(&self, key: &Key) -> Option<Arc<Offer>> {
        let best = self.accepting.iter().max_by_key(|(offer, score)| (*score, share(key, offer)));
        best.map(|(offer, _)| Arc::clone(offer))
    }
}

fn refusal(offer: &Offer, why: &str) -> String {
    format!("{} ({}/{}): {why}", offer.provider, offer.namespace, offer.name)
}

/// Whether the provider of an offer cannot be read now, so that it is not known what it would do with an object that the offer
/// accepts.
pub(crate) fn is_unread(snapshot: &Snapshot, offer: &Offer, version: Option<&str>) -> bool {
    let Some(view) = snapshot.providers.get(&offer.provider) else { return false };
    let place = place(snapshot, offer, version.map(str::to_owned));
    matches!(view.offers, View::Unknown { .. })
        || matches!(snapshot.view(&Placement::from(&place)), Some(View::Unknown { .. }))
}

/// What keeps a provider from taking an object that its offer accepts, in the key's version or another one.
pub(crate) fn obstacle(snapshot: &Snapshot, offer: &Offer, version: Option<&str>) -> Option<String> {
    let view = snapshot.providers.get(&offer.provider)?;
    if let Some(why) = references::is_away(snapshot, &offer.provider) {
        return Some(format!("accepts it, but {why}"));
    }
    if let View::Unknown { why, .. } = &view.offers {
        return Some(format!("accepted it, but its offers cannot be read any more: {why}"));
    }
    // A copy that a record has lost is taken over where it is.
    let place = if version.is_none() && snapshot.record.present().is_none() {
        first_place(snapshot, offer)
    } else {
        place(snapshot, offer, version.map(str::to_owned))
    };
    match snapshot.view(&Placement::from(&place))? {
        View::Unknown { why, .. } => Some(format!("accepts it, but its copies cannot be read: {why}")),
        View::Present(copy) if !may_take(snapshot, &offer.provider, copy) => Some(format!(
            "accepts it, but the name {} is taken there by an object that the broker did not make; rename or delete that",
            copy.name()
        )),
        View::Present(_) | View::Absent => None,
    }
}

/// The place of an object without a record: where a copy of it is already, else where the offer wants it.
pub(crate) fn first_place(snapshot: &Snapshot, offer: &Offer) -> ProviderRef {
    let key = &snapshot.key;
    let place = place(snapshot, offer, None);
    let (namespace, name) = (place.namespace.clone(), place.name.clone());
    let wanted = Target::new(offer.provider.clone(), key.gvk.clone(), namespace, name);
    let is_there = |target: &Target| {
        snapshot.view_of(target).and_then(View::present).is_some_and(|copy| ownership::is_claimed(copy, key))
    };
    match std::iter::once(wanted).chain(key.copies_at(&offer.provider)).find(is_there) {
        Some(Target { namespace, name, .. }) => ProviderRef { namespace, name, ..place },
        None => place,
    }
}

/// The place at a provider that an offer gives an object.
pub(crate) fn place(snapshot: &Snapshot, offer: &Offer, version: Option<String>) -> ProviderRef {
    let key = &snapshot.key;
    let (namespace, name) = key.copy_location(offer.copies);
    let gvk = version.as_deref().map_or_else(|| key.gvk.clone(), |version| key.in_version(version).gvk);
    ProviderRef {
        cluster: offer.provider.to_string(),
        accept_api: NamespacedName { namespace: offer.namespace.clone(), name: offer.name.clone() },
        version,
        namespace,
        name,
        uid: None,
        api_version: Some(gvk.api_version()),
        kind: Some(gvk.kind),
        fingerprint: ownership::fingerprint(snapshot, &offer.provider),
        companions: Vec::new(),
        workspace: None,
    }
}

/// The provider that the object's annotation names.
pub(crate) fn claimed(consumer: &Object) -> Option<ClusterName> {
    ClusterName::parse(consumer.annotation(keys::PROVIDER_CLUSTER)?)
}

/// Whether what stands under the copy's name may be this object's: this broker made it, or each of the two names the other.
fn may_take(snapshot: &Snapshot, provider: &ClusterName, copy: &Object) -> bool {
    let recorded = snapshot
        .record
        .present()
        .and_then(|record| record.copy_uid().filter(|_| record.provider().as_ref() == Some(provider)));
    snapshot.is_ours(copy, &snapshot.key, provider, recorded)
        || snapshot.consumer.present().is_some_and(|consumer| is_there_for(snapshot, consumer, provider, copy))
}

/// Whether the copy at a provider is this object's, although no record says so: this broker's apply made it, or a broker placed the
/// object there before (the one written in Go), and object and copy name each other.
pub(crate) fn is_there_for(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName, copy: &Object) -> bool {
    let broker = snapshot.broker.as_deref();
    let name_each_other = claimed(consumer).as_ref() == Some(provider) && ownership::is_claimed(copy, &snapshot.key);
    ownership::is_ours(copy, &snapshot.key, None, broker) || (name_each_other && ownership::is_of(copy, broker))
}

/// Rendezvous hashing: each provider gets an even share, and one that comes or goes moves no more than its own share.
fn share<'a>(key: &Key, offer: &'a Offer) -> ([u8; 32], &'a ClusterName, &'a str, &'a str) {
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
