//! Notices that a cluster does not answer, so that requests to it fail at once instead of taking ten seconds each.
//!
//! Pure: the caller brings the time, and makes the probes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// This many failures in a row, with no answer between them, and the cluster counts as down.
const FAILURES: u32 = 3;
/// The pause before the first probe, at most; it doubles with each one that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(700);
/// The longest pause between probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How much of a pause is left at least when chance has shortened it.
const SHORTEST_SHARE: f64 = 0.7;

/// Whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Ask,
    /// It may not.
    Down { since: Timestamp, cause: String, retry_in: Duration },
}

/// What is known of one cluster's silence.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Failures since the last answer.
    failures: u32,
    /// Set while the cluster counts as down: since when, and what the last failure was.
    down: Option<(Timestamp, String)>,
    /// Pauses handed out since the last answer.
    pauses: u32,
    next_probe: Option<Instant>,
    probing: bool,
}

impl Breaker {
    /// Whether to send a request at `now`.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let Some((since, cause)) = &self.down else { return Verdict::Ask };
        let until_probe = self.next_probe.map_or(FIRST_PAUSE, |at| at.saturating_duration_since(now));
        // A probe takes a moment too; trying earlier than this is in vain.
        Verdict::Down { since: *since, cause: cause.clone(), retry_in: until_probe.max(FIRST_PAUSE) }
    }

    /// The cluster answered, whatever it said. True when it was down until now.
    pub(super) fn answered(&mut self) -> bool {
        self.failures = 0;
        self.pauses = 0;
        self.next_probe = None;
        self.down.take().is_some()
    }

    /// A request got no answer. The time since when the cluster is down, when this one was the last straw.
    pub(super) fn failed(&mut self, cause: String) -> Option<Timestamp> {
        self.failures = self.failures.saturating_add(1);
        if let Some((_, last)) = &mut self.down {
            *last = cause;
            return None;
        }
        if self.failures < FAILURES {
            return None;
        }
        // Whole seconds: the text stands in conditions.
        let now = Timestamp::now();
        let since = Timestamp::from_second(now.as_second()).unwrap_or(now);
        self.down = Some((since, cause));
        Some(since)
    }

    /// How long to wait before the next probe: growing, and never the same for two clusters that fell at once.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        let grown = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(10)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        let pause = grown.mul_f64(rand::random_range(SHORTEST_SHARE..=1.0));
        self.next_probe = Some(now + pause);
        pause
    }

    /// Claims the right to probe; false where somebody has it.
    pub(super) fn begin_probing(&mut self) -> bool {
        !std::mem::replace(&mut self.probing, true)
    }

    /// Gives the right to probe back.
    pub(super) fn end_probing(&mut self) {
        self.probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, times: u32) -> Option<Timestamp> {
        (0..times).filter_map(|_| breaker.failed("refused".to_owned())).last()
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let mut breaker = Breaker::default();
        assert_eq!(fail(&mut breaker, FAILURES - 1), None);
        assert!(!breaker.answered());
        assert_eq!(fail(&mut breaker, FAILURES - 1), None);
        assert_eq!(breaker.verdict(Instant::now()), Verdict::Ask);
        assert!(fail(&mut breaker, 1).is_some());
        assert!(matches!(breaker.verdict(Instant::now()), Verdict::Down { .. }));
    }

    #[test]
    fn one_outage_begins_once_and_ends_with_an_answer() {
        let mut breaker = Breaker::default();
        let since = fail(&mut breaker, FAILURES);
        assert_eq!(breaker.failed("timed out".to_owned()), None);
        let Verdict::Down { since: told, cause, .. } = breaker.verdict(Instant::now()) else { panic!("not down") };
        assert_eq!((Some(told), cause.as_str()), (since, "timed out"));
        assert!(breaker.answered());
        assert_eq!(breaker.verdict(Instant::now()), Verdict::Ask);
    }

    #[test]
    fn pauses_grow_to_a_limit_and_start_over() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        let first = FIRST_PAUSE.mul_f64(SHORTEST_SHARE)..=FIRST_PAUSE;
        let long = LONGEST_PAUSE.mul_f64(SHORTEST_SHARE)..=LONGEST_PAUSE;
        assert!(first.contains(&breaker.pause(now)));
        let pauses: Vec<Duration> = (0..40).map(|_| breaker.pause(now)).collect();
        assert!(pauses[10..].iter().all(|pause| long.contains(pause)), "{pauses:?}");
        assert!(pauses[10..].windows(2).any(|two| two[0] != two[1]), "{pauses:?}");
        breaker.answered();
        assert!(first.contains(&breaker.pause(now)));
    }

    #[test]
    fn one_prober_at_a_time() {
        let mut breaker = Breaker::default();
        assert!(breaker.begin_probing());
        assert!(!breaker.begin_probing());
        breaker.end_probing();
        assert!(breaker.begin_probing());
    }
}
