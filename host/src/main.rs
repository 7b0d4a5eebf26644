//! The `resource-broker` program: reads the command line, and hands over.

use std::{env, io::Write, process::ExitCode};

use resource_broker::{descriptors, run};
use resource_broker_cli::{
    args::{self, Environment, Invocation},
    cluster, crds, migrate, plugin, telemetry,
};

/// The exit code for a command line that cannot be followed.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match args::parse(env::args_os(), &Environment::read()) {
        Err(error) => {
            eprintln!("resource-broker: {error}");
            ExitCode::from(USAGE)
        }
        Ok(Invocation::Print(text)) => {
            // Whoever closed the pipe has read enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Invocation::Crds(args)) => crds::run(&args).unwrap_or_else(|error| {
            eprintln!("resource-broker crds: {error:#}");
            ExitCode::FAILURE
        }),
        Ok(Invocation::Plugin(args)) => plugin::run(&args),
        Ok(Invocation::Migrate(args, access)) => migrate::run(&args, &access),
        Ok(Invocation::Cluster(args, access)) => cluster::run(&args, &access),
        Ok(Invocation::Run(options)) => serve(*options),
    }
}

fn serve(options: args::Options) -> ExitCode {
    telemetry::init(options.log);
    descriptors::raise_limit();
    let outcome =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            let outcome = runtime.block_on(run::run(options));
            // A plugin of a kubeconfig may hang in a blocking thread; it is not waited for.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let ran_out = descriptors::exhaustion(error.as_ref()).map(|what| format!(" ({what})")).unwrap_or_default();
            tracing::error!(error = format!("{error:#}{ran_out}"), "the broker ends");
            ExitCode::FAILURE
        }
    }
}
