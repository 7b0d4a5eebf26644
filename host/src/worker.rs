//! One pass over one key: snapshot, questions, answers, plan, writes. Many keys at once, one pass at a time for each.
//!
//! A pass never waits for the effect of its writes: they come back through the cache as the next pass. What passes leave
//! to each other is in `memory`, whom they ask in `answers`, how many there are at once in `lanes`, and when a key's next
//! one is in `pauses`.

mod answers;
mod lanes;
mod memory;
mod pauses;
mod pods;
mod templates;
mod verdicts;
mod visits;
mod written;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use resource_broker_api::{names::ClusterName, object::Object};
use resource_broker_sandbox::Sandbox;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{Id, JoinSet},
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::{
    answers::{Asked, Plugins, Said},
    lanes::Lanes,
    memory::Memories,
    pauses::Pauses,
    pods::Pods,
    verdicts::Verdicts,
    visits::Visits,
    written::Writings,
};
use crate::{
    apply::{Apply, Fault, Learned},
    cache::{Cache, StoreId, WorkKey},
    metrics::Metrics,
    planner::{
        self,
        configurations::to_validate,
        deletion::orphans,
        model::{
            failure::constant_part,
            question::Answers,
            snapshot::{Failure, Key, Snapshot, Target},
        },
        offers::filters_to_validate,
        plan::{Action, Plan, State},
    },
    plugins::Board,
    queue::Queue,
};

/// Passes under way at once. A pass that waits for a slow cluster costs a few kilobytes, so there may be many.
const AT_ONCE: usize = 2048;
/// Passes under way at once that concern one cluster: a slow one must not take the places of all others.
const AT_ONCE_IN_ONE: usize = 512;
/// Passes under way at once that concern the same clusters, so that one that is not yet known to be slow leaves most places of
/// the other ones. More requests than half of this are not under way at one cluster anyway.
const AT_ONCE_ALIKE: usize = 128;
/// The same as [`AT_ONCE_IN_ONE`] for a cluster that answers slowly: as many as requests may be under way there, so that none
/// waits for its turn in vain.
const AT_ONCE_IN_A_SLOW_ONE: usize = 64;
/// How often it is looked at which clusters are slow, while there is work.
const SLOW_EVERY: Duration = Duration::from_millis(250);
/// The longest that a pass may take: each of its requests is bounded on its own.
const LONGEST: Duration = Duration::from_mins(2);
/// How long passes may take to end their step when the broker stops.
const LAST_STEPS: Duration = Duration::from_secs(3);
/// Why a pass ends before its time. That is no race.
const NO_PLACE: &str = "the cluster of its copy is slow or has much to do; the next pass waits in that one's line";
/// How often in a pass the plan may ask for more.
const ROUNDS: usize = 8;

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
    /// For how long Migrations that are over stay.
    pub history: Duration,
    /// Counts.
    pub metrics: Metrics,
}

/// See the module.
pub struct Worker {
    queue: Arc<Queue<WorkKey>>,
    cache: Arc<Cache>,
    plugins: Plugins,
    pods: Pods,
    apply: Arc<Apply>,
    watches: Box<dyn Fn(StoreId) + Send + Sync>,
    history: Duration,
    metrics: Metrics,
    memories: Memories,
    written: Writings,
    pauses: Pauses,
    visits: Visits,
}

/// Passes under way, with the clusters that each concerns.
struct Passes {
    tasks: JoinSet<()>,
    lanes: Lanes<WorkKey, ClusterName>,
    at_work: HashMap<Id, Vec<ClusterName>>,
}

/// What a pass came to.
struct Outcome {
    went: Went,
    /// When its plan wants the next look, if nothing changes before.
    again: Option<Duration>,
}

/// How a pass went.
enum Went {
    /// All is as it should be, or was made so.
    Well,
    /// The cluster was not as the cache showed it.
    Again,
    /// Something did not work out.
    Badly {
        /// A word of a small set, for metrics.
        category: &'static str,
        /// When another try makes sense, if a cluster said.
        retry_in: Option<Duration>,
        /// What it was: another one is told without delay.
        what: String,
        /// The write that did not succeed, where it was one.
        failure: Option<Failure>,
    },
}

impl Worker {
    /// A worker with nothing remembered.
    pub fn new(parts: Parts) -> Self {
        let Parts { queue, cache, sandbox, board, apply, watches, history, metrics } = parts;
        let plugins =
            Plugins { sandbox, board, cache: cache.clone(), metrics: metrics.clone(), verdicts: Verdicts::default() };
        let (memories, pauses) = (Memories::default(), Pauses::default());
        let pods = Pods::new(apply.clusters.clone());
        let written = Writings::default();
        let visits = Visits::default();
        Self { queue, cache, plugins, pods, apply, watches, history, metrics, memories, written, pauses, visits }
    }

    /// Works until `stop`; passes that are under way then end their step.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let lanes = Lanes::new(AT_ONCE, AT_ONCE_IN_ONE, AT_ONCE_ALIKE, AT_ONCE_IN_A_SLOW_ONE);
        let mut passes = Passes { tasks: JoinSet::new(), lanes, at_work: HashMap::new() };
        let mut looks = tokio::time::interval(SLOW_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some((key, clusters)) = passes.lanes.start() {
                let (worker, stop, its) = (self.clone(), stop.clone(), clusters.clone());
                let task = passes.tasks.spawn(async move { worker.pass(&key, &its, &stop).await });
                passes.at_work.insert(task.id(), clusters);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = passes.tasks.join_next_with_id() => passes.ended(ended),
                _ = looks.tick(), if !passes.at_work.is_empty() => passes.lanes.mark_slow(self.slow_clusters()),
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

    fn slow_clusters(&self) -> HashSet<ClusterName> {
        let clusters = self.apply.clusters.all();
        clusters.iter().filter(|cluster| cluster.is_slow()).map(|cluster| cluster.name().clone()).collect()
    }

    /// A place for the time of a step, where it makes a copy in a cluster that is none of the pass's own. None is given in one
    /// that is slow, nor to more than a few at once: the next pass waits in that cluster's line.
    fn visit(&self, step: &[Action], clusters: &[ClusterName]) -> Option<Vec<OwnedSemaphorePermit>> {
        let mut places = Vec::new();
        for action in step {
            // Where an object has been for a while, its record says so, and with it the places of its passes.
            let Action::ApplyCopy { target, .. } = action else { continue };
            if clusters.contains(&target.cluster) {
                continue;
            }
            if self.apply.clusters.get(&target.cluster).is_some_and(|cluster| cluster.is_slow()) {
                return None;
            }
            places.push(self.visits.begin(&target.cluster)?);
        }
        Some(places)
    }

    async fn pass(&self, key: &WorkKey, clusters: &[ClusterName], stop: &CancellationToken) {
        let _done = Done { queue: &self.queue, key };
        let started = Instant::now();
        let span = self.span(key);
        let work = async {
            match key {
                WorkKey::Object(key) => self.object(key, clusters, stop).await,
                WorkKey::Offer(target) => self.offer(target, stop).await,
                WorkKey::Copy(target) => self.sweep(target, stop).await,
                WorkKey::Configuration(target) => self.configuration(target, stop).await,
                WorkKey::Migration(name) => self.history(name, stop).await,
            }
        };
        let too_long = || Outcome { went: Went::badly("timeout", Some(pauses::LONGEST)), again: None };
        let outcome = timeout(LONGEST, work.instrument(span.clone())).await.unwrap_or_else(|_| too_long());
        let category = match outcome.went {
            Went::Well => "ok",
            Went::Again => "again",
            Went::Badly { category, .. } => category,
        };
        self.metrics.pass(category, started.elapsed());
        let is_news = self.pauses.arrange(&self.queue, key, &outcome);
        if let Went::Badly { failure: Some(Failure { reason, message: error, .. }), .. } = &outcome.went {
            span.in_scope(|| {
                if is_news {
                    tracing::warn!(reason, error, "a write did not succeed; it is tried again");
                } else {
                    tracing::debug!(reason, error, "a write did not succeed again");
                }
            });
        }
    }

    fn span(&self, key: &WorkKey) -> tracing::Span {
        let object = match key {
            WorkKey::Object(key) => key.target(),
            WorkKey::Offer(target) | WorkKey::Copy(target) | WorkKey::Configuration(target) => target.clone(),
            WorkKey::Migration(name) => self.apply.migration_target(name),
        };
        tracing::info_span!(
            "pass",
            cluster = %object.cluster,
            kind = object.gvk.kind,
            namespace = object.namespace.as_deref().unwrap_or_default(),
            object = object.name,
        )
    }

    async fn object(&self, key: &Key, clusters: &[ClusterName], stop: &CancellationToken) -> Outcome {
        let memory = self.memories.recall(key);
        let (mut snapshot, needed) = self.cache.snapshot(key, memory);
        self.begin_watches(needed);
        snapshot.migration.plugin = self.plugins.make_stages(key);
        let plan = self.decide(key, &snapshot).await;
        for wait in &plan.waits {
            tracing::debug!(wait, "waiting");
        }
        let served_by = plan.served_by.as_deref();
        if self.cache.left_to(key, served_by) {
            let broker = served_by.unwrap_or_default();
            tracing::info!(
                broker,
                "another broker serves this object; it is left alone, as others of its kind there will be"
            );
        }
        let (learned, fault) = self.carry_out(&plan, Some(clusters), stop).await;
        self.line_up(key, &plan, fault.is_none());
        let has_place = !matches!(&fault, Some(Fault::Again(why)) if why == NO_PLACE);
        let fault = fault.map(|fault| if has_place { self.memories.judge_race(key, fault) } else { fault });
        let left = self.memories.remember(key, &snapshot, &plan, learned, fault.as_ref(), &self.metrics);
        if left.recovered {
            self.queue.add(WorkKey::Object(key.clone()));
        }
        Outcome { went: Went::from(fault), again: plan.again }
    }

    /// Asks, plans, and asks again as long as the plan hangs on something that was not asked.
    async fn decide(&self, key: &Key, snapshot: &Snapshot) -> Plan {
        let work_key = WorkKey::Object(key.clone());
        let mut said = self.memories.said(&work_key);
        let mut asked = Asked::<Answers>::default();
        let mut questions = planner::ask(snapshot);
        for _ in 0..ROUNDS {
            if let Some(plugin) = self.plugins.awaited(key, &questions) {
                return waits_for(&plugin);
            }
            if let Some(of) = &questions.pods {
                asked.answer.pods = Some(self.pods.live(of).await);
            }
            if !questions.places.is_empty() {
                let looks = questions.places.iter().map(|target| self.apply.look(target));
                asked.answer.places = Some(join_all(looks).await);
            }
            self.plugins.answer(snapshot, questions, &mut said, &mut asked).await;
            match planner::plan(snapshot, &asked.answer) {
                Ok(mut plan) => {
                    self.memories.say(&work_key, said);
                    asked.again.map(|again| plan.again_in(again));
                    return plan;
                }
                Err(more) => questions = *more,
            }
        }
        // Not the questions themselves: objects are in them.
        let (elsewhere, template) = (questions.elsewhere.len(), questions.template.is_some());
        tracing::error!(elsewhere, template, "there is no end of questions about this object; this is a bug");
        Plan::wait(State::Blocked, "there is no end of questions about it")
    }

    /// Tells the cache whether a move of this object waits for a place, and wakes who can use one that it leaves.
    fn line_up(&self, key: &Key, plan: &Plan, went_well: bool) {
        let begins = |action: &Action| matches!(action, Action::UpdateRecord { budget: Some(_), .. });
        let tried = plan.actions().any(begins);
        let wants = plan.wants_place || (tried && !went_well);
        self.cache.wants_place(key, wants, tried && went_well).enqueue(&self.queue);
    }

    fn begin_watches(&self, needed: Vec<StoreId>) {
        for id in needed {
            (self.watches)(id);
        }
    }

    async fn configuration(&self, target: &Target, stop: &CancellationToken) -> Outcome {
        let mut snapshot = self.cache.configuration_snapshot(target);
        let key = WorkKey::Configuration(target.clone());
        snapshot.denied = self.written.denied(&key, snapshot.object.as_deref());
        let there = snapshot.object.clone();
        let Some(spec) = to_validate(&snapshot) else {
            self.memories.say(&key, Said::default());
            let plan = planner::configurations::plan(&snapshot, None);
            return self.own(&key, there.as_deref(), &plan, None, stop).await;
        };
        let Some(api) = self.plugins.api_of_configuration(target) else {
            let plan = Plan::wait(State::Waiting, "no cluster has said yet what the kind's resource is called");
            return self.simply(&plan, None, stop).await;
        };
        if let Some(plugin) = self.plugins.awaited_by_configuration(&api) {
            return self.simply(&waits_for(&plugin), None, stop).await;
        }
        let mut said = self.memories.said(&key);
        let asked = self.plugins.validate_migration(target, &api, spec, &mut said).await;
        self.memories.say(&key, said);
        let plan = planner::configurations::plan(&snapshot, Some(&asked.answer));
        self.own(&key, there.as_deref(), &plan, asked.again, stop).await
    }

    async fn history(&self, name: &str, stop: &CancellationToken) -> Outcome {
        let (snapshot, needed) = self.cache.history_snapshot(name, self.history);
        self.begin_watches(needed);
        let plan = planner::migration::retention::plan(&snapshot);
        self.simply(&plan, None, stop).await
    }

    /// Carries out a plan of which nothing is remembered.
    async fn simply(&self, plan: &Plan, again: Option<Duration>, stop: &CancellationToken) -> Outcome {
        let went = Went::from(self.carry_out(plan, None, stop).await.1);
        Outcome { went, again: [again, plan.again].into_iter().flatten().min() }
    }

    async fn offer(&self, target: &Target, stop: &CancellationToken) -> Outcome {
        let mut snapshot = self.cache.offer_snapshot(target);
        let key = WorkKey::Offer(target.clone());
        snapshot.denied = self.written.denied(&key, snapshot.offer.as_deref());
        snapshot.written = self.written.last(&key);
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
            planner::offers::plan(&snapshot, Some(&asked.answer))
        } else {
            self.memories.say(&key, Said::default());
            planner::offers::plan(&snapshot, None)
        };
        let Outcome { went, again: after } = self.own(&key, snapshot.offer.as_deref(), &plan, again, stop).await;
        again = after;
        if matches!(went, Went::Well) && plan.waits.is_empty() {
            if snapshot.count_is_due || plan.actions().any(|action| matches!(action, Action::OfferStatus { .. })) {
                self.cache.counted(target, snapshot.objects);
            }
            // This look took the place of the one at which the number was to be written.
            again = [again, self.cache.count_due_in(target)].into_iter().flatten().min();
        }
        Outcome { went, again }
    }

    /// Carries out what is to be done about an offer or a configuration. What an API server denies there is not tried again.
    async fn own(
        &self,
        key: &WorkKey,
        there: Option<&Object>,
        plan: &Plan,
        again: Option<Duration>,
        stop: &CancellationToken,
    ) -> Outcome {
        let (learned, fault) = self.carry_out(plan, None, stop).await;
        self.written.learn(key, there, learned);
        if fault.is_none() && plan.actions().any(|action| matches!(action, Action::ReleaseFinalizer { .. })) {
            self.written.released(key, there);
        }
        let again = [again, plan.again].into_iter().flatten().min();
        if self.written.is_denied(key, there, fault.as_ref()) {
            return Outcome { went: Went::Well, again: Some(Duration::ZERO) };
        }
        Outcome { went: Went::from(fault), again }
    }

    async fn sweep(&self, target: &Target, stop: &CancellationToken) -> Outcome {
        let mut snapshot = self.cache.sweep_snapshot(target);
        let uid = snapshot.copy.as_ref().map(|copy| copy.uid().to_owned()).unwrap_or_default();
        snapshot.told = self.memories.is_kept(target, &uid);
        let plan = orphans::plan(&snapshot);
        match plan.actions().next() {
            Some(Action::Event(event)) => tracing::info!(copy = %target, reason = event.reason, "{}", event.message),
            Some(_) => tracing::info!(copy = %target, "no record names this copy, and nobody needs it; taking it away"),
            None => {}
        }
        let outcome = self.simply(&plan, None, stop).await;
        if matches!(outcome.went, Went::Well) {
            self.memories.keep(target, (plan.state == State::Blocked).then_some(uid));
        }
        outcome
    }

    /// The steps in order, the actions of one step at the same time. Stops at the first step with a fault, and, of an object,
    /// at one that would wait for a cluster in which the pass gets no place.
    async fn carry_out(
        &self,
        plan: &Plan,
        clusters: Option<&[ClusterName]>,
        stop: &CancellationToken,
    ) -> (Vec<Learned>, Option<Fault>) {
        let mut learned = Vec::new();
        for step in &plan.steps {
            if stop.is_cancelled() {
                return (learned, Some(Fault::Again("the broker is stopping".into())));
            }
            let visit = clusters.map(|clusters| self.visit(step, clusters));
            if matches!(visit, Some(None)) {
                return (learned, Some(Fault::Again(NO_PLACE.into())));
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
            Some(Fault::NotLeading) => Self::badly("not_leading", Some(Duration::from_secs(2))),
            Some(Fault::Failed { failure, category, retry_in }) => {
                let what = format!("{:?} {} {}", failure.part, failure.reason, constant_part(&failure.message));
                Self::Badly { category, retry_in, what, failure: Some(failure) }
            }
        }
    }
}

impl Went {
    /// What has no other words than its category.
    fn badly(category: &'static str, retry_in: Option<Duration>) -> Self {
        Self::Badly { category, retry_in, what: category.to_owned(), failure: None }
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
            self.queue.add_after(self.key.clone(), pauses::LONGEST);
        }
        self.queue.done(self.key);
    }
}
