//! `resource-broker cluster`: what a person looks at and decides about the clusters that the broker knows.
//!
//! A decision is one write to a `BrokerCluster`; the broker carries out what follows from it. What is written, and whether the
//! decision makes sense, is decided in [`order`]; [`list`] shows what there is.

mod list;
mod order;

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use resource_broker_api::{
    broker::{Assignment, BrokerCluster},
    names::{ClusterName, Role, broker_cluster_name},
};
use serde::Serialize;
use serde_json::json;

use self::order::{Known, Order, Step};
use crate::{
    coordination::{Server, Where},
    kubeconfig::Access,
    output::{Format, print},
    resource::{Patch, Resource},
    transport::RequestError,
};

/// How often a decision is written anew where the `BrokerCluster` changes at the same time.
const TRIES: usize = 5;

/// Everything below `resource-broker cluster`.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

// The doc comments below are what `--help` prints.
#[derive(Clone, Debug, Subcommand)]
enum ClusterCommand {
    /// Show the clusters that the broker knows, and how it is with each
    List(ListArgs),
    /// Say that the cluster which stands under a name now takes the place of the recorded one
    Accept {
        #[command(flatten)]
        common: Common,
        /// Say instead that the cluster is one of its own, known by this text: for clusters that were made from one copy
        #[arg(long, value_name = "TEXT")]
        fingerprint: Option<String>,
    },
    /// Say that kubeconfigs call a known cluster something else from now on
    Rename {
        #[command(flatten)]
        place: Where,
        /// Print what was done for scripts
        #[arg(long, short, value_enum, value_name = "FORM")]
        output: Option<Format>,
        /// The cluster, as ROLE#NAME or ROLE NAME, and then what kubeconfigs call it
        #[arg(value_name = "CLUSTER NEW", num_args = 2..=3, required = true)]
        words: Vec<String>,
    },
    /// Let go of a cluster: the broker takes its marks and finalizers off what is there, and forgets it; copies stay
    Remove {
        #[command(flatten)]
        common: Common,
        /// Do it; without this, only what would follow is said
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    #[command(flatten)]
    place: Where,
    /// More columns, or the same for scripts
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<list::Form>,
}

#[derive(Args, Clone, Debug)]
struct Common {
    #[command(flatten)]
    place: Where,
    /// Print what was done for scripts
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<Format>,
    /// The cluster, as ROLE#NAME or ROLE NAME
    #[arg(value_name = "CLUSTER", num_args = 1..=2, required = true)]
    cluster: Vec<String>,
}

/// A cluster that is given as `ROLE#NAME` or as `ROLE NAME`.
fn cluster(words: &[String]) -> Result<ClusterName, String> {
    let given = words.join("#");
    let name = ClusterName::parse(&given).filter(|name| name.role != Role::Coordination);
    name.ok_or_else(|| {
        format!(
            "{} is no cluster: write it ROLE#NAME, as provider#nestor, where ROLE is consumer, provider or compute; \
             resource-broker cluster list shows them",
            words.join(" ")
        )
    })
}

impl ClusterArgs {
    /// Where the coordination cluster is.
    pub fn place(&self) -> &Where {
        match &self.command {
            ClusterCommand::List(args) => &args.place,
            ClusterCommand::Accept { common, .. } | ClusterCommand::Remove { common, .. } => &common.place,
            ClusterCommand::Rename { place, .. } => place,
        }
    }

    /// What is wrong with what was given, if something is.
    ///
    /// # Errors
    /// In one line, with the way out.
    pub fn check(&self) -> Result<(), String> {
        self.order().map(|_| ())
    }

    /// What is ordered of which cluster; `None` where clusters are only shown.
    fn order(&self) -> Result<Option<(ClusterName, Order)>, String> {
        Ok(match &self.command {
            ClusterCommand::List(_) => None,
            ClusterCommand::Accept { common, fingerprint } => {
                Some((cluster(&common.cluster)?, Order::Accept(fingerprint.clone())))
            }
            ClusterCommand::Remove { common, yes } => Some((cluster(&common.cluster)?, Order::Remove { yes: *yes })),
            ClusterCommand::Rename { words, .. } => {
                let (new, name) = words.split_last().ok_or("a new name is missing")?;
                let name = cluster(name)?;
                // It may be written with its role, as messages have it.
                let role = format!("{}#", name.role);
                let new = new.strip_prefix(&role).unwrap_or(new);
                if new.is_empty() {
                    return Err("the new name is empty".into());
                }
                Some((name, Order::Rename(new.to_owned())))
            }
        })
    }

    fn output(&self) -> Option<Format> {
        match &self.command {
            ClusterCommand::List(_) => None,
            ClusterCommand::Accept { common, .. } | ClusterCommand::Remove { common, .. } => common.output,
            ClusterCommand::Rename { output, .. } => *output,
        }
    }

    fn name(&self) -> &'static str {
        match &self.command {
            ClusterCommand::List(_) => "list",
            ClusterCommand::Accept { .. } => "accept",
            ClusterCommand::Rename { .. } => "rename",
            ClusterCommand::Remove { .. } => "remove",
        }
    }
}

/// Does what `args` say in the coordination cluster that is reached by `access`. The exit code is 1 for what that cluster
/// refuses or does not answer, and for a decision that makes no sense now.
pub fn run(args: &ClusterArgs, access: &Access) -> ExitCode {
    let work = async {
        let server = Server::connect(access, args.place().namespace.as_deref()).await?;
        match args.order().map_err(|what| anyhow!(what))? {
            None => match &args.command {
                ClusterCommand::List(list) => list::run(&clusters(&server).await?, list),
                _ => Ok(()),
            },
            Some((name, order)) => give(&server, &name, &order, args.output()).await,
        }
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be made")
        .and_then(|runtime| runtime.block_on(work));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "resource-broker cluster {}: {error:#}", args.name());
            ExitCode::FAILURE
        }
    }
}

/// All `BrokerCluster`s of the namespace.
async fn clusters(server: &Server) -> Result<Vec<BrokerCluster>> {
    server.list(&Resource::of::<BrokerCluster>(), false).await.map_err(|error| match error.downcast_ref::<RequestError>() {
        Some(error) if error.is_not_found() => anyhow!(
            "{} has no BrokerClusters: is it the coordination cluster, with the CRDs of this version (resource-broker crds)? \
             --kubeconfig and --context name another",
            server.at()
        ),
        Some(error) => server.explain(error),
        None => error,
    })
}

/// Decides `order` about the cluster `name`.
async fn give(server: &Server, name: &ClusterName, order: &Order, output: Option<Format>) -> Result<()> {
    let resource = Resource::of::<BrokerCluster>();
    let namespace = Some(server.namespace());
    for _ in 0..TRIES {
        let all = clusters(server).await?;
        // They cannot be left out: what they say of a cluster follows the decision.
        let records: Vec<Assignment> = match server.list(&Resource::of::<Assignment>(), false).await {
            Ok(records) => records,
            Err(error) => match error.downcast_ref::<RequestError>() {
                Some(error) => return Err(server.explain(error).context("Assignments cannot be read")),
                None => return Err(error),
            },
        };
        let known = Known { all: &all, records: &records, namespace: server.namespace() };
        let (step, done) = order.step(name, &known).map_err(|why| anyhow!(why))?;
        let request = match &step {
            Step::Nothing => {
                let report = Report { cluster: name.to_string(), order: order.verb(), done };
                return print(&report, output);
            }
            Step::Create(spec) => {
                let body = json!({
                    "apiVersion": resource.gvk.api_version(), "kind": resource.gvk.kind,
                    "metadata": {"name": broker_cluster_name(name), "namespace": server.namespace()}, "spec": spec,
                });
                resource.create(namespace, &body)?
            }
            Step::Change { known, spec } => {
                let metadata = &known.metadata;
                let change = json!({
                    "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version}, "spec": spec,
                });
                let object = metadata.name.as_deref().unwrap_or_default();
                resource.patch(namespace, object, "", Patch::Merge, &change)?
            }
        };
        match server.send(request).await {
            Ok(_) => {
                let report = Report { cluster: name.to_string(), order: order.verb(), done };
                return print(&report, output);
            }
            // It has changed since: what makes sense is decided anew.
            Err(error) if error.is_conflict() || error.is_not_found() => {}
            Err(error) => return Err(server.explain(&error)),
        }
    }
    bail!("the BrokerCluster of {name} changes all the time; try again")
}

/// What became of a decision.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    cluster: String,
    order: &'static str,
    #[serde(rename = "message")]
    done: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.cluster, self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_may_be_written_in_one_word_or_two() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for given in [&["provider#a b"][..], &["provider", "a b"]] {
            assert_eq!(cluster(&words(given)), Ok(ClusterName::new(Role::Provider, "a b")), "{given:?}");
        }
        for given in [&["a"][..], &["coordination#c"], &["provider#"], &["nobody", "a"]] {
            let error = cluster(&words(given)).unwrap_err();
            assert!(error.contains("ROLE#NAME") && error.contains("cluster list"), "{error}");
        }
    }
}
