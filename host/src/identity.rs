//! Who this broker is to others: its id, which its copies and the objects that it serves are marked with, so that brokers who share
//! clusters leave each other's alone. It is kept beside the records, and is saved and restored with them.

use std::time::Duration;

use http::{Request, StatusCode};
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    cache::own,
    transport::{Cluster, RequestError},
};

/// The pause before a cluster that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The config map that holds the id, in the broker's own namespace.
pub const CONFIG_MAP: &str = "resource-broker-id";
/// Its key.
const KEY: &str = "id";

/// The broker's id: what the config map in the broker's own `namespace` of the `coordination` cluster says. Where there is none it is
/// made, with the UID of that namespace, which marks the copies of earlier releases. `None` where neither may be read: copies are
/// then not marked, and marked ones never swept. Waits until the cluster answers.
pub async fn find(coordination: &Cluster, namespace: &str) -> Option<String> {
    loop {
        match ask(coordination, namespace).await {
            Ok(id) => return id,
            Err(error) => {
                tracing::debug!(%error, "cannot tell yet who this broker is; asking again");
                sleep(error.retry_in().unwrap_or(PAUSE)).await;
            }
        }
    }
}

async fn ask(coordination: &Cluster, namespace: &str) -> Result<Option<String>, RequestError> {
    let kept = match read(coordination, namespace).await {
        Ok(Some(id)) => return Ok(Some(id)),
        Ok(None) => Ok(()),
        Err(error) if is_denied(&error) => Err(error),
        Err(error) => return Err(error),
    };
    let uid = match namespace_uid(coordination, namespace).await {
        Ok(Some(uid)) => uid,
        Ok(None) => return Ok(None),
        Err(error) if is_denied(&error) => {
            tracing::warn!(
                namespace,
                %error,
                "the broker's namespace cannot be read, so its copies carry no mark of it: give it the right to get its \
                 own namespace if other brokers use the same providers"
            );
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let made = match kept {
        Ok(()) => make(coordination, namespace, &uid).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(()) => Ok(Some(uid)),
        // Another process made it at the same time.
        Err(error) if error.is_conflict() => Ok(read(coordination, namespace).await?.or(Some(uid))),
        Err(error) if is_denied(&error) => {
            tracing::warn!(
                namespace,
                %error,
                "the broker's id cannot be kept in the config map {CONFIG_MAP}, so it is the namespace's UID: give it the right to \
                 get and create config maps there, or it will not know its own copies after the records were restored elsewhere"
            );
            Ok(Some(uid))
        }
        Err(error) => Err(error),
    }
}

fn is_denied(error: &RequestError) -> bool {
    matches!(error.code(), Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND))
}

/// What the config map says; `None` where there is none.
async fn read(coordination: &Cluster, namespace: &str) -> Result<Option<String>, RequestError> {
    let Ok(request) = own::config_maps().get(Some(namespace), CONFIG_MAP) else { return Ok(None) };
    match coordination.request(request).await {
        Ok(reply) => {
            let there: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let id = there["data"][KEY].as_str().map(str::trim).filter(|id| !id.is_empty());
            Ok(id.map(str::to_owned))
        }
        Err(error) if error.code() == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn make(coordination: &Cluster, namespace: &str, id: &str) -> Result<(), RequestError> {
    let body = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": namespace},
        "data": {KEY: id},
    });
    let Ok(request) = own::config_maps().create(Some(namespace), &body) else { return Ok(()) };
    coordination.request(request).await.map(|_| ())
}

async fn namespace_uid(coordination: &Cluster, namespace: &str) -> Result<Option<String>, RequestError> {
    let Ok(request) = Request::get(format!("/api/v1/namespaces/{namespace}")).body(Vec::new()) else {
        // The command line takes only names that make a path.
        return Ok(None);
    };
    let reply = coordination.request(request).await?;
    let object: Option<PartialObjectMeta> = serde_json::from_slice(&reply.body).ok();
    Ok(object.and_then(|object| object.metadata.uid).filter(|uid| !uid.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::{
        metrics::Metrics,
        testing::{answer, cluster},
    };

    /// What a cluster says to a request for the config map, for its creation, and for the namespace; and the id that comes of it, with
    /// the requests.
    async fn found(map: (u16, Value), created: u16, namespace: (u16, Value)) -> (Option<String>, Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let server = move |request: Request<kube::client::Body>| {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let (code, body) = match (method.as_str(), path.rsplit('/').next()) {
                ("POST", _) => (created, json!({"metadata": {"name": CONFIG_MAP, "uid": "u"}})),
                (_, Some(name)) if name == CONFIG_MAP => map.clone(),
                _ => namespace.clone(),
            };
            heard.lock().push(format!("{method} {path}"));
            let error = json!({"kind": "Status", "code": code, "reason": "Whatever", "message": "no"});
            let body = if code < 300 { body } else { error };
            async move { answer(code, body.to_string()) }
        };
        let coordination = cluster("coordination#coord", Metrics::new(), server);
        let id = find(&coordination, "broker").await;
        let asked = asked.lock().clone();
        (id, asked)
    }

    fn there(id: &str) -> (u16, Value) {
        (200, json!({"metadata": {"name": CONFIG_MAP}, "data": {"id": id}}))
    }

    fn namespace() -> (u16, Value) {
        (200, json!({"metadata": {"name": "broker", "uid": "uid-of-the-namespace"}}))
    }

    #[tokio::test]
    async fn the_id_is_the_kept_one_in_whatever_namespace() {
        let (id, asked) = found(there(" kept\n"), 500, namespace()).await;
        assert_eq!(id.as_deref(), Some("kept"));
        assert_eq!(asked, ["GET /api/v1/namespaces/broker/configmaps/resource-broker-id"]);
    }

    #[tokio::test]
    async fn a_broker_of_an_earlier_release_keeps_what_its_copies_are_marked_with() {
        let (id, asked) = found((404, Value::Null), 201, namespace()).await;
        assert_eq!(id.as_deref(), Some("uid-of-the-namespace"));
        assert_eq!(asked.last().unwrap(), "POST /api/v1/namespaces/broker/configmaps");
    }

    #[tokio::test]
    async fn without_the_right_to_keep_it_the_id_is_the_namespaces() {
        for (map, created) in [((403, Value::Null), 201), ((404, Value::Null), 403)] {
            let (id, _) = found(map, created, namespace()).await;
            assert_eq!(id.as_deref(), Some("uid-of-the-namespace"));
        }
        let (id, asked) = found((403, Value::Null), 403, (403, Value::Null)).await;
        assert_eq!(id, None);
        assert!(asked.iter().all(|request| request.starts_with("GET")), "{asked:?}");
    }
}
