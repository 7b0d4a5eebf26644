//! Asks plugins what a pass wants to know: carries questions to the sandbox, and brings answers and failures back.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use resource_broker_api::names::Gvk;
use resource_broker_sandbox::{ApiName, CallError, CopyContext, Fault, Role, Sandbox};
use tokio::time::Instant;

use crate::{
    cache::Cache,
    metrics::Metrics,
    planner::{
        offer::OfferSnapshot,
        question::{Answers, Judge, PluginFailure, Questions, Transform, Verdict},
        snapshot::{Key, Offer, Snapshot, Target},
    },
    plugins::Board,
};

/// When a call that was stopped at its deadline is tried again: the machine may have been busy.
const AFTER_DEADLINE: Duration = Duration::from_mins(5);
/// When a call is tried again that the broker could not make.
const AFTER_HOST: Duration = Duration::from_secs(10);
/// The least pause before a suspended plugin is asked again.
const AFTER_SUSPENSION: Duration = Duration::from_secs(1);

/// Whom passes ask.
pub(super) struct Plugins {
    /// Answers questions.
    pub(super) sandbox: Sandbox,
    /// Says who is being loaded.
    pub(super) board: Board,
    /// Knows what APIs are called.
    pub(super) cache: Arc<Cache>,
    /// Counts.
    pub(super) metrics: Metrics,
}

/// What was last said of failures about one key, by role. It stands while the same goes on in other words, so that nothing is
/// written anew for a number or for somebody else's failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    judge: Option<String>,
    transform: Option<String>,
}

/// What came of asking.
#[derive(Default)]
pub(super) struct Asked<T> {
    /// The answers.
    pub(super) answer: T,
    /// When asking again makes sense although nothing changes.
    pub(super) again: Option<Duration>,
}

/// A plugin that gave no answer.
struct Failed {
    failure: PluginFailure,
    /// When to ask again.
    again: Option<Duration>,
    /// The plugin was not asked at all.
    unasked: bool,
}

impl Plugins {
    /// The Plugin that the questions wait for: it is being loaded, and nobody answers in its stead.
    pub(super) fn awaited(&self, key: &Key, questions: &Questions) -> Option<String> {
        let roles =
            [(Role::AcceptFilter, questions.judge.is_some()), (Role::StatusTransformer, questions.transform.is_some())];
        let mut asked = roles.into_iter().filter(|(_, asked)| *asked).peekable();
        asked.peek()?;
        let api = self.api(key);
        asked.find_map(|(role, _)| self.board.loading(&api, role))
    }

    /// The same for an offer's filters.
    pub(super) fn awaited_by_offer(&self, snapshot: &OfferSnapshot) -> Option<String> {
        self.board.loading(&api_of_offer(snapshot), Role::AcceptFilter)
    }

    /// The answers to all questions about one object.
    pub(super) async fn answer(&self, snapshot: &Snapshot, questions: Questions, said: &mut Said) -> Asked<Answers> {
        let Questions { judge, transform } = questions;
        let api = self.api(&snapshot.key);
        let judge = async {
            match judge {
                Some(judge) => Some(self.judge(&api, snapshot, judge).await),
                None => None,
            }
        };
        let transform = async {
            match transform {
                Some(transform) => Some(self.transform(&api, transform).await),
                None => None,
            }
        };
        let (judge, transform) = futures::future::join(judge, transform).await;
        let judge = judge.map(|judge| settle(judge, &mut said.judge));
        let transform = transform.map(|transform| settle(transform, &mut said.transform));
        let again = [judge.as_ref().and_then(|it| it.again), transform.as_ref().and_then(|it| it.again)];
        Asked {
            answer: Answers { judge: judge.map(|it| it.answer), transform: transform.map(|it| it.answer) },
            again: again.into_iter().flatten().min(),
        }
    }

    /// The problems of an offer's filters; none if they make sense.
    pub(super) async fn validate(
        &self,
        target: &Target,
        snapshot: &OfferSnapshot,
        filters: Vec<String>,
        said: &mut Said,
    ) -> Asked<Result<Vec<String>, PluginFailure>> {
        let api = api_of_offer(snapshot);
        let started = Instant::now();
        let answer = self.sandbox.validate_filters(&api, filters).await;
        self.called(Role::AcceptFilter, answer.as_ref().err(), started);
        let answer = match answer {
            Ok(()) => Ok(Vec::new()),
            Err(CallError::Refused { problems, .. }) => {
                Ok(problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect())
            }
            Err(error) => {
                tracing::debug!(offer = %target, %error, "the filter plugin failed");
                Err(failed("filter", &api, &error))
            }
        };
        settle(answer, &mut said.judge)
    }

    fn api(&self, key: &Key) -> ApiName {
        let resource = self.cache.resource(&key.consumer, &key.gvk).map(|resource| resource.plural).unwrap_or_default();
        ApiName { group: key.gvk.group.clone(), resource }
    }

    /// All offers in one call. Where that fails, one call for each provider: what one of them publishes must not keep
    /// the others' from being judged.
    async fn judge(&self, api: &ApiName, snapshot: &Snapshot, judge: Judge) -> Result<Vec<Verdict>, Failed> {
        let offers: Vec<&Arc<Offer>> = judge.offers.iter().filter_map(|index| snapshot.offers.get(*index)).collect();
        let failure = match self.judge_some(api, judge.object.clone(), &offers).await {
            Ok(verdicts) => return Ok(verdicts),
            Err(failure) => failure,
        };
        // The offers are ordered by provider.
        let groups: Vec<&[&Arc<Offer>]> = offers.chunk_by(|one, next| one.provider == next.provider).collect();
        if groups.len() < 2 || failure.unasked {
            return Err(failure);
        }
        let mut verdicts = Vec::with_capacity(offers.len());
        for group in groups {
            match self.judge_some(api, judge.object.clone(), group).await {
                Ok(judged) => verdicts.extend(judged),
                Err(failed) => verdicts.extend(group.iter().map(|_| Verdict::Failed(failed.failure.message.clone()))),
            }
        }
        if verdicts.iter().all(|verdict| matches!(verdict, Verdict::Failed(_))) {
            return Err(failure);
        }
        Ok(verdicts)
    }

    async fn judge_some(&self, api: &ApiName, object: String, offers: &[&Arc<Offer>]) -> Result<Vec<Verdict>, Failed> {
        let offers = offers.iter().map(|offer| resource_broker_sandbox::Offer {
            provider: offer.provider.to_string(),
            name: format!("{}/{}", offer.namespace, offer.name),
            filters: offer.filters.clone(),
        });
        let started = Instant::now();
        let answer = self.sandbox.judge(api, object, offers.collect()).await;
        self.called(Role::AcceptFilter, answer.as_ref().err(), started);
        let verdicts = answer.map_err(|error| failed("filter", api, &error))?;
        Ok(verdicts
            .into_iter()
            .map(|verdict| match verdict {
                resource_broker_sandbox::Verdict::Accepted => Verdict::Accepted,
                resource_broker_sandbox::Verdict::Refused(violations) => {
                    Verdict::Refused(violations.into_iter().map(|violation| violation.message).collect())
                }
            })
            .collect())
    }

    async fn transform(&self, api: &ApiName, question: Transform) -> Result<Option<serde_json::Value>, Failed> {
        let context = CopyContext {
            prefix: question.prefix,
            consumer_namespace: question.consumer_namespace,
            provider: question.provider.to_string(),
        };
        let started = Instant::now();
        let answer = self.sandbox.transform_status(api, question.copy, Some(question.previous), context).await;
        self.called(Role::StatusTransformer, answer.as_ref().err(), started);
        let status = answer.map_err(|error| failed("status", api, &error))?;
        let read = |status: String| serde_json::from_str(&status);
        status.map(read).transpose().map_err(|error: serde_json::Error| Failed {
            failure: PluginFailure { message: format!("the status plugin's answer is no JSON: {error}") },
            again: None,
            unasked: false,
        })
    }

    fn called(&self, role: Role, error: Option<&CallError>, started: Instant) {
        self.metrics.sandbox_call(role.name(), error.map_or("ok", CallError::category), started.elapsed());
    }
}

fn api_of_offer(snapshot: &OfferSnapshot) -> ApiName {
    let spec = snapshot.offer.as_ref().and_then(|offer| offer.field("spec")).unwrap_or_default();
    let text = |field: &str| spec["gvr"][field].as_str().unwrap_or_default().to_owned();
    let gvk = Gvk::new(&text("group"), &text("version"), "");
    ApiName { group: gvk.group, resource: text("resource") }
}

fn failed(role: &str, api: &ApiName, error: &CallError) -> Failed {
    let group = if api.group.is_empty() { "core" } else { &api.group };
    // How long a suspension lasts is in the schedule, not in the text: it differs in every look.
    let why = match error {
        CallError::Suspended { message, .. } => {
            format!("{message}; it failed too often in a row, and is asked only now and then")
        }
        other => other.to_string(),
    };
    let spread = rand::rng().random_range(1.0..2.0);
    let again = match error {
        CallError::Suspended { retry_in, .. } => Some(*retry_in.max(&AFTER_SUSPENSION)),
        CallError::Deadline { .. } => Some(AFTER_DEADLINE),
        CallError::Host { .. } => Some(AFTER_HOST),
        // The same question gets the same answer, and another plugin has all objects looked at again.
        _ => None,
    };
    Failed {
        failure: PluginFailure { message: format!("the {role} plugin of {}.{group} failed: {why}", api.resource) },
        again: again.map(|again| again.mul_f64(spread)),
        unasked: matches!(error, CallError::Suspended { .. }) || error.fault() == Fault::Host,
    }
}

/// The answer with the words that stand.
fn settle<T>(answer: Result<T, Failed>, said: &mut Option<String>) -> Asked<Result<T, PluginFailure>> {
    match answer {
        Ok(answer) => {
            *said = None;
            Asked { answer: Ok(answer), again: None }
        }
        Err(Failed { failure, again, unasked }) => {
            let suspended = unasked && again.is_some();
            let message = match said.take() {
                Some(before) if suspended || same_words(&before, &failure.message) => before,
                _ => failure.message,
            };
            *said = Some(message.clone());
            Asked { answer: Err(PluginFailure { message }), again }
        }
    }
}

/// Whether two texts differ in their numbers alone: a port, a request's id, an address.
pub(super) fn same_words(one: &str, other: &str) -> bool {
    let words = |text: &str| -> String { text.chars().filter(|c| !c.is_ascii_hexdigit()).collect() };
    words(one) == words(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> ApiName {
        ApiName { group: "g.io".into(), resource: "vms".into() }
    }

    fn trap(message: &str) -> CallError {
        CallError::Trap { plugin: "p".into(), message: message.into() }
    }

    fn suspended(seconds: u64) -> CallError {
        CallError::Suspended { plugin: "p".into(), message: "boom".into(), retry_in: Duration::from_secs(seconds) }
    }

    fn say(error: &CallError, said: &mut Option<String>) -> Asked<Result<(), PluginFailure>> {
        settle(Err(failed("filter", &api(), error)), said)
    }

    fn text(asked: Asked<Result<(), PluginFailure>>) -> String {
        asked.answer.unwrap_err().message
    }

    #[test]
    fn a_failure_names_api_and_plugin_and_gives_its_words() {
        let message = text(say(&trap("index out of bounds"), &mut None));
        assert_eq!(message, "the filter plugin of vms.g.io failed: plugin p crashed: index out of bounds");
    }

    #[test]
    fn words_stand_while_the_same_goes_on() {
        let mut said = None;
        let first = text(say(&trap("object 17 is odd"), &mut said));
        assert_eq!(text(say(&trap("object 18 is odd"), &mut said)), first, "another number is nothing new");
        assert_eq!(text(say(&suspended(4), &mut said)), first, "nor is somebody else's failure");
        assert_ne!(text(say(&trap("out of patience"), &mut said)), first);
        settle(Ok(()), &mut said);
        assert_eq!(said, None, "a success ends it");
    }

    #[test]
    fn a_suspended_plugin_is_asked_again_after_its_time_and_not_by_the_clock_otherwise() {
        let again = |error: &CallError| say(error, &mut None).again;
        let wait = again(&suspended(8)).unwrap();
        assert!((8..=16).contains(&wait.as_secs()), "{wait:?}");
        assert!(again(&suspended(0)).unwrap() >= AFTER_SUSPENSION);
        assert_eq!(again(&trap("boom")), None);
        let unavailable = CallError::Unavailable { plugin: "p".into(), reason: "no key".into() };
        assert_eq!(again(&unavailable), None, "whoever loads it has objects looked at again");
    }

    #[test]
    fn the_text_of_a_suspension_has_no_numbers_that_change() {
        assert_eq!(text(say(&suspended(3), &mut None)), text(say(&suspended(59), &mut None)));
    }
}
