//! Whether a provider takes an object as it is now, and what it means where it does not or cannot be asked.

use std::{sync::Arc, time::Duration};

use resource_broker_api::{broker::ProviderRef, conditions::reason, names::ClusterName, object::Object};
use resource_broker_plugin_types::Verdict;

use crate::{
    model::{
        identity,
        question::{Answers, Judgement, PluginFailure},
        snapshot::{Offer, Snapshot, View},
    },
    placement::{references, verdict},
    plan::findings::Finding,
};

/// Whether a provider takes an object.
#[derive(Debug)]
pub enum Acceptance {
    /// It does; where another of its offers takes it now than the one that is recorded, that one.
    Accepted(Option<Arc<Offer>>),
    /// It does not.
    Refused(Refusal),
    /// It cannot be told; the last good state holds. The finding is absent while nothing is known to be wrong.
    Unknown(Option<Finding>, String),
}

/// How a provider refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its cluster is not attached.
    Detached,
    /// Another cluster stands under its name; what administrators are told.
    Changed(String),
    /// It offers the kind no more.
    Withdrawn,
    /// What the object refers to is at another provider.
    Elsewhere(String),
    /// Each of its offers refuses the object; with their reasons.
    Rules(String),
}

impl Refusal {
    /// Why the object is not accepted where it is; `then` says what comes of it.
    pub fn finding(&self, snapshot: &Snapshot, provider: &ClusterName, then: &str) -> Finding {
        match self {
            Self::Detached => Finding::no(
                reason::PROVIDER_GONE,
                format!(
                    "{provider}, which holds this object, is not attached to the broker; nothing is torn down, and it goes on when that cluster is attached again"
                ),
            ),
            Self::Changed(why) => Finding {
                inside: Some(why.clone()),
                ..Finding::no(
                    reason::CLUSTER_CHANGED,
                    format!(
                        "another cluster is there now than the one that is known as {provider} and holds this object; nothing is \
                         written or deleted there, and nothing moves, until an administrator of the broker has decided"
                    ),
                )
            },
            Self::Withdrawn => Finding::no(
                reason::PROVIDER_GONE,
                format!("{provider} has withdrawn its offer of {}; {then}", snapshot.key.gvk),
            ),
            Self::Elsewhere(why) => {
                Finding::no(reason::REFERENCE_ELSEWHERE, format!("{provider} holds this object, but {why}; {then}"))
            }
            Self::Rules(why) => Finding::no(
                reason::NO_MATCHING_OFFER,
                format!("{provider}, which holds this object, does not accept it as it is now: {why}; {then}"),
            ),
        }
    }

    /// The same in a few words, of a provider that does not hold the object.
    pub fn words(&self) -> &str {
        match self {
            Self::Detached => "it is not attached to the broker",
            Self::Changed(_) => "another cluster is there now than the one that is known by this name",
            Self::Withdrawn => "it has withdrawn its offer",
            Self::Elsewhere(why) | Self::Rules(why) => why,
        }
    }
}

/// What a provider's offers say.
pub struct Said<'a> {
    /// Each offer with its judgement; `Err` where the plugin failed; `None` where nobody was asked.
    pub verdicts: Option<Result<Vec<Judged<'a>>, &'a PluginFailure>>,
}

/// An offer with its judgement.
pub type Judged<'a> = (&'a Arc<Offer>, &'a Judgement);

/// What the offers of `provider` say of the object in the key's version. `asked` are the offers of the first question.
pub fn said<'a>(snapshot: &'a Snapshot, asked: &[usize], answers: &'a Answers, provider: &ClusterName) -> Said<'a> {
    let of_provider = |judged: &'a Vec<Judgement>| {
        let all = asked.iter().zip(judged).filter_map(|(index, verdict)| Some((snapshot.offers.get(*index)?, verdict)));
        all.filter(|(offer, _)| offer.provider == *provider).collect()
    };
    let offers_nothing =
        !asked.iter().any(|index| snapshot.offers.get(*index).is_some_and(|o| o.provider == *provider));
    if offers_nothing {
        return Said { verdicts: Some(Ok(Vec::new())) };
    }
    Said { verdicts: answers.judge.as_ref().map(|judged| judged.as_ref().map(of_provider)) }
}

/// Whether an offer accepts the object.
pub(crate) fn accepts(judgement: &Judgement) -> bool {
    judgement.as_ref().is_ok_and(Verdict::is_accepted)
}

/// Looks at one of the places that the record names.
pub fn acceptance(snapshot: &Snapshot, at: &ProviderRef, provider: &ClusterName, said: &Said<'_>) -> Acceptance {
    if let Some(why) = identity::changed(snapshot, &at.cluster, at.fingerprint.as_deref()) {
        return Acceptance::Refused(Refusal::Changed(why));
    }
    let (Some(view), Some(copy)) = (snapshot.providers.get(provider), snapshot.view(&at.into())) else {
        return Acceptance::Refused(Refusal::Detached);
    };
    if let View::Unknown { why, failing } = copy {
        return unreadable(format!("the copy at {provider} cannot be read: {why}"), *failing);
    }
    if let View::Unknown { why, failing } = &view.offers {
        return unreadable(format!("the offers of {provider} cannot be read: {why}"), *failing);
    }
    if let Some(why) = references::unread(snapshot) {
        return Acceptance::Unknown(None, why);
    }
    if let Some(why) = references::is_away(snapshot, provider) {
        return Acceptance::Refused(Refusal::Elsewhere(why));
    }
    match &said.verdicts {
        Some(Ok(verdicts)) if verdicts.is_empty() => Acceptance::Refused(Refusal::Withdrawn),
        Some(Ok(verdicts)) => of_offers(at, verdicts),
        Some(Err(failure)) => Acceptance::Unknown(
            Some(Finding::unknown(reason::PLUGIN_FAILED, failure.message.clone())),
            "the filter plugin failed".into(),
        ),
        None => Acceptance::Unknown(None, "the offers have not been judged".into()),
    }
}

fn unreadable(message: String, failing: bool) -> Acceptance {
    Acceptance::Unknown(failing.then(|| Finding::unknown(reason::PROVIDER_UNAVAILABLE, message.clone())), message)
}

fn of_offers(at: &ProviderRef, verdicts: &[Judged<'_>]) -> Acceptance {
    let recorded = &at.accept_api;
    let accepting = || verdicts.iter().filter(|(_, judgement)| accepts(judgement)).map(|(offer, _)| *offer);
    if accepting().any(|offer| offer.namespace == recorded.namespace && offer.name == recorded.name) {
        return Acceptance::Accepted(None);
    }
    if let Some(other) = accepting().next() {
        return Acceptance::Accepted(Some(Arc::clone(other)));
    }
    let unjudged = verdicts.iter().find_map(|(_, judgement)| judgement.as_ref().err());
    if let Some(failure) = unjudged {
        let finding = Finding::unknown(reason::PLUGIN_FAILED, failure.message.clone());
        return Acceptance::Unknown(Some(finding), "the filter plugin failed".into());
    }
    let reasons: Vec<String> = verdicts
        .iter()
        .filter_map(|(offer, judgement)| match judgement {
            Ok(Verdict::Refused(violations)) => {
                Some(format!("{}/{}: {}", offer.namespace, offer.name, verdict::reasons(violations)))
            }
            Ok(Verdict::Accepted { .. }) | Err(_) => None,
        })
        .collect();
    Acceptance::Refused(Refusal::Rules(reasons.join(" | ")))
}

/// For how long a refusal must still last before it counts; `None`: it counts now. One that follows from a change of the
/// object itself counts at once.
pub fn rest(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName) -> Option<Duration> {
    let judged = snapshot.memory.judged.get(provider).cloned().unwrap_or_default();
    still(snapshot, consumer, judged.accepted, judged.refused_for)
}

/// The same of an acceptance by the provider that the object is leaving.
pub fn rest_of_return(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName) -> Option<Duration> {
    let judged = snapshot.memory.judged.get(provider).cloned().unwrap_or_default();
    still(snapshot, consumer, judged.refused, judged.accepted_for)
}

/// How much longer a verdict must last that has `lasted` for so long and was another one for the object's generation `before`.
fn still(snapshot: &Snapshot, consumer: &Object, before: Option<i64>, lasted: Option<Duration>) -> Option<Duration> {
    if before.is_some() && before != consumer.meta.generation {
        return None;
    }
    snapshot.limits.settle.checked_sub(lasted.unwrap_or_default()).filter(|rest| !rest.is_zero())
}
