//! What is remembered of a key between passes, and how many keys are in which state.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use resource_broker_api::{
    broker::{AssignmentSpec, MigrationState},
    conditions::reason,
    names::{ClusterName, Gvk},
};
use tokio::time::Instant;

use super::answers::Said;
use crate::{
    apply::{Fault, Learned},
    cache::WorkKey,
    metrics::Metrics,
    planner::{
        model::{
            failure,
            snapshot::{Applied, Failure, Key, Memory, Part, RefusedCopy, Snapshot, Target, Written},
        },
        plan::{Action, Plan, State},
    },
};

/// Having to look again this often in a row is no race any more, but something to tell.
const RACES: u32 = 5;
/// An apply that is this old says nothing about a contest any more.
const CONTEST_ENDS: Duration = Duration::from_mins(10);

/// Everything that is remembered.
#[derive(Default)]
pub(super) struct Memories {
    remembered: Mutex<HashMap<Key, Remembered>>,
    states: Mutex<HashMap<State, usize>>,
    /// What plugins' failures were told as, of the keys that have one.
    said: Mutex<HashMap<WorkKey, Said>>,
    /// The copies without a record of which people have been told that they are kept, with their UIDs.
    kept: Mutex<HashMap<Target, String>>,
}

/// How many ended copies of one object are remembered: those at the places that it may have been at lately.
const ENDS: usize = 16;

/// How many types of conditions are remembered of one object's provider.
const TYPES: usize = 64;

/// What is remembered of one object. Where `memory` has a time since something, the instant is beside it.
#[derive(Default)]
struct Remembered {
    memory: Memory,
    placed: Option<Instant>,
    applied: HashMap<ClusterName, Instant>,
    status: Option<Instant>,
    /// Since when a provider refuses the object without a break, or, while it moves, accepts it.
    judged: HashMap<ClusterName, (bool, Instant)>,
    fit: Option<Instant>,
    /// Since when sources of related resources are not there, by kind and name at the consumer.
    missing: HashMap<(Gvk, String), Instant>,
    failures: u32,
    state: State,
}

/// What a pass leaves behind.
pub(super) struct Left {
    /// An earlier failure is over, and the conditions that told of it are out of date.
    pub(super) recovered: bool,
}

impl Memories {
    /// What the next pass is told.
    pub(super) fn recall(&self, key: &Key) -> Memory {
        let remembered = lock(&self.remembered);
        let Some(remembered) = remembered.get(key) else { return Memory::default() };
        let mut memory = remembered.memory.clone();
        memory.since_placed = remembered.placed.map(|placed| placed.elapsed());
        memory.fit = remembered.fit.map(|fit| fit.elapsed());
        memory.missing = remembered.missing.iter().map(|(name, since)| (name.clone(), since.elapsed())).collect();
        for (cluster, applied) in &mut memory.applied {
            applied.ago = remembered.applied.get(cluster).map(Instant::elapsed).unwrap_or_default();
        }
        if let Some(written) = &mut memory.status {
            written.ago = remembered.status.map(|at| at.elapsed()).unwrap_or_default();
        }
        for (cluster, judged) in &mut memory.judged {
            let since = |verdict: bool| {
                let judged = remembered.judged.get(cluster).filter(|(accepts, _)| *accepts == verdict);
                judged.map(|(_, since)| since.elapsed())
            };
            (judged.accepted_for, judged.refused_for) = (since(true), since(false));
        }
        memory
    }

    /// How often in a row the key's passes did not go well.
    pub(super) fn failures(&self, key: &Key) -> u32 {
        lock(&self.remembered).get(key).map_or(0, |remembered| remembered.failures)
    }

    /// A race is over at the next look; what looks like one again and again is something else.
    pub(super) fn judge_race(&self, key: &Key, fault: Fault) -> Fault {
        match fault {
            Fault::Again(why) if self.failures(key) >= RACES => {
                let failure = Failure { part: Part::Copy, invalid: false, reason: reason::WRITE_FAILED, message: why };
                Fault::Failed { failure, category: "race", retry_in: None }
            }
            other => other,
        }
    }

    /// Takes in how a pass went.
    pub(super) fn remember(
        &self,
        key: &Key,
        snapshot: &Snapshot,
        plan: &Plan,
        learned: Vec<Learned>,
        fault: Option<&Fault>,
        metrics: &Metrics,
    ) -> Left {
        let mut all = lock(&self.remembered);
        let remembered = all.entry(key.clone()).or_default();
        let before = std::mem::replace(&mut remembered.state, plan.state);
        count_ends(snapshot, &learned, metrics);
        let serving = snapshot.record.present().and_then(|record| record.provider());
        for learned in learned {
            remembered.learn(learned, serving.as_ref());
        }
        let moves = snapshot.record.present().is_some_and(|record| record.spec.next.is_some());
        remembered.judge(snapshot.consumer.present().and_then(|consumer| consumer.meta.generation), moves, plan);
        remembered.refuse(snapshot, plan, fault);
        remembered.memory.reported.extend(plan.reported.iter().take(TYPES).cloned());
        if remembered.memory.reported.len() > TYPES {
            // Whoever reports so many says nothing by it: what the last pass saw is kept.
            remembered.memory.reported = plan.reported.iter().take(TYPES).cloned().collect();
        }
        remembered.fit = plan.fit.then(|| remembered.fit.unwrap_or_else(Instant::now));
        remembered.missing.retain(|name, _| plan.missing.contains(name));
        for name in &plan.missing {
            remembered.missing.entry(name.clone()).or_insert_with(Instant::now);
        }
        let had_failure = remembered.memory.failure.is_some();
        remembered.memory.failure = failure_of(fault, remembered.memory.failure.take());
        let related = snapshot.related.iter().chain(&snapshot.related_next);
        let names: BTreeSet<(Gvk, String)> = related
            .map(|one| (one.declared.gvk.clone(), one.declared.target_name.clone()))
            .chain(
                snapshot
                    .migration
                    .compute
                    .mirrors
                    .iter()
                    .map(|one| (one.declared.gvk.clone(), format!("{}{}", one.side.prefix(), one.declared.name))),
            )
            .collect();
        remembered.memory.related.retain(|written, _| names.contains(written));
        remembered.failures = if fault.is_none() { 0 } else { remembered.failures.saturating_add(1) };
        let recovered = had_failure && remembered.memory.failure.is_none();
        let is_over = snapshot.consumer.is_known()
            && snapshot.record.is_known()
            && snapshot.consumer.present().is_none()
            && snapshot.record.present().is_none();
        // It is brokered under another key, and nothing is done under this one.
        let is_idle = fault.is_none()
            && plan.state == State::None
            && snapshot.record.present().is_some_and(|it| it.spec.consumer.version != key.gvk.version);
        if is_over || is_idle {
            all.remove(key);
        }
        drop(all);
        if is_over {
            self.say(&WorkKey::Object(key.clone()), Said::default());
        }
        self.count(before, if is_over { State::None } else { plan.state }, metrics);
        Left { recovered }
    }

    fn count(&self, before: State, after: State, metrics: &Metrics) {
        if before == after {
            return;
        }
        let mut states = lock(&self.states);
        for (state, more) in [(before, false), (after, true)] {
            if state == State::None {
                continue;
            }
            let count = states.entry(state).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            metrics.objects(state.as_str(), *count);
        }
    }

    /// What plugins' failures were told as.
    pub(super) fn said(&self, key: &WorkKey) -> Said {
        lock(&self.said).get(key).cloned().unwrap_or_default()
    }

    /// What they are told as now.
    pub(super) fn say(&self, key: &WorkKey, said: Said) {
        let mut all = lock(&self.said);
        if said == Said::default() {
            all.remove(key);
        } else {
            all.insert(key.clone(), said);
        }
    }

    /// Whether people have been told that a copy without a record is kept.
    pub(super) fn is_kept(&self, copy: &Target, uid: &str) -> bool {
        lock(&self.kept).get(copy).is_some_and(|kept| kept == uid)
    }

    /// They have been told of the copy with this UID; `None`: there is nothing to tell any more.
    pub(super) fn keep(&self, copy: &Target, uid: Option<String>) {
        let mut kept = lock(&self.kept);
        match uid {
            Some(uid) => kept.insert(copy.clone(), uid),
            None => kept.remove(copy),
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// What the next pass is told of this one's fault. Having to look again is no failure, and ends none.
fn failure_of(fault: Option<&Fault>, before: Option<Failure>) -> Option<Failure> {
    match fault {
        None => None,
        // A text that differs in its numbers alone is the same failure: it is not written anew.
        Some(Fault::Failed { failure, .. }) => {
            Some(before.filter(|before| is_same(before, failure)).unwrap_or_else(|| failure.clone()))
        }
        Some(Fault::Again(_) | Fault::NotLeading) => before,
    }
}

fn is_same(one: &Failure, other: &Failure) -> bool {
    one.part == other.part && one.reason == other.reason && failure::is_same(&one.message, &other.message)
}

/// Counts the moves and migrations that came to their end with this pass.
fn count_ends(snapshot: &Snapshot, learned: &[Learned], metrics: &Metrics) {
    for learned in learned {
        match (learned, snapshot.record.present(), snapshot.migration.object.present()) {
            (Learned::Recorded(after), Some(before), _) => {
                if let Some(outcome) = end_of_move(&before.spec, after) {
                    metrics.moved(outcome);
                }
            }
            (Learned::Migrated(Some(state)), _, Some(before)) if before.status.state != Some(*state) => match state {
                MigrationState::CutoverCompleted => metrics.migrated("completed"),
                MigrationState::Failed => metrics.migrated("failed"),
                _ => {}
            },
            _ => {}
        }
    }
}

/// How a move ended where `after` takes the place of `before`; `None` where none did.
fn end_of_move(before: &AssignmentSpec, after: &AssignmentSpec) -> Option<&'static str> {
    let next = before.next.as_ref()?;
    match &after.next {
        Some(still) if still.cluster == next.cluster => None,
        None if after.provider.cluster == next.cluster => Some("moved"),
        _ => Some("abandoned"),
    }
}

impl Remembered {
    fn learn(&mut self, learned: Learned, serving: Option<&ClusterName>) {
        match learned {
            // A copy that is made while the object moves does not make it a new one.
            Learned::Placed(provider) if serving.is_none_or(|serving| *serving == provider) => {
                self.placed = Some(Instant::now());
            }
            Learned::Placed(_) | Learned::Recorded(_) | Learned::Migrated(_) => {}
            Learned::Applied(provider, asked, got, uid) => {
                self.memory.made.insert(provider.clone(), uid);
                let fresh = self.applied.get(&provider).is_some_and(|at| at.elapsed() < CONTEST_ENDS);
                let same = self.memory.applied.get(&provider).filter(|before| fresh && before.asked == asked);
                let times = same.map_or(1, |before| before.times.saturating_add(1));
                let applied = Applied { asked, got, times, ago: Duration::ZERO };
                self.memory.applied.insert(provider.clone(), applied);
                self.applied.insert(provider, Instant::now());
            }
            Learned::Status(asked, got) => {
                let fresh = self.status.is_some_and(|at| at.elapsed() < CONTEST_ENDS);
                let same = self.memory.status.as_ref().filter(|before| fresh && before.asked == asked);
                let times = same.map_or(1, |before| before.times.saturating_add(1));
                self.memory.status = Some(Written { asked, got, times, ago: Duration::ZERO });
                self.status = Some(Instant::now());
            }
            Learned::Related(gvk, name, version) => {
                self.memory.related.insert((gvk, name), version);
            }
            Learned::Gone(uid) => {
                // What the broker took away itself was nobody's contest.
                let made =
                    self.memory.made.iter().filter(|(_, made)| **made == uid).map(|(provider, _)| provider.clone());
                for provider in made.collect::<Vec<_>>() {
                    self.memory.made.remove(&provider);
                    self.memory.applied.remove(&provider);
                }
                if self.memory.gone.len() >= ENDS {
                    self.memory.gone.pop_first();
                }
                self.memory.gone.insert(uid);
            }
        }
    }

    /// Takes in whether the object's first copy was refused as invalid. What was said of an older generation is forgotten.
    fn refuse(&mut self, snapshot: &Snapshot, plan: &Plan, fault: Option<&Fault>) {
        let generation = snapshot.consumer.present().and_then(|consumer| consumer.meta.generation);
        self.memory.refused_copies.retain(|_, refused| refused.generation == generation);
        let Some(Fault::Failed { failure, .. }) = fault else { return };
        if failure.part != Part::Copy || !failure.invalid {
            return;
        }
        for action in plan.actions() {
            if let Action::ApplyCopy { target, uid: None, .. } = action {
                let refused = RefusedCopy { generation, message: failure.message.clone() };
                self.memory.refused_copies.insert(target.cluster.clone(), refused);
            }
        }
    }

    /// How providers' offers judged this generation of the object, which `moves` or does not. A pass that did not judge says
    /// nothing; one that did says all.
    fn judge(&mut self, generation: Option<i64>, moves: bool, plan: &Plan) {
        if plan.judged.is_empty() {
            return;
        }
        let is_judged = |cluster: &ClusterName| plan.judged.iter().any(|(judged, _)| judged == cluster);
        self.memory.judged.retain(|cluster, _| is_judged(cluster));
        self.judged.retain(|cluster, _| is_judged(cluster));
        for (cluster, accepts) in &plan.judged {
            let judged = self.memory.judged.entry(cluster.clone()).or_default();
            let last = if *accepts { &mut judged.accepted } else { &mut judged.refused };
            *last = generation;
            // Most objects are accepted and stay: nothing is kept of how long.
            if *accepts && !moves {
                self.judged.remove(cluster);
            } else if self.judged.get(cluster).is_none_or(|(accepted, _)| accepted != accepts) {
                self.judged.insert(cluster.clone(), (*accepts, Instant::now()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::Role;
    use serde_json::json;

    use super::*;

    fn provider(name: &str) -> ClusterName {
        ClusterName::new(Role::Provider, name)
    }

    fn spec(provider_name: &str, next: Option<&str>) -> AssignmentSpec {
        let at = |name: &str| {
            json!({
                "cluster": provider(name).to_string(), "name": "copy", "acceptAPI": {"namespace": "n", "name": "o"},
            })
        };
        let consumer =
            json!({"cluster": "consumer#c", "group": "g", "version": "v1", "kind": "K", "name": "a", "uid": "1"});
        serde_json::from_value(json!({"consumer": consumer, "provider": at(provider_name), "next": next.map(at)}))
            .unwrap()
    }

    #[test]
    fn a_move_ends_where_it_went_or_is_abandoned() {
        let moving = spec("a", Some("b"));
        assert_eq!(end_of_move(&moving, &spec("b", None)), Some("moved"));
        assert_eq!(end_of_move(&moving, &spec("a", None)), Some("abandoned"));
        assert_eq!(end_of_move(&moving, &spec("a", Some("c"))), Some("abandoned"), "it goes elsewhere");
        assert_eq!(end_of_move(&moving, &moving), None);
        assert_eq!(end_of_move(&spec("a", None), &moving), None, "it begins");
    }

    #[test]
    fn the_ends_of_copies_are_remembered_but_not_without_bound() {
        let mut remembered = Remembered::default();
        for uid in 0..100 {
            remembered.learn(Learned::Gone(format!("{uid:03}")), None);
        }
        assert_eq!(remembered.memory.gone.len(), ENDS);
        assert!(remembered.memory.gone.contains("099"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_made_on_the_way_does_not_make_the_object_a_new_one() {
        let mut remembered = Remembered::default();
        remembered.learn(Learned::Placed(provider("b")), Some(&provider("a")));
        assert_eq!(remembered.placed, None);
        remembered.learn(Learned::Placed(provider("a")), Some(&provider("a")));
        assert!(remembered.placed.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn applies_are_counted_for_each_provider_on_its_own() {
        let mut remembered = Remembered::default();
        let apply = |name: &str| Learned::Applied(provider(name), "asked".into(), "got".into(), "uid".into());
        remembered.learn(apply("a"), None);
        remembered.learn(apply("b"), None);
        remembered.learn(apply("a"), None);
        let times = |name: &str| remembered.memory.applied.get(&provider(name)).map(|applied| applied.times);
        assert_eq!((times("a"), times("b")), (Some(2), Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn writes_of_one_status_are_counted_until_it_is_left_alone() {
        let mut remembered = Remembered::default();
        let mut write = |asked: &str| {
            remembered.learn(Learned::Status(asked.into(), "got".into()), None);
            remembered.memory.status.as_ref().map(|written| written.times)
        };
        assert_eq!([write("a"), write("a"), write("b"), write("a")], [Some(1), Some(2), Some(1), Some(1)]);
        assert_eq!(write("a"), Some(2));
        tokio::time::advance(CONTEST_ENDS).await;
        assert_eq!(write("a"), Some(1), "nobody has contested it for long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_lasts_until_it_is_taken_back_and_passes_that_do_not_judge_say_nothing() {
        let mut remembered = Remembered::default();
        let pass = judging(false);
        pass(&mut remembered, 7, &[("a", true)]);
        assert_eq!(remembered.memory.judged[&provider("a")].accepted, Some(7));
        pass(&mut remembered, 7, &[("a", false), ("b", false)]);
        tokio::time::advance(Duration::from_secs(5)).await;
        pass(&mut remembered, 7, &[]);
        pass(&mut remembered, 7, &[("a", false)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lasts(&remembered, "a"), Some((false, Duration::from_secs(6))), "since the first refusal");
        assert_eq!(lasts(&remembered, "b"), None, "it is not asked any more");
        assert_eq!(remembered.memory.judged[&provider("a")].accepted, Some(7), "when it last accepted stands");
        pass(&mut remembered, 7, &[("a", true)]);
        assert_eq!(lasts(&remembered, "a"), None, "of an object that stays nothing is counted");
        pass(&mut remembered, 7, &[("a", false)]);
        assert_eq!(lasts(&remembered, "a"), Some((false, Duration::ZERO)), "another refusal");
    }

    #[tokio::test(start_paused = true)]
    async fn an_acceptance_on_the_way_lasts_until_the_next_refusal_and_each_provider_counts_for_itself() {
        let mut remembered = Remembered::default();
        let pass = judging(true);
        pass(&mut remembered, 7, &[("a", false), ("b", true)]);
        tokio::time::advance(Duration::from_secs(3)).await;
        pass(&mut remembered, 8, &[("a", true), ("b", true)]);
        tokio::time::advance(Duration::from_secs(4)).await;
        pass(&mut remembered, 8, &[("a", true), ("b", true)]);
        assert_eq!(remembered.memory.judged[&provider("a")].refused, Some(7), "when it last refused stands");
        assert_eq!(lasts(&remembered, "a"), Some((true, Duration::from_secs(4))));
        assert_eq!(lasts(&remembered, "b"), Some((true, Duration::from_secs(7))));
        pass(&mut remembered, 8, &[("a", false), ("b", true)]);
        assert_eq!(lasts(&remembered, "a"), Some((false, Duration::ZERO)));
        pass(&mut remembered, 8, &[("a", true), ("b", true)]);
        assert_eq!(lasts(&remembered, "a"), Some((true, Duration::ZERO)), "another acceptance");
    }

    /// Passes over an object that moves, or does not.
    fn judging(moves: bool) -> impl Fn(&mut Remembered, i64, &[(&str, bool)]) {
        move |remembered, generation, judged| {
            let judged = judged.iter().map(|(name, accepts)| (provider(name), *accepts)).collect();
            remembered.judge(Some(generation), moves, &Plan { judged, ..Plan::default() });
        }
    }

    /// What a provider's offers say, and for how long.
    fn lasts(remembered: &Remembered, name: &str) -> Option<(bool, Duration)> {
        remembered.judged.get(&provider(name)).map(|(accepts, since)| (*accepts, since.elapsed()))
    }
}
