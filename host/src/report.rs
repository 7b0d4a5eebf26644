//! Events for people. They are a help, never a need: where they are forbidden or the cluster does not take them, the
//! conditions still say everything.

use std::collections::HashMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use parking_lot::Mutex;
use resource_broker_api::{keys, names::Gvk};
use serde_json::json;

use crate::{
    cache::own,
    clusters::ClusterSet,
    planner::plan::{About, Event},
    resource::Resource,
};

/// How many objects' last Events are remembered, so that the same is not said twice.
const REMEMBERED: usize = 10_000;

/// Sends Events, the same one about the same object once.
#[derive(Default)]
pub struct Reporter {
    /// The broker's namespace in the coordination cluster.
    pub namespace: String,
    told: Mutex<HashMap<String, (String, String)>>,
}

impl Reporter {
    /// A reporter of Events about Assignments and Migrations in `namespace`.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), told: Mutex::default() }
    }

    /// Sends an Event, unless it was the last thing said about the object.
    pub async fn tell(&self, event: &Event, clusters: &ClusterSet) {
        let coordination = clusters.coordination().name();
        let (cluster, gvk, namespace, name, uid) = match &event.about {
            About::Object(target, uid) => {
                (&target.cluster, target.gvk.clone(), target.namespace.clone(), &target.name, uid)
            }
            About::Record(name, uid) => (coordination, own::records().gvk, Some(self.namespace.clone()), name, uid),
            About::Migration(name, uid) => {
                (coordination, own::migrations().gvk, Some(self.namespace.clone()), name, uid)
            }
        };
        if !self.is_new(&format!("{cluster}/{uid}"), event) {
            return;
        }
        log(event);
        let Some(cluster) = clusters.get(cluster) else { return };
        // Events about cluster-wide objects are kept in `default`.
        let event_namespace = namespace.clone().unwrap_or_else(|| "default".into());
        let now = Timestamp::now();
        let body = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"generateName": format!("{}.", name.chars().take(200).collect::<String>()), "namespace": event_namespace},
            "involvedObject": {
                "apiVersion": gvk.api_version(), "kind": gvk.kind, "namespace": namespace, "name": name, "uid": uid,
            },
            "type": if event.warning { "Warning" } else { "Normal" },
            "reason": event.reason,
            "message": event.message,
            "source": {"component": keys::FIELD_MANAGER},
            "reportingComponent": keys::FIELD_MANAGER,
            "firstTimestamp": Time(now), "lastTimestamp": Time(now), "count": 1,
        });
        let events = Resource::known(Gvk::new("core", "v1", "Event"), "events");
        let Ok(request) = events.create(Some(&event_namespace), &body) else { return };
        if let Err(error) = cluster.request(request).await {
            tracing::debug!(%error, reason = event.reason, "an Event could not be written");
        }
    }

    fn is_new(&self, about: &str, event: &Event) -> bool {
        let mut told = self.told.lock();
        let said = (event.reason.clone(), event.message.clone());
        if told.get(about) == Some(&said) {
            return false;
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(about.to_owned(), said);
        true
    }
}

/// What people are told is in the log too. An Assignment is told what its object is: that is one line.
fn log(event: &Event) {
    let Event { about, reason, message, .. } = event;
    match about {
        About::Object(target, _) => tracing::info!(about = %target, reason, "{message}"),
        About::Migration(name, _) => tracing::info!(migration = name, reason, "{message}"),
        About::Record(..) => {}
    }
}
