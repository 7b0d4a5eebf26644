//! Asks plugins what a pass wants to know: carries questions to the sandbox, and brings answers and failures back.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rand::{RngExt, seq::SliceRandom};
use resource_broker_api::names::Gvk;
use resource_broker_sandbox::{ApiName, CallError, CopyContext, Fault, Role, Sandbox};
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
            question::{Answers, Judge, PluginFailure, Questions, Transform, Verdict},
            snapshot::{Key, Offer, Snapshot, Target},
        },
        offers::OfferSnapshot,
    },
    plugins::Board,
};

/// When a call that was stopped at its deadline is tried again: soon, since the machine may have been busy, and ever later.
const AFTER_DEADLINE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
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
    transform: Option<Told>,
    /// By the order of the calls.
    elsewhere: Vec<SaidOfOffers>,
    pub(super) template: SaidOfTemplate,
}

/// The same about a call for offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SaidOfOffers {
    told: Option<Told>,
    /// One call for all offers failed: until all of them are judged again, there is one for each provider.
    apart: bool,
}

/// The same about a migration's component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SaidOfTemplate {
    pub(super) configuration: Option<Told>,
    pub(super) stages: Option<Told>,
    pub(super) manifests: Option<Told>,
    pub(super) outcome: Option<Told>,
}

/// A failure as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    words: String,
    /// How often in a row there was no answer in time.
    late: u32,
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

/// A plugin that gave no answer.
pub(super) struct Failed {
    failure: PluginFailure,
    /// The same without what is only so for a while.
    cause: String,
    /// When to ask again.
    again: Option<Duration>,
    /// The plugin was not asked at all.
    unasked: bool,
    /// It did not answer in time.
    late: bool,
}

impl Failed {
    /// A plugin answered, in these words, that there is no answer. It says the same to the same question.
    pub(super) fn said_so(words: String) -> Self {
        let failure = PluginFailure { message: words.clone() };
        Self { failure, cause: words, again: None, unasked: false, late: false }
    }

    /// The same, told with what the plugin was asked about.
    pub(super) fn about(mut self, what: &str) -> Self {
        for text in [&mut self.failure.message, &mut self.cause] {
            *text = format!("{what}: {text}");
        }
        self
    }
}

/// What came of asking about offers.
struct Judged {
    verdicts: Vec<Verdict>,
    /// When to ask again about those that could not be judged.
    again: Option<Duration>,
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
        settle(answer, &mut said.judge.told)
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
    ) -> Asked<Result<Vec<Verdict>, PluginFailure>> {
        let all = match judge.version {
            None => snapshot.offers.as_slice(),
            Some(index) => snapshot.versions.get(index).map(|view| view.offers.as_slice()).unwrap_or_default(),
        };
        let offers: Vec<_> = judge.offers.iter().filter_map(|index| all.get(*index)).map(Arc::clone).collect();
        let ask = |some| self.judge_some(api, &judge.object, some);
        let known = self.known_verdicts(api, &judge.object, &offers);
        let judged = judge_unknown(&offers, known, &mut said.apart, ask).await;
        let again = judged.as_ref().ok().and_then(|judged| judged.again);
        let asked = settle(judged.map(|judged| judged.verdicts), &mut said.told);
        Asked { again: asked.again.or(again), ..asked }
    }

    /// The verdicts that need no call: on filters that are too long for one, and those that were given before.
    fn known_verdicts(&self, api: &ApiName, object: &str, offers: &[Arc<Offer>]) -> Vec<Option<Verdict>> {
        let subject = self.subject(api, object, offers);
        let known = |offer: &Arc<Offer>| {
            let too_long = offer.filters.refusal().map(Verdict::Failed);
            too_long.or_else(|| self.verdicts.get(&subject.as_ref()?.and(offer)?))
        };
        offers.iter().map(known).collect()
    }

    /// What questions about the object are remembered by, where the answers may be remembered and are worth it.
    fn subject(&self, api: &ApiName, object: &str, offers: &[Arc<Offer>]) -> Option<Subject> {
        let is_worth_it = offers.iter().any(|offer| offer.filters.size() >= verdicts::WORTH_IT);
        (is_worth_it && self.sandbox.is_standard(api, Role::AcceptFilter)).then(|| Subject::new(api, object)).flatten()
    }

    /// Judges offers in as many calls as their filters need.
    async fn judge_some(&self, api: &ApiName, object: &str, offers: Vec<Arc<Offer>>) -> Result<Vec<Verdict>, Failed> {
        let subject = self.subject(api, object, &offers);
        let mut verdicts = Vec::with_capacity(offers.len());
        for some in in_calls(&offers) {
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

    async fn judge_in_one(&self, api: &ApiName, object: String, offers: &[Arc<Offer>]) -> Result<Vec<Verdict>, Failed> {
        let offers = offers.iter().map(|offer| resource_broker_sandbox::Offer {
            provider: offer.provider.to_string(),
            name: format!("{}/{}", offer.namespace, offer.name),
            filters: offer.filters.shared(),
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
                    Verdict::Refused(bounded(violations.into_iter().map(|violation| violation.message).collect()))
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
        let no_json = |error| Failed::said_so(format!("the status plugin's answer is no JSON: {error}"));
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

/// The filters of the offers in one call have at most this many bytes, unless a single one has more.
const IN_ONE_CALL: usize = 1 << 20;
/// What one offer's reasons may have together, in bytes. There may be many offers, and their reasons are told together.
const REASONS: usize = 4 << 10;

/// The offers cut so that no call has too much to read.
fn in_calls(offers: &[Arc<Offer>]) -> Vec<&[Arc<Offer>]> {
    let mut calls = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, offer) in offers.iter().enumerate() {
        if at > start && size + offer.filters.size() > IN_ONE_CALL {
            calls.push(&offers[start..at]);
            (start, size) = (at, 0);
        }
        size += offer.filters.size();
    }
    calls.push(&offers[start..]);
    calls
}

/// As many reasons as people can read.
fn bounded(mut reasons: Vec<String>) -> Vec<String> {
    let mut size = 0;
    let mut fits = |reason: &String| {
        size += reason.len();
        size <= REASONS
    };
    let shown = reasons.iter().take_while(|reason| fits(reason)).count().max(1);
    let left = reasons.len().saturating_sub(shown);
    reasons.truncate(shown);
    if left > 0 {
        reasons.push(format!("and {left} more reasons"));
    }
    reasons
}

/// The verdicts that are known, and for all others what [`judge_in_parts`] comes to.
async fn judge_unknown<Asking>(
    offers: &[Arc<Offer>],
    mut known: Vec<Option<Verdict>>,
    apart: &mut bool,
    ask: impl Fn(Vec<Arc<Offer>>) -> Asking,
) -> Result<Judged, Failed>
where
    Asking: Future<Output = Result<Vec<Verdict>, Failed>>,
{
    let open = |(offer, known): (&Arc<Offer>, &Option<Verdict>)| known.is_none().then(|| Arc::clone(offer));
    let unknown: Vec<Arc<Offer>> = offers.iter().zip(&known).filter_map(open).collect();
    if unknown.is_empty() {
        return Ok(Judged { verdicts: known.into_iter().flatten().collect(), again: None });
    }
    let judged = match judge_in_parts(&unknown, apart, ask).await {
        Err(failed) if unknown.len() == offers.len() => return Err(failed),
        Err(failed) => {
            let verdicts = vec![Verdict::Failed(failed.cause.clone()); unknown.len()];
            Judged { verdicts, again: failed.again.map(spread) }
        }
        Ok(judged) => judged,
    };
    let mut verdicts = judged.verdicts.into_iter();
    for verdict in known.iter_mut().filter(|verdict| verdict.is_none()) {
        *verdict = verdicts.next();
    }
    Ok(Judged { verdicts: known.into_iter().flatten().collect(), again: judged.again })
}

/// All offers in one call. Where that fails, one call for each provider: what one of them publishes must not keep the
/// others' from being judged. That holds for a plugin that is suspended, too: were its trial calls always for all offers, the
/// one that it fails at would suspend it for ever. So the providers come in another order each time.
async fn judge_in_parts<Asking>(
    offers: &[Arc<Offer>],
    apart: &mut bool,
    ask: impl Fn(Vec<Arc<Offer>>) -> Asking,
) -> Result<Judged, Failed>
where
    Asking: Future<Output = Result<Vec<Verdict>, Failed>>,
{
    // The offers are ordered by provider.
    let groups: Vec<&[Arc<Offer>]> = offers.chunk_by(|one, next| one.provider == next.provider).collect();
    let mut whole = None;
    if groups.len() < 2 || !*apart {
        match ask(offers.to_vec()).await {
            Ok(verdicts) => {
                *apart = false;
                return Ok(Judged { verdicts, again: None });
            }
            Err(failed) => {
                *apart = groups.len() >= 2;
                if !*apart || failed.unasked {
                    return Err(failed);
                }
                whole = Some(failed);
            }
        }
    }
    let mut order: Vec<_> = groups.iter().enumerate().collect();
    order.shuffle(&mut rand::rng());
    let mut verdicts = vec![Vec::new(); groups.len()];
    let mut failures = Vec::new();
    for (index, group) in order {
        verdicts[index] = match ask(group.to_vec()).await {
            Ok(verdicts) => verdicts,
            Err(failed) => {
                let verdict = Verdict::Failed(failed.cause.clone());
                failures.push(failed);
                vec![verdict; group.len()]
            }
        };
    }
    *apart = !failures.is_empty();
    if failures.len() < groups.len() {
        let again = |failed: &Failed| if failed.late { Some(AFTER_DEADLINE.1) } else { failed.again };
        return Ok(Judged { verdicts: verdicts.concat(), again: failures.iter().filter_map(again).min().map(spread) });
    }
    let again = whole.iter().chain(&failures).filter_map(|failed| failed.again).min();
    let late = whole.iter().chain(&failures).any(|failed| failed.late);
    // What it said itself says more than that it was not asked.
    failures.sort_by_key(|failed| failed.unasked);
    match whole.into_iter().chain(failures).next() {
        Some(failed) => Err(Failed { again, late, ..failed }),
        None => Ok(Judged { verdicts: Vec::new(), again: None }),
    }
}

pub(super) fn failed(role: &str, api: &ApiName, error: &CallError) -> Failed {
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
        CallError::Deadline { .. } => Some(AFTER_DEADLINE.0),
        CallError::Host { .. } => Some(AFTER_HOST),
        // The same question gets the same answer, and another plugin has all objects looked at again.
        _ => None,
    };
    Failed {
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

/// The answer with the words that stand.
pub(super) fn settle<T>(answer: Result<T, Failed>, said: &mut Option<Told>) -> Asked<Result<T, PluginFailure>> {
    match answer {
        Ok(answer) => {
            *said = None;
            Asked { answer: Ok(answer), again: None }
        }
        Err(Failed { failure, again, unasked, late: is_late, .. }) => {
            let suspended = unasked && again.is_some();
            let before = said.take();
            let late = match &before {
                before if is_late => before.as_ref().map_or(0, |before| before.late).saturating_add(1),
                Some(before) if suspended => before.late,
                _ => 0,
            };
            let message = match before {
                Some(before) if suspended || same_words(&before.words, &failure.message) => before.words,
                _ => failure.message,
            };
            let doubled = 1 << late.saturating_sub(1).min(10);
            let again = again
                .map(|again| spread(if is_late { again.saturating_mul(doubled).min(AFTER_DEADLINE.1) } else { again }));
            *said = Some(Told { words: message.clone(), late });
            Asked { answer: Err(PluginFailure { message }), again }
        }
    }
}

/// Whether two texts differ in their numbers alone: a port, a request's id, an address.
pub(super) fn same_words(one: &str, other: &str) -> bool {
    words(one) == words(other)
}

/// A text without what may differ although it says the same.
pub(super) fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_hexdigit()).collect()
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::ClusterName;

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

    fn say(error: &CallError, said: &mut Option<Told>) -> Asked<Result<(), PluginFailure>> {
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
    fn a_failure_says_what_was_asked_about() {
        let late = CallError::Deadline { plugin: "p".into(), limit: Duration::from_secs(1) };
        let mut said = None;
        let failed = || Err::<(), _>(failed("migration", &api(), &late).about("stage \"copy\", conditions"));
        let message = text(settle(failed(), &mut said));
        let expected = "stage \"copy\", conditions: the migration plugin of vms.g.io failed: plugin p did not answer within \
                        1000 ms and was stopped";
        assert_eq!(message, expected);
        assert_eq!(text(say(&suspended(4), &mut said)), expected, "it stands while the plugin is not asked");
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
    fn who_does_not_answer_in_time_is_asked_again_soon_and_then_ever_later() {
        let late = CallError::Deadline { plugin: "p".into(), limit: Duration::from_secs(1) };
        let mut said = None;
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            let again = say(&late, &mut said).again.unwrap().as_secs();
            assert!((pause..=2 * pause).contains(&again), "{again} s, not {pause} s or some more");
            // That it was spared in between says nothing.
            say(&suspended(1), &mut said);
        }
        settle(Ok(()), &mut said);
        assert!(say(&late, &mut said).again.unwrap().as_secs() <= 10, "an answer ends it");
    }

    #[test]
    fn no_call_has_too_much_to_read() {
        let sized = |sizes: &[usize]| {
            let offer = |size: &usize| {
                let offer = offers(&["p"]).remove(0);
                Arc::new(Offer { filters: vec!["x".repeat(*size)].into(), ..(*offer).clone() })
            };
            let offers: Vec<_> = sizes.iter().map(offer).collect();
            in_calls(&offers).iter().map(|call| call.len()).collect::<Vec<_>>()
        };
        assert_eq!(sized(&[1; 100]), [100]);
        assert_eq!(sized(&[600 << 10; 3]), [1, 1, 1]);
        assert_eq!(sized(&[1, IN_ONE_CALL, IN_ONE_CALL / 2, 1, IN_ONE_CALL / 2]), [1, 1, 2, 1]);
        assert_eq!(sized(&[9 << 20]), [1], "one that has more goes alone");
    }

    #[test]
    fn reasons_are_bounded_and_the_first_is_always_there() {
        let reasons = |count: usize, size: usize| bounded(vec!["x".repeat(size); count]);
        assert_eq!(reasons(3, 10).len(), 3);
        assert_eq!(reasons(1, 9 << 10).len(), 1);
        let many = reasons(1000, 1000);
        assert_eq!((many.len(), many[4].as_str()), (5, "and 996 more reasons"));
    }

    #[tokio::test]
    async fn what_is_known_is_not_asked_and_stands_beside_a_failure() {
        let offers = offers(&["a", "b", "c"]);
        let known = || vec![Some(Verdict::Accepted), None, Some(Verdict::Failed("too long".into()))];
        let mut apart = false;
        let judged = judge_unknown(&offers, known(), &mut apart, async |some: Vec<Arc<Offer>>| {
            assert_eq!(some.iter().map(|offer| offer.provider.name.as_str()).collect::<Vec<_>>(), ["b"]);
            Ok(vec![Verdict::Refused(vec!["no".into()])])
        });
        let expected = |second: Verdict| [Verdict::Accepted, second, Verdict::Failed("too long".into())];
        assert!(judged.await.is_ok_and(|judged| judged.verdicts == expected(Verdict::Refused(vec!["no".into()]))));
        let fails = async |_: Vec<Arc<Offer>>| Err::<Vec<Verdict>, _>(failed("filter", &api(), &trap("boom")));
        let judged = judge_unknown(&offers, known(), &mut apart, fails).await;
        let boom = Verdict::Failed(failed("filter", &api(), &trap("boom")).cause);
        assert!(judged.is_ok_and(|judged| judged.verdicts == expected(boom)), "the others' verdicts stand");
        assert!(judge_unknown(&offers, vec![None, None, None], &mut apart, fails).await.is_err());
        let nobody = async |_: Vec<Arc<Offer>>| panic!("nobody is to be asked");
        let all = vec![Some(Verdict::Accepted); 3];
        assert!(judge_unknown(&offers, all, &mut apart, nobody).await.is_ok_and(|judged| judged.verdicts.len() == 3));
    }

    /// One offer of each of these providers.
    fn offers(providers: &[&str]) -> Vec<Arc<Offer>> {
        let offer = |name: &&str| {
            let provider = ClusterName::new(resource_broker_api::names::Role::Provider, *name);
            Arc::new(Offer {
                provider,
                namespace: "default".into(),
                name: "o".into(),
                filters: vec![].into(),
                copies: resource_broker_api::broker::Copies::default(),
                related_namespaces: vec![],
            })
        };
        providers.iter().map(offer).collect()
    }

    /// How a plugin answers that crashes where `bad` offers something.
    fn crashes_at(bad: &str, offers: &[Arc<Offer>]) -> Result<Vec<Verdict>, Failed> {
        if offers.iter().any(|offer| offer.provider.name == bad) {
            return Err(failed("filter", &api(), &trap("boom")));
        }
        Ok(vec![Verdict::Accepted; offers.len()])
    }

    #[tokio::test]
    async fn what_one_provider_publishes_does_not_keep_the_others_from_being_judged() {
        let offers = offers(&["a", "b", "c"]);
        let mut apart = false;
        let judged = judge_in_parts(&offers, &mut apart, async |some: Vec<_>| crashes_at("b", &some)).await;
        let Ok(judged) = judged else { panic!("no verdicts") };
        let crash = Verdict::Failed(failed("filter", &api(), &trap("boom")).cause);
        assert_eq!(judged.verdicts, [Verdict::Accepted, crash, Verdict::Accepted], "in the order of the offers");
        assert!(apart, "the next look does not begin with what crashes it");
        let judged = judge_in_parts(&offers, &mut apart, async |some: Vec<_>| {
            assert_eq!(some.len(), 1);
            crashes_at("nobody", &some)
        });
        assert!(judged.await.is_ok_and(|judged| judged.verdicts.len() == 3 && judged.again.is_none()));
        assert!(!apart, "all were judged");
    }

    #[tokio::test]
    async fn a_suspension_by_one_providers_offer_does_not_keep_the_others_from_being_judged() {
        let offers = offers(&["good", "poison"]);
        let (mut apart, mut accepted) = (false, false);
        for _ in 0..64 {
            // Each look finds the plugin suspended, but for one trial call, and that is its first.
            let is_open = std::cell::Cell::new(true);
            let trial = std::cell::Cell::new(true);
            let judged = judge_in_parts(&offers, &mut apart, async |some: Vec<_>| {
                if is_open.get() && !trial.replace(false) {
                    return Err(failed("filter", &api(), &suspended(1)));
                }
                let answer = crashes_at("poison", &some);
                is_open.set(answer.is_err());
                answer
            });
            match judged.await {
                Ok(judged) => accepted |= judged.verdicts.first() == Some(&Verdict::Accepted),
                Err(failed) => assert!(failed.again.is_some(), "it is asked again"),
            }
        }
        assert!(accepted);
    }

    #[tokio::test]
    async fn what_could_not_be_judged_in_time_is_asked_again() {
        let late = CallError::Deadline { plugin: "p".into(), limit: Duration::from_secs(1) };
        let (offers, mut apart) = (offers(&["a", "b"]), false);
        let judged = judge_in_parts(&offers, &mut apart, async |some: Vec<Arc<Offer>>| {
            if some.iter().any(|offer| offer.provider.name == "b") {
                return Err(failed("filter", &api(), &late));
            }
            Ok(vec![Verdict::Refused(vec!["no".into()])])
        });
        assert!(judged.await.is_ok_and(|judged| judged.again.is_some_and(|again| again >= AFTER_DEADLINE.1)));
    }

    #[test]
    fn the_text_of_a_suspension_has_no_numbers_that_change() {
        assert_eq!(text(say(&suspended(3), &mut None)), text(say(&suspended(59), &mut None)));
    }
}
