//! Stand-ins for API servers, for the tests of this crate.

use std::{future::Future, io, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::{Client, client::Body};
use resource_broker_api::names::ClusterName;

use crate::{metrics::Metrics, transport::Cluster};

/// What a stand-in answers; an error is a broken connection.
pub(crate) type Answer = io::Result<Response<Full<Bytes>>>;

/// A cluster whose requests all go to `server`.
pub(crate) fn cluster<F, Answering>(name: &str, metrics: &Metrics, server: F) -> Arc<Cluster>
where
    F: Fn(Request<Body>) -> Answering + Clone + Send + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    let client = || Client::new(tower::service_fn(server.clone()), "default");
    let name = ClusterName::parse(name).unwrap_or_else(|| panic!("{name} is no cluster's name"));
    Cluster::from_clients(name, client(), client(), metrics.clone())
}

/// An answer of `status` with `body`.
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(Full::new(body.into())).map_err(io::Error::other)
}
