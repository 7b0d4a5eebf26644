//! `plugin test`: the cases of a plugin, answered by its component in the sandbox.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use resource_broker_plugin_cases::{Case, Tried};
use serde::Serialize;

use super::component::{self, ComponentArgs, Opened};
use super::executor::SandboxExecutor;
use crate::output::{self, Format, time};

/// Runs case files through a component, by the limits that it has in the broker. A case is a YAML document: what is asked
/// (an object and offers, a copy, a migration) and what is expected; the same cases run natively with the SDK's `testing`.
/// Exit code 1 if a case fails.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  resource-broker plugin test my_plugin.wasm cases --filter range")]
pub(super) struct TestArgs {
    // Settings are for the cases that bring none.
    #[command(flatten)]
    component: ComponentArgs,
    /// Case files, and folders with *.yaml and *.yml
    #[arg(value_name = "CASES", required = true)]
    cases: Vec<PathBuf>,
    /// Only the cases whose name has this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print for scripts
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// Reads the cases, runs and prints.
pub(super) fn run(args: &TestArgs) -> Result<ExitCode> {
    let (cases, filtered) = read(args)?;
    let settings = args.component.read_settings()?.map(|settings| settings.value.to_string());
    let runtime = super::runtime()?;
    let Opened { sandbox, plugin } = runtime.block_on(component::open(&args.component))?;
    let mut executor = SandboxExecutor::new(&runtime, sandbox.trial(&plugin), settings);
    let people = args.output.is_none();
    if people {
        output::write(&format!("running {} cases\n", cases.len()))?;
    }
    let begun = Instant::now();
    let mut tried = Vec::new();
    for case in &cases {
        let one = executor.try_case(case);
        if people {
            output::write(&format!("test {} ... {}\n", title(&one), if one.passed() { "ok" } else { "FAILED" }))?;
        }
        tried.push(one);
    }
    let failed = tried.iter().filter(|case| !case.passed()).count();
    let summary = Summary {
        passed: tried.len() - failed,
        failed,
        filtered,
        milliseconds: begun.elapsed().as_millis(),
        cases: tried,
        time: begun.elapsed(),
    };
    output::print(&summary, args.output)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The chosen cases, and how many others there are.
fn read(args: &TestArgs) -> Result<(Vec<Case>, usize)> {
    let mut cases = Vec::new();
    for path in &args.cases {
        cases.extend(Case::parse_path(path)?);
    }
    let all = cases.len();
    if let Some(text) = &args.filter {
        cases.retain(|case| case.name.contains(text.as_str()));
        if cases.is_empty() {
            bail!("none of the {all} cases has {text:?} in its name");
        }
    }
    let filtered = all - cases.len();
    Ok((cases, filtered))
}

fn title(case: &Tried) -> String {
    format!("{}: {}", case.file, case.name)
}

/// How all cases went.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    passed: usize,
    failed: usize,
    filtered: usize,
    milliseconds: u128,
    cases: Vec<Tried>,
    #[serde(skip)]
    time: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failed > 0 {
            writeln!(f, "\nfailures:")?;
        }
        for case in self.cases.iter().filter(|case| !case.passed()) {
            writeln!(f, "\n{}\n  document {}", title(case), case.document)?;
            for difference in &case.differences {
                writeln!(f, "  {}", difference.to_string().replace('\n', "\n  "))?;
            }
            for line in &case.log {
                writeln!(f, "  log: {line}")?;
            }
        }
        let Self { passed, failed, filtered, .. } = self;
        let word = if *failed == 0 { "ok" } else { "FAILED" };
        writeln!(
            f,
            "\nresult: {word}. {passed} passed; {failed} failed; {filtered} filtered out; in {}",
            time(self.time)
        )
    }
}
