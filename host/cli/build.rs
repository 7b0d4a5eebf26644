//! Embeds the sources of the SDK, for `resource-broker plugin new`: it is on no registry, and a new plugin's project gets
//! it beside it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use toml::{Table, Value};

/// What the SDK consists of, below the repository's root.
const PARTS: [&str; 2] = ["guest-sdk", "wit"];

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=the SDK cannot be embedded: {error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(format!("{name} is not set"));
    let root = variable("CARGO_MANIFEST_DIR")?.join("../..").canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    let mut files = BTreeSet::new();
    for part in PARTS {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
        collect(&root.join(part), &mut files)?;
    }
    let out = variable("OUT_DIR")?;
    write(&out.join("sdk/Cargo.toml"), &workspace(&root, &files)?)?;
    let mut code = "[\n    (\"Cargo.toml\", include_str!(\"sdk/Cargo.toml\")),\n".to_owned();
    for file in &files {
        let name = file.strip_prefix(&root)?.to_str().ok_or("a path is not UTF-8")?;
        // By copies: clones that share a target directory share this file.
        write(&out.join("sdk").join(name), &fs::read_to_string(file)?)?;
        writeln!(code, "    ({name:?}, include_str!({:?})),", format!("sdk/{name}"))?;
    }
    code.push_str("]\n");
    fs::write(out.join("sdk.rs"), code)?;
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

/// All files below `folder` but what is built there, and what only this repository's own checks read.
fn collect(folder: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" {
            collect(&path, files)?;
        } else if ["rs", "toml", "wit", "md", "yaml"]
            .iter()
            .any(|ending| path.extension().is_some_and(|e| e == *ending))
        {
            files.insert(path);
        }
    }
    Ok(())
}

/// A workspace of the SDK's packages alone: what they take from ours, and nothing else of it.
fn workspace(root: &Path, files: &BTreeSet<PathBuf>) -> Result<String, Box<dyn std::error::Error>> {
    let read = |path: &Path| -> Result<Table, Box<dyn std::error::Error>> { Ok(fs::read_to_string(path)?.parse()?) };
    let ours = read(&root.join("Cargo.toml"))?;
    let ours = ours.get("workspace").and_then(Value::as_table).ok_or("Cargo.toml has no [workspace]")?;
    let (mut members, mut used) = (Vec::new(), BTreeSet::new());
    for manifest in files.iter().filter(|file| file.ends_with("Cargo.toml")) {
        let folder = manifest.strip_prefix(root)?.parent().and_then(Path::to_str).ok_or("a path is not UTF-8")?;
        members.push(Value::String(folder.to_owned()));
        inherited(&Value::Table(read(manifest)?), &mut used);
    }
    let mut dependencies = ours.get("dependencies").and_then(Value::as_table).cloned().unwrap_or_default();
    dependencies.retain(|name, _| used.contains(name));
    let mut theirs = Table::new();
    theirs.insert("members".to_owned(), members.into());
    for key in ["resolver", "package", "lints"] {
        theirs.insert(key.to_owned(), ours.get(key).cloned().ok_or(format!("[workspace] has no {key}"))?);
    }
    theirs.insert("dependencies".to_owned(), dependencies.into());
    let document = Table::from_iter([("workspace".to_owned(), Value::Table(theirs))]);
    Ok(format!("# The SDK of resource-broker, as of the version that wrote this.\n{}", toml::to_string(&document)?))
}

/// The names that have `workspace = true` in a manifest, at any depth.
fn inherited(value: &Value, names: &mut BTreeSet<String>) {
    for (name, value) in value.as_table().into_iter().flatten() {
        if value.get("workspace").and_then(Value::as_bool) == Some(true) {
            names.insert(name.clone());
        }
        inherited(value, names);
    }
}
