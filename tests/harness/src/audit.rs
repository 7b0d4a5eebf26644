//! Reads what an API server recorded about its requests.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::wait::poll;

/// Everything is recorded, except what a server asks of itself and the stage before anything is known.
pub(crate) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: ["system:apiserver"]
  - level: Metadata
"#;

/// One recorded request at one stage of its life.
///
/// A plain request is recorded once, at `ResponseComplete`; a watch at `ResponseStarted` and again when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked, before impersonation.
    pub user: String,
    /// On whose behalf, where that is another.
    pub impersonated: Option<String>,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or the HTTP method.
    pub verb: String,
    /// API group; empty for the core group and where no resource is meant.
    pub group: String,
    /// Plural name of the resource; empty for other paths.
    pub resource: String,
    /// `status` and the like; empty for the object itself.
    pub subresource: String,
    /// Namespace of the object; empty for cluster scope.
    pub namespace: String,
    /// Name of the object; empty for collections.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// Who it said it is.
    pub user_agent: String,
    /// Path and query.
    pub request_uri: String,
    /// `ResponseStarted`, `ResponseComplete` or `Panic`.
    pub stage: String,
    /// When the request came in: RFC 3339 with microseconds, which compares as text.
    pub received: String,
}

impl AuditEvent {
    /// Whether it was one to change something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// Whether it was for this kind of resource in this namespace (any name).
    pub fn is_for(&self, resource: &str, namespace: &str) -> bool {
        self.resource == resource && self.namespace == namespace
    }
}

/// The log file of one API server.
#[derive(Debug)]
pub(crate) struct AuditLog {
    path: PathBuf,
    marks: AtomicU64,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, marks: AtomicU64::new(0) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn length(&self) -> Result<u64> {
        Ok(self.path.metadata().with_context(|| format!("cannot see {}", self.path.display()))?.len())
    }

    /// The records that begin at `from` or after it.
    fn read(&self, from: u64) -> Result<Vec<AuditEvent>> {
        let unreadable = || format!("cannot read {}", self.path.display());
        let mut file = File::open(&self.path).with_context(unreadable)?;
        // A length may have been taken while a line was being written: the rest of that line is not a record.
        file.seek(SeekFrom::Start(from.saturating_sub(1))).with_context(unreadable)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(unreadable)?;
        let end_of_line = |&byte: &u8| byte == b'\n';
        let begin = if from == 0 { Some(0) } else { bytes.iter().position(end_of_line).map(|at| at + 1) };
        // The last line may still be on its way to the file.
        let (Some(begin), Some(end)) = (begin, bytes.iter().rposition(end_of_line)) else { return Ok(Vec::new()) };
        bytes
            .get(begin..end)
            .unwrap_or_default()
            .split(end_of_line)
            .filter(|line| !line.is_empty())
            .map(parse)
            .collect()
    }
}

impl Cluster {
    /// All requests recorded so far for which `filter` holds, in the order of their ends.
    ///
    /// Every request that was answered before this call is among them, if the server runs.
    pub async fn audit(&self, filter: impl Fn(&AuditEvent) -> bool) -> Result<Vec<AuditEvent>> {
        self.audit_since(0, filter).await
    }

    /// As [`audit`](Self::audit), for what was recorded after [`audit_position`](Self::audit_position) gave `position`.
    pub async fn audit_since(&self, position: u64, filter: impl Fn(&AuditEvent) -> bool) -> Result<Vec<AuditEvent>> {
        if self.is_running() {
            self.settle_audit().await?;
        }
        let mut events = self.audit_log().read(position)?;
        events.retain(|event| filter(event) && !event.request_uri.starts_with(MARK));
        Ok(events)
    }

    /// Where the record ends now, for [`audit_since`](Self::audit_since).
    pub async fn audit_position(&self) -> Result<u64> {
        self.settle_audit().await?;
        self.audit_log().length()
    }

    /// An answer can arrive before its record is written: sends a request that can be told apart, and waits for its
    /// record.
    async fn settle_audit(&self) -> Result<()> {
        let log = self.audit_log();
        let start = if log.path.exists() { log.length()? } else { 0 };
        let mark = format!("{MARK}{}", log.marks.fetch_add(1, Ordering::Relaxed));
        let request = http::Request::get(&mark).body(Vec::new()).context("not a request")?;
        self.client().await?.request_text(request).await.with_context(|| format!("{}: GET {mark}", self.name()))?;
        poll("the record of a request just made", Duration::from_mins(1), async || {
            let events = log.read(start).map_err(|error| format!("{error:#}"))?;
            events.iter().any(|event| event.request_uri == mark).then_some(()).ok_or(format!("{} others", events.len()))
        })
        .await
    }
}

const MARK: &str = "/version?harness-mark=";

fn parse(line: &[u8]) -> Result<AuditEvent> {
    let event: Event = serde_json::from_slice(line).context("an audit record that is not JSON")?;
    let object = event.object_ref.unwrap_or_default();
    Ok(AuditEvent {
        user: event.user.username,
        impersonated: event.impersonated_user.map(|user| user.username),
        verb: event.verb,
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        name: object.name,
        code: event.response_status.map_or(0, |status| status.code),
        user_agent: event.user_agent,
        request_uri: event.request_uri,
        stage: event.stage,
        received: event.request_received_timestamp,
    })
}

/// The part of `audit.k8s.io/v1 Event` that is used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_being_written_when_the_position_was_taken_is_left_out() {
        let line = |uri: &str| {
            format!(r#"{{"stage":"ResponseComplete","requestURI":"{uri}","verb":"get","requestReceivedTimestamp":""}}"#)
        };
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::new(folder.path().join("audit.log"));
        std::fs::write(log.path(), format!("{}\n{}\n{}", line("/one"), line("/two"), &line("/three")[..30])).unwrap();
        let length = line("/one").len() as u64;
        for (from, seen) in
            [(0, vec!["/one", "/two"]), (20, vec!["/two"]), (length + 1, vec!["/two"]), (length + 9, vec![])]
        {
            let uris: Vec<_> = log.read(from).unwrap().into_iter().map(|event| event.request_uri).collect();
            assert_eq!(uris, seen, "from {from}");
        }
    }
}
