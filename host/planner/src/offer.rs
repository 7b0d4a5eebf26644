//! An AcceptAPI's own conditions: does the offer make sense, and how many objects does it hold? Needs no client.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::{AcceptApiStatus, Copies, RelatedResources},
    conditions::{VALID, reason},
    keys,
    object::Object,
};
use serde_json::Value;

use crate::{
    delete, digest,
    findings::{Finding, Holds, condition},
    plan::{About, Action, Event, Plan, State},
    question::PluginFailure,
    snapshot::Target,
    status,
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
}

/// The filters' JSON, for the filter component to validate; `None` where that would be of no use.
pub fn filters_to_validate(snapshot: &OfferSnapshot) -> Option<Vec<String>> {
    let offer = snapshot.offer.as_ref().filter(|offer| !offer.is_deleting())?;
    matches!(snapshot.served, Served::Yes).then(|| filters(offer))
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
pub fn filters(offer: &Object) -> Vec<String> {
    let spec = offer.field("spec").unwrap_or_default();
    spec["filters"].as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// What is to be done about one offer. `validated` answers [`filters_to_validate`]: the problems found, none if it is
/// well.
pub fn plan(snapshot: &OfferSnapshot, validated: Option<&Result<Vec<String>, PluginFailure>>) -> Plan {
    let Some(offer) = &snapshot.offer else { return Plan::default() };
    let mut plan = Plan::default();
    if offer.is_deleting() {
        if offer.has_finalizer(keys::ACCEPT_API_FINALIZER) {
            let release =
                delete::release_finalizer(snapshot.target.clone(), offer, keys::ACCEPT_API_FINALIZER, Vec::new());
            plan.then([release]);
        }
        return plan;
    }
    let before = status::conditions_of(offer.field("status").as_ref());
    let finding = match (&snapshot.served, validated) {
        // Another broker may watch it: what that one says stands.
        (Served::NotWatched, _) if before.iter().any(|c| c.type_ == VALID && c.reason != reason::NOT_WATCHED) => {
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
        (Served::Yes, None) => return plan,
    };
    if !matches!(snapshot.served, Served::NotWatched) && !offer.has_finalizer(keys::ACCEPT_API_FINALIZER) {
        plan.then([Action::Decorate {
            target: snapshot.target.clone(),
            uid: offer.uid().into(),
            finalizer: keys::ACCEPT_API_FINALIZER,
            annotations: BTreeMap::new(),
        }]);
    }
    let valid = condition(VALID, &finding, &before, offer.meta.generation, &snapshot.now);
    let stood = before.iter().find(|c| c.type_ == VALID);
    let objects = offer.field("status").and_then(|status| status["objects"].as_i64());
    let is_new = stood != Some(&valid);
    if is_new || (snapshot.count_is_due && objects != Some(snapshot.objects)) {
        let status = AcceptApiStatus {
            conditions: before.iter().filter(|c| c.type_ != VALID).cloned().chain([valid]).collect(),
            objects: Some(snapshot.objects),
            observed_generation: offer.meta.generation,
            brokers: Vec::new(),
        };
        let status = serde_json::to_value(status).unwrap_or_default();
        let asked = digest::of(&status);
        plan.then([Action::PutStatus { target: snapshot.target.clone(), uid: offer.uid().into(), status, asked }]);
    }
    if finding.holds != Holds::Yes && stood.is_none_or(|c| c.message != finding.message) {
        plan.then([Action::Event(Event {
            about: About::Object(snapshot.target.clone(), offer.uid().into()),
            warning: true,
            reason: finding.reason,
            message: crate::findings::clip(&finding.message, crate::service::MAX_EVENT),
        })]);
    }
    plan
}
