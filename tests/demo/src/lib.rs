//! The story that `make demo` acts on real API servers, and what stands in for the operators of its providers.
//!
//! - [`scene`]: who plays: control planes, CRDs, issuers, the broker.
//! - [`story`]: the acts, each of which shows what it does and fails if the broker does not do its part.
//! - [`stage`]: what the audience sees: headings, commands, their output.
//! - [`shell`]: what a person's shell needs to go on by itself.
//! - [`issuer`]: issues X.509 certificates for the `Certificate` objects of one cluster.
//! - [`database`]: makes databases for the `SQL` objects of one cluster.
//! - [`operator`]: what these two share.
//! - [`jobs`]: runs the Jobs of one namespace as processes of this machine.
//! - [`verify`]: reads an issued certificate and checks it against its authority.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub mod database;
pub mod issuer;
pub mod jobs;
pub mod operator;
pub mod scene;
pub mod shell;
pub mod stage;
pub mod story;
pub mod verify;

/// A client for the current context of a kubeconfig.
pub async fn cluster_of(kubeconfig: &Path) -> Result<Client> {
    let path = kubeconfig.display();
    let read = Kubeconfig::read_from(kubeconfig).with_context(|| format!("cannot read {path}"))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let config = config.with_context(|| format!("{path} is not a kubeconfig"))?;
    Client::try_from(config).with_context(|| format!("no client for {path}"))
}
