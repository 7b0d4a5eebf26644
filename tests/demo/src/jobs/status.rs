//! What the Job controller would write into a Job, in the order in which the API server takes it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::operator::now;

/// The finalizers that the garbage collector would release.
const COLLECTOR: [&str; 2] = ["foregroundDeletion", "orphan"];

/// A process runs, or is about to, after so many that failed.
pub(super) fn active(started: &Time, failed: i32) -> Value {
    json!({"startTime": started, "active": 1, "ready": 1, "failed": failed})
}

/// The process succeeded.
pub(super) fn complete(started: &Time, failed: i32) -> Value {
    let why = ("CompletionsReached", "Reached expected number of succeeded pods");
    json!({
        "startTime": started,
        "completionTime": now(),
        "active": 0,
        "ready": 0,
        "failed": failed,
        "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet", why), condition("Complete", why)],
    })
}

/// No process is tried again.
pub(super) fn failed(started: &Time, failed: i32, reason: &str, message: &str) -> Value {
    json!({
        "startTime": started,
        "active": 0,
        "ready": 0,
        "failed": failed,
        "conditions": [condition("FailureTarget", (reason, message)), condition("Failed", (reason, message))],
    })
}

/// Whether it has succeeded or failed for good.
pub(super) fn is_over(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|it| (it.type_ == "Complete" || it.type_ == "Failed") && it.status == "True")
}

/// The finalizers that are left without the garbage collector's, if it has some of these.
pub(super) fn without_collector(job: &Job) -> Option<Vec<String>> {
    let all = job.metadata.finalizers.as_deref().unwrap_or_default();
    let kept: Vec<_> = all.iter().filter(|it| !COLLECTOR.contains(&it.as_str())).cloned().collect();
    (kept.len() < all.len()).then_some(kept)
}

fn condition(type_: &str, (reason, message): (&str, &str)) -> Value {
    let now = now();
    json!({
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": now,
        "lastTransitionTime": now,
    })
}
