//! How quickly a cluster answers of late.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// A cluster that takes so long is slow.
const SLOW: Duration = Duration::from_secs(1);
/// A slow one is so until it takes less than this.
const QUICK: Duration = Duration::from_millis(500);
/// The part that the last answer has in what is typical.
const LAST: f64 = 0.2;

/// See the module.
#[derive(Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the requests under way were sent.
    under_way: BTreeMap<u64, Instant>,
    next: u64,
    /// How long an answer typically takes, in seconds.
    typical: f64,
    slow: bool,
}

/// A request under way; it ends when this is dropped.
pub(super) struct UnderWay<'a> {
    pace: &'a Pace,
    id: u64,
}

impl Pace {
    /// A request is sent.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.under_way.insert(id, Instant::now());
        UnderWay { pace: self, id }
    }

    /// Whether it answers slowly: an answer takes long, or one has been waited for so long.
    pub(super) fn is_slow(&self) -> bool {
        let mut state = self.lock();
        let waits = state.under_way.first_key_value().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let limit = if state.slow { QUICK } else { SLOW };
        state.slow = waits >= SLOW || state.typical >= limit.as_secs_f64();
        state.slow
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        if let Some(since) = state.under_way.remove(&self.id) {
            state.typical += LAST * (since.elapsed().as_secs_f64() - state.typical);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cluster_is_slow_while_answers_take_long() {
        let pace = Pace::default();
        let answer = async |seconds: f64| {
            let _under_way = pace.begin();
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        };
        answer(0.01).await;
        assert!(!pace.is_slow());
        let first = pace.begin();
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(!pace.is_slow(), "one may take a while");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(pace.is_slow(), "nothing need have been answered for that");
        drop(first);
        assert!(!pace.is_slow(), "it was one");
        for _ in 0..10 {
            answer(5.0).await;
        }
        assert!(pace.is_slow());
        answer(0.01).await;
        assert!(pace.is_slow(), "one quick answer says little");
        for _ in 0..20 {
            answer(0.01).await;
        }
        assert!(!pace.is_slow());
    }
}
