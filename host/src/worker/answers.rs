//! Asks plugins what a pass wants to know: carries questions to the sandbox, and brings answers and failures back.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rand::{RngExt, seq::SliceRandom};
use resource_broker_api::names::Gvk;
use resource_broker_plugin_types::{ApiName, Role, Verdict};
use resource_broker_sandbox::{CallError, Fault, Sandbox};
use tokio::time::Instant;

use super::{
    templates::Answered,
    verdicts::{self, Subject, Verdicts},
};
use crate::{
    cache::Cache,
    metrics::Metrics,
    planner::{
        model::{
            failure::{self, CallFailure, Reported},
            question::{Answers, Judge, Judgement, PluginFailure, Questions, Transform},
            snapshot::{Key, Offer, Snapshot, Target},
        },
        offers::OfferSnapshot,
        placement::asking::{self, Asking},
    },
    plugins::Board,
};

/// When a call that was stopped at its deadline is tried again for the first time: soon, since the machine may have been busy.
const AFTER_DEADLINE: Duration = Duration::from_secs(5);
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
    /// What offers with long filters said.
    pub(super) verdicts: Verdicts,
}

/// What was last said of failures about one key, by role. It stands while the same goes on in other words, so that nothing is
/// written anew for a number or for somebody else's failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    judge: SaidOfOffers,
    transform: Option<Reported>,
    /// By the order of the calls.
    elsewhere: Vec<SaidOfOffers>,
    pub(super) template: SaidOfTemplate,
}

/// The same about a call for offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SaidOfOffers {
    reported: Option<Reported>,
    /// One call for all offers failed: until all of them are judged again, there is one for each provider.
    apart: bool,
}

/// The same about a migration's component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SaidOfTemplate {
    pub(super) configuration: Option<Reported>,
    pub(super) stages: Option<Reported>,
    pub(super) manifests: Option<Reported>,
    pub(super) outcome: Option<Reported>,
}

/// What came of asking.
#[derive(Default)]
pub(super) struct Asked<T> {
    /// The answers.
    pub(super) answer: T,
    /// When asking again makes sense although nothing changes.
    pub(super) again: Option<Duration>,
}

/// Notes when asking again makes sense, and hands the answer on.
trait Note {
    fn note<T>(&mut self, asked: Asked<T>) -> T;
}

impl Note for Option<Duration> {
    fn note<T>(&mut self, asked: Asked<T>) -> T {
        *self = [*self, asked.again].into_iter().flatten().min();
        asked.answer
    }
}

impl Plugins {
    /// The Plugin that the questions wait for: it is being loaded, and nobody answers in its stead.
    pub(super) fn awaited(&self, key: &Key, questions: &Questions) -> Option<String> {
        let roles = [
            (Role::AcceptFilter, questions.judge.is_some() || !questions.elsewhere.is_empty()),
            (Role::StatusTransformer, questions.transform.is_some()),
            (Role::MigrationTemplate, questions.template.is_some()),
        ];
        let mut asked = roles.into_iter().filter(|(_, asked)| *asked).peekable();
        asked.peek()?;
        let api = self.api(key)?;
        asked.find_map(|(role, _)| self.board.loading(&self.held_as(&api, key, role), role))
    }

    /// The same for an offer's filters.
    pub(super) fn awaited_by_offer(&self, snapshot: &OfferSnapshot) -> Option<String> {
        self.board.loading(&self.api_of_offer(snapshot), Role::AcceptFilter)
    }

    /// Adds the answers to all questions about one object to those that there are.
    pub(super) async fn answer(
        &self,
        snapshot: &Snapshot,
        questions: Questions,
        said: &mut Said,
        asked: &mut Asked<Answers>,
    ) {
        // About pods nobody here is asked.
        let Questions { judge, transform, elsewhere, template, pods: _, places: _ } = questions;
        // The consumer has just been detached. Whose API it is cannot be told, so nobody is asked.
        let Some(api) = self.api(&snapshot.key) else { return };
        let held_as = |role| self.held_as(&api, &snapshot.key, role);
        let filter_api =
            if judge.is_some() || !elsewhere.is_empty() { held_as(Role::AcceptFilter) } else { api.clone() };
        let status_api = if transform.is_some() { held_as(Role::StatusTransformer) } else { api.clone() };
        let template_api = if template.is_some() { held_as(Role::MigrationTemplate) } else { api.clone() };
        said.elsewhere.resize_with(elsewhere.len().max(said.elsewhere.len()), SaidOfOffers::default);
        let Said { judge: judge_said, transform: transform_said, elsewhere: elsewhere_said, template: template_said } =
            said;
        let judge = async {
            match judge {
                Some(judge) => Some(self.judge(&filter_api, snapshot, judge, judge_said).await),
                None => None,
            }
        };
        let transform = async {
            match transform {
                Some(transform) => Some(settle(self.transform(&status_api, transform).await, transform_said)),
                None => None,
            }
        };
        let count = elsewhere.len();
        let elsewhere = elsewhere.into_iter().zip(elsewhere_said.iter_mut());
        let elsewhere = join_all(elsewhere.map(|(judge, said)| self.judge(&filter_api, snapshot, judge, said)));
        let template = async {
            match template {
                Some(template) => Some(self.template(&template_api, template, template_said).await),
                None => None,
            }
        };
        let (judge, transform, elsewhere, template) = futures::join!(judge, transform, elsewhere, template);
        if count > 0 {
            asked.answer.elsewhere = Some(elsewhere.into_iter().map(|one| asked.again.note(one)).collect());
        }
        if let Some(judge) = judge {
            asked.answer.judge = Some(asked.again.note(judge));
        }
        if let Some(transform) = transform {
            asked.answer.transform = Some(asked.again.note(transform));
        }
        match template.map(|template| asked.again.note(template)) {
            Some(Answered::Stages(stages)) => asked.answer.stages = Some(stages),
            Some(Answered::Manifests(manifests)) => asked.answer.manifests = Some(manifests),
            Some(Answered::Outcome(outcome)) => asked.answer.outcome = Some(outcome),
            None => {}
        }
        if said.elsewhere.iter().all(|said| *said == SaidOfOffers::default()) {
            said.elsewhere.clear();
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
        let api = self.api_of_offer(snapshot);
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
        settle(answer, &mut said.judge.reported)
    }

    /// Whose API an object is of; `None` where its cluster is gone.
    pub(super) fn api(&self, key: &Key) -> Option<ApiName> {
        let resource = self.cache.resource(&key.consumer, &key.gvk)?.plural;
        Some(ApiName { group: key.gvk.group.clone(), resource })
    }

    /// The name under which a Plugin holds `role` for an object's API, which another cluster may serve under another plural than
    /// the object's; `api`, where none does.
    pub(super) fn held_as(&self, api: &ApiName, key: &Key, role: Role) -> ApiName {
        self.board.holder(&self.cache.apis_of_kind(&key.gvk), role).unwrap_or_else(|| api.clone())
    }

    /// The same of an offer, which has its provider's plural.
    fn api_of_offer(&self, snapshot: &OfferSnapshot) -> ApiName {
        let api = api_of_offer(snapshot);
        self.board.holder(&self.cache.apis_beside(&api), Role::AcceptFilter).unwrap_or(api)
    }

    async fn judge(
        &self,
        api: &ApiName,
        snapshot: &Snapshot,
        judge: Judge,
        said: &mut SaidOfOffers,
    ) -> Asked<Result<Vec<Judgement>, PluginFailure>> {
        let all = match judge.version {
            None => snapshot.offers.as_slice(),
            Some(index) => snapshot.versions.get(index).map(|view| view.offers.as_slice()).unwrap_or_default(),
        };
        let offers: Vec<_> = judge.offers.iter().filter_map(|index| all.get(*index)).map(Arc::clone).collect();
        let known = self.known_judgements(api, &judge.object, &offers);
        let mut asking = Asking::new(&offers, known, said.apart, |order| order.shuffle(&mut rand::rng()));
        while let Some(call) = asking.call() {
            let answer = self.judge_some(api, &judge.object, call).await;
            asking.answer(answer);
        }
        let (judged, apart) = asking.finish();
        said.apart = apart;
        let again = judged.as_ref().ok().and_then(|judged| judged.again);
        let asked = settle(judged.map(|judged| judged.judgements), &mut said.reported);
        Asked { again: asked.again.or(again.map(spread)), ..asked }
    }

    /// The judgements that need no call: on filters that are too long for one, and those that were given before.
    fn known_judgements(&self, api: &ApiName, object: &str, offers: &[Arc<Offer>]) -> Vec<Option<Judgement>> {
        let subject = self.subject(api, object, offers);
        let known = |offer: &Arc<Offer>| {
            let too_long = offer.filters.refusal().map(|why| Err(why.into()));
            too_long.or_else(|| self.verdicts.get(&subject.as_ref()?.and(offer)?).map(Ok))
        };
        offers.iter().map(known).collect()
    }

    /// What questions about the object are remembered by, where the answers may be remembered and are worth it.
    fn subject(&self, api: &ApiName, object: &str, offers: &[Arc<Offer>]) -> Option<Subject> {
        let is_worth_it = offers.iter().any(|offer| offer.filters.size() >= verdicts::WORTH_IT);
        (is_worth_it && self.sandbox.is_standard(api, Role::AcceptFilter)).then(|| Subject::new(api, object)).flatten()
    }

    /// Judges offers in as many calls as their filters need.
    async fn judge_some(
        &self,
        api: &ApiName,
        object: &str,
        offers: &[Arc<Offer>],
    ) -> Result<Vec<Verdict>, CallFailure> {
        let subject = self.subject(api, object, offers);
        let mut verdicts = Vec::with_capacity(offers.len());
        for some in asking::calls(offers) {
            let answered = self.judge_in_one(api, object.to_owned(), some).await?;
            // Somebody else may have begun to serve the API meanwhile.
            let subject = subject.as_ref().filter(|_| self.sandbox.is_standard(api, Role::AcceptFilter));
            for (offer, verdict) in some.iter().zip(&answered) {
                if let Some(question) = subject.and_then(|subject| subject.and(offer)) {
                    self.verdicts.put(question, verdict);
                }
            }
            verdicts.extend(answered);
        }
        Ok(verdicts)
    }

    async fn judge_in_one(
        &self,
        api: &ApiName,
        object: String,
        offers: &[Arc<Offer>],
    ) -> Result<Vec<Verdict>, CallFailure> {
        let offers = offers.iter().map(|offer| resource_broker_plugin_types::Offer {
            provider: offer.provider.to_string(),
            name: format!("{}/{}", offer.namespace, offer.name),
            filters: offer.filters.shared(),
        });
        let started = Instant::now();
        let answer = self.sandbox.judge(api, object, offers.collect()).await;
        self.called(Role::AcceptFilter, answer.as_ref().err(), started);
        answer.map_err(|error| failed("filter", api, &error))
    }

    async fn transform(&self, api: &ApiName, question: Transform) -> Result<Option<serde_json::Value>, CallFailure> {
        let Transform { copy, previous, context } = question;
        let started = Instant::now();
        let answer = self.sandbox.transform_status(api, copy, Some(previous), context).await;
        self.called(Role::StatusTransformer, answer.as_ref().err(), started);
        let status = answer.map_err(|error| failed("status", api, &error))?;
        let read = |status: String| serde_json::from_str(&status);
        let no_json = |error| CallFailure::answered(format!("the status plugin's answer is no JSON: {error}"));
        status.map(read).transpose().map_err(no_json)
    }

    pub(super) fn called(&self, role: Role, error: Option<&CallError>, started: Instant) {
        self.metrics.sandbox_call(role.name(), error.map_or("ok", CallError::category), started.elapsed());
    }
}

fn api_of_offer(snapshot: &OfferSnapshot) -> ApiName {
    let spec = snapshot.offer.as_ref().and_then(|offer| offer.field("spec")).unwrap_or_default();
    let text = |field: &str| spec["gvr"][field].as_str().unwrap_or_default().to_owned();
    let gvk = Gvk::new(&text("group"), &text("version"), "");
    ApiName { group: gvk.group, resource: text("resource") }
}

pub(super) fn failed(role: &str, api: &ApiName, error: &CallError) -> CallFailure {
    let group = if api.group.is_empty() { "core" } else { &api.group };
    let say = |why: &dyn std::fmt::Display| format!("the {role} plugin of {}.{group} failed: {why}", api.resource);
    // How long a suspension lasts is in the schedule, not in the text: it differs in every look.
    let (message, cause) = match error {
        CallError::Suspended { message, .. } => {
            let cause = say(message);
            (format!("{cause}; it failed too often in a row, and is asked only now and then"), cause)
        }
        other => (say(other), say(other)),
    };
    let again = match error {
        CallError::Suspended { retry_in, .. } => Some(*retry_in.max(&AFTER_SUSPENSION)),
        CallError::Deadline { .. } => Some(AFTER_DEADLINE),
        CallError::Host { .. } => Some(AFTER_HOST),
        // The same question gets the same answer, and another plugin has all objects looked at again.
        _ => None,
    };
    CallFailure {
        failure: PluginFailure { message },
        cause,
        again,
        unasked: matches!(error, CallError::Suspended { .. }) || error.fault() == Fault::Host,
        late: matches!(error, CallError::Deadline { .. }),
    }
}

/// Those that wait for the same do not all come back at once.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(1.0..2.0))
}

/// What is reported of an answer that is there or not, and when to ask again.
pub(super) fn settle<T>(
    answer: Result<T, CallFailure>,
    last: &mut Option<Reported>,
) -> Asked<Result<T, PluginFailure>> {
    let (answer, again) = failure::report(answer, last);
    Asked { answer, again: again.map(spread) }
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

    fn say(error: &CallError, said: &mut Option<Reported>) -> Asked<Result<(), PluginFailure>> {
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
