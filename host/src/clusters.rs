//! Keeps the clusters as the kubeconfigs say: looks at the sources every few seconds and attaches, rotates, detaches.
//!
//! A name in a kubeconfig is not a cluster: each one that is named is connected, asked who it is (`fingerprint`), and then
//! `decide` says under which name it is attached, or why not. Changed credentials are the same cluster with new clients, once
//! it has said with them that it is the same; a kubeconfig that cannot be read leaves its clusters as they were; one that is gone
//! twice in a row detaches them, unless another kubeconfig names the same cluster. Nothing is ever deleted in or because of a
//! cluster that is detached or refused. Each cluster is connected by a task of its own, since a kubeconfig may name a plugin that
//! takes its time, and another task asks it again who it is whenever that may have changed.

mod decide;
mod follow;
mod register;
mod removal;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use resource_broker_api::names::{ClusterName, Role};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use self::{
    decide::{Kind, Named, Refusal, Verdict},
    follow::{Followed, Report},
};
use crate::{
    admin::Check,
    cache::Directory,
    fingerprint::Look,
    kubeconfig::{Digest, Found, Problem, Proxy, Reader, Reading, Source, Warning},
    metrics::Metrics,
    planner::model::snapshot::Identity,
    transport::{ClientError, Health},
};

pub use crate::transport::Cluster;
pub use register::Register;

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
/// How long others wait for the first answer of a cluster that may be the same as they.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// How often a cluster that is not attached is asked again who it is.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A cluster came or went. Rotated credentials are no event: see [`Cluster::watch_client`].
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// A cluster is there. It need not answer yet.
    Attached(Arc<Cluster>),
    /// Its kubeconfig is gone, or names another cluster now. Let go of everything that concerns it, and delete nothing.
    Detached(ClusterName),
    /// Which clusters stand behind the names from now on.
    Identified(BTreeMap<ClusterName, Identity>),
    /// Of every cluster that was there from the start it has been decided whether it is attached. Comes once.
    Settled,
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

/// Makes the clients of a cluster.
pub type Connect =
    Arc<dyn Fn(ClusterName, kube::Config) -> BoxFuture<'static, Result<Arc<Cluster>, ClientError>> + Send + Sync>;

/// How the sources are looked at.
#[derive(Clone)]
pub struct Settings {
    /// How often, usually [`POLL`].
    pub poll: Duration,
    /// The environment's proxy.
    pub proxy: Proxy,
    /// How clusters other than coordination are connected, usually [`connect`].
    pub connect: Connect,
}

/// Connects as kubeconfigs say.
pub fn connect(metrics: &Metrics) -> Connect {
    let metrics = metrics.clone();
    Arc::new(move |name, config| Box::pin(Cluster::connect(name, config, metrics.clone())))
}

/// All clusters that the sources name, kept up to date in the background until dropped.
#[derive(Debug)]
pub struct ClusterSet {
    view: Arc<RwLock<View>>,
    coordination: Arc<Cluster>,
    directory: watch::Sender<Option<Arc<Directory>>>,
    changed: watch::Receiver<u64>,
    keeper: AbortHandle,
}

#[derive(Debug, Default)]
struct View {
    clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    problems: Vec<Problem>,
    warnings: BTreeSet<Warning>,
    standings: Vec<Standing>,
}

/// How it is with one cluster that a kubeconfig names.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What the kubeconfig calls it.
    pub named: ClusterName,
    /// What records call it; the same, unless it is a known cluster under a new name.
    pub name: ClusterName,
    /// Whether `named` is not the name by which kubeconfigs are to call it.
    pub is_renamed: bool,
    /// The kubeconfig.
    pub origin: String,
    /// Why it is not attached: a reason for a condition, and words for people.
    pub refused: Option<(&'static str, String)>,
    /// Whether it is attached.
    pub attached: bool,
    /// Why its identity cannot be watched over.
    pub warning: Option<String>,
    /// Where the kubeconfig leads now, while it is not certain who is there: the connection from before goes on.
    pub tried: Option<Arc<Cluster>>,
    /// What it is known by now, where it said that.
    pub found: Option<String>,
    /// What records are to know it by, where it is certain that it is that cluster.
    pub fingerprint: Option<String>,
    /// The way to it, while there is one.
    pub cluster: Option<Arc<Cluster>>,
}

impl ClusterSet {
    /// Connects to the coordination cluster, and starts looking for the others. `sources` must hold one of the
    /// coordination role. The receiver gets every other cluster as it comes and goes, compute included, once [`Self::inform`] was
    /// called; when it is dropped, the set stays as it is.
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
        let (directory, known) = watch::channel(None);
        let (reports, reported) = mpsc::unbounded_channel();
        let (revision, changed) = watch::channel(0);
        let mut keeper = Keeper {
            sources,
            poll: settings.poll,
            connect: settings.connect,
            coordination: coordination.clone(),
            entries: BTreeMap::from([(name, Entry::coordination(&found))]),
            placements: BTreeMap::new(),
            identities: BTreeMap::new(),
            directory: None,
            answered: 0,
            settled: false,
            connecting: JoinSet::new(),
            reports,
            events,
            revision,
            view: view.clone(),
            metrics,
        };
        keeper.settle_reading(&reading).await;
        let keeper = tokio::spawn(keeper.run(known, reported)).abort_handle();
        Ok((Self { view, coordination, directory, changed, keeper }, receiver))
    }

    /// What records say of clusters. Before the first call none is attached.
    pub fn inform(&self, directory: Directory) {
        self.directory.send_replace(Some(Arc::new(directory)));
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

    /// How it is with each cluster that a kubeconfig names, but for coordination.
    pub fn standings(&self) -> Vec<Standing> {
        self.view().standings.clone()
    }

    /// Changes whenever [`Self::standings`] may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// A line for each cluster and each problem. Only the coordination cluster is required.
    pub fn checks(&self) -> Vec<Check> {
        let view = self.view();
        let mut checks = vec![check(self.coordination.name(), &self.coordination)];
        checks.extend(view.standings.iter().flat_map(Standing::checks));
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        let warnings = view.warnings.iter().map(|warning| &warning.problem);
        let problems = view.problems.iter().chain(warnings).map(|problem| Check {
            name: format!("{} kubeconfig {}", problem.role, problem.place),
            ok: false,
            required: false,
            detail: problem.what.clone(),
        });
        checks.into_iter().chain(problems).collect()
    }

    fn view(&self) -> parking_lot::RwLockReadGuard<'_, View> {
        self.view.read()
    }
}

impl Drop for ClusterSet {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Standing {
    fn checks(&self) -> Vec<Check> {
        let line = |name: &ClusterName, detail: String| Check {
            name: format!("cluster {name}"),
            ok: false,
            required: false,
            detail,
        };
        if let Some((_, why)) = &self.refused {
            return vec![line(&self.named, format!("not attached: {why}"))];
        }
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let mut checks = vec![check(&self.name, cluster)];
        if !self.attached && checks[0].ok {
            checks[0] = line(&self.named, "which cluster this is has not been read yet".to_owned());
        }
        if self.attached && self.is_renamed {
            checks.push(line(&self.named, self.renamed()));
        }
        if let Some(why) = self.unfollowed() {
            checks.push(line(&self.named, why));
        }
        checks
    }

    /// What people are to know where the kubeconfig as it is now is not followed.
    pub fn unfollowed(&self) -> Option<String> {
        let tried = self.tried.as_ref()?;
        let has_failed = matches!(*tried.health().borrow(), Health::Refused | Health::Down { .. });
        let why = has_failed.then(|| check(&self.name, tried).detail)?;
        Some(format!(
            "nobody answers as its kubeconfig says now, and the connection from before goes on until the broker is started anew; \
             check the kubeconfig's server and credentials: {why}"
        ))
    }

    /// What people are told of a known cluster with a new name.
    pub fn renamed(&self) -> String {
        format!(
            "it is {}, and goes on under that name, which records and copies have; to have kubeconfigs call it {} from now on, say \
             so: resource-broker cluster rename {} {}",
            self.name, self.named.name, self.name, self.named.name
        )
    }
}

fn check(name: &ClusterName, cluster: &Cluster) -> Check {
    let health = cluster.health().borrow().clone();
    let (ok, detail) = match health {
        Health::Up if !cluster.is_proven() => {
            (false, "it answers again; whether it is still the same cluster is being read".to_owned())
        }
        Health::Up => (true, String::new()),
        Health::Unknown => (false, "not asked yet".to_owned()),
        Health::Refused => (false, format!("it does not know our credentials (401): {}", cluster.how_to_be_known())),
        Health::Down { since, cause } => (false, format!("no answer since {since}: {cause}")),
    };
    let required = name.role == Role::Coordination;
    Check { name: format!("cluster {name}"), ok, required, detail }
}

fn coordination(reading: &Reading) -> Result<(ClusterName, Found), StartError> {
    if let Some((name, found)) = reading.found.iter().find(|(name, _)| name.role == Role::Coordination) {
        return Ok((name.clone(), found.clone()));
    }
    let problem = reading.problems.iter().find(|problem| problem.role == Role::Coordination);
    let what = problem.map_or_else(|| "none is given".to_owned(), ToString::to_string);
    Err(StartError::Coordination(what))
}

/// What the keeper knows of one cluster that a kubeconfig names.
struct Entry {
    /// The file that named it.
    origin: String,
    /// What its clients are made from, or are being made from.
    digest: Digest,
    /// The way to it that was made last.
    link: Option<Link>,
    /// A task is making its clients.
    busy: bool,
    /// How often in a row it was named by nothing.
    missing: u32,
    /// Why no clients could be made.
    failed: Option<String>,
    /// When making clients was last begun.
    tried: Instant,
    /// What was decided about it.
    verdict: Verdict,
}

/// A way to a cluster, and what the cluster said of itself there.
#[derive(Clone)]
struct Link {
    followed: Arc<Followed>,
    look: Option<Look>,
    /// The number of that look.
    number: u64,
    /// Its place in the order in which clusters answered.
    order: u64,
    since: Instant,
    asked: Instant,
}

/// An attached cluster.
struct Placement {
    followed: Arc<Followed>,
    /// The kubeconfig's name for it.
    by: ClusterName,
}

impl Entry {
    /// An entry whose clients are still to be made: its digest differs from every real one.
    fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            digest: Digest::default(),
            link: None,
            busy: false,
            missing: 0,
            failed: None,
            tried: Instant::now(),
            verdict: Verdict::Wait,
        }
    }

    fn coordination(found: &Found) -> Self {
        Self { digest: found.digest, ..Self::new(&found.origin) }
    }

    fn is_gone(&self) -> bool {
        self.missing >= MISSING
    }

    /// Whether clients are to be made from `found` now.
    fn is_due(&self, found: &Found, expires: Option<i64>) -> bool {
        let rested = self.tried.elapsed() >= RETRY;
        let soon = Timestamp::now().as_second() + EXPIRY_MARGIN_SECONDS;
        let expires_soon = expires.is_some_and(|at| at < soon);
        !self.busy && (self.digest != found.digest || (rested && (self.failed.is_some() || expires_soon)))
    }

    /// It may still turn out to be any cluster.
    fn is_open(&self) -> bool {
        let silent = match &self.link {
            None => self.failed.is_none(),
            Some(link) => link.look.is_none() || matches!(link.look, Some(Look::Silent(_))),
        };
        silent && self.link.as_ref().map_or(self.tried, |link| link.since).elapsed() < FIRST_LOOK
    }
}

/// What a connecting task brings back: a way to a cluster, or nothing where coordination got new credentials.
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
            let mut reader = sources.reader.lock();
            reader.read(&sources.list)
        });
        reading.await.ok()
    }
}

struct Keeper {
    sources: Arc<Sources>,
    poll: Duration,
    connect: Connect,
    coordination: Arc<Cluster>,
    /// What kubeconfigs name, by what they call it.
    entries: BTreeMap<ClusterName, Entry>,
    /// What is attached, by what records call it.
    placements: BTreeMap<ClusterName, Placement>,
    /// What was published last.
    identities: BTreeMap<ClusterName, Identity>,
    directory: Option<Arc<Directory>>,
    /// How many clusters have answered.
    answered: u64,
    settled: bool,
    connecting: JoinSet<Connected>,
    reports: mpsc::UnboundedSender<Report>,
    events: mpsc::Sender<ClusterEvent>,
    revision: watch::Sender<u64>,
    view: Arc<RwLock<View>>,
    metrics: Metrics,
}

impl Keeper {
    async fn run(
        mut self,
        mut known: watch::Receiver<Option<Arc<Directory>>>,
        mut reported: mpsc::UnboundedReceiver<Report>,
    ) {
        let mut ticks = tokio::time::interval_at(Instant::now() + self.poll, self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if let Some(reading) = self.sources.read().await {
                        self.settle_reading(&reading).await;
                    }
                }
                Some(Ok((name, outcome))) = self.connecting.join_next() => self.settle_connected(&name, outcome).await,
                Some(report) = reported.recv() => self.settle_report(report).await,
                Ok(()) = known.changed() => {
                    self.directory.clone_from(&known.borrow_and_update());
                    self.decide().await;
                }
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
                self.miss(&name, reading);
            }
        }
        for entry in self.entries.values_mut() {
            if let (Verdict::Refuse(_), Some(link)) = (&entry.verdict, &mut entry.link)
                && link.asked.elapsed() >= LOOK_AGAIN
            {
                link.asked = Instant::now();
                link.followed.cluster.suspect();
            }
        }
        self.decide().await;
        self.warn(&reading.warnings);
        self.publish(reading.problems.clone());
    }

    /// Each warning is told once, and again where the file that it is about has changed.
    fn warn(&self, warnings: &BTreeSet<Warning>) {
        let before = std::mem::replace(&mut self.write_view().warnings, warnings.clone());
        for Warning { problem, misnamed } in warnings.difference(&before) {
            tracing::warn!(role = %problem.role, kubeconfig = problem.place, problem = problem.what, "about a kubeconfig");
            if misnamed.is_some() {
                self.metrics.misnamed_kubeconfig();
            }
        }
    }

    fn want(&mut self, name: &ClusterName, found: &Found) {
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry::new(&found.origin));
        entry.missing = 0;
        let expires = match name.role {
            Role::Coordination => self.coordination.expires(),
            _ => entry.link.as_ref().and_then(|link| link.followed.cluster.expires()),
        };
        if !entry.is_due(found, expires) {
            return;
        }
        entry.origin.clone_from(&found.origin);
        entry.digest = found.digest;
        entry.busy = true;
        entry.tried = Instant::now();
        let (name, config) = (name.clone(), (*found.config).clone());
        if name.role == Role::Coordination {
            let coordination = self.coordination.clone();
            self.connecting.spawn(async move { (name, coordination.rotate(config).await.map(|()| None)) });
            return;
        }
        // Who answers there is seen before anything goes there.
        let connecting = (self.connect)(name.clone(), config);
        self.connecting.spawn(async move { (name, connecting.await.map(Some)) });
    }

    fn miss(&mut self, name: &ClusterName, reading: &Reading) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        // Coordination and compute are given once; a vanished file does not take them from a running broker.
        let fixed = match name.role {
            Role::Coordination => true,
            Role::Compute => entry.link.is_some(),
            Role::Consumer | Role::Provider => false,
        };
        if fixed || reading.keeps(name, &entry.origin) {
            entry.missing = 0;
            return;
        }
        entry.missing = entry.missing.saturating_add(1);
        let (gone, busy) = (entry.is_gone(), entry.busy);
        // Another kubeconfig may name the same cluster: that has to be known first.
        let open = self.entries.iter().any(|(other, entry)| {
            other != name
                && other.role == name.role
                && !entry.is_gone()
                && entry.verdict == Verdict::Wait
                && entry.is_open()
        });
        if gone && !busy && !open {
            self.entries.remove(name);
        }
    }

    async fn settle_connected(&mut self, name: &ClusterName, outcome: Result<Option<Arc<Cluster>>, ClientError>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.busy = false;
        match outcome {
            Err(error) => entry.failed = Some(error.to_string()),
            Ok(None) => {
                entry.failed = None;
                tracing::info!(cluster = %name, kubeconfig = entry.origin, "cluster has new credentials");
            }
            Ok(Some(cluster)) => {
                entry.failed = None;
                let expected = self.directory.as_ref().map(|directory| decide::expected(directory, name));
                let followed = Followed::new(cluster, expected, self.reports.clone());
                let now = Instant::now();
                // What was said before counts until it is said again; nothing goes there before.
                let before = entry.link.take();
                let (look, order) = before.map_or((None, u64::MAX), |link| (link.look, link.order));
                entry.link = Some(Link { followed, look, number: 0, order, since: now, asked: now });
            }
        }
        self.decide().await;
    }

    async fn settle_report(&mut self, report: Report) {
        let Some(link) = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.link.as_mut())
            .find(|link| link.followed.id == report.id)
        else {
            return;
        };
        // Something was asked since, and the answer to that is on its way.
        if report.number != link.followed.cluster.looks_asked() {
            return;
        }
        if let Look::Silent(why) = &report.look {
            tracing::debug!(cluster = %link.followed.cluster.name(), why, "it cannot be read yet which cluster this is");
            // What it said before it fell silent still counts.
            link.look.get_or_insert(report.look);
        } else {
            link.look = Some(report.look);
            link.number = report.number;
            if link.order == u64::MAX {
                link.order = self.answered;
                self.answered += 1;
            }
        }
        self.decide().await;
    }

    /// Attaches, goes on with other credentials, and detaches, as is decided now.
    async fn decide(&mut self) {
        let Some(directory) = self.directory.clone() else {
            self.publish_clusters();
            return;
        };
        for (name, entry) in &self.entries {
            if let Some(link) = &entry.link {
                link.followed.expect(decide::expected(&directory, name), link.look.as_ref());
            }
        }
        let named = |(name, entry): (&ClusterName, &Entry)| {
            let serves =
                self.placements.iter().find(|(_, placement)| placement.by == *name).map(|(served, _)| served.clone());
            let link = entry.link.as_ref();
            let named = Named {
                look: link.and_then(|link| link.look.clone()),
                order: link.map_or(u64::MAX, |link| link.order),
                gone: entry.is_gone(),
                serves,
                had_time: !entry.is_open(),
            };
            (name.clone(), named)
        };
        let all: BTreeMap<ClusterName, Named> =
            self.entries.iter().filter(|(name, _)| name.role != Role::Coordination).map(named).collect();
        let verdicts = decide::decide(&directory, &all);
        let identities = decide::identities(&directory, &verdicts);
        for (name, verdict) in verdicts {
            self.take_note(&name, verdict);
        }
        if identities != self.identities {
            self.identities.clone_from(&identities);
            // A receiver that is gone wants to know nothing any more.
            let _ = self.events.send(ClusterEvent::Identified(identities)).await;
        }
        let attached = self.placement();
        self.let_clean(&directory);
        let served: BTreeSet<ClusterName> = self
            .entries
            .values()
            .filter_map(|entry| match &entry.verdict {
                Verdict::Serve { name, .. } if entry.link.is_some() => Some(name.clone()),
                _ => None,
            })
            .collect();
        let leaving: Vec<ClusterName> =
            self.placements.keys().filter(|name| !served.contains(*name)).cloned().collect();
        for name in &leaving {
            self.placements.remove(name);
            if let Some(Verdict::Refuse(refusal)) = self.entries.get(name).map(|entry| &entry.verdict) {
                tracing::info!(cluster = %name, why = refusal.why, "cluster detached");
            } else {
                tracing::info!(cluster = %name, "cluster detached: no kubeconfig names it any more");
            }
            self.metrics.forget_cluster(name);
        }
        // Whoever is told looks it up at once.
        self.publish_clusters();
        for name in leaving {
            let _ = self.events.send(ClusterEvent::Detached(name)).await;
        }
        for cluster in attached {
            let _ = self.events.send(ClusterEvent::Attached(cluster)).await;
        }
        let open = self
            .entries
            .iter()
            .any(|(name, entry)| name.role != Role::Coordination && entry.verdict == Verdict::Wait && entry.is_open());
        if !self.settled && !open {
            self.settled = true;
            let _ = self.events.send(ClusterEvent::Settled).await;
        }
    }

    /// Keeps what was decided about a cluster, and says what is news.
    fn take_note(&mut self, name: &ClusterName, verdict: Verdict) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let before = std::mem::replace(&mut entry.verdict, verdict);
        let kubeconfig = &entry.origin;
        match (&entry.verdict, &before) {
            (Verdict::Refuse(now), before) if *before != entry.verdict => {
                tracing::error!(cluster = %name, kubeconfig, why = now.why, "cluster not attached");
            }
            (Verdict::Serve { warning: Some(warning), .. }, before) if !matches!(before, Verdict::Serve { warning: Some(told), .. } if told == warning) =>
            {
                tracing::warn!(cluster = %name, kubeconfig, warning, "which cluster this is cannot be told");
            }
            _ => {}
        }
        let directory = self.directory.as_ref();
        let source = |known_as: &ClusterName| {
            directory.and_then(|directory| directory.clusters.get(known_as)?.spec.source.clone())
        };
        if let Verdict::Serve { name: known_as, .. } = &entry.verdict
            && known_as != name
            && source(known_as).as_ref() != Some(&name.name)
            && !matches!(&before, Verdict::Serve { name: before, .. } if before == known_as)
        {
            tracing::warn!(
                cluster = %known_as, kubeconfig, called = name.name,
                "a known cluster under a new name; it goes on under the recorded one"
            );
        }
    }

    /// Gives every cluster that is to be attached its place; those that are new.
    fn placement(&mut self) -> Vec<Arc<Cluster>> {
        let mut attached = Vec::new();
        for (by, entry) in &mut self.entries {
            let (Verdict::Serve { name, proven, .. }, Some(link)) = (&entry.verdict, &mut entry.link) else { continue };
            match self.placements.get_mut(name) {
                None => {
                    if link.followed.cluster.name() != name {
                        let cluster = link.followed.cluster.under(name.clone());
                        self.metrics.forget_cluster(by);
                        link.followed = Followed::new(cluster, Some(link.followed.expected()), self.reports.clone());
                        link.followed.cluster.vouch();
                        link.number = 0;
                    }
                    tracing::info!(cluster = %name, kubeconfig = entry.origin, "cluster attached");
                    self.placements.insert(name.clone(), Placement { followed: link.followed.clone(), by: by.clone() });
                    attached.push(link.followed.cluster.clone());
                }
                Some(placement) if placement.followed.id == link.followed.id => placement.by = by.clone(),
                // What was there goes on until it is certain who answers with the new credentials.
                Some(_) if !*proven || link.number == 0 => continue,
                Some(placement) => {
                    placement.followed.cluster.adopt(&link.followed.cluster);
                    placement.followed.expect(link.followed.expected(), link.look.as_ref());
                    if link.followed.cluster.name() != name {
                        self.metrics.forget_cluster(by);
                    }
                    link.followed = placement.followed.clone();
                    placement.by = by.clone();
                    link.number = 0;
                    placement.followed.cluster.vouch();
                    tracing::info!(cluster = %name, kubeconfig = entry.origin, "cluster has new credentials");
                }
            }
            if *proven && link.number > 0 {
                link.followed.cluster.prove(link.number);
            }
        }
        attached
    }

    /// A removed cluster is reached for taking what the broker put there away, where it is the recorded one.
    fn let_clean(&self, directory: &Directory) {
        for (name, entry) in &self.entries {
            let Verdict::Refuse(Refusal { kind: Kind::Removed, .. }) = &entry.verdict else { continue };
            let Some(link) = entry.link.as_ref().filter(|link| link.number > 0) else { continue };
            let expected = decide::expected(directory, name);
            let is_other = |it: &String| link.look.as_ref().and_then(|look| look.is(it)) == Some(false);
            if !expected.iter().any(is_other) {
                link.followed.cluster.prove(link.number);
            }
        }
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
        let mut attached: BTreeMap<ClusterName, Arc<Cluster>> = self
            .placements
            .iter()
            .map(|(name, placement)| (name.clone(), placement.followed.cluster.clone()))
            .collect();
        attached.insert(self.coordination.name().clone(), self.coordination.clone());
        let standings: Vec<Standing> = self
            .entries
            .iter()
            .filter(|(name, _)| name.role != Role::Coordination)
            .map(|(name, entry)| self.standing(name, entry))
            .collect();
        let refused = standings.iter().filter_map(|it| Some((it.named.clone(), it.refused.as_ref()?.0)));
        self.metrics.refused_clusters(refused);
        let mut view = self.write_view();
        view.clusters = attached;
        view.standings = standings;
        drop(view);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Whether kubeconfigs are to call the cluster of this name so.
    fn is_called(&self, name: &ClusterName, called: &ClusterName) -> bool {
        let known = self.directory.as_ref().and_then(|directory| directory.clusters.get(name));
        let source = known.and_then(|known| known.spec.source.as_ref()).unwrap_or(&name.name);
        *source == called.name
    }

    fn standing(&self, named: &ClusterName, entry: &Entry) -> Standing {
        let link = entry.link.as_ref();
        let mut standing = Standing {
            named: named.clone(),
            name: named.clone(),
            is_renamed: false,
            origin: entry.origin.clone(),
            refused: None,
            attached: false,
            warning: None,
            tried: None,
            found: link.and_then(|link| link.look.as_ref()?.main().map(str::to_owned)),
            fingerprint: None,
            cluster: link.map(|link| link.followed.cluster.clone()),
        };
        match &entry.verdict {
            Verdict::Serve { name, fingerprint, proven, warning } => {
                let placement = self.placements.get(name).filter(|placement| placement.by == *named);
                standing.name = name.clone();
                standing.is_renamed = !self.is_called(name, named);
                standing.attached = placement.is_some();
                standing.fingerprint = fingerprint.clone().filter(|_| *proven);
                standing.warning.clone_from(warning);
                let is_other =
                    |placement: &&Placement| link.is_some_and(|link| placement.followed.id != link.followed.id);
                standing.tried = placement.filter(is_other).and(link).map(|link| link.followed.cluster.clone());
                // The credentials that are in use, not those that are being tried.
                standing.cluster = placement.map(|placement| placement.followed.cluster.clone()).or(standing.cluster);
            }
            Verdict::Refuse(Refusal { kind, why }) => standing.refused = Some((kind.reason(), why.clone())),
            Verdict::Wait => {}
        }
        standing
    }

    fn write_view(&self) -> parking_lot::RwLockWriteGuard<'_, View> {
        self.view.write()
    }
}

#[cfg(test)]
mod tests;
