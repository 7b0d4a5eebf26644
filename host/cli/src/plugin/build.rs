//! `plugin build`: from a project to a component that the broker loads.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::check::{self, Checked};
use super::component::ComponentArgs;
use super::sections;
use crate::output;

const TARGET: &str = "wasm32-wasip2";
/// What makes a component small; a component of this many bytes was most likely built without it.
const LARGE: usize = 1 << 20;
/// A component has some bytes of custom sections however it is built.
const NOTEWORTHY: usize = 64 << 10;
const PROFILE: &str = "set opt-level = \"s\", lto = true, codegen-units = 1, panic = \"abort\" and strip = true in the \
                       workspace's [profile.release]";

/// Runs `cargo build --release` for WebAssembly, removes what only debuggers read, and checks the component as `plugin
/// check` does.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  resource-broker plugin build my-plugin --output my-plugin.wasm")]
pub(super) struct BuildArgs {
    /// The project's folder, where its Cargo.toml is
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// Where the component goes [default: where cargo puts it]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The target directory of cargo [default: cargo's own]
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// Builds, strips and checks.
pub(super) fn run(args: &BuildArgs) -> Result<ExitCode> {
    let manifest = args.path.join("Cargo.toml");
    // Cargo names packages by absolute paths without links.
    let manifest = manifest.canonicalize().with_context(|| {
        format!("{} cannot be read: name a plugin's folder, or make one with `plugin new`", manifest.display())
    })?;
    require_target(&args.path)?;
    let artifact = cargo_build(&manifest, args.target_dir.as_deref())?;
    let built = fs::read(&artifact).with_context(|| format!("{} cannot be read", artifact.display()))?;
    let component =
        sections::strip(&built).with_context(|| format!("{} is no WebAssembly binary", artifact.display()))?;
    let place = args.output.clone().unwrap_or_else(|| artifact.clone());
    if args.output.is_some() || component.len() < built.len() {
        replace(&place, &component).with_context(|| format!("{} cannot be written", place.display()))?;
    }
    let (before, after) = (built.len(), component.len());
    let checked = check::check(&ComponentArgs { file: place.clone(), settings: None, limits: None }, &component)?;
    let checked = checked.with_context(|| place.display().to_string())?;
    output::write(&checked.to_string())?;
    advise(before, after, &checked);
    Ok(ExitCode::SUCCESS)
}

fn advise(before: usize, after: usize, checked: &Checked) {
    if before - after > NOTEWORTHY {
        let gone = output::size(before - after);
        eprintln!(
            "note: removed {gone} of names and debugging information, which a profile with strip = true does not write"
        );
    }
    if after > LARGE {
        eprintln!("note: the component is large ({}): {PROFILE}", checked.fit());
    }
}

/// Writes beside the place and renames: cargo's file has a second name, which is to stay as it is.
fn replace(place: &Path, component: &[u8]) -> io::Result<()> {
    let mut beside = OsString::from(place);
    beside.push(".new");
    fs::write(&beside, component)?;
    fs::rename(&beside, place).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// A missing target would otherwise show as many lines about the standard library.
fn require_target(project: &Path) -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .current_dir(project)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| no_program(&rustc, &error))?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    bail!("Rust has no target {TARGET} here: run `rustup target add {TARGET}`")
}

fn no_program(program: &OsString, error: &io::Error) -> anyhow::Error {
    anyhow!("{} cannot be run ({error}): install Rust, as https://rustup.rs says", Path::new(program).display())
}

/// Runs cargo, whose own words go to the terminal, and finds the component that it made of this package.
fn cargo_build(manifest: &Path, target_dir: Option<&Path>) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest);
    if let Some(target_dir) = target_dir {
        // Cargo runs in the project's folder, and the path is meant from here.
        let absolute = path::absolute(target_dir).with_context(|| format!("--target-dir {}", target_dir.display()))?;
        command.arg("--target-dir").arg(absolute);
    }
    // A project may choose its toolchain by a file in its folder.
    command.current_dir(manifest.parent().unwrap_or(Path::new(".")));
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| no_program(&cargo, &error))?;
    if !output.status.success() {
        bail!("cargo build failed; its words are above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut components: Vec<PathBuf> = messages.lines().filter_map(|line| component_of(line, manifest)).collect();
    let component = components.pop();
    component.with_context(|| {
        format!("{} builds no component: add `crate-type = [\"cdylib\", \"rlib\"]` to its [lib]", manifest.display())
    })
}

/// The component that a message of cargo tells of, if it is this package's.
fn component_of(message: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_ours = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(Value::as_str).map(PathBuf::from).find(|file| file.extension().is_some_and(|e| e == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_among_cargos_messages() {
        let manifest = Path::new("/p/Cargo.toml");
        let message = |manifest: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","filenames":["/t/lib.rlib","{file}"]}}"#
            )
        };
        assert_eq!(component_of(&message("/p/Cargo.toml", "/t/p.wasm"), manifest), Some("/t/p.wasm".into()));
        assert_eq!(component_of(&message("/q/Cargo.toml", "/t/q.wasm"), manifest), None, "a dependency's");
        assert_eq!(component_of(&message("/p/Cargo.toml", "/t/p.so"), manifest), None);
        assert_eq!(component_of(r#"{"reason":"build-finished","success":true}"#, manifest), None);
    }

    #[test]
    fn a_replaced_file_leaves_its_other_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "old").unwrap();
        fs::hard_link(&one, &other).unwrap();
        replace(&one, b"new").unwrap();
        assert_eq!((fs::read(&one).unwrap(), fs::read(&other).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"new").is_err(), "a folder is not replaced");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "and nothing is left beside it");
    }
}
