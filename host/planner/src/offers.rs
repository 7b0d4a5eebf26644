//! An AcceptAPI's own conditions: does the offer make sense, and how many objects does it hold?

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::{AcceptApiStatus, Copies, OfferBroker, RelatedResources},
    conditions::{VALID, reason},
    keys,
    object::Object,
};
use serde_json::Value;

use crate::{
    model::{
        filters::Filters,
        question::PluginFailure,
        snapshot::{Applied, Target},
    },
    plan::{
        About, Action, Event, Plan, State, digest,
        findings::{self, Finding, Holds, condition},
        text::{self, clip},
        writes,
    },
};

/// What the provider serves of the resource that is offered.
#[derive(Clone, Debug)]
pub enum Served {
    /// The broker was not told to watch it.
    NotWatched,
    /// It is watched, and the provider does not serve it.
    No(String),
    /// It cannot be told yet.
    Unknown(String),
    /// It is served and watched.
    Yes,
}

/// All inputs of one offer.
#[derive(Clone, Debug)]
pub struct OfferSnapshot {
    /// The AcceptAPI.
    pub target: Target,
    /// The offer itself; `None` where it went.
    pub offer: Option<Arc<Object>>,
    /// The time, for conditions.
    pub now: Time,
    /// The resource that is offered.
    pub served: Served,
    /// Objects that it holds.
    pub objects: i64,
    /// Whether a changed number alone is worth a write now.
    pub count_is_due: bool,
    /// This broker's id, where it is known.
    pub broker: Option<Arc<str>>,
    /// What an API server has denied to the broker of this very object.
    pub denied: Denied,
    /// The last write of the offer's status.
    pub written: Option<Applied>,
}

/// Writes that are not tried again while the object is as it was then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// To take a finalizer off: an API server has denied it, or it was done and another broker has put it back.
    pub finalizer: bool,
    /// To write the status, which an API server has denied.
    pub status: bool,
}

/// How often in a row the same status may be put back before the broker slows down: somebody keeps changing it.
const PATIENCE: u32 = 3;
/// The slowest pace of that.
const SLOWEST: Duration = Duration::from_mins(5);
/// The longest message of a broker's entry: each broker has one, and all of them are in one object.
const MAX_ENTRY: usize = 1024;

/// The filters' JSON, for the filter component to validate; `None` where that would be of no use, or too much.
pub fn filters_to_validate(snapshot: &OfferSnapshot) -> Option<Vec<String>> {
    let offer = snapshot.offer.as_ref().filter(|offer| !offer.is_deleting())?;
    let filters = matches!(snapshot.served, Served::Yes).then(|| filters(offer))?;
    // A component is not asked about what is too much for it.
    filters.refusal().is_none().then(|| filters.to_vec())
}

/// How an offer wants copies to be called, and where it wants them.
pub fn copies(offer: &Object) -> Copies {
    part(offer, "copies")
}

/// The namespaces besides the copy's own in which an offer allows related resources.
pub fn related_namespaces(offer: &Object) -> Vec<String> {
    part::<RelatedResources>(offer, "relatedResources").namespaces
}

/// A part of an offer's spec; its default where it is missing or makes no sense.
fn part<T: serde::de::DeserializeOwned + Default>(offer: &Object, name: &str) -> T {
    let found = offer.field("spec").and_then(|spec| serde_json::from_value(spec.get(name)?.clone()).ok());
    found.unwrap_or_default()
}

/// An offer's filters, each as JSON text.
pub fn filters(offer: &Object) -> Filters {
    let spec = offer.field("spec").unwrap_or_default();
    spec["filters"].as_array().into_iter().flatten().map(Value::to_string).collect::<Vec<_>>().into()
}

/// What is to be done about one offer. `validated` answers [`filters_to_validate`]: the problems found, none if it is
/// well.
pub fn plan(snapshot: &OfferSnapshot, validated: Option<&Result<Vec<String>, PluginFailure>>) -> Plan {
    let Some(offer) = &snapshot.offer else { return Plan::default() };
    let mut plan = Plan::default();
    if !offer.is_deleting() {
        plan = judged(snapshot, offer, validated);
    }
    // Nothing of a provider's own waits for a broker. On an offer that this one does not watch it may be another's, which puts it
    // back, until the offer goes.
    let is_ours = offer.is_deleting() || !matches!(snapshot.served, Served::NotWatched);
    if is_ours && offer.has_finalizer(keys::ACCEPT_API_FINALIZER) && !snapshot.denied.finalizer {
        let target = snapshot.target.clone();
        plan.then([writes::release_finalizer(target, offer, keys::ACCEPT_API_FINALIZER, Vec::new())]);
    }
    plan
}

/// What the offer's status has to say.
fn judged(snapshot: &OfferSnapshot, offer: &Object, validated: Option<&Result<Vec<String>, PluginFailure>>) -> Plan {
    let stands = Standing::of(snapshot, offer);
    let finding = match (&snapshot.served, validated) {
        (Served::NotWatched, _) if stands.others_speak() => {
            let mut plan = Plan::default();
            if stands.own.is_some() {
                // It was watched before.
                plan.then(write(snapshot, offer, stands.without_own(), "not watched", &mut None));
            }
            return plan;
        }
        (Served::NotWatched, _) => Finding::no(
            reason::NOT_WATCHED,
            "the broker does not watch this resource: check spec.gvr, or have the broker's operator add it with --watch-kind",
        ),
        (Served::Unknown(why), _) => return Plan::wait(State::Waiting, why.as_str()),
        (Served::No(why), _) => {
            Finding::no(reason::NOT_SERVED, format!("this cluster does not serve what is offered: {why}"))
        }
        (Served::Yes, Some(Ok(problems))) if problems.is_empty() => {
            Finding::yes(reason::VALID, "objects that pass the filters are brought here")
        }
        (Served::Yes, Some(Ok(problems))) => Finding::no(reason::INVALID_FILTERS, problems.join("; ")),
        (Served::Yes, Some(Err(failure))) => Finding::unknown(reason::PLUGIN_FAILED, failure.message.clone()),
        (Served::Yes, None) => match filters(offer).refusal() {
            Some(why) => Finding::no(reason::INVALID_FILTERS, why),
            None => return Plan::default(),
        },
    };
    let mut plan = Plan::default();
    let status = stands.with(snapshot, offer, &finding);
    if stands.is_due(snapshot, &status) {
        let said = format!("{:?}", (&finding, offer.meta.generation, stands.leads()));
        let mut again = None;
        plan.then(write(snapshot, offer, status, &said, &mut again));
        again.map(|again| plan.again_in(again));
    }
    let is_said = |said: &str| said == finding.message || said == clip(&finding.message, MAX_ENTRY);
    if finding.holds != Holds::Yes && !stands.said().is_some_and(is_said) {
        plan.then([Action::Event(Event {
            about: About::Object(snapshot.target.clone(), offer.uid().into()),
            warning: true,
            reason: finding.reason,
            message: clip(&finding.message, text::MAX_EVENT),
        })]);
    }
    plan
}

/// What stands in an offer's status.
struct Standing {
    status: AcceptApiStatus,
    /// This broker's entry.
    own: Option<OfferBroker>,
    /// This broker's id.
    id: Option<Arc<str>>,
}

impl Standing {
    fn of(snapshot: &OfferSnapshot, offer: &Object) -> Self {
        let before = offer.field("status");
        let part = |name: &str| before.as_ref().and_then(|status| status.get(name));
        let brokers = part("brokers").and_then(|brokers| serde_json::from_value(brokers.clone()).ok());
        let brokers: Vec<OfferBroker> = brokers.unwrap_or_default();
        let own = brokers.iter().find(|entry| Some(entry.id.as_str()) == snapshot.broker.as_deref()).cloned();
        let status = AcceptApiStatus {
            conditions: findings::conditions_of(before.as_ref()),
            objects: part("objects").and_then(Value::as_i64),
            observed_generation: part("observedGeneration").and_then(Value::as_i64),
            brokers,
        };
        Self { status, own, id: snapshot.broker.clone() }
    }

    fn others(&self) -> impl Iterator<Item = &OfferBroker> {
        self.status.brokers.iter().filter(|entry| Some(entry.id.as_str()) != self.id.as_deref())
    }

    /// Whether another broker has said of the offer what it makes of it. An earlier release's word is nobody's entry.
    fn others_speak(&self) -> bool {
        let valid = self.status.conditions.iter().find(|c| c.type_ == VALID);
        let is_spoken = valid.is_some_and(|c| c.reason != reason::NOT_WATCHED);
        self.others().next().is_some() || (is_spoken && self.own.is_none())
    }

    /// Whether what this broker makes of the offer is what the offer says: it is the one with the smallest id.
    fn leads(&self) -> bool {
        self.id.as_deref().is_none_or(|id| self.others().all(|other| id < other.id.as_str()))
    }

    /// What this broker has said last.
    fn said(&self) -> Option<&str> {
        let own = self.own.as_ref().map(|own| own.message.as_str());
        let valid = || self.status.conditions.iter().find(|c| c.type_ == VALID && self.leads());
        own.or_else(|| valid().map(|c| c.message.as_str()))
    }

    fn without_own(&self) -> AcceptApiStatus {
        AcceptApiStatus { brokers: self.others().cloned().collect(), ..self.status.clone() }
    }

    /// The status with what this broker makes of the offer: all of it where it leads, else its own entry alone.
    fn with(&self, snapshot: &OfferSnapshot, offer: &Object, finding: &Finding) -> AcceptApiStatus {
        let mut status = self.without_own();
        let held: i64 = self.others().map(|other| other.objects).sum();
        let valid = condition(VALID, finding, &self.status.conditions, offer.meta.generation, &snapshot.now);
        // A broker that does not watch the resource has no part in the offer.
        if let Some(id) = self.id.as_ref().filter(|_| !matches!(snapshot.served, Served::NotWatched)) {
            status.brokers.push(OfferBroker {
                id: id.to_string(),
                objects: snapshot.objects,
                valid: valid.status.clone(),
                message: clip(&finding.message, MAX_ENTRY),
            });
            status.brokers.sort_by(|one, other| one.id.cmp(&other.id));
        }
        if self.leads() {
            status.conditions.retain(|c| c.type_ != VALID);
            status.conditions.push(valid);
            status.objects = Some(snapshot.objects + held);
            status.observed_generation = offer.meta.generation;
        }
        status
    }

    /// Whether a status is worth a write: a changed number of this broker's own objects alone is so only now and then.
    fn is_due(&self, snapshot: &OfferSnapshot, status: &AcceptApiStatus) -> bool {
        let mut without_number = status.clone();
        if !snapshot.count_is_due {
            let stood = self.own.as_ref().map(|own| own.objects);
            let own = without_number.brokers.iter_mut().find(|entry| Some(entry.id.as_str()) == self.id.as_deref());
            if let (Some(own), Some(stood)) = (own, stood) {
                let more = own.objects - stood;
                own.objects = stood;
                without_number.objects = without_number.objects.map(|all| if self.leads() { all - more } else { all });
            } else if stood.is_none() && self.id.is_none() {
                without_number.objects = self.status.objects;
            }
        }
        without_number != self.status
    }
}

/// The write of an offer's status, unless it was made before and changed nothing, or was denied.
fn write(
    snapshot: &OfferSnapshot,
    offer: &Object,
    status: AcceptApiStatus,
    said: &str,
    again: &mut Option<Duration>,
) -> Option<Action> {
    if snapshot.denied.status {
        return None;
    }
    let there = digest::of(&offer.field("status").unwrap_or(Value::Null));
    let asked = digest::of(&Value::from(format!("{said} {:?} {:?}", status.objects, status.brokers)));
    if let Some(written) = snapshot.written.as_ref().filter(|written| written.asked == asked) {
        // A CRD of an earlier release drops what it does not know.
        if written.got == there {
            return None;
        }
        let doublings = written.times.checked_sub(PATIENCE).map(|over| over.min(10));
        let pause = doublings.map(|doublings| Duration::from_secs(1 << doublings).min(SLOWEST));
        if let Some(rest) = pause.and_then(|pause| pause.checked_sub(written.ago)).filter(|rest| !rest.is_zero()) {
            *again = Some(rest);
            return None;
        }
    }
    Some(Action::OfferStatus {
        target: snapshot.target.clone(),
        uid: offer.uid().into(),
        resource_version: offer.resource_version().into(),
        status: serde_json::to_value(status).unwrap_or_default(),
        asked,
    })
}
