//! Who plays: the control planes with their CRDs, an issuer and a keeper of databases in each provider, a runner of Jobs in
//! compute, and the broker between them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use futures::future::try_join_all;
use resource_broker_harness::{Broker, BrokerBuilder, Cluster, Guard, Planes, Process};
use serde_json::{Value, json};

use crate::database::Server;
use crate::database::engine::{self, Engine};
use crate::stage::Stage;

/// The kinds of the story, as the broker is told them.
const WATCHED: [&str; 2] =
    ["Certificate.v1alpha1.identity.generic.platform-mesh.io", "SQL.v1alpha1.databases.generic.platform-mesh.io"];

/// Where the broker keeps its records.
pub const BROKER_NAMESPACE: &str = "resource-broker";

/// Where the broker deploys what moves data: the namespace of the compute cluster's kubeconfig, which names none.
pub const COMPUTE_NAMESPACE: &str = "default";

/// A provider and what makes its certificates and databases.
pub struct Provider {
    /// Its cluster.
    pub cluster: Arc<Cluster>,
    /// What its offer asks of `spec.fqdn`.
    pub suffix: &'static str,
    /// What its offer asks of a database's `spec.version`.
    pub version: &'static str,
    /// Where its databases are.
    pub databases: Server,
    authority: PathBuf,
    _operators: [Process; 2],
}

impl Provider {
    /// The certificate of its authority, PEM.
    pub fn authority(&self) -> Result<String> {
        std::fs::read_to_string(&self.authority).with_context(|| format!("cannot read {}", self.authority.display()))
    }
}

/// Everything that runs while the story is told.
pub struct Scene {
    // In the order in which they end.
    broker: Broker,
    /// Takes what ends in `internal.corp`.
    pub nestor: Provider,
    /// Takes what ends in `corp.com`.
    pub theseus: Provider,
    /// Where people ask for certificates.
    pub homer: Arc<Cluster>,
    /// Where the broker keeps its records.
    pub coordination: Arc<Cluster>,
    /// Where the broker has data moved.
    pub compute: Arc<Cluster>,
    _runner: Process,
    planes: Planes,
}

impl Scene {
    /// Starts everything in `folder`, which must not hold another scene.
    pub async fn set(stage: &Stage, folder: &Path) -> Result<Self> {
        let planes = Planes::start(Guard::in_folder(folder)?).await?;
        stage.say("Starting five API servers on one etcd: coordination, compute, a consumer and two providers …");
        let names = ["coordination", "compute", "homer", "nestor", "theseus"];
        let (clusters, servers) = tokio::try_join!(planes.try_clusters(names), servers(stage, planes.guard()))?;
        let [coordination, compute, homer, nestor, theseus] = clusters;
        write_kubeconfig(&kubeconfig(folder), &[&homer, &nestor, &theseus, &coordination, &compute])?;

        stage.say("Installing CRDs …");
        install_crds(&coordination, &homer, &[&nestor, &theseus]).await?;
        let nestor = provider(&planes, nestor, servers.0, "internal.corp", "15")?;
        let theseus = provider(&planes, theseus, servers.1, "corp.com", "16")?;

        stage.say(
            "Starting operators for certificates and databases in each provider, a runner of Jobs, and the broker …",
        );
        let runner = runner(&planes, &compute)?;
        let broker = Broker::builder(&planes, "broker")
            .coordination(&coordination.kubeconfig())
            .compute(&compute.kubeconfig())
            .consumer("homer", &homer.kubeconfig())
            .provider("nestor", &nestor.cluster.kubeconfig())
            .provider("theseus", &theseus.cluster.kubeconfig())
            .namespace(BROKER_NAMESPACE);
        let broker = WATCHED.into_iter().fold(broker, BrokerBuilder::watch_kind).start().await?;
        Ok(Self { broker, nestor, theseus, homer, coordination, compute, _runner: runner, planes })
    }

    /// Lets everything live on after this program.
    pub fn leave_running(&self) -> Result<()> {
        self.planes.guard().release()
    }

    /// What the broker says about itself.
    pub async fn readiness(&self) -> Result<String> {
        self.broker.readyz_verbose().await
    }
}

/// The kubeconfig that has all clusters of the scene in `folder` as contexts.
pub fn kubeconfig(folder: &Path) -> PathBuf {
    folder.join("kubeconfig")
}

async fn install_crds(coordination: &Cluster, consumer: &Cluster, providers: &[&Cluster]) -> Result<()> {
    let crds = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds"));
    let broker = crds.join("broker.platform-mesh.io");
    let generic = ["identity", "databases"].map(|domain| crds.join(format!("{domain}.generic.platform-mesh.io")));
    coordination.create_namespace(BROKER_NAMESPACE).await?;
    let brokers = providers.iter().chain([&coordination]).map(|cluster| (*cluster, &broker));
    let orders =
        providers.iter().chain([&consumer]).flat_map(|cluster| generic.iter().map(|folder| (*cluster, folder)));
    try_join_all(brokers.chain(orders).map(|(cluster, folder)| cluster.apply_folder(folder))).await?;
    Ok(())
}

/// A place for databases for nestor and one for theseus, of the best sort that works here.
async fn servers(stage: &Stage, guard: &Arc<Guard>) -> Result<(Server, Server)> {
    let mut failure = anyhow!("nothing to keep databases in");
    for engine in Engine::available() {
        let started = tokio::try_join!(
            Server::start(guard, "nestor-database", engine),
            Server::start(guard, "theseus-database", engine),
        );
        match started {
            Ok(servers) => return Ok(servers),
            Err(error) => {
                stage.say(&format!("{} cannot be used here: {error:#}", engine.title()));
                failure = error;
            }
        }
    }
    Err(failure)
}

fn provider(
    planes: &Planes,
    cluster: Arc<Cluster>,
    databases: Server,
    suffix: &'static str,
    version: &'static str,
) -> Result<Provider> {
    let name = cluster.name();
    let folder = planes.guard().folder().join(format!("{name}-ca"));
    let mut issuer = operator("demo-issuer", &cluster)?;
    issuer.arg("--ca-dir").arg(&folder).args(["--ca-name", &format!("{name} CA")]);
    let issuer = Process::spawn(planes.guard(), &format!("{name}-issuer"), issuer)?;
    let mut keeper = operator("demo-database", &cluster)?;
    keeper.arg("--server").arg(databases.access_file());
    let keeper = Process::spawn(planes.guard(), &format!("{name}-keeper"), keeper)?;
    let authority = folder.join("ca.crt");
    Ok(Provider { cluster, suffix, version, databases, authority, _operators: [issuer, keeper] })
}

fn runner(planes: &Planes, compute: &Cluster) -> Result<Process> {
    let mut command = operator("demo-job-runner", compute)?;
    // The Jobs use the programs of databases.
    command.args(["--namespace", COMPUTE_NAMESPACE]).env("PATH", engine::path());
    Process::spawn(planes.guard(), "job-runner", command)
}

/// A program of this package, for one cluster.
fn operator(name: &str, cluster: &Cluster) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    command.arg("--kubeconfig").arg(cluster.kubeconfig());
    Ok(command)
}

/// Cargo puts programs into one folder, and tests below it.
fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    places
        .find(|program| program.is_file())
        .with_context(|| format!("no {name} beside {}: build it (make build)", own.display()))
}

/// One file for all clusters, so that a person changes between them with `--context`.
fn write_kubeconfig(path: &Path, clusters: &[&Cluster]) -> Result<()> {
    let mut all = json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []});
    for cluster in clusters {
        let file = cluster.kubeconfig();
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let one: Value = serde_yaml::from_str(&text).with_context(|| format!("{} is not YAML", file.display()))?;
        for list in ["clusters", "users", "contexts"] {
            let (Value::Array(all), Value::Array(one)) = (&mut all[list], &one[list]) else {
                bail!("{} has no {list}", file.display());
            };
            all.extend(one.iter().cloned());
        }
    }
    all["current-context"] = json!(clusters.first().map(|cluster| cluster.name()));
    let text = serde_yaml::to_string(&all).context("cannot write a kubeconfig")?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
