//! Keeps one store as its cluster is: finds how the kind is served, lists it in pages, watches it, and starts anew
//! where that ends. One task for each cluster and kind; what fails in one is a fact about that one.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, pin_mut};
use http::Request;
use kube::core::WatchEvent;
use rand::RngExt;
use resource_broker_api::{
    keys,
    names::{Gvk, Role},
    object::Object,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    cache::{Cache, Dirty, State, StoreId, What, WorkKey, own},
    discovery::{self, DiscoveryError},
    metrics::Metrics,
    queue::Queue,
    resource::{METADATA_LIST, METADATA_WATCH, Resource},
    transport::{Cluster, EventError, Health, Limits, RequestError, events},
};

/// The most objects of one kind in one cluster: a server that never ends its list must not fill the memory.
const MOST: usize = 1_000_000;
/// Objects in one page of a list.
const PAGE: usize = 500;
/// A connection on which nothing came for so long is dead: API servers send a bookmark every minute.
const SILENCE: Duration = Duration::from_secs(65);
/// The shortest and the longest pause before something that failed is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(20));
/// How often a kind that is not served is asked for.
const NOT_SERVED_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// The same in the compute cluster, where a kind may be one that a stage has misspelt, and a change of the migration calls.
const NOT_THERE_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(5));
/// The shortest pause before a try that somebody calls for.
const CALLED_PAUSE: Duration = Duration::from_secs(1);
/// How often a kind that may not be watched is tried again, in case the permission comes.
const FORBIDDEN_PAUSE: Duration = Duration::from_mins(2);
/// The same in the compute cluster, where a migration stands still meanwhile.
const FORBIDDEN_THERE_PAUSE: (Duration, Duration) = (Duration::from_secs(8), FORBIDDEN_PAUSE);
/// How much earlier than asked a watch may end.
const SLACK: Duration = Duration::from_secs(5);
/// A watch that held for so long did well.
const DID_WELL: Duration = Duration::from_secs(5);

/// Takes what a change concerns to the queue.
pub fn enqueue(queue: &Queue<WorkKey>, dirty: Dirty) {
    queue.add_all(dirty.now);
    for key in dirty.later {
        queue.add_after(key, crate::cache::COUNT_DELAY);
    }
}

/// One watch.
pub struct Watch {
    /// Which store it keeps.
    pub id: StoreId,
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The broker's namespace there, in the coordination and in the compute cluster.
    pub namespace: String,
    /// Where the store is.
    pub cache: Arc<Cache>,
    /// Where changes go.
    pub queue: Arc<Queue<WorkKey>>,
    /// Counts restarts.
    pub metrics: Metrics,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the list cannot be read: {0}")]
    List(serde_json::Error),
    #[error("the watch request cannot be made: {0}")]
    Http(#[from] http::Error),
    #[error("nothing came for {} s", SILENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Stream(EventError),
    #[error("the resource version is too old")]
    Expired,
    #[error("the list has more than {MOST} objects")]
    TooMany,
    #[error("the API server ended the watch before its time")]
    Early,
    #[error("the API server ended the watch: {code} {message}")]
    Refused { code: u16, message: String },
}

impl Ended {
    /// Whether the cluster cannot be reached, whatever is asked of it.
    fn is_of_the_cluster(&self) -> bool {
        matches!(
            self,
            Self::Discovery(DiscoveryError::Request(error)) | Self::Request(error)
                if matches!(error, RequestError::Network { .. } | RequestError::Down { .. })
        )
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Discovery(DiscoveryError::Request(error)) | Self::Request(error) => {
                error.code().map(|code| code.as_u16())
            }
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the connection alone is at fault: the watch can go on where it was.
    fn is_interruption(&self) -> bool {
        match self {
            Self::Silent | Self::Stream(EventError::Broken(_)) => true,
            Self::Request(error) => error.code().is_none(),
            _ => false,
        }
    }

    /// What the store's readers are told.
    fn state(&self) -> State {
        let why = self.to_string();
        match (self, self.code()) {
            (Self::Discovery(DiscoveryError::NotServed(_)), _) | (_, Some(404)) => State::NotServed(why),
            (_, Some(403)) => State::Forbidden(why),
            _ => State::Failing(why),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    /// API servers send null for none.
    items: Option<Vec<Object>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Watch {
    /// Runs until it is dropped. Its store is open, and whoever closes it ends this.
    pub async fn run(self) {
        let mut failures: u32 = 0;
        let mut known = false;
        loop {
            let ended = match self.keep(&mut failures).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            self.metrics.watch_restart(&self.id.cluster, &self.id.what.to_string());
            let state = ended.state();
            known &= failures > 0;
            let pause = self.pause(&state, failures);
            // What is in the store stays until the new list is there. A first list that never comes to its end is told.
            let is_normal = failures == 0 || self.cache.is_synced(&self.id);
            failures += 1;
            if is_normal && matches!(ended, Ended::Expired | Ended::Early) {
                tracing::debug!(store = %self.id, reason = %ended, "listing again");
            } else {
                self.report(&ended, &state, &mut known);
                self.mark(state);
            }
            self.rest(pause).await;
        }
    }

    /// Says once, not at every try, that something is wrong.
    fn report(&self, ended: &Ended, state: &State, known: &mut bool) {
        if std::mem::replace(known, true) {
            tracing::debug!(store = %self.id, error = %ended, "the watch ended; trying again");
            return;
        }
        match state {
            State::NotServed(_) => {
                tracing::info!(store = %self.id, reason = %ended, "waiting for the API to be served");
            }
            State::Forbidden(_) if matches!(self.id.what, What::Sources(_) | What::Related(_)) => {
                tracing::info!(store = %self.id, reason = %ended, "may not be watched; read one by one instead");
            }
            // That is told of the cluster, once.
            _ if ended.is_of_the_cluster() => tracing::debug!(store = %self.id, error = %ended, "cannot be read"),
            _ => tracing::warn!(store = %self.id, error = %ended, "cannot be read; trying again"),
        }
    }

    /// A store that was read once stays believed while the cluster does not answer: its objects are still there.
    fn mark(&self, state: State) {
        let keeps = matches!(state, State::Failing(_)) && self.cache.is_synced(&self.id);
        if !keeps {
            enqueue(&self.queue, self.cache.state(&self.id, state));
        }
    }

    fn pause(&self, state: &State, failures: u32) -> Duration {
        let is_for_stages = matches!(self.id.what, What::Stage(_) | What::Mirrors(_));
        let (shortest, longest) = match state {
            State::Forbidden(_) if is_for_stages => FORBIDDEN_THERE_PAUSE,
            State::Forbidden(_) => (FORBIDDEN_PAUSE, FORBIDDEN_PAUSE),
            State::NotServed(_) if is_for_stages => NOT_THERE_PAUSE,
            State::NotServed(_) => NOT_SERVED_PAUSE,
            _ => PAUSE,
        };
        let pause = shortest.saturating_mul(1 << failures.min(10)).min(longest);
        pause.mul_f64(rand::rng().random_range(0.75..1.25))
    }

    /// Waits, but no longer than until the cluster answers again or has new credentials, or somebody calls.
    async fn rest(&self, pause: Duration) {
        let mut health = self.cluster.health();
        let mut client = self.cluster.watch_client();
        let call = self.cache.call(&self.id);
        let called = async {
            sleep(CALLED_PAUSE).await;
            call.notified().await;
        };
        let was_up = *health.borrow_and_update() == Health::Up;
        client.borrow_and_update();
        tokio::select! {
            () = sleep(pause) => {}
            _ = health.wait_for(|health| !was_up && *health == Health::Up) => {}
            _ = client.changed() => {}
            () = called => {}
        }
    }

    /// Lists and watches until something goes wrong.
    async fn keep(&self, failures: &mut u32) -> Result<std::convert::Infallible, Ended> {
        let resource = self.resource().await?;
        self.cache.discovered(&self.id, resource.clone());
        let started = Instant::now();
        let mut version = self.list(&resource).await?;
        tracing::debug!(store = %self.id, took_ms = started.elapsed().as_millis(), "listed");
        let mut client = self.cluster.watch_client();
        loop {
            let now = client.borrow_and_update().clone();
            let started = Instant::now();
            tokio::select! {
                ended = self.follow(now, &resource, &mut version) => {
                    if started.elapsed() >= DID_WELL {
                        *failures = 0;
                    }
                    match ended {
                        Ok(()) => {}
                        Err(error) if error.is_interruption() => {
                            tracing::debug!(store = %self.id, %error, "the watch broke; going on where it was");
                            *failures += 1;
                            self.cluster.suspect();
                            self.metrics.watch_restart(&self.id.cluster, &self.id.what.to_string());
                            self.rest(self.pause(&State::Starting, *failures)).await;
                        }
                        Err(ended) => return Err(ended),
                    }
                }
                // New credentials: the watch goes on with them.
                _ = client.changed() => {}
            }
        }
    }

    async fn resource(&self) -> Result<Resource, Ended> {
        match &self.id.what {
            What::Records => Ok(own::records()),
            What::Offers => Ok(own::offers()),
            What::Plugins => Ok(own::plugins()),
            What::Components => Ok(own::config_maps()),
            What::Migrations => Ok(own::migrations()),
            What::Configurations => Ok(own::configurations()),
            What::Clusters => Ok(own::clusters()),
            What::Kind(gvk) => Ok(discovery::find(&self.cluster, gvk, self.id.cluster.role == Role::Consumer).await?),
            What::Sources(gvk) | What::Related(gvk) | What::Stage(gvk) | What::Mirrors(gvk) => match known(gvk) {
                Some(resource) => Ok(resource),
                None => Ok(discovery::find(&self.cluster, gvk, false).await?),
            },
        }
    }

    fn is_metadata(&self) -> bool {
        matches!(self.id.what, What::Sources(_) | What::Related(_) | What::Mirrors(_) | What::Components)
    }

    /// The collection with what selects from it.
    fn path(&self, resource: &Resource) -> String {
        match &self.id.what {
            What::Records
            | What::Plugins
            | What::Components
            | What::Migrations
            | What::Configurations
            | What::Clusters => {
                format!("{}?", resource.collection(Some(&self.namespace)))
            }
            What::Stage(_) => {
                format!("{}?labelSelector={}&", resource.collection(Some(&self.namespace)), keys::MIGRATION_STAGE)
            }
            What::Mirrors(_) => {
                let collection = resource.collection(Some(&self.namespace));
                // A comma and an exclamation mark, escaped: with an id, and of no stage.
                format!("{collection}?labelSelector={}%2C%21{}&", keys::MIGRATION_ID, keys::MIGRATION_STAGE)
            }
            What::Related(_) => format!("{}?labelSelector={}&", resource.all(), keys::RELATED_TO),
            What::Offers | What::Kind(_) | What::Sources(_) => format!("{}?", resource.all()),
        }
    }

    /// Lists everything in pages into the store; returns the version to watch from.
    async fn list(&self, resource: &Resource) -> Result<String, Ended> {
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        let accept = if self.is_metadata() { METADATA_LIST } else { "application/json" };
        loop {
            let mut path = format!("{}limit={PAGE}", self.path(resource));
            if let Some(token) = &next {
                path.push_str("&continue=");
                path.push_str(token);
            }
            let request = Request::get(path).header(http::header::ACCEPT, accept).body(Vec::new())?;
            let reply = self.cluster.request_within(request, Limits::PAGE).await;
            let reply = reply.map_err(|error| if error.is_gone() { Ended::Expired } else { error.into() })?;
            let page: Page = serde_json::from_slice(&reply.body).map_err(Ended::List)?;
            objects.extend(page.items.unwrap_or_default());
            next = page.metadata.next.filter(|token| !token.is_empty());
            if objects.len() > MOST {
                return Err(Ended::TooMany);
            }
            if next.is_none() {
                let version = page.metadata.resource_version;
                enqueue(&self.queue, self.cache.listed(&self.id, &version, objects));
                return Ok(version);
            }
        }
    }

    /// Follows changes until the API server ends the watch in its time, every few minutes.
    async fn follow(&self, client: kube::Client, resource: &Resource, version: &mut String) -> Result<(), Ended> {
        // Where it was left another cluster may be now.
        self.cluster.proven().await;
        // Each watch ends at a time of its own, so that they do not all come back at once.
        let seconds: u64 = rand::rng().random_range(240..290);
        let started = Instant::now();
        let path = format!(
            "{}watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}",
            self.path(resource)
        );
        let accept = if self.is_metadata() { METADATA_WATCH } else { "application/json" };
        let request = Request::get(path).header(http::header::ACCEPT, accept).body(Vec::new())?;
        let stream = timeout(SILENCE, events::<Object>(&self.id.cluster, client, request));
        let stream = stream
            .await
            .map_err(|_| Ended::Silent)?
            .map_err(|error| if error.is_gone() { Ended::Expired } else { error.into() })?;
        pin_mut!(stream);
        loop {
            let Some(event) = timeout(SILENCE, stream.next()).await.map_err(|_| Ended::Silent)? else {
                // An API server ends the watches of a kind whose CRD changes: it may be served differently now.
                let in_time = started.elapsed() + SLACK >= Duration::from_secs(seconds);
                return if in_time { Ok(()) } else { Err(Ended::Early) };
            };
            match event.map_err(Ended::Stream)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    object.resource_version().clone_into(version);
                    enqueue(&self.queue, self.cache.seen(&self.id, object));
                }
                WatchEvent::Deleted(object) => {
                    object.resource_version().clone_into(version);
                    enqueue(&self.queue, self.cache.deleted(&self.id, &object));
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    self.cache.seen_to(&self.id, version);
                }
                WatchEvent::Error(status) if status.code == 410 => return Err(Ended::Expired),
                WatchEvent::Error(status) => {
                    return Err(Ended::Refused { code: status.code, message: status.message });
                }
            }
        }
    }
}

/// Kinds that need no discovery.
fn known(gvk: &Gvk) -> Option<Resource> {
    let plural = match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
        ("", "v1", "Secret") => "secrets",
        ("", "v1", "ConfigMap") => "configmaps",
        _ => return None,
    };
    Some(Resource::known(gvk.clone(), plural))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::{answer, cluster, scope};

    /// A consumer that answers each list with `status` and `body`, and what its store is said to be after a minute.
    async fn state_after_a_minute(status: u16, body: &'static str) -> Option<String> {
        let metrics = Metrics::new();
        let cluster = cluster("consumer#c", &metrics, move |_| async move { answer(status, body) });
        let secrets = Gvk::new("", "v1", "Secret");
        let cache = Arc::new(Cache::new(scope(vec![], vec![secrets.clone()])));
        cache.attach(cluster.name());
        let id = StoreId { cluster: cluster.name().clone(), what: What::Related(secrets) };
        cache.open(&id);
        let watch = Watch {
            id,
            cluster,
            namespace: "broker".into(),
            cache: cache.clone(),
            queue: Arc::new(Queue::new()),
            metrics,
        };
        assert!(timeout(Duration::from_mins(1), watch.run()).await.is_err());
        cache.states().into_iter().find_map(|(_, why)| why)
    }

    /// A store of a kind that its cluster does not serve, the cache, and how often the cluster has been asked for it.
    fn unserved(what: fn(Gvk) -> What) -> (Watch, Arc<Cache>, Arc<AtomicUsize>) {
        let (metrics, asked) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
        let server = {
            let asked = asked.clone();
            move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                async move { answer(404, "{}") }
            }
        };
        let cluster = cluster("compute#compute", &metrics, server);
        let cache = Arc::new(Cache::new(scope(vec![], vec![])));
        cache.attach(cluster.name());
        let id = StoreId { cluster: cluster.name().clone(), what: what(Gvk::new("batch", "v1", "Jobb")) };
        cache.open(&id);
        let queue = Arc::new(Queue::new());
        (Watch { id, cluster, namespace: "n".into(), cache: cache.clone(), queue, metrics }, cache, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_compute_does_not_serve_is_asked_for_ever_less_often() {
        for (what, at_most) in [(What::Stage as fn(Gvk) -> What, 30), (What::Mirrors, 30), (What::Kind, 1000)] {
            let (watch, _, asked) = unserved(what);
            assert!(timeout(Duration::from_hours(1), watch.run()).await.is_err());
            let asked = asked.load(Ordering::Relaxed);
            assert!((at_most / 3..at_most).contains(&asked), "{asked} times in an hour");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_called_asks_at_once_but_not_all_the_time() {
        let (watch, cache, asked) = unserved(What::Stage);
        let id = watch.id.clone();
        let watching = tokio::spawn(watch.run());
        sleep(Duration::from_hours(1)).await;
        let before = asked.load(Ordering::Relaxed);
        for _ in 0..100 {
            cache.call(&id).notify_one();
            sleep(Duration::from_millis(100)).await;
        }
        let more = asked.load(Ordering::Relaxed) - before;
        assert!((9..=11).contains(&more), "{more} times in ten seconds");
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_list_that_never_comes_to_its_end_is_told() {
        let gone = r#"{"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}"#;
        assert_eq!(state_after_a_minute(410, gone).await.as_deref(), Some("the resource version is too old"));
    }
}
