//! kubectl, run the way in which the story shows it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Arguments as a person would type them.
pub(super) fn words(args: &[&str]) -> String {
    let quoted = args.iter().map(|arg| {
        if arg.contains(|c: char| c.is_whitespace() || "{}\"'()*$".contains(c)) {
            format!("'{arg}'")
        } else {
            (*arg).to_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Runs kubectl the way in which the story shows it.
pub(super) struct Kubectl {
    pub(super) program: PathBuf,
    /// With a context for each cluster.
    pub(super) kubeconfig: PathBuf,
}

impl Kubectl {
    /// The command as a person would type it.
    pub(super) fn line(&self, context: &str, args: &[&str]) -> String {
        let name = self.program.file_name().unwrap_or_default().display();
        format!("{name} --context {context} {}", words(args))
    }

    /// What a terminal would show: kubectl says on standard error that it found nothing.
    pub(super) async fn run(&self, context: &str, args: &[&str], input: Option<&str>) -> Result<String> {
        let mut child = Command::new(&self.program)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(["--context", context, "--cache-dir"])
            .arg(self.kubeconfig.with_file_name("kubectl-cache"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run kubectl: install it (https://kubernetes.io/docs/tasks/tools)")?;
        // Dropped at the end of the block, so that kubectl sees the end of its input.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.unwrap_or_default().as_bytes()).await.context("cannot write to kubectl")?;
        }
        let output = child.wait_with_output().await.context("cannot wait for kubectl")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{}: {}", self.line(context, args), complaint.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &complaint)
    }
}
