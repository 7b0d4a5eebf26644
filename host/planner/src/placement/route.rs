//! Which provider takes an object that has none.

use std::sync::Arc;

use resource_broker_api::{
    broker::{Copies, MigrationState, ProviderRef},
    conditions::reason,
    keys,
    names::ClusterName,
    object::Object,
};

use crate::{
    model::{
        filters::Filters,
        ownership,
        question::{Answers, Questions},
        snapshot::{Offer, Placement, Snapshot, VersionView, View},
    },
    placement::{
        acceptance::accepts,
        alternatives,
        candidates::{self, Candidates, claimed, is_there_for, is_unread, obstacle},
        references,
    },
    plan::findings::Finding,
};

/// Where an object without a record goes.
#[derive(Debug)]
pub enum Route {
    /// To the provider of this offer.
    To(Arc<Offer>),
    /// Nowhere, for now.
    Nowhere(Finding),
    /// Where its copy is that a migration begins with, or has brought it to, although its record is gone. Whether that provider
    /// still accepts it is another question, and the copy stays as it is.
    Back(Arc<Offer>, Box<ProviderRef>),
    /// It cannot be told yet: this is awaited.
    Wait(String),
    /// Nothing is to be done about it in this version of its kind: why.
    OtherVersion(String),
}

/// Chooses a provider.
///
/// # Errors
///
/// What has to be asked of the offers for other versions of the kind, before it can be said that nobody takes the object.
pub fn route(snapshot: &Snapshot, consumer: &Object, answers: &Answers) -> Result<Route, Box<Questions>> {
    if let Some(known) = migrated(snapshot, consumer).or_else(|| unread_claim(snapshot, consumer)) {
        return Ok(known);
    }
    if let Some(why) = references::unread(snapshot) {
        return Ok(Route::Wait(why));
    }
    if let Some(finding) = references::waits(snapshot) {
        return Ok(Route::Nowhere(finding));
    }
    let mut candidates = Candidates::default();
    match &answers.judge {
        _ if snapshot.offers.is_empty() => {}
        Some(Ok(verdicts)) => {
            for (offer, judgement) in snapshot.offers.iter().zip(verdicts) {
                candidates.is_unread |= accepts(judgement) && is_unread(snapshot, offer, None);
                candidates.add(offer, judgement, || obstacle(snapshot, offer, None));
            }
        }
        Some(Err(failure)) => candidates.fail(failure),
        None => return Ok(Route::Wait("the offers have not been judged".into())),
    }
    if let Some(offer) = candidates.offers().find(|offer| is_taken_over(snapshot, consumer, &offer.provider)) {
        return Ok(Route::To(Arc::clone(offer)));
    }
    if let Some(offer) = candidates.best(&snapshot.key) {
        return Ok(Route::To(offer));
    }
    nowhere(snapshot, consumer, candidates, answers)
}

/// No offer for the object's version takes it: those for the other versions are asked before anything is said of that. Each
/// version's passes come to the same words.
fn nowhere(
    snapshot: &Snapshot,
    consumer: &Object,
    own: Candidates,
    answers: &Answers,
) -> Result<Route, Box<Questions>> {
    let is_on_its_way = |view: &&VersionView| {
        !view.offers.is_empty() && matches!(view.consumer, View::Absent | View::Unknown { failing: false, .. })
    };
    if let Some(view) = snapshot.versions.iter().find(is_on_its_way) {
        return Ok(Route::Wait(format!("the object has not been read as {} yet", view.version)));
    }
    let mut versions = alternatives::in_other_versions(snapshot, consumer, answers)?;
    if let Some((version, _)) = versions.iter().find(|(_, candidates)| candidates.offers().next().is_some()) {
        return Ok(Route::OtherVersion(format!("an offer for its version {version} takes it")));
    }
    let asked = |view: &&VersionView| versions.iter().any(|(version, _)| *version == view.version);
    let others = snapshot.versions.iter().filter(asked).map(|view| view.offers.len());
    let offers = snapshot.offers.len() + others.sum::<usize>();
    if offers == 0 {
        return Ok(Route::Nowhere(no_offers(snapshot)));
    }
    if !snapshot.offers.is_empty() {
        versions.push((snapshot.key.gvk.version.clone(), own));
    }
    versions.sort_by(|(one, _), (other, _)| one.cmp(other));
    let in_several = versions.len() > 1;
    let lines = versions.iter().flat_map(|(version, candidates)| {
        let tag = if in_several { format!(" (as {version})") } else { String::new() };
        candidates.refusals.iter().map(move |line| format!("{line}{tag}"))
    });
    let lines = lines.collect::<Vec<_>>().join(" | ");
    if versions.iter().all(|(_, candidates)| candidates.is_silent) {
        return Ok(Route::Nowhere(Finding::unknown(reason::PLUGIN_FAILED, lines)));
    }
    if versions.iter().any(|(_, candidates)| candidates.is_unread)
        && !versions.iter().any(|(_, candidates)| candidates.failed)
    {
        let message = match offers {
            1 => format!("the one offer that there is cannot be used now: {lines}"),
            several => format!("none of {several} offers can be used now: {lines}"),
        };
        return Ok(Route::Nowhere(Finding::unknown(reason::PROVIDER_UNAVAILABLE, message)));
    }
    let message = match offers {
        1 => format!("the one offer that there is does not accept it: {lines}"),
        several => format!("none of {several} offers accepts it: {lines}"),
    };
    // Who could not be judged might accept.
    Ok(Route::Nowhere(if versions.iter().any(|(_, candidates)| candidates.failed) {
        Finding::unknown(reason::PLUGIN_FAILED, message)
    } else {
        Finding::no(reason::NO_MATCHING_OFFER, message)
    }))
}

/// An object without a record whose Migration is there: somebody deleted the record. The Migration, which no tenant writes, says
/// which copy serves: until it was completed, the one that it begins with, which may be the only one with the data.
fn migrated(snapshot: &Snapshot, consumer: &Object) -> Option<Route> {
    // Nothing of an object without the finalizer was ever anywhere: the Migration is of an earlier one of its name.
    if !consumer.has_finalizer(keys::GENERIC_FINALIZER) {
        return None;
    }
    let migration = match &snapshot.migration.object {
        View::Unknown { why, .. } => return Some(Route::Wait(format!("Migrations cannot be read: {why}"))),
        View::Absent => return None,
        View::Present(migration) => migration,
    };
    let is_complete = migration.status.state == Some(MigrationState::CutoverCompleted);
    let end = if is_complete { &migration.spec.to } else { &migration.spec.from };
    let version = &end.gvk.version;
    if *version != snapshot.key.gvk.version && snapshot.versions.iter().any(|view| view.version == *version) {
        return Some(Route::OtherVersion(format!("its Migration says that it is brokered as {version}")));
    }
    let provider = ClusterName::parse(&end.cluster_name)?;
    let unread = |why: &str| {
        format!(
            "{provider}, which serves this object as Migration {} says, {why}; if nothing of this object is there, delete that \
             Migration",
            migration.name
        )
    };
    let placement =
        Placement { cluster: &end.cluster_name, version: None, namespace: end.namespace.as_deref(), name: &end.name };
    match snapshot.view(&placement) {
        None => {
            let message = unread("is not attached to the broker");
            Some(Route::Nowhere(Finding::unknown(reason::PROVIDER_UNAVAILABLE, message)))
        }
        Some(View::Unknown { why, failing }) => {
            let message = unread(&format!("cannot be read: {why}"));
            Some(if *failing {
                Route::Nowhere(Finding::unknown(reason::PROVIDER_UNAVAILABLE, message))
            } else {
                Route::Wait(message)
            })
        }
        Some(View::Present(copy)) if is_live_and_ours(snapshot, copy) => {
            let offer = offer_at(snapshot, &provider);
            let (namespace, name) = (end.namespace.clone(), end.name.clone());
            let place = ProviderRef { namespace, name, ..candidates::place(snapshot, &offer, None) };
            Some(Route::Back(offer, Box::new(place)))
        }
        Some(View::Present(_) | View::Absent) => None,
    }
}

/// The Migration names it, so its marks are believed.
fn is_live_and_ours(snapshot: &Snapshot, copy: &Object) -> bool {
    let broker = snapshot.broker.as_deref();
    let is_ours = ownership::is_ours(copy, &snapshot.key, None, broker);
    (is_ours || (ownership::is_claimed(copy, &snapshot.key) && ownership::is_of(copy, broker))) && !copy.is_deleting()
}

/// The offer by which a provider is recorded to have an object, whether it accepts that or not. One that offers nothing any more
/// has withdrawn what it offered, and no record says how that was called.
fn offer_at(snapshot: &Snapshot, provider: &ClusterName) -> Arc<Offer> {
    let offered = snapshot.offers.iter().find(|offer| offer.provider == *provider);
    offered.map_or_else(
        || {
            let (namespace, name) = ("unknown".to_owned(), "withdrawn".to_owned());
            Arc::new(Offer {
                provider: provider.clone(),
                namespace,
                name,
                filters: Filters::default(),
                copies: Copies::default(),
                related_namespaces: Vec::new(),
            })
        },
        Arc::clone,
    )
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
    let versions = snapshot.versions.iter().map(|view| snapshot.key.in_version(&view.version).gvk.to_string());
    let mut kinds: Vec<String> = versions.chain([snapshot.key.gvk.to_string()]).collect();
    kinds.sort_unstable();
    let kind = kinds.join(" or ");
    let mut message = format!("no provider offers {kind}: an AcceptAPI for it is needed in a provider cluster");
    if !unread.is_empty() {
        message.push_str("; not known yet: ");
        message.push_str(&unread.join(", "));
    }
    Finding::no(reason::NO_OFFERS, message)
}

/// Whether a broker placed the object there before, and the copy is still there.
fn is_taken_over(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName) -> bool {
    claimed(consumer).as_ref() == Some(provider)
        && snapshot.key.copies_at(provider).iter().any(|target| {
            let there = snapshot.view_of(target).and_then(View::present);
            there.is_some_and(|copy| is_there_for(snapshot, consumer, provider, copy))
        })
}
