//! The command line of the keeper of databases.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use resource_broker_demo::cluster_of;
use resource_broker_demo::database::{self, Access};

/// Makes a database for each SQL object of a cluster, as a provider's operator would.
#[derive(Parser)]
struct Args {
    /// The kubeconfig of the cluster.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The file that describes the server: {"engine": "postgres", "admin": "postgresql://…", "address": "HOST:PORT"}.
    #[arg(long)]
    server: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-database: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Comes back only if it cannot begin.
async fn run(args: &Args) -> Result<()> {
    let client = cluster_of(&args.kubeconfig).await?;
    database::run(client, Access::read(&args.server)?).await;
    Ok(())
}
