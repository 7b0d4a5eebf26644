//! Who plays: the control planes with their CRDs, an issuer in each provider, and the broker between them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use resource_broker_harness::{Broker, Cluster, Guard, Planes, Process};
use serde_json::{Value, json};

use crate::stage::Stage;

/// The kind of the story, as the broker is told it.
const WATCHED: &str = "Certificate.v1alpha1.identity.generic.platform-mesh.io";

/// Where the broker keeps its records.
pub const BROKER_NAMESPACE: &str = "resource-broker";

/// A provider and what makes its certificates.
pub struct Provider {
    /// Its cluster.
    pub cluster: Arc<Cluster>,
    /// What its offer asks of `spec.fqdn`.
    pub suffix: &'static str,
    authority: PathBuf,
    _issuer: Process,
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
    planes: Planes,
}

impl Scene {
    /// Starts everything in `folder`, which must not hold another scene.
    pub async fn set(stage: &Stage, folder: &Path) -> Result<Self> {
        let planes = Planes::start(Guard::in_folder(folder)?).await?;
        stage.say("Starting five API servers on one etcd: coordination, compute, a consumer and two providers …");
        let [coordination, compute, homer, nestor, theseus] =
            planes.try_clusters(["coordination", "compute", "homer", "nestor", "theseus"]).await?;
        write_kubeconfig(&kubeconfig(folder), &[&homer, &nestor, &theseus, &coordination, &compute])?;

        stage.say("Installing CRDs …");
        install_crds(&coordination, &homer, &[&nestor, &theseus]).await?;
        let nestor = provider(&planes, nestor, "internal.corp")?;
        let theseus = provider(&planes, theseus, "corp.com")?;

        stage.say("Starting an issuer of certificates in each provider, and the broker …");
        let broker = Broker::builder(&planes, "broker")
            .coordination(&coordination.kubeconfig())
            .compute(&compute.kubeconfig())
            .consumer("homer", &homer.kubeconfig())
            .provider("nestor", &nestor.cluster.kubeconfig())
            .provider("theseus", &theseus.cluster.kubeconfig())
            .namespace(BROKER_NAMESPACE)
            .watch_kind(WATCHED)
            .start()
            .await?;
        Ok(Self { broker, nestor, theseus, homer, coordination, planes })
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
    let certificates = crds.join("identity.generic.platform-mesh.io");
    coordination.create_namespace(BROKER_NAMESPACE).await?;
    let pairs = [(coordination, &broker), (consumer, &certificates)];
    let offers = providers.iter().flat_map(|provider| [(*provider, &broker), (*provider, &certificates)]);
    try_join_all(pairs.into_iter().chain(offers).map(|(cluster, folder)| cluster.apply_folder(folder))).await?;
    Ok(())
}

fn provider(planes: &Planes, cluster: Arc<Cluster>, suffix: &'static str) -> Result<Provider> {
    let name = cluster.name();
    let folder = planes.guard().folder().join(format!("{name}-ca"));
    let mut command = Command::new(issuer_program()?);
    command.arg("--kubeconfig").arg(cluster.kubeconfig()).arg("--ca-dir").arg(&folder);
    command.args(["--ca-name", &format!("{name} CA")]);
    let issuer = Process::spawn(planes.guard(), &format!("{name}-issuer"), command)?;
    Ok(Provider { cluster, suffix, authority: folder.join("ca.crt"), _issuer: issuer })
}

/// Cargo puts programs into one folder, and tests below it.
fn issuer_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join("demo-issuer"));
    places
        .find(|program| program.is_file())
        .with_context(|| format!("no demo-issuer beside {}: build it (make build)", own.display()))
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
