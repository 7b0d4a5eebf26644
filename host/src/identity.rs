//! Who this broker is to others: what it marks its copies with, so that two brokers whose consumers have the same name do
//! not take each other's copies away.

use std::time::Duration;

use http::{Request, StatusCode};
use kube::core::PartialObjectMeta;
use tokio::time::sleep;

use crate::transport::{Cluster, RequestError};

/// The pause before a cluster that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The UID of the broker's own `namespace` in the `coordination` cluster: it stays the same as long as the records do, and no
/// two brokers share it that do not share their records. `None` where the namespace may not be read: copies are then not
/// marked, and marked ones never swept. Waits until the cluster answers.
pub async fn find(coordination: &Cluster, namespace: &str) -> Option<String> {
    loop {
        match ask(coordination, namespace).await {
            Ok(uid) => return uid,
            Err(error) if matches!(error.code(), Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)) => {
                tracing::warn!(
                    namespace,
                    %error,
                    "the broker's namespace cannot be read, so its copies carry no mark of it: give it the right to get its \
                     own namespace if other brokers use the same providers"
                );
                return None;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot tell yet who this broker is; asking again");
                sleep(error.retry_in().unwrap_or(PAUSE)).await;
            }
        }
    }
}

async fn ask(coordination: &Cluster, namespace: &str) -> Result<Option<String>, RequestError> {
    let Ok(request) = Request::get(format!("/api/v1/namespaces/{namespace}")).body(Vec::new()) else {
        // The command line takes only names that make a path.
        return Ok(None);
    };
    let reply = coordination.request(request).await?;
    let object: Option<PartialObjectMeta> = serde_json::from_slice(&reply.body).ok();
    Ok(object.and_then(|object| object.metadata.uid).filter(|uid| !uid.is_empty()))
}
