//! The command line of the issuer.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use resource_broker_demo::issuer::{self, Authority};

/// Issues X.509 certificates for the Certificate objects of a cluster, as a provider's operator would.
#[derive(Parser)]
struct Args {
    /// The kubeconfig of the cluster.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The folder with the authority's certificate and key; both are made if they are not there.
    #[arg(long)]
    ca_dir: PathBuf,
    /// The common name of an authority that is made.
    #[arg(long)]
    ca_name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-issuer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Comes back only if it cannot begin.
async fn run(args: &Args) -> Result<()> {
    let path = args.kubeconfig.display();
    let kubeconfig = Kubeconfig::read_from(&args.kubeconfig).with_context(|| format!("cannot read {path}"))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = config.map(Client::try_from).with_context(|| format!("{path} is not a kubeconfig"))?;
    let authority = Authority::open(&args.ca_dir, &args.ca_name)?;
    issuer::run(client.with_context(|| format!("no client for {path}"))?, authority).await;
    Ok(())
}
