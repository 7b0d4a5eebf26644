//! Bounds the requests in flight at one cluster, and backs off when the cluster says that it has too much to do.
//!
//! The limit is halved on 429 and grows back by one for each round of requests that went well.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};

use super::error::MAX_RETRY_AFTER;

/// The most requests in flight at one cluster.
const MOST: usize = 64;
/// Requests that were sent together are told 429 together: that is one lesson, not many.
const ONE_LESSON: Duration = Duration::from_secs(1);
/// What a 429 without `Retry-After` asks for.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// A pause up to this is waited out by the request; a longer one is the caller's business.
const SHORT_PAUSE: Duration = Duration::from_millis(250);

/// Hands out the right to send.
pub(super) struct Limiter {
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    /// How many requests may be in flight.
    limit: usize,
    /// Permits that are out and are not to come back, since the limit fell below what is in flight.
    owed: usize,
    /// Requests that went well since the limit last changed.
    went_well: usize,
    paused_until: Option<Instant>,
    last_lesson: Option<Instant>,
}

/// The right to have one request in flight, until dropped.
pub(super) struct Permit<'a> {
    limiter: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
}

impl Limiter {
    /// A limiter at its most generous.
    pub(super) fn new() -> Self {
        let state = State { limit: MOST, owed: 0, went_well: 0, paused_until: None, last_lesson: None };
        Self { permits: Semaphore::new(MOST), state: Mutex::new(state) }
    }

    /// Waits for a turn, at most for `patience`. Fails with the time after which to try again.
    pub(super) async fn acquire(&self, patience: Duration) -> Result<Permit<'_>, Duration> {
        let pause = self.pause();
        if pause > SHORT_PAUSE {
            return Err(pause);
        }
        sleep(pause).await;
        match timeout(patience, self.permits.acquire()).await {
            // The semaphore is never closed.
            Ok(permit) => Ok(Permit { limiter: self, permit: permit.ok() }),
            Err(_) => Err(DEFAULT_PAUSE),
        }
    }

    /// The cluster said 429, and when to come back.
    pub(super) fn throttled(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.lock();
        let until = now + retry_after.unwrap_or(DEFAULT_PAUSE).min(MAX_RETRY_AFTER);
        state.paused_until = Some(state.paused_until.map_or(until, |earlier| earlier.max(until)));
        if state.last_lesson.is_some_and(|last| now.duration_since(last) < ONE_LESSON) {
            return;
        }
        state.last_lesson = Some(now);
        state.went_well = 0;
        let halved = (state.limit / 2).max(1);
        let cut = state.limit - halved;
        state.limit = halved;
        state.owed += cut - self.permits.forget_permits(cut);
    }

    /// A request went well.
    pub(super) fn went_well(&self) {
        let mut state = self.lock();
        if state.limit == MOST {
            return;
        }
        state.went_well += 1;
        if state.went_well < state.limit {
            return;
        }
        state.went_well = 0;
        state.limit += 1;
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.permits.add_permits(1);
        }
    }

    fn pause(&self) -> Duration {
        self.lock().paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn take(limiter: &Limiter, count: usize) -> Vec<Permit<'_>> {
        let mut permits = Vec::new();
        for _ in 0..count {
            permits.push(limiter.acquire(PATIENCE).await.unwrap_or_else(|_| panic!("no permit")));
        }
        permits
    }

    async fn is_full(limiter: &Limiter) -> bool {
        limiter.acquire(PATIENCE).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_and_no_more() {
        let limiter = Limiter::new();
        let mut permits = take(&limiter, MOST).await;
        assert!(is_full(&limiter).await);
        permits.pop();
        assert!(!is_full(&limiter).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_halves_the_limit_also_of_what_is_in_flight() {
        let limiter = Limiter::new();
        let permits = take(&limiter, MOST).await;
        limiter.throttled(Some(Duration::ZERO));
        limiter.throttled(Some(Duration::ZERO));
        drop(permits);
        let _permits = take(&limiter, MOST / 2).await;
        assert!(is_full(&limiter).await, "two answers of one moment are one lesson");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_grows_back_slowly() {
        let limiter = Limiter::new();
        limiter.throttled(Some(Duration::ZERO));
        for _ in 0..MOST / 2 {
            limiter.went_well();
        }
        let _permits = take(&limiter, MOST / 2 + 1).await;
        assert!(is_full(&limiter).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_asked_for_is_kept_but_not_for_ever() {
        let limiter = Limiter::new();
        limiter.throttled(Some(Duration::from_hours(24)));
        assert_eq!(limiter.acquire(PATIENCE).await.err(), Some(MAX_RETRY_AFTER));
        tokio::time::advance(MAX_RETRY_AFTER).await;
        assert!(!is_full(&limiter).await);
    }
}
