//! Where an object could go that its provider does not take any more: which of the other offers accept it, in the version in
//! which it is brokered or another watched one.

use std::sync::Arc;

use resource_broker_api::{broker::ProviderRef, conditions::reason, names::ClusterName, object::Object};

use crate::{
    model::{
        question::{Answers, Judge, Judgement, PluginFailure, Questions},
        snapshot::{Key, Offer, Record, Snapshot},
    },
    placement::{
        acceptance::accepts,
        candidates::{Candidates, is_unread, obstacle},
    },
    plan::findings::Finding,
};

/// Where an object could go.
#[derive(Debug)]
pub(crate) enum Choice {
    /// To the provider of this offer, in the version of its kind that the offer is for.
    To(Arc<Offer>, Option<String>),
    /// Nowhere: what each of the others says.
    Nowhere(String),
    /// It cannot be told now: whether others take it.
    Unknown(Finding),
}

/// A question about offers, with its answer.
pub(crate) type Answered<'a> = (Judge, &'a Result<Vec<Judgement>, PluginFailure>);

/// The offers that were not asked about at first: those of the key's version, then those of each other version.
pub(crate) fn questions(snapshot: &Snapshot, consumer: &Object, asked: &[usize]) -> Vec<Judge> {
    let others: Vec<usize> = (0..snapshot.offers.len()).filter(|index| !asked.contains(index)).collect();
    let json = |object: &Object, key: &Key| object.to_json(&key.gvk.api_version(), &key.gvk.kind);
    let own =
        (!others.is_empty()).then(|| Judge { object: json(consumer, &snapshot.key), version: None, offers: others });
    let versions = snapshot.versions.iter().enumerate().filter_map(|(index, view)| {
        let object = view.consumer.present().filter(|_| !view.offers.is_empty())?;
        let key = snapshot.key.in_version(&view.version);
        Some(Judge { object: json(object, &key), version: Some(index), offers: (0..view.offers.len()).collect() })
    });
    own.into_iter().chain(versions).collect()
}

/// What was answered to [`questions`]: each question with its verdicts. Asks where nobody has been asked.
pub(crate) fn answers<'a>(
    snapshot: &Snapshot,
    consumer: &Object,
    asked: &[usize],
    answers: &'a Answers,
) -> Result<Vec<Answered<'a>>, Box<Questions>> {
    let questions = questions(snapshot, consumer, asked);
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    match &answers.elsewhere {
        Some(said) => Ok(questions.into_iter().zip(said).collect()),
        None => Err(Box::new(Questions { elsewhere: questions, ..Questions::default() })),
    }
}

/// What the offers for the other watched versions say of an object that nobody has, by version. Asks where nobody has been asked.
pub(crate) fn in_other_versions(
    snapshot: &Snapshot,
    consumer: &Object,
    answers: &Answers,
) -> Result<Vec<(String, Candidates)>, Box<Questions>> {
    let own: Vec<usize> = (0..snapshot.offers.len()).collect();
    let judged = self::answers(snapshot, consumer, &own, answers)?;
    let of = |(question, said): Answered<'_>| {
        let view = snapshot.versions.get(question.version?)?;
        let mut candidates = Candidates::default();
        match said {
            Err(failure) => candidates.fail(failure),
            Ok(verdicts) => {
                for (index, judgement) in question.offers.iter().zip(verdicts) {
                    let Some(offer) = view.offers.get(*index) else { continue };
                    candidates.is_unread |= accepts(judgement) && is_unread(snapshot, offer, Some(&view.version));
                    candidates.add(offer, judgement, || obstacle(snapshot, offer, Some(&view.version)));
                }
            }
        }
        Some((view.version.clone(), candidates))
    };
    Ok(judged.into_iter().filter_map(of).collect())
}

/// Chooses among all offers but those of `without`, which are known to refuse.
pub(crate) fn choose(
    snapshot: &Snapshot,
    record: &Record,
    without: &[&ClusterName],
    judged: &[Answered<'_>],
) -> Choice {
    let mut own = Candidates::default();
    let mut refusals = Vec::new();
    let mut failures = Vec::new();
    let mut other_version = None;
    for (question, said) in judged {
        let verdicts = match said {
            Ok(verdicts) => verdicts,
            Err(failure) => {
                failures.push(failure.message.clone());
                continue;
            }
        };
        let view = question.version.and_then(|index| snapshot.versions.get(index));
        let version = view.map(|view| view.version.as_str());
        let offers = view.map_or(&snapshot.offers, |view| &view.offers);
        let mut candidates = Candidates::default();
        for (index, judgement) in question.offers.iter().zip(verdicts) {
            let Some(offer) = offers.get(*index) else { continue };
            // In another version the same provider is another choice.
            if version.is_none() && without.contains(&&offer.provider) {
                continue;
            }
            candidates.add(offer, judgement, || leaving(record, offer).or_else(|| obstacle(snapshot, offer, version)));
        }
        match version {
            None => own = candidates,
            Some(version) => {
                let stays = candidates.offers().find(|offer| without.first() == Some(&&offer.provider)).cloned();
                let best = stays.or_else(|| candidates.best(&snapshot.key)).map(|offer| (offer, version.to_owned()));
                other_version = other_version.or(best);
                refusals.extend(candidates.refusals.into_iter().map(|line| format!("{line} (as {version})")));
                own.failed |= candidates.failed;
            }
        }
    }
    // What stays with its provider is not moved at all.
    if let Some((offer, version)) = other_version.clone().filter(|(offer, _)| without.first() == Some(&&offer.provider))
    {
        return Choice::To(offer, Some(version));
    }
    if let Some(offer) = own.best(&snapshot.key) {
        return Choice::To(offer, None);
    }
    if let Some((offer, version)) = other_version {
        return Choice::To(offer, Some(version));
    }
    if let Some(failure) = failures.pop() {
        return Choice::Unknown(Finding::unknown(reason::PLUGIN_FAILED, failure));
    }
    let all: Vec<String> = own.refusals.into_iter().chain(refusals).collect();
    if own.failed {
        return Choice::Unknown(Finding::unknown(reason::PLUGIN_FAILED, all.join(" | ")));
    }
    Choice::Nowhere(if all.is_empty() {
        format!("no other provider offers {}", snapshot.key.gvk)
    } else {
        format!("no other provider takes it: {}", all.join(" | "))
    })
}

/// A provider that the object has left takes it again when what it had is gone.
fn leaving(record: &Record, offer: &Offer) -> Option<String> {
    let cluster = offer.provider.to_string();
    let is_left = record.spec.previous.iter().any(|place| place.cluster == cluster);
    is_left.then(|| "accepts it, but the copy that it had before has not gone yet".into())
}

/// The place of a copy that stays where it is, under another offer of the same provider: how that wants its copies says
/// nothing about those that are made.
pub(crate) fn stays(place: &ProviderRef, offer: &Offer, version: Option<String>) -> ProviderRef {
    let accept_api =
        resource_broker_api::broker::NamespacedName { namespace: offer.namespace.clone(), name: offer.name.clone() };
    let api_version = match (&version, &place.api_version) {
        (Some(version), Some(recorded)) => {
            let group = recorded.rsplit_once('/').map(|(group, _)| format!("{group}/"));
            Some(format!("{}{version}", group.unwrap_or_default()))
        }
        (_, recorded) => recorded.clone(),
    };
    ProviderRef { accept_api, version, api_version, ..place.clone() }
}
