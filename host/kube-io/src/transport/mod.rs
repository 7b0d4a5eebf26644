//! Requests to one cluster: bounded in time, size and number, and given up on at once while the cluster is down.
//!
//! A [`Cluster`] is what the rest of the broker knows of an API server. It has two clients, since kube's client queues
//! all requests behind one worker and each watch holds a connection: one for watches, which others drive, and one
//! behind [`Cluster::request`]. Both are replaced when the credentials rotate; the cluster stays the same.
//!
//! There are no retries here. A read or write that failed is looked at again by its key.

mod breaker;
mod clients;
mod cluster;
mod error;
mod events;
mod limiter;
mod pace;
mod plugin;
mod renewal;

pub use clients::ClientError;
pub use cluster::{Cluster, Health, Limits, Reply};
pub use error::{RequestError, Target, Verb};
pub use error::{not_understood, tame};
pub use events::{EventError, events};
