//! One pass over one key: snapshot, questions, answers, plan, writes. Many keys at once, one pass at a time for each.
//!
//! A pass never waits for the effect of its writes: they come back through the cache as the next pass. What passes leave
//! to each other is in `memory`, whom they ask in `answers`, how many there are at once in `lanes`.

mod answers;
mod lanes;
mod memory;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use rand::RngExt;
use resource_broker_api::names::ClusterName;
use resource_broker_sandbox::Sandbox;
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::{
    answers::{Plugins, Said},
    lanes::Lanes,
    memory::Memories,
};
use crate::{
    apply::{Apply, Fault, Learned},
    cache::{Cache, StoreId, WorkKey},
    metrics::Metrics,
    planner::{
        self,
        offer::filters_to_validate,
        plan::{Action, Plan, State},
        snapshot::{Key, Target},
        sweep,
    },
    plugins::Board,
    queue::Queue,
};

/// Passes under way at once. A pass that waits for a slow cluster costs a few kilobytes, so there may be many.
const AT_ONCE: usize = 2048;
/// Passes under way at once that concern one cluster: a slow one must not take the places of all others.
const AT_ONCE_IN_ONE: usize = 512;
/// The longest that a pass may take: each of its requests is bounded on its own.
const LONGEST: Duration = Duration::from_mins(2);
/// How long passes may take to end their step when the broker stops.
const LAST_STEPS: Duration = Duration::from_secs(3);
/// The shortest and the longest pause before a key that failed is looked at again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_mins(1));
/// The pause before an offer or a stray copy that was not as the cache showed it is looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a worker works with.
pub struct Parts {
    /// Keys to look at.
    pub queue: Arc<Queue<WorkKey>>,
    /// What is known.
    pub cache: Arc<Cache>,
    /// Answers questions.
    pub sandbox: Sandbox,
    /// Says which plugins are being loaded.
    pub board: Board,
    /// Carries out plans.
    pub apply: Arc<Apply>,
    /// Starts a watch that a snapshot needs.
    pub watches: Box<dyn Fn(StoreId) + Send + Sync>,
    /// Counts.
    pub metrics: Metrics,
}

/// See the module.
pub struct Worker {
    queue: Arc<Queue<WorkKey>>,
    cache: Arc<Cache>,
    plugins: Plugins,
    apply: Arc<Apply>,
    watches: Box<dyn Fn(StoreId) + Send + Sync>,
    metrics: Metrics,
    memories: Memories,
}

/// Passes under way, with the clusters that each concerns.
struct Passes {
    tasks: JoinSet<()>,
    lanes: Lanes<WorkKey, ClusterName>,
    at_work: HashMap<Id, Vec<ClusterName>>,
}

/// How a pass went.
enum Went {
    /// All is as it should be, or was made so.
    Well,
    /// The cluster was not as the cache showed it.
    Again,
    /// Something did not work out.
    Badly(&'static str, Option<Duration>),
}

impl Worker {
    /// A worker with nothing remembered.
    pub fn new(parts: Parts) -> Self {
        let Parts { queue, cache, sandbox, board, apply, watches, metrics } = parts;
        let plugins = Plugins { sandbox, board, cache: cache.clone(), metrics: metrics.clone() };
        Self { queue, cache, plugins, apply, watches, metrics, memories: Memories::default() }
    }

    /// Works until `stop`; passes that are under way then end their step.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let lanes = Lanes::new(AT_ONCE, AT_ONCE_IN_ONE);
        let mut passes = Passes { tasks: JoinSet::new(), lanes, at_work: HashMap::new() };
        loop {
            while let Some((key, clusters)) = passes.lanes.start() {
                let (worker, stop) = (self.clone(), stop.clone());
                let task = passes.tasks.spawn(async move { worker.pass(&key, &stop).await });
                passes.at_work.insert(task.id(), clusters);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = passes.tasks.join_next_with_id() => passes.ended(ended),
                (key, waited) = self.queue.next(), if passes.lanes.has_place() => {
                    tracing::trace!(%key, "taken");
                    self.metrics.queue_wait(waited);
                    self.metrics.queue_depth(self.queue.depth() + passes.lanes.waiting());
                    let clusters = self.cache.clusters_of(&key);
                    passes.lanes.enter(key, clusters);
                }
            }
        }
        let ended = timeout(LAST_STEPS, async { while passes.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("passes are still waiting for clusters; they are left, and a restart finishes them");
        }
    }

    async fn pass(&self, key: &WorkKey, stop: &CancellationToken) {
        let _done = Done { queue: &self.queue, key };
        let started = Instant::now();
        let (kind, object) = match key {
            WorkKey::Object(key) => (&key.gvk.kind, key.target()),
            WorkKey::Offer(target) | WorkKey::Copy(target) => (&target.gvk.kind, target.clone()),
        };
        let span = tracing::info_span!(
            "pass",
            cluster = %object.cluster,
            kind,
            namespace = object.namespace.as_deref().unwrap_or_default(),
            object = object.name,
        );
        let work = async {
            match key {
                WorkKey::Object(key) => self.object(key, stop).await,
                WorkKey::Offer(target) => self.offer(target, stop).await,
                WorkKey::Copy(target) => self.sweep(target, stop).await,
            }
        };
        let went = timeout(LONGEST, work.instrument(span)).await.unwrap_or(Went::Badly("timeout", None));
        let outcome = match went {
            Went::Well => "ok",
            Went::Again => "again",
            Went::Badly(category, _) => category,
        };
        self.metrics.pass(outcome, started.elapsed());
        if let (WorkKey::Object(_), Went::Badly("timeout", _)) = (key, &went) {
            self.queue.defer(key, PAUSE.1);
        }
        if !matches!(key, WorkKey::Object(_)) {
            match went {
                Went::Well => {}
                Went::Again => self.queue.add_after(key.clone(), AGAIN),
                Went::Badly(_, retry_in) => {
                    self.queue.add_after(key.clone(), retry_in.unwrap_or(Duration::from_secs(5)));
                }
            }
        }
    }

    async fn object(&self, key: &Key, stop: &CancellationToken) -> Went {
        let memory = self.memories.recall(key);
        let (snapshot, needed) = self.cache.snapshot(key, memory);
        for id in needed {
            (self.watches)(id);
        }
        let questions = planner::ask(&snapshot);
        let plan = if let Some(plugin) = self.plugins.awaited(key, &questions) {
            waits_for(&plugin)
        } else {
            let work_key = WorkKey::Object(key.clone());
            let mut said = self.memories.said(&work_key);
            let asked = self.plugins.answer(&snapshot, questions, &mut said).await;
            self.memories.say(&work_key, said);
            let mut plan = planner::plan(&snapshot, &asked.answer);
            asked.again.map(|again| plan.again_in(again));
            plan
        };
        for wait in &plan.waits {
            tracing::debug!(wait, "waiting");
        }
        let (learned, fault) = self.carry_out(&plan, stop).await;
        let fault = fault.map(|fault| self.memories.judge_race(key, fault));
        let left = self.memories.remember(key, &snapshot, &plan, learned, fault.as_ref(), &self.metrics);
        if left.recovered {
            self.queue.add(WorkKey::Object(key.clone()));
        }
        let went = Went::from(fault);
        self.schedule(key, &plan, &went);
        went
    }

    async fn offer(&self, target: &Target, stop: &CancellationToken) -> Went {
        let snapshot = self.cache.offer_snapshot(target);
        let key = WorkKey::Offer(target.clone());
        let filters = filters_to_validate(&snapshot);
        let awaited = filters.as_ref().and_then(|_| self.plugins.awaited_by_offer(&snapshot));
        let mut again = None;
        let plan = if let Some(plugin) = awaited {
            waits_for(&plugin)
        } else if let Some(filters) = filters {
            let mut said = self.memories.said(&key);
            let asked = self.plugins.validate(target, &snapshot, filters, &mut said).await;
            self.memories.say(&key, said);
            again = asked.again;
            planner::offer::plan(&snapshot, Some(&asked.answer))
        } else {
            self.memories.say(&key, Said::default());
            planner::offer::plan(&snapshot, None)
        };
        let went = Went::from(self.carry_out(&plan, stop).await.1);
        if matches!(went, Went::Well) && plan.waits.is_empty() {
            if snapshot.count_is_due || plan.actions().any(|action| matches!(action, Action::PutStatus { .. })) {
                self.cache.counted(target, snapshot.objects);
            }
            // This look took the place of the one at which the number was to be written.
            again = [again, self.cache.count_due_in(target)].into_iter().flatten().min();
        }
        if let Some(again) = again {
            self.queue.add_after(key, again);
        }
        went
    }

    async fn sweep(&self, target: &Target, stop: &CancellationToken) -> Went {
        let plan = sweep::plan(&self.cache.sweep_snapshot(target));
        if plan.actions().next().is_some() {
            tracing::info!(copy = %target, "a copy without a record and without an object; taking it away");
        }
        Went::from(self.carry_out(&plan, stop).await.1)
    }

    /// The steps in order, the actions of one step at the same time. Stops at the first step with a fault.
    async fn carry_out(&self, plan: &Plan, stop: &CancellationToken) -> (Vec<Learned>, Option<Fault>) {
        let mut learned = Vec::new();
        for step in &plan.steps {
            if stop.is_cancelled() {
                return (learned, Some(Fault::Again("the broker is stopping".into())));
            }
            let mut fault = None;
            for done in join_all(step.iter().map(|action| self.apply.run(action))).await {
                match done {
                    Ok(more) => learned.extend(more),
                    // What people should know comes before what is only to be looked at again.
                    Err(new @ Fault::Failed { .. }) => fault = Some(new),
                    Err(new) => {
                        fault.get_or_insert(new);
                    }
                }
            }
            if fault.is_some() {
                return (learned, fault);
            }
        }
        (learned, None)
    }

    fn schedule(&self, key: &Key, plan: &Plan, went: &Went) {
        let failures = self.memories.failures(key);
        let backoff = || {
            let pause = PAUSE.0.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE.1);
            pause.mul_f64(rand::rng().random_range(0.75..1.25))
        };
        let delay = match went {
            Went::Well => plan.again.map(|again| again.mul_f64(rand::rng().random_range(1.0..1.1))),
            Went::Again => Some(backoff().min(Duration::from_secs(5))),
            Went::Badly(_, retry_in) => Some(retry_in.unwrap_or_default().max(backoff())),
        };
        let key = WorkKey::Object(key.clone());
        match (went, delay) {
            (Went::Badly(..), Some(delay)) => self.queue.defer(&key, delay),
            (_, Some(delay)) => self.queue.add_after(key, delay),
            (_, None) => {}
        }
    }
}

/// Somebody is to answer who is being loaded. Nothing is told of that: it takes a moment, and ends by itself.
fn waits_for(plugin: &str) -> Plan {
    Plan::wait(State::Waiting, format!("Plugin {plugin} is being loaded"))
}

impl From<Option<Fault>> for Went {
    fn from(fault: Option<Fault>) -> Self {
        match fault {
            None => Self::Well,
            Some(Fault::Again(why)) => {
                tracing::debug!(why, "looking again");
                Self::Again
            }
            Some(Fault::NotLeading) => Self::Badly("not_leading", Some(Duration::from_secs(2))),
            Some(Fault::Failed { failure, category, retry_in }) => {
                let (reason, error) = (failure.reason, failure.message);
                tracing::warn!(reason, error, "a write did not succeed; it is tried again");
                Self::Badly(category, retry_in)
            }
        }
    }
}

impl Passes {
    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a pass panicked; this is a bug, and its key is looked at again");
                error.id()
            }
        };
        if let Some(clusters) = self.at_work.remove(&id) {
            self.lanes.leave(&clusters);
        }
    }
}

/// Gives a key back to the queue also where its pass panicked.
struct Done<'a> {
    queue: &'a Queue<WorkKey>,
    key: &'a WorkKey,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.add_after(self.key.clone(), PAUSE.1);
        }
        self.queue.done(self.key);
    }
}
