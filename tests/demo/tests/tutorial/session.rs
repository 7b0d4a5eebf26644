//! One shell for a whole page, as its reader has it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Sources one file after the other, so that folder and variables stay, and says when each is done. What the blocks say
/// goes to a file beside each. Without input it ends by itself: nothing outlives a test that was killed.
const LOOP: &str = r#"
set -euo pipefail
while IFS= read -r block; do
    . "$block" </dev/null >"$block.log" 2>&1
    echo done
done
"#;

/// A bash that runs blocks. Dropping it ends it, with all that it started.
pub(crate) struct Session {
    shell: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    folder: PathBuf,
    patience: Duration,
}

impl Session {
    /// A shell that begins in `work`; its blocks and their output are kept in `folder`. One block may take as long as
    /// `patience`.
    pub(crate) fn start(work: &Path, folder: &Path, environment: &[(&str, &Path)], patience: Duration) -> Result<Self> {
        let mut shell = Command::new("bash")
            .args(["-c", LOOP])
            .current_dir(work)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot run bash")?;
        let pipes = (shell.stdin.take(), shell.stdout.take());
        let (Some(input), Some(output)) = pipes else { bail!("a child without the pipes that were asked for") };
        Ok(Self { shell, input, answers: BufReader::new(output).lines(), folder: folder.to_owned(), patience })
    }

    /// Runs a block, and has what it said. The error has it as well.
    pub(crate) async fn run(&mut self, line: usize, block: &str) -> Result<String> {
        let file = self.folder.join(format!("line-{line}"));
        std::fs::write(&file, block).with_context(|| format!("cannot write {}", file.display()))?;
        self.input.write_all(format!("{}\n", file.display()).as_bytes()).await.context("the shell has ended")?;
        let answer = timeout(self.patience, self.answers.next_line()).await;
        let said = String::from_utf8_lossy(&std::fs::read(file.with_extension("log")).unwrap_or_default()).into_owned();
        let Ok(answer) = answer else {
            bail!("the block in line {line} does not end within {:?}:\n{block}\nSo far:\n{said}", self.patience);
        };
        if answer.context("the shell cannot be read")?.is_none() {
            bail!("the block in line {line} fails:\n{block}\nIt says:\n{said}");
        }
        Ok(said)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // None: it has ended and was waited for, so that its number may be another's.
        if let Some(group) = self.shell.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}

#[tokio::test]
async fn folder_and_variables_stay_and_failures_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let start =
        || Session::start(folder.path(), folder.path(), &[("SET", folder.path())], Duration::from_mins(1)).unwrap();
    let mut session = start();
    session.run(1, "mkdir -p below && cd below && export A=a && test -d \"$SET\"").await.unwrap();
    assert_eq!(session.run(2, "echo \"${PWD##*/} $A\"; cat").await.unwrap(), "below a\n", "and there is no input");
    for wrong in
        ["echo said; false; true", "echo said; false | true", "echo said; echo \"$UNSET\"", "echo said; exit 0"]
    {
        let error = start().run(3, wrong).await.unwrap_err().to_string();
        assert!(error.contains("line 3 fails") && error.contains("It says:\nsaid\n"), "{error}");
    }
}

#[tokio::test]
async fn what_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), folder.path(), &[], Duration::from_secs(2)).unwrap();
    let error = session.run(1, "sleep 1000 & echo $!; wait").await.unwrap_err().to_string();
    assert!(error.contains("does not end"), "{error}");
    let started = std::fs::read_to_string(folder.path().join("line-1.log")).unwrap();
    let gone = || {
        let listed = std::process::Command::new("ps").args(["-o", "stat=", "-p", started.trim()]).output().unwrap();
        // One that has ended and was not waited for yet is a zombie.
        let stat = String::from_utf8_lossy(&listed.stdout).into_owned();
        if stat.is_empty() || stat.starts_with('Z') { Ok(()) } else { Err(stat) }
    };
    gone().unwrap_err();
    drop(session);
    resource_broker_harness::eventually("its end", Duration::from_secs(10), async || gone()).await;
}
