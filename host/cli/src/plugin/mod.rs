//! `resource-broker plugin`: what the author of a plugin does on a laptop, without a cluster.
//!
//! Each subcommand is a file. They share how a component is opened ([`component`]), how objects are read ([`input`]) and how
//! a component is packed into ConfigMaps ([`packing`]).

mod bench;
mod build;
mod check;
mod compile_probe;
mod component;
mod executor;
mod input;
mod manifest;
mod new;
mod packing;
mod run;
mod sections;
mod test;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

pub use compile_probe::probe;

/// The exit code for a command line that cannot be followed.
const USAGE: u8 = 2;

/// Everything below `resource-broker plugin`.
#[derive(Args, Clone, Debug)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

// The doc comments below are what `--help` prints.
#[derive(Clone, Debug, Subcommand)]
enum PluginCommand {
    /// Write a new plugin's project, which builds and passes its tests
    New(new::NewArgs),
    /// Build a plugin's project into a component, and check it
    Build(build::BuildArgs),
    /// Say what a component is, or why it could not be loaded
    Check(check::CheckArgs),
    /// Ask a component one question, and show answer, time, memory and log
    Run(Box<run::RunArgs>),
    /// Run cases: input and expected answer, as YAML
    Test(test::TestArgs),
    /// Print ConfigMaps and a Plugin for `kubectl apply -f -`
    Manifest(manifest::ManifestArgs),
    /// Measure a component: calls a second, latency, memory
    Bench(bench::BenchArgs),
    /// Compile the component on standard input, for a broker that watches the time
    #[command(hide = true)]
    CompileProbe,
}

impl PluginCommand {
    fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Build(_) => "build",
            Self::Check(_) => "check",
            Self::Run(_) => "run",
            Self::Test(_) => "test",
            Self::Manifest(_) => "manifest",
            Self::Bench(_) => "bench",
            Self::CompileProbe => "compile-probe",
        }
    }
}

/// A command line whose parts do not fit together, which clap cannot know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(Usage(message.into()).into())
}

/// Does what `args` say. The exit code is 1 for a failure and 2 for a command line that cannot be followed.
pub fn run(args: &PluginArgs) -> ExitCode {
    let outcome = match &args.command {
        PluginCommand::New(args) => new::run(args),
        PluginCommand::Build(args) => build::run(args),
        PluginCommand::Check(args) => check::run(args),
        PluginCommand::Run(args) => run::run(args),
        PluginCommand::Test(args) => test::run(args),
        PluginCommand::Manifest(args) => manifest::run(args),
        PluginCommand::Bench(args) => bench::run(args),
        PluginCommand::CompileProbe => compile_probe::run(),
    };
    outcome.unwrap_or_else(|error| {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "resource-broker plugin {}: {error:#}", args.command.name());
        if error.is::<Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

/// Waits for `work`.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    Ok(runtime()?.block_on(work))
}

/// Where the sandbox runs: its threads are tokio's.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be made")
}
