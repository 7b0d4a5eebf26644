//! Waiting for a condition, and tests that end with `?`.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// What one look at a condition found: the value waited for, or what was there instead.
pub trait Outcome {
    /// What is waited for.
    type Value;

    /// The value, or a text that says what was seen.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Outcome for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Looks every 50 ms until `probe` answers with `Some` or `Ok`, and returns what is in it.
///
/// # Panics
///
/// When that has not happened after `timeout`; the message has `what` and what the last look saw.
pub async fn eventually<F, Fut>(what: &str, timeout: Duration, probe: F) -> <Fut::Output as Outcome>::Value
where
    F: FnMut() -> Fut,
    Fut: Future,
    Fut::Output: Outcome,
{
    poll(what, timeout, probe).await.unwrap_or_else(|error| panic!("{error}"))
}

/// As [`eventually`], with the time-out as an error.
pub async fn poll<F, Fut>(what: &str, timeout: Duration, mut probe: F) -> Result<<Fut::Output as Outcome>::Value>
where
    F: FnMut() -> Fut,
    Fut: Future,
    Fut::Output: Outcome,
{
    let deadline = Instant::now() + timeout;
    let mut seen = "nothing: the first look did not come back".to_owned();
    loop {
        // A look that hangs (a server is paused) must not outlast the deadline.
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await.map(Outcome::outcome) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(instead)) => seen = instead,
            Err(_) => {}
        }
        ensure!(Instant::now() + INTERVAL < deadline, "waited {timeout:?} for {what}; last seen: {seen}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What a test returns that ends with `?`.
///
/// The error panics at the `?`, so that a [`Broker`](crate::Broker) that is dropped on the way out sees a failing
/// test and prints its log.
pub type TestResult = Result<(), Failed>;

/// A failed test; there is no value of it, see [`TestResult`].
#[derive(Debug)]
pub enum Failed {}

impl<E: Into<anyhow::Error> + Debug> From<E> for Failed {
    #[track_caller]
    fn from(error: E) -> Self {
        panic!("{:#}", error.into())
    }
}
