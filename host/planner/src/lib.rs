//! The pure core: from what the caches hold of one object to what is to be done about it.
//!
//! A [`model::snapshot::Snapshot`] goes in. [`ask`] says what plugins must be asked; [`plan`] turns snapshot and answers into a
//! [`plan::Plan`], or into further questions that follow from what was answered. There is no client, no clock, no randomness and
//! no environment here: the time is in the snapshot and ties are broken by names, so the same snapshot gives the same plan.
//! Nothing here is async.
//!
//! The folders are layers. A file imports from its own layer and from those below it, and no files import each other in a circle;
//! `tests/layers.rs` holds both.
//!
//! ```text
//!   lib              which layer is called when
//!   deletion         an object goes; orphans (copies that no record names)
//!   relocation       to another provider: begin, hand over, abandon
//!   migration        a relocation with stages: state machine, stage, mirrors, pods, status writer, retention
//!   sync             an object and its copy: copy, status, related resources, managed fields
//!   placement        route (which provider), acceptance (does it still take it), alternatives
//!   configurations   a MigrationConfiguration's own conditions
//!   offers           an AcceptAPI's own conditions
//!   plan             actions, guards, conditions, Events, what must hold of any plan
//!   model            snapshot, record, whose an object is, questions and answers
//! ```
//!
//! What is deliberately not here: retries and their pace (the queue's), how a write is sent (the host's), what an
//! offer's filters mean (the sandbox's).

pub mod configurations;
pub mod deletion;
pub mod migration;
pub mod model;
pub mod offers;
pub mod placement;
pub mod plan;
pub mod relocation;
pub mod sync;

use std::sync::Arc;

use resource_broker_api::{
    broker::{AssignmentSpec, ConsumerRef, ProviderRef},
    conditions::reason,
    names::ClusterName,
    object::Object,
};
use resource_broker_plugin_types::CopyContext;

use crate::{
    deletion::{
        delete::{self, Why},
        recreated,
    },
    migration::migrate,
    model::{
        declared, identity, ownership,
        question::{Answers, Judge, Questions, Transform},
        snapshot::{Key, Offer, Part, Record, Snapshot, Target, UNREAD, View},
    },
    placement::{
        acceptance::{self, Acceptance},
        alternatives, candidates, core_kinds,
        route::{self, Route},
    },
    plan::{
        Action, Plan, State, check,
        findings::{Finding, Findings},
        writes,
    },
    relocation::{
        relocate::{self, Held},
        reroute,
    },
    sync::{
        copy, fingerprints, marks,
        service::{self, Service, events, failure, serve, tell, without_conditions},
        status,
    },
};

/// What plugins have to be asked before [`plan`].
pub fn ask(snapshot: &Snapshot) -> Questions {
    let Some(consumer) = snapshot.consumer.present().filter(|consumer| !consumer.is_deleting()) else {
        return Questions::default();
    };
    let json = || consumer.to_json(&snapshot.key.gvk.api_version(), &snapshot.key.gvk.kind);
    let offers = asked_offers(snapshot, consumer);
    let judge = (!offers.is_empty()).then(|| Judge { object: json(), version: None, offers });
    let transform =
        snapshot.copy().filter(|copy| snapshot.shape.status && copy.field("status").is_some()).and_then(|copy| {
            Some(Transform {
                copy: copy.to_json(&snapshot.key.gvk.api_version(), &snapshot.key.gvk.kind),
                previous: json(),
                context: CopyContext {
                    names: declared::names(consumer, copy, &snapshot.key),
                    consumer_namespace: consumer.namespace().unwrap_or_default().to_owned(),
                    provider: snapshot.record.present()?.provider()?.to_string(),
                },
            })
        });
    Questions { judge, transform, ..Questions::default() }
}

/// The offers that a pass asks about first: all of them for an object without a record, else those of its provider and of
/// the one that it is moving to.
fn asked_offers(snapshot: &Snapshot, consumer: &Object) -> Vec<usize> {
    let all = snapshot.offers.iter().enumerate();
    match &snapshot.record {
        View::Unknown { .. } => Vec::new(),
        View::Absent if is_left_alone(snapshot, consumer) => Vec::new(),
        View::Absent => all.map(|(index, _)| index).collect(),
        View::Present(record) if record.spec.consumer.uid != consumer.uid() => Vec::new(),
        View::Present(record) => {
            let next = record.next().filter(|_| record.spec.next.as_ref().is_some_and(|next| next.version.is_none()));
            let of_interest = [record.provider(), next];
            let is_asked = |offer: &Offer| of_interest.iter().flatten().any(|provider| *provider == offer.provider);
            all.filter(|(_, offer)| is_asked(offer)).map(|(index, _)| index).collect()
        }
    }
}

/// Why an object without a record is not brokered: the consumer cluster makes it by itself, or the broker made it.
fn is_no_order(snapshot: &Snapshot, consumer: &Object) -> Option<String> {
    if ownership::is_made_by_broker(snapshot, consumer) {
        return Some("the broker made it".into());
    }
    core_kinds::of_the_cluster(&snapshot.key.gvk, consumer)
}

/// What is no order is not brokered, nor what another broker serves.
fn is_left_alone(snapshot: &Snapshot, consumer: &Object) -> bool {
    is_no_order(snapshot, consumer).is_some() || ownership::other_broker(snapshot, consumer, None).is_some()
}

/// What is to be done about one consumer object.
///
/// # Errors
///
/// The questions that have to be answered, too, before that can be said.
pub fn plan(snapshot: &Snapshot, answers: &Answers) -> Result<Plan, Box<Questions>> {
    let plan = match snapshot.record.present() {
        Some(record) => pass(&identity::without_strangers(snapshot, record), answers)?,
        None => pass(snapshot, answers)?,
    };
    check::check(snapshot, &plan);
    Ok(plan)
}

fn pass(snapshot: &Snapshot, answers: &Answers) -> Result<Plan, Box<Questions>> {
    let record = match &snapshot.record {
        View::Unknown { why, .. } => {
            return Ok(Plan::wait(State::Waiting, format!("Assignments cannot be read: {why}")));
        }
        View::Absent => None,
        View::Present(record) => Some(record),
    };
    if let Some(stopped) = record.and_then(|record| fingerprints::stop(snapshot, record)) {
        return Ok(stopped);
    }
    let consumer = match &snapshot.consumer {
        View::Unknown { why, .. } => {
            return Ok(Plan::wait(State::Waiting, format!("{} cannot be read: {why}", snapshot.key.consumer)));
        }
        View::Absent => None,
        View::Present(consumer) => Some(consumer),
    };
    Ok(match (consumer, record) {
        (None, None) => Plan::default(),
        (None, Some(record)) if recreated::is_undecided(record) => {
            let why = "the object that came back under its name is gone again, and nobody has decided about its copy";
            Plan::wait(State::Blocked, why)
        }
        (None, Some(record)) => delete::take_down(snapshot, record, Why::Vanished),
        (Some(consumer), None) if ownership::is_made_by_broker(snapshot, consumer) => Plan::default(),
        (Some(consumer), None) if consumer.is_deleting() => delete::release_unrecorded(snapshot, consumer),
        (Some(consumer), None) if is_no_order(snapshot, consumer).is_some() => {
            let why = is_no_order(snapshot, consumer).unwrap_or_default();
            Plan::wait(State::None, why)
        }
        (Some(consumer), None) => match ownership::other_broker(snapshot, consumer, None) {
            Some(other) => Plan { served_by: Some(other.to_owned()), ..Plan::default() },
            None => return place(snapshot, consumer, answers),
        },
        (Some(consumer), Some(record)) if record.spec.consumer.uid != consumer.uid() => {
            recreated::recreated(snapshot, consumer, record)
        }
        (Some(consumer), Some(record)) if record.spec.consumer.version != snapshot.key.gvk.version => {
            other_version(snapshot, consumer, record)
        }
        (Some(consumer), Some(record)) if consumer.is_deleting() => {
            delete::take_down(snapshot, record, Why::Deleting(consumer))
        }
        (Some(consumer), Some(record)) => match ownership::other_broker(snapshot, consumer, Some(record)) {
            Some(other) => recreated::yield_to(snapshot, consumer, record, other),
            None => return keep(snapshot, consumer, record, answers),
        },
    })
}

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
    let ConsumerRef { token, fingerprint, .. } = spec.consumer;
    spec.consumer = ConsumerRef { token, fingerprint, ..consumer_ref(&snapshot.key, consumer) };
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    for place in &mut spec.previous {
        place.version.get_or_insert_with(|| recorded.clone());
    }
    if let Some(next) = &mut spec.next {
        next.version.take_if(|version| *version == snapshot.key.gvk.version);
    }
    plan.then([writes::update(record, spec, Vec::new())]);
    plan
}

/// An object that nobody has.
fn place(snapshot: &Snapshot, consumer: &Arc<Object>, answers: &Answers) -> Result<Plan, Box<Questions>> {
    Ok(match route::route(snapshot, consumer, answers)? {
        Route::Wait(why) => wait_for_cluster(why),
        Route::OtherVersion(why) => Plan::wait(State::None, why),
        Route::Nowhere(accepted) => {
            let mut plan = Plan { state: State::Unplaced, ..Plan::default() };
            let findings = Findings::unplaced(accepted);
            plan.waits.push(findings.accepted.message.clone());
            let write = status::put(snapshot, consumer, without_conditions(consumer), &findings);
            if write.is_none() {
                status::rest(snapshot).map(|rest| plan.again_in(rest));
            }
            plan.then(write);
            plan.then(events(snapshot, consumer, None, &findings));
            plan
        }
        Route::To(offer) => place_at(snapshot, consumer, &offer),
        Route::Back(offer, place) => place_back(snapshot, consumer, &offer, *place),
    })
}

/// The record of an object whose copy is there already: the copy stays as it is until the record says that.
fn place_back(snapshot: &Snapshot, consumer: &Object, offer: &Offer, place: ProviderRef) -> Plan {
    let key = &snapshot.key;
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    let there = snapshot.view_of(&place_of(key, &place, &offer.provider)).and_then(View::present);
    let spec = record_spec(snapshot, consumer, place, there.map(|copy| copy.uid()));
    let token = spec.consumer.token.clone();
    let record = Action::CreateRecord { name: key.record_name(), spec: Box::new(spec) };
    let marks = marks::mark(snapshot, consumer, token.as_deref(), &offer.provider, None);
    plan.then(std::iter::once(record).chain(marks));
    plan
}

fn place_at(snapshot: &Snapshot, consumer: &Object, offer: &Offer) -> Plan {
    let key = &snapshot.key;
    let mut plan = Plan { state: State::Placed, ..Plan::default() };
    let place = candidates::first_place(snapshot, offer);
    let target = place_of(key, &place, &offer.provider);
    let there = snapshot.view_of(&target).and_then(View::present);
    let uid =
        there.filter(|copy| candidates::is_there_for(snapshot, consumer, &offer.provider, copy)).map(|copy| copy.uid());
    let spec = Box::new(record_spec(snapshot, consumer, place, uid));
    let token = spec.consumer.token.clone();
    let record = Action::CreateRecord { name: key.record_name(), spec };
    // The record is written, and the object claimed for this broker, before anything is created.
    let marks = marks::mark(snapshot, consumer, token.as_deref(), &offer.provider, None);
    plan.then(std::iter::once(record).chain(marks));
    let at = copy::At { key, target: &target, uid };
    let step = copy::copy(snapshot, at, consumer, there.map(AsRef::as_ref));
    plan.judged.push((offer.provider.clone(), true));
    plan.then(step.action);
    if let Some(failure) = failure(snapshot).filter(|failure| failure.part != Part::Status) {
        let findings = Findings {
            accepted: Finding::yes(reason::ACCEPTED, format!("{} takes this object", offer.provider)),
            synced: Finding::of_failure(failure),
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
        token: None,
        fingerprint: None,
    }
}

/// The copy at a place that a record will name.
fn place_of(key: &Key, place: &ProviderRef, provider: &ClusterName) -> Target {
    Target::new(provider.clone(), key.gvk.clone(), place.namespace.clone(), place.name.clone())
}

/// The record of an object that is placed. `uid` is that of a copy which is there already.
fn record_spec(snapshot: &Snapshot, consumer: &Object, place: ProviderRef, uid: Option<&str>) -> AssignmentSpec {
    let key = &snapshot.key;
    AssignmentSpec {
        consumer: ConsumerRef {
            token: Some(snapshot.fresh_token.clone()),
            fingerprint: ownership::fingerprint(snapshot, &key.consumer),
            ..consumer_ref(key, consumer)
        },
        provider: ProviderRef { uid: uid.map(str::to_owned), ..place },
        next: None,
        previous: Vec::new(),
    }
}

/// An object that a provider has.
fn keep(
    snapshot: &Snapshot,
    consumer: &Arc<Object>,
    record: &Arc<Record>,
    answers: &Answers,
) -> Result<Plan, Box<Questions>> {
    let Some(provider) = &record.provider() else {
        return Ok(Plan::wait(State::Blocked, format!("Assignment {} names no provider cluster", record.name)));
    };
    if let Some(follow) = fingerprints::follow(snapshot, record) {
        let mut plan = Plan { state: State::Placed, ..Plan::default() };
        plan.then([follow]);
        return Ok(plan);
    }
    if let Some(spec) = marks::complete(snapshot, consumer, record) {
        // What the object is marked with has to be in the record before.
        let mut plan = Plan { state: State::Placed, ..Plan::default() };
        plan.then([writes::update(record, spec, Vec::new())]);
        return Ok(plan);
    }
    let asked = &asked_offers(snapshot, consumer);
    let held = Held { snapshot, consumer, record, provider, asked, answers };
    let said = acceptance::said(snapshot, asked, answers, provider);
    let acceptance = acceptance::acceptance(snapshot, &record.spec.provider, provider, &said);
    let judged = match &acceptance {
        Acceptance::Accepted(_) => Some(true),
        Acceptance::Refused(_) => Some(false),
        Acceptance::Unknown(..) => None,
    };
    let mut plan = match &record.spec.next {
        Some(next) => relocate::on_the_way(held, next, &acceptance)?,
        None => stay(held, acceptance)?,
    };
    plan.judged.extend(judged.map(|accepts| (provider.clone(), accepts)));
    Ok(relocate::told(held, plan))
}

/// An object that is not on its way anywhere.
fn stay(held: Held<'_>, acceptance: Acceptance) -> Result<Plan, Box<Questions>> {
    let Held { snapshot, consumer, record, provider, answers, .. } = held;
    let mut plan = Plan::default();
    plan.then(migrate::settle(snapshot, record));
    let is_read = snapshot.providers.get(provider).is_some_and(|view| view.copy.is_known());
    let mut served = match acceptance {
        Acceptance::Accepted(other) => {
            if let Some(elsewhere) = reroute::reroute(held)? {
                return Ok(elsewhere);
            }
            plan.then(other.map(|offer| {
                let provider = alternatives::stays(&record.spec.provider, &offer, None);
                writes::update(record, AssignmentSpec { provider, ..record.spec.clone() }, Vec::new())
            }));
            let accepted = Finding::yes(reason::ACCEPTED, format!("{provider} takes this object"));
            let service = Service { provider, accepted, frozen: false, moving: None };
            return Ok(serve(snapshot, consumer, record, service, answers, plan));
        }
        Acceptance::Refused(refusal) => relocate::refused(held, &refusal)?,
        Acceptance::Unknown(Some(accepted), _) if is_read => held.freeze(accepted, Plan::default()),
        Acceptance::Unknown(finding, why) => {
            let mut waiting = wait_for_cluster(why);
            if let Some(finding) = finding {
                let accepted = Finding::yes(reason::ACCEPTED, format!("{provider} has this object"));
                let ready = service::ready_as_shown(snapshot, consumer, provider);
                let findings = Findings { accepted, synced: finding, ready };
                waiting.state = State::Blocked;
                tell(&mut waiting, snapshot, consumer, record, None, without_conditions(consumer), &findings);
            }
            waiting
        }
    };
    served.steps.splice(0..0, plan.steps);
    Ok(served)
}
