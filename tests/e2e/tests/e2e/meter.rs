//! What a broker asked of API servers since a moment, read off their audit logs.

use std::fmt::{self, Display};
use std::sync::Arc;

use anyhow::Result;
use resource_broker_harness::{AuditEvent, Cluster};

/// Begins when it is made.
pub(crate) struct Meter {
    user: String,
    from: Vec<(Arc<Cluster>, u64)>,
}

/// One request and who got it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) cluster: String,
    pub(crate) event: AuditEvent,
}

impl Meter {
    /// For the broker whose user this is, in these clusters.
    pub(crate) async fn start(user: &str, clusters: impl IntoIterator<Item = &Arc<Cluster>>) -> Result<Self> {
        let mut from = Vec::new();
        for cluster in clusters {
            from.push((Arc::clone(cluster), cluster.audit_position().await?));
        }
        Ok(Self { user: user.to_owned(), from })
    }

    /// The requests so far, in the order of their times. Watches are left out, and so is what the broker says on and about
    /// the offers of a cluster, which are in its namespace `default`: all objects share them, and other tests have theirs.
    pub(crate) async fn requests(&self) -> Result<Vec<Request>> {
        let mut requests = Vec::new();
        for (cluster, position) in &self.from {
            let counts = |event: &AuditEvent| {
                let about_offers = event.resource == "acceptapis" || event.is_for("events", "default");
                // How it is with a cluster, and how many objects it has, is written now and then for all of them.
                let about_clusters = event.resource == "brokerclusters";
                event.user == self.user && event.verb != "watch" && !about_offers && !about_clusters
            };
            let events = cluster.audit_since(*position, counts).await?;
            requests.extend(events.into_iter().map(|event| Request { cluster: cluster.name().to_owned(), event }));
        }
        requests.sort_by(|one, other| one.event.received.cmp(&other.event.received));
        Ok(requests)
    }

    /// The requests so far that do not concern the object `name`, nor what is derived from its name. A request that creates
    /// something has no name in its path: those are left out too, and counted by [`creations`](Self::creations).
    pub(crate) async fn requests_beside(&self, name: &str) -> Result<Vec<Request>> {
        let mut requests = self.requests().await?;
        requests.retain(|request| !request.event.name.contains(name) && !request.is_creation());
        Ok(requests)
    }

    /// The requests that were to create something.
    pub(crate) async fn creations(&self) -> Result<Vec<Request>> {
        let mut requests = self.requests().await?;
        requests.retain(Request::is_creation);
        Ok(requests)
    }
}

impl Request {
    fn is_creation(&self) -> bool {
        self.event.verb == "create"
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AuditEvent { received, verb, request_uri, code, .. } = &self.event;
        write!(f, "{received} {:<14} {verb:<7} {request_uri} -> {code}", self.cluster)
    }
}

/// Requests for people, a line each.
pub(crate) fn table(requests: &[Request]) -> String {
    requests.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
