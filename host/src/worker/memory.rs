//! What is remembered of a key between passes, and how many keys are in which state.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use resource_broker_api::conditions::reason;
use tokio::time::Instant;

use super::answers::{Said, same_words};
use crate::{
    apply::{Fault, Learned},
    cache::WorkKey,
    metrics::Metrics,
    planner::{
        plan::{Plan, State},
        snapshot::{Applied, Failure, Key, Memory, Part, Snapshot, Written},
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
}

/// What is remembered of one object.
#[derive(Default)]
struct Remembered {
    memory: Memory,
    placed: Option<Instant>,
    applied: Option<Instant>,
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
        if let (Some(applied), Some(at)) = (&mut memory.applied, remembered.applied) {
            applied.ago = at.elapsed();
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
        for learned in learned {
            remembered.learn(learned);
        }
        let had_failure = remembered.memory.failure.is_some();
        remembered.memory.failure = failure_of(fault, remembered.memory.failure.take());
        remembered.memory.related.retain(|(gvk, name), _| {
            snapshot.related.iter().any(|one| one.declared.gvk == *gvk && one.declared.target_name == *name)
        });
        remembered.failures = if fault.is_none() { 0 } else { remembered.failures.saturating_add(1) };
        let recovered = had_failure && remembered.memory.failure.is_none();
        let is_over = snapshot.consumer.is_known()
            && snapshot.record.is_known()
            && snapshot.consumer.present().is_none()
            && snapshot.record.present().is_none();
        if is_over {
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
}

/// Nothing panics while holding one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    one.part == other.part && one.reason == other.reason && same_words(&one.message, &other.message)
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
