//! The broker's shell: what is kept of clusters, in which order objects are reconciled, and how plans become writes.
//!
//! What decides is elsewhere and pure (`resource-broker-planner`), or sandboxed (`resource-broker-sandbox`). What talks to API
//! servers is elsewhere, too (`resource-broker-kube-io`). Here they are plugged together:
//!
//! ```text
//! cli::args ── run ── clusters ── watches ── cache ── queue ── worker ──┬── planner, sandbox
//!            └── metrics, admin                                    └── apply
//! ```
//!
//! - [`clusters`] keeps the set of clusters as the kubeconfigs name them, [`watches`] decides what is watched in each.
//! - [`cache`] has everything that is known, and is the only one to answer what an object's snapshot is.
//! - [`worker`] reconciles one key after the other, [`apply`] writes what a plan names.
//! - [`plugins`] loads components and decides which of them serves.
//! - [`admin`] answers probes, [`metrics`] report.
//!
//! What is deliberately absent: retries (a write that failed is reconciled again by its key), and decisions about orders.

pub mod admin;
pub mod apply;
pub mod cache;
pub mod clusters;
pub mod descriptors;
mod httpd;
pub mod identity;
pub mod metrics;
pub mod plugins;
pub mod queue;
pub mod report;
pub mod run;
pub mod watches;
pub mod worker;

#[cfg(test)]
mod testing;

use resource_broker_cli::{args, plugin, quantity};
use resource_broker_kube_io::{discovery, fingerprint, kubeconfig, lease, resource, transport, watch};
use resource_broker_planner as planner;
