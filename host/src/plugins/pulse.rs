//! How a plugin fares, read off its counts at intervals.

use std::time::Duration;

use resource_broker_sandbox::Stats;
use tokio::time::Instant;

/// So many calls in a row without a success are told.
const FAILURES: u64 = 3;
/// A suspension from which objects are not left to come back by themselves.
const LONG: Duration = Duration::from_secs(10);

/// What was seen of a plugin's counts so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    calls: u64,
    failures: u64,
    /// Calls in a row, as far as can be told, that failed.
    row: u64,
    /// Since when it is.
    suspended: Option<Instant>,
}

/// What a look at the counts brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing to tell.
    Steady,
    /// So many calls failed in a row that the plugin is spared.
    Suspended,
    /// A suspension is over.
    Recovered {
        /// Whether objects may wait for much longer than they need to. Not after a short one: a plugin that fails for some
        /// objects, is suspended, and answers for others would be asked about all of them again and again.
        long: bool,
    },
}

impl Pulse {
    /// Takes the counts in.
    pub(super) fn look(&mut self, stats: &Stats) -> Beat {
        let (calls, failures) =
            (stats.calls - self.calls.min(stats.calls), stats.failures - self.failures.min(stats.failures));
        if failures < calls {
            self.row = 0;
        } else {
            self.row += failures;
        }
        (self.calls, self.failures) = (stats.calls, stats.failures);
        match (self.suspended, stats.suspended_for) {
            (None, Some(_)) => {
                self.suspended = Some(Instant::now());
                Beat::Suspended
            }
            (Some(since), None) => {
                self.suspended = None;
                Beat::Recovered { long: since.elapsed() >= LONG }
            }
            _ => Beat::Steady,
        }
    }

    /// Whether the last calls failed.
    pub(super) fn failing(&self) -> bool {
        self.row >= FAILURES
    }

    /// Whether the plugin is spared.
    pub(super) fn suspended(&self) -> bool {
        self.suspended.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(calls: u64, failures: u64, suspended: bool) -> Stats {
        Stats { calls, failures, last_error: None, suspended_for: suspended.then_some(Duration::ZERO) }
    }

    #[test]
    fn it_fails_after_a_row_and_a_success_ends_that() {
        let mut pulse = Pulse::default();
        for (calls, failures, failing) in [(2, 2, false), (2, 2, false), (3, 3, true), (3, 3, true), (5, 4, false)] {
            pulse.look(&stats(calls, failures, false));
            assert_eq!(pulse.failing(), failing, "{calls} {failures}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspension_is_told_once_and_so_is_its_end() {
        for (seconds, long) in [(1, false), (9, false), (11, true)] {
            let mut pulse = Pulse::default();
            let begin = [false, true, true].map(|suspended| pulse.look(&stats(0, 0, suspended)));
            assert_eq!(begin, [Beat::Steady, Beat::Suspended, Beat::Steady]);
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(pulse.look(&stats(0, 0, false)), Beat::Recovered { long }, "after {seconds} s");
            assert_eq!(pulse.look(&stats(0, 0, false)), Beat::Steady);
        }
    }
}
