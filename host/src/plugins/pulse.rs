//! How a plugin fares, read off its counts at intervals.

use resource_broker_sandbox::Stats;

/// So many calls in a row without a success are told.
const FAILURES: u64 = 3;

/// What was seen of a plugin's counts so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    calls: u64,
    failures: u64,
    /// Calls in a row, as far as can be told, that failed.
    row: u64,
    suspended: bool,
}

/// What a look at the counts brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing to tell.
    Steady,
    /// So many calls failed in a row that the plugin is spared.
    Suspended,
    /// A suspension is over.
    Recovered,
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
        match (std::mem::replace(&mut self.suspended, stats.suspended_for.is_some()), self.suspended) {
            (false, true) => Beat::Suspended,
            (true, false) => Beat::Recovered,
            _ => Beat::Steady,
        }
    }

    /// Whether the last calls failed.
    pub(super) fn failing(&self) -> bool {
        self.row >= FAILURES
    }

    /// Whether the plugin is spared.
    pub(super) fn suspended(&self) -> bool {
        self.suspended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    #[test]
    fn a_suspension_is_told_once_and_so_is_its_end() {
        let mut pulse = Pulse::default();
        let beats = [false, true, true, false].map(|suspended| pulse.look(&stats(0, 0, suspended)));
        assert_eq!(beats, [Beat::Steady, Beat::Suspended, Beat::Steady, Beat::Recovered]);
    }
}
