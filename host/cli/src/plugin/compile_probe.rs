//! `plugin compile-probe`: compiles what is on standard input and ends. The broker runs it as a child to find out, at a
//! child's expense, whether a component compiles in time: a compiler cannot be stopped in mid-work, a process can.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use resource_broker_sandbox::Probe;

use super::input;

/// Compiles standard input.
pub(super) fn run() -> Result<ExitCode> {
    let component = input::bytes(Path::new("-"))?;
    resource_broker_sandbox::probe(&component)?;
    Ok(ExitCode::SUCCESS)
}

/// Linux's name for the program that runs, also where its file was replaced since.
const ITSELF: &str = "/proc/self/exe";

/// How the sandbox runs this. `None` where the program does not know its own place: then compiling is not guarded.
pub fn probe() -> Option<Probe> {
    let itself = Path::new(ITSELF);
    let program = if itself.exists() { itself.to_owned() } else { env::current_exe().ok()? };
    Some(Probe { program, args: vec!["plugin".to_owned(), "compile-probe".to_owned()] })
}
