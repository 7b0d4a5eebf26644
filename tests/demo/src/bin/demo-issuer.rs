//! The command line of the issuer.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use resource_broker_demo::cluster_of;
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
    let client = cluster_of(&args.kubeconfig).await?;
    let authority = Authority::open(&args.ca_dir, &args.ca_name)?;
    issuer::run(client, authority).await;
    Ok(())
}
