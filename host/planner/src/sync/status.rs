//! The provider's status at the consumer, with the broker's own conditions beside the provider's, and those of others
//! left alone.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resource_broker_api::{
    broker::{AssignmentStatus, CopyRef},
    conditions::{ACCEPTED, READY, SYNCED, reason},
    names::ClusterName,
    object::{Object, Shape},
};
use serde_json::{Map, Value};

use crate::{
    model::snapshot::{Part, Record, Snapshot, Written},
    placement::core_kinds,
    plan::{
        Action, digest,
        findings::{Finding, Findings, Holds, conditions_of},
        strangers,
    },
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
            let is_word = word.len() <= 64 && strangers::is_reason(word);
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
    let (reason, message) = strangers::reason_and_message(&text("reason"), &text("message"));
    Some(Finding { holds, reason, message, inside: None, generation: None })
}

/// The write that brings the consumer's status to what the provider and the broker say; `None` where it is so, or where
/// somebody else keeps changing it and it is not time for another write.
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
    let mut beside_ours = None;
    let items = |conditions: Option<&Value>| conditions.and_then(Value::as_array).cloned().unwrap_or_default();
    let shown_now = items(there.as_ref().and_then(|there| there.get("conditions")));
    if shape.conditions {
        let theirs = without(items(wanted.get("conditions")), &[ACCEPTED, SYNCED]);
        let theirs = strangers::conditions(theirs, &shown_now, consumer.meta.creation_timestamp.as_ref());
        wanted.insert("conditions".into(), theirs.into());
    }
    // What was asked for is known again by a digest without times: a schema that drops conditions must not make every
    // pass look new. What others write beside it is not asked for.
    let mut timeless = Value::Object(wanted.clone());
    if shape.conditions {
        let before = conditions_of(there.as_ref());
        let ours = findings.outside().conditions(&before, consumer.meta.generation, &snapshot.now);
        timeless["ours"] = ours
            .iter()
            .map(|c| Value::from(format!("{c:?}").replace(&format!("{:?}", c.last_transition_time), "")))
            .collect();
        let mut all = beside(items(wanted.get("conditions")), &ours);
        let others = of_others(snapshot, consumer, &shown_now, &all);
        beside_ours = (!others.is_empty()).then(|| Value::from(shown_now));
        all.extend(others);
        wanted.insert("conditions".into(), all.into());
    }
    let wanted = Value::Object(wanted);
    let shown = there.clone().unwrap_or_else(|| Value::Object(Map::new()));
    let as_kept = || core_kinds::as_kept(&snapshot.key.gvk, &shown, &wanted);
    if is_same(&shown, &wanted) || as_kept().is_some_and(|(shown, wanted)| is_same(&shown, &wanted)) {
        return None;
    }
    let asked = digest::of(&timeless);
    let got = digest::of(&there.unwrap_or(Value::Null));
    if let Some(written) = snapshot.memory.status.as_ref().filter(|written| written.asked == asked)
        && (written.got == got || pause(written).is_some())
    {
        return None;
    }
    let (target, uid) = (snapshot.key.target(), consumer.uid().into());
    Some(Action::PutStatus { target, uid, status: wanted, beside: beside_ours, asked })
}

/// How often in a row the same status may be written before the broker slows down: somebody keeps changing it back.
const PATIENCE: u32 = 3;
/// The slowest pace of a contest over the status.
const SLOWEST: Duration = Duration::from_mins(5);
/// When a contest is over in which nobody has changed anything.
const CONTEST_ENDS: Duration = Duration::from_mins(10);

/// How long the next write must wait where the same was written again and again.
fn pause(written: &Written) -> Option<Duration> {
    let doublings = written.times.checked_sub(PATIENCE)?.min(10);
    let pause = Duration::from_secs(1 << doublings).min(SLOWEST);
    pause.checked_sub(written.ago).filter(|rest| !rest.is_zero())
}

/// When a write is due that waits since somebody else keeps changing the status.
pub(crate) fn rest(snapshot: &Snapshot) -> Option<Duration> {
    snapshot.memory.status.as_ref().and_then(pause)
}

/// Somebody else keeps changing the status at the consumer: what those are to know who can mend it, and when to look again.
pub(crate) fn contest(snapshot: &Snapshot) -> Option<(Finding, Duration)> {
    let written = snapshot.memory.status.as_ref().filter(|written| written.times > PATIENCE)?;
    let rest = CONTEST_ENDS.checked_sub(written.ago).filter(|rest| !rest.is_zero())?;
    let message = format!(
        "somebody in {} keeps changing the status of this object; the broker puts it back at a slower and slower pace: have its \
         status left alone there but for conditions of other types",
        snapshot.key.consumer
    );
    Some((Finding::no(reason::CONTESTED, message), pause(written).unwrap_or(rest)))
}

/// The broker's conditions beside the provider's. A provider may report `Ready` itself; the other two are the broker's.
fn beside(theirs: Vec<Value>, ours: &[Condition]) -> Vec<Value> {
    let reports_ready = theirs.iter().any(|condition| condition["type"] == READY);
    let added = ours.iter().filter(|c| !(reports_ready && c.type_ == READY));
    theirs.into_iter().chain(added.filter_map(|c| serde_json::to_value(c).ok())).collect()
}

/// Conditions without those of some types.
fn without(mut conditions: Vec<Value>, types: &[&str]) -> Vec<Value> {
    conditions.retain(|condition| types.iter().all(|type_| condition["type"] != *type_));
    conditions
}

/// The conditions that are shown and that neither the provider reports or reported, nor the broker gives: somebody else keeps
/// them there.
fn of_others(snapshot: &Snapshot, consumer: &Object, shown: &[Value], ours: &[Value]) -> Vec<Value> {
    let is_others = |condition: &&Value| {
        let Some(type_) = condition["type"].as_str() else { return false };
        let is_ours = [ACCEPTED, SYNCED, READY].contains(&type_) || ours.iter().any(|it| it["type"] == type_);
        !is_ours && !consumer.own_conditions.has(type_) && !snapshot.memory.reported.contains(type_)
    };
    shown.iter().filter(is_others).cloned().collect()
}

/// The types of the provider's conditions that are to be remembered as such: only where others keep conditions beside them, and
/// an API server may take those for the owners of all.
pub(crate) fn reported(
    snapshot: &Snapshot,
    consumer: &Object,
    shown: Option<&Value>,
    theirs: &Value,
) -> BTreeSet<String> {
    let items = |status: &Value| status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let shown = shown.map(items).unwrap_or_default();
    let theirs = items(theirs);
    if of_others(snapshot, consumer, &shown, &theirs).is_empty() {
        return BTreeSet::new();
    }
    theirs.iter().filter_map(|condition| condition["type"].as_str().map(str::to_owned)).collect()
}

/// Whether two statuses differ in nothing but the order of their conditions.
fn is_same(one: &Value, other: &Value) -> bool {
    if one == other {
        return true;
    }
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
    let sorted = |status: &Map<String, Value>| {
        let mut all = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        all.sort_by(|one, other| one["type"].as_str().cmp(&other["type"].as_str()));
        all
    };
    let rest = |status: &Map<String, Value>| status.keys().filter(|key| *key != "conditions").count();
    rest(one) == rest(other)
        && one.iter().filter(|(key, _)| *key != "conditions").all(|(key, value)| other.get(key) == Some(value))
        && one.contains_key("conditions") == other.contains_key("conditions")
        && sorted(one) == sorted(other)
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
    // Whatever a condition has in it that is refused, the places of the copies are recorded.
    let is_refused = snapshot.memory.failure.as_ref().is_some_and(|it| it.part == Part::Record && it.invalid);
    let findings = if is_refused { findings.plain() } else { findings.inside() };
    let next_there = snapshot.own_next_copy().filter(|_| next_before.is_none() || snapshot.migration.object.is_known());
    let status = AssignmentStatus {
        conditions: findings.conditions(&before.conditions, record.generation, &snapshot.now),
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
