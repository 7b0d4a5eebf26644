//! The way of a person's command to the coordination cluster: which cluster and namespace are meant, and what is reported where
//! it does not answer.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use http::{Request, StatusCode};
use resource_broker_api::names::{ClusterName, Role};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    kubeconfig::Access,
    observe::Nobody,
    resource::Resource,
    transport::{Cluster, Limits, Reply, RequestError},
    values::is_namespace,
};

/// Which cluster and which namespace.
#[derive(Args, Clone, Debug)]
pub struct Where {
    /// The broker's namespace in the coordination cluster [default: the context's]
    #[arg(long, short, value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: Option<String>,
    /// The coordination cluster's kubeconfig [default: KUBECONFIG, then ~/.kube/config, then the pod's service account]
    #[arg(long, visible_alias = "coordination-kubeconfig", value_name = "PATH")]
    pub kubeconfig: Option<String>,
    /// The kubeconfig's context [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
}

fn namespace(given: &str) -> Result<String, String> {
    let what = "it is not a namespace's name, which has small letters, digits and dashes";
    is_namespace(given).then(|| given.to_owned()).ok_or_else(|| what.into())
}

/// One namespace of the coordination cluster.
pub(crate) struct Server {
    cluster: Arc<Cluster>,
    namespace: String,
    /// The API server as people know it: its URL, and where that is from.
    at: String,
    from: String,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

impl Server {
    /// The cluster that is reached by `access`; its context's namespace, if none is given.
    pub(crate) async fn connect(access: &Access, namespace: Option<&str>) -> Result<Self> {
        let namespace = namespace.unwrap_or(&access.config.default_namespace).to_owned();
        let (at, from) = (access.server(), access.place.to_string());
        let name = ClusterName::new(Role::Coordination, "coord");
        let cluster = Cluster::connect(name, (*access.config).clone(), Nobody)
            .await
            .with_context(|| format!("coordination kubeconfig {from}"))?;
        Ok(Self { cluster, namespace, at, from })
    }

    /// The namespace that is looked at.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The API server's URL.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<Reply, RequestError> {
        self.cluster.request(request).await
    }

    /// All objects of a kind in the namespace, or in all.
    pub(crate) async fn list<T: DeserializeOwned>(&self, of: &Resource, everywhere: bool) -> Result<Vec<T>> {
        let path = of.collection((!everywhere).then_some(&self.namespace));
        let request = Request::get(path).header(http::header::ACCEPT, "application/json").body(Vec::new())?;
        let reply = self.cluster.request_within(request, Limits::PAGE).await?;
        Ok(parse::<List<T>>(&reply)?.items)
    }

    /// What people are told of a request that brought no good answer.
    pub(crate) fn explain(&self, error: &RequestError) -> anyhow::Error {
        let Self { at, from, .. } = self;
        let silent = |cause: &str| {
            anyhow!(
                "{at} (kubeconfig {from}) does not answer: {cause}; check that it is up and can be reached, or name another with \
                 --kubeconfig or --context"
            )
        };
        match error {
            RequestError::Network { cause, .. } | RequestError::Down { cause, .. } => silent(cause),
            RequestError::Timeout { after, .. } => silent(&format!("nothing came within {} s", after.as_secs())),
            RequestError::Api { code: StatusCode::UNAUTHORIZED, .. } => anyhow!(
                "{at} does not know the credentials in kubeconfig {from} (401): log in anew, or name another with --kubeconfig or \
                 --context"
            ),
            RequestError::Api { code: StatusCode::FORBIDDEN, message, .. } => {
                anyhow!("{at} does not allow it: {message}; ask who runs that cluster for the right to do this")
            }
            RequestError::Api { code, reason, message, .. } => {
                let colon = if message.is_empty() { "" } else { ": " };
                anyhow!("{at} answers {} {reason}{colon}{message}", code.as_u16())
            }
            RequestError::TooLarge { .. }
            | RequestError::Slow { .. }
            | RequestError::Throttled { .. }
            | RequestError::Unproven { .. } => {
                anyhow!("{at}: {error}")
            }
        }
    }
}

/// Reads an answer.
pub(crate) fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    serde_json::from_slice(&reply.body).context("the API server's answer cannot be read")
}
