//! Builds the standard plugins for WebAssembly, to be embedded.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";

/// A plugin that is embedded.
struct Guest {
    package: &'static str,
    folder: &'static str,
    /// The file that cargo makes of it.
    artifact: &'static str,
    /// The environment variable by which the crate finds that file.
    variable: &'static str,
}

const GUESTS: [Guest; 2] = [
    Guest {
        package: "resource-broker-plugin-standard",
        folder: "plugins/standard",
        artifact: "resource_broker_plugin_standard.wasm",
        variable: "STANDARD_PLUGIN",
    },
    Guest {
        package: "resource-broker-plugin-standard-migration",
        folder: "plugins/standard-migration",
        artifact: "resource_broker_plugin_standard_migration.wasm",
        variable: "STANDARD_MIGRATION_PLUGIN",
    },
];

fn main() -> ExitCode {
    match build() {
        Ok(folder) => {
            for Guest { variable, artifact, .. } in GUESTS {
                println!("cargo::rustc-env={variable}={}", folder.join(artifact).display());
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the components and says in which folder they are.
fn build() -> Result<PathBuf, String> {
    let root = variable("CARGO_MANIFEST_DIR")?.join("../..");
    let shared = ["plugins/Cargo.toml", "plugins/Cargo.lock", "guest-sdk", "wit", "Cargo.toml"];
    for source in shared.into_iter().chain(GUESTS.map(|guest| guest.folder)) {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    require_target()?;
    let target_dir = variable("OUT_DIR")?.join("guest");
    run_cargo(&root.join("plugins"), &target_dir)?;
    Ok(target_dir.join(TARGET).join("release"))
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set; build with cargo"))
}

/// A missing target would otherwise show as an error about the standard library, with many lines.
fn require_target() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", Path::new(&rustc).display()))?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(libraries.trim()).is_dir() {
        Ok(())
    } else {
        Err(format!("the target {TARGET} is not installed: run `rustup target add {TARGET}`"))
    }
}

/// Runs cargo as if from a shell: what the outer cargo set for this crate (flags, wrappers, target directory, features) is
/// not meant for the guest.
fn run_cargo(workspace: &Path, target_dir: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_outer_cargo = text.starts_with("CARGO_") && !KEPT.contains(&text.as_ref());
        if of_outer_cargo || text.starts_with("RUSTC") || OUTER.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    let output = command
        .current_dir(workspace)
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(GUESTS.iter().flat_map(|guest| ["--package", guest.package]))
        .arg("--target-dir")
        .arg(target_dir)
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    // One line a message: cargo shows nothing else of a build script that failed.
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        println!("cargo::warning={line}");
    }
    Err(format!("the standard plugins do not build for {TARGET}; the lines above say why"))
}

/// Where cargo keeps its registry, and whether it may use the network, holds for the guest too.
const KEPT: [&str; 3] = ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_CAINFO"];
/// Set by cargo or the shell for the outer build, beside the names that begin with `CARGO_` or `RUSTC`.
const OUTER: [&str; 7] = ["RUSTFLAGS", "RUSTDOCFLAGS", "TARGET", "HOST", "OUT_DIR", "PROFILE", "OPT_LEVEL"];
