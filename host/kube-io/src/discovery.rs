//! Asks a cluster how it serves a kind.

use std::time::Duration;

use http::Request;
use resource_broker_api::{names::Gvk, object::Shape};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    resource::{Resource, group_version_path},
    transport::{Cluster, RequestError, not_understood},
};

/// Why a kind could not be found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The cluster answered, and does not serve it.
    #[error("{0} is not served there; install its CRD")]
    NotServed(Gvk),
    /// The cluster served something else than a resource list.
    #[error("the list of resources in {0} cannot be read: {1}")]
    Malformed(String, String),
    /// The kind's group or version cannot be part of a path.
    #[error("{0} cannot be asked for: {1}")]
    Name(Gvk, http::Error),
    /// The cluster did not answer well.
    #[error(transparent)]
    Request(#[from] RequestError),
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    kind: String,
    /// Some API servers send null for none.
    #[serde(default)]
    resources: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    kind: String,
    namespaced: bool,
}

/// How a cluster serves a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The kind there.
    pub resource: Resource,
    /// A schema was asked for and none is published, so that it is not known whether its status has conditions.
    pub without_schema: bool,
}

/// Finds how `cluster` serves `gvk`. With `schema`, also looks whether its status has conditions.
pub async fn find(cluster: &Cluster, gvk: &Gvk, schema: bool) -> Result<Found, DiscoveryError> {
    let path = group_version_path(gvk);
    let reply = cluster
        .request(get(gvk, &path)?)
        .await
        .map_err(|error| if error.is_not_found() { DiscoveryError::NotServed(gvk.clone()) } else { error.into() })?;
    let list: ResourceList = parse(&path, &reply.body)?;
    // A Status, say, under a good HTTP status.
    if list.kind != "APIResourceList" {
        let what = "the answer is no list of resources".to_owned();
        return Err(DiscoveryError::Malformed(path, what));
    }
    let resources = list.resources.unwrap_or_default();
    let found = resources.iter().find(|listed| listed.kind == gvk.kind && !listed.name.contains('/'));
    let found = found.ok_or_else(|| DiscoveryError::NotServed(gvk.clone()))?;
    let status = resources.iter().any(|listed| listed.name == format!("{}/status", found.name));
    let published = if status && schema { has_conditions(cluster, gvk).await? } else { Some(false) };
    let shape = Shape { status, conditions: published.unwrap_or_default() };
    let resource = Resource { gvk: gvk.clone(), plural: found.name.clone(), namespaced: found.namespaced, shape };
    Ok(Found { resource, without_schema: published.is_none() })
}

/// Waits until a schema is published for a kind that had none.
pub async fn published_later(cluster: &Cluster, gvk: &Gvk) {
    let mut pause = ASKED_AGAIN.0;
    loop {
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(ASKED_AGAIN.1);
        match published(cluster, gvk).await {
            Ok(Some(_)) => return,
            Ok(None) => {}
            Err(error) => tracing::debug!(cluster = %cluster.name(), kind = %gvk, %error, "its schema cannot be read"),
        }
    }
}

fn parse<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, DiscoveryError> {
    serde_json::from_slice(body)
        .map_err(|error| DiscoveryError::Malformed(path.to_owned(), not_understood(body, &error)))
}

fn get(gvk: &Gvk, path: &str) -> Result<Request<Vec<u8>>, DiscoveryError> {
    Request::get(path)
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| DiscoveryError::Name(gvk.clone(), error))
}

/// How often and how long apart a schema is asked for: an API server serves a new CRD a moment before it publishes the
/// schema.
const PUBLISHED_WITHIN: (u32, Duration) = (20, Duration::from_millis(500));

/// The shortest and the longest pause before a schema is asked for again that was not published within that time: an API server
/// with many CRDs takes longer, and behind some aggregated APIs none ever comes.
const ASKED_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// Whether the kind's schema has `status.conditions`. The published schema is readable by everybody who may use the
/// API at all, unlike CRDs. `None`: none is published.
async fn has_conditions(cluster: &Cluster, gvk: &Gvk) -> Result<Option<bool>, DiscoveryError> {
    let (tries, pause) = PUBLISHED_WITHIN;
    for _ in 0..tries {
        if let Some(found) = published(cluster, gvk).await? {
            return Ok(Some(found));
        }
        sleep(pause).await;
    }
    tracing::info!(
        cluster = %cluster.name(), kind = %gvk,
        "no schema is published yet; its objects get no conditions until there is one"
    );
    Ok(None)
}

/// What the published schema says; `None` where it does not name the kind (yet).
async fn published(cluster: &Cluster, gvk: &Gvk) -> Result<Option<bool>, DiscoveryError> {
    let path = format!("/openapi/v3{}", group_version_path(gvk));
    let reply = match cluster.request(get(gvk, &path)?).await {
        Ok(reply) => reply,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) if error.is_forbidden() => return Ok(Some(false)),
        Err(error) => return Err(error.into()),
    };
    let document: Value = parse(&path, &reply.body)?;
    Ok(schema_has_conditions(&document, gvk))
}

/// `None`: the document does not name the kind.
fn schema_has_conditions(document: &Value, gvk: &Gvk) -> Option<bool> {
    let schemas = document["components"]["schemas"].as_object()?;
    let is_it = |schema: &Value| {
        schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten().any(|named| {
            named["group"] == gvk.group.as_str()
                && named["version"] == gvk.version.as_str()
                && named["kind"] == gvk.kind.as_str()
        })
    };
    let mut found = schemas.values().filter(|schema| is_it(schema)).peekable();
    found.peek()?;
    Some(found.any(|schema| {
        let status = resolve(schemas, &schema["properties"]["status"]);
        status["properties"]["conditions"].is_object()
    }))
}

/// Follows a reference to another schema of the same document, also where it is wrapped in `allOf`.
fn resolve<'a>(schemas: &'a serde_json::Map<String, Value>, schema: &'a Value) -> &'a Value {
    let wrapped = &schema["allOf"][0]["$ref"];
    let reference = schema["$ref"].as_str().or_else(|| wrapped.as_str());
    let name = reference.and_then(|reference| reference.strip_prefix("#/components/schemas/"));
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{observe::Nobody, testing};

    async fn found(status: u16, body: &'static str) -> Result<Resource, DiscoveryError> {
        let cluster = testing::cluster("provider#p", Nobody, move |_| async move { testing::answer(status, body) });
        find(&cluster, &Gvk::new("g.io", "v1", "Thing"), false).await.map(|found| found.resource)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_list_of_resources_does_not_say_that_a_kind_is_not_served() {
        for (body, what) in [
            ("<html>hunter2</html>", "a web page"),
            (r#"{"kind": "Status", "code": 503}"#, "no list of resources"),
            (r#"{"kind": "APIResourceList", "resources": [{"na"#, "ends in the middle"),
            (r#"{"kind": "APIResourceList", "resources": "hunter2"}"#, "not what a Kubernetes API server sends"),
        ] {
            let error = found(200, body).await.unwrap_err();
            assert!(matches!(error, DiscoveryError::Malformed(..)), "{body}: {error}");
            let text = error.to_string();
            assert!(text.contains(what) && !text.contains("hunter2"), "{body}: {text}");
        }
        for body in [r#"{"kind": "APIResourceList", "resources": null}"#, r#"{"kind": "APIResourceList"}"#] {
            assert!(matches!(found(200, body).await, Err(DiscoveryError::NotServed(_))), "{body}");
        }
    }

    #[test]
    fn conditions_are_found_in_place_and_behind_references() {
        let named = json!([{"group": "g", "version": "v1", "kind": "K"}]);
        let document = |status: Value| {
            json!({"components": {"schemas": {
                "io.K": {"x-kubernetes-group-version-kind": named, "properties": {"status": status}},
                "io.Status": {"properties": {"conditions": {"type": "array"}}},
            }}})
        };
        let gvk = Gvk::new("g", "v1", "K");
        for (expected, status) in [
            (true, json!({"properties": {"conditions": {"type": "array"}}})),
            (true, json!({"$ref": "#/components/schemas/io.Status"})),
            (true, json!({"allOf": [{"$ref": "#/components/schemas/io.Status"}], "default": {}})),
            (false, json!({"properties": {"phase": {"type": "string"}}})),
            (false, json!({"x-kubernetes-preserve-unknown-fields": true})),
        ] {
            assert_eq!(schema_has_conditions(&document(status.clone()), &gvk), Some(expected), "{status}");
        }
        assert_eq!(
            schema_has_conditions(
                &document(json!({"$ref": "#/components/schemas/io.Status"})),
                &Gvk::new("g", "v2", "K")
            ),
            None
        );
    }
}
