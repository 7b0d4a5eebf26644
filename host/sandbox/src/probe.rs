//! Compiles a stranger's component in a process that can be killed.
//!
//! A crafted function can keep the compiler busy for minutes, or make it take memory without end, and a thread cannot be stopped.
//! What a child process compiled in time, the broker can compile in about the same time.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time;

use crate::error::LoadError;
use crate::{engine, text};

/// How much data memory the child may have, in bytes: a good part of what the broker's own container gets, in which the child
/// runs and which is ended as a whole where it needs more. A megabyte of component takes about forty, and every processor a few.
const MEMORY: u64 = 768 << 20;
/// How much of the child's words is read, in bytes, and kept, in characters.
const WORDS: u64 = 16 << 10;
const MESSAGE: usize = 1024;

/// The program that compiles components on trial. It gets a component on its standard input, calls [`probe`] with it, and ends
/// with success, or else with the error's text on its standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program, run with an empty environment.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// What the child process of a [`Probe`] does: compiles `component` and throws the result away.
///
/// It bounds the memory of the process that it runs in for good, so it is for that child only.
pub fn probe(component: &[u8]) -> Result<(), LoadError> {
    bound_memory()?;
    let engine = engine::without_clock()?;
    engine
        .precompile_component(component)
        .map(drop)
        .map_err(|error| LoadError::Invalid { reason: text::clean(&format!("{error:#}"), MESSAGE) })
}

#[cfg(target_os = "linux")]
fn bound_memory() -> Result<(), LoadError> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    // Address space that is only set aside, of which allocators take much, is no part of it.
    setrlimit(Resource::Data, limit)
        .map_err(|error| LoadError::Host { reason: format!("the probe's memory cannot be bounded: {error}") })
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail where there is such a bound")]
fn bound_memory() -> Result<(), LoadError> {
    Ok(())
}

impl Probe {
    /// Has `component` compiled within `limit`.
    pub(crate) async fn run(&self, component: &[u8], limit: Duration) -> Result<(), LoadError> {
        let child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Also if nobody waits for the load any more.
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.failed(&error))?;
        match time::timeout(limit, converse(child, component)).await {
            Ok(Ok((status, words))) => judge(status, &words),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(LoadError::CompileTime { limit }),
        }
    }

    fn failed(&self, error: &std::io::Error) -> LoadError {
        LoadError::Host { reason: format!("{} cannot be run to try it: {error}", self.program.display()) }
    }
}

/// Hands the component over, and waits for the end and the last words.
async fn converse(mut child: Child, component: &[u8]) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut words = Vec::new();
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let hand_over = async {
        if let Some(mut stdin) = stdin {
            // A child that ends before it has read everything says why by itself.
            let _ = stdin.write_all(component).await;
        }
    };
    let listen = async {
        match stderr {
            Some(stderr) => stderr.take(WORDS).read_to_end(&mut words).await.map(drop),
            None => Ok(()),
        }
    };
    let ((), heard) = tokio::join!(hand_over, listen);
    heard?;
    Ok((child.wait().await?, words))
}

fn judge(status: ExitStatus, words: &[u8]) -> Result<(), LoadError> {
    if status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(words);
    let reason = match status.code() {
        // The child's own error begins with the words that the reason is put into again.
        Some(_) => words.rsplit_once(DOES_NOT_COMPILE).map_or(words.trim(), |(_, reason)| reason).to_owned(),
        None => {
            format!("the compiler was ended ({status}); it may have needed more than {} MiB of memory", MEMORY >> 20)
        }
    };
    Err(LoadError::Invalid { reason: text::clean(&reason, MESSAGE) })
}

/// What the text of [`LoadError::Invalid`] begins with.
const DOES_NOT_COMPILE: &str = "the component does not compile: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_that_of_the_error() {
        let error = LoadError::Invalid { reason: "it is broken".to_owned() };
        assert_eq!(error.to_string(), format!("{DOES_NOT_COMPILE}it is broken"));
    }
}
