//! Stand-ins for API servers.

use std::{collections::BTreeMap, future::Future, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::{Client, client::Body};
use parking_lot::{Mutex, MutexGuard};
use resource_broker_api::names::ClusterName;

use crate::{
    observe::{Class, Observer},
    transport::{Cluster, Verb},
};

/// What a stand-in answers; an error is a broken connection.
pub type Answer = io::Result<Response<Full<Bytes>>>;

/// A cluster whose requests all go to `server`.
///
/// # Panics
///
/// Where `name` is no cluster's name.
pub fn cluster<F, Answering>(name: &str, observer: impl Observer, server: F) -> Arc<Cluster>
where
    F: Fn(Request<Body>) -> Answering + Clone + Send + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    let client = || Client::new(tower::service_fn(server.clone()), "default");
    let name = ClusterName::parse(name).unwrap_or_else(|| panic!("{name} is no cluster's name"));
    Cluster::from_clients(name, client(), client(), observer)
}

/// An answer of `status` with `body`.
///
/// # Errors
///
/// Where `status` is no status.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(Full::new(body.into())).map_err(io::Error::other)
}

/// A kubeconfig with these contexts, the first being the current one.
///
/// # Panics
///
/// Without a context.
pub fn kubeconfig(contexts: &[&str], token: &str) -> String {
    use std::fmt::Write;
    let named = contexts.iter().fold(String::new(), |mut text, name| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n- {{name: {name}, context: {{cluster: c, user: u, namespace: of-{name}}}}}");
        text
    });
    let current = contexts[0];
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current}\n\
         clusters:\n- {{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}\n\
         users:\n- {{name: u, user: {{token: {token}}}}}\ncontexts:{named}\n"
    )
}

/// Remembers what it is given.
#[derive(Clone, Default)]
pub struct Observed(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    up: BTreeMap<ClusterName, bool>,
}

impl Observed {
    /// The requests that ended, as `CLUSTER VERB CLASS`.
    pub fn requests(&self) -> Vec<String> {
        self.seen().requests.clone()
    }

    /// Whether a cluster answers, as far as that was reported.
    pub fn is_up(&self, cluster: &ClusterName) -> Option<bool> {
        self.seen().up.get(cluster).copied()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock()
    }
}

impl Observer for Observed {
    fn cluster_up(&self, cluster: &ClusterName, up: bool) {
        self.seen().up.insert(cluster.clone(), up);
    }

    fn request(&self, cluster: &ClusterName, verb: Verb, class: Class, _: Duration) {
        self.seen().requests.push(format!("{cluster} {} {}", verb.as_str(), class.as_str()));
    }

    fn watch_restart(&self, _: &ClusterName, _: &str) {}

    fn leader(&self, _: bool) {}
}
