//! The pure core: from what the caches hold of one object to what is to be done about it.
//!
//! A [`snapshot::Snapshot`] goes in; [`ask`] says what plugins must be asked, [`plan`] turns snapshot and answers
//! into a [`plan::Plan`]. There is no client, no clock, no randomness and no environment here: the time is in the
//! snapshot and ties are broken by names, so the same snapshot gives the same plan. Nothing here is async.
//!
//! ```text
//!              consumer object
//!        no record │        │ record
//!          route ──┘        └── hold (does its provider still take it?)
//!            │                    │
//!            └──── copy ──── related ──── status        delete ── when the object goes
//!   offer ── an AcceptAPI's own conditions              sweep ─── a copy that nobody's record names
//! ```
//!
//! What is deliberately not here: retries and their pace (the queue's), how a write is sent (the host's), what an
//! offer's filters mean (the sandbox's).

pub mod check;
pub mod copy;
pub mod delete;
pub mod digest;
pub mod findings;
pub mod hold;
pub mod offer;
pub mod owned;
pub mod plan;
pub mod question;
pub mod related;
pub mod route;
pub mod snapshot;
pub mod status;
pub mod sweep;

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resource_broker_api::{
    broker::{AssignmentSpec, ConsumerRef, NamespacedName, ProviderRef},
    conditions::{ACCEPTED, SYNCED, reason},
    keys,
    names::ClusterName,
    object::Object,
};

use crate::{
    delete::Why,
    findings::{Finding, Findings, Holds, is_trouble},
    hold::Standing,
    plan::{About, Action, Event, Plan, State},
    question::{Answers, Judge, Questions, Transform},
    route::Route,
    snapshot::{Failure, Key, Offer, Part, Record, Snapshot, View},
};

/// How long the provider's side has to react before the consumer is shown that nothing has come yet. Most providers
/// answer sooner, which saves a write.
const SETTLE_OBJECT: Duration = Duration::from_secs(1);
/// The same for the record, which fewer people look at.
const SETTLE_RECORD: Duration = Duration::from_secs(3);

/// What plugins have to be asked before [`plan`].
pub fn ask(snapshot: &Snapshot) -> Questions {
    let Some(consumer) = snapshot.consumer.present().filter(|consumer| !consumer.is_deleting()) else {
        return Questions::default();
    };
    let json = || consumer.to_json(&snapshot.key.gvk.api_version(), &snapshot.key.gvk.kind);
    let offers = asked_offers(snapshot, consumer);
    let judge = (!offers.is_empty()).then(|| Judge { object: json(), offers });
    let transform =
        snapshot.copy().filter(|copy| snapshot.shape.status && copy.field("status").is_some()).and_then(|copy| {
            Some(Transform {
                copy: copy.to_json(&snapshot.key.gvk.api_version(), &snapshot.key.gvk.kind),
                previous: json(),
                prefix: snapshot.key.consumer.copy_prefix(),
                consumer_namespace: consumer.namespace().unwrap_or_default().to_owned(),
                provider: snapshot.record.present()?.provider()?,
            })
        });
    Questions { judge, transform }
}

/// The offers that a pass asks about: all of them for an object without a record, else those of its provider.
fn asked_offers(snapshot: &Snapshot, consumer: &Object) -> Vec<usize> {
    let all = snapshot.offers.iter().enumerate();
    match &snapshot.record {
        View::Unknown { .. } => Vec::new(),
        View::Absent if is_made_by_broker(consumer) => Vec::new(),
        View::Absent => all.map(|(index, _)| index).collect(),
        View::Present(record) if record.spec.consumer.uid != consumer.uid() => Vec::new(),
        View::Present(record) => {
            let provider = record.provider();
            all.filter(|(_, offer)| Some(&offer.provider) == provider.as_ref()).map(|(index, _)| index).collect()
        }
    }
}

/// Copied related resources are never brokered in turn.
fn is_made_by_broker(consumer: &Object) -> bool {
    consumer.label(keys::RELATED_TO).is_some()
}

/// What is to be done about one consumer object.
pub fn plan(snapshot: &Snapshot, answers: &Answers) -> Plan {
    let record = match &snapshot.record {
        View::Unknown { why, .. } => return Plan::wait(State::Waiting, format!("Assignments cannot be read: {why}")),
        View::Absent => None,
        View::Present(record) => Some(record),
    };
    let consumer = match &snapshot.consumer {
        View::Unknown { why, .. } => {
            return Plan::wait(State::Waiting, format!("{} cannot be read: {why}", snapshot.key.consumer));
        }
        View::Absent => None,
        View::Present(consumer) => Some(consumer),
    };
    let plan = match (consumer, record) {
        (None, None) => Plan::default(),
        (None, Some(record)) => delete::take_down(snapshot, record, Why::Vanished),
        (Some(consumer), None) if consumer.is_deleting() => delete::release_unrecorded(snapshot, consumer),
        (Some(consumer), None) if is_made_by_broker(consumer) => Plan::default(),
        (Some(consumer), None) => place(snapshot, consumer, answers),
        (Some(consumer), Some(record)) if record.spec.consumer.uid != consumer.uid() => {
            delete::take_down(snapshot, record, Why::Replaced)
        }
        (Some(consumer), Some(record)) if record.spec.consumer.version != snapshot.key.gvk.version => {
            other_version(snapshot, consumer, record)
        }
        (Some(consumer), Some(record)) if consumer.is_deleting() => {
            delete::take_down(snapshot, record, Why::Deleting(consumer))
        }
        (Some(consumer), Some(record)) => keep(snapshot, consumer, record, answers),
    };
    check::check(snapshot, &plan);
    plan
}

/// How long a cluster may be unread before objects tell of it: then they are looked at again. The host counts ten
/// seconds.
const UNREAD: Duration = Duration::from_secs(11);

/// Something has to be read first. If that does not happen soon, it is told.
fn wait_for_cluster(why: impl Into<String>) -> Plan {
    let mut plan = Plan::wait(State::Waiting, why);
    plan.again_in(UNREAD);
    plan
}

/// The record names another version of the kind. Where that is watched no more, the key's takes its place.
fn other_version(snapshot: &Snapshot, consumer: &Object, record: &Record) -> Plan {
    let recorded = &record.spec.consumer.version;
    if snapshot.record_is_watched {
        return Plan::wait(State::None, format!("it is brokered as {recorded}"));
    }
    let mut spec = record.spec.clone();
    spec.consumer = consumer_ref(&snapshot.key, consumer);
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    plan.then([Action::UpdateRecord { name: record.name.clone(), uid: record.uid.clone(), spec: Box::new(spec) }]);
    plan
}

/// An object that nobody has.
fn place(snapshot: &Snapshot, consumer: &Arc<Object>, answers: &Answers) -> Plan {
    match route::route(snapshot, consumer, answers.judge.as_ref()) {
        Route::Wait(why) => wait_for_cluster(why),
        Route::Nowhere(accepted) => {
            let mut plan = Plan { state: State::Unplaced, ..Plan::default() };
            let findings = Findings::unplaced(accepted);
            plan.waits.push(findings.accepted.message.clone());
            plan.then(status::put(snapshot, consumer, without_conditions(consumer), &findings));
            plan.then(events(snapshot, consumer, None, &findings));
            plan
        }
        Route::To(offer) => place_at(snapshot, consumer, &offer),
    }
}

fn place_at(snapshot: &Snapshot, consumer: &Object, offer: &Offer) -> Plan {
    let key = &snapshot.key;
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    let spec = Box::new(record_spec(key, consumer, offer));
    let record = Action::CreateRecord { name: key.record_name(), spec };
    // The record is written before anything is created; the object's own marks wait for nothing.
    plan.then(std::iter::once(record).chain(copy::decorate(key, consumer, &offer.provider)));
    let there = snapshot.providers.get(&offer.provider).and_then(|view| view.copy.present());
    let step = copy::copy(snapshot, consumer, &offer.provider, None, there.map(AsRef::as_ref));
    plan.then(step.action);
    if let Some(failure) = failure(snapshot).filter(|failure| failure.part != Part::Status) {
        let findings = Findings {
            accepted: Finding::yes(reason::ACCEPTED, format!("{} takes this object", offer.provider)),
            synced: Finding::no(failure.reason, failure.message.clone()),
            ready: Finding::no(failure.reason, "no provider has a copy yet"),
        };
        let shown = status::put(snapshot, consumer, without_conditions(consumer), &findings).into_iter().collect();
        let told = [shown, events(snapshot, consumer, None, &findings)];
        // Told before it is tried again, since a step that fails ends the pass.
        plan.steps.splice(0..0, told.into_iter().filter(|step| !step.is_empty()));
    }
    plan
}

fn consumer_ref(key: &Key, consumer: &Object) -> ConsumerRef {
    ConsumerRef {
        cluster: key.consumer.to_string(),
        group: key.gvk.group.clone(),
        version: key.gvk.version.clone(),
        kind: key.gvk.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: consumer.uid().into(),
    }
}

fn record_spec(key: &Key, consumer: &Object, offer: &Offer) -> AssignmentSpec {
    AssignmentSpec {
        consumer: consumer_ref(key, consumer),
        provider: ProviderRef {
            cluster: offer.provider.to_string(),
            accept_api: NamespacedName { namespace: offer.namespace.clone(), name: offer.name.clone() },
            namespace: key.namespace.clone(),
            name: key.copy_name(),
        },
        next: None,
    }
}

/// An object that a provider has.
fn keep(snapshot: &Snapshot, consumer: &Arc<Object>, record: &Arc<Record>, answers: &Answers) -> Plan {
    let Some(provider) = record.provider() else {
        return Plan::wait(State::Blocked, format!("Assignment {} names no provider cluster", record.name));
    };
    let view = snapshot.providers.get(&provider);
    let asked = asked_offers(snapshot, consumer);
    match hold::standing(snapshot, record, &provider, view, &asked, answers.judge.as_ref()) {
        Standing::Accepted(other) => {
            let offer = other.and_then(|index| snapshot.offers.get(index));
            let mut plan = Plan::default();
            plan.then(offer.map(|offer| Action::UpdateRecord {
                name: record.name.clone(),
                uid: record.uid.clone(),
                spec: Box::new(record_spec(&snapshot.key, consumer, offer)),
            }));
            let accepted = Finding::yes(reason::ACCEPTED, format!("{provider} takes this object"));
            in_service(snapshot, consumer, record, &provider, accepted, false, answers, plan)
        }
        Standing::Refused(accepted) => {
            in_service(snapshot, consumer, record, &provider, accepted, true, answers, Plan::default())
        }
        Standing::Unknown(Some(accepted), _) if view.is_some_and(|view| view.copy.is_known()) => {
            in_service(snapshot, consumer, record, &provider, accepted, true, answers, Plan::default())
        }
        Standing::Unknown(finding, why) => {
            let mut plan = wait_for_cluster(why);
            if let Some(finding) = finding {
                let accepted = Finding::yes(reason::ACCEPTED, format!("{provider} has this object"));
                let ready = status::ready(&provider, snapshot.shape, consumer.field("status").as_ref());
                let findings = Findings { accepted, synced: finding, ready };
                plan.state = State::Blocked;
                tell(&mut plan, snapshot, consumer, record, None, without_conditions(consumer), &findings);
            }
            plan
        }
    }
}

/// Copy, related resources and status of an object whose provider can be read. Where it is `frozen` the copy stays
/// as it is; what comes back from the provider still comes back.
#[allow(clippy::too_many_arguments, reason = "one step of the flow, called from one place with what it found")]
fn in_service(
    snapshot: &Snapshot,
    consumer: &Arc<Object>,
    record: &Arc<Record>,
    provider: &ClusterName,
    accepted: Finding,
    frozen: bool,
    answers: &Answers,
    mut plan: Plan,
) -> Plan {
    let key = &snapshot.key;
    let copy = snapshot.copy().filter(|copy| copy::is_ours(copy, key, Some(record)));
    let mut synced =
        Finding::no(reason::NOT_ACCEPTED, format!("the copy at {provider} stays as it was: {}", accepted.message));
    if frozen {
        if snapshot.copy().is_none() || accepted.holds == Holds::Unknown {
            synced = Finding { holds: Holds::Unknown, ..accepted.clone() };
        }
    } else {
        let there = snapshot.copy().map(AsRef::as_ref);
        let step = copy::copy(snapshot, consumer, provider, Some(record), there);
        plan.then(step.action.into_iter().chain(copy::decorate(key, consumer, provider)));
        step.again.map(|again| plan.again_in(again));
        synced = step.synced;
    }
    // A copy that goes has its finalizer released, so that it can be made again.
    if let Some(gone) = copy.filter(|copy| copy.is_deleting() && copy.finalizers() == [keys::GENERIC_FINALIZER]) {
        plan.then([delete::release(key.copy_at(provider), gone, Vec::new())]);
    }
    if let Some(copy) = copy {
        let related = related::related(snapshot, consumer, provider, &record.name, copy);
        plan.then(related.actions);
        related.again.map(|again| plan.again_in(again));
        if related.pending && snapshot.memory.failure.is_none() {
            // Whoever waits for the object to be ready expects its Secret to be there then.
            plan.waits.push("related resources have not been read yet".into());
            plan.state = State::Placed;
            plan.again_in(UNREAD);
            return plan;
        }
        if let Some(problem) = related.problem.filter(|_| synced.holds == Holds::Yes) {
            synced = problem;
        }
    }
    if let Some(failure) = failure(snapshot) {
        synced = Finding::no(failure.reason, failure.message.clone());
    }
    let unreadable = copy.is_some_and(|copy| status::is_unreadable(copy));
    if unreadable {
        let message =
            format!("the status at {provider} nests too deep to be shown (127 levels at most); the last one stands");
        synced = Finding::no(reason::INVALID, message);
    }
    // Of a provider that is not attached, what it said last stands.
    let is_heard = snapshot.providers.contains_key(provider) && !unreadable;
    let status = if is_heard { copy.and_then(|copy| copy.field("status")) } else { consumer.field("status") };
    let ready = status::ready(provider, snapshot.shape, status.as_ref());
    let (shown, synced) = match &answers.transform {
        Some(Ok(shown)) if !is_status_refused(snapshot) => (shown.clone(), synced),
        Some(Err(failure)) => {
            (without_conditions(consumer), Finding::no(reason::PLUGIN_FAILED, failure.message.clone()))
        }
        Some(Ok(_)) | None => (without_conditions(consumer), synced),
    };
    let findings = Findings { accepted, synced, ready };
    plan.state = match () {
        () if is_trouble(&findings.accepted) || is_trouble(&findings.synced) => State::Blocked,
        () if findings.ready.holds == Holds::Yes => State::Ready,
        () => State::Placed,
    };
    tell(&mut plan, snapshot, consumer, record, copy.map(AsRef::as_ref), shown, &findings);
    if let Some(Ok(refused)) = answers.transform.as_ref().filter(|_| is_status_refused(snapshot)) {
        // Tried last, so that a pass which is refused again counts as failed and the pause before the next one grows.
        plan.then(status::put(snapshot, consumer, refused.clone(), &findings));
    }
    if let Some(failure) = &snapshot.memory.failure {
        // A step that fails ends the pass: what failed last time must not keep the rest from being done.
        // What people are told comes before whatever else may fail.
        plan.steps.sort_by_key(|step| {
            let is = |part: Part| step.iter().any(|action| action.part() == part);
            (is(failure.part), is(Part::Copy) || is(Part::Related) || is(Part::Delete))
        });
    }
    plan
}

/// The last pass's failure, as far as it says something of the object's standing.
fn failure(snapshot: &Snapshot) -> Option<&Failure> {
    snapshot.memory.failure.as_ref().filter(|failure| failure.part != Part::Delete)
}

/// Whether the consumer's API server refused the provider's status: then only the broker's conditions are written.
fn is_status_refused(snapshot: &Snapshot) -> bool {
    failure(snapshot).is_some_and(|failure| failure.part == Part::Status && failure.invalid)
}

/// The consumer's status as it is, without the broker's own conditions.
fn without_conditions(consumer: &Object) -> Option<serde_json::Value> {
    consumer.field("status").map(status::without_ours)
}

/// Writes what was found on the object and on the record, once there is something to tell.
fn tell(
    plan: &mut Plan,
    snapshot: &Snapshot,
    consumer: &Object,
    record: &Record,
    copy: Option<&Object>,
    shown: Option<serde_json::Value>,
    findings: &Findings,
) {
    let has_status = copy.is_some_and(|copy| copy.field("status").is_some());
    let settled = is_trouble(&findings.accepted) || is_trouble(&findings.synced) || findings.ready.holds == Holds::Yes;
    let waited = |long: Duration| snapshot.memory.since_placed.is_none_or(|since| since >= long);
    if settled || has_status || waited(SETTLE_OBJECT) {
        plan.then(status::put(snapshot, consumer, shown, findings));
    } else {
        plan.again_in(rest(snapshot, SETTLE_OBJECT));
    }
    if settled || waited(SETTLE_RECORD) {
        let write = status::record(snapshot, record, consumer, copy, findings);
        plan.then(write);
    } else {
        plan.again_in(rest(snapshot, SETTLE_RECORD));
    }
    plan.then(events(snapshot, consumer, Some(record), findings));
}

fn rest(snapshot: &Snapshot, long: Duration) -> Duration {
    long.saturating_sub(snapshot.memory.since_placed.unwrap_or_default()).max(Duration::from_millis(10))
}

/// Events for what needs attention, and for its end. The happy path has none: conditions tell it.
fn events(snapshot: &Snapshot, consumer: &Object, record: Option<&Record>, findings: &Findings) -> Vec<Action> {
    let shown = consumer.field("status");
    let before = if snapshot.shape.conditions {
        status::conditions_of(shown.as_ref())
    } else {
        record.map(|record| record.status.conditions.clone()).unwrap_or_default()
    };
    let abouts: Vec<About> = std::iter::once(About::Object(snapshot.key.target(), consumer.uid().into()))
        .chain(record.map(|record| About::Record(record.name.clone(), record.uid.clone())))
        .collect();
    let accepted = worth_telling(ACCEPTED, &findings.accepted, &before).map(|warning| (&findings.accepted, warning));
    // What keeps a provider from accepting shows in `Synced` too: one cause is one Event.
    let synced = (!is_trouble(&findings.accepted))
        .then(|| worth_telling(SYNCED, &findings.synced, &before).map(|warning| (&findings.synced, warning)))
        .flatten();
    let told = accepted.into_iter().chain(synced);
    told.flat_map(|(finding, warning)| {
        abouts.iter().map(move |about| {
            Action::Event(Event {
                about: about.clone(),
                warning,
                reason: finding.reason.clone(),
                message: findings::clip(&finding.message, MAX_EVENT),
            })
        })
    })
    .collect()
}

/// The longest message that an Event's schema takes.
pub(crate) const MAX_EVENT: usize = 1024;

/// `Some(true)`: a warning; `Some(false)`: the end of one; `None`: nothing new.
fn worth_telling(type_: &str, finding: &Finding, before: &[Condition]) -> Option<bool> {
    let stood = before.iter().find(|condition| condition.type_ == type_);
    let is_new = stood.is_none_or(|c| c.reason != finding.reason || c.message != finding.message);
    if is_trouble(finding) {
        return is_new.then_some(true);
    }
    let was_trouble =
        stood.is_some_and(|c| c.status != "True" && c.reason != reason::PENDING && c.reason != reason::WAITING);
    (finding.holds == Holds::Yes && was_trouble).then_some(false)
}
