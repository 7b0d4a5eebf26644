//! The flags as clap sees them: names, defaults, and what `--help` says. Values are still text here.

use clap::{Args, Parser, Subcommand};

use crate::{cluster::ClusterArgs, crds::CrdsArgs, migrate::MigrateArgs, plugin::PluginArgs};

// The doc comments below are what `--help` prints.
/// Routes objects of Kubernetes-style APIs to the providers that accept them, and brings status and Secrets back.
#[derive(Debug, Parser)]
#[command(name = "resource-broker", version, args_conflicts_with_subcommands = true, max_term_width = 120)]
#[command(
    after_help = "Flags take one dash or two, and a value after = or a space. Lists are separated by commas, and a \
    list flag may be given more than once."
)]
pub(super) struct Raw {
    #[command(subcommand)]
    pub(super) command: Option<RawCommand>,
    #[command(flatten)]
    pub(super) flags: RawFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawCommand {
    /// Print or write the broker's CRDs
    Crds(CrdsArgs),
    /// Write, build, test and load plugins
    Plugin(Box<PluginArgs>),
    /// Show migrations; approve a stage of one, try it again, or call it off
    Migrate(Box<MigrateArgs>),
    /// Show the clusters that the broker knows; accept one that took another's place, rename one, or let go of one
    Cluster(Box<ClusterArgs>),
}

#[derive(Debug, Args)]
pub(super) struct RawFlags {
    /// A kind to broker, as Kind.version.group; the core group is written core (ConfigMap.v1.core)
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "What is brokered")]
    pub(super) watch_kind: Vec<String>,
    /// A kind that related resources may be of; replaces the default
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "What is brokered")]
    #[arg(default_value = "Secret.v1.core,ConfigMap.v1.core")]
    pub(super) related_kind: Vec<String>,

    /// The kubeconfig for coordination and compute, where they have none of their own [default: KUBECONFIG, then
    /// ~/.kube/config, then the pod's service account]
    #[arg(long, value_name = "PATH", overrides_with = "kubeconfig", help_heading = "Clusters")]
    pub(super) kubeconfig: Option<String>,
    /// The kubeconfig of the coordination cluster, which holds the broker's own objects [default: as --kubeconfig]
    #[arg(long, value_name = "[NAME=]PATH", overrides_with = "coordination_kubeconfig", help_heading = "Clusters")]
    pub(super) coordination_kubeconfig: Option<String>,
    /// The kubeconfig of the compute cluster, where migration stages run [default: as --kubeconfig, else as coordination]
    #[arg(long, value_name = "[NAME=]PATH", overrides_with = "compute_kubeconfig", help_heading = "Clusters")]
    pub(super) compute_kubeconfig: Option<String>,
    /// Consumer clusters: each context of PATH, called PATH+CONTEXT, or the current context of PATH, called NAME
    #[arg(long, value_name = "[NAME=]PATH,...", value_delimiter = ',', help_heading = "Clusters")]
    pub(super) consumer_kubeconfig: Vec<String>,
    /// Directories of consumer clusters' kubeconfigs (kubeconfig.yaml, *.kubeconfig, *.kubeconfig.yaml, or .yml)
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', help_heading = "Clusters")]
    pub(super) consumer_kubeconfig_dir: Vec<String>,
    /// Provider clusters, given like consumers
    #[arg(long, value_name = "[NAME=]PATH,...", value_delimiter = ',', help_heading = "Clusters")]
    pub(super) provider_kubeconfig: Vec<String>,
    /// Directories of provider clusters' kubeconfigs
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', help_heading = "Clusters")]
    pub(super) provider_kubeconfig_dir: Vec<String>,
    /// Where the broker keeps its own objects in the coordination cluster [default: the pod's namespace, else the
    /// context's, else default]
    #[arg(long, value_name = "NAMESPACE", overrides_with = "namespace", help_heading = "Clusters")]
    pub(super) namespace: Option<String>,

    /// Write only while holding the Lease resource-broker, so that a second broker can stand by
    #[arg(long, help_heading = "Running", value_name = "BOOL", overrides_with = "leader_elect")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub(super) leader_elect: String,
    /// How long a provider must refuse an object that has not changed before it moves to another one, or accept it again
    /// before the move is abandoned, as 10s or 1m30s
    #[arg(long, value_name = "DURATION", default_value = "10s", overrides_with = "settle", help_heading = "Moves")]
    pub(super) settle: String,
    /// How many objects may move at once from or to one provider
    #[arg(long, value_name = "COUNT", default_value = "10", overrides_with = "max_moves_per_provider")]
    #[arg(help_heading = "Moves")]
    pub(super) max_moves_per_provider: String,
    /// For how long Migrations that are over stay, as 24h
    #[arg(long, value_name = "DURATION", default_value = "24h", overrides_with = "migration_history")]
    #[arg(help_heading = "Moves")]
    pub(super) migration_history: String,
    /// The namespace of the compute cluster where migration stages run [default: the context's, else default]
    #[arg(long, value_name = "NAMESPACE", overrides_with = "compute_namespace", help_heading = "Moves")]
    pub(super) compute_namespace: Option<String>,

    /// How much memory the objects of one kind in one cluster may take, as 512Mi: where there are more, the kind is not read
    /// there, and the others are
    #[arg(long, value_name = "SIZE", default_value = "512Mi", overrides_with = "max_memory_per_kind")]
    #[arg(help_heading = "Running")]
    pub(super) max_memory_per_kind: String,
    /// Where /metrics is served, as HOST:PORT, or :PORT for every interface; 0 is off
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0",
        overrides_with = "metrics_bind_address",
        help_heading = "Running"
    )]
    pub(super) metrics_bind_address: String,
    /// Serve metrics over HTTPS, with a certificate made at the start; callers are not asked who they are
    #[arg(long, help_heading = "Running", value_name = "BOOL", overrides_with = "metrics_secure")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub(super) metrics_secure: String,
    /// Where /healthz and /readyz (also /readyz?verbose) are served, as HOST:PORT, or :PORT for every interface; 0 is off
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081",
        overrides_with = "health_probe_bind_address"
    )]
    #[arg(help_heading = "Running")]
    pub(super) health_probe_bind_address: String,

    /// Log for developers: short lines, at debug level
    #[arg(long, help_heading = "Logs", value_name = "BOOL", overrides_with = "zap_devel")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub(super) zap_devel: String,
    /// How much is logged: error, warn, info, debug, or a number from 1 (debug) up [default: info]
    #[arg(long, value_name = "LEVEL", overrides_with = "zap_log_level", help_heading = "Logs")]
    pub(super) zap_log_level: Option<String>,
    /// The form of log lines: console or json [default: console on a terminal, else json]
    #[arg(long, value_name = "FORM", overrides_with = "zap_encoder", help_heading = "Logs")]
    pub(super) zap_encoder: Option<String>,
}
