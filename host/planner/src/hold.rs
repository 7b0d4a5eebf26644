//! An object whose provider does not accept it, or cannot be asked: nothing is torn down, the copy stays as it was, and
//! the conditions say so. Needs no client.

use resource_broker_api::{conditions::reason, names::ClusterName};

use crate::{
    findings::Finding,
    question::{PluginFailure, Verdict},
    snapshot::{ProviderView, Record, Snapshot, View},
};

/// Whether an object's provider still takes it.
#[derive(Debug)]
pub enum Standing {
    /// It does; where another offer of the same provider takes it now, its index among the snapshot's.
    Accepted(Option<usize>),
    /// It does not; the copy is frozen.
    Refused(Finding),
    /// It cannot be told; the last good state holds. The finding is absent while nothing is known to be wrong.
    Unknown(Option<Finding>, String),
}

/// Looks at the provider that the record names.
pub fn standing(
    snapshot: &Snapshot,
    record: &Record,
    provider: &ClusterName,
    view: Option<&ProviderView>,
    asked: &[usize],
    judged: Option<&Result<Vec<Verdict>, PluginFailure>>,
) -> Standing {
    let Some(view) = view else {
        return Standing::Refused(Finding::no(
            reason::PROVIDER_GONE,
            format!(
                "{provider}, which holds this object, is not attached to the broker; nothing is torn down, and it goes on when that cluster is attached again"
            ),
        ));
    };
    if let View::Unknown { why, failing } = &view.copy {
        let message = format!("the copy at {provider} cannot be read: {why}");
        return Standing::Unknown(
            failing.then(|| Finding::unknown(reason::PROVIDER_UNAVAILABLE, message.clone())),
            message,
        );
    }
    if let View::Unknown { why, failing } = &view.offers {
        let message = format!("the offers of {provider} cannot be read: {why}");
        return Standing::Unknown(
            failing.then(|| Finding::unknown(reason::PROVIDER_UNAVAILABLE, message.clone())),
            message,
        );
    }
    if asked.is_empty() {
        return Standing::Refused(Finding::no(
            reason::PROVIDER_GONE,
            format!(
                "{provider} has withdrawn its offer of {}; nothing is torn down, and the copy there stays as it is",
                snapshot.key.gvk
            ),
        ));
    }
    let verdicts = match judged {
        Some(Ok(verdicts)) => verdicts,
        Some(Err(failure)) => {
            return Standing::Unknown(
                Some(Finding::unknown(reason::PLUGIN_FAILED, failure.message.clone())),
                "the filter plugin failed".into(),
            );
        }
        None => return Standing::Unknown(None, "the offers have not been judged".into()),
    };
    accepted(snapshot, record, provider, asked, verdicts)
}

fn accepted(
    snapshot: &Snapshot,
    record: &Record,
    provider: &ClusterName,
    asked: &[usize],
    verdicts: &[Verdict],
) -> Standing {
    let recorded = &record.spec.provider.accept_api;
    let accepting =
        || asked.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Accepted).map(|(index, _)| *index);
    let is_recorded = |index: &usize| {
        snapshot.offers.get(*index).is_some_and(|o| o.namespace == recorded.namespace && o.name == recorded.name)
    };
    if accepting().any(|index| is_recorded(&index)) {
        return Standing::Accepted(None);
    }
    if let Some(other) = accepting().next() {
        return Standing::Accepted(Some(other));
    }
    let unjudged = verdicts.iter().find_map(|verdict| match verdict {
        Verdict::Failed(why) => Some(why),
        Verdict::Accepted | Verdict::Refused(_) => None,
    });
    if let Some(why) = unjudged {
        let finding = Finding::unknown(reason::PLUGIN_FAILED, why.clone());
        return Standing::Unknown(Some(finding), "the filter plugin failed".into());
    }
    let reasons: Vec<String> = asked
        .iter()
        .zip(verdicts)
        .filter_map(|(index, verdict)| match verdict {
            Verdict::Refused(why) => {
                let offer = snapshot.offers.get(*index)?;
                Some(format!("{}/{}: {}", offer.namespace, offer.name, why.join("; ")))
            }
            Verdict::Accepted | Verdict::Failed(_) => None,
        })
        .collect();
    Standing::Refused(Finding::no(
        reason::NO_MATCHING_OFFER,
        format!(
            "{provider}, which holds this object, does not accept it as it is now: {}; nothing is torn down, and the copy there stays as it was",
            reasons.join(" | ")
        ),
    ))
}
