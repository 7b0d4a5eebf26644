//! When a key is looked at again: after a pause that grows while its passes fail, else when its plan wants it.
//!
//! What went wrong is told by the next pass, so one that fails in another way than those before it is followed soon.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use parking_lot::Mutex;
use rand::RngExt;

use super::{Outcome, Went};
use crate::{cache::WorkKey, queue::Queue};

/// The pause after the first pass that failed; each further one is twice as long.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest pause before a key that failed is looked at again.
pub(super) const LONGEST: Duration = Duration::from_mins(1);
/// The longest pause where a cluster was only not as the cache showed it.
const LONGEST_RACE: Duration = Duration::from_secs(5);

/// How many different failures of one key are followed soon, until its passes go well or keep failing in one way: failures
/// that take turns must not keep the pauses short.
const NEW: usize = 8;
/// A failure that has come this often in a row is what there is to tell, and any other one is news.
const STEADY: u32 = 6;

/// How the passes of each key have failed.
#[derive(Default)]
pub(super) struct Pauses {
    /// Of keys whose last pass failed alone, so it is as small as there is trouble.
    failed: Mutex<HashMap<WorkKey, Row>>,
    digests: RandomState,
}

/// Passes of one key in a row that failed.
#[derive(Default)]
struct Row {
    /// How many, since one of them was the first to fail in its way.
    length: u32,
    /// In which way the last one failed, and how often in a row.
    last: Option<u64>,
    same: u32,
    /// The ways in which any of them failed, as digests.
    known: HashSet<u64>,
}

impl Row {
    /// One more pass failed, in this way where it is one to report. Whether that is news: failures that take turns are not.
    fn failed(&mut self, what: Option<u64>) -> bool {
        self.length = self.length.saturating_add(1);
        let Some(what) = what else { return false };
        let is_another = self.last != Some(what);
        self.same = if is_another { 1 } else { self.same.saturating_add(1) };
        self.last = Some(what);
        if self.same >= STEADY {
            self.known.clear();
        }
        let is_new = self.known.len() < NEW && self.known.insert(what);
        if is_new && self.same < STEADY {
            self.length = 1;
        }
        is_new && is_another
    }
}

impl Pauses {
    /// Puts a key whose pass came to `outcome` into the queue for its next look. Whether that is a failure which the last one
    /// that failed did not have.
    pub(super) fn arrange(&self, queue: &Queue<WorkKey>, key: &WorkKey, outcome: &Outcome) -> bool {
        let (failures, is_news) = self.count(key, &outcome.went);
        let pause = || {
            let pause = SHORTEST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST);
            pause.mul_f64(rand::rng().random_range(0.75..1.25))
        };
        match outcome.went {
            Went::Well => {
                if let Some(again) = outcome.again {
                    queue.add_after(key.clone(), again.mul_f64(rand::rng().random_range(1.0..1.1)));
                }
            }
            Went::Again => queue.add_after(key.clone(), pause().min(LONGEST_RACE)),
            Went::Badly { retry_in, .. } => queue.defer(key, retry_in.unwrap_or_default().max(pause())),
        }
        is_news
    }

    /// In how many passes in a row the key has failed, and whether this one is another failure than the last.
    fn count(&self, key: &WorkKey, went: &Went) -> (u32, bool) {
        let mut failed = self.failed.lock();
        if matches!(went, Went::Well) {
            failed.remove(key);
            return (0, false);
        }
        let what = match went {
            Went::Badly { what, .. } => Some(self.digests.hash_one(what)),
            Went::Well | Went::Again => None,
        };
        let row = failed.entry(key.clone()).or_default();
        let is_news = row.failed(what);
        (row.length, is_news)
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::{ClusterName, Gvk, Role};
    use tokio::time::Instant;

    use super::*;
    use crate::{planner::model::snapshot::Target, testing};

    /// One key of each kind.
    fn keys() -> [WorkKey; 5] {
        let target = |name: &str| {
            let cluster = ClusterName::new(Role::Coordination, "coord");
            Target::new(cluster, Gvk::new("g.io", "v1", "Thing"), Some("n".into()), name.into())
        };
        [
            WorkKey::Object(testing::key("a")),
            WorkKey::Offer(target("offer")),
            WorkKey::Copy(target("copy")),
            WorkKey::Configuration(target("configuration")),
            WorkKey::Migration("migration".into()),
        ]
    }

    /// How long it takes until the key of a pass with this outcome is looked at again.
    async fn pause(pauses: &Pauses, key: &WorkKey, went: Went, again: Option<Duration>) -> Duration {
        let queue = Queue::new();
        queue.add(key.clone());
        queue.next().await;
        let _ = pauses.arrange(&queue, key, &Outcome { went, again });
        queue.done(key);
        let start = Instant::now();
        queue.next().await;
        start.elapsed()
    }

    fn is_about(found: Duration, expected: Duration) -> bool {
        (expected.mul_f64(0.74)..=expected.mul_f64(1.26)).contains(&found)
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_for_every_kind_of_key_until_a_pass_goes_well() {
        for key in keys() {
            let pauses = Pauses::default();
            for round in 0..2 {
                let mut expected = SHORTEST;
                for failure in 0..20 {
                    // What the plan of a pass that failed wants does not shorten its pause.
                    let found = pause(&pauses, &key, Went::badly("x", None), Some(Duration::from_millis(1))).await;
                    assert!(is_about(found, expected), "{key}, round {round}, failure {failure}: {found:?}");
                    expected = (expected * 2).min(LONGEST);
                }
                let again = Duration::from_secs(7);
                let found = pause(&pauses, &key, Went::Well, Some(again)).await;
                assert!(found >= again && found < Duration::from_secs(8), "{key}: {found:?}");
            }
            assert!(pauses.failed.into_inner().is_empty(), "{key} leaves something");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_may_ask_for_a_longer_pause_and_a_race_has_a_short_one() {
        let pauses = Pauses::default();
        let key = &keys()[3];
        let wanted = Duration::from_secs(30);
        assert_eq!(pause(&pauses, key, Went::badly("x", Some(wanted)), None).await.as_secs(), wanted.as_secs());
        for _ in 0..12 {
            assert!(pause(&pauses, key, Went::Again, None).await <= LONGEST_RACE + Duration::from_millis(10));
        }
    }

    fn failing(what: &str) -> Went {
        Went::Badly { category: "x", retry_in: None, what: what.into(), failure: None }
    }

    #[test]
    fn a_failure_is_news_once_also_where_two_take_turns() {
        let mut row = Row::default();
        let failures = [Some(1), Some(1), None, Some(1), Some(2), Some(1)];
        assert_eq!(failures.map(|what| row.failed(what)), [true, false, false, false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn another_failure_is_followed_at_once() {
        let pauses = Pauses::default();
        let key = &keys()[0];
        for _ in 0..12 {
            pause(&pauses, key, failing("one"), None).await;
        }
        for what in ["other", "one"] {
            let found = pause(&pauses, key, failing(what), None).await;
            assert!(is_about(found, SHORTEST), "{what}: {found:?}");
            for _ in 0..12 {
                pause(&pauses, key, failing(what), None).await;
            }
            let found = pause(&pauses, key, failing(what), None).await;
            assert!(is_about(found, LONGEST), "{what}: {found:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_take_turns_or_never_are_the_same_do_not_make_a_loop() {
        let (pauses, key) = (Pauses::default(), &keys()[0]);
        let turns = |round: usize| ["one", "other", "third"][round % 3].to_owned();
        let never = |round: usize| format!("failure {round}");
        for what in [&turns as &dyn Fn(usize) -> String, &never] {
            for round in 0..20 {
                pause(&pauses, key, failing(&what(round)), None).await;
            }
            for round in 20..40 {
                let found = pause(&pauses, key, failing(&what(round)), None).await;
                assert!(is_about(found, LONGEST), "{}: {found:?}", what(round));
            }
            pause(&pauses, key, Went::Well, Some(Duration::ZERO)).await;
        }
    }
}
