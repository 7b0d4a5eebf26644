//! Talks to API servers. Knows no broker: which kinds are watched, what becomes of their objects and which requests are made is
//! for others to say.
//!
//! ```text
//! kubeconfig ── transport::Cluster ──┬── watch ── discovery        (its watch client)
//!                    │               └── requests                  (its request method)
//!                    ├── fingerprint    which cluster it is
//!                    └── lease          which process leads
//! ```
//!
//! - [`kubeconfig`] turns files, directories and Secrets' mounts into configurations.
//! - [`transport`] is the only way to an API server. Every request is bounded in time, size and number. A cluster that does not
//!   answer fails its requests at once, and is asked in the background until it answers again.
//! - [`watch`] keeps a store as one kind in one cluster is. Who keeps the store implements [`watch::Store`].
//! - [`resource`] has the paths and requests of a kind, [`discovery`] finds out how a cluster serves it.
//! - [`lease`] makes sure that one process leads, [`fingerprint`] tells clusters apart whatever they are called.
//! - [`observe`] is where measurements go.
//!
//! What is deliberately absent: retries of writes, and caches.

pub mod discovery;
pub mod fingerprint;
pub mod kubeconfig;
pub mod lease;
pub mod observe;
pub mod resource;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transport;
pub mod watch;
