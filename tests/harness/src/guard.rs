//! Makes sure that no process outlives the program that started it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// Waits at the other end of a pipe, which closes however the program ends, SIGKILL included.
/// The first argument is the folder, the second says what becomes of it.
const WATCHMAN: &str = r#"
trap '' HUP INT TERM
read -r word
[ "$word" = release ] && exit 0
for file in "$1"/pids/*; do
    [ -e "$file" ] && kill -9 "${file##*/}" 2>/dev/null
done
[ "$2" = remove ] && rm -rf "$1"
exit 0
"#;

/// A folder for the data and logs of many processes, and their end when this program ends.
///
/// Each running process has a file `pids/PID`. A small shell waits for this program to be gone, kills what is
/// listed there and removes the folder.
#[derive(Debug)]
pub struct Guard {
    folder: PathBuf,
    watchman: Mutex<Option<(Child, ChildStdin)>>,
    released: AtomicBool,
}

impl Guard {
    /// A guard with a temporary folder, which is removed at the end unless `HARNESS_KEEP` is set.
    pub fn temporary() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("resource-broker-").tempdir().context("no temporary folder")?;
        let keep = std::env::var_os("HARNESS_KEEP").is_some();
        let folder = folder.keep();
        if keep {
            eprintln!("harness: logs stay in {}", folder.display());
        }
        Self::new(folder, !keep)
    }

    /// A guard over `folder`, which is made if need be and stays at the end.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Self::new(folder.to_owned(), false)
    }

    fn new(folder: PathBuf, remove: bool) -> Result<Self> {
        let pids = folder.join("pids");
        fs::create_dir_all(&pids).with_context(|| format!("cannot make {}", pids.display()))?;
        let mut watchman = Command::new("sh")
            .args(["-c", WATCHMAN, "sh"])
            .arg(&folder)
            .arg(if remove { "remove" } else { "stay" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot run sh")?;
        let pipe = watchman.stdin.take().context("a child without the pipe that was asked for")?;
        Ok(Self { folder, watchman: Mutex::new(Some((watchman, pipe))), released: AtomicBool::new(false) })
    }

    /// The folder with everything in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets all processes live on after this program; `pids/` tells which they are.
    pub fn release(&self) -> Result<()> {
        self.released.store(true, Ordering::SeqCst);
        if let Some((mut watchman, mut pipe)) = self.take_watchman() {
            pipe.write_all(b"release\n").context("cannot reach the process guard")?;
            watchman.wait().context("cannot wait for the process guard")?;
        }
        Ok(())
    }

    /// Lets go of the processes without ending them here, as if this program had been killed.
    pub fn abandon(&self) {
        drop(self.take_watchman());
    }

    /// Whether processes are to live on after this program.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::SeqCst)
    }

    /// The file that stands for the process `pid`.
    pub(crate) fn pid_file(&self, pid: u32) -> PathBuf {
        self.folder.join("pids").join(pid.to_string())
    }

    fn take_watchman(&self) -> Option<(Child, ChildStdin)> {
        self.watchman.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A process that lives on after the program that started it, see [`Guard::release`].
#[derive(Debug)]
pub struct Left {
    pid: u32,
    file: PathBuf,
}

impl Left {
    /// Kills it.
    pub fn kill(&self) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("not a process id")?;
        match kill_process(pid, Signal::KILL) {
            // It ended by itself meanwhile.
            Err(Errno::SRCH) => {}
            outcome => outcome.with_context(|| format!("cannot kill process {}", self.pid))?,
        }
        fs::remove_file(&self.file).with_context(|| format!("cannot remove {}", self.file.display()))
    }
}

/// The processes that a guard over `folder` released and that still run.
pub fn left_running(folder: &Path) -> Result<Vec<Left>> {
    let pids = folder.join("pids");
    let entries = match fs::read_dir(&pids) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", pids.display()))?,
    };
    let mut left = Vec::new();
    for entry in entries {
        let file = entry.with_context(|| format!("cannot read {}", pids.display()))?.path();
        let pid = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        // The system may have given the number to something else: ours have the folder in their arguments.
        if let Some(pid) = pid.filter(|&pid| command_line(pid).contains(&folder.display().to_string())) {
            left.push(Left { pid, file });
        }
    }
    Ok(left)
}

/// The command line of a running process; empty if there is none.
fn command_line(pid: u32) -> String {
    let read = fs::read(format!("/proc/{pid}/cmdline"));
    // Not every system has /proc.
    let asked =
        || Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().map(|output| output.stdout);
    let bytes = if Path::new("/proc/self").exists() { read } else { asked() };
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((mut watchman, pipe)) = self.take_watchman() {
            drop(pipe);
            // Nothing is left to do about a failure here.
            let _ = watchman.wait();
        }
    }
}
