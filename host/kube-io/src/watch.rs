//! Keeps one store as its cluster is: finds how the kind is served, lists it in pages, watches it, and starts anew
//! where that ends. One task for each cluster and kind; what fails in one is a fact about that one.
//!
//! A watch that breaks goes on where it was. Before that it makes sure that the cluster is still in the state that it was
//! in, or in a later one: an API server answers a watch from a version that it has not come to yet, and then shows nothing.

mod pages;

pub use self::pages::is_version;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, pin_mut};
use http::Request;
use kube::core::WatchEvent;
use rand::RngExt;
use resource_broker_api::{names::Gvk, object::Object};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use self::pages::{NoPage, Page, PageSize};

use crate::{
    discovery::{self, DiscoveryError, Found},
    observe::Shared,
    resource::{METADATA_LIST, METADATA_WATCH, Resource},
    transport::{Cluster, EventError, Health, Limits, RequestError, Target, events, tame},
};

/// The most objects of one kind in one cluster: a server that never ends its list must not fill the memory.
const MOST: usize = 1_000_000;
/// How often in a row one page of a list is asked for where the API server is not up to it, before the list begins anew.
const PAGE_TRIES: u32 = 5;
/// How often in a row a watch that the API server fails to serve goes on where it was.
const FAILED_RESUMES: u32 = 5;
/// The shortest time between two looks at whether a cluster went back.
const DOUBT_PAUSE: Duration = Duration::from_secs(5);
/// A connection on which nothing came for so long is dead: API servers send a bookmark every minute.
const SILENCE: Duration = Duration::from_secs(65);
/// The shortest and the longest pause before something that failed is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(20));
/// How often a kind that is not served is asked for.
const NOT_SERVED_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// The same of a watch that is on call.
const NOT_THERE_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(5));
/// The shortest pause before a try that somebody calls for.
const CALLED_PAUSE: Duration = Duration::from_secs(1);
/// How often a kind that may not be watched is tried again, in case the permission comes.
const FORBIDDEN_PAUSE: Duration = Duration::from_mins(2);
/// The same of a watch that is on call.
const FORBIDDEN_THERE_PAUSE: (Duration, Duration) = (Duration::from_secs(8), FORBIDDEN_PAUSE);
/// How much earlier than asked a watch may end.
const SLACK: Duration = Duration::from_secs(5);
/// A watch that was not ended for so long is one that is served.
const HOLDS: Duration = Duration::from_secs(2);
/// A watch that held for so long did well.
const DID_WELL: Duration = Duration::from_secs(5);

/// Whether a store can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The first list is under way.
    Starting,
    /// It shows what the cluster has.
    Synced,
    /// The cluster does not serve the kind.
    NotServed(String),
    /// It may not be listed or watched there.
    Forbidden(String),
    /// The cluster does not answer.
    Failing(String),
}

/// Where a watch keeps what it sees. All methods return at once.
pub trait Store: Send + Sync {
    /// Whether it shows what the cluster has.
    fn is_synced(&self) -> bool;
    /// About how many bytes its objects take in memory.
    fn weight(&self) -> usize;
    /// The newest version that it has seen, where all that it has seen is of one history.
    fn newest(&self) -> Option<u64>;
    /// Whether an object that the cluster shows belies the store, which has seen everything up to `version`.
    fn is_belied_by(&self, object: &Object, version: u64) -> bool;
    /// By what the watch is asked to make sure that the cluster is still in the state that the store shows.
    fn doubt(&self) -> Arc<Notify>;
    /// By what a watch that waits for its next try is called.
    fn call(&self) -> Arc<Notify>;
    /// It is believed and not followed now, for this reason; `None`: it is followed.
    fn unfollowed(&self, why: Option<String>);
    /// It is in another state.
    fn state(&self, state: State);
    /// What it has is of another cluster, or of a state that the cluster was set back from, until it is listed again.
    fn distrust(&self, why: String);
    /// How the cluster serves the kind.
    fn discovered(&self, resource: Resource);
    /// All objects that there are at `version`.
    fn listed(&self, version: &str, objects: Vec<Object>);
    /// An object as it is now.
    fn seen(&self, object: Object);
    /// The end of an object.
    fn deleted(&self, object: &Object);
    /// Everything up to a version has been seen.
    fn seen_to(&self, version: &str);
}

/// Which objects of a cluster a watch follows.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Their kind.
    pub kind: Served,
    /// Their namespace; `None`: all.
    pub namespace: Option<String>,
    /// The labels that they have, as a selector in a query, escaped.
    pub labels: Option<String>,
    /// Whether their metadata is all that is asked for.
    pub metadata: bool,
    /// Whether whoever needs the objects reads them one by one where they may not be watched.
    pub optional: bool,
    /// Whether the kind may be one that somebody has misspelt, and the store's readers call when that may have changed.
    pub on_call: bool,
}

/// How it is found out how a cluster serves a kind.
#[derive(Clone, Debug)]
pub enum Served {
    /// It is known beforehand.
    Known(Resource),
    /// The cluster is asked.
    Asked {
        /// The kind.
        gvk: Gvk,
        /// Whether its schema matters, for [`Shape`](resource_broker_api::object::Shape).
        with_shape: bool,
    },
}

impl Served {
    /// A kind of which nothing but its objects is of interest.
    pub fn plain(gvk: &Gvk) -> Self {
        let plural = match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
            ("", "v1", "Secret") => "secrets",
            ("", "v1", "ConfigMap") => "configmaps",
            _ => return Self::Asked { gvk: gvk.clone(), with_shape: false },
        };
        Self::Known(Resource::known(gvk.clone(), plural))
    }
}

/// One watch.
pub struct Watch {
    /// What logs call its store.
    pub name: String,
    /// What measurements call its kind.
    pub kind: String,
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// What is followed there.
    pub selection: Selection,
    /// How many bytes the store may take in memory. A new list of it may take as many again while it comes in.
    pub most: usize,
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// Counts restarts.
    pub observer: Shared,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    NoPage(#[from] NoPage),
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
    #[error(
        "its objects take more than {} MiB of the broker's memory, so that they are not read: have fewer or smaller ones there, or \
         give the broker more memory and a higher --max-memory-per-kind",
        most >> 20
    )]
    TooMuch { most: usize },
    #[error(
        "{0} alone is larger than {bytes} bytes, and nothing of its kind can be read as long as it is there: make it smaller, or \
         delete it",
        bytes = Limits::PAGE.max_body
    )]
    Giant(String),
    #[error("the API server ended the watch before its time")]
    Early,
    #[error(
        "its versions went back, from {seen} to {shown}: it was restored from a backup, or another cluster answers in its \
         place; it is read anew"
    )]
    WentBack { seen: u64, shown: u64 },
    #[error(
        "it shows {0}, which was not there at that version before: it was restored from a backup, or another cluster answers \
         in its place; it is read anew"
    )]
    Belied(String),
    #[error("its kubeconfig names another server now; it is read anew")]
    Moved,
    #[error("its schema is published now; it is read anew")]
    Published,
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

    fn request(&self) -> Option<&RequestError> {
        match self {
            Self::Discovery(DiscoveryError::Request(error)) | Self::Request(error) => Some(error),
            _ => None,
        }
    }

    fn code(&self) -> Option<u16> {
        let request = self.request().filter(|error| !error.is_unauthorized());
        request.and_then(RequestError::code).map(|code| code.as_u16())
    }

    /// Whether the connection or the server's state alone is at fault: the watch can go on where it was.
    fn is_interruption(&self) -> bool {
        match self {
            Self::Silent | Self::Stream(EventError::Broken(_)) => true,
            Self::Request(error) => error.is_passing() || error.is_unauthorized(),
            _ => false,
        }
    }

    /// Whether nothing came any more: another cluster may be there now.
    fn is_silence(&self) -> bool {
        self.is_interruption() && self.request().is_none_or(|error| error.code().is_none())
    }

    /// Whether the server answers, and fails: that may be because of the version.
    fn is_failure(&self) -> bool {
        self.code().is_some_and(|code| code >= 500 && ![503, 504].contains(&code))
    }

    /// How long the API server wants to be left alone.
    fn retry_in(&self) -> Duration {
        let asked = match self.request() {
            // Whether it answers again is seen without waiting.
            Some(RequestError::Down { .. } | RequestError::Unproven { .. }) | None => None,
            Some(error) => error.retry_in(),
        };
        // Whoever was refused at one moment does not come back at one moment.
        asked.unwrap_or_default().mul_f64(rand::rng().random_range(1.0..1.25))
    }

    /// Whether what the store holds may be of another cluster, or of a state that is over.
    fn is_distrust(&self) -> bool {
        matches!(self, Self::WentBack { .. } | Self::Belied(_) | Self::Moved | Self::NoPage(NoPage::Opaque(_)))
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

impl Watch {
    /// Runs until it is dropped. Its store is open, and whoever closes it ends this.
    pub async fn run(self) {
        let mut failures: u32 = 0;
        let mut known = false;
        let mut pages = PageSize::default();
        loop {
            let ended = match self.keep(&mut failures, &mut pages).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            self.observer.watch_restart(self.cluster.name(), &self.kind);
            let state = ended.state();
            known &= failures > 0;
            let pause = match ended {
                // What is too much now will be so for a while, and listing it is dear.
                Ended::TooMany | Ended::TooMuch { .. } => FORBIDDEN_PAUSE,
                _ => self.pause(&state, failures),
            };
            // What is in the store stays until the new list is there. A first list that never comes to its end is told.
            let is_normal = failures == 0 || self.store.is_synced();
            failures += 1;
            if is_normal && matches!(ended, Ended::Expired | Ended::Early | Ended::Published) {
                tracing::debug!(store = %self.name, reason = %ended, "listing again");
                self.store.unfollowed(Some(ended.to_string()));
            } else {
                self.report(&ended, &state, &mut known);
                self.mark(&ended, state);
            }
            if matches!(ended, Ended::WentBack { .. } | Ended::Belied(_)) {
                self.cluster.suspect();
            }
            self.rest(pause, ended.retry_in()).await;
            if ended.is_distrust() {
                // What another cluster shows is not taken in before it is known who it is.
                self.cluster.proven().await;
            }
        }
    }

    /// Says once, not at every try, that something is wrong.
    fn report(&self, ended: &Ended, state: &State, known: &mut bool) {
        if std::mem::replace(known, true) {
            tracing::debug!(store = %self.name, error = %ended, "the watch ended; trying again");
            return;
        }
        match state {
            State::NotServed(_) => {
                tracing::info!(store = %self.name, reason = %ended, "waiting for the API to be served");
            }
            State::Forbidden(_) if self.selection.optional => {
                tracing::info!(store = %self.name, reason = %ended, "may not be watched; read one by one instead");
            }
            // That is told of the cluster, once.
            _ if ended.is_of_the_cluster() => tracing::debug!(store = %self.name, error = %ended, "cannot be read"),
            _ => tracing::warn!(store = %self.name, error = %ended, "cannot be read; trying again"),
        }
    }

    /// A store that was read once stays believed while the cluster does not answer: its objects are still there. It does not
    /// where the cluster shows that they may not be.
    fn mark(&self, ended: &Ended, state: State) {
        let why = ended.to_string();
        if ended.is_distrust() {
            self.store.distrust(why);
        } else if matches!(state, State::Failing(_)) && self.store.is_synced() {
            self.store.unfollowed(Some(why));
        } else {
            self.store.state(state);
        }
    }

    fn pause(&self, state: &State, failures: u32) -> Duration {
        let on_call = self.selection.on_call;
        let (shortest, longest) = match state {
            State::Forbidden(_) if on_call => FORBIDDEN_THERE_PAUSE,
            State::Forbidden(_) => (FORBIDDEN_PAUSE, FORBIDDEN_PAUSE),
            State::NotServed(_) if on_call => NOT_THERE_PAUSE,
            State::NotServed(_) => NOT_SERVED_PAUSE,
            _ => PAUSE,
        };
        let pause = shortest.saturating_mul(1 << failures.min(10)).min(longest);
        pause.mul_f64(rand::rng().random_range(0.75..1.25))
    }

    /// Waits, at least for as long as the API server asks for, and then no longer than until the cluster answers again or has
    /// new credentials, or somebody calls.
    async fn rest(&self, pause: Duration, at_least: Duration) {
        sleep(at_least).await;
        let pause = pause.saturating_sub(at_least);
        let mut health = self.cluster.health();
        let mut client = self.cluster.watch_client();
        let call = self.store.call();
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
    async fn keep(&self, failures: &mut u32, pages: &mut PageSize) -> Result<std::convert::Infallible, Ended> {
        // What changes from here on is noticed.
        let (moves, mut client) = (self.cluster.moves(), self.cluster.watch_client());
        let doubt = self.store.doubt();
        let Found { resource, without_schema } = self.resource().await?;
        self.store.discovered(resource.clone());
        let published = discovery::published_later(&self.cluster, &resource.gvk);
        pin_mut!(published);
        let started = Instant::now();
        let mut version = self.list(&resource, pages).await?;
        tracing::debug!(store = %self.name, took_ms = started.elapsed().as_millis(), "listed");
        let mut is_sure = true;
        let mut failed_resumes = 0;
        loop {
            let now = client.borrow_and_update().clone();
            if self.cluster.moves() != moves {
                return Err(Ended::Moved);
            }
            let started = Instant::now();
            let follow = async {
                if !is_sure {
                    self.make_sure(&resource, version).await?;
                }
                self.follow(now, &resource, &mut version).await
            };
            tokio::select! {
                ended = follow => {
                    if started.elapsed() >= DID_WELL {
                        *failures = 0;
                        failed_resumes = 0;
                    }
                    let Err(ended) = ended else {
                        is_sure = true;
                        continue;
                    };
                    failed_resumes += u32::from(ended.is_failure());
                    if !ended.is_interruption() || failed_resumes > FAILED_RESUMES {
                        return Err(ended);
                    }
                    tracing::debug!(store = %self.name, error = %ended, "the watch broke; going on where it was");
                    self.store.unfollowed(Some(ended.to_string()));
                    *failures += 1;
                    if ended.is_silence() {
                        self.cluster.suspect();
                    }
                    self.observer.watch_restart(self.cluster.name(), &self.kind);
                    self.rest(self.pause(&State::Starting, *failures), ended.retry_in()).await;
                }
                () = &mut published, if without_schema => return Err(Ended::Published),
                // New credentials: the watch goes on with them.
                _ = client.changed() => {}
                () = async { sleep(DOUBT_PAUSE).await; doubt.notified().await } => {
                    tracing::debug!(store = %self.name, "an answer does not fit what was seen; looking whether the cluster went back");
                }
            }
            is_sure = false;
        }
    }

    /// Whether the cluster is in the state of `version`, or in a later one of the same history.
    async fn make_sure(&self, resource: &Resource, version: u64) -> Result<(), Ended> {
        let page = self.page(resource, 1, None, METADATA_LIST).await?.0;
        self.is_later(page.version)?;
        if page.version < version {
            return Err(Ended::WentBack { seen: version, shown: page.version });
        }
        let belies = |object: &&Object| self.store.is_belied_by(object, version);
        match page.items.iter().find(belies) {
            Some(object) => Err(Ended::Belied(name_of(object))),
            None => Ok(()),
        }
    }

    /// Whether a version is none that the cluster has left behind.
    fn is_later(&self, version: u64) -> Result<(), Ended> {
        match self.store.newest().filter(|&seen| version < seen) {
            Some(seen) => Err(Ended::WentBack { seen, shown: version }),
            None => Ok(()),
        }
    }

    async fn resource(&self) -> Result<Found, Ended> {
        match &self.selection.kind {
            Served::Known(resource) => Ok(Found { resource: resource.clone(), without_schema: false }),
            Served::Asked { gvk, with_shape } => Ok(discovery::find(&self.cluster, gvk, *with_shape).await?),
        }
    }

    /// The collection with what selects from it.
    fn path(&self, resource: &Resource) -> String {
        let Selection { namespace, labels, .. } = &self.selection;
        let collection = namespace.as_deref().map_or_else(|| resource.all(), |it| resource.collection(Some(it)));
        let selector = labels.as_ref().map(|labels| format!("labelSelector={labels}&")).unwrap_or_default();
        format!("{collection}?{selector}")
    }

    /// Lists everything in pages into the store; returns the version to watch from.
    async fn list(&self, resource: &Resource, pages: &mut PageSize) -> Result<u64, Ended> {
        let (mut objects, mut weight) = (Vec::new(), 0);
        let mut next: Option<String> = None;
        let mut failures = 0;
        let accept = if self.selection.metadata { METADATA_LIST } else { "application/json" };
        loop {
            let limit = pages.limit();
            let page = match self.page(resource, limit, next.as_deref(), accept).await {
                Ok((page, bytes)) => {
                    pages.came(page.items.len(), bytes);
                    page
                }
                Err(ended) => {
                    let is_large = matches!(ended.request(), Some(RequestError::TooLarge { .. }));
                    let is_slow =
                        matches!(ended.request(), Some(RequestError::Slow { .. } | RequestError::Timeout { .. }));
                    if (is_large || is_slow) && pages.shrink() {
                        tracing::debug!(store = %self.name, limit, error = %ended, "asking for fewer at once");
                        continue;
                    }
                    if is_large {
                        return Err(self.giant(resource, next.as_deref(), ended).await);
                    }
                    failures += 1;
                    // What was listed until now need not be listed again.
                    let goes_on = next.is_some() && ended.is_interruption() && failures < PAGE_TRIES;
                    if !goes_on {
                        return Err(ended);
                    }
                    self.rest(self.pause(&State::Starting, failures), ended.retry_in()).await;
                    continue;
                }
            };
            failures = 0;
            weight += page.items.iter().map(Object::weight).sum::<usize>();
            objects.extend(page.items);
            if objects.len() > MOST {
                return Err(Ended::TooMany);
            }
            if weight > self.most {
                return Err(Ended::TooMuch { most: self.most });
            }
            next = page.next;
            if next.is_none() {
                self.is_later(page.version)?;
                let version = page.version.to_string();
                self.store.listed(&version, objects);
                return Ok(page.version);
            }
        }
    }

    /// One page of a list, and how many bytes it has.
    async fn page(
        &self,
        resource: &Resource,
        limit: usize,
        next: Option<&str>,
        accept: &str,
    ) -> Result<(Page, usize), Ended> {
        let mut path = format!("{}limit={limit}", self.path(resource));
        if let Some(token) = next {
            path.push_str("&continue=");
            path.push_str(token);
        }
        let request = Request::get(path).header(http::header::ACCEPT, accept).body(Vec::new())?;
        let target = Target::of(self.cluster.name(), &request);
        let reply = self.cluster.request_within(request, Limits::PAGE).await;
        let expired = |error: RequestError| if error.is_gone() { Ended::Expired } else { error.into() };
        let reply = reply.map_err(expired)?;
        match pages::read(&reply.body, &resource.gvk) {
            Ok(page) => Ok((page, reply.body.len())),
            Err(NoPage::Status { code, reason, message }) => {
                Err(expired(RequestError::from_status(target, code, &reason, &message, None)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why a page of one object is too large.
    async fn giant(&self, resource: &Resource, next: Option<&str>, ended: Ended) -> Ended {
        match self.page(resource, 1, next, METADATA_LIST).await {
            Ok((page, _)) => match page.items.as_slice() {
                [object] => Ended::Giant(name_of(object)),
                _ => ended,
            },
            Err(_) => ended,
        }
    }

    /// Follows changes until the API server ends the watch in its time, every few minutes.
    async fn follow(&self, client: kube::Client, resource: &Resource, version: &mut u64) -> Result<(), Ended> {
        // Where it was left another cluster may be now.
        self.cluster.proven().await;
        // Each watch ends at a time of its own, so that they do not all come back at once.
        let seconds: u64 = rand::rng().random_range(240..290);
        let started = Instant::now();
        let path = format!(
            "{}watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}",
            self.path(resource)
        );
        let accept = if self.selection.metadata { METADATA_WATCH } else { "application/json" };
        let request = Request::get(path).header(http::header::ACCEPT, accept).body(Vec::new())?;
        let target = Target::of(self.cluster.name(), &request);
        let failed = |error: RequestError| {
            if error.is_gone() { Ended::Expired } else { self.cluster.refused_a_watch(error).into() }
        };
        let stream = timeout(SILENCE, events::<Object>(self.cluster.name(), client, request));
        let stream = stream.await.map_err(|_| Ended::Silent)?.map_err(failed)?;
        pin_mut!(stream);
        let mut is_followed = false;
        loop {
            let patience = if is_followed { SILENCE } else { HOLDS };
            let event = match timeout(patience, stream.next()).await {
                Err(_) if is_followed => return Err(Ended::Silent),
                Err(_) => {
                    is_followed = true;
                    self.store.unfollowed(None);
                    continue;
                }
                Ok(event) => event,
            };
            let Some(event) = event else {
                // An API server ends the watches of a kind whose CRD changes: it may be served differently now.
                let in_time = started.elapsed() + SLACK >= Duration::from_secs(seconds);
                return if in_time { Ok(()) } else { Err(Ended::Early) };
            };
            let event = event.map_err(Ended::Stream)?;
            if !is_followed && !matches!(event, WatchEvent::Error(_)) {
                is_followed = true;
                self.store.unfollowed(None);
            }
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    *version = pages::number(object.resource_version())?.max(*version);
                    self.store.seen(object);
                    if self.store.weight() > self.most {
                        return Err(Ended::TooMuch { most: self.most });
                    }
                }
                WatchEvent::Deleted(object) => {
                    *version = pages::number(object.resource_version())?.max(*version);
                    self.store.deleted(&object);
                }
                WatchEvent::Bookmark(bookmark) => {
                    let seen = bookmark.metadata.resource_version;
                    *version = pages::number(&seen)?.max(*version);
                    self.store.seen_to(&seen);
                }
                WatchEvent::Error(status) => {
                    let wait = status.details.as_ref().map(|details| details.retry_after_seconds);
                    let error = RequestError::from_status(target, status.code, &status.reason, &status.message, wait);
                    return Err(failed(error));
                }
            }
        }
    }
}

fn name_of(object: &Object) -> String {
    let namespace = object.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    tame(&format!("{namespace}{}", object.name()))
}
