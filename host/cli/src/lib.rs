//! The command line of `resource-broker`: what people may write, and the commands that need no running broker.
//!
//! - [`args`] is the only reader of flags and environment; all else gets typed options.
//! - [`crds`] prints the kinds, [`plugin`] helps authors of plugins, [`migrate`] and [`cluster`] bring an operator's commands to
//!   Migrations and clusters, in the [`coordination`] cluster.
//! - [`output`] has the forms of what is printed, [`telemetry`] of what is logged.
//!
//! What is deliberately absent: caches and watches. A command reads what it shows and writes one thing.

pub mod args;
pub mod bind;
pub mod cluster;
pub mod coordination;
pub mod crds;
pub mod migrate;
pub mod output;
pub mod plugin;
pub mod quantity;
pub mod telemetry;
mod values;
mod yaml;

use resource_broker_kube_io::{fingerprint, kubeconfig, observe, resource, transport};
use resource_broker_planner as planner;
