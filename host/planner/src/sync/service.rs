//! Steps 4 to 7 for an object that a provider has: its copy, what comes back of it (related resources, status), and the
//! conditions that say how it stands.

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resource_broker_api::{
    conditions::{ACCEPTED, SYNCED, reason},
    keys,
    names::ClusterName,
    object::Object,
};

use crate::{
    model::{
        question::Answers,
        snapshot::{Failure, Part, Placement, Record, Snapshot, UNREAD},
    },
    plan::{
        About, Action, Event, Plan, State,
        findings::{self, Finding, Findings, Holds, is_trouble},
        strangers,
        text::{self, MAX_EVENT},
        writes,
    },
    sync::{
        copy,
        generation::{self, Observed},
        leftovers, marks, refusals, related, status,
    },
};

/// How long the provider's side has to react before the consumer is shown that nothing has come yet. Most providers
/// answer sooner, which saves a write.
const SETTLE_OBJECT: Duration = Duration::from_secs(1);
/// The same for the record, which fewer people look at.
const SETTLE_RECORD: Duration = Duration::from_secs(3);

/// How an object is served in this pass.
#[derive(Clone, Debug)]
pub(crate) struct Service<'a> {
    /// By whom.
    pub(crate) provider: &'a ClusterName,
    /// Whether somebody takes it.
    pub(crate) accepted: Finding,
    /// Whether the copy stays as it is; what comes back from the provider still comes back.
    pub(crate) frozen: bool,
    /// Where it moves.
    pub(crate) moving: Option<Moving<'a>>,
}

/// An object on its way to another provider.
#[derive(Clone, Debug)]
pub(crate) struct Moving<'a> {
    /// Where it goes.
    pub(crate) next: &'a ClusterName,
    /// What is waited for.
    pub(crate) synced: Finding,
    /// Whether the consumer has the new provider's related resources from now on.
    pub(crate) hands_over: bool,
}

/// Serves an object whose provider can be read, after what `plan` holds already.
pub(crate) fn serve(
    snapshot: &Snapshot,
    consumer: &Arc<Object>,
    record: &Arc<Record>,
    service: Service<'_>,
    answers: &Answers,
    mut plan: Plan,
) -> Plan {
    let Service { provider, accepted, frozen, moving } = service;
    let key = &snapshot.key;
    let uid = record.copy_uid();
    let target = record.target(&Placement::from(&record.spec.provider)).unwrap_or_else(|| key.copy_at(provider));
    let copy = snapshot.own_copy();
    let at = copy::At { key, target: &target, uid };
    let mut synced =
        Finding::no(reason::NOT_ACCEPTED, format!("the copy at {provider} stays as it was: {}", accepted.message));
    let (mut stands, mut applied) = (false, false);
    let token = record.spec.consumer.token.as_deref();
    plan.then(marks::mark(snapshot, consumer, token, provider, moving.as_ref().map(|moving| moving.next)));
    if !frozen {
        let there = snapshot.copy().map(AsRef::as_ref);
        let step = copy::copy(snapshot, at, consumer, there);
        (stands, applied) = (step.stands, step.action.is_some());
        merge(&mut plan, step.action);
        step.again.map(|again| plan.again_in(again));
        synced = step.synced;
    } else if let Some(moving) = &moving {
        synced = moving.synced.clone();
    } else if snapshot.copy().is_none() || accepted.holds == Holds::Unknown {
        synced = Finding { holds: Holds::Unknown, ..accepted.clone() };
    }
    if frozen {
        stands = copy.is_some_and(|copy| generation::shows(snapshot, at, consumer, copy));
    }
    // A copy that goes has its finalizer released, so that it can be made again.
    if let Some(gone) = copy.filter(|copy| copy.is_deleting() && copy.finalizers() == [keys::GENERIC_FINALIZER]) {
        plan.then([writes::release(target.clone(), gone, Vec::new())]);
    }
    // A place that was left may be where an object goes that its provider refuses: it is cleared even where that provider
    // has nothing in the stead of what was there.
    let is_refused = frozen && accepted.holds == Holds::No && snapshot.providers.contains_key(provider);
    let (mut last, mut theirs) = (Vec::new(), None);
    if let Some(source) = source(snapshot, record, provider, copy, moving.as_ref()) {
        let related = related::related(snapshot, consumer, source);
        plan.then(related.actions);
        related.again.map(|again| plan.again_in(again));
        plan.missing = related.missing;
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
        theirs = related.theirs.map(|finding| (source, finding));
        if moving.is_none() && !related.behind {
            last = related.removals;
        }
        if moving.is_none() && (is_refused || !related.behind) {
            last.extend(leftovers::others(snapshot, record, &mut plan));
        }
    } else if moving.is_none() && (is_refused || copy.is_some()) {
        last.extend(leftovers::others(snapshot, record, &mut plan));
    }
    // What is in a migration's way is told on the Migration: it is not the object's owner's to mend.
    let is_migrations = |failure: &&Failure| failure.part == Part::Migration && moving.is_some();
    if let Some(failure) = failure(snapshot).filter(|failure| !is_migrations(failure)) {
        synced = refusals::refusals(snapshot, consumer).unwrap_or_else(|| Finding::of_failure(failure));
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
    let before = consumer.field("status");
    let shown_by = copy.filter(|_| stands).map(|copy| generation::Copy { generation: copy.meta.generation });
    let observed = Observed { order: consumer.meta.generation, shown_by, before: before.as_ref() };
    let mut ready = status::ready(provider, snapshot.shape, status.as_ref());
    let shown = answers.transform.as_ref().map(|shown| match shown {
        Ok(shown) => Ok(shown.clone().map(|shown| observed.translate(shown))),
        Err(failure) => Err(failure),
    });
    ready.generation = match &shown {
        Some(Err(_)) => observed.ready_as_shown(),
        _ if !is_heard => observed.ready_as_shown(),
        Some(Ok(_)) | None => observed.ready(status.as_ref(), applied),
    };
    if let Some(Ok(Some(theirs))) = &shown {
        plan.reported = status::reported(snapshot, consumer, before.as_ref(), theirs);
    }
    let (shown_first, synced) = match &shown {
        Some(Ok(shown)) if !is_status_refused(snapshot) => (shown.clone(), synced),
        Some(Err(failure)) => {
            (without_conditions(consumer), Finding::no(reason::PLUGIN_FAILED, failure.message.clone()))
        }
        Some(Ok(_)) | None => (without_conditions(consumer), synced),
    };
    let findings = Findings { accepted, synced, ready };
    plan.state = match () {
        () if is_trouble(&findings.accepted) || is_trouble(&findings.synced) => State::Blocked,
        () if moving.is_some() => State::Moving,
        () if findings.ready.holds == Holds::Yes => State::Ready,
        () => State::Placed,
    };
    tell(&mut plan, snapshot, consumer, record, copy.map(AsRef::as_ref), shown_first, &findings);
    plan.then(theirs.and_then(|(source, finding)| at_provider(snapshot, consumer, record, source, &finding)));
    if let Some(Ok(refused)) = shown.filter(|_| is_status_refused(snapshot)) {
        // Tried last, so that a pass which is refused again counts as failed and the pause before the next one grows.
        plan.then(status::put(snapshot, consumer, refused, &findings));
    }
    if let Some(failure) = &snapshot.memory.failure {
        // A step that fails ends the pass: what failed last time must not keep the rest from being done.
        // What people are told comes before whatever else may fail.
        plan.steps.sort_by_key(|step| {
            // An Event fails nothing.
            let fails = |action: &&Action| !matches!(action, Action::Event(_));
            let is = |part: Part| step.iter().filter(fails).any(|action| action.part() == part);
            (is(failure.part), is(Part::Copy) || is(Part::Related) || is(Part::Migration) || is(Part::Delete))
        });
    }
    claim_first(&mut plan);
    // What was left goes only in a pass in which all that takes its place has gone well.
    if snapshot.memory.failure.as_ref().is_none_or(|failure| failure.part == Part::Delete) {
        plan.then(last);
    }
    plan
}

/// What claims the object for this broker comes before each copy that is made for it, also where it failed last time.
fn claim_first(plan: &mut Plan) {
    let is_claim = |action: &Action| matches!(action, Action::Decorate { resource_version: Some(_), .. });
    let makes = |step: &Vec<Action>| step.iter().any(|action| matches!(action, Action::ApplyCopy { uid: None, .. }));
    let Some(copy) = plan.steps.iter().position(makes) else { return };
    let Some(claim) = plan.steps.iter().position(|step| step.iter().any(is_claim)).filter(|at| *at >= copy) else {
        return;
    };
    let claims: Vec<Action> = plan.steps[claim].extract_if(.., |action| is_claim(action)).collect();
    plan.steps.insert(copy, claims);
    plan.steps.retain(|step| !step.is_empty());
}

/// Adds actions to the last step: they may run at the same time. What claims the object for this broker comes before the rest.
fn merge(plan: &mut Plan, actions: Option<Action>) {
    let is_mark =
        |action: &Action| matches!(action, Action::Decorate { resource_version: None, .. } | Action::Unmark { .. });
    match plan.steps.last_mut().filter(|step| step.iter().all(is_mark)) {
        Some(step) => step.extend(actions),
        None => {
            plan.then(actions);
        }
    }
}

/// Whose related resources the consumer gets.
fn source<'a>(
    snapshot: &'a Snapshot,
    record: &'a Record,
    provider: &'a ClusterName,
    copy: Option<&'a Arc<Object>>,
    moving: Option<&Moving<'a>>,
) -> Option<related::Source<'a>> {
    if moving.is_some() && !snapshot.migration.object.is_known() {
        // The Migration says whose they are by now: those that were handed over already are not taken back.
        return None;
    }
    let on_the_way = moving.is_some() || !record.spec.previous.is_empty();
    if let Some(moving) = moving.filter(|moving| moving.hands_over) {
        let next = record.spec.next.as_ref()?;
        let copy = snapshot.own_next_copy()?;
        let (views, place) = (&snapshot.related_next, next);
        return Some(related::Source { provider: moving.next, record: &record.name, place, copy, views, moving: true });
    }
    let (views, place) = (&snapshot.related, &record.spec.provider);
    Some(related::Source { provider, record: &record.name, place, copy: copy?, views, moving: on_the_way })
}

/// The last pass's failure, as far as it says something of the object's standing.
pub(crate) fn failure(snapshot: &Snapshot) -> Option<&Failure> {
    snapshot.memory.failure.as_ref().filter(|failure| failure.part != Part::Delete)
}

/// Whether the consumer's API server refused the provider's status: then only the broker's conditions are written.
fn is_status_refused(snapshot: &Snapshot) -> bool {
    failure(snapshot).is_some_and(|failure| failure.part == Part::Status && failure.invalid)
}

/// The consumer's status as it is, without the broker's own conditions.
pub(crate) fn without_conditions(consumer: &Object) -> Option<serde_json::Value> {
    consumer.field("status").map(status::without_ours)
}

/// What an object's `Ready` says whose provider cannot be read: it goes on as it is shown.
pub(crate) fn ready_as_shown(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName) -> Finding {
    let before = consumer.field("status");
    let observed = Observed { order: consumer.meta.generation, shown_by: None, before: before.as_ref() };
    Finding { generation: observed.ready_as_shown(), ..status::ready(provider, snapshot.shape, before.as_ref()) }
}

/// Writes what was found on the object and on the record, once there is something to tell.
pub(crate) fn tell(
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
    let (mut at_object, mut at_record) = (None, None);
    if settled || has_status || waited(SETTLE_OBJECT) {
        let write = status::put(snapshot, consumer, shown, findings);
        if write.is_none() {
            status::rest(snapshot).map(|rest| plan.again_in(rest));
        }
        at_object = write;
    } else {
        plan.again_in(rest(snapshot, SETTLE_OBJECT));
    }
    let contest = status::contest(snapshot).filter(|_| findings.synced.holds == Holds::Yes);
    let inside = match &contest {
        // What is contested is no place to report it at.
        Some((contested, _)) => &Findings { synced: contested.clone(), ..findings.clone() },
        None => findings,
    };
    if settled || waited(SETTLE_RECORD) {
        at_record = status::record(snapshot, record, consumer, copy, inside);
    } else {
        plan.again_in(rest(snapshot, SETTLE_RECORD));
    }
    let events = events(snapshot, consumer, Some(record), if snapshot.shape.conditions { findings } else { inside });
    if snapshot.memory.failure.as_ref().is_some_and(|failure| failure.part == Part::Decorate) {
        // An object that cannot be marked may take no status either. Others are to know of it all the same.
        plan.then(at_record);
        plan.then(events);
        plan.then(at_object);
    } else {
        plan.then(at_object);
        plan.then(at_record);
        plan.then(events);
    }
    if let Some((contested, again)) = contest {
        plan.again_in(again);
        let is_reported = worth_telling(SYNCED, &contested, &record.status.conditions).is_none();
        if snapshot.shape.conditions && !is_reported {
            plan.then(abouts(snapshot, consumer, Some(record)).into_iter().map(|about| event(about, true, &contested)));
        }
    }
}

fn rest(snapshot: &Snapshot, long: Duration) -> Duration {
    long.saturating_sub(snapshot.memory.since_placed.unwrap_or_default()).max(Duration::from_millis(10))
}

/// Events for what needs attention, and for its end. The happy path has none: conditions tell it.
pub(crate) fn events(
    snapshot: &Snapshot,
    consumer: &Object,
    record: Option<&Record>,
    findings: &Findings,
) -> Vec<Action> {
    let shown = consumer.field("status");
    let before = if snapshot.shape.conditions {
        findings::conditions_of(shown.as_ref())
    } else {
        record.map(|record| record.status.conditions.clone()).unwrap_or_default()
    };
    let abouts = abouts(snapshot, consumer, record);
    let accepted = worth_telling(ACCEPTED, &findings.accepted, &before).map(|warning| (&findings.accepted, warning));
    // What keeps a provider from accepting shows in `Synced` too: one cause is one Event.
    let synced = (!is_trouble(&findings.accepted))
        .then(|| worth_telling(SYNCED, &findings.synced, &before).map(|warning| (&findings.synced, warning)))
        .flatten();
    let told = accepted.into_iter().chain(synced);
    told.flat_map(|(finding, warning)| abouts.iter().map(move |about| event(about.clone(), warning, finding))).collect()
}

/// Whom an Event of an object is about.
fn abouts(snapshot: &Snapshot, consumer: &Object, record: Option<&Record>) -> Vec<About> {
    std::iter::once(About::Object(snapshot.key.target(), consumer.uid().into()))
        .chain(record.map(|record| About::Record(record.name.clone(), record.uid.clone())))
        .collect()
}

/// What an Event has to say of a finding: to the object's owner less than to those who run the broker.
fn event(about: About, warning: bool, finding: &Finding) -> Action {
    let shown = match about {
        About::Object(..) => finding.outside(),
        About::Record(..) | About::Migration(..) => finding.inside(),
    };
    let message = text::clip(&shown.message, MAX_EVENT);
    Action::Event(Event { about, warning, reason: strangers::reason_and_message(&shown.reason, "").0, message })
}

/// An Event at the provider for what has to be mended there, as long as the consumer's object does not say so yet.
fn at_provider(
    snapshot: &Snapshot,
    consumer: &Object,
    record: &Record,
    source: related::Source<'_>,
    finding: &Finding,
) -> Option<Action> {
    let shown = consumer.field("status");
    let before = if snapshot.shape.conditions {
        findings::conditions_of(shown.as_ref())
    } else {
        record.status.conditions.clone()
    };
    worth_telling(SYNCED, finding, &before)?;
    let finding = finding.inside();
    let by = source.declared_by(snapshot);
    Some(Action::Event(Event {
        about: About::Object(by.copy, by.uid),
        warning: true,
        message: text::clip(&finding.message, MAX_EVENT),
        reason: finding.reason,
    }))
}

/// `Some(true)`: a warning; `Some(false)`: the end of one; `None`: nothing new.
fn worth_telling(type_: &str, finding: &Finding, before: &[Condition]) -> Option<bool> {
    let stood = before.iter().find(|condition| condition.type_ == type_);
    let says = |c: &Condition| {
        let texts = [&finding.message, &finding.inside().message, &finding.outside().message];
        texts.into_iter().any(|text| c.message == text::clip(text, text::MAX_MESSAGE))
    };
    let is_new = stood.is_none_or(|c| c.reason != finding.reason || !says(c));
    if is_trouble(finding) {
        return is_new.then_some(true);
    }
    let was_trouble =
        stood.is_some_and(|c| c.status != "True" && c.reason != reason::PENDING && c.reason != reason::WAITING);
    (finding.holds == Holds::Yes && was_trouble).then_some(false)
}
