//! One pass over one key: snapshot, questions, answers, plan, writes. Many keys at once, one pass at a time for each.
//!
//! A pass never waits for the effect of its writes: they come back through the cache as the next pass.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use rand::RngExt;
use resource_broker_api::{conditions::reason, names::Gvk};
use resource_broker_sandbox::{ApiName, CallError, CopyContext, Role as PluginRole, Sandbox};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    apply::{Apply, Fault, Learned},
    cache::{Cache, StoreId, WorkKey},
    metrics::Metrics,
    planner::{
        self,
        offer::filters_to_validate,
        plan::{Action, Plan, State},
        question::{Answers, Judge, PluginFailure, Questions, Transform, Verdict},
        snapshot::{Applied, Failure, Key, Memory, Offer, Part, Snapshot, Target, Written},
        sweep,
    },
    queue::Queue,
};

/// Passes under way at once. A pass that waits for a slow cluster costs a few kilobytes, so there may be many.
const AT_ONCE: usize = 2048;
/// The longest that a pass may take: each of its requests is bounded on its own.
const LONGEST: Duration = Duration::from_mins(2);
/// How long passes may take to end their step when the broker stops.
const LAST_STEPS: Duration = Duration::from_secs(3);
/// The shortest and the longest pause before a key that failed is looked at again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_mins(1));
/// The pause before an offer or a stray copy that was not as the cache showed it is looked at again.
const AGAIN: Duration = Duration::from_secs(1);
/// Having to look again this often in a row is no race any more, but something to tell.
const RACES: u32 = 5;
/// An apply that is this old says nothing about a contest any more.
const CONTEST_ENDS: Duration = Duration::from_mins(10);

/// What is remembered of a key between passes.
#[derive(Default)]
struct Remembered {
    memory: Memory,
    placed: Option<Instant>,
    applied: Option<Instant>,
    failures: u32,
    state: State,
}

/// See the module.
pub struct Worker {
    /// Keys to look at.
    pub queue: Arc<Queue<WorkKey>>,
    /// What is known.
    pub cache: Arc<Cache>,
    /// Answers questions.
    pub sandbox: Sandbox,
    /// Carries out plans.
    pub apply: Apply,
    /// Starts a watch that a snapshot needs.
    pub watches: Box<dyn Fn(StoreId) + Send + Sync>,
    /// Counts.
    pub metrics: Metrics,
    remembered: Mutex<HashMap<Key, Remembered>>,
    states: Mutex<HashMap<State, usize>>,
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
    pub fn new(
        queue: Arc<Queue<WorkKey>>,
        cache: Arc<Cache>,
        sandbox: Sandbox,
        apply: Apply,
        watches: Box<dyn Fn(StoreId) + Send + Sync>,
        metrics: Metrics,
    ) -> Self {
        let (remembered, states) = (Mutex::default(), Mutex::default());
        Self { queue, cache, sandbox, apply, watches, metrics, remembered, states }
    }

    /// Works until `stop`; passes that are under way then end their step.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut passes: JoinSet<()> = JoinSet::new();
        loop {
            let place = places.clone().acquire_owned();
            let (key, waited) = tokio::select! {
                () = stop.cancelled() => break,
                next = async { let place = place.await; (place, self.queue.next().await) } => {
                    let (place, (key, waited)) = next;
                    // The semaphore is never closed.
                    let Ok(place) = place else { break };
                    let worker = self.clone();
                    let stop = stop.clone();
                    let taken = key.clone();
                    passes.spawn(async move {
                        let _place = place;
                        worker.pass(&taken, &stop).await;
                    });
                    (key, waited)
                }
            };
            tracing::trace!(%key, "taken");
            self.metrics.queue_wait(waited);
            self.metrics.queue_depth(self.queue.depth());
            while let Some(ended) = passes.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a pass panicked; this is a bug, and its key is looked at again");
                }
            }
        }
        let ended = timeout(LAST_STEPS, async { while passes.join_next().await.is_some() {} }).await;
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
        let memory = self.recall(key);
        let (snapshot, needed) = self.cache.snapshot(key, memory);
        for id in needed {
            (self.watches)(id);
        }
        let answers = self.answer(&snapshot, planner::ask(&snapshot)).await;
        let plan = planner::plan(&snapshot, &answers);
        for wait in &plan.waits {
            tracing::debug!(wait, "waiting");
        }
        let (learned, fault) = self.carry_out(&plan, stop).await;
        let fault = fault.map(|fault| self.judge_race(key, fault));
        let went = self.remember(key, &snapshot, &plan, learned, fault.as_ref());
        if let Some(Fault::Failed { failure, .. }) = &fault {
            tracing::warn!(
                reason = failure.reason,
                error = failure.message,
                "a write did not succeed; it is tried again"
            );
        }
        self.schedule(key, &plan, &went);
        went
    }

    async fn offer(&self, target: &Target, stop: &CancellationToken) -> Went {
        let snapshot = self.cache.offer_snapshot(target);
        let validated = match filters_to_validate(&snapshot) {
            Some(filters) => Some(self.validate(target, &snapshot, filters).await),
            None => None,
        };
        let plan = planner::offer::plan(&snapshot, validated.as_ref());
        let went = self.simple(&plan, stop).await;
        if matches!(went, Went::Well) && plan.waits.is_empty() {
            if snapshot.count_is_due || plan.actions().any(|action| matches!(action, Action::PutStatus { .. })) {
                self.cache.counted(target, snapshot.objects);
            }
            // This look took the place of the one at which the number was to be written.
            if let Some(rest) = self.cache.count_due_in(target) {
                self.queue.add_after(WorkKey::Offer(target.clone()), rest);
            }
        }
        went
    }

    async fn sweep(&self, target: &Target, stop: &CancellationToken) -> Went {
        let plan = sweep::plan(&self.cache.sweep_snapshot(target));
        if plan.actions().next().is_some() {
            tracing::info!(copy = %target, "a copy without a record and without an object; taking it away");
        }
        self.simple(&plan, stop).await
    }

    async fn simple(&self, plan: &Plan, stop: &CancellationToken) -> Went {
        match self.carry_out(plan, stop).await.1 {
            None => Went::Well,
            Some(Fault::Again(why)) => {
                tracing::debug!(why, "looking again");
                Went::Again
            }
            Some(Fault::NotLeading) => Went::Badly("not_leading", Some(Duration::from_secs(2))),
            Some(Fault::Failed { failure, category, retry_in }) => {
                tracing::warn!(error = failure.message, "a write did not succeed; it is tried again");
                Went::Badly(category, retry_in)
            }
        }
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

    fn recall(&self, key: &Key) -> Memory {
        let remembered = self.lock();
        let Some(remembered) = remembered.get(key) else { return Memory::default() };
        let mut memory = remembered.memory.clone();
        memory.since_placed = remembered.placed.map(|placed| placed.elapsed());
        if let (Some(applied), Some(at)) = (&mut memory.applied, remembered.applied) {
            applied.ago = at.elapsed();
        }
        memory
    }

    /// A race is over at the next look; what looks like one again and again is something else.
    fn judge_race(&self, key: &Key, fault: Fault) -> Fault {
        let times = self.lock().get(key).map_or(0, |remembered| remembered.failures);
        match fault {
            Fault::Again(why) if times >= RACES => {
                let failure = Failure { part: Part::Copy, invalid: false, reason: reason::WRITE_FAILED, message: why };
                Fault::Failed { failure, category: "race", retry_in: None }
            }
            other => other,
        }
    }

    fn remember(
        &self,
        key: &Key,
        snapshot: &Snapshot,
        plan: &Plan,
        learned: Vec<Learned>,
        fault: Option<&Fault>,
    ) -> Went {
        let mut all = self.lock();
        let remembered = all.entry(key.clone()).or_default();
        let before = std::mem::replace(&mut remembered.state, plan.state);
        for learned in learned {
            remembered.learn(learned);
        }
        let went = match fault {
            None => Went::Well,
            Some(Fault::Again(why)) => {
                tracing::debug!(why, "looking again");
                Went::Again
            }
            Some(Fault::NotLeading) => Went::Badly("not_leading", Some(Duration::from_secs(2))),
            Some(Fault::Failed { category, retry_in, .. }) => Went::Badly(category, *retry_in),
        };
        let had_failure = remembered.memory.failure.is_some();
        remembered.memory.failure = failure_of(fault, remembered.memory.failure.take());
        remembered.memory.related.retain(|(gvk, name), _| {
            snapshot.related.iter().any(|one| one.declared.gvk == *gvk && one.declared.target_name == *name)
        });
        remembered.failures = if matches!(went, Went::Well) { 0 } else { remembered.failures.saturating_add(1) };
        let recovered = had_failure && remembered.memory.failure.is_none();
        let is_over = snapshot.consumer.is_known()
            && snapshot.record.is_known()
            && snapshot.consumer.present().is_none()
            && snapshot.record.present().is_none();
        let state = plan.state;
        if is_over {
            all.remove(key);
        }
        drop(all);
        self.count(before, if is_over { State::None } else { state });
        if recovered {
            // The conditions that told of the failure are out of date now.
            self.queue.add(WorkKey::Object(key.clone()));
        }
        went
    }

    fn count(&self, before: State, after: State) {
        if before == after {
            return;
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for (state, more) in [(before, false), (after, true)] {
            if state == State::None {
                continue;
            }
            let count = states.entry(state).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            self.metrics.objects(state.as_str(), *count);
        }
    }

    fn schedule(&self, key: &Key, plan: &Plan, went: &Went) {
        let failures = self.lock().get(key).map_or(0, |remembered| remembered.failures);
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Remembered>> {
        // Nothing panics while holding it.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, snapshot: &Snapshot, questions: Questions) -> Answers {
        let Questions { judge, transform } = questions;
        let api = self.api(&snapshot.key);
        let judge = async {
            match judge {
                Some(judge) => Some(self.judge(&api, snapshot, judge).await),
                None => None,
            }
        };
        let transform = async {
            match transform {
                Some(transform) => Some(self.transform(&api, transform).await),
                None => None,
            }
        };
        let (judge, transform) = futures::future::join(judge, transform).await;
        Answers { judge, transform }
    }

    fn api(&self, key: &Key) -> ApiName {
        let resource = self.cache.resource(&key.consumer, &key.gvk).map(|resource| resource.plural).unwrap_or_default();
        ApiName { group: key.gvk.group.clone(), resource }
    }

    /// All offers in one call. Where that fails, one call for each provider: what one of them publishes must not keep
    /// the others' from being judged.
    async fn judge(&self, api: &ApiName, snapshot: &Snapshot, judge: Judge) -> Result<Vec<Verdict>, PluginFailure> {
        let offers: Vec<&Arc<Offer>> = judge.offers.iter().filter_map(|index| snapshot.offers.get(*index)).collect();
        let failure = match self.judge_some(api, judge.object.clone(), &offers).await {
            Ok(verdicts) => return Ok(verdicts),
            Err(failure) => failure,
        };
        // The offers are ordered by provider.
        let groups: Vec<&[&Arc<Offer>]> = offers.chunk_by(|one, next| one.provider == next.provider).collect();
        if groups.len() < 2 {
            return Err(failure);
        }
        let mut verdicts = Vec::with_capacity(offers.len());
        for group in groups {
            match self.judge_some(api, judge.object.clone(), group).await {
                Ok(judged) => verdicts.extend(judged),
                Err(failure) => verdicts.extend(group.iter().map(|_| Verdict::Failed(failure.message.clone()))),
            }
        }
        if verdicts.iter().all(|verdict| matches!(verdict, Verdict::Failed(_))) {
            return Err(failure);
        }
        Ok(verdicts)
    }

    async fn judge_some(
        &self,
        api: &ApiName,
        object: String,
        offers: &[&Arc<Offer>],
    ) -> Result<Vec<Verdict>, PluginFailure> {
        let offers = offers.iter().map(|offer| resource_broker_sandbox::Offer {
            provider: offer.provider.to_string(),
            name: format!("{}/{}", offer.namespace, offer.name),
            filters: offer.filters.clone(),
        });
        let started = Instant::now();
        let answer = self.sandbox.judge(api, object, offers.collect()).await;
        self.called(PluginRole::AcceptFilter, answer.as_ref().err(), started);
        let verdicts = answer.map_err(|error| failed("filter", api, &error))?;
        Ok(verdicts
            .into_iter()
            .map(|verdict| match verdict {
                resource_broker_sandbox::Verdict::Accepted => Verdict::Accepted,
                resource_broker_sandbox::Verdict::Refused(violations) => {
                    Verdict::Refused(violations.into_iter().map(|violation| violation.message).collect())
                }
            })
            .collect())
    }

    async fn transform(&self, api: &ApiName, question: Transform) -> Result<Option<serde_json::Value>, PluginFailure> {
        let context = CopyContext {
            prefix: question.prefix,
            consumer_namespace: question.consumer_namespace,
            provider: question.provider.to_string(),
        };
        let started = Instant::now();
        let answer = self.sandbox.transform_status(api, question.copy, Some(question.previous), context).await;
        self.called(PluginRole::StatusTransformer, answer.as_ref().err(), started);
        let status = answer.map_err(|error| failed("status", api, &error))?;
        status
            .map(|status| serde_json::from_str(&status))
            .transpose()
            .map_err(|error| PluginFailure { message: format!("the status plugin's answer is no JSON: {error}") })
    }

    async fn validate(
        &self,
        target: &Target,
        snapshot: &planner::offer::OfferSnapshot,
        filters: Vec<String>,
    ) -> Result<Vec<String>, PluginFailure> {
        let spec = snapshot.offer.as_ref().and_then(|offer| offer.field("spec")).unwrap_or_default();
        let text = |field: &str| spec["gvr"][field].as_str().unwrap_or_default().to_owned();
        let gvk = Gvk::new(&text("group"), &text("version"), "");
        let api = ApiName { group: gvk.group, resource: text("resource") };
        let started = Instant::now();
        let answer = self.sandbox.validate_filters(&api, filters).await;
        self.called(PluginRole::AcceptFilter, answer.as_ref().err(), started);
        match answer {
            Ok(()) => Ok(Vec::new()),
            Err(CallError::Refused { problems, .. }) => {
                Ok(problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect())
            }
            Err(error) => {
                tracing::warn!(offer = %target, %error, "the filter plugin failed");
                Err(failed("filter", &api, &error))
            }
        }
    }

    fn called(&self, role: PluginRole, error: Option<&CallError>, started: Instant) {
        self.metrics.sandbox_call(role.name(), error.map_or("ok", CallError::category), started.elapsed());
    }
}

fn failed(role: &str, api: &ApiName, error: &CallError) -> PluginFailure {
    let group = if api.group.is_empty() { "core" } else { &api.group };
    PluginFailure { message: format!("the {role} plugin of {}.{group} failed: {error}", api.resource) }
}

/// What the next pass is told of this one's fault. Having to look again is no failure, and ends none.
fn failure_of(fault: Option<&Fault>, before: Option<Failure>) -> Option<Failure> {
    match fault {
        None => None,
        // A text that differs in its numbers alone (a port, a request's id) is the same failure: it is not written anew.
        Some(Fault::Failed { failure, .. }) => {
            Some(before.filter(|before| is_same(before, failure)).unwrap_or_else(|| failure.clone()))
        }
        Some(Fault::Again(_) | Fault::NotLeading) => before,
    }
}

fn is_same(one: &Failure, other: &Failure) -> bool {
    let words = |failure: &Failure| -> String { failure.message.chars().filter(|c| !c.is_ascii_hexdigit()).collect() };
    one.part == other.part && one.reason == other.reason && words(one) == words(other)
}

impl Remembered {
    fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Placed => {
                self.placed = Some(Instant::now());
                self.memory.gone = None;
            }
            Learned::Applied(asked, got) => {
                let fresh = self.applied.is_some_and(|at| at.elapsed() < CONTEST_ENDS);
                let same = self.memory.applied.as_ref().filter(|before| fresh && before.asked == asked);
                let times = same.map_or(1, |before| before.times.saturating_add(1));
                self.memory.applied = Some(Applied { asked, got, times, ago: Duration::ZERO });
                self.applied = Some(Instant::now());
            }
            Learned::Status(asked, got) => self.memory.status = Some(Written { asked, got }),
            Learned::Related(gvk, name, version) => {
                self.memory.related.insert((gvk, name), version);
            }
            Learned::Gone(uid) => self.memory.gone = Some(uid),
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
