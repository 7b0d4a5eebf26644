//! Reads kubeconfigs: which clusters the given files and directories name at this moment, and what is wrong with them.
//!
//! Reading looks at contents, not at times: a mounted Secret is swapped by a symlink, and clocks of file systems lie.
//! What a file refers to (certificates and keys) counts as its content. No message quotes a file's values.

mod context;
mod directory;
mod document;
mod file;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use kube::Config;
use resource_broker_api::names::{ClusterName, Role};
use sha2::{Digest as _, Sha256};

use self::{directory::Listing, file::File};

/// No kubeconfig is larger than this, in bytes; something else was given by mistake.
const MAX_FILE: u64 = 4 << 20;

/// How many contexts are named where the one that is meant is not there.
const NAMED: usize = 10;

/// Where clusters of one role come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The role of every cluster found there.
    pub role: Role,
    /// Where to look.
    pub place: Place,
}

/// Where to look for kubeconfigs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, its path as it was given. Each context is a cluster called `PATH+CONTEXT`.
    Contexts(String),
    /// A directory, its path as it was given. Each matching file in it is read like [`Place::Contexts`].
    Directory(String),
    /// The current context of a file, or of several merged as kubectl does, is a cluster of a chosen name.
    Named {
        /// The cluster's name within its role.
        name: String,
        /// The files, the first one deciding where two say different things.
        paths: Vec<PathBuf>,
    },
    /// The service account of the pod that we run in is a cluster of a chosen name.
    Pod {
        /// The cluster's name within its role.
        name: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Contexts(path) | Self::Directory(path) => f.write_str(path),
            Self::Named { paths, .. } => f.write_str(&shown(paths)),
            Self::Pod { .. } => f.write_str("the pod's service account"),
        }
    }
}

/// The proxy that the environment names for clusters whose kubeconfig names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy's URL.
    pub url: Option<String>,
    /// Hosts and networks that are reached without it, as in `NO_PROXY`.
    pub except: Option<String>,
}

/// The way to one cluster.
#[derive(Clone)]
pub struct Access {
    /// Where that is said.
    pub place: Place,
    /// How the cluster is reached.
    pub config: Arc<Config>,
}

impl Access {
    /// The API server's URL, as far as host and port.
    pub fn server(&self) -> String {
        let url = &self.config.cluster_url;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", url.scheme_str().unwrap_or("https"), url.host().unwrap_or_default())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds credentials.
        f.debug_struct("Access").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Something that keeps a kubeconfig from being used as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The role of the clusters concerned.
    pub role: Role,
    /// The file, directory or cluster concerned.
    pub place: String,
    /// What is wrong, and what can be done about it.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} kubeconfig {}: {}", self.role, self.place, self.what)
    }
}

/// What tells one configuration of a cluster from another.
pub type Digest = [u8; 32];

/// A cluster that a kubeconfig names.
#[derive(Clone)]
pub struct Found {
    /// The file or files it stands in.
    pub origin: String,
    /// How it is reached.
    pub config: Arc<Config>,
    /// Differs when anything about reaching it differs.
    pub digest: Digest,
}

/// Everything that the sources name at one moment.
#[derive(Default)]
pub struct Reading {
    /// The clusters that can be reached.
    pub found: BTreeMap<ClusterName, Found>,
    /// Clusters that are named, but not so that they can be reached. Whoever has them keeps them as they were.
    pub damaged: BTreeSet<ClusterName>,
    /// Files that could not be read, by role. Whoever has clusters of them keeps those as they were.
    pub unreadable: BTreeSet<(Role, String)>,
    /// Directories that could not be read, by role. Whoever has clusters of files below keeps those as they were.
    pub unlisted: BTreeSet<(Role, String)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What people should know although everything else goes on.
    pub warnings: BTreeSet<Warning>,
}

/// Something that people should know of a kubeconfig that is used, or of a file that is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where, and what.
    pub problem: Problem,
    /// A file that reads as a kubeconfig and is not called like one; the number differs when it has changed.
    pub misnamed: Option<u64>,
}

impl Reading {
    /// Whether a cluster that came from `origin` and is not found now is to be kept all the same.
    pub fn keeps(&self, name: &ClusterName, origin: &str) -> bool {
        self.damaged.contains(name)
            || self.unreadable.contains(&(name.role, origin.to_owned()))
            || self
                .unlisted
                .iter()
                .any(|(role, directory)| *role == name.role && Path::new(origin).parent() == Some(Path::new(directory)))
    }

    fn problem(&mut self, role: Role, place: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { role, place: place.into(), what: what.into() });
    }

    fn warn(&mut self, role: Role, place: impl Into<String>, what: impl Into<String>) {
        let problem = Problem { role, place: place.into(), what: what.into() };
        self.warnings.insert(Warning { problem, misnamed: None });
    }

    fn add(&mut self, name: ClusterName, found: Found) {
        if let Some(other) = self.found.get(&name) {
            let what = format!("cluster {name} is also named by {}; that one is used", other.origin);
            self.problem(name.role, found.origin, what);
        } else {
            self.found.insert(name, found);
        }
    }
}

/// Reads sources again and again, and parses only what changed.
pub struct Reader {
    proxy: Proxy,
    files: HashMap<Vec<PathBuf>, (Inputs, Arc<Parsed>)>,
    listing: Listing,
}

/// The contents that a parse was made from; `None` for what was not there.
type Inputs = Vec<(PathBuf, Option<Digest>)>;

enum Parsed {
    /// No such file.
    Missing,
    /// Not a kubeconfig, or not one that can be read.
    Broken(String),
    /// A kubeconfig.
    Good { current: Option<String>, contexts: Vec<(String, Result<Context, String>)>, notes: Vec<String> },
}

struct Context {
    config: Arc<Config>,
    namespace: Option<String>,
    digest: Digest,
    warning: Option<String>,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new(proxy: Proxy) -> Self {
        Self { proxy, files: HashMap::new(), listing: Listing::default() }
    }

    /// What `sources` name now. Blocks on the file system.
    pub fn read(&mut self, sources: &[Source]) -> Reading {
        let mut reading = Reading::default();
        for Source { role, place } in sources {
            match place {
                Place::Contexts(path) => self.read_contexts(*role, path, &mut reading),
                Place::Directory(path) => self.read_directory(*role, path, &mut reading),
                Place::Named { name, paths } => self.read_current(ClusterName::new(*role, name), paths, &mut reading),
                Place::Pod { name } => read_pod(ClusterName::new(*role, name), &mut reading),
            }
        }
        reading
    }

    /// The namespace of the context that a source means, where it names one and means a single context.
    pub fn namespace(&mut self, place: &Place) -> Option<String> {
        let Place::Named { paths, .. } = place else { return None };
        let parsed = self.parse(paths);
        let Parsed::Good { current, contexts, .. } = &*parsed else { return None };
        let (_, context) = contexts.iter().find(|(name, _)| Some(name) == current.as_ref())?;
        context.as_ref().ok()?.namespace.clone()
    }

    /// How the cluster of `context`, or of the current one, is reached, at a place that means a single cluster; `Err`: what is
    /// wrong with the place, and how to mend it.
    pub fn config(&mut self, place: &Place, context: Option<&str>) -> Result<Arc<Config>, String> {
        let Place::Named { paths, .. } = place else {
            return match context {
                Some(_) => Err("it has no contexts; give a kubeconfig with --kubeconfig".to_owned()),
                None => {
                    Config::incluster().map(Arc::new).map_err(|error| format!("{error}; give a file with --kubeconfig"))
                }
            };
        };
        let parsed = self.parse(paths);
        let (current, contexts) = match &*parsed {
            Parsed::Missing => return Err("no such file; check the path".to_owned()),
            Parsed::Broken(what) => return Err(what.clone()),
            Parsed::Good { current, contexts, .. } => (current.as_deref(), contexts),
        };
        let names = || listed(contexts);
        let name = context.or(current);
        let name = name.ok_or_else(|| format!("it has no current-context; name one with --context: {}", names()))?;
        match contexts.iter().find(|(context, _)| context == name) {
            Some((_, Ok(context))) => Ok(context.config.clone()),
            Some((_, Err(what))) => Err(format!("context {name:?}: {what}")),
            None => Err(format!("it has no context {name:?}; name one with --context: {}", names())),
        }
    }

    fn read_directory(&mut self, role: Role, directory: &str, reading: &mut Reading) {
        let clean = directory::clean(directory);
        match self.listing.look(&clean) {
            Ok(found) => {
                for (path, mark) in found.misnamed {
                    let problem = Problem { role, place: path, what: directory::HOW_TO_CALL_IT.to_owned() };
                    reading.warnings.insert(Warning { problem, misnamed: Some(mark) });
                }
                found.kubeconfigs.iter().for_each(|file| self.read_contexts(role, file, reading));
            }
            Err(error) => {
                reading.problem(role, directory, format!("the directory cannot be read: {error}"));
                reading.unlisted.insert((role, clean));
            }
        }
    }

    fn read_contexts(&mut self, role: Role, path: &str, reading: &mut Reading) {
        match &*self.parse(&[PathBuf::from(path)]) {
            Parsed::Missing => reading.problem(role, path, "the file is not there"),
            Parsed::Broken(what) => {
                reading.problem(role, path, what);
                reading.unreadable.insert((role, path.to_owned()));
            }
            Parsed::Good { contexts, notes, .. } => {
                for note in notes {
                    reading.warn(role, path, note);
                }
                for (context, config) in contexts {
                    let name = ClusterName::new(role, format!("{path}+{context}"));
                    Self::take(name, path, context, config, reading);
                }
            }
        }
    }

    fn read_current(&mut self, name: ClusterName, paths: &[PathBuf], reading: &mut Reading) {
        let (role, origin) = (name.role, shown(paths));
        let mut unusable = |what: &str| {
            reading.problem(role, origin.as_str(), what);
            reading.unreadable.insert((role, origin.clone()));
        };
        match &*self.parse(paths) {
            Parsed::Missing => reading.problem(role, origin, "the file is not there"),
            Parsed::Broken(what) => unusable(what),
            Parsed::Good { current: None, contexts, .. } => unusable(&format!(
                "it has no current-context; set one with kubectl config use-context. Its contexts: {}",
                listed(contexts)
            )),
            Parsed::Good { current: Some(current), contexts, notes } => {
                match contexts.iter().find(|(context, _)| context == current) {
                    Some((context, config)) => {
                        for note in notes {
                            reading.warn(role, origin.as_str(), note);
                        }
                        Self::take(name, &origin, context, config, reading);
                    }
                    None => unusable(&format!(
                        "its current-context {current:?} is not one of its contexts: {}",
                        listed(contexts)
                    )),
                }
            }
        }
    }

    fn take(name: ClusterName, origin: &str, context: &str, config: &Result<Context, String>, reading: &mut Reading) {
        match config {
            Ok(Context { config, digest, warning, .. }) => {
                if let Some(warning) = warning {
                    reading.warn(name.role, origin, format!("context {context:?}, cluster {name}: {warning}"));
                }
                reading.add(name, Found { origin: origin.to_owned(), config: config.clone(), digest: *digest });
            }
            Err(what) => {
                reading.problem(name.role, origin, format!("context {context:?}: {what}"));
                reading.damaged.insert(name);
            }
        }
    }

    /// The files merged and parsed, from memory where nothing changed.
    fn parse(&mut self, paths: &[PathBuf]) -> Arc<Parsed> {
        if let Some((inputs, parsed)) = self.files.get(paths)
            && inputs.iter().all(|(path, digest)| digest_of(path) == *digest)
        {
            return parsed.clone();
        }
        let mut inputs = Inputs::new();
        let parsed = Arc::new(match load(paths, &mut inputs) {
            Ok(Some(file)) => self.contexts_of(file, &mut inputs),
            Ok(None) => Parsed::Missing,
            Err(what) => Parsed::Broken(what),
        });
        self.files.insert(paths.to_vec(), (inputs, parsed.clone()));
        parsed
    }

    fn contexts_of(&self, file: File, inputs: &mut Inputs) -> Parsed {
        if file.contexts.is_empty() {
            let mut what = "it has no contexts; each context is one cluster".to_owned();
            file.notes.iter().for_each(|note| what = format!("{what}; {note}"));
            return Parsed::Broken(what);
        }
        let context = |names: &Result<file::Names, String>, inputs: &mut Inputs| {
            let names = names.as_ref().map_err(Clone::clone)?;
            let context::Usable { config, namespace, digest, warning } =
                context::resolve(&file, names, &self.proxy, inputs)?;
            Ok(Context { config: Arc::new(config), namespace, digest, warning })
        };
        let contexts = file.contexts.iter().map(|(name, names)| (name.clone(), context(names, inputs))).collect();
        Parsed::Good { current: file.current, contexts, notes: file.notes }
    }
}

/// The first contexts by name.
fn listed<T>(contexts: &[(String, T)]) -> String {
    let mut names = contexts.iter().map(|(name, _)| name.as_str()).take(NAMED).collect::<Vec<_>>().join(", ");
    if contexts.len() > NAMED {
        names.push_str(", …");
    }
    names
}

fn read_pod(name: ClusterName, reading: &mut Reading) {
    match Config::incluster() {
        Ok(config) => {
            // Token and CA file are read again by the client itself.
            let digest = Sha256::digest(config.cluster_url.to_string()).into();
            reading.add(name, Found { origin: "pod".to_owned(), config: Arc::new(config), digest });
        }
        Err(error) => {
            let what = format!("{error}; give a file with --kubeconfig");
            reading.problem(name.role, "the pod's service account", what);
            reading.damaged.insert(name);
        }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

/// Reads and merges files. `None` where none of them is there. Of several, one that is empty or cannot be read leaves the
/// others.
fn load(paths: &[PathBuf], inputs: &mut Inputs) -> Result<Option<File>, String> {
    let mut merged: Option<File> = None;
    let mut broken = Vec::new();
    for path in paths {
        let read = read_bounded(path);
        inputs.push((path.clone(), read.as_ref().ok().map(|bytes| Sha256::digest(bytes).into())));
        let parsed = match read {
            Ok(bytes) => File::parse(&bytes, path.parent()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(format!("the file cannot be read: {error}")),
        };
        match (parsed, &mut merged) {
            (Ok(Some(file)), None) => merged = Some(file),
            (Ok(Some(file)), Some(merged)) => merged.merge(file),
            // Said of a file that is alone; kubectl, too, passes over one among several.
            (Ok(None), _) => broken.push((path, None)),
            (Err(what), _) => broken.push((path, Some(what))),
        }
    }
    if let Some(mut merged) = merged {
        let told = broken.into_iter().filter_map(|(path, what)| Some((path, what?)));
        merged.notes.extend(told.map(|(path, what)| format!("{} is passed over: {what}", path.display())));
        return Ok(Some(merged));
    }
    match broken.into_iter().next() {
        Some((_, what)) => Err(what.unwrap_or_else(|| "it is empty".to_owned())),
        None => Ok(None),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let too_large = || io::Error::other(format!("it has more than {MAX_FILE} bytes, which no kubeconfig has"));
    if metadata.len() > MAX_FILE {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may grow meanwhile.
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(too_large()) } else { Ok(bytes) }
}

fn digest_of(path: &Path) -> Option<Digest> {
    read_bounded(path).ok().map(|bytes| Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests;
