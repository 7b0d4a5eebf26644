//! Finds the kube-apiserver and etcd programs, through the script that also fetches or builds them.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// The folder that holds `kube-apiserver` and `etcd`.
///
/// The script does nothing but print it where the programs are there already; otherwise it shows its progress on
/// standard error.
pub(crate) async fn folder() -> Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane.sh");
    let output = Command::new(script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("cannot run {script}"))?;
    ensure!(output.status.success(), "{script} could not provide kube-apiserver and etcd (its messages are above)");
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
