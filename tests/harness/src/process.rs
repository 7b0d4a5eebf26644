//! One child process with its log.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::guard::Guard;

/// A child process that writes to a log file and ends with this program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    guard: Arc<Guard>,
}

impl Process {
    /// Starts `command` as `name`; its output is added to `NAME.log` in the guard's folder.
    ///
    /// It gets a process group of its own: Ctrl-C on a terminal reaches this program alone, which then ends it.
    pub fn spawn(guard: &Arc<Guard>, name: &str, mut command: Command) -> Result<Self> {
        let log = guard.folder().join(format!("{name}.log"));
        let output = open_log(&log)?;
        let errors = output.try_clone().with_context(|| format!("cannot share {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {} ({})", name, command.get_program().display()))?;
        let process = Self { name: name.to_owned(), child, log, guard: Arc::clone(guard) };
        let file = process.guard.pid_file(process.child.id());
        fs::write(&file, name).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(process)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as `Signal::STOP`.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process without an id")?;
        kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?;
        if status.is_some() {
            self.forget();
        }
        Ok(status)
    }

    /// Waits until it has ended by itself or by a signal sent before.
    pub async fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {timeout:?}; its log ends:\n{}", self.name, self.log_tail(20));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.forget();
        Ok(())
    }

    /// The file that its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its log, or why they cannot be read.
    pub fn log_tail(&self, lines: usize) -> String {
        match fs::read(&self.log) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let all: Vec<_> = text.lines().collect();
                all[all.len().saturating_sub(lines)..].join("\n")
            }
            Err(error) => format!("(cannot read {}: {error})", self.log.display()),
        }
    }

    /// The number is the system's again, so the guard must not kill it any more.
    fn forget(&self) {
        let _ = fs::remove_file(self.guard.pid_file(self.child.id()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.guard.is_released() {
            let _ = self.kill();
        }
    }
}

fn open_log(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("cannot write {}", path.display()))
}
