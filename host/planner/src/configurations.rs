//! A MigrationConfiguration's own condition: is it the only one for its pair, and does it make sense to the template component of
//! its API?

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::MigrationConfigurationStatus,
    conditions::{VALID, reason},
    keys,
    names::Gvk,
    object::Object,
};

use crate::{
    model::{question::PluginFailure, snapshot::Target},
    offers::Denied,
    plan::{
        About, Action, Event, Plan, digest,
        findings::{self, Finding, Holds, condition},
        text::{MAX_EVENT, clip},
        writes,
    },
};

/// All inputs of one configuration.
#[derive(Clone, Debug)]
pub struct ConfigurationSnapshot {
    /// The MigrationConfiguration.
    pub target: Target,
    /// The configuration itself; `None` where it went.
    pub object: Option<Arc<Object>>,
    /// The time, for conditions.
    pub now: Time,
    /// The kinds that it is for moves from and to; `None` where they cannot be read.
    pub pair: Option<(Gvk, Gvk)>,
    /// The kinds of its pair that the broker was not told to watch.
    pub unwatched: Vec<Gvk>,
    /// Other configurations for the same pair.
    pub rivals: Vec<String>,
    /// What an API server has denied to the broker of this very object.
    pub denied: Denied,
}

/// The configuration's `spec` as JSON, for the template component to validate; `None` where that would be of no use.
pub fn to_validate(snapshot: &ConfigurationSnapshot) -> Option<String> {
    let object = snapshot.object.as_ref().filter(|object| !object.is_deleting())?;
    let asks = different_kinds(snapshot).is_none() && snapshot.unwatched.is_empty() && snapshot.rivals.is_empty();
    asks.then(|| object.field("spec").unwrap_or_default().to_string())
}

/// What is to be done about one configuration. `validated` answers [`to_validate`]: the problems found, none if it is well.
pub fn plan(snapshot: &ConfigurationSnapshot, validated: Option<&Result<Vec<String>, PluginFailure>>) -> Plan {
    let Some(object) = &snapshot.object else { return Plan::default() };
    let mut plan = Plan::default();
    if !object.is_deleting() {
        plan = judged(snapshot, object, validated);
    }
    let finalizer = keys::MIGRATION_CONFIGURATION_FINALIZER;
    if object.has_finalizer(finalizer) && !snapshot.denied.finalizer {
        plan.then([writes::release_finalizer(snapshot.target.clone(), object, finalizer, Vec::new())]);
    }
    plan
}

/// What the configuration's status has to say.
fn judged(
    snapshot: &ConfigurationSnapshot,
    object: &Object,
    validated: Option<&Result<Vec<String>, PluginFailure>>,
) -> Plan {
    let mut plan = Plan::default();
    let Some(finding) = finding(snapshot, validated) else { return plan };
    let before = findings::conditions_of(object.field("status").as_ref());
    let valid = condition(VALID, &finding, &before, object.meta.generation, &snapshot.now);
    let stood = before.iter().find(|c| c.type_ == VALID);
    if stood != Some(&valid) && !snapshot.denied.status {
        let status = MigrationConfigurationStatus {
            conditions: before.iter().filter(|c| c.type_ != VALID).cloned().chain([valid]).collect(),
            observed_generation: object.meta.generation,
        };
        let status = serde_json::to_value(status).unwrap_or_default();
        let asked = digest::of(&status);
        plan.then([Action::PutStatus {
            target: snapshot.target.clone(),
            uid: object.uid().into(),
            status,
            beside: None,
            asked,
        }]);
    }
    if finding.holds != Holds::Yes && stood.is_none_or(|c| c.message != finding.message) {
        plan.then([Action::Event(Event {
            about: About::Object(snapshot.target.clone(), object.uid().into()),
            warning: true,
            reason: finding.reason,
            message: clip(&finding.message, MAX_EVENT),
        })]);
    }
    plan
}

/// The kinds of a pair between which nothing moves: an object stays of its kind, and only the version may become another.
fn different_kinds(snapshot: &ConfigurationSnapshot) -> Option<(&Gvk, &Gvk)> {
    let (from, to) = snapshot.pair.as_ref()?;
    ((&from.group, &from.kind) != (&to.group, &to.kind)).then_some((from, to))
}

fn finding(
    snapshot: &ConfigurationSnapshot,
    validated: Option<&Result<Vec<String>, PluginFailure>>,
) -> Option<Finding> {
    if let Some((from, to)) = different_kinds(snapshot) {
        let message = format!(
            "an object that moves stays of its kind, so nothing moves from {from} to {to}, and these stages are never used: give \
             spec.from and spec.to the same group and kind; versions may differ"
        );
        return Some(Finding::no(reason::DIFFERENT_KINDS, message));
    }
    if !snapshot.rivals.is_empty() {
        let rivals = snapshot.rivals.join(", ");
        let message = format!("{rivals} is for the same pair of kinds, and none of them is used: keep one");
        return Some(Finding::no(reason::CONFLICT, message));
    }
    if let Some(gvk) = snapshot.unwatched.first() {
        let message = format!(
            "the broker does not watch {gvk}: check spec.from and spec.to, or have the broker's operator add it with --watch-kind"
        );
        return Some(Finding::no(reason::NOT_WATCHED, message));
    }
    Some(match validated? {
        Ok(problems) if problems.is_empty() => {
            Finding::yes(reason::VALID, "moves between these kinds go through its stages")
        }
        Ok(problems) => Finding::no(reason::INVALID_CONFIGURATION, problems.join("; ")),
        Err(failure) => Finding::unknown(reason::PLUGIN_FAILED, failure.message.clone()),
    })
}
