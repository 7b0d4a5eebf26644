//! How a plugin fares over all its calls.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use resource_broker_plugin_types::ApiName;

use crate::breaker::{Breaker, Pass};
use crate::error::{CallError, Fault};

/// What a plugin's calls came to since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls that were made; those that a suspension or a block kept away are not among them.
    pub calls: u64,
    /// Calls that failed by the plugin's fault.
    pub failures: u64,
    /// The text of the last such failure.
    pub last_error: Option<String>,
    /// How long it is suspended still, zero where the next call is a trial; `None`: it is not.
    pub suspended_for: Option<Duration>,
}

/// The record of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    calls: u64,
    failures: u64,
    last_error: Option<String>,
    /// What crashes a plugin in one API does not suspend it in another: the standard one serves many.
    breakers: HashMap<ApiName, Breaker>,
}

/// What a call is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The API for which the plugin is asked.
    pub(crate) api: ApiName,
    /// Tells one object of it from another.
    pub(crate) object: u64,
}

impl Health {
    /// Whether a call of `plugin` for `api` could be made now.
    pub(crate) fn check(&self, plugin: &str, api: &ApiName) -> Result<(), CallError> {
        let record = self.record();
        match record.breakers.get(api).map(|breaker| breaker.check(Instant::now())) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(retry_in)) => Err(record.suspended(plugin, retry_in)),
        }
    }

    /// Makes a call of `plugin` about `subject` unless it is suspended, and takes down what came of it.
    pub(crate) fn observe<R>(
        &self,
        plugin: &str,
        subject: Subject,
        call: impl FnOnce() -> Result<R, CallError>,
    ) -> Result<R, CallError> {
        let attempt = {
            let mut record = self.record();
            let admitted = record.breaker(&subject.api).admit(Instant::now());
            let pass = admitted.map_err(|retry_in| record.suspended(plugin, retry_in))?;
            record.calls += 1;
            Attempt { health: self, pass, subject }
        };
        let answer = call();
        attempt.ended(answer.as_ref().err());
        answer
    }

    pub(crate) fn stats(&self) -> Stats {
        let (record, now) = (self.record(), Instant::now());
        Stats {
            calls: record.calls,
            failures: record.failures,
            last_error: record.last_error.clone(),
            suspended_for: record.breakers.values().filter_map(|breaker| breaker.suspended_for(now)).max(),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock()
    }
}

impl Record {
    fn breaker(&mut self, api: &ApiName) -> &mut Breaker {
        self.breakers.entry(api.clone()).or_default()
    }

    fn suspended(&self, plugin: &str, retry_in: Duration) -> CallError {
        CallError::Suspended {
            plugin: plugin.to_owned(),
            message: self.last_error.clone().unwrap_or_default(),
            retry_in,
        }
    }

    fn take_down(&mut self, pass: Pass, subject: &Subject, error: Option<&CallError>) {
        let Some(error) = error.filter(|error| error.fault() == Fault::Guest) else {
            match error {
                Some(error) if error.fault() == Fault::Host => self.breaker(&subject.api).abandoned(pass),
                Some(_) | None => self.breaker(&subject.api).succeeded(),
            }
            return;
        };
        self.failures += 1;
        self.last_error = Some(error.to_string());
        if let CallError::Unsupported { .. } = error {
            // A clear answer about one input, which others need not share.
            self.breaker(&subject.api).succeeded();
        } else {
            self.breaker(&subject.api).failed(pass, subject.object, Instant::now());
        }
    }
}

/// A call under way. One that unwinds must not count as a trial for ever.
struct Attempt<'h> {
    health: &'h Health,
    pass: Pass,
    subject: Subject,
}

impl Attempt<'_> {
    fn ended(self, error: Option<&CallError>) {
        self.health.record().take_down(self.pass, &self.subject, error);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.health.record().breaker(&self.subject.api).abandoned(self.pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap() -> CallError {
        CallError::Trap { plugin: "p".to_owned(), message: "boom".to_owned() }
    }

    fn api(resource: &str) -> ApiName {
        ApiName { group: "g.io".to_owned(), resource: resource.to_owned() }
    }

    fn fail(health: &Health, object: u64, error: &CallError) -> CallError {
        let subject = Subject { api: api("vms"), object };
        health.observe("p", subject, || Err::<(), _>(error.clone())).unwrap_err()
    }

    #[test]
    fn a_row_of_crashes_suspends_and_says_why() {
        let health = Health::default();
        for subject in 0..5 {
            assert_eq!(fail(&health, subject, &trap()), trap());
        }
        let error = fail(&health, 5, &trap());
        assert!(matches!(&error, CallError::Suspended { message, .. } if message.contains("boom")), "{error}");
        assert_eq!(health.check("p", &api("vms")).unwrap_err().category(), "suspended");
        assert_eq!(health.check("p", &api("disks")), Ok(()), "another API has not seen it fail");
        let stats = health.stats();
        assert_eq!((stats.calls, stats.failures), (5, 5), "calls that were not made are not counted");
        assert!(stats.suspended_for.is_some() && stats.last_error.is_some());
    }

    #[test]
    fn answers_that_say_no_do_not_suspend() {
        let health = Health::default();
        let refused = CallError::Refused { plugin: "p".to_owned(), problems: Vec::new() };
        let unsupported = CallError::Unsupported { plugin: "p".to_owned(), message: "moons".to_owned() };
        for subject in 0..20 {
            fail(&health, subject, &refused);
            fail(&health, subject, &unsupported);
        }
        let stats = health.stats();
        assert_eq!((stats.calls, stats.failures, stats.suspended_for), (40, 20, None));
    }
}
