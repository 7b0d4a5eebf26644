//! Directories of kubeconfigs: which of their files count, and which only look as if they should.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, Metadata},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use super::{MAX_FILE, file::File, read_bounded};

/// What is said of a kubeconfig that is called otherwise.
pub(super) const HOW_TO_CALL_IT: &str = "it reads as a kubeconfig, but is passed over because of its name: call it \
     kubeconfig.yaml, kubeconfig.yml, or NAME.kubeconfig, NAME.kubeconfig.yaml, NAME.kubeconfig.yml if it is to be used, \
     else move it away";

/// What is remembered of files that are called otherwise.
#[derive(Default)]
pub(super) struct Listing {
    /// By path: what tells one content from another, and whether it reads as a kubeconfig.
    others: HashMap<PathBuf, (u64, bool)>,
}

/// What is in a directory.
pub(super) struct Found {
    /// The kubeconfigs, in order, each path under the name that is part of its clusters' identity.
    pub(super) kubeconfigs: Vec<String>,
    /// Files that read as kubeconfigs and are not called like ones, each with a number that differs when it has changed.
    pub(super) misnamed: Vec<(String, u64)>,
}

impl Listing {
    /// Looks at a directory. Files that are called otherwise are read only when they have changed.
    pub(super) fn look(&mut self, directory: &str) -> io::Result<Found> {
        let mut found = Found { kubeconfigs: Vec::new(), misnamed: Vec::new() };
        let directory = Path::new(directory);
        let mut seen = HashSet::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            // Editors and mounted volumes keep their own in hidden files.
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let path = directory.join(name);
            let shown = path.to_string_lossy().into_owned();
            if is_kubeconfig(name) {
                found.kubeconfigs.push(shown);
            } else if let Some(mark) = mark(&path) {
                let is_fresh = self.others.get(&path).is_some_and(|(before, _)| *before == mark);
                if !is_fresh {
                    self.others.insert(path.clone(), (mark, reads_as_kubeconfig(&path)));
                }
                if self.others.get(&path).is_some_and(|(_, is_kubeconfig)| *is_kubeconfig) {
                    found.misnamed.push((shown, mark));
                }
                seen.insert(path);
            }
        }
        self.others.retain(|path, _| path.parent() != Some(directory) || seen.contains(path.as_path()));
        found.kubeconfigs.sort();
        Ok(found)
    }
}

/// A number that differs when a file has changed; `None` for what is no file that could be a kubeconfig.
fn mark(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok().filter(Metadata::is_file)?;
    if metadata.len() > MAX_FILE {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (metadata.len(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
    Some(hasher.finish())
}

fn reads_as_kubeconfig(path: &Path) -> bool {
    let parsed = read_bounded(path).ok().and_then(|bytes| File::parse(&bytes, None).ok()).flatten();
    parsed.is_some_and(|file| file.is_likely())
}

fn is_kubeconfig(name: &str) -> bool {
    const WHOLE: [&str; 2] = ["kubeconfig.yaml", "kubeconfig.yml"];
    const ENDS: [&str; 3] = [".kubeconfig", ".kubeconfig.yaml", ".kubeconfig.yml"];
    WHOLE.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

/// A directory's path without `.`, needless slashes and `..` after a name: the same directory gives its clusters the
/// same names however it is written, and the ones that Go's path cleaning gave them.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in Path::new(path).components() {
        match (part, parts.last()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let cleaned: PathBuf = parts.iter().collect();
    // An empty path would be no directory at all.
    if cleaned.as_os_str().is_empty() { ".".to_owned() } else { cleaned.to_string_lossy().into_owned() }
}
