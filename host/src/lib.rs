//! The broker's I/O shell: everything that touches the network, the file system and the clock.
//!
//! What decides lives elsewhere and is pure (`resource-broker-planner`), or sandboxed (`resource-broker-sandbox`). Here
//! are the ends that these two are plugged into:
//!
//! ```text
//! args ── kubeconfig ── clusters ── transport::Cluster ──┬── watches (its watch client)
//!   │                                                    └── requests (its request method)
//!   └── telemetry, metrics, admin, lease
//! ```
//!
//! - [`args`] is the only reader of flags and environment; all else gets typed options.
//! - [`kubeconfig`] turns files and directories into configurations, [`clusters`] keeps the set of clusters as they say.
//! - [`transport`] is the only way to an API server. Every request is bounded in time, size and number; a cluster that does
//!   not answer fails its requests at once, and is asked in the background until it answers again.
//! - [`plugins`] loads components and says who serves what, [`plugin_command`] helps those who write them.
//! - [`migrate_command`] brings people's orders to migrations, [`cluster_command`] their decisions about clusters.
//! - [`lease`] makes sure that one process writes, [`admin`] answers probes, [`metrics`] and [`telemetry`] tell people.
//!
//! What is deliberately absent: retries (a failed write is looked at again by its key), caching in the transport, and any
//! knowledge of what is brokered.

pub mod admin;
pub mod apply;
pub mod args;
pub mod cache;
pub mod cluster_command;
pub mod clusters;
pub mod crds;
pub mod descriptors;
pub mod discovery;
pub mod fingerprint;
mod httpd;
pub mod identity;
pub mod kubeconfig;
pub mod lease;
pub mod metrics;
pub mod migrate_command;
pub mod plugin_command;
pub mod plugins;
pub mod quantity;
pub mod queue;
pub mod report;
pub mod resource;
pub mod run;
pub mod telemetry;
pub mod transport;
pub mod watch;
pub mod watches;
pub mod worker;

#[cfg(test)]
mod testing;

use resource_broker_planner as planner;
