//! The copy at the provider: what it has to look like, and whose it is.

use std::time::Duration;

use resource_broker_api::{
    conditions::reason,
    keys,
    names::{ClusterName, bucket},
    object::Object,
};
use serde_json::{Map, Value, json};

use crate::{
    model::{
        ownership::MARKS,
        snapshot::{Applied, Key, Memory, Part, Snapshot, Target},
    },
    placement::{core_kinds, references},
    plan::{Action, digest, findings::Finding},
    sync::owned,
};

/// How often in a row the same may be applied before the broker slows down: somebody keeps changing it back.
const PATIENCE: u32 = 3;
/// The slowest pace of a contest over fields.
const SLOWEST: Duration = Duration::from_mins(5);

/// The apply document for the copy at `target`: everything outside `metadata` and `status`, and the broker's own marks. Labels
/// that an old copy lacks come with its next write, and are no reason for one.
pub fn wanted(key: &Key, target: &Target, consumer: &Object, broker: Option<&str>) -> Value {
    let record = key.record_name();
    let mut metadata = json!({
        "name": target.name,
        "annotations": {
            keys::CONSUMER_CLUSTER: key.consumer.to_string(),
            keys::CONSUMER_NAME: key.name,
        },
        "labels": {keys::ASSIGNMENT: record, keys::BUCKET: bucket(&record).to_string()},
        "finalizers": [keys::GENERIC_FINALIZER],
    });
    if let Some(broker) = broker {
        metadata["annotations"][keys::BROKER] = Value::from(broker);
    }
    if let Some(namespace) = &target.namespace {
        metadata["namespace"] = Value::from(namespace.as_str());
    }
    if let Some(namespace) = key.namespace.as_ref().filter(|namespace| target.namespace.as_ref() != Some(*namespace)) {
        metadata["annotations"][keys::CONSUMER_NAMESPACE] = Value::from(namespace.as_str());
    }
    let mut document: Map<String, Value> = consumer.content();
    core_kinds::keep_wanted(&key.gvk, &key.name, &mut document);
    document.insert("apiVersion".into(), key.gvk.api_version().into());
    document.insert("kind".into(), key.gvk.kind.as_str().into());
    document.insert("metadata".into(), metadata);
    Value::Object(document)
}

/// What is to be done about the copy, and whether it shows this generation.
#[derive(Debug)]
pub struct Step {
    /// The apply, where one is due.
    pub action: Option<Action>,
    /// For the condition `Synced`.
    pub synced: Finding,
    /// The copy is there, and as it is wanted.
    pub stands: bool,
    /// Look again after this long.
    pub again: Option<Duration>,
}

/// One place for a copy.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The object, in the version in which it is copied there.
    pub key: &'a Key,
    /// The copy.
    pub target: &'a Target,
    /// The UID that the record knows of the copy there.
    pub uid: Option<&'a str>,
}

/// The apply document for a place, with what it refers to as that is called there; or the reason and the words for why there is
/// none.
pub(crate) fn body(snapshot: &Snapshot, at: At<'_>, consumer: &Object) -> Result<Value, (&'static str, String)> {
    let At { key, target, .. } = at;
    let mut body = wanted(key, target, consumer, snapshot.broker.as_deref());
    if let Some(content) = body.as_object_mut() {
        references::translate(snapshot, target, content).map_err(|why| (reason::REFERENCE_ELSEWHERE, why))?;
    }
    let is_lost = |name: &&String| {
        let is_wanted = *name != "status" && !core_kinds::is_set_by_cluster(&key.gvk, name);
        is_wanted
            && body.get(name.as_str()).is_none()
            && consumer.fields.get(*name).is_some_and(|raw| raw.get() != "null")
    };
    match consumer.fields.keys().find(is_lost) {
        Some(field) => Err((reason::INVALID, format!("{field} nests too deep to be copied (127 levels at most)"))),
        None => Ok(body),
    }
}

/// Brings the copy at a provider in step with the consumer object, both in the same version.
pub fn copy(snapshot: &Snapshot, at: At<'_>, consumer: &Object, copy: Option<&Object>) -> Step {
    let At { key, target, uid } = at;
    let provider = &target.cluster;
    let memory = &snapshot.memory;
    if let Some(copy) = copy {
        if !snapshot.is_ours(copy, key, provider, uid) {
            return blocked(
                reason::NAME_TAKEN,
                format!(
                    "{} holds an object named {} that the broker did not make; rename or delete it there and the copy is made",
                    provider,
                    copy.name()
                ),
            );
        }
        if copy.is_deleting() {
            return Step {
                action: None,
                stands: false,
                synced: Finding::no(
                    reason::PENDING,
                    format!("the copy at {provider} was deleted there; it is made again once it is gone"),
                ),
                again: None,
            };
        }
    }
    if is_paused(consumer) {
        let stays = if copy.is_some() { "what the copy has stays as it is" } else { "no copy is made" };
        let message =
            format!("{}: \"true\" stands on this object: {stays} until that annotation is taken off", keys::PAUSED);
        return blocked(reason::PAUSED, message);
    }
    let body = match body(snapshot, at, consumer) {
        Ok(body) => body,
        Err((reason, why)) => return blocked(reason, format!("{why}; what {provider} has stays as it was")),
    };
    if copy.is_some_and(|copy| owned::in_step(&body, copy)) {
        return Step { action: None, synced: in_step(provider, consumer, memory), stands: true, again: None };
    }
    let asked = digest::of(&body);
    let uid = copy.map(|copy| copy.uid().to_owned());
    if let Some(applied) = memory.applied.get(provider).filter(|applied| applied.asked == asked) {
        // The API server or a webhook made this of our last apply: asking again would change nothing.
        if copy.is_some_and(|copy| applied.got == content_digest(copy)) {
            return Step { action: None, synced: in_step(provider, consumer, memory), stands: true, again: None };
        }
        if let Some(rest) = pause(applied) {
            let synced = Finding::no(
                reason::CONTESTED,
                format!(
                    "somebody at {provider} keeps changing or deleting the copy {}; the broker puts it back at a slower \
                     and slower pace: have it left alone there, or change this object",
                    target.name
                ),
            );
            return Step { action: None, synced, stands: false, again: Some(rest) };
        }
    }
    Step {
        action: Some(Action::ApplyCopy { target: target.clone(), uid, body, asked }),
        // What the apply will show: a pass that ends well has it in step.
        synced: in_step(provider, consumer, memory),
        stands: false,
        again: None,
    }
}

/// What the copy shows of what an apply sets, as a digest: all outside `metadata` and `status`, and the broker's marks.
pub fn content_digest(copy: &Object) -> String {
    let mut shown = copy.content();
    let marks = json!({
        "annotations": MARKS.map(|mark| copy.annotation(mark)),
        "finalizer": copy.has_finalizer(keys::GENERIC_FINALIZER),
    });
    shown.insert("metadata".into(), marks);
    digest::of(&Value::Object(shown))
}

/// Whether the object asks not to have its spec copied.
fn is_paused(consumer: &Object) -> bool {
    consumer.annotation(keys::PAUSED) == Some("true")
}

fn pause(applied: &Applied) -> Option<Duration> {
    let doublings = applied.times.checked_sub(PATIENCE)?.min(10);
    let pause = Duration::from_secs(1 << doublings).min(SLOWEST);
    pause.checked_sub(applied.ago).filter(|rest| !rest.is_zero())
}

fn blocked(reason: &str, message: String) -> Step {
    Step { action: None, synced: Finding::no(reason, message), stands: false, again: None }
}

fn in_step(provider: &ClusterName, consumer: &Object, memory: &Memory) -> Finding {
    match &memory.failure {
        Some(failure) if failure.part != Part::Delete => Finding::of_failure(failure),
        _ => {
            let generation = consumer.meta.generation.map(|g| format!("generation {g} of ")).unwrap_or_default();
            Finding::yes(reason::SYNCED, format!("the copy at {provider} shows {generation}this object"))
        }
    }
}
