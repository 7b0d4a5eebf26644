//! `resource-broker crds`: prints the definitions of all kinds, writes them to a folder, or checks such a folder.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use resource_broker_api::{CrdFile, all_crds};

/// Where the definitions go. Without a flag they are printed as one stream for `kubectl apply -f -`.
#[derive(Args, Clone, Debug, Default)]
pub struct CrdsArgs {
    /// Write one file a kind below this folder, in folders by group, and remove what is there of kinds that are no more
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    pub output: Option<PathBuf>,
    /// Compare the files below this folder with the definitions, and fail where they differ
    #[arg(long, value_name = "DIR")]
    pub check: Option<PathBuf>,
}

/// Does what `args` say; the exit code is 1 where `--check` finds a difference.
///
/// # Errors
/// A file that cannot be read, written or removed, by name.
pub fn run(args: &CrdsArgs) -> Result<ExitCode> {
    let files = rendered()?;
    if let Some(folder) = &args.check {
        return check(folder, &files);
    }
    match &args.output {
        Some(folder) => write(folder, &files)?,
        None => print(&files)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A definition's place below the folder, and the text of its file.
struct Rendered {
    path: PathBuf,
    text: String,
}

fn rendered() -> Result<Vec<Rendered>> {
    all_crds()
        .into_iter()
        .map(|CrdFile { path, crd }| {
            let yaml = serde_yaml::to_string(&crd).with_context(|| format!("{path} cannot be written as YAML"))?;
            Ok(Rendered { path: path.into(), text: format!("---\n{yaml}") })
        })
        .collect()
}

fn print(files: &[Rendered]) -> Result<()> {
    let mut out = io::stdout().lock();
    for file in files {
        match out.write_all(file.text.as_bytes()) {
            // Whoever reads has seen enough: `resource-broker crds | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("the definitions cannot be written to standard output")?,
        }
    }
    Ok(())
}

fn write(folder: &Path, files: &[Rendered]) -> Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        // An unchanged file keeps its time, for whoever builds by it.
        if fs::read_to_string(&path).is_ok_and(|old| old == file.text) {
            continue;
        }
        fs::write(&path, &file.text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    for stale in stale(folder, files)? {
        let path = folder.join(stale);
        fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
    }
    Ok(())
}

fn check(folder: &Path, files: &[Rendered]) -> Result<ExitCode> {
    let mut differences = String::new();
    for file in files {
        let path = folder.join(&file.path);
        let what = match fs::read_to_string(&path) {
            Ok(text) if text == file.text => continue,
            Ok(_) => "differs from the definition",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(differences, "{} {what}", path.display());
    }
    for stale in stale(folder, files)? {
        let _ = writeln!(differences, "{} belongs to no kind", folder.join(stale).display());
    }
    if differences.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprint!("{differences}");
    eprintln!("run `resource-broker crds --output {}` to bring them up to date", folder.display());
    Ok(ExitCode::FAILURE)
}

/// Files in the groups' folders that no kind writes, relative to `folder`.
fn stale(folder: &Path, files: &[Rendered]) -> Result<Vec<PathBuf>> {
    let wanted: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let mut stale = Vec::new();
    for group in entries(folder)?.into_iter().filter(|path| is_group(path)) {
        for path in entries(&group)? {
            let Ok(relative) = path.strip_prefix(folder) else { continue };
            if path.extension().is_some_and(|extension| extension == "yaml") && !wanted.contains(relative) {
                stale.push(relative.to_owned());
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// Whether a folder is one of ours: nothing else beside them is ever touched.
fn is_group(path: &Path) -> bool {
    path.is_dir()
        && path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with("platform-mesh.io"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing,
    };
    listing
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(|| format!("{} cannot be listed", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_to(folder: &Path) {
        run(&CrdsArgs { output: Some(folder.to_owned()), check: None }).unwrap();
    }

    fn is_current(folder: &Path) -> bool {
        run(&CrdsArgs { output: None, check: Some(folder.to_owned()) }).unwrap() == ExitCode::SUCCESS
    }

    #[test]
    fn what_was_written_is_current_until_it_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_current(folder.path()), "an empty folder has every file missing");
        write_to(folder.path());
        assert!(is_current(folder.path()));

        let offer = folder.path().join("broker.platform-mesh.io/acceptapis.yaml");
        let text = fs::read_to_string(&offer).unwrap();
        fs::write(&offer, text.replace("minLength: 1", "minLength: 2")).unwrap();
        assert!(!is_current(folder.path()), "a changed file is seen");
        write_to(folder.path());
        assert!(is_current(folder.path()));
    }

    #[test]
    fn the_files_of_this_repository_are_current() {
        assert!(is_current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")), "run `make codegen`");
    }

    #[test]
    fn files_of_former_kinds_go_and_foreign_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        write_to(folder.path());
        let former = folder.path().join("broker.platform-mesh.io/formers.yaml");
        let foreign = folder.path().join("elsewhere/kustomization.yaml");
        fs::create_dir(foreign.parent().unwrap()).unwrap();
        fs::write(&former, "").unwrap();
        fs::write(&foreign, "").unwrap();
        assert!(!is_current(folder.path()), "a file of no kind is seen");
        write_to(folder.path());
        assert!(!former.exists() && foreign.exists());
        assert!(is_current(folder.path()));
    }

    #[test]
    fn each_file_is_one_document_that_reads_back() {
        for (file, CrdFile { crd, path }) in rendered().unwrap().iter().zip(all_crds()) {
            assert!(file.text.starts_with("---\napiVersion: apiextensions.k8s.io/v1\n"), "{path}");
            let read: serde_json::Value = serde_yaml::from_str(&file.text).unwrap();
            assert_eq!(read, serde_json::to_value(&crd).unwrap(), "{path}");
        }
    }
}
