//! The command line and the environment: their only reader. Everything else gets [`Options`].
//!
//! Flags are those of the Go broker, written the Go way: one dash or two, `-flag=value` or `-flag value`, a switch as
//! `-flag` or `-flag=false`. They are brought into clap's form first. Whatever is wrong is one line that says what, and how
//! to mend it.

use std::{
    collections::HashSet,
    env,
    ffi::OsString,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use kube::core::GroupVersionKind;
use resource_broker_api::names::Role;

use crate::{
    admin::Bind,
    crds::CrdsArgs,
    kubeconfig::{Place, Proxy, Reader, Source},
    telemetry::{Encoder, Level, LogOptions},
};

/// The name of the coordination cluster where its kubeconfig is given without one.
const COORDINATION: &str = "coord";
/// The name of the compute cluster where its kubeconfig is given without one.
const COMPUTE: &str = "compute";
/// Where a pod finds its namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What the process was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Run the broker.
    Run(Box<Options>),
    /// Print or write the CRDs.
    Crds(CrdsArgs),
    /// Print this text (help or version) and end well.
    Print(String),
}

/// Everything that the broker can be told at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The kinds brokered, each once, at least one. The core group is empty.
    pub watch_kinds: Vec<GroupVersionKind>,
    /// The kinds that related resources may be of. The core group is empty.
    pub related_kinds: Vec<GroupVersionKind>,
    /// Where clusters come from; exactly one source each of coordination and compute.
    pub sources: Vec<Source>,
    /// The proxy for clusters whose kubeconfig names none.
    pub proxy: Proxy,
    /// Where the broker keeps its own objects in the coordination cluster.
    pub namespace: String,
    /// Whether to write only while holding the Lease.
    pub leader_elect: bool,
    /// Who we are to other candidates for the Lease.
    pub identity: String,
    /// Where metrics are served.
    pub metrics_bind: Bind,
    /// Whether metrics are served over HTTPS.
    pub metrics_secure: bool,
    /// Where health and readiness are served.
    pub health_bind: Bind,
    /// What is logged, and how.
    pub log: LogOptions,
}

/// Something on the command line that cannot be followed, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

type Result<T> = std::result::Result<T, UsageError>;

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(UsageError(message.into()))
}

/// What the broker takes from its surroundings. A test makes its own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KUBECONFIG`: paths, separated by colons.
    pub kubeconfig: Option<OsString>,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// Whether we run in a pod with a service account.
    pub in_pod: bool,
    /// The pod's namespace.
    pub pod_namespace: Option<String>,
    /// The host's name, as a pod's is the pod's.
    pub hostname: Option<String>,
    /// `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: Proxy,
    /// Whether standard error is a terminal.
    pub terminal: bool,
    /// Whether colours are unwelcome (`NO_COLOR`).
    pub no_color: bool,
}

impl Environment {
    /// The process's own.
    pub fn read() -> Self {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase()));
        Self {
            kubeconfig: env::var_os("KUBECONFIG").filter(|value| !value.is_empty()),
            home: env::home_dir(),
            in_pod: text("KUBERNETES_SERVICE_HOST").is_some(),
            pod_namespace: read_trimmed(POD_NAMESPACE),
            hostname: text("HOSTNAME").or_else(|| read_trimmed("/etc/hostname")),
            proxy: Proxy { url: either("HTTPS_PROXY"), except: either("NO_PROXY") },
            terminal: io::stderr().is_terminal(),
            no_color: text("NO_COLOR").is_some(),
        }
    }
}

fn read_trimmed(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

// The doc comments below are what `--help` prints.
/// Routes objects of Kubernetes-style APIs to the providers that accept them, and brings status and Secrets back.
#[derive(Debug, Parser)]
#[command(name = "resource-broker", version, about, args_conflicts_with_subcommands = true, max_term_width = 120)]
#[command(
    after_help = "Flags take one dash or two, and a value after = or a space. Lists are separated by commas, and a \
    list flag may be given more than once."
)]
struct Raw {
    #[command(subcommand)]
    command: Option<RawCommand>,
    #[command(flatten)]
    flags: RawFlags,
}

#[derive(Debug, Subcommand)]
enum RawCommand {
    /// Print or write the broker's CRDs
    Crds(CrdsArgs),
}

#[derive(Debug, Args)]
struct RawFlags {
    /// A kind to broker, as Kind.version.group; the core group is written core (ConfigMap.v1.core)
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "What is brokered")]
    watch_kind: Vec<String>,
    /// A kind that related resources may be of; replaces the default
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "What is brokered")]
    #[arg(default_value = "Secret.v1.core,ConfigMap.v1.core")]
    related_kind: Vec<String>,

    /// The kubeconfig for coordination and compute, where they have none of their own [default: KUBECONFIG, then
    /// ~/.kube/config, then the pod's service account]
    #[arg(long, value_name = "PATH", overrides_with = "kubeconfig", help_heading = "Clusters")]
    kubeconfig: Option<String>,
    /// The kubeconfig of the coordination cluster, which holds the broker's own objects [default: as --kubeconfig]
    #[arg(long, value_name = "[NAME=]PATH", overrides_with = "coordination_kubeconfig", help_heading = "Clusters")]
    coordination_kubeconfig: Option<String>,
    /// The kubeconfig of the compute cluster, where migration stages run [default: as --kubeconfig, else as coordination]
    #[arg(long, value_name = "[NAME=]PATH", overrides_with = "compute_kubeconfig", help_heading = "Clusters")]
    compute_kubeconfig: Option<String>,
    /// Consumer clusters: each context of PATH, called PATH+CONTEXT, or the current context of PATH, called NAME
    #[arg(long, value_name = "[NAME=]PATH,...", value_delimiter = ',', help_heading = "Clusters")]
    consumer_kubeconfig: Vec<String>,
    /// Directories of consumer clusters' kubeconfigs (kubeconfig.yaml, *.kubeconfig, *.kubeconfig.yaml, or .yml)
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', help_heading = "Clusters")]
    consumer_kubeconfig_dir: Vec<String>,
    /// Provider clusters, given like consumers
    #[arg(long, value_name = "[NAME=]PATH,...", value_delimiter = ',', help_heading = "Clusters")]
    provider_kubeconfig: Vec<String>,
    /// Directories of provider clusters' kubeconfigs
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', help_heading = "Clusters")]
    provider_kubeconfig_dir: Vec<String>,
    /// Where the broker keeps its own objects in the coordination cluster [default: the pod's namespace, else the
    /// context's, else default]
    #[arg(long, value_name = "NAMESPACE", overrides_with = "namespace", help_heading = "Clusters")]
    namespace: Option<String>,

    /// Write only while holding the Lease resource-broker, so that a second broker can stand by
    #[arg(long, help_heading = "Running", value_name = "BOOL", overrides_with = "leader_elect")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    leader_elect: String,
    /// Where /metrics is served, as HOST:PORT, or :PORT for every interface; 0 is off
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0",
        overrides_with = "metrics_bind_address",
        help_heading = "Running"
    )]
    metrics_bind_address: String,
    /// Serve metrics over HTTPS, with a certificate made at the start; callers are not asked who they are
    #[arg(long, help_heading = "Running", value_name = "BOOL", overrides_with = "metrics_secure")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    metrics_secure: String,
    /// Where /healthz and /readyz (also /readyz?verbose) are served, as HOST:PORT, or :PORT for every interface; 0 is off
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081",
        overrides_with = "health_probe_bind_address"
    )]
    #[arg(help_heading = "Running")]
    health_probe_bind_address: String,

    /// Log for developers: short lines, at debug level
    #[arg(long, help_heading = "Logs", value_name = "BOOL", overrides_with = "zap_devel")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    zap_devel: String,
    /// How much is logged: error, warn, info, debug, or a number from 1 (debug) up [default: info]
    #[arg(long, value_name = "LEVEL", overrides_with = "zap_log_level", help_heading = "Logs")]
    zap_log_level: Option<String>,
    /// The form of log lines: console or json [default: console on a terminal, else json]
    #[arg(long, value_name = "FORM", overrides_with = "zap_encoder", help_heading = "Logs")]
    zap_encoder: Option<String>,
}

/// Reads a command line (the program's name first) in its surroundings. Looks at the files named, too.
pub fn parse(line: impl IntoIterator<Item = OsString>, environment: &Environment) -> Result<Invocation> {
    let mut command = Raw::command();
    command.build();
    let line = line.into_iter().map(utf8).collect::<Result<Vec<String>>>()?;
    let matches = match command.try_get_matches_from_mut(normalise(&command, line)?) {
        Ok(matches) => matches,
        Err(error) => return explain(&error).map(Invocation::Print),
    };
    let raw = Raw::from_arg_matches(&matches).map_err(|error| UsageError(one_line(&error)))?;
    match raw.command {
        Some(RawCommand::Crds(args)) => Ok(Invocation::Crds(args)),
        None => Ok(Invocation::Run(Box::new(options(&raw.flags, environment)?))),
    }
}

fn utf8(argument: OsString) -> Result<String> {
    argument.into_string().map_err(|bad| UsageError(format!("{} is not UTF-8 text", bad.display())))
}

/// The Go way of writing flags in clap's: two dashes, and a value joined to its flag. What follows a subcommand is left
/// as it is.
fn normalise(command: &Command, line: Vec<String>) -> Result<Vec<String>> {
    let mut normal = Vec::with_capacity(line.len());
    let mut rest = line.into_iter();
    normal.extend(rest.next());
    while let Some(argument) = rest.next() {
        if command.find_subcommand(&argument).is_some() {
            normal.push(argument);
            break;
        }
        if !argument.starts_with('-') {
            return usage(format!(
                "unknown command {argument:?}: without a command the broker runs, and takes flags only"
            ));
        }
        let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).unwrap_or_default();
        if bare.len() < 2 || !bare.starts_with(|first: char| first.is_ascii_alphabetic()) {
            normal.push(argument);
            continue;
        }
        let name = bare.split('=').next().unwrap_or_default();
        let Some(known) = command.get_arguments().find(|arg| arg.get_long() == Some(name)) else {
            // clap complains about it, and looks no further.
            normal.push(format!("--{bare}"));
            break;
        };
        match (name == bare && takes_value(known)).then(|| rest.next()).flatten() {
            Some(value) => normal.push(format!("--{bare}={value}")),
            None => normal.push(format!("--{bare}")),
        }
    }
    normal.extend(rest);
    Ok(normal)
}

/// Whether a flag's value may stand in the next argument. A switch's may not, as in Go.
fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

/// clap's complaint in one line; or the text that was asked for.
fn explain(error: &clap::Error) -> Result<String> {
    use clap::error::{ContextKind, ContextValue};
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let bad = context(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(error.render().to_string()),
        ErrorKind::UnknownArgument if bad.starts_with('-') => {
            let mend = context(ContextKind::SuggestedArg)
                .map_or_else(|| "resource-broker --help lists all".to_owned(), |flag| format!("did you mean {flag}?"));
            usage(format!("unknown flag {bad}: {mend}"))
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals
            if context(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) =>
        {
            let flag =
                bad.split_whitespace().next().unwrap_or_default().split('=').next().unwrap_or_default().to_owned();
            usage(format!("{flag} needs a value: {flag}=VALUE"))
        }
        _ => usage(one_line(error)),
    }
}

/// clap's message without its label and the usage that follows it.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let message: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    message.join(" ").trim_start_matches("error: ").to_owned()
}

fn options(raw: &RawFlags, environment: &Environment) -> Result<Options> {
    // What is written wrongly is told before what is missing.
    let watch_kinds = kinds("--watch-kind", &raw.watch_kind)?;
    let related_kinds = kinds("--related-kind", &raw.related_kind)?;
    let leader_elect = switch("--leader-elect", &raw.leader_elect)?;
    let metrics_bind = bind("--metrics-bind-address", &raw.metrics_bind_address)?;
    let metrics_secure = switch("--metrics-secure", &raw.metrics_secure)?;
    let health_bind = bind("--health-probe-bind-address", &raw.health_probe_bind_address)?;
    let log = log(raw, environment)?;
    let given_namespace = raw.namespace.clone().map(namespace).transpose()?;
    let sources = sources(raw, environment)?;
    let mut reader = Reader::new(environment.proxy.clone());
    check_sources(&sources, &mut reader)?;
    if watch_kinds.is_empty() {
        return usage(
            "nothing to broker: name a kind with --watch-kind=Kind.version.group, as \
             --watch-kind=Certificate.v1alpha1.example.platform-mesh.io",
        );
    }
    let coordination = sources.iter().find(|source| source.role == Role::Coordination);
    let of_context = || coordination.and_then(|source| reader.namespace(&source.place));
    let namespace = given_namespace
        .or_else(|| environment.pod_namespace.clone())
        .or_else(of_context)
        .unwrap_or_else(|| "default".to_owned());
    Ok(Options {
        watch_kinds,
        related_kinds,
        proxy: environment.proxy.clone(),
        sources,
        namespace,
        leader_elect,
        identity: identity(environment),
        metrics_bind,
        metrics_secure,
        health_bind,
        log,
    })
}

fn kinds(flag: &str, given: &[String]) -> Result<Vec<GroupVersionKind>> {
    let mut seen = HashSet::new();
    let mut kinds = Vec::new();
    for text in given {
        let kind = kind(text).map_err(|what| UsageError(format!("{flag}={text}: {what}")))?;
        if !seen.insert(kind.clone()) {
            return usage(format!("{flag}={text}: given twice; leave one out"));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// Reads `Kind.version.group`.
fn kind(text: &str) -> std::result::Result<GroupVersionKind, String> {
    const FORM: &str = "write it Kind.version.group, as ConfigMap.v1.core";
    let mut parts = text.splitn(3, '.');
    let (Some(kind), Some(version), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("version or group is missing; {FORM}"));
    };
    if !kind.starts_with(|first: char| first.is_ascii_uppercase()) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(format!("{kind:?} is not a kind, which begins with a capital letter; {FORM}"));
    }
    if !is_version(version) {
        return Err(format!("{version:?} is not a version such as v1 or v1alpha1; {FORM}"));
    }
    if !is_dns_name(group) {
        return Err(format!("{group:?} is not an API group; {FORM}"));
    }
    let group = if group == "core" { "" } else { group };
    Ok(GroupVersionKind::gvk(group, version, kind))
}

/// `v1`, `v2beta3`, and whatever else may stand in a CRD: a DNS label that begins with a letter.
fn is_version(text: &str) -> bool {
    is_dns_label(text) && text.starts_with('v') && text[1..].starts_with(|c: char| c.is_ascii_digit())
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

fn is_dns_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

fn namespace(given: String) -> Result<String> {
    if is_dns_label(&given) {
        return Ok(given);
    }
    usage(format!("--namespace={given}: not a namespace's name, which has small letters, digits and dashes"))
}

/// The values that Go's flags take for a switch.
fn switch(flag: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => usage(format!("{flag}={text}: neither true nor false")),
    }
}

fn bind(flag: &str, text: &str) -> Result<Bind> {
    text.parse().map_err(|what| UsageError(format!("{flag}={text}: {what}")))
}

fn log(raw: &RawFlags, environment: &Environment) -> Result<LogOptions> {
    let devel = switch("--zap-devel", &raw.zap_devel)?;
    let level = match &raw.zap_log_level {
        Some(text) => text.parse().map_err(|what| UsageError(format!("--zap-log-level: {what}")))?,
        None if devel => Level::Debug,
        None => Level::Info,
    };
    let encoder = match &raw.zap_encoder {
        Some(text) => text.parse().map_err(|what| UsageError(format!("--zap-encoder: {what}")))?,
        None if devel || environment.terminal => Encoder::Console,
        None => Encoder::Json,
    };
    Ok(LogOptions { level, encoder, color: environment.terminal && !environment.no_color })
}

/// The host's name, and something that tells two runs on one host apart.
fn identity(environment: &Environment) -> String {
    let host = environment.hostname.as_deref().unwrap_or("resource-broker");
    format!("{host}_{:016x}", rand::random::<u64>())
}

fn sources(raw: &RawFlags, environment: &Environment) -> Result<Vec<Source>> {
    let default = raw.kubeconfig.as_deref();
    let coordination = match raw.coordination_kubeconfig.as_deref().or(default) {
        Some(given) => single("--coordination-kubeconfig", given, COORDINATION)?,
        None => inferred(environment)?,
    };
    let compute = match raw.compute_kubeconfig.as_deref().or(default) {
        Some(given) => single("--compute-kubeconfig", given, COMPUTE)?,
        None => renamed(&coordination, COMPUTE),
    };
    let mut sources =
        vec![Source { role: Role::Coordination, place: coordination }, Source { role: Role::Compute, place: compute }];
    for (role, files, directories) in [
        (Role::Consumer, &raw.consumer_kubeconfig, &raw.consumer_kubeconfig_dir),
        (Role::Provider, &raw.provider_kubeconfig, &raw.provider_kubeconfig_dir),
    ] {
        let given = many(role, files, directories)?;
        sources.extend(given.into_iter().map(|place| Source { role, place }));
    }
    Ok(sources)
}

/// `PATH` or `NAME=PATH` for a role with one cluster.
fn single(flag: &str, given: &str, default_name: &str) -> Result<Place> {
    let (name, path) = match given.split_once('=') {
        Some((name, path)) => (name, path),
        None => (default_name, given),
    };
    named(flag, given, name, path)
}

fn named(flag: &str, given: &str, name: &str, path: &str) -> Result<Place> {
    if name.is_empty() || path.is_empty() {
        return usage(format!("{flag}={given}: write it PATH or NAME=PATH"));
    }
    Ok(Place::Named { name: name.to_owned(), paths: vec![PathBuf::from(path)] })
}

fn renamed(place: &Place, to: &str) -> Place {
    let name = to.to_owned();
    match place {
        Place::Named { paths, .. } => Place::Named { name, paths: paths.clone() },
        _ => Place::Pod { name },
    }
}

/// Where a kubeconfig comes from when no flag says so.
fn inferred(environment: &Environment) -> Result<Place> {
    let name = COORDINATION.to_owned();
    if let Some(list) = &environment.kubeconfig {
        let paths: Vec<PathBuf> = env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
        return Ok(Place::Named { name, paths });
    }
    let own = environment.home.as_ref().map(|home| home.join(".kube/config")).filter(|path| path.is_file());
    match own {
        Some(path) => Ok(Place::Named { name, paths: vec![path] }),
        None if environment.in_pod => Ok(Place::Pod { name }),
        None => usage(
            "no kubeconfig for the coordination cluster: give one with --coordination-kubeconfig=PATH, --kubeconfig=PATH or \
             KUBECONFIG (there is no ~/.kube/config, and this is no pod)",
        ),
    }
}

fn many(role: Role, files: &[String], directories: &[String]) -> Result<Vec<Place>> {
    if files.iter().chain(directories).all(String::is_empty) {
        return usage(format!(
            "no {role} clusters: give kubeconfigs with --{role}-kubeconfig=[NAME=]PATH, or a directory of them (which may be \
             empty for now) with --{role}-kubeconfig-dir=DIR"
        ));
    }
    let flag = format!("--{role}-kubeconfig");
    let mut places = Vec::new();
    let mut names: Vec<(String, &String)> = Vec::new();
    for given in files.iter().filter(|given| !given.is_empty()) {
        let place = match given.split_once('=') {
            Some((name, path)) => named(&flag, given, name, path)?,
            None => Place::Contexts(given.clone()),
        };
        // A plain path's names all begin with it, so the path stands for them.
        let name = if let Place::Named { name, .. } = &place { name.clone() } else { given.clone() };
        if let Some((_, other)) = names.iter().find(|(taken, _)| *taken == name) {
            return usage(format!(
                "{flag}: {other} and {given} are both called {name}; give one another name, as NAME=PATH"
            ));
        }
        names.push((name, given));
        places.push(place);
    }
    let directories: Vec<&String> = directories.iter().filter(|given| !given.is_empty()).collect();
    for (at, given) in directories.iter().enumerate() {
        if directories[..at].contains(given) {
            return usage(format!("{flag}-dir={given}: given twice; leave one out"));
        }
        places.push(Place::Directory((*given).clone()));
    }
    Ok(places)
}

/// Files and directories that were given must be there, and the coordination cluster's must be of use. What is in the
/// others is looked at while the broker runs, so that one of them holds nothing up.
fn check_sources(sources: &[Source], reader: &mut Reader) -> Result<()> {
    for Source { role, place } in sources {
        match place {
            Place::Contexts(path) => check_file(*role, Path::new(path))?,
            Place::Named { paths, .. } if paths.len() == 1 => {
                paths.iter().try_for_each(|path| check_file(*role, path))?;
            }
            Place::Directory(path) if !Path::new(path).is_dir() => {
                let what = if Path::new(path).exists() { "not a directory" } else { "no such directory" };
                return usage(format!(
                    "--{role}-kubeconfig-dir={path}: {what}; make it (it may be empty), or give files with --{role}-kubeconfig"
                ));
            }
            // kubectl, too, overlooks files of a list that are not there.
            Place::Directory(_) | Place::Named { .. } | Place::Pod { .. } => {}
        }
    }
    let coordination: Vec<Source> = sources.iter().filter(|s| s.role == Role::Coordination).cloned().collect();
    match reader.read(&coordination).problems.first() {
        Some(problem) => usage(problem.to_string()),
        None => Ok(()),
    }
}

fn check_file(role: Role, path: &Path) -> Result<()> {
    let shown = path.display();
    let open = || {
        let is_directory = fs::metadata(path)?.is_dir();
        if is_directory { Err(io::ErrorKind::IsADirectory.into()) } else { fs::File::open(path) }
    };
    let Err(error) = open() else { return Ok(()) };
    let mend = match (error.kind(), role) {
        (io::ErrorKind::IsADirectory, Role::Consumer | Role::Provider) => {
            format!("it is a directory; give it with --{role}-kubeconfig-dir")
        }
        (io::ErrorKind::NotFound, _) => "no such file; check the path".to_owned(),
        _ => format!("{error}; it must be a file that can be read"),
    };
    usage(format!("{role} kubeconfig {shown}: {mend}"))
}

#[cfg(test)]
mod tests;
