//! Asks the component that makes migrations' stages: what they are, what one deploys, how one stands, and whether a
//! `MigrationConfiguration` makes sense to it.

use std::time::Duration;

use resource_broker_sandbox::{self as sandbox, ApiName, CallError, Role};
use tokio::time::Instant;

use super::answers::{Asked, Failed, Plugins, Said, SaidOfTemplate, failed, settle};
use crate::planner::{
    model::{
        question::{Endpoint, Manifest, MigrationContext, Outcome, PluginFailure, Stage, Template, TemplateAsk},
        snapshot::{Key, Target},
    },
    plan::text::clip,
};

/// The most of a component's words about one stage, in bytes.
const LONGEST: usize = 4096;

type Answer<T> = Result<T, PluginFailure>;

/// The answer to one question about a migration.
pub(super) enum Answered {
    Stages(Answer<Vec<Stage>>),
    Manifests(Answer<Vec<Manifest>>),
    Outcome(Answer<Outcome>),
}

impl Plugins {
    /// Whether a Plugin makes the stages of the migrations of the key's object.
    pub(super) fn make_stages(&self, key: &Key) -> bool {
        let api = self.api(key);
        api.is_some_and(|api| {
            let api = self.held_as(&api, key, Role::MigrationTemplate);
            !self.sandbox.is_standard(&api, Role::MigrationTemplate)
                || self.board.loading(&api, Role::MigrationTemplate).is_some()
        })
    }

    /// Whose migrations a configuration is for; `None` where it is not known what the kind's resource is called.
    pub(super) fn api_of_configuration(&self, target: &Target) -> Option<ApiName> {
        let kind = self.cache.configured_kind(target)?;
        let resource = self.cache.plural(&kind)?;
        let held = self.board.holder(&self.cache.apis_of_kind(&kind), Role::MigrationTemplate);
        Some(held.unwrap_or(ApiName { group: kind.group, resource }))
    }

    /// The Plugin that has to be loaded before a configuration for `api` can be judged.
    pub(super) fn awaited_by_configuration(&self, api: &ApiName) -> Option<String> {
        self.board.loading(api, Role::MigrationTemplate)
    }

    /// The problems of a configuration's `spec`; none if it makes sense.
    pub(super) async fn validate_migration(
        &self,
        target: &Target,
        api: &ApiName,
        spec: String,
        said: &mut Said,
    ) -> Asked<Answer<Vec<String>>> {
        let started = Instant::now();
        let answer = self.sandbox.validate_migration(api, spec).await;
        self.called(Role::MigrationTemplate, answer.as_ref().err(), started);
        let answer = match answer {
            Ok(()) => Ok(Vec::new()),
            Err(CallError::Refused { problems, .. }) => Ok(texts(&problems)),
            Err(error) => {
                tracing::debug!(configuration = %target, %error, "the migration plugin failed");
                Err(failed("migration", api, &error))
            }
        };
        settle(answer, &mut said.template.configuration)
    }

    /// The answer to one question about a migration.
    pub(super) async fn template(&self, api: &ApiName, ask: Template, said: &mut SaidOfTemplate) -> Asked<Answered> {
        let Template { context, old, new, ask } = ask;
        let context = context_of(context);
        let started = Instant::now();
        let sandbox = &self.sandbox;
        match ask {
            TemplateAsk::Stages => {
                let answer = sandbox.migration_stages(api, context, old, new).await;
                let answer = self.told(api, "stages", answer, started);
                let answer = answer.map(|stages| stages.into_iter().map(to_stage).collect());
                map(settle(answer, &mut said.stages), Answered::Stages)
            }
            TemplateAsk::Render(stage) => {
                let what = format!("stage {stage:?}, templates");
                let answer = sandbox.render_stage(api, context, old, new, stage).await;
                let manifests = self.told(api, &what, answer, started);
                let manifests = manifests.map(|all| all.into_iter().map(manifest).collect());
                let asked: Asked<Answer<Answer<Vec<Manifest>>>> = settle(manifests, &mut said.manifests);
                map(asked, |answer| Answered::Manifests(answer.and_then(|manifests| manifests)))
            }
            TemplateAsk::Assess(stage, deployed) => {
                let deployed = deployed.into_iter().map(|(name, object)| sandbox::Deployed { name, object }).collect();
                let what = format!("stage {stage:?}, conditions");
                let answer = sandbox.assess_stage(api, context, old, new, stage, deployed).await;
                map(settle(self.told(api, &what, answer, started).map(outcome), &mut said.outcome), Answered::Outcome)
            }
        }
    }

    /// Counts a call about `what`, and says what went wrong with it. What the component itself refuses is told in its own
    /// words, which say about what.
    fn told<T>(&self, api: &ApiName, what: &str, answer: Result<T, CallError>, started: Instant) -> Result<T, Failed> {
        self.called(Role::MigrationTemplate, answer.as_ref().err(), started);
        answer.map_err(|error| match &error {
            CallError::Refused { problems, .. } => Failed::said_so(clip(&texts(problems).join("; "), LONGEST)),
            error => failed("migration", api, error).about(what),
        })
    }
}

fn map<T, U>(asked: Asked<T>, change: impl FnOnce(T) -> U) -> Asked<U> {
    Asked { answer: change(asked.answer), again: asked.again }
}

/// Each problem as one text. Most say by themselves which stage and field they are about.
fn texts(problems: &[sandbox::FieldError]) -> Vec<String> {
    let text = |problem: &sandbox::FieldError| {
        let says = problem.path.is_empty() || problem.message.starts_with("stage ");
        if says { problem.message.clone() } else { format!("{}: {}", problem.path, problem.message) }
    };
    problems.iter().map(text).collect()
}

fn context_of(context: MigrationContext) -> sandbox::MigrationContext {
    let MigrationContext { id, namespace, configuration, old, new } = context;
    sandbox::MigrationContext { id, namespace, configuration, old: endpoint(old), new: endpoint(new) }
}

fn endpoint(endpoint: Endpoint) -> sandbox::Endpoint {
    let Endpoint { provider, api_version, kind, namespace, name, related } = endpoint;
    let related = related.into_iter().map(|it| sandbox::Mirrored {
        key: it.key,
        api_version: it.api_version,
        kind: it.kind,
        name: it.name,
    });
    sandbox::Endpoint { provider: provider.to_string(), api_version, kind, namespace, name, related: related.collect() }
}

fn to_stage(stage: sandbox::Stage) -> Stage {
    let sandbox::Stage { name, progress, timeout_seconds, retries, approval } = stage;
    let timeout = timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()));
    Stage { name, progress, timeout, retries, approval }
}

/// The sandbox has made sure that the body is JSON.
fn manifest(manifest: sandbox::Manifest) -> Answer<Manifest> {
    let sandbox::Manifest { name, body } = manifest;
    let body = serde_json::from_str(&body).map_err(|error| PluginFailure {
        message: format!("the migration plugin's template {name} is no JSON: {error}"),
    })?;
    Ok(Manifest { template: name, body })
}

fn outcome(outcome: sandbox::StageOutcome) -> Outcome {
    match outcome {
        sandbox::StageOutcome::Waiting(what) => Outcome::Waiting(what),
        sandbox::StageOutcome::Ready => Outcome::Ready,
        sandbox::StageOutcome::Succeeded => Outcome::Succeeded,
        sandbox::StageOutcome::Failed(why) => Outcome::Failed(why),
    }
}
