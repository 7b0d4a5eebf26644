//! Reads kubeconfigs: which clusters the given files and directories name at this moment, and what is wrong with them.
//!
//! Reading looks at contents, not at times: a mounted Secret is swapped by a symlink, and clocks of file systems lie.
//! What a file refers to (certificates and keys) counts as its content. No message quotes a file's values.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Config,
    config::{Kubeconfig, KubeconfigError, LoadDataError},
};
use resource_broker_api::names::{ClusterName, Role};
use sha2::{Digest as _, Sha256};

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
pub(crate) type Digest = [u8; 32];

/// A cluster that a kubeconfig names.
#[derive(Clone)]
pub(crate) struct Found {
    /// The file or files it stands in.
    pub(crate) origin: String,
    /// How it is reached.
    pub(crate) config: Arc<Config>,
    /// Differs when anything about reaching it differs.
    pub(crate) digest: Digest,
}

/// Everything that the sources name at one moment.
#[derive(Default)]
pub(crate) struct Reading {
    /// The clusters that can be reached.
    pub(crate) found: BTreeMap<ClusterName, Found>,
    /// Clusters that are named, but not so that they can be reached. Whoever has them keeps them as they were.
    pub(crate) damaged: BTreeSet<ClusterName>,
    /// Files that could not be read, by role. Whoever has clusters of them keeps those as they were.
    pub(crate) unreadable: BTreeSet<(Role, String)>,
    /// Directories that could not be read, by role. Whoever has clusters of files below keeps those as they were.
    pub(crate) unlisted: BTreeSet<(Role, String)>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

impl Reading {
    /// Whether a cluster that came from `origin` and is not found now is to be kept all the same.
    pub(crate) fn keeps(&self, name: &ClusterName, origin: &str) -> bool {
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
pub(crate) struct Reader {
    proxy: Proxy,
    files: HashMap<Vec<PathBuf>, (Inputs, Arc<Parsed>)>,
}

/// The contents that a parse was made from; `None` for what was not there.
type Inputs = Vec<(PathBuf, Option<Digest>)>;

enum Parsed {
    /// No such file.
    Missing,
    /// Not a kubeconfig, or not one that can be read.
    Broken(String),
    /// A kubeconfig.
    Good { current: Option<String>, contexts: Vec<(String, Result<Context, String>)> },
}

struct Context {
    config: Arc<Config>,
    namespace: Option<String>,
    digest: Digest,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub(crate) fn new(proxy: Proxy) -> Self {
        Self { proxy, files: HashMap::new() }
    }

    /// What `sources` name now. Blocks on the file system.
    pub(crate) fn read(&mut self, sources: &[Source]) -> Reading {
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
    pub(crate) fn namespace(&mut self, place: &Place) -> Option<String> {
        let Place::Named { paths, .. } = place else { return None };
        let parsed = self.parse(paths);
        let Parsed::Good { current, contexts } = &*parsed else { return None };
        let (_, context) = contexts.iter().find(|(name, _)| Some(name) == current.as_ref())?;
        context.as_ref().ok()?.namespace.clone()
    }

    /// How the cluster of `context`, or of the current one, is reached, at a place that means a single cluster; `Err`: what is
    /// wrong with the place, and how to mend it.
    pub(crate) fn config(&mut self, place: &Place, context: Option<&str>) -> Result<Arc<Config>, String> {
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
            Parsed::Good { current, contexts } => (current.as_deref(), contexts),
        };
        let names = || contexts.iter().map(|(name, _)| name.as_str()).take(NAMED).collect::<Vec<_>>().join(", ");
        let name = context.or(current);
        let name = name.ok_or_else(|| format!("it has no current-context; name one with --context: {}", names()))?;
        match contexts.iter().find(|(context, _)| context == name) {
            Some((_, Ok(context))) => Ok(context.config.clone()),
            Some((_, Err(what))) => Err(format!("context {name:?}: {what}")),
            None => Err(format!("it has no context {name:?}; name one with --context: {}", names())),
        }
    }

    fn read_directory(&mut self, role: Role, directory: &str, reading: &mut Reading) {
        let clean = clean(directory);
        match kubeconfigs_in(&clean) {
            Ok(files) => files.iter().for_each(|file| self.read_contexts(role, file, reading)),
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
            Parsed::Good { contexts, .. } => {
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
            Parsed::Good { current: None, .. } => {
                unusable("it has no current-context; set one with kubectl config use-context");
            }
            Parsed::Good { current: Some(current), contexts } => {
                match contexts.iter().find(|(context, _)| context == current) {
                    Some((context, config)) => Self::take(name, &origin, context, config, reading),
                    None => unusable(&format!("its current-context {current:?} is not one of its contexts")),
                }
            }
        }
    }

    fn take(name: ClusterName, origin: &str, context: &str, config: &Result<Context, String>, reading: &mut Reading) {
        match config {
            Ok(Context { config, digest, .. }) => {
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
            Ok(Some(kubeconfig)) => self.contexts_of(&kubeconfig, &mut inputs),
            Ok(None) => Parsed::Missing,
            Err(what) => Parsed::Broken(what),
        });
        self.files.insert(paths.to_vec(), (inputs, parsed.clone()));
        parsed
    }

    fn contexts_of(&self, kubeconfig: &Kubeconfig, inputs: &mut Inputs) -> Parsed {
        if kubeconfig.contexts.is_empty() {
            return Parsed::Broken("it has no contexts; each context is one cluster".to_owned());
        }
        let contexts = kubeconfig
            .contexts
            .iter()
            .map(|context| (context.name.clone(), self.context(kubeconfig, &context.name, inputs)));
        Parsed::Good { contexts: contexts.collect(), current: kubeconfig.current_context.clone() }
    }

    fn context(&self, kubeconfig: &Kubeconfig, name: &str, inputs: &mut Inputs) -> Result<Context, String> {
        let only = only_context(kubeconfig, name);
        let mut hash = Sha256::new();
        // The text holds credentials; it is hashed and dropped.
        hash.update(serde_json::to_vec(&only).map_err(|_| "it cannot be read back".to_owned())?);
        for path in references(&only) {
            let digest = digest_of(&path);
            hash.update(digest.unwrap_or_default());
            inputs.push((path, digest));
        }
        let namespace = only.contexts.first().and_then(|named| named.context.as_ref()?.namespace.clone());
        let own_proxy = only.clusters.first().and_then(|named| named.cluster.as_ref()?.proxy_url.clone());
        let mut config = Config::try_from(only).map_err(|error| explain(&error))?;
        if config.cluster_url.host().is_none() || config.cluster_url.scheme().is_none() {
            return Err("its cluster's server is not a URL such as https://host:6443".to_owned());
        }
        config.proxy_url = self.proxy_for(own_proxy.filter(|url| !url.is_empty()), &config.cluster_url)?;
        Ok(Context { config: Arc::new(config), namespace, digest: hash.finalize().into() })
    }

    fn proxy_for(&self, own: Option<String>, server: &Uri) -> Result<Option<Uri>, String> {
        let (url, whose) = match (own, &self.proxy.url) {
            (Some(own), _) => (own, "its cluster's proxy-url"),
            (None, Some(url)) if self.applies(url, server) => (url.clone(), "HTTPS_PROXY in the environment"),
            _ => return Ok(None),
        };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        url.parse().map(Some).map_err(|_| format!("{whose} is not a URL such as http://host:3128"))
    }

    fn applies(&self, url: &str, server: &Uri) -> bool {
        let except = self.proxy.except.as_deref().unwrap_or_default();
        Matcher::builder().all(url).no(except).build().intercept(server).is_some()
    }
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

/// The kubeconfigs of a directory, in order, each path under the name that is part of its clusters' identity.
fn kubeconfigs_in(directory: &str) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_kubeconfig(name) {
            let path = Path::new(directory).join(name);
            files.push(path.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// Hidden files are left alone: editors and mounted volumes keep their own there.
fn is_kubeconfig(name: &str) -> bool {
    const WHOLE: [&str; 2] = ["kubeconfig.yaml", "kubeconfig.yml"];
    const ENDS: [&str; 3] = [".kubeconfig", ".kubeconfig.yaml", ".kubeconfig.yml"];
    !name.starts_with('.') && (WHOLE.contains(&name) || ENDS.iter().any(|end| name.ends_with(end)))
}

/// A directory's path without `.`, needless slashes and `..` after a name: the same directory gives its clusters the
/// same names however it is written, and the ones that Go's path cleaning gave them.
fn clean(path: &str) -> String {
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

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

/// Reads and merges files. `None` where none of them is there.
fn load(paths: &[PathBuf], inputs: &mut Inputs) -> Result<Option<Kubeconfig>, String> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let bytes = match read_bounded(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                inputs.push((path.clone(), None));
                match error.kind() {
                    io::ErrorKind::NotFound => continue,
                    _ => return Err(format!("the file cannot be read: {error}")),
                }
            }
        };
        inputs.push((path.clone(), Some(Sha256::digest(&bytes).into())));
        let kubeconfig = parse_text(&bytes, path)?;
        merged = Some(match merged {
            None => kubeconfig,
            Some(first) => first.merge(kubeconfig).map_err(|error| explain(&error))?,
        });
    }
    Ok(merged)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > MAX_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes, which no kubeconfig has")));
    }
    fs::read(path)
}

fn digest_of(path: &Path) -> Option<Digest> {
    read_bounded(path).ok().map(|bytes| Sha256::digest(bytes).into())
}

fn parse_text(bytes: &[u8], path: &Path) -> Result<Kubeconfig, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut kubeconfig: Kubeconfig = serde_yaml::from_str(text).map_err(|error| without_values(&error.to_string()))?;
    if let Some(directory) = path.parent() {
        anchor(&mut kubeconfig, directory);
    }
    Ok(kubeconfig)
}

/// Paths in a kubeconfig are relative to its directory.
fn anchor(kubeconfig: &mut Kubeconfig, directory: &Path) {
    let anchor = |path: &mut Option<String>| {
        if let Some(relative) = path.as_deref().filter(|path| !path.is_empty() && Path::new(path).is_relative()) {
            *path = Some(directory.join(relative).to_string_lossy().into_owned());
        }
    };
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        anchor(&mut cluster.certificate_authority);
    }
    for user in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        anchor(&mut user.client_certificate);
        anchor(&mut user.client_key);
        anchor(&mut user.token_file);
        // A command without a slash is looked up in PATH.
        if let Some(exec) = user.exec.as_mut().filter(|exec| exec.command.as_ref().is_some_and(|c| c.contains('/'))) {
            anchor(&mut exec.command);
        }
    }
}

/// The kubeconfig cut down to one context and what belongs to it.
fn only_context(kubeconfig: &Kubeconfig, name: &str) -> Kubeconfig {
    let mut only = Kubeconfig { current_context: Some(name.to_owned()), ..Kubeconfig::default() };
    only.contexts = kubeconfig.contexts.iter().filter(|named| named.name == name).take(1).cloned().collect();
    let Some(context) = only.contexts.first().and_then(|named| named.context.as_ref()) else { return only };
    let (cluster, user) = (&context.cluster, context.user.as_ref());
    only.clusters = kubeconfig.clusters.iter().filter(|named| named.name == *cluster).take(1).cloned().collect();
    only.auth_infos = kubeconfig.auth_infos.iter().filter(|named| Some(&named.name) == user).take(1).cloned().collect();
    only
}

/// The certificates and keys that a kubeconfig refers to. Token files are read again by the client itself.
fn references(kubeconfig: &Kubeconfig) -> Vec<PathBuf> {
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let users = kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
    clusters
        .map(|cluster| &cluster.certificate_authority)
        .chain(users.flat_map(|user| [&user.client_certificate, &user.client_key]))
        .filter_map(|path| path.as_ref().map(PathBuf::from))
        .collect()
}

/// A parser's message without the value that it may quote: that could be a token.
fn without_values(message: &str) -> String {
    let Some((before, rest)) = ["invalid type", "invalid value"].iter().find_map(|word| message.split_once(word))
    else {
        return format!("it is not YAML that makes a kubeconfig: {message}");
    };
    let after = rest.rfind(", expected ").map_or("", |at| &rest[at..]);
    format!("it is not YAML that makes a kubeconfig: {before}unfit value{after}")
}

/// kube's errors in our words, which name no values.
fn explain(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::LoadContext(_) => "it is empty".to_owned(),
        KubeconfigError::LoadClusterOfContext(name) => format!("the file has no cluster {name:?}, which it refers to"),
        KubeconfigError::MissingClusterUrl => "its cluster has no server".to_owned(),
        KubeconfigError::ParseClusterUrl(_) => "its cluster's server is not a URL such as https://host:6443".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "its proxy-url, or HTTPS_PROXY, is not a URL".to_owned(),
        KubeconfigError::LoadCertificateAuthority(cause) => format!("certificate-authority: {}", unloaded(cause)),
        KubeconfigError::LoadClientCertificate(cause) => format!("client-certificate: {}", unloaded(cause)),
        KubeconfigError::LoadClientKey(cause) => format!("client-key: {}", unloaded(cause)),
        KubeconfigError::ParseCertificates(_) => "certificate-authority: not PEM".to_owned(),
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => {
            "the files to be merged are of different kinds or versions".to_owned()
        }
        _ => "it cannot be used".to_owned(),
    }
}

fn unloaded(cause: &LoadDataError) -> String {
    match cause {
        LoadDataError::DecodeBase64(_) => "the data is not base64".to_owned(),
        LoadDataError::ReadFile(error, path) => format!("{} cannot be read: {error}", path.display()),
        LoadDataError::NoBase64DataOrFile => "neither data nor a file is given".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
