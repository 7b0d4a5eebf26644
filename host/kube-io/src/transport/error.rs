//! What can become of a request to an API server other than a good answer, in words fit for a condition.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Request, StatusCode, header};
use k8s_openapi::jiff::Timestamp;
use resource_broker_api::names::ClusterName;
use serde::Deserialize;

/// The longest text of a stranger's server that is handed on, in bytes.
const MAX_MESSAGE: usize = 512;
/// The longest `Retry-After` that is believed: a server must not park us for a day.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Whom an API server takes us for whose credentials it does not know.
const NOBODY: &str = "User \"system:anonymous\"";

/// What a request wants, as people and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Reads one object, or something that is no object, such as `/version`.
    Get,
    /// Reads a collection.
    List,
    /// Makes a new object.
    Create,
    /// Replaces an object.
    Update,
    /// A merge or JSON patch.
    Patch,
    /// Server-side apply.
    Apply,
    /// Deletes an object.
    Delete,
}

impl Verb {
    /// Every verb: what bounds the label in the metrics.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::List, Self::Create, Self::Update, Self::Patch, Self::Apply, Self::Delete];

    /// The verb in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }

    /// Reads the verb off a request's method, content type and path.
    pub fn of<B>(request: &Request<B>) -> Self {
        match *request.method() {
            Method::POST => Self::Create,
            Method::PUT => Self::Update,
            Method::DELETE => Self::Delete,
            Method::PATCH if is_apply(request.headers()) => Self::Apply,
            Method::PATCH => Self::Patch,
            _ if names_collection(request.uri().path()) => Self::List,
            _ => Self::Get,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_apply(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/apply-patch"))
}

/// Whether an API server's path ends in a resource and not in an object's name.
fn names_collection(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (["api", _, below @ ..] | ["apis", _, _, below @ ..]) = parts.as_slice() else { return false };
    matches!(below, [_] | ["namespaces", _, _])
}

/// Where a request went: which cluster, what it wanted, and the path without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The cluster that was asked.
    pub cluster: ClusterName,
    /// What was wanted.
    pub verb: Verb,
    /// The path at the API server, without the query.
    pub path: String,
}

impl Target {
    /// The target of `request` at `cluster`.
    pub fn of<B>(cluster: &ClusterName, request: &Request<B>) -> Arc<Self> {
        let path = request.uri().path().to_owned();
        Arc::new(Self { cluster: cluster.clone(), verb: Verb::of(request), path })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.cluster, self.verb, self.path)
    }
}

/// Why a request brought no good answer. `Display` names cluster, verb and path, holds nothing that changes from
/// one try to the next, and nothing that was in the request's body or headers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The API server answered with something other than 2xx.
    #[error("{target}: {} {reason}{}", code.as_u16(), said(message))]
    Api {
        /// Where the request went.
        target: Arc<Target>,
        /// The HTTP status.
        code: StatusCode,
        /// The `reason` of the Status object, or the HTTP status in words.
        reason: String,
        /// The `message` of the Status object, shortened; empty where there was none.
        message: String,
        /// How long the server asked to be left alone, at most 30 s.
        retry_after: Option<Duration>,
    },
    /// No whole answer in time. A write may have taken effect.
    #[error("{target}: no answer within {} s; check that the API server is up and reachable", after.as_secs())]
    Timeout {
        /// Where the request went.
        target: Arc<Target>,
        /// How long was waited.
        after: Duration,
    },
    /// A large answer was under way and did not come to its end in time. A write has taken effect.
    #[error("{target}: the answer came too slowly and was not read to its end within {} s", after.as_secs())]
    Slow {
        /// Where the request went.
        target: Arc<Target>,
        /// How long was waited.
        after: Duration,
    },
    /// The connection could not be made or broke. A write may have taken effect.
    #[error("{target}: {cause}")]
    Network {
        /// Where the request went.
        target: Arc<Target>,
        /// What went wrong, innermost cause last.
        cause: String,
    },
    /// The answer was larger than what was allowed for it. A write has taken effect.
    #[error("{target}: the answer is larger than {limit} bytes and was not read")]
    TooLarge {
        /// Where the request went.
        target: Arc<Target>,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The cluster has not been answering, so the request was not sent.
    #[error("{cluster} has not answered since {since}: {cause}; it is tried again by itself")]
    Down {
        /// The cluster that does not answer.
        cluster: ClusterName,
        /// When it was given up on.
        since: Timestamp,
        /// What the last try ran into.
        cause: String,
        /// When the next try is due.
        retry_in: Duration,
    },
    /// The cluster has more to do than it takes (it said 429, or all our requests in flight wait), so the request was
    /// not sent.
    #[error("{cluster} takes no more requests for now; it is tried again by itself")]
    Throttled {
        /// The cluster that is busy.
        cluster: ClusterName,
        /// When another try makes sense.
        retry_in: Duration,
    },
    /// It is not certain that the cluster is the one that it is taken for, so the request was not sent.
    #[error(
        "{cluster}: it could not be read yet which cluster this is, and nothing is sent to it before; it is tried again by itself"
    )]
    Unproven {
        /// The cluster.
        cluster: ClusterName,
        /// When another try makes sense.
        retry_in: Duration,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl RequestError {
    /// One word of a small, fixed set, for metrics and log fields.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api { code, .. } => match code.as_u16() {
                401 | 403 => "denied",
                404 | 410 => "not_found",
                409 => "conflict",
                429 => "throttled",
                400 | 405 | 406 | 413 | 415 | 422 => "invalid",
                _ if self.is_refused_content() => "invalid",
                500..=599 => "server",
                _ => "api",
            },
            Self::Timeout { .. } | Self::Slow { .. } => "timeout",
            Self::Network { .. } => "network",
            Self::TooLarge { .. } => "too_large",
            Self::Down { .. } | Self::Unproven { .. } => "down",
            Self::Throttled { .. } => "throttled",
        }
    }

    /// The cluster that was asked.
    pub fn cluster(&self) -> &ClusterName {
        match self {
            Self::Api { target, .. }
            | Self::Timeout { target, .. }
            | Self::Slow { target, .. }
            | Self::Network { target, .. }
            | Self::TooLarge { target, .. } => &target.cluster,
            Self::Down { cluster, .. } | Self::Throttled { cluster, .. } | Self::Unproven { cluster, .. } => cluster,
        }
    }

    /// The HTTP status, where the API server gave one.
    pub fn code(&self) -> Option<StatusCode> {
        if let Self::Api { code, .. } = self { Some(*code) } else { None }
    }

    /// The Status object's `reason` (`AlreadyExists`, `Conflict`, `Invalid`, …), where the API server gave one.
    pub fn reason(&self) -> Option<&str> {
        if let Self::Api { reason, .. } = self { Some(reason) } else { None }
    }

    /// 404: the object is not there, or its kind is not served.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(StatusCode::NOT_FOUND)
    }

    /// 409: another writer was faster, or the object exists already (see [`Self::reason`]).
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(StatusCode::CONFLICT)
    }

    /// The API server understood and refused the object: 422, 413, or a 500 that says so.
    pub fn is_invalid(&self) -> bool {
        matches!(self.code(), Some(StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE))
            || self.is_refused_content()
    }

    /// Whether a 500 speaks of what was sent and not of the server: an apply of fields that its schema does not have, or of a
    /// list with one key twice, and an object that is too large for its store.
    fn is_refused_content(&self) -> bool {
        const SAID: [&str; 7] = [
            "field not declared in schema",
            "duplicate entries for key",
            "failed to create typed patch object",
            "failed to create typed live object",
            "failed to create typed new object",
            "request is too large",
            "trying to send message larger than max",
        ];
        matches!(self, Self::Api { code, message, .. }
            if code.is_server_error() && SAID.iter().any(|said| message.contains(said)))
    }

    /// 403: our credentials do not allow it.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(StatusCode::FORBIDDEN) && !self.is_unauthorized()
    }

    /// Whether the server is not up to it now, and nothing is wrong with what was asked.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Api { code, .. } => {
                code.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(code)
            }
            Self::TooLarge { .. } => false,
            Self::Timeout { .. }
            | Self::Slow { .. }
            | Self::Network { .. }
            | Self::Down { .. }
            | Self::Throttled { .. }
            | Self::Unproven { .. } => true,
        }
    }

    /// 401: our credentials are not known there. A client certificate that is not known makes us nobody instead, who may
    /// do nothing.
    pub fn is_unauthorized(&self) -> bool {
        match self {
            Self::Api { code: StatusCode::UNAUTHORIZED, .. } => true,
            Self::Api { code: StatusCode::FORBIDDEN, message, .. } => message.contains(NOBODY),
            _ => false,
        }
    }

    /// 410: the resource version or continue token is too old; list again.
    pub fn is_gone(&self) -> bool {
        self.code() == Some(StatusCode::GONE)
    }

    /// How long to wait before another try, where that is known.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Api { retry_after, .. } => *retry_after,
            Self::Down { retry_in, .. } | Self::Throttled { retry_in, .. } | Self::Unproven { retry_in, .. } => {
                Some(*retry_in)
            }
            Self::Timeout { .. } | Self::Slow { .. } | Self::Network { .. } | Self::TooLarge { .. } => None,
        }
    }

    /// Whether the request may have changed something although it brought no good answer.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Api { code, .. } => code.is_server_error() && !self.is_refused_content(),
            Self::Timeout { .. } | Self::Slow { .. } | Self::Network { .. } | Self::TooLarge { .. } => true,
            Self::Down { .. } | Self::Throttled { .. } | Self::Unproven { .. } => false,
        }
    }

    /// The error that an API server's answer of `code` stands for.
    pub fn from_answer(target: Arc<Target>, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            reason: Option<String>,
            message: Option<String>,
        }
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        let reason = status
            .reason
            .filter(|reason| !reason.is_empty())
            .map_or_else(|| code.canonical_reason().unwrap_or("Unknown").to_owned(), |reason| tame(&reason));
        let message = status.message.map(|message| tame(&in_order(point_of(&message)))).unwrap_or_default();
        Self::Api { target, code, reason, message, retry_after: retry_after(headers) }
    }

    /// The error that a Status in place of what was asked for stands for.
    pub fn from_status(target: Arc<Target>, code: u16, reason: &str, message: &str, wait: Option<u32>) -> Self {
        let code = StatusCode::from_u16(code).ok().filter(|code| !code.is_success());
        let code = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reason = if reason.is_empty() { code.canonical_reason().unwrap_or("Unknown") } else { reason };
        let retry_after =
            wait.filter(|&wait| wait > 0).map(|wait| Duration::from_secs(wait.into()).min(MAX_RETRY_AFTER));
        Self::Api { target, code, reason: tame(reason), message: tame(point_of(message)), retry_after }
    }
}

/// `Retry-After` in seconds, capped. The form with a date is not used by API servers and is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// What a message is about. Of a field that it does not know an API server speaks behind the whole object.
fn point_of(message: &str) -> &str {
    message.rfind("strict decoding error: ").map_or(message, |at| &message[at..])
}

/// A message with its causes in order: API servers write several in whatever order their maps have at the moment, and what says
/// the same must be the same text.
fn in_order(message: &str) -> String {
    // `… is invalid: [spec.a: why, spec.b: why]`
    if let Some((head, rest)) = message.split_once(": [")
        && let Some((list, tail)) = rest.rsplit_once(']')
    {
        let mut causes: Vec<String> = Vec::new();
        for part in list.split(", ") {
            match causes.last_mut() {
                Some(last) if is_open(last) || !begins_cause(part) => {
                    last.push_str(", ");
                    last.push_str(part);
                }
                _ => causes.push(part.to_owned()),
            }
        }
        causes.sort_unstable();
        return format!("{head}: [{}]{tail}", causes.join(", "));
    }
    // `errors:` and a line for each.
    if let Some((head, list)) = message.split_once("errors:\n") {
        let mut causes: Vec<&str> = list.lines().map(str::trim).collect();
        causes.sort_unstable();
        return format!("{head}errors: {}", causes.join(", "));
    }
    message.to_owned()
}

/// Whether a text ends inside quotes.
fn is_open(text: &str) -> bool {
    let escaped = text.matches("\\\"").count();
    !(text.matches('"').count() - escaped).is_multiple_of(2)
}

/// Whether a part of a list begins with the path of a field, as a cause does.
fn begins_cause(part: &str) -> bool {
    let path = part.split(": ").next().filter(|path| path.len() < part.len());
    path.is_some_and(|path| {
        path.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '<')
            && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-[]<>/()\"".contains(c))
    })
}

/// What is wrong with an answer that was to be JSON of some kind and is not. Nothing of the answer is in it.
pub fn not_understood(body: &[u8], error: &serde_json::Error) -> String {
    let begin = body.trim_ascii_start();
    if begin.is_empty() {
        return "the answer is empty".to_owned();
    }
    if begin.starts_with(b"<") {
        return "the answer is a web page: is there a proxy or a login page in front of the API server?".to_owned();
    }
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Eof => "the answer ends in the middle".to_owned(),
        serde_json::error::Category::Syntax => format!("the answer is no JSON (line {line}, column {column})"),
        _ => format!("the answer is not what a Kubernetes API server sends (line {line}, column {column})"),
    }
}

/// A stranger's text made fit for a condition or a log line: one line, printable, short.
pub fn tame(text: &str) -> String {
    let mut tamed: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if tamed.len() > MAX_MESSAGE {
        tamed.truncate(tamed.floor_char_boundary(MAX_MESSAGE));
        tamed.push('…');
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, content_type: &str) -> Request<()> {
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type).body(()).unwrap()
    }

    #[test]
    fn verbs_are_read_off_method_and_path() {
        for (method, path, content_type, expected) in [
            ("GET", "/version", "", Verb::Get),
            ("GET", "/api/v1/namespaces", "", Verb::List),
            ("GET", "/api/v1/namespaces/a", "", Verb::Get),
            ("GET", "/api/v1/namespaces/a/secrets?limit=500", "", Verb::List),
            ("GET", "/api/v1/namespaces/a/secrets/b", "", Verb::Get),
            ("GET", "/apis/g.example/v1/things", "", Verb::List),
            ("GET", "/apis/g.example/v1/namespaces/a/things/b/status", "", Verb::Get),
            ("GET", "/apis/g.example/v1", "", Verb::Get),
            ("POST", "/api/v1/namespaces", "application/json", Verb::Create),
            ("PUT", "/api/v1/namespaces/a", "application/json", Verb::Update),
            ("PATCH", "/api/v1/namespaces/a", "application/merge-patch+json", Verb::Patch),
            ("PATCH", "/api/v1/namespaces/a", "application/apply-patch+yaml", Verb::Apply),
            ("DELETE", "/api/v1/namespaces/a", "", Verb::Delete),
        ] {
            assert_eq!(Verb::of(&request(method, path, content_type)), expected, "{method} {path}");
        }
    }

    fn answer(code: u16, retry_after: &str, body: &str) -> RequestError {
        let target =
            Target::of(&ClusterName::parse("consumer#a").unwrap(), &request("GET", "/api/v1/pods?watch=no", ""));
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
        RequestError::from_answer(target, StatusCode::from_u16(code).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn an_answer_says_cluster_verb_path_and_what() {
        let error = answer(409, "", r#"{"kind":"Status","reason":"AlreadyExists","message":"it\nis there"}"#);
        assert_eq!(error.to_string(), "consumer#a: list /api/v1/pods: 409 AlreadyExists: it is there");
        assert!(error.is_conflict() && !error.is_not_found() && !error.is_invalid());
        assert_eq!((error.category(), error.reason()), ("conflict", Some("AlreadyExists")));
    }

    #[test]
    fn an_answer_that_is_no_status_keeps_its_code() {
        let error = answer(503, "", "<html>down for maintenance</html>");
        assert_eq!(error.to_string(), "consumer#a: list /api/v1/pods: 503 Service Unavailable");
        assert!(error.may_have_taken_effect());
    }

    #[test]
    fn an_unknown_field_is_named_although_the_object_stands_before_it() {
        let object = "x".repeat(2 * MAX_MESSAGE);
        let body =
            format!(r#"{{"message":"Invalid value: {object}: strict decoding error: unknown field \"spec.a\""}}"#);
        assert!(answer(422, "", &body).to_string().ends_with(r#"strict decoding error: unknown field "spec.a""#));
    }

    #[test]
    fn causes_have_one_order_and_stay_whole() {
        let texts = |message: &str| {
            let answer = answer(422, "", &serde_json::json!({"reason": "Invalid", "message": message}).to_string());
            answer.to_string().split_once("Invalid: ").map(|(_, text)| text.to_owned()).unwrap_or_default()
        };
        for (one, other, expected) in [
            (
                r#"W "a" is invalid: [spec.b: Required value, spec.a: Invalid value: "x, y": too long]"#,
                r#"W "a" is invalid: [spec.a: Invalid value: "x, y": too long, spec.b: Required value]"#,
                r#"W "a" is invalid: [spec.a: Invalid value: "x, y": too long, spec.b: Required value]"#,
            ),
            (
                r#"W "a" is invalid: [spec.b[0].c: Unsupported value: "q": supported values: "r", "s", <nil>: Invalid value: "": must]"#,
                r#"W "a" is invalid: [<nil>: Invalid value: "": must, spec.b[0].c: Unsupported value: "q": supported values: "r", "s"]"#,
                r#"W "a" is invalid: [<nil>: Invalid value: "": must, spec.b[0].c: Unsupported value: "q": supported values: "r", "s"]"#,
            ),
            (
                "failed to create typed patch object (n/a; g/v1, Kind=W): errors:\n  .spec.b: field not declared in schema\n  .spec.a: field not declared in schema",
                "failed to create typed patch object (n/a; g/v1, Kind=W): errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema",
                "failed to create typed patch object (n/a; g/v1, Kind=W): errors: .spec.a: field not declared in schema, .spec.b: field not declared in schema",
            ),
        ] {
            assert_eq!(texts(one), expected);
            assert_eq!(texts(other), expected);
        }
        for plain in ["no list", "an open: [list", "a list: []", r#"admission webhook "w" denied the request: no"#] {
            assert_eq!(texts(plain), plain);
        }
    }

    #[test]
    fn content_that_a_schema_refuses_is_no_outage() {
        for (message, is) in [
            ("failed to create typed patch object (n/a; g/v1, Kind=W): .spec.x: field not declared in schema", true),
            (
                r#"failed to create typed patch object (n/a; g/v1, Kind=W): .spec.l: duplicate entries for key [name=\"a\"]"#,
                true,
            ),
            ("etcdserver: request is too large", true),
            ("rpc error: code = ResourceExhausted desc = trying to send message larger than max (2 vs. 1)", true),
            ("etcdserver: request timed out", false),
            ("Internal error occurred: failed calling webhook", false),
        ] {
            let error = answer(500, "", &format!(r#"{{"reason": "InternalError", "message": "{message}"}}"#));
            assert_eq!((error.is_invalid(), error.category() == "invalid"), (is, is), "{error}");
            assert_eq!(error.may_have_taken_effect(), !is, "{error}");
        }
    }

    #[test]
    fn a_long_wait_is_not_believed() {
        assert_eq!(answer(429, "86400", "").retry_in(), Some(MAX_RETRY_AFTER));
        assert_eq!(answer(429, "2", "").retry_in(), Some(Duration::from_secs(2)));
        assert_eq!(answer(429, "tomorrow", "").retry_in(), None);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let tamed = tame(&"ä".repeat(MAX_MESSAGE));
        assert!(tamed.len() <= MAX_MESSAGE + '…'.len_utf8() && tamed.ends_with('…'));
    }
}
