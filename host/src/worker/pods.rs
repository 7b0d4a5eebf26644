//! Asks a cluster which pods of Jobs have not ended. Nobody watches pods: this is one uncached request where the plan of a
//! migration hangs on it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::Request;
use resource_broker_api::names::Gvk;
use serde::Deserialize;

use crate::{
    clusters::ClusterSet,
    planner::model::question::PodsOf,
    resource::{METADATA_LIST, Resource, encode},
    transport::RequestError,
};

/// What the pods of a Job are labelled with since Kubernetes 1.27: its name.
const JOB_NAME: &str = "batch.kubernetes.io%2Fjob-name";
/// Those that have not ended, whether they run, wait for a node, or have been told to end.
const LIVE: &str = "status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed";
/// As many are named; one is enough to wait for.
const NAMED: usize = 5;

/// Whom passes ask about pods.
pub(super) struct Pods {
    clusters: Arc<ClusterSet>,
    /// Whether it was told that they may not be listed.
    told: AtomicBool,
}

/// A page of a list, of which only names are read.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMeta,
}

#[derive(Deserialize)]
struct ItemMeta {
    name: String,
}

impl Pods {
    pub(super) fn new(clusters: Arc<ClusterSet>) -> Self {
        Self { clusters, told: AtomicBool::new(false) }
    }

    /// The names of pods that have not ended, some of them where there are many; or why that cannot be told. Where there are
    /// no pods in the API none is waited for, nor where they may not be listed.
    pub(super) async fn live(&self, of: &PodsOf) -> Result<Vec<String>, String> {
        let cluster = self.clusters.get(&of.cluster);
        let cluster = cluster.ok_or_else(|| format!("{} is not attached to the broker", of.cluster))?;
        let request = request(of).map_err(|error| format!("{} cannot be asked: {error}", of.cluster))?;
        match cluster.request(request).await {
            Ok(reply) => names(&reply.body).map_err(|error| format!("{}: {error}", of.cluster)),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) if error.is_forbidden() => {
                self.tell(&error);
                Ok(Vec::new())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Once is enough: it is the operator's choice.
    fn tell(&self, error: &RequestError) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "pods may not be listed in the compute cluster: what comes after a stage does not wait for the pods of its Jobs \
                 to end, which may still write; grant list on pods there"
            );
        }
    }
}

fn request(of: &PodsOf) -> Result<Request<Vec<u8>>, http::Error> {
    let pods = Resource::known(Gvk::new("core", "v1", "Pod"), "pods").collection(Some(&of.namespace));
    let jobs: Vec<String> = of.jobs.iter().map(|job| encode(job)).collect();
    let jobs = jobs.join("%2C");
    let path = format!("{pods}?labelSelector={JOB_NAME}%20in%20%28{jobs}%29&fieldSelector={LIVE}&limit={NAMED}");
    Request::get(path).header(http::header::ACCEPT, METADATA_LIST).body(Vec::new())
}

fn names(body: &[u8]) -> Result<Vec<String>, String> {
    let page: Page = serde_json::from_slice(body).map_err(|error| format!("the answer is no list of pods: {error}"))?;
    let items = page.items.unwrap_or_default();
    // A server may look for a while without finding one, and say that there is more.
    if items.is_empty() && page.metadata.next.is_some_and(|token| !token.is_empty()) {
        return Err("the list of pods is not complete".to_owned());
    }
    Ok(items.into_iter().map(|item| item.metadata.name).collect())
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{ClusterName, Role};

    use super::*;

    #[test]
    fn the_request_asks_for_metadata_of_pods_that_live() {
        let jobs = vec!["m1-copy".to_owned(), "m1-check".to_owned()];
        let cluster = ClusterName::new(Role::Compute, "compute");
        let request = request(&PodsOf { cluster, namespace: "stages".into(), jobs }).unwrap();
        assert_eq!(request.uri().path(), "/api/v1/namespaces/stages/pods");
        let query = request.uri().query().unwrap().replace("%20", " ").replace("%21", "!").replace("%2C", ",");
        let query = query.replace("%28", "(").replace("%29", ")").replace("%2F", "/").replace("%3D", "=");
        assert_eq!(
            query,
            "labelSelector=batch.kubernetes.io/job-name in (m1-copy,m1-check)\
             &fieldSelector=status.phase!=Succeeded,status.phase!=Failed&limit=5"
        );
        assert_eq!(request.headers()[http::header::ACCEPT], METADATA_LIST);
    }

    #[test]
    fn an_answer_is_believed_where_it_is_whole_or_names_some() {
        let names = |body: &str| names(body.as_bytes());
        assert_eq!(names(r#"{"metadata": {}, "items": []}"#), Ok(Vec::new()));
        assert_eq!(names(r#"{"items": null}"#), Ok(Vec::new()));
        let some = r#"{"metadata": {"continue": "x"}, "items": [{"metadata": {"name": "a"}}]}"#;
        assert_eq!(names(some), Ok(vec!["a".to_owned()]));
        assert!(
            names(r#"{"metadata": {"continue": "x"}, "items": []}"#).is_err_and(|why| why.contains("not complete"))
        );
        assert!(names("gone fishing").is_err());
    }
}
