//! Where measurements of requests, watches and the Lease go.

use std::{fmt, sync::Arc, time::Duration};

use resource_broker_api::names::ClusterName;

use crate::transport::{Reply, RequestError, Verb};

/// Takes measurements.
pub trait Observer: Send + Sync + 'static {
    /// Whether a cluster answers.
    fn cluster_up(&self, cluster: &ClusterName, up: bool);
    /// A request to an API server ended.
    fn request(&self, cluster: &ClusterName, verb: Verb, class: Class, took: Duration);
    /// A watch of `kind` began anew.
    fn watch_restart(&self, cluster: &ClusterName, kind: &str);
    /// Whether this process leads.
    fn leader(&self, leads: bool);
}

/// An observer that several share.
#[derive(Clone)]
pub struct Shared(Arc<dyn Observer>);

impl Shared {
    /// Shares an observer.
    pub fn new(observer: impl Observer) -> Self {
        Self(Arc::new(observer))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl std::ops::Deref for Shared {
    type Target = dyn Observer;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Takes no measurements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Observer for Nobody {
    fn cluster_up(&self, _: &ClusterName, _: bool) {}

    fn request(&self, _: &ClusterName, _: Verb, _: Class, _: Duration) {}

    fn watch_restart(&self, _: &ClusterName, _: &str) {}

    fn leader(&self, _: bool) {}
}

/// What came of a request, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2xx.
    Success,
    /// 404 or 410.
    NotFound,
    /// 409.
    Conflict,
    /// 429.
    Throttled,
    /// Any other 4xx.
    Client,
    /// 5xx.
    Server,
    /// No answer in time.
    Timeout,
    /// No connection, or one that broke, or an answer too large.
    Network,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::NotFound,
        Self::Conflict,
        Self::Throttled,
        Self::Client,
        Self::Server,
        Self::Timeout,
        Self::Network,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::NotFound => "404",
            Self::Conflict => "409",
            Self::Throttled => "429",
            Self::Client => "4xx",
            Self::Server => "5xx",
            Self::Timeout => "timeout",
            Self::Network => "network",
        }
    }

    /// The class of a request's outcome.
    pub fn of(outcome: &Result<Reply, RequestError>) -> Self {
        match outcome {
            Ok(_) => Self::Success,
            Err(RequestError::Api { code, .. }) => match code.as_u16() {
                404 | 410 => Self::NotFound,
                409 => Self::Conflict,
                429 => Self::Throttled,
                500..=599 => Self::Server,
                _ => Self::Client,
            },
            Err(RequestError::Timeout { .. } | RequestError::Slow { .. }) => Self::Timeout,
            Err(_) => Self::Network,
        }
    }
}
