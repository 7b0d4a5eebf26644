//! The command line of the runner of Jobs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use resource_broker_demo::{cluster_of, jobs};

/// Runs the Jobs of a namespace as processes of this machine, without containers, whatever they say: only for Jobs that
/// you made yourself.
#[derive(Parser)]
struct Args {
    /// The kubeconfig of the cluster.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The namespace of the Jobs.
    #[arg(long, default_value = "default")]
    namespace: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-job-runner: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Comes back only if it cannot begin.
async fn run(args: &Args) -> Result<()> {
    jobs::run(cluster_of(&args.kubeconfig).await?, &args.namespace).await;
    Ok(())
}
