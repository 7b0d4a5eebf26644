//! Leader election on a Lease in the coordination cluster: who may write.
//!
//! A Lease has no fencing, so the holder stops by itself: it counts from when it *sent* its last successful renewal, and
//! gives up 5 s before others may take over. Others count from when they *saw* the last change, by their own clock: how far
//! the hosts' clocks are apart does not matter. Leadership that was lost does not come back; the process is to end and
//! start anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, StatusCode, header};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use parking_lot::Mutex;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    observe::{Observer, Shared},
    transport::{Cluster, Limits, RequestError},
};

/// The Lease's name.
pub const NAME: &str = "resource-broker";
/// Others may take over when the Lease has not changed for so long, in seconds.
const DURATION_SECONDS: i32 = 15;
/// The holder stops when its last successful renewal was sent so long ago.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between tries, and between renewals.
const RETRY: Duration = Duration::from_secs(2);
/// A renewal must fail early enough for another.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(4), max_body: 1 << 20 };

/// Where we stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Somebody else leads, or nobody yet.
    Waiting,
    /// We lead until then, if not renewed.
    Leading { until: Instant },
    /// We do not lead any more.
    Over,
}

/// A handle on the election. Dropping it ends the renewals without releasing the Lease.
#[derive(Debug)]
pub struct Leadership {
    phase: watch::Receiver<Phase>,
    running: Mutex<Option<Running>>,
    released: AtomicBool,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Leadership {
    /// Leads from the start and for ever: for a broker that runs alone.
    pub fn unopposed(observer: &impl Observer) -> Self {
        observer.leader(true);
        // Far enough away that nobody sees it, near enough to be counted with.
        let until = Instant::now() + Duration::from_hours(100 * 365 * 24);
        let (_, phase) = watch::channel(Phase::Leading { until });
        Self { phase, running: Mutex::default(), released: AtomicBool::default() }
    }

    /// Stands for election on the Lease in `namespace` of `cluster`, as `identity`, which no other process may have.
    pub fn stand(cluster: Arc<Cluster>, namespace: &str, identity: String, observer: impl Observer) -> Self {
        observer.leader(false);
        let (phase, receiver) = watch::channel(Phase::Waiting);
        let (stop, stopped) = oneshot::channel();
        let mut candidate = Candidate {
            lease: LeaseClient { cluster, namespace: namespace.to_owned() },
            identity,
            phase,
            observer: Shared::new(observer),
            seen: None,
            held: None,
            told: String::new(),
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = candidate.run() => {}
                _ = stopped => {}
            }
            candidate.step_down().await;
        });
        let running = Mutex::new(Some(Running { stop, task }));
        Self { phase: receiver, running, released: AtomicBool::default() }
    }

    /// Whether a write may be sent now. Ask before each one.
    pub fn is_leader(&self) -> bool {
        let leads = matches!(*self.phase.borrow(), Phase::Leading { until } if Instant::now() < until);
        leads && !self.released.load(Ordering::SeqCst)
    }

    /// Waits until we lead. Never ends when leadership was lost before.
    pub async fn acquired(&self) {
        let mut phase = self.phase.clone();
        if phase.wait_for(|phase| matches!(phase, Phase::Leading { .. })).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until we lead no more; does not end before we have led.
    pub async fn lost(&self) {
        let mut phase = self.phase.clone();
        // Without an election there is no sender, and the phase stays what it is.
        let mut lives = true;
        loop {
            let now = *phase.borrow_and_update();
            let ends = match now {
                Phase::Over => return,
                Phase::Leading { until } => Some(until),
                Phase::Waiting => None,
            };
            tokio::select! {
                changed = phase.changed(), if lives => lives = changed.is_ok(),
                // The renewing task may hang in a request, so its word is not waited for.
                () = sleep_until(ends.unwrap_or_else(Instant::now)), if ends.is_some() => return,
                else => std::future::pending().await,
            }
        }
    }

    /// Ends leadership at once, and then lets others take over. For a stop in good order, when nothing is written any more.
    pub async fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
        let Some(Running { stop, task }) = self.take_running() else { return };
        // Either may be over already.
        let _ = stop.send(());
        let _ = task.await;
    }

    fn take_running(&self) -> Option<Running> {
        self.running.lock().take()
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        if let Some(running) = self.take_running() {
            running.task.abort();
        }
    }
}

/// The Lease object and how it is read and written.
struct LeaseClient {
    cluster: Arc<Cluster>,
    namespace: String,
}

impl LeaseClient {
    async fn get(&self) -> Result<Option<Lease>, ElectionError> {
        match self.send(Method::GET, &format!("/{NAME}"), None).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, spec: LeaseSpec) -> Result<Lease, ElectionError> {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        };
        self.send(Method::POST, "", Some(&Lease { metadata, spec: Some(spec) })).await
    }

    /// Replaces the Lease; a conflict where it is not the one that `lease` was read as.
    async fn replace(&self, lease: &Lease) -> Result<Lease, ElectionError> {
        self.send(Method::PUT, &format!("/{NAME}"), Some(lease)).await
    }

    async fn send(&self, method: Method, below: &str, lease: Option<&Lease>) -> Result<Lease, ElectionError> {
        let uri = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases{below}", self.namespace);
        let body = lease.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(body).map_err(|_| ElectionError::Namespace(self.namespace.clone()))?;
        let reply = self.cluster.request_within(request, LIMITS).await?;
        Ok(serde_json::from_slice(&reply.body)?)
    }
}

#[derive(Debug, thiserror::Error)]
enum ElectionError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the Lease is not what it should be: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0:?} cannot be the name of a namespace")]
    Namespace(String),
    #[error("{0} holds the Lease")]
    Taken(String),
}

impl ElectionError {
    fn is(&self, code: StatusCode) -> bool {
        matches!(self, Self::Request(error) if error.code() == Some(code))
    }
}

/// What was last seen of a Lease that another holds.
struct Seen {
    version: Option<String>,
    at: Instant,
}

struct Candidate {
    lease: LeaseClient,
    identity: String,
    phase: watch::Sender<Phase>,
    observer: Shared,
    seen: Option<Seen>,
    /// The Lease as we last wrote it.
    held: Option<Lease>,
    /// What was last logged about waiting, so that it is said once.
    told: String,
}

impl Candidate {
    /// Waits for the Lease, and keeps it until it is lost.
    async fn run(&mut self) {
        loop {
            let sent = Instant::now();
            match self.acquire().await {
                Ok(lease) => break self.lead(lease, sent),
                Err(error) => self.tell(&error),
            }
            sleep(RETRY.mul_f64(rand::random_range(1.0..1.2))).await;
        }
        tracing::info!(identity = self.identity, "this broker leads");
        self.observer.leader(true);
        while self.keep().await {}
    }

    /// Takes the Lease if it is free.
    async fn acquire(&mut self) -> Result<Lease, ElectionError> {
        let Some(lease) = self.lease.get().await? else {
            return self.lease.create(self.claim(None)).await;
        };
        if let Some(holder) = self.holder_to_wait_for(&lease) {
            return Err(ElectionError::Taken(holder));
        }
        let claim = self.claim(lease.spec.as_ref());
        self.lease.replace(&Lease { spec: Some(claim), ..lease }).await
    }

    /// Who holds the Lease, unless it has not changed for as long as it lasts.
    fn holder_to_wait_for(&mut self, lease: &Lease) -> Option<String> {
        let spec = lease.spec.as_ref()?;
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty() && *holder != self.identity)?;
        let version = lease.metadata.resource_version.clone();
        let now = Instant::now();
        let seen_at = match &self.seen {
            Some(seen) if seen.version == version => seen.at,
            _ => {
                self.seen = Some(Seen { version, at: now });
                now
            }
        };
        let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or(DURATION_SECONDS)).unwrap_or_default();
        (now.duration_since(seen_at) < Duration::from_secs(lasts)).then_some(holder)
    }

    /// The Lease's spec with us in it.
    fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mut spec = before.cloned().unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = before.map(|before| before.lease_transitions.unwrap_or(0).saturating_add(1));
            spec.holder_identity = Some(self.identity.clone());
        }
        spec.lease_duration_seconds = Some(DURATION_SECONDS);
        spec.renew_time = Some(now);
        spec
    }

    /// One pause and one renewal; false when leadership is over.
    async fn keep(&mut self) -> bool {
        sleep(RETRY).await;
        let sent = Instant::now();
        match self.renew().await {
            Ok(lease) => self.lead(lease, sent),
            Err(error @ ElectionError::Taken(_)) => {
                tracing::error!(%error, "leadership lost");
                return false;
            }
            Err(error) => tracing::warn!(%error, "the Lease could not be renewed"),
        }
        let lasts = matches!(*self.phase.borrow(), Phase::Leading { until } if Instant::now() < until);
        if !lasts {
            tracing::error!("leadership lost: the Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs());
        }
        lasts
    }

    async fn renew(&mut self) -> Result<Lease, ElectionError> {
        if let Some(held) = self.held.clone() {
            let claim = self.claim(held.spec.as_ref());
            match self.lease.replace(&Lease { spec: Some(claim), ..held }).await {
                Err(error) if error.is(StatusCode::CONFLICT) || error.is(StatusCode::NOT_FOUND) => {}
                outcome => return outcome,
            }
        }
        let Some(lease) = self.ours().await? else {
            return self.lease.create(self.claim(None)).await;
        };
        let claim = self.claim(lease.spec.as_ref());
        self.lease.replace(&Lease { spec: Some(claim), ..lease }).await
    }

    /// The Lease as it is now, where somebody wrote it since: perhaps we ourselves, with a request that seemed to fail.
    async fn ours(&self) -> Result<Option<Lease>, ElectionError> {
        let Some(lease) = self.lease.get().await? else { return Ok(None) };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        if holder != self.identity {
            return Err(ElectionError::Taken(if holder.is_empty() { "nobody".to_owned() } else { holder }));
        }
        Ok(Some(lease))
    }

    fn lead(&mut self, lease: Lease, sent: Instant) {
        self.held = Some(lease);
        self.phase.send_replace(Phase::Leading { until: sent + RENEW_DEADLINE });
    }

    /// Ends leadership here first, then in the Lease if it is still ours.
    async fn step_down(&mut self) {
        let led = matches!(self.phase.send_replace(Phase::Over), Phase::Leading { until } if Instant::now() < until);
        self.observer.leader(false);
        let Some(held) = self.held.take().filter(|_| led) else { return };
        match self.let_go(held).await {
            Ok(()) => tracing::info!("the Lease is released"),
            Err(error) => tracing::warn!(%error, "the Lease could not be released; it ends by itself"),
        }
    }

    async fn let_go(&self, held: Lease) -> Result<(), ElectionError> {
        let free = |lease: Lease| {
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                ..self.claim(lease.spec.as_ref())
            };
            Lease { spec: Some(spec), ..lease }
        };
        match self.lease.replace(&free(held)).await {
            // A renewal was under way when it was told to stop, and took effect.
            Err(error) if error.is(StatusCode::CONFLICT) => match self.ours().await? {
                Some(lease) => self.lease.replace(&free(lease)).await.map(drop),
                None => Ok(()),
            },
            outcome => outcome.map(drop),
        }
    }

    fn tell(&mut self, error: &ElectionError) {
        let text = error.to_string();
        if text != self.told {
            match error {
                ElectionError::Taken(holder) => tracing::info!(holder, "standing by: another broker leads"),
                error => tracing::warn!(%error, "standing by: the Lease cannot be had"),
            }
            self.told = text;
        }
    }
}

#[cfg(test)]
mod tests;
