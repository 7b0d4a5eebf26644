//! Plugins for tests, built from `tests/guests`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const TARGET: &str = "wasm32-wasip2";

/// The component of the crate in `tests/guests/NAME`, built where it has changed. Takes a minute the first time; not for an
/// async thread.
pub fn guest(name: &str) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests").join(name);
    let target = target_folder()?.join("guests");
    fs::create_dir_all(&target)?;
    // Of several test programs one builds, and the others find it built.
    let lock = File::create(target.join(format!("{name}.lock")))?;
    lock.lock()?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What was set for the outer build is not meant for a guest.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_outer_build = text.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_NET_OFFLINE"].contains(&&*text);
        if of_outer_build || text.starts_with("RUSTC") || text == "RUSTFLAGS" {
            command.env_remove(&name);
        }
    }
    let output = command
        .current_dir(&folder)
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .output()
        .context("cargo cannot be run")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} does not build for {TARGET}:\n{complaint}", folder.display());
    let component = target.join(TARGET).join("release").join(format!("resource_broker_test_{name}.wasm"));
    fs::read(&component).with_context(|| format!("cannot read {}", component.display()))
}

/// Where cargo put the program that runs.
fn target_folder() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    // Tests are in target/PROFILE/deps.
    let target = own.ancestors().nth(3).context("this program is in no target folder")?;
    Ok(target.to_owned())
}
