//! The command line and the environment: their only reader. Everything else gets [`Options`].
//!
//! Flags are those of the Go broker, written the Go way: one dash or two, `-flag=value` or `-flag value`, a switch as
//! `-flag` or `-flag=false`. They are brought into clap's form first. Whatever is wrong is one line that says what, and how
//! to mend it.

mod flags;
mod go;
mod kinds;
mod sources;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches};
use kube::core::GroupVersionKind;
use resource_broker_api::names::{ClusterName, Gvk, Role};

use self::{
    flags::{Raw, RawCommand, RawFlags},
    go::{explain, normalise, one_line},
    kinds::kinds,
    sources::{access, check_sources, sources},
};
use crate::{
    bind::Bind,
    cluster::ClusterArgs,
    crds::CrdsArgs,
    kubeconfig::{Access, Place, Proxy, Reader, Source},
    migrate::MigrateArgs,
    planner::{model::snapshot::Limits, placement::core_kinds},
    plugin::PluginArgs,
    quantity,
    telemetry::{Encoder, Level, LogOptions},
    values,
};

/// Where a pod finds its namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What the process was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Run the broker.
    Run(Box<Options>),
    /// Print or write the CRDs.
    Crds(CrdsArgs),
    /// Help the author of a plugin.
    Plugin(Box<PluginArgs>),
    /// Show migrations or give one an order, in the coordination cluster that is reached so.
    Migrate(Box<MigrateArgs>, Access),
    /// Show clusters or decide about one, in the coordination cluster that is reached so.
    Cluster(Box<ClusterArgs>, Access),
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
    /// Where migrations' stages run.
    pub compute: Compute,
    /// What holds for moves.
    pub limits: Limits,
    /// For how long Migrations that are over stay.
    pub migration_history: Duration,
    /// How much memory the objects of one kind in one cluster may take, in bytes.
    pub most_of_a_kind: usize,
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

/// Where migrations' stages run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compute {
    /// The cluster.
    pub cluster: ClusterName,
    /// The namespace there.
    pub namespace: String,
}

/// Something on the command line that cannot be followed, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Less would be of no use to anybody.
const LEAST_OF_A_KIND: usize = 16 << 20;

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
        Some(RawCommand::Plugin(args)) => Ok(Invocation::Plugin(args)),
        Some(RawCommand::Migrate(args)) => {
            let place = args.place();
            let access = access(place.kubeconfig.as_deref(), place.context.as_deref(), environment)?;
            Ok(Invocation::Migrate(args, access))
        }
        Some(RawCommand::Cluster(args)) => {
            args.check().map_err(UsageError)?;
            let place = args.place();
            let access = access(place.kubeconfig.as_deref(), place.context.as_deref(), environment)?;
            Ok(Invocation::Cluster(args, access))
        }
        None => Ok(Invocation::Run(Box::new(options(&raw.flags, environment)?))),
    }
}

fn utf8(argument: OsString) -> Result<String> {
    argument.into_string().map_err(|bad| UsageError(format!("{} is not UTF-8 text", bad.display())))
}

fn options(raw: &RawFlags, environment: &Environment) -> Result<Options> {
    // What is written wrongly is told before what is missing.
    let watch_kinds = kinds("--watch-kind", &raw.watch_kind)?;
    refuse(&watch_kinds)?;
    let related_kinds = kinds("--related-kind", &raw.related_kind)?;
    let leader_elect = switch("--leader-elect", &raw.leader_elect)?;
    let metrics_bind = bind("--metrics-bind-address", &raw.metrics_bind_address)?;
    let metrics_secure = switch("--metrics-secure", &raw.metrics_secure)?;
    let health_bind = bind("--health-probe-bind-address", &raw.health_probe_bind_address)?;
    let limits = Limits {
        settle: duration("--settle", &raw.settle)?,
        moves_per_provider: count("--max-moves-per-provider", &raw.max_moves_per_provider)?,
    };
    let migration_history = duration("--migration-history", &raw.migration_history)?;
    let most_of_a_kind = size("--max-memory-per-kind", &raw.max_memory_per_kind)?;
    let log = log(raw, environment)?;
    let given_namespace = raw.namespace.as_deref().map(|given| namespace("--namespace", given)).transpose()?;
    let compute_namespace =
        raw.compute_namespace.as_deref().map(|given| namespace("--compute-namespace", given)).transpose()?;
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
    let compute = compute(&sources, &mut reader, compute_namespace, environment)?;
    Ok(Options {
        watch_kinds,
        related_kinds,
        proxy: environment.proxy.clone(),
        sources,
        namespace,
        compute,
        limits,
        migration_history,
        most_of_a_kind,
        leader_elect,
        identity: identity(environment),
        metrics_bind,
        metrics_secure,
        health_bind,
        log,
    })
}

/// Kinds that no provider could have copies of.
fn refuse(watch_kinds: &[GroupVersionKind]) -> Result<()> {
    for kind in watch_kinds {
        let gvk = Gvk::new(&kind.group, &kind.version, &kind.kind);
        if let Some(why) = core_kinds::refused(&gvk) {
            return usage(format!("--watch-kind={gvk}: it cannot be brokered, since {why}"));
        }
    }
    Ok(())
}

fn namespace(flag: &str, given: &str) -> Result<String> {
    if values::is_dns_label(given) {
        return Ok(given.to_owned());
    }
    usage(format!("{flag}={given}: not a namespace's name, which has small letters, digits and dashes"))
}

/// Where migrations' stages run. A pod's own service account stands for the pod's own namespace.
fn compute(
    sources: &[Source],
    reader: &mut Reader,
    given: Option<String>,
    environment: &Environment,
) -> Result<Compute> {
    let place = sources.iter().find(|source| source.role == Role::Compute).map(|source| &source.place);
    let Some(place @ (Place::Named { name, .. } | Place::Pod { name })) = place else {
        return usage("no compute cluster: give its kubeconfig with --compute-kubeconfig=PATH");
    };
    let of_place = || match place {
        Place::Pod { .. } => environment.pod_namespace.clone(),
        _ => reader.namespace(place),
    };
    let namespace = given.or_else(of_place).unwrap_or_else(|| "default".to_owned());
    Ok(Compute { cluster: ClusterName::new(Role::Compute, name), namespace })
}

/// A number of things of which there is at least one.
fn count(flag: &str, text: &str) -> Result<usize> {
    match text.parse() {
        Ok(0) => usage(format!("{flag}={text}: at least 1, or nothing could ever move")),
        Ok(count) => Ok(count),
        Err(_) => usage(format!("{flag}={text}: not a whole number, as 10")),
    }
}

/// Reads the duration of a flag.
fn duration(flag: &str, text: &str) -> Result<Duration> {
    values::duration(text).map_err(|what| UsageError(format!("{flag}={text}: {what}")))
}

fn size(flag: &str, text: &str) -> Result<usize> {
    match quantity::bytes(text) {
        Some(size) if size >= LEAST_OF_A_KIND => Ok(size),
        Some(_) => usage(format!("{flag}={text}: at least {} MiB", LEAST_OF_A_KIND >> 20)),
        None => usage(format!("{flag}={text}: not a size, as 512Mi")),
    }
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

#[cfg(test)]
mod tests;
