//! Step 6: the provider's status at the consumer, with the broker's own conditions beside the provider's. Needs no
//! client.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resource_broker_api::{
    broker::{AssignmentStatus, CopyRef},
    conditions::{ACCEPTED, READY, SYNCED, reason},
    names::ClusterName,
    object::Object,
};
use serde_json::{Map, Value};

use crate::{
    digest,
    findings::{Finding, Findings, Holds},
    plan::Action,
    snapshot::{Record, Shape, Snapshot},
};

/// What the copy's status says of being ready.
pub fn ready(provider: &ClusterName, shape: Shape, status: Option<&Value>) -> Finding {
    if let Some(reported) = reported_ready(status) {
        return reported;
    }
    match status.and_then(|status| status.get("status")).and_then(Value::as_str) {
        Some("Available") => Finding::yes("Available", format!("{provider} reports status Available")),
        Some("") => Finding::no(reason::PENDING, format!("{provider} has not begun yet: its status is empty")),
        Some(word) => {
            // A reason is CamelCase; anything else a provider may say stays in the message.
            let is_word = word.len() <= 64 && word.chars().all(|c| c.is_ascii_alphanumeric());
            Finding::no(if is_word { word } else { reason::PENDING }, format!("{provider} reports status {word}"))
        }
        None if !shape.status => {
            Finding::yes(reason::SYNCED, format!("{provider} has a copy; this kind reports no status"))
        }
        None => Finding::no(reason::PENDING, format!("{provider} has reported no status yet")),
    }
}

/// Whether a copy has a status that cannot be read: it nests too deep.
pub fn is_unreadable(copy: &Object) -> bool {
    copy.fields.get("status").is_some_and(|status| serde_json::from_str::<Value>(status.get()).is_err())
}

pub(crate) fn reported_ready(status: Option<&Value>) -> Option<Finding> {
    let conditions = status?.get("conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == READY)?;
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    let holds = match ready["status"].as_str() {
        Some("True") => Holds::Yes,
        Some("False") => Holds::No,
        _ => Holds::Unknown,
    };
    let reason = Some(text("reason")).filter(|reason| !reason.is_empty()).unwrap_or_else(|| reason::REPORTED.into());
    Some(Finding { holds, reason, message: text("message"), inside: None })
}

/// The write that brings the consumer's status to what the provider and the broker say; `None` where it is so.
pub fn put(snapshot: &Snapshot, consumer: &Object, shown: Option<Value>, findings: &Findings) -> Option<Action> {
    let shape = snapshot.shape;
    if !shape.status || (shown.is_none() && !shape.conditions) {
        return None;
    }
    let there = consumer.field("status");
    let mut wanted = match shown {
        Some(Value::Object(status)) => status,
        _ => Map::new(),
    };
    // What was asked for is known again by a digest without times: a schema that drops conditions must not make every
    // pass look new.
    let mut timeless = Value::Object(wanted.clone());
    if shape.conditions {
        let before = conditions_of(there.as_ref());
        let ours = findings.conditions(&before, consumer.meta.generation, &snapshot.now);
        timeless["ours"] = ours
            .iter()
            .map(|c| Value::from(format!("{c:?}").replace(&format!("{:?}", c.last_transition_time), "")))
            .collect();
        wanted.insert("conditions".into(), beside(wanted.get("conditions"), &ours));
    }
    let wanted = Value::Object(wanted);
    if there.as_ref().unwrap_or(&Value::Object(Map::new())) == &wanted {
        return None;
    }
    let asked = digest::of(&timeless);
    let got = digest::of(&there.unwrap_or(Value::Null));
    if snapshot.memory.status.as_ref().is_some_and(|written| written.asked == asked && written.got == got) {
        return None;
    }
    Some(Action::PutStatus { target: snapshot.key.target(), uid: consumer.uid().into(), status: wanted, asked })
}

/// The broker's conditions beside the provider's. A provider may report `Ready` itself; the other two are the broker's.
fn beside(theirs: Option<&Value>, ours: &[Condition]) -> Value {
    let theirs = theirs.and_then(Value::as_array).cloned().unwrap_or_default();
    let reports_ready = theirs.iter().any(|condition| condition["type"] == READY);
    let kept = theirs.into_iter().filter(|c| c["type"] != ACCEPTED && c["type"] != SYNCED);
    let added = ours.iter().filter(|c| !(reports_ready && c.type_ == READY));
    kept.chain(added.filter_map(|c| serde_json::to_value(c).ok())).collect()
}

/// The conditions of a status, as far as they are well formed.
pub fn conditions_of(status: Option<&Value>) -> Vec<Condition> {
    let items = status.and_then(|status| status.get("conditions")).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| serde_json::from_value(item.clone()).ok()).collect()
}

/// A status without the broker's own conditions, so that they can be put beside the rest anew.
pub fn without_ours(mut status: Value) -> Value {
    if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| ![ACCEPTED, SYNCED, READY].iter().any(|ours| condition["type"] == *ours));
    }
    status
}

/// The write that brings the record's status up to date; `None` where it is.
pub fn record(
    snapshot: &Snapshot,
    record: &Record,
    consumer: &Object,
    copy: Option<&Object>,
    findings: &Findings,
) -> Option<Action> {
    let before = &record.status;
    let is_left = |copy: &CopyRef| record.spec.previous.iter().any(|place| place.uid.as_ref() == Some(&copy.uid));
    let refer = |copy: &Object| CopyRef { uid: copy.uid().into() };
    let next_before = before.next.clone().filter(|copy| record.spec.next.is_some() && !is_left(copy));
    // Whether a Migration was about the copy that is known has to be seen before another one takes its place.
    let next_there = snapshot.own_next_copy().filter(|_| next_before.is_none() || snapshot.migration.object.is_known());
    let status = AssignmentStatus {
        conditions: findings.inside().conditions(&before.conditions, record.generation, &snapshot.now),
        copy: copy.map(refer).or_else(|| before.copy.clone().filter(|copy| !is_left(copy))),
        next: next_there.map(|copy| refer(copy)).or(next_before),
        observed_generation: consumer.meta.generation,
    };
    (status != *before).then(|| Action::RecordStatus {
        name: record.name.clone(),
        uid: record.uid.clone(),
        status: Box::new(status),
    })
}
