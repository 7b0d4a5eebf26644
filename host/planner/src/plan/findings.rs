//! The three conditions of an object: what a pass found, and how it is written down.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use resource_broker_api::conditions::{ACCEPTED, READY, SYNCED, reason};
use serde_json::Value;

use crate::{
    model::snapshot::{Failure, Part},
    plan::strangers,
};

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be told.
    Unknown,
}

/// What a pass found of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it holds.
    pub holds: Holds,
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
    /// What follows the message where only those look who run the broker: it may name others' objects.
    pub inside: Option<String>,
    /// The object's generation that it speaks of, where that is another one than the object's now.
    pub generation: Option<i64>,
}

impl Finding {
    /// It holds.
    pub fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self { holds: Holds::Yes, reason: reason.into(), message: message.into(), inside: None, generation: None }
    }

    /// It does not hold.
    pub fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { holds: Holds::No, reason: reason.into(), message: message.into(), inside: None, generation: None }
    }

    /// It cannot be told.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { holds: Holds::Unknown, reason: reason.into(), message: message.into(), inside: None, generation: None }
    }

    /// The same as those are told who run the broker.
    #[must_use]
    pub fn inside(&self) -> Self {
        let more = self.inside.as_ref().map(|more| format!("{}; {more}", self.message));
        Self { message: more.unwrap_or_else(|| self.message.clone()), inside: None, generation: None, ..self.clone() }
    }

    /// The same for the object's owner.
    #[must_use]
    pub fn outside(&self) -> Self {
        Self { message: strangers::outward(&self.message), inside: None, ..self.clone() }
    }

    /// What a failure of the last pass says of `Synced`. The details of what the broker writes for itself are inside.
    pub fn of_failure(failure: &Failure) -> Self {
        if failure.part == Part::Record {
            let message = "the broker cannot write its own record of this object now; its operator has the details";
            return Self { inside: Some(failure.message.clone()), ..Self::no(failure.reason, message) };
        }
        let message = strangers::without_addresses(&failure.message);
        let inside = (message != failure.message).then(|| format!("in full: {}", failure.message));
        Self { inside, ..Self::no(failure.reason, message) }
    }
}

/// What a pass found of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// A provider takes it.
    pub accepted: Finding,
    /// The copy shows this generation.
    pub synced: Finding,
    /// It can be used.
    pub ready: Finding,
}

impl Findings {
    /// Nobody has the object, so nothing else can hold either.
    pub fn unplaced(accepted: Finding) -> Self {
        let synced = Finding::no(&accepted.reason, "no provider has a copy yet");
        let ready = Finding::no(&accepted.reason, "no provider has a copy yet");
        Self { accepted, synced, ready }
    }

    /// The same as those are told who run the broker.
    #[must_use]
    pub fn inside(&self) -> Self {
        Self { accepted: self.accepted.inside(), synced: self.synced.inside(), ready: self.ready.inside() }
    }

    /// The same for the object's owner.
    #[must_use]
    pub fn outside(&self) -> Self {
        Self { accepted: self.accepted.outside(), synced: self.synced.outside(), ready: self.ready.outside() }
    }

    /// The same without a word of anybody else.
    #[must_use]
    pub fn plain(&self) -> Self {
        let plain = |finding: &Finding| {
            let reason = if finding.holds == Holds::Yes { reason::REPORTED } else { reason::WRITE_FAILED };
            let message = "what is to be said here was refused by the API server; the broker's log has it";
            Finding {
                holds: finding.holds,
                reason: reason.into(),
                message: message.into(),
                inside: None,
                generation: None,
            }
        };
        Self { accepted: plain(&self.accepted), synced: plain(&self.synced), ready: plain(&self.ready) }
    }

    /// The conditions, in a fixed order, each with the time since which its status has stood.
    pub fn conditions(&self, before: &[Condition], generation: Option<i64>, now: &Time) -> Vec<Condition> {
        [(ACCEPTED, &self.accepted), (SYNCED, &self.synced), (READY, &self.ready)]
            .into_iter()
            .map(|(type_, finding)| condition(type_, finding, before, generation, now))
            .collect()
    }
}

/// One condition; its transition time moves only with its status.
pub fn condition(
    type_: &str,
    finding: &Finding,
    before: &[Condition],
    generation: Option<i64>,
    now: &Time,
) -> Condition {
    let status = match finding.holds {
        Holds::Yes => "True",
        Holds::No => "False",
        Holds::Unknown => "Unknown",
    };
    let stood = before.iter().find(|c| c.type_ == type_ && c.status == status);
    let (reason, message) = strangers::reason_and_message(&finding.reason, &finding.message);
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason,
        message,
        observed_generation: finding.generation.or(generation),
        last_transition_time: stood.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
    }
}

/// Whether a reason is worth an Event: the object needs somebody's attention.
pub fn is_trouble(finding: &Finding) -> bool {
    finding.holds != Holds::Yes
        && !matches!(finding.reason.as_str(), reason::PENDING | reason::WAITING | reason::MOVING)
}

/// The conditions of a status, as far as they are well formed.
pub fn conditions_of(status: Option<&Value>) -> Vec<Condition> {
    let items = status.and_then(|status| status.get("conditions")).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| serde_json::from_value(item.clone()).ok()).collect()
}
