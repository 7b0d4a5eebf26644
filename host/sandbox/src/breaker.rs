//! Spares a plugin that fails every time: a circuit breaker.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// So many failures in a row suspend a plugin.
const FAILURES: usize = 5;
/// How long it is suspended at first; each trial that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long it is suspended at most.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Closed as long as calls succeed now and then; open after a row of failures, but for one trial call at the end of each pause.
/// Failures about one subject count once: a single object that the plugin cannot take must not suspend it for all others.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// What the failures since the last success were about.
    failed: HashSet<u64>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    trial: bool,
}

/// What a call was let through as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// One of many.
    Ordinary,
    /// The one whose outcome ends or prolongs the suspension.
    Trial,
}

impl Breaker {
    /// Whether a call could be made; if not, after how long to ask again.
    pub(crate) fn check(&self, now: Instant) -> Result<Pass, Duration> {
        match &self.open {
            None => Ok(Pass::Ordinary),
            Some(open) if now < open.until => Err(open.until.duration_since(now)),
            Some(open) if open.trial => Err(FIRST_PAUSE),
            Some(_) => Ok(Pass::Trial),
        }
    }

    /// As [`check`](Self::check), for a call that is made now. It is followed by one of the other three.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Pass, Duration> {
        let pass = self.check(now)?;
        if let Some(open) = &mut self.open {
            open.trial = true;
        }
        Ok(pass)
    }

    /// A call was answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call about `subject` failed by the plugin's fault.
    pub(crate) fn failed(&mut self, pass: Pass, subject: u64, now: Instant) {
        match (&mut self.open, pass) {
            (Some(open), Pass::Trial) => {
                open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                open.until = now + open.pause;
                open.trial = false;
            }
            // It began before the suspension, and says nothing new.
            (Some(_), Pass::Ordinary) => {}
            (None, _) => {
                self.failed.insert(subject);
                if self.failed.len() >= FAILURES {
                    self.open = Some(Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE, trial: false });
                }
            }
        }
    }

    /// A call ended without saying anything about the plugin.
    pub(crate) fn abandoned(&mut self, pass: Pass) {
        if let (Some(open), Pass::Trial) = (&mut self.open, pass) {
            open.trial = false;
        }
    }

    /// How long the suspension lasts still; `None` if there is none.
    pub(crate) fn suspended_for(&self, now: Instant) -> Option<Duration> {
        self.open.as_ref().map(|open| open.until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A breaker that has just opened.
    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for subject in 0..FAILURES as u64 {
            let pass = breaker.admit(now).unwrap();
            breaker.failed(pass, subject, now);
        }
        breaker
    }

    #[test]
    fn one_subject_that_fails_again_and_again_does_not_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(Pass::Ordinary, 7, now);
        }
        assert_eq!(breaker.check(now), Ok(Pass::Ordinary));
    }

    #[test]
    fn it_opens_after_a_row_of_failures_only() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for subject in 1..FAILURES as u64 {
                breaker.failed(Pass::Ordinary, subject, now);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.check(now), Ok(Pass::Ordinary));
        assert_eq!(opened(now).check(now), Err(SECOND));
    }

    #[test]
    fn one_trial_at_a_time_and_each_failure_doubles_the_pause() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(breaker.suspended_for(now), Some(SECOND * pause));
            now += SECOND * pause;
            assert_eq!(breaker.admit(now), Ok(Pass::Trial));
            assert!(breaker.admit(now).is_err(), "one trial is enough");
            breaker.failed(Pass::Trial, 0, now);
        }
        now += LONGEST_PAUSE;
        assert_eq!(breaker.admit(now), Ok(Pass::Trial));
        breaker.succeeded();
        assert_eq!((breaker.admit(now), breaker.suspended_for(now)), (Ok(Pass::Ordinary), None));
    }

    #[test]
    fn what_began_before_the_suspension_does_not_prolong_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(Pass::Ordinary, 0, now + SECOND / 2);
        assert_eq!(breaker.suspended_for(now), Some(SECOND));
    }

    #[test]
    fn a_trial_without_an_outcome_makes_room_for_another() {
        let begun = Instant::now();
        let mut breaker = opened(begun);
        let now = begun + SECOND;
        assert_eq!(breaker.admit(now), Ok(Pass::Trial));
        breaker.abandoned(Pass::Trial);
        assert_eq!(breaker.admit(now), Ok(Pass::Trial));
    }
}
