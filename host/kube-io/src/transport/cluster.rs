//! One cluster as the broker sees it: its name, its clients, how it fares, and the way to ask it something.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use parking_lot::{Mutex, MutexGuard};
use resource_broker_api::names::ClusterName;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    breaker::{Breaker, Verdict},
    clients::{self, ClientError, describe},
    error::{RequestError, Target},
    limiter::Limiter,
    pace::Pace,
    plugin,
    renewal::Renewal,
};
use crate::observe::{Class, Observer, Shared};

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From sending to the last byte of the answer.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes after decompression.
    pub max_body: usize,
}

impl Limits {
    /// For one object.
    pub const OBJECT: Self = Self { timeout: Duration::from_secs(10), max_body: 16 << 20 };
    /// For a page of a list, which may hold hundreds of large objects.
    pub const PAGE: Self = Self { timeout: Duration::from_secs(30), max_body: 64 << 20 };
}

/// An answer of which so much came is under way, and is not that of a server that does not answer.
const UNDER_WAY: usize = 64 << 10;

/// A good answer (2xx).
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// How a cluster fares, as its requests saw it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not asked yet.
    Unknown,
    /// It answers.
    Up,
    /// It answers, but does not know our credentials (401). See [`Cluster::how_to_be_known`].
    Refused,
    /// It does not answer.
    Down {
        /// When it was given up on.
        since: Timestamp,
        /// What the last try ran into.
        cause: String,
    },
}

/// Whether it is certain that a cluster is the one that it is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trust {
    /// Whether it is.
    proven: bool,
    /// How often it was asked for. A proof is for the last time.
    asked: u64,
}

/// How long a request waits for its cluster to be proven.
const PROOF: Duration = Duration::from_secs(5);

/// An API server that the broker works with. Shared; lives until its kubeconfig is taken away.
pub struct Cluster {
    name: ClusterName,
    /// What clients are made from; `None` where they were given ready-made and are never renewed.
    config: Mutex<Option<kube::Config>>,
    /// The same with what a credential plugin gave.
    resolved: Mutex<Option<kube::Config>>,
    renewal: Renewal,
    /// How often the kubeconfig came to name another server.
    moves: AtomicU64,
    watch: watch::Sender<Client>,
    requests: Mutex<Client>,
    health: watch::Sender<Health>,
    /// `None`: nobody looks who it is, and it is taken for what it is called.
    trust: watch::Sender<Option<Trust>>,
    breaker: Mutex<Breaker>,
    limiter: Limiter,
    pace: Pace,
    observer: Shared,
    /// Lets a failed request leave a probe behind that does not keep a detached cluster alive.
    me: Weak<Self>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds credentials.
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .field("health", &*self.health.borrow())
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster reached as `config` says. Asks it once, in the background, whether it answers.
    pub async fn connect(
        name: ClusterName,
        config: kube::Config,
        observer: impl Observer,
    ) -> Result<Arc<Self>, ClientError> {
        let clients = clients::make(config.clone()).await?;
        let is_renewable = is_renewable(&config);
        let cluster = Self::assemble(name, Some(config), clients, Shared::new(observer));
        cluster.keep_probing(Duration::ZERO);
        if is_renewable {
            cluster.renewal.begin(cluster.me.clone());
        }
        Ok(cluster)
    }

    /// A cluster behind ready-made clients, one for watches and one for requests: how a test puts a model of an API
    /// server in its place.
    pub fn from_clients(name: ClusterName, watch: Client, requests: Client, observer: impl Observer) -> Arc<Self> {
        let clients = clients::Clients { watch, requests, resolved: None, expires: None };
        Self::assemble(name, None, clients, Shared::new(observer))
    }

    fn assemble(
        name: ClusterName,
        config: Option<kube::Config>,
        clients: clients::Clients,
        observer: Shared,
    ) -> Arc<Self> {
        observer.cluster_up(&name, false);
        let renewal = Renewal::default();
        renewal.came(clients.expires);
        Arc::new_cyclic(|me| Self {
            name,
            config: Mutex::new(config),
            resolved: Mutex::new(clients.resolved),
            renewal,
            moves: AtomicU64::new(0),
            watch: watch::Sender::new(clients.watch),
            requests: Mutex::new(clients.requests),
            health: watch::Sender::new(Health::Unknown),
            trust: watch::Sender::new(None),
            breaker: Mutex::new(Breaker::default()),
            limiter: Limiter::new(),
            pace: Pace::default(),
            observer,
            me: me.clone(),
        })
    }

    /// The cluster's identity.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Whether it is reached as one workspace of a server that has many.
    pub fn is_workspace(&self) -> bool {
        lock(&self.config).as_ref().is_some_and(|config| config.cluster_url.path().contains("/clusters/"))
    }

    /// Whether it answers slowly of late, so that whoever has something else to do should not wait for it.
    pub fn is_slow(&self) -> bool {
        self.pace.is_slow()
    }

    /// The client for watches. The value changes when the credentials rotate: a watch is then to be started anew.
    pub fn watch_client(&self) -> watch::Receiver<Client> {
        self.watch.subscribe()
    }

    /// How the cluster fares; changes are seen by the receiver.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// From now on somebody looks who the cluster is, and until that is proven nothing is sent to it.
    pub fn guard(&self) {
        self.trust.send_if_modified(|trust| {
            let is_new = trust.is_none();
            trust.get_or_insert(Trust { proven: false, asked: 1 });
            is_new
        });
    }

    /// The cluster may be another one than before, as after an outage or a silence: until somebody has looked who it is,
    /// requests wait. Call it before going on where such a cluster was left.
    pub fn suspect(&self) {
        self.trust.send_if_modified(|trust| {
            let Some(trust) = trust else { return false };
            *trust = Trust { proven: false, asked: trust.asked + 1 };
            true
        });
    }

    /// Waits until the cluster is proven to be the one that it is taken for. For as long as it does not answer or is another one,
    /// this does not come back.
    pub async fn proven(&self) {
        // The sender is here.
        let _ = self.trust.subscribe().wait_for(|trust| trust.is_none_or(|trust| trust.proven)).await;
    }

    /// Waits until a look is asked for that is not the one of this number; its number.
    pub async fn asked_who_it_is(&self, but: u64) -> u64 {
        let mut trust = self.trust.subscribe();
        let is_other = |trust: &Option<Trust>| trust.is_some_and(|trust| !trust.proven && trust.asked != but);
        let asked = trust.wait_for(is_other).await.ok().and_then(|trust| *trust);
        asked.map_or(but, |trust| trust.asked)
    }

    /// The number of the look that was asked for last.
    pub fn looks_asked(&self) -> u64 {
        self.trust.borrow().map_or(0, |trust| trust.asked)
    }

    /// The look of this number showed that the cluster is the one that it is taken for.
    pub fn prove(&self, look: u64) {
        self.trust.send_if_modified(|trust| match trust {
            Some(trust) if trust.asked == look && !trust.proven => {
                trust.proven = true;
                true
            }
            _ => false,
        });
    }

    /// It was proven by another connection who the cluster is; that is looked at again all the same.
    pub fn vouch(&self) {
        self.guard();
        self.suspect();
    }

    /// The same connection under another name.
    pub fn under(&self, name: ClusterName) -> Arc<Self> {
        let config = lock(&self.config).clone();
        let is_renewable = config.as_ref().is_some_and(is_renewable);
        let cluster = Self::assemble(name, config, self.clients(), self.observer.clone());
        if is_renewable {
            cluster.renewal.begin(cluster.me.clone());
        }
        cluster.set_health(self.health.borrow().clone());
        cluster.keep_probing(Duration::ZERO);
        cluster
    }

    /// Whether the cluster is proven to be the one that it is taken for.
    pub fn is_proven(&self) -> bool {
        self.trust.borrow().is_none_or(|trust| trust.proven)
    }

    /// Takes the clients of another connection to the same cluster.
    pub fn adopt(&self, other: &Self) {
        let config = lock(&other.config).clone();
        let before = std::mem::replace(&mut *lock(&self.config), config.clone());
        if before.zip(config.as_ref()).is_some_and(|(before, now)| names_another_server(&before, now)) {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        self.install(other.clients());
        if config.as_ref().is_some_and(is_renewable) {
            self.renewal.begin(self.me.clone());
        }
        lock(&self.breaker).answered();
        let health = other.health.borrow().clone();
        self.set_health(health);
    }

    /// Sends `request` also while it is not proven who the cluster is: for finding that out.
    pub async fn request_unproven(&self, request: Request<Vec<u8>>) -> Result<Reply, RequestError> {
        self.fail_if_down()?;
        self.exchange(request, Limits::OBJECT).await
    }

    /// Waits for a moment until the cluster is proven to be the one that it is taken for.
    async fn fail_if_unproven(&self) -> Result<(), RequestError> {
        if self.is_proven() || timeout(PROOF, self.proven()).await.is_ok() {
            return Ok(());
        }
        self.fail_if_down()?;
        Err(RequestError::Unproven { cluster: self.name.clone(), retry_in: PROOF })
    }

    /// Sends `request`, whose URI is a path at the API server, within [`Limits::OBJECT`]. Not for watches.
    pub async fn request(&self, request: Request<Vec<u8>>) -> Result<Reply, RequestError> {
        self.request_within(request, Limits::OBJECT).await
    }

    /// Sends `request` within `limits`. Fails at once while the cluster is down or wants to be left alone.
    pub async fn request_within(&self, request: Request<Vec<u8>>, limits: Limits) -> Result<Reply, RequestError> {
        self.fail_if_down()?;
        self.fail_if_unproven().await?;
        let throttled = |retry_in| RequestError::Throttled { cluster: self.name.clone(), retry_in };
        let permit = self.limiter.acquire(limits.timeout).await.map_err(throttled)?;
        // It may have gone down while we waited our turn.
        self.fail_if_down()?;
        self.fail_if_unproven().await?;
        let outcome = self.exchange(request, limits).await;
        match &outcome {
            Err(RequestError::Api { code: StatusCode::TOO_MANY_REQUESTS, retry_after, .. }) => {
                self.limiter.throttled(*retry_after);
            }
            Ok(_) => self.limiter.went_well(),
            Err(_) => {}
        }
        drop(permit);
        outcome
    }

    /// Takes new credentials or a new address. Requests under way end with the old ones.
    pub async fn rotate(&self, config: kube::Config) -> Result<(), ClientError> {
        let _one = self.renewal.one.lock().await;
        let clients = clients::make(config.clone()).await?;
        let is_renewable = is_renewable(&config);
        let before = lock(&self.config).replace(config.clone());
        if before.is_some_and(|before| names_another_server(&before, &config)) {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        // What was true of the old address says nothing about the new one.
        self.set_health(Health::Unknown);
        self.install(clients);
        let was_down = lock(&self.breaker).answered();
        if was_down {
            tracing::debug!(cluster = %self.name, "new credentials: asking again at once");
        }
        if is_renewable {
            self.renewal.begin(self.me.clone());
        }
        self.keep_probing(Duration::ZERO);
        Ok(())
    }

    fn clients(&self) -> clients::Clients {
        clients::Clients {
            watch: self.watch.borrow().clone(),
            requests: lock(&self.requests).clone(),
            resolved: lock(&self.resolved).clone(),
            expires: self.renewal.expires(),
        }
    }

    fn install(&self, clients: clients::Clients) {
        self.renewal.came(clients.expires);
        *lock(&self.resolved) = clients.resolved;
        *lock(&self.requests) = clients.requests;
        self.watch.send_replace(clients.watch);
    }

    pub(super) fn renewal(&self) -> &Renewal {
        &self.renewal
    }

    pub(super) fn is_refused(&self) -> bool {
        *self.health.borrow() == Health::Refused
    }

    /// Gets new credentials from the same kubeconfig; whether they are any good.
    pub(super) async fn renew(&self) -> bool {
        let _one = self.renewal.one.lock().await;
        let Some(config) = lock(&self.config).clone() else { return true };
        let clients = match clients::make(config).await {
            Ok(clients) => clients,
            Err(error) => {
                if self.renewal.failed(&error.to_string()) {
                    tracing::warn!(cluster = %self.name, %error, "no new credentials; asking for them again");
                }
                return false;
            }
        };
        self.install(clients);
        // Only those whom the API server knows may read this one.
        let Ok(request) = Request::get("/api").body(Vec::new()) else { return false };
        let outcome = self.exchange(request, Limits::OBJECT).await;
        let is_good = !outcome.as_ref().is_err_and(RequestError::is_unauthorized);
        tracing::debug!(cluster = %self.name, is_good, "new credentials from the same kubeconfig");
        is_good
    }

    /// As if the kubeconfig came to name another server.
    #[cfg(any(test, feature = "testing"))]
    pub fn points_at(&self, client: Client) {
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.has_credentials(client);
    }

    /// As if the kubeconfig had new credentials.
    #[cfg(any(test, feature = "testing"))]
    pub fn has_credentials(&self, client: Client) {
        *lock(&self.requests) = client.clone();
        self.watch.send_replace(client);
    }

    /// How often the kubeconfig came to name another server: what was read of the one before says nothing of this one.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// What is to be done about credentials that the API server does not know.
    pub fn how_to_be_known(&self) -> String {
        if let Some(trouble) = self.renewal.trouble() {
            return format!("{trouble}; it is tried again by itself");
        }
        let config = lock(&self.config);
        let user = config.as_ref().map(|config| &config.auth_info);
        if let Some(plugin) = user.and_then(plugin::plugin_of) {
            return format!(
                "what its credential plugin {} gives is not known there; the plugin is asked again by itself",
                plugin::name_of(plugin)
            );
        }
        if let Some(file) = user.and_then(|user| user.token_file.as_ref().filter(|_| user.token.is_none())) {
            return format!("the token in {file} is not known there; the file is read again by itself");
        }
        "renew the credentials in its kubeconfig, which is then taken by itself".to_owned()
    }

    /// When the credentials in the clients end, in seconds since 1970, where a plugin said so.
    pub fn expires(&self) -> Option<i64> {
        lock(&self.requests).valid_until().as_ref().map(|at| at.as_second())
    }

    fn fail_if_down(&self) -> Result<(), RequestError> {
        let Verdict::Down { since, cause, retry_in } = lock(&self.breaker).verdict(Instant::now()) else {
            return Ok(());
        };
        Err(RequestError::Down { cluster: self.name.clone(), since, cause, retry_in })
    }

    /// One request and its whole answer, counted, and its lesson drawn.
    async fn exchange(&self, request: Request<Vec<u8>>, limits: Limits) -> Result<Reply, RequestError> {
        let target = Target::of(&self.name, &request);
        let client = lock(&self.requests).clone();
        let started = Instant::now();
        // A page of a list may take its time.
        let under_way = (limits == Limits::OBJECT).then(|| self.pace.begin());
        let came = AtomicUsize::new(0);
        let outcome = match timeout(limits.timeout, send(client, request, limits.max_body, &target, &came)).await {
            Ok(outcome) => outcome.map_err(|error| self.with_a_way_out(error)),
            Err(_) if came.load(Ordering::Relaxed) >= UNDER_WAY => {
                Err(RequestError::Slow { target: target.clone(), after: limits.timeout })
            }
            Err(_) => Err(RequestError::Timeout { target: target.clone(), after: limits.timeout }),
        };
        drop(under_way);
        self.observer.request(&self.name, target.verb, Class::of(&outcome), started.elapsed());
        self.learn(&outcome);
        outcome
    }

    /// An error that says what to do, where the API server's words do not.
    fn with_a_way_out(&self, error: RequestError) -> RequestError {
        match error {
            RequestError::Api { target, reason, retry_after, .. } if error.is_unauthorized() => {
                let message = self.how_to_be_known();
                RequestError::Api { target, code: StatusCode::UNAUTHORIZED, reason, message, retry_after }
            }
            other => other,
        }
    }

    /// Takes in what a watch was answered, which does not go through [`Self::request`].
    pub fn refused_a_watch(&self, error: RequestError) -> RequestError {
        if error.is_unauthorized() {
            self.note_answer(Health::Refused);
            self.renewal.refused();
        }
        self.with_a_way_out(error)
    }

    fn learn(&self, outcome: &Result<Reply, RequestError>) {
        match outcome {
            Err(error @ (RequestError::Timeout { .. } | RequestError::Network { .. })) => self.note_silence(error),
            Err(error) if error.is_unauthorized() => {
                self.note_answer(Health::Refused);
                self.renewal.refused();
            }
            _ => self.note_answer(Health::Up),
        }
    }

    fn note_answer(&self, health: Health) {
        if lock(&self.breaker).answered() {
            tracing::info!(cluster = %self.name, "the cluster answers again");
        }
        self.set_health(health);
    }

    fn note_silence(&self, error: &RequestError) {
        let cause = match error {
            RequestError::Timeout { after, .. } => format!("no answer within {} s", after.as_secs()),
            RequestError::Network { cause, .. } => cause.clone(),
            other => other.to_string(),
        };
        let opened = lock(&self.breaker).failed(cause.clone());
        let Some(since) = opened else { return };
        tracing::warn!(cluster = %self.name, cause, "the cluster does not answer; it is asked again until it does");
        self.set_health(Health::Down { since, cause });
        // Whoever answers next may be somebody else.
        self.suspect();
        self.keep_probing(self.next_pause());
    }

    fn set_health(&self, health: Health) {
        let up = health == Health::Up;
        let changed = self.health.send_if_modified(|now| {
            let changed = *now != health;
            *now = health;
            changed
        });
        if changed {
            self.observer.cluster_up(&self.name, up);
        }
    }

    /// Asks the cluster, first after `pause`, until it answers. One such task at a time; none for a detached cluster.
    fn keep_probing(&self, pause: Duration) {
        if !lock(&self.breaker).begin_probing() {
            return;
        }
        let me = self.me.clone();
        tokio::spawn(async move {
            let mut pause = pause;
            loop {
                sleep(pause).await;
                let Some(cluster) = me.upgrade() else { return };
                match cluster.probe().await {
                    Some(next) => pause = next,
                    None => return,
                }
            }
        });
    }

    /// One probe; how long to wait for the next, or `None` when the cluster answered.
    async fn probe(&self) -> Option<Duration> {
        let down = matches!(lock(&self.breaker).verdict(Instant::now()), Verdict::Down { .. });
        if down {
            // Connections in the pool may be as dead as the ones that failed.
            self.renew_requests_client().await;
        }
        let request = Request::get("/version").body(Vec::new());
        let outcome = match request {
            Ok(request) => self.exchange(request, Limits::OBJECT).await,
            // A literal path is always a valid URI.
            Err(_) => return None,
        };
        if matches!(outcome, Err(RequestError::Timeout { .. } | RequestError::Network { .. })) {
            return Some(self.next_pause());
        }
        // Old requests may have failed since, and have found this task still at it: then it goes on.
        let mut breaker = lock(&self.breaker);
        breaker.end_probing();
        let now = Instant::now();
        let again = matches!(breaker.verdict(now), Verdict::Down { .. }) && breaker.begin_probing();
        again.then(|| breaker.pause(now))
    }

    fn next_pause(&self) -> Duration {
        lock(&self.breaker).pause(Instant::now())
    }

    async fn renew_requests_client(&self) {
        let Some(config) = lock(&self.resolved).clone() else { return };
        match clients::again(config).await {
            Ok((_, requests)) => *lock(&self.requests) = requests,
            Err(error) => tracing::warn!(cluster = %self.name, %error, "no new client; the old one is used"),
        }
    }
}

/// Whether other credentials may come out of the same kubeconfig.
fn is_renewable(config: &kube::Config) -> bool {
    plugin::plugin_of(&config.auth_info).is_some() || config.auth_info.token_file.is_some()
}

fn names_another_server(one: &kube::Config, other: &kube::Config) -> bool {
    one.cluster_url != other.cluster_url
        || one.root_cert != other.root_cert
        || one.tls_server_name != other.tls_server_name
        || one.proxy_url != other.proxy_url
}

async fn send(
    client: Client,
    request: Request<Vec<u8>>,
    max_body: usize,
    target: &Arc<Target>,
    came: &AtomicUsize,
) -> Result<Reply, RequestError> {
    let network = |cause| RequestError::Network { target: target.clone(), cause };
    let answer = client.send(request.map(kube::client::Body::from)).await.map_err(|error| network(describe(&error)))?;
    let (parts, mut rest) = answer.into_parts();
    let mut body = BytesMut::new();
    while let Some(frame) = rest.frame().await {
        let Ok(data) = frame.map_err(|error| network(describe(&error)))?.into_data() else { continue };
        if body.len() + data.len() > max_body {
            return Err(RequestError::TooLarge { target: target.clone(), limit: max_body });
        }
        body.extend_from_slice(&data);
        came.store(body.len(), Ordering::Relaxed);
    }
    if parts.status.is_success() {
        return Ok(Reply { status: parts.status, body: body.freeze() });
    }
    Err(RequestError::from_answer(target.clone(), parts.status, &parts.headers, &body))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests;
