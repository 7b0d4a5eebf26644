//! Answers the calls of case files through the sandbox.

use resource_broker_plugin_cases::{self as cases, Answer, Call, Case, Executor, Failure, FailureKind, Tried};
use resource_broker_plugin_types::{Deployed, Manifest, MigrationContext};
use resource_broker_sandbox::{CallError, FieldError, Trial, Trialled};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Settings of a case that brings none.
const NONE: &str = "null";

/// A component that answers cases.
pub(super) struct SandboxExecutor<'a> {
    runtime: &'a Runtime,
    trial: Trial,
    settings: Option<String>,
    log: Vec<String>,
}

impl<'a> SandboxExecutor<'a> {
    /// `settings` are those of cases that bring none, as JSON.
    pub(super) fn new(runtime: &'a Runtime, trial: Trial, settings: Option<String>) -> Self {
        Self { runtime, trial, settings, log: Vec::new() }
    }

    /// Runs one case.
    pub(super) fn try_case(&mut self, case: &Case) -> Tried {
        let answer = self.execute(&case.settings_json(), &case.call);
        let log = self.log();
        Tried::new(case, &answer, log)
    }

    /// Waits for a call, and keeps what it logged.
    fn wait<T>(
        &mut self,
        trialled: impl Future<Output = Trialled<T>>,
        answer: impl FnOnce(T) -> Answer,
    ) -> Result<Answer, Failure> {
        let trialled = self.runtime.block_on(trialled);
        self.log = trialled.log.into_iter().map(|line| format!("{} {}", line.level, line.message)).collect();
        trialled.answer.map(answer).map_err(failure)
    }
}

impl Executor for SandboxExecutor<'_> {
    fn execute(&mut self, settings: &str, call: &Call) -> Result<Answer, Failure> {
        let settings = if settings == NONE { self.settings.clone() } else { Some(settings.to_owned()) };
        let trial = self.trial.with_settings(settings.clone());
        match call {
            Call::Judge { object, offers } => {
                self.wait(trial.judge(object.to_string(), offers.clone()), Answer::Verdicts)
            }
            Call::ValidateFilters(filters) => self.wait(trial.validate_filters(filters.clone()), valid),
            Call::ValidateSettings => {
                self.wait(trial.validate_settings(settings.unwrap_or_else(|| NONE.to_owned())), valid)
            }
            Call::TransformStatus { copy, previous, context } => {
                let previous = previous.as_ref().map(Value::to_string);
                self.wait(trial.transform_status(copy.to_string(), previous, context.clone()), status)
            }
            Call::ValidateMigration(configuration) => {
                self.wait(trial.validate_migration(configuration.to_string()), valid)
            }
            Call::Stages(migration) => {
                let (context, old, new) = migration_of(migration);
                self.wait(trial.migration_stages(context, old, new), Answer::Stages)
            }
            Call::Render { migration, stage } => {
                let (context, old, new) = migration_of(migration);
                self.wait(trial.render_stage(context, old, new, stage.clone()), manifests)
            }
            Call::Assess { migration, stage, deployed } => {
                let (context, old, new) = migration_of(migration);
                let deployed = deployed.iter().map(deployed_object).collect();
                self.wait(trial.assess_stage(context, old, new, stage.clone(), deployed), Answer::Outcome)
            }
        }
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

/// The context and the two copies.
fn migration_of(migration: &cases::Migration) -> (MigrationContext, String, String) {
    let cases::Migration { id, namespace, configuration, old, new, old_copy, new_copy } = migration;
    let context = MigrationContext {
        id: id.clone(),
        namespace: namespace.clone(),
        configuration: configuration.to_string(),
        old: old.clone(),
        new: new.clone(),
    };
    (context, old_copy.to_string(), new_copy.to_string())
}

fn deployed_object(cases::Deployed { name, object }: &cases::Deployed) -> Deployed {
    Deployed { name: name.clone(), object: object.as_ref().map(Value::to_string) }
}

fn valid((): ()) -> Answer {
    Answer::Valid
}

fn status(status: Option<String>) -> Answer {
    Answer::Status(status.map(parsed))
}

fn manifests(manifests: Vec<Manifest>) -> Answer {
    let manifest = |Manifest { name, body }| cases::Manifest { name, body: parsed(body) };
    Answer::Manifests(manifests.into_iter().map(manifest).collect())
}

/// JSON of the sandbox, which it has parsed already.
fn parsed(json: String) -> Value {
    serde_json::from_str(&json).unwrap_or(Value::String(json))
}

/// A failure in the words of case files.
fn failure(error: CallError) -> Failure {
    let problems = |problems: Vec<FieldError>| {
        problems.into_iter().map(|FieldError { path, message }| cases::Problem { path, message }).collect()
    };
    match error {
        CallError::Refused { problems: list, .. } => Failure::refused(FailureKind::InvalidInput, problems(list)),
        CallError::Settings { problems: list, .. } => Failure::refused(FailureKind::InvalidSettings, problems(list)),
        CallError::Unsupported { message, .. } => Failure::new(FailureKind::Unsupported, message),
        CallError::Failed { message, .. } => Failure::new(FailureKind::Internal, message),
        other => Failure::new(FailureKind::Crashed, other.to_string()),
    }
}
