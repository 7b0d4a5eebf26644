//! What came of a request, as a pass is told of it.

use http::StatusCode;
use resource_broker_api::conditions::reason;

use super::Fault;
use crate::{
    planner::{
        model::snapshot::{Failure, Part, Target},
        plan::findings::Finding,
    },
    transport::RequestError,
};

/// An object that no request can be made for.
pub(super) fn unaddressable(target: &Target, error: &http::Error, part: Part) -> Fault {
    failed(part, reason::INVALID, format!("{target} cannot be addressed: {error}"), "invalid")
}

/// Whether an API server says that this very object is not there. A kind that is not served (any more) is 404 too, and
/// is no proof of anything.
pub(super) fn is_absent(error: &RequestError, target: &Target) -> bool {
    matches!(error, RequestError::Api { code, message, .. }
        if *code == StatusCode::NOT_FOUND && message.contains(&format!("\"{}\" not found", target.name)))
}

/// Whether a write into a namespace failed since that is missing.
pub(super) fn lacks_namespace(error: &RequestError, namespace: &str) -> bool {
    matches!(error, RequestError::Api { code, message, .. }
        if *code == StatusCode::NOT_FOUND && message.contains(&format!("namespaces \"{namespace}\" not found")))
}

/// A fault that is told to people.
pub(super) fn failed(part: Part, reason: &'static str, message: String, category: &'static str) -> Fault {
    let failure = Failure { part, invalid: false, reason, message };
    Fault::Failed { failure, category, retry_in: None }
}

/// The fault that a finding about a related resource is.
pub(super) fn found(finding: Finding, category: &'static str, part: Part) -> Fault {
    let reason = match finding.reason.as_str() {
        reason::RELATED_CONFLICT => reason::RELATED_CONFLICT,
        reason::RELATED_MISSING => reason::RELATED_MISSING,
        reason::RELATED_AMBIGUOUS => reason::RELATED_AMBIGUOUS,
        _ => reason::RELATED_NOT_ALLOWED,
    };
    failed(part, reason, finding.message, category)
}

/// The first field of a write that the API server would have dropped.
fn dropped_field(error: &RequestError) -> Option<&str> {
    let RequestError::Api { message, .. } = error else { return None };
    let (_, rest) = message.split_once("strict decoding error: ")?;
    let (_, field) = rest.split_once("unknown field \"")?;
    field.split_once('"').map(|(field, _)| field)
}

/// What a failed request means for the key.
pub(super) fn fault(error: &RequestError, part: Part) -> Fault {
    let said = |text: &str| matches!(error, RequestError::Api { message, .. } if message.contains(text));
    let is_race = error.is_conflict()
        || error.is_gone()
        || (error.is_not_found() && part != Part::Copy && said("\" not found"))
        // A JSON patch whose test fails is 422 as well, without a word about the object.
        || (error.is_invalid() && said("rejected our request due to an error in our request"));
    if is_race {
        return Fault::Again(error.to_string());
    }
    if let Some(unknown) = dropped_field(error) {
        let message = format!(
            "{}: the CRD there is of an older version and lacks {unknown}; apply the CRDs of this version of the broker \
             (resource-broker crds)",
            error.cluster()
        );
        return failed(part, reason::WRITE_FAILED, message, error.category());
    }
    let reason = match error.category() {
        "denied" if error.is_unauthorized() => reason::CREDENTIALS_REFUSED,
        "denied" => reason::FORBIDDEN,
        "invalid" => reason::INVALID,
        "timeout" | "network" | "down" | "server" | "throttled" => reason::CLUSTER_UNAVAILABLE,
        _ => reason::WRITE_FAILED,
    };
    Fault::Failed {
        category: error.category(),
        retry_in: error.retry_in(),
        failure: Failure { part, invalid: error.is_invalid(), reason, message: error.to_string() },
    }
}

/// What came of a write for a migration: people know what was to be written, and not the path of a request.
pub(super) fn refused(what: &str, error: &RequestError, part: Part) -> Fault {
    match fault(error, part) {
        Fault::Failed { failure, category, retry_in } => {
            let message = match error {
                RequestError::Api { code, reason, message, .. } => {
                    let colon = if message.is_empty() { "" } else { ": " };
                    format!("{what} is refused: {} {reason}{colon}{message}", code.as_u16())
                }
                other => format!("{what} cannot be written: {other}"),
            };
            Fault::Failed { failure: Failure { message, ..failure }, category, retry_in }
        }
        other => other,
    }
}

/// A namespace that the operator has to make; `None` where something else is wrong.
pub(super) fn lacking_namespace(target: &Target, error: &RequestError, part: Part) -> Option<Fault> {
    let namespace = target.namespace.as_deref().filter(|namespace| lacks_namespace(error, namespace))?;
    let message = format!(
        "{} has no namespace {namespace} for what migrations need: make it, or give another with --compute-namespace",
        target.cluster
    );
    Some(failed(part, reason::WRITE_FAILED, message, "not_found"))
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{ClusterName, Role};

    use super::*;
    use crate::transport;

    fn answer(code: u16, message: &str) -> RequestError {
        let cluster = ClusterName::new(Role::Provider, "p");
        let request = http::Request::patch("/apis/g/v1/namespaces/n/as/a").body(()).unwrap();
        let body = serde_json::json!({"message": message}).to_string();
        let target = transport::Target::of(&cluster, &request);
        RequestError::from_answer(target, StatusCode::from_u16(code).unwrap(), &http::HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn what_a_schema_refuses_is_invalid_and_no_outage() {
        for (code, message, expected) in [
            (422, "spec.a: too long", (reason::INVALID, true)),
            (413, "too large", (reason::INVALID, true)),
            (
                500,
                "failed to create typed patch object (n/a): .spec.x: field not declared in schema",
                (reason::INVALID, true),
            ),
            (
                500,
                "failed to create typed patch object (n/a): .spec.l: duplicate entries for key [name=\"a\"]",
                (reason::INVALID, true),
            ),
            (500, "etcdserver: request is too large", (reason::INVALID, true)),
            (500, "etcdserver: leader changed", (reason::CLUSTER_UNAVAILABLE, false)),
            (503, "", (reason::CLUSTER_UNAVAILABLE, false)),
            (403, "no", (reason::FORBIDDEN, false)),
        ] {
            let Fault::Failed { failure, retry_in, .. } = fault(&answer(code, message), Part::Copy) else {
                panic!("{code} {message}")
            };
            assert_eq!((failure.reason, failure.invalid), expected, "{code} {message}");
            assert_eq!(retry_in, None, "it is tried again after a pause that grows");
        }
    }

    #[test]
    fn credentials_that_are_not_known_are_not_a_right_that_is_missing() {
        let cluster = ClusterName::new(Role::Provider, "p");
        let request = http::Request::patch("/apis/g/v1/namespaces/n/as/a").body(()).unwrap();
        for (code, message, expected) in [
            (StatusCode::UNAUTHORIZED, "Unauthorized", reason::CREDENTIALS_REFUSED),
            // What a client certificate that is not known comes to.
            (
                StatusCode::FORBIDDEN,
                r#"as.g is forbidden: User \"system:anonymous\" cannot"#,
                reason::CREDENTIALS_REFUSED,
            ),
            (StatusCode::FORBIDDEN, r#"as.g is forbidden: User \"broker\" cannot"#, reason::FORBIDDEN),
        ] {
            let body = format!(r#"{{"message": "{message}"}}"#);
            let headers = http::HeaderMap::new();
            let error =
                RequestError::from_answer(transport::Target::of(&cluster, &request), code, &headers, body.as_bytes());
            let Fault::Failed { failure, .. } = fault(&error, Part::Copy) else { panic!("{error}") };
            assert_eq!(failure.reason, expected, "{message}");
        }
    }

    #[test]
    fn a_crd_of_an_older_version_is_named_with_what_mends_it() {
        let cluster = ClusterName::new(Role::Coordination, "coord");
        let request = http::Request::patch("/apis/g/v1/namespaces/n/as/a").body(()).unwrap();
        let body = r#"{"message": "invalid: {}: strict decoding error: unknown field \"spec.previous\""}"#;
        let target = transport::Target::of(&cluster, &request);
        let headers = http::HeaderMap::new();
        let error = RequestError::from_answer(target, StatusCode::UNPROCESSABLE_ENTITY, &headers, body.as_bytes());
        let Fault::Failed { failure, .. } = fault(&error, Part::Record) else { panic!("{error}") };
        for part in ["coordination#coord", "lacks spec.previous;", "resource-broker crds"] {
            assert!(failure.message.contains(part), "{part}: {}", failure.message);
        }
    }
}
