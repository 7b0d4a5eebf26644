//! Asks the component that makes migrations' stages: what they are, what one deploys, how one stands, and whether a
//! `MigrationConfiguration` makes sense to it.

use resource_broker_plugin_types::{ApiName, Manifest, Role, Stage, StageOutcome};
use resource_broker_sandbox::{self as sandbox, CallError};
use tokio::time::Instant;

use super::answers::{Asked, Plugins, Said, SaidOfTemplate, failed, settle};
use crate::planner::{
    model::{
        failure::CallFailure,
        question::{PluginFailure, Template, TemplateAsk},
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
    Outcome(Answer<StageOutcome>),
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
        let started = Instant::now();
        let sandbox = &self.sandbox;
        match ask {
            TemplateAsk::Stages => {
                let answer = sandbox.migration_stages(api, context, old, new).await;
                map(settle(self.told(api, "stages", answer, started), &mut said.stages), Answered::Stages)
            }
            TemplateAsk::Render(stage) => {
                let what = format!("stage {stage:?}, templates");
                let answer = sandbox.render_stage(api, context, old, new, stage).await;
                map(settle(self.told(api, &what, answer, started), &mut said.manifests), Answered::Manifests)
            }
            TemplateAsk::Assess(stage, deployed) => {
                let what = format!("stage {stage:?}, conditions");
                let answer = sandbox.assess_stage(api, context, old, new, stage, deployed).await;
                map(settle(self.told(api, &what, answer, started), &mut said.outcome), Answered::Outcome)
            }
        }
    }

    /// Counts a call about `what`, and says what went wrong with it. What the component itself refuses is told in its own
    /// words, which say about what.
    fn told<T>(
        &self,
        api: &ApiName,
        what: &str,
        answer: Result<T, CallError>,
        started: Instant,
    ) -> Result<T, CallFailure> {
        self.called(Role::MigrationTemplate, answer.as_ref().err(), started);
        answer.map_err(|error| match &error {
            CallError::Refused { problems, .. } => CallFailure::answered(clip(&texts(problems).join("; "), LONGEST)),
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
