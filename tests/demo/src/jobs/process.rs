//! One process of a Job, with all that it starts.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::join;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::environment::Environment;

/// Runs its arguments. When its standard input closes, which it does however the runner ends, everything that the process
/// has started is killed with it: they are one process group.
const WATCHED: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- & job=$!
{ read -r _ <&3; kill -9 -$$; } >/dev/null 2>&1 & watch=$!
wait $job; outcome=$?
kill -9 $watch
exit $outcome
"#;

/// How long output is read after the process has ended: something that it left behind may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs `command` in a temporary folder to its end, and prints each line that it writes with `name` before it. Dropping
/// this kills it.
pub(super) async fn run(name: &str, command: &[String], environment: &Environment) -> io::Result<ExitStatus> {
    let folder = tempfile::Builder::new().prefix("demo-job-").tempdir()?;
    let mut child = Command::new("sh")
        .args(["-c", WATCHED, "sh"])
        .args(command)
        .current_dir(folder.path())
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder.path())
        .envs(&environment.variables)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let mut reading = Box::pin(join(print(name, environment, output), print(name, environment, errors)));
    // Held until the end: closing it kills.
    let _input = child.stdin.take();
    let ended = tokio::select! {
        ended = child.wait() => ended?,
        _ = &mut reading => return child.wait().await,
    };
    // What it says is lost only where something of it lives on and goes on talking.
    let _ = tokio::time::timeout(LAST_WORDS, reading).await;
    Ok(ended)
}

async fn print(name: &str, environment: &Environment, pipe: Option<impl AsyncRead + Unpin>) {
    let Some(pipe) = pipe else { return };
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        println!("job {name}: {}", environment.blotted(&String::from_utf8_lossy(&line)));
    }
}
