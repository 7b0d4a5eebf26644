//! For tests of stages' scripts: two ends, a scratch volume, and programs that only write down what they are asked for.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::pods::script;

/// A folder with all of it, which is gone when this is dropped.
#[derive(Debug)]
pub struct Scene {
    root: PathBuf,
}

impl Scene {
    /// A scene; its name is unique among the tests of one program.
    pub fn new(name: &str) -> io::Result<Self> {
        let root = std::env::temp_dir().join(format!("resource-broker-{}-{name}", std::process::id()));
        for folder in ["from/0", "from/1", "to/0", "work", "bin", "mounts"] {
            fs::create_dir_all(root.join(folder))?;
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file, such as `from/0/host` for an entry of the old end's first related resource.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        fs::write(self.root.join(path), text)
    }

    /// What is in a file; nothing if there is none.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }

    /// A program of that name with the body of a shell script, which may add lines to the file `$CALLS`.
    pub fn program(&self, name: &str, body: &str) -> io::Result<()> {
        let path = self.root.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    }

    /// Runs a script, as a stage's pod would, with these variables besides.
    pub fn run(&self, parts: &[&str], variables: &[(&str, &str)]) -> io::Result<Output> {
        self.command("sh", &["-c", &script(parts)], variables).output()
    }

    /// Any program with the environment of a scene.
    pub fn command(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.root.join("bin").display()))
            .env("ENDS", &self.root)
            .env("WORK", self.root.join("work"))
            .env("MOUNTS", self.root.join("mounts"))
            .env("CALLS", self.root.join("calls"))
            .env("TERMINATION_LOG", self.root.join("termination"))
            .envs(variables.iter().copied());
        command
    }

    /// What programs wrote down.
    pub fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// What a script left for the kubelet to show.
    pub fn termination(&self) -> String {
        self.read("termination")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What is left over is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The scripts of a folder that a shell cannot read, each with what it says.
pub fn unreadable(folder: &Path) -> io::Result<Vec<String>> {
    let mut unreadable = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            let output = Command::new("sh").arg("-n").arg(&path).output()?;
            if !output.status.success() {
                unreadable.push(format!("{}: {}", path.display(), String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    Ok(unreadable)
}
