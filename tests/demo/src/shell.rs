//! What a person's shell needs to act in the scene: a folder of programs, and a file to source that points to it and to
//! the clusters.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use resource_broker_harness::broker_binary;

use crate::scene::{Scene, kubeconfig};

/// Writes the file `env` of the scene's `folder`, and says where it is.
pub fn prepare(scene: &Scene, folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
    link(&broker_binary()?, &programs.join("resource-broker"))?;
    let kubectl = scene.homer.kubectl_program();
    // Otherwise it is the shell's own already.
    if kubectl.is_absolute() {
        link(&kubectl, &programs.join("kubectl"))?;
    }
    let file = folder.join("env");
    let text =
        format!("export KUBECONFIG={}\nexport PATH={}:\"$PATH\"\n", quoted(&kubeconfig(folder)), quoted(&programs));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn link(program: &Path, place: &Path) -> Result<()> {
    let program = program.canonicalize().with_context(|| format!("no {}", program.display()))?;
    std::os::unix::fs::symlink(&program, place).with_context(|| format!("cannot make {}", place.display()))
}

/// As one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
