//! A way out for an object whose provider refuses its first copy: its offer accepts what its API server does not. Another
//! provider that accepts the object gets it, and none is tried twice for one generation.

use resource_broker_api::{broker::AssignmentSpec, conditions::reason, names::ClusterName};

use crate::{
    model::{
        question::Questions,
        snapshot::{Failure, Part, Placement, View},
    },
    placement::{
        alternatives::{self, Choice},
        candidates,
    },
    plan::{
        About, Action, Event, Guard, Plan, State,
        findings::Finding,
        text::{self, MAX_EVENT},
        writes,
    },
    relocation::relocate::Held,
    sync::refusals::refused,
};

/// Sends an object whose provider refused its first copy to another one that accepts it; `None` where there is nothing of that.
///
/// # Errors
///
/// What has to be asked of the other offers.
pub(crate) fn reroute(held: Held<'_>) -> Result<Option<Plan>, Box<Questions>> {
    let Held { snapshot, consumer, record, provider, asked, answers } = held;
    let refusals: Vec<(&ClusterName, &str)> = refused(snapshot, consumer).collect();
    let Some((_, why)) = refusals.iter().find(|(refusing, _)| *refusing == provider) else { return Ok(None) };
    let has_none = record.spec.provider.uid.is_none() && record.status.copy.is_none() && record.spec.next.is_none();
    let is_absent = matches!(snapshot.view(&Placement::from(&record.spec.provider)), Some(View::Absent));
    if !has_none || !is_absent {
        return Ok(None);
    }
    let said = alternatives::answers(snapshot, consumer, asked, answers)?;
    let without: Vec<&ClusterName> =
        std::iter::once(provider).chain(refusals.iter().map(|(refusing, _)| *refusing)).collect();
    let Choice::To(offer, version) = alternatives::choose(snapshot, record, &without, &said) else { return Ok(None) };
    // In another version a provider that refuses is as good as before: the object stays, and is tried again.
    if refusals.iter().any(|(refusing, _)| **refusing == offer.provider) {
        return Ok(None);
    }
    let mut spec = AssignmentSpec { provider: candidates::place(snapshot, &offer, None), ..record.spec.clone() };
    let before = &record.spec.consumer.version;
    for place in &mut spec.previous {
        place.version.get_or_insert_with(|| before.clone());
    }
    if let Some(version) = version {
        spec.consumer.version = version;
    }
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    // A request without an answer may have made a copy after all.
    let guards = record.target(&Placement::from(&record.spec.provider)).map(Guard::Gone).into_iter().collect();
    plan.then([writes::update(record, spec, guards)]);
    let message = format!("{provider} refuses the copy, so {} gets the object: {why}", offer.provider);
    let finding = Finding::of_failure(&Failure { part: Part::Copy, invalid: true, reason: reason::INVALID, message });
    let message = text::clip(&finding.outside().message, MAX_EVENT);
    let reason = reason::INVALID.to_owned();
    let about = About::Object(snapshot.key.target(), consumer.uid().into());
    plan.then([Action::Event(Event { about, warning: true, reason, message })]);
    Ok(Some(plan))
}
