//! One etcd and the API servers on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use tokio::sync::OnceCell;

use crate::assets;
use crate::cluster::Cluster;
use crate::guard::Guard;
use crate::net::{free_port, get};
use crate::process::Process;

/// Control planes by name, each started when it is first asked for.
pub struct Planes {
    programs: PathBuf,
    etcd_url: String,
    clusters: Mutex<BTreeMap<String, Arc<OnceCell<Arc<Cluster>>>>>,
    // After the clusters, so that they end first.
    etcd: Mutex<Process>,
    guard: Arc<Guard>,
}

impl Planes {
    /// The control planes of this test program.
    ///
    /// # Panics
    ///
    /// When etcd does not start, or the programs are neither there nor to be had.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Planes> = OnceCell::const_new();
        let started = SHARED.get_or_try_init(async || Self::start(Guard::temporary()?).await).await;
        started.unwrap_or_else(|error| panic!("no control planes: {error:#}"))
    }

    /// Starts etcd with its data in the guard's folder.
    pub async fn start(guard: Guard) -> Result<Self> {
        let programs = assets::folder().await?;
        let guard = Arc::new(guard);
        let port = free_port()?;
        let etcd_url = format!("http://127.0.0.1:{port}");
        let mut etcd = Process::spawn(&guard, "etcd", etcd_command(&programs, guard.folder(), &etcd_url))?;
        wait_for_etcd(&mut etcd, port).await?;
        Ok(Self { programs, etcd_url, clusters: Mutex::default(), etcd: Mutex::new(etcd), guard })
    }

    /// The cluster `name`, started if it is not yet there. Names are those of DNS labels.
    ///
    /// # Panics
    ///
    /// When its API server does not start.
    pub async fn cluster(&self, name: &str) -> Arc<Cluster> {
        self.try_cluster(name).await.unwrap_or_else(|error| panic!("no cluster {name}: {error:#}"))
    }

    /// Several clusters, started at the same time.
    ///
    /// # Panics
    ///
    /// When one of their API servers does not start.
    pub async fn clusters<const N: usize>(&self, names: [&str; N]) -> [Arc<Cluster>; N] {
        self.try_clusters(names).await.unwrap_or_else(|error| panic!("no clusters {names:?}: {error:#}"))
    }

    /// As [`cluster`](Self::cluster), with the reason as an error.
    pub async fn try_cluster(&self, name: &str) -> Result<Arc<Cluster>> {
        let cell = Arc::clone(self.registry().entry(name.to_owned()).or_default());
        let start = async || {
            let program = self.programs.join("kube-apiserver");
            let started = Cluster::start_new(&self.guard, program, self.etcd_url.clone(), name).await;
            started.map(Arc::new).map_err(|error| self.blame(error))
        };
        cell.get_or_try_init(start).await.cloned()
    }

    /// As [`clusters`](Self::clusters), with the reason as an error.
    pub async fn try_clusters<const N: usize>(&self, names: [&str; N]) -> Result<[Arc<Cluster>; N]> {
        let started = try_join_all(names.map(|name| self.try_cluster(name))).await?;
        started.try_into().ok().context("as many clusters as names")
    }

    /// What ends the processes, for starting more of them beside.
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// An API server that does not start may only suffer from etcd's end.
    fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        let mut etcd = self.etcd.lock().unwrap_or_else(PoisonError::into_inner);
        match etcd.exited() {
            Ok(None) => error,
            _ => error.context(format!("etcd ended; its log ends:\n{}", etcd.log_tail(10))),
        }
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<OnceCell<Arc<Cluster>>>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn etcd_command(programs: &Path, folder: &Path, url: &str) -> Command {
    let mut command = Command::new(programs.join("etcd"));
    command
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg("--listen-peer-urls=http://127.0.0.1:0")
        // Nothing here has to survive a power cut.
        .arg("--unsafe-no-fsync")
        .arg("--log-level=error");
    command
}

async fn wait_for_etcd(etcd: &mut Process, port: u16) -> Result<()> {
    for _ in 0..600 {
        if let Some(status) = etcd.exited()? {
            bail!("etcd ended with {status}; its log ends:\n{}", etcd.log_tail(20));
        }
        if get(port, "/health").await.is_ok_and(|(code, _)| code == 200) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("etcd does not answer after 30 s; its log ends:\n{}", etcd.log_tail(20))
}
