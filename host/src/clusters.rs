//! Keeps the clusters as the kubeconfigs say: looks at the sources every few seconds and attaches, rotates, detaches.
//!
//! A cluster is its name. Changed credentials are the same cluster with new clients; a kubeconfig that cannot be read
//! leaves its clusters as they were; one that is gone twice in a row detaches them. Nothing is ever deleted in or because
//! of a cluster that is detached. Each cluster is connected by a task of its own, since a kubeconfig may name a plugin
//! that takes its time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use resource_broker_api::names::{ClusterName, Role};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use crate::{
    admin::Check,
    kubeconfig::{Digest, Found, Problem, Proxy, Reader, Reading, Source},
    metrics::Metrics,
    transport::{ClientError, Health},
};

pub use crate::transport::Cluster;

/// How often the sources are looked at.
pub const POLL: Duration = Duration::from_secs(2);
/// A cluster is detached when it was missing this often in a row: a file is for a moment not there while it is rewritten.
const MISSING: u32 = 2;
/// How long to wait before clients are made again from a kubeconfig that does not change: where that failed, or where
/// the credentials that a plugin gave are about to end.
const RETRY: Duration = Duration::from_mins(1);
/// Credentials of a plugin are asked for anew when they have less than this left.
const EXPIRY_MARGIN_SECONDS: i64 = 120;
/// How many events may wait to be read.
const EVENTS: usize = 64;

/// A cluster came or went. Rotated credentials are no event: see [`Cluster::watch_client`].
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// A cluster is there. It need not answer yet.
    Attached(Arc<Cluster>),
    /// Its kubeconfig is gone. Let go of everything that concerns it, and delete nothing.
    Detached(ClusterName),
}

/// Why the clusters could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The coordination cluster's kubeconfig cannot be used.
    #[error("the coordination cluster cannot be reached without a kubeconfig: {0}")]
    Coordination(String),
    /// No client could be made for the coordination cluster.
    #[error("kubeconfig of {cluster}: {source}")]
    Client {
        /// The cluster.
        cluster: ClusterName,
        /// What is wrong.
        source: ClientError,
    },
}

/// How the sources are looked at.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often, usually [`POLL`].
    pub poll: Duration,
    /// The environment's proxy.
    pub proxy: Proxy,
}

/// All clusters that the sources name, kept up to date in the background until dropped.
#[derive(Debug)]
pub struct ClusterSet {
    view: Arc<RwLock<View>>,
    coordination: Arc<Cluster>,
    keeper: AbortHandle,
}

#[derive(Debug, Default)]
struct View {
    clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    problems: Vec<Problem>,
}

impl ClusterSet {
    /// Connects to the coordination cluster, and starts looking for the others. `sources` must hold one of the
    /// coordination role. The receiver gets every other cluster as it comes and goes, compute included; when it is
    /// dropped, the set stays as it is.
    pub async fn start(
        sources: Vec<Source>,
        settings: Settings,
        metrics: Metrics,
    ) -> Result<(Self, mpsc::Receiver<ClusterEvent>), StartError> {
        let sources = Arc::new(Sources { list: sources, reader: Mutex::new(Reader::new(settings.proxy)) });
        let reading = sources.read().await.unwrap_or_default();
        let (name, found) = coordination(&reading)?;
        let coordination = Cluster::connect(name.clone(), (*found.config).clone(), metrics.clone())
            .await
            .map_err(|source| StartError::Client { cluster: name.clone(), source })?;

        let view = Arc::new(RwLock::new(View::default()));
        let (events, receiver) = mpsc::channel(EVENTS);
        let mut keeper = Keeper {
            sources,
            poll: settings.poll,
            entries: BTreeMap::from([(name, Entry::attached(&found, coordination.clone()))]),
            connecting: JoinSet::new(),
            events,
            view: view.clone(),
            metrics,
        };
        keeper.settle_reading(&reading).await;
        let keeper = tokio::spawn(keeper.run()).abort_handle();
        Ok((Self { view, coordination, keeper }, receiver))
    }

    /// The coordination cluster, which is there from start to end.
    pub fn coordination(&self) -> &Arc<Cluster> {
        &self.coordination
    }

    /// A cluster by name, while it is attached.
    pub fn get(&self, name: &ClusterName) -> Option<Arc<Cluster>> {
        self.view().clusters.get(name).cloned()
    }

    /// Every attached cluster, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Cluster>> {
        self.view().clusters.values().cloned().collect()
    }

    /// What is wrong with the kubeconfigs now.
    pub fn problems(&self) -> Vec<Problem> {
        self.view().problems.clone()
    }

    /// A line for each cluster and each problem. Only the coordination cluster is required.
    pub fn checks(&self) -> Vec<Check> {
        let view = self.view();
        let clusters = view.clusters.values().map(|cluster| check(cluster));
        let problems = view.problems.iter().map(|problem| Check {
            name: format!("{} kubeconfig {}", problem.role, problem.place),
            ok: false,
            required: false,
            detail: problem.what.clone(),
        });
        clusters.chain(problems).collect()
    }

    fn view(&self) -> std::sync::RwLockReadGuard<'_, View> {
        // Nobody panics while holding it.
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClusterSet {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn check(cluster: &Cluster) -> Check {
    let health = cluster.health().borrow().clone();
    let (ok, detail) = match health {
        Health::Up => (true, String::new()),
        Health::Unknown => (false, "not asked yet".to_owned()),
        Health::Refused => (false, "it does not know our credentials (401); renew its kubeconfig".to_owned()),
        Health::Down { since, cause } => (false, format!("no answer since {since}: {cause}")),
    };
    let required = cluster.name().role == Role::Coordination;
    Check { name: format!("cluster {}", cluster.name()), ok, required, detail }
}

fn coordination(reading: &Reading) -> Result<(ClusterName, Found), StartError> {
    if let Some((name, found)) = reading.found.iter().find(|(name, _)| name.role == Role::Coordination) {
        return Ok((name.clone(), found.clone()));
    }
    let problem = reading.problems.iter().find(|problem| problem.role == Role::Coordination);
    let what = problem.map_or_else(|| "none is given".to_owned(), ToString::to_string);
    Err(StartError::Coordination(what))
}

/// What the keeper knows of one cluster.
struct Entry {
    /// The file that named it.
    origin: String,
    /// What its clients are made from, or are being made from.
    digest: Digest,
    cluster: Option<Arc<Cluster>>,
    /// A task is making its clients.
    busy: bool,
    /// How often in a row it was named by nothing.
    missing: u32,
    /// Why no clients could be made.
    failed: Option<String>,
    /// When making clients was last begun.
    tried: Instant,
}

impl Entry {
    /// An entry whose clients are still to be made: its digest differs from every real one.
    fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            digest: Digest::default(),
            cluster: None,
            busy: false,
            missing: 0,
            failed: None,
            tried: Instant::now(),
        }
    }

    fn attached(found: &Found, cluster: Arc<Cluster>) -> Self {
        Self { digest: found.digest, cluster: Some(cluster), ..Self::new(&found.origin) }
    }

    /// Whether clients are to be made from `found` now.
    fn is_due(&self, found: &Found) -> bool {
        let rested = self.tried.elapsed() >= RETRY;
        !self.busy && (self.digest != found.digest || (rested && (self.failed.is_some() || self.expires_soon())))
    }

    fn expires_soon(&self) -> bool {
        let soon = Timestamp::now().as_second() + EXPIRY_MARGIN_SECONDS;
        self.cluster.as_ref().and_then(|cluster| cluster.expires()).is_some_and(|at| at < soon)
    }
}

/// What a connecting task brings back: a cluster that is new, or nothing where one was rotated.
type Connected = (ClusterName, Result<Option<Arc<Cluster>>, ClientError>);

/// The sources and what is remembered of their contents.
struct Sources {
    list: Vec<Source>,
    reader: Mutex<Reader>,
}

impl Sources {
    /// What the sources name now; `None` where looking was interrupted.
    async fn read(self: &Arc<Self>) -> Option<Reading> {
        let sources = self.clone();
        // File systems block.
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = sources.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.read(&sources.list)
        });
        reading.await.ok()
    }
}

struct Keeper {
    sources: Arc<Sources>,
    poll: Duration,
    entries: BTreeMap<ClusterName, Entry>,
    connecting: JoinSet<Connected>,
    events: mpsc::Sender<ClusterEvent>,
    view: Arc<RwLock<View>>,
    metrics: Metrics,
}

impl Keeper {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval_at(Instant::now() + self.poll, self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if let Some(reading) = self.sources.read().await {
                        self.settle_reading(&reading).await;
                    }
                }
                Some(Ok((name, outcome))) = self.connecting.join_next() => self.settle_connected(name, outcome).await,
            }
        }
    }

    /// Starts whatever makes the entries what the reading says.
    async fn settle_reading(&mut self, reading: &Reading) {
        for (name, found) in &reading.found {
            self.want(name, found);
        }
        for name in self.entries.keys().cloned().collect::<Vec<_>>() {
            if !reading.found.contains_key(&name) {
                self.miss(&name, reading).await;
            }
        }
        self.publish(reading.problems.clone());
    }

    fn want(&mut self, name: &ClusterName, found: &Found) {
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry::new(&found.origin));
        entry.missing = 0;
        if !entry.is_due(found) {
            return;
        }
        entry.origin.clone_from(&found.origin);
        entry.digest = found.digest;
        entry.busy = true;
        entry.tried = Instant::now();
        let (name, config, metrics) = (name.clone(), (*found.config).clone(), self.metrics.clone());
        let existing = entry.cluster.clone();
        self.connecting.spawn(async move {
            let outcome = match existing {
                Some(cluster) => cluster.rotate(config).await.map(|()| None),
                None => Cluster::connect(name.clone(), config, metrics).await.map(Some),
            };
            (name, outcome)
        });
    }

    async fn miss(&mut self, name: &ClusterName, reading: &Reading) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        // Coordination and compute are given once; a vanished file does not take them from a running broker.
        let fixed = matches!(name.role, Role::Coordination | Role::Compute) && entry.cluster.is_some();
        if fixed || reading.keeps(name, &entry.origin) {
            entry.missing = 0;
            return;
        }
        entry.missing += 1;
        if entry.missing < MISSING || entry.busy {
            return;
        }
        if let Some(Entry { cluster: Some(_), origin, .. }) = self.entries.remove(name) {
            tracing::info!(cluster = %name, kubeconfig = origin, "cluster detached: its kubeconfig is gone");
            self.metrics.forget_cluster(name);
            // Whoever is told finds it gone.
            self.publish_clusters();
            // A receiver that is gone wants to know nothing any more.
            let _ = self.events.send(ClusterEvent::Detached(name.clone())).await;
        }
    }

    async fn settle_connected(&mut self, name: ClusterName, outcome: Result<Option<Arc<Cluster>>, ClientError>) {
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.busy = false;
        match outcome {
            Err(error) => entry.failed = Some(error.to_string()),
            Ok(None) => {
                entry.failed = None;
                tracing::info!(cluster = %name, kubeconfig = entry.origin, "cluster has new credentials");
            }
            Ok(Some(cluster)) => {
                entry.failed = None;
                entry.cluster = Some(cluster.clone());
                tracing::info!(cluster = %name, kubeconfig = entry.origin, "cluster attached");
                // Whoever is told of it looks it up at once, to watch it.
                self.publish_clusters();
                let _ = self.events.send(ClusterEvent::Attached(cluster)).await;
            }
        }
        self.publish_clusters();
    }

    fn publish(&self, mut problems: Vec<Problem>) {
        let failed = self.entries.iter().filter_map(|(name, entry)| {
            let what = entry.failed.as_ref()?;
            Some(Problem { role: name.role, place: entry.origin.clone(), what: format!("cluster {name}: {what}") })
        });
        problems.extend(failed);
        problems.sort();
        let before = std::mem::take(&mut self.write_view().problems);
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!(role = %problem.role, kubeconfig = problem.place, problem = problem.what, "kubeconfig cannot be used as it is; clusters it named before stay as they were");
        }
        for problem in before.iter().filter(|problem| !problems.contains(problem)) {
            tracing::info!(role = %problem.role, kubeconfig = problem.place, problem = problem.what, "kubeconfig problem is over");
        }
        self.metrics.source_problems(problems.len());
        self.write_view().problems = problems;
        self.publish_clusters();
    }

    fn publish_clusters(&self) {
        let attached = self.entries.iter().filter_map(|(name, entry)| Some((name.clone(), entry.cluster.clone()?)));
        let attached = attached.collect();
        self.write_view().clusters = attached;
    }

    fn write_view(&self) -> std::sync::RwLockWriteGuard<'_, View> {
        // Nobody panics while holding it.
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
