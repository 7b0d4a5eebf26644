//! Running a plugin natively, in its own `cargo test`: the feature `testing`.
//!
//! [`Harness`] runs case files, the same that `resource-broker plugin test` runs through the sandbox; what they may say is
//! in the documentation of the crate `resource-broker-plugin-cases`.
//!
//! ```no_run
//! # use resource_broker_sdk::{Plugin, StatusTransformer};
//! # struct PassThrough;
//! # impl Plugin for PassThrough {}
//! # impl StatusTransformer for PassThrough {}
//! use resource_broker_sdk::testing::Harness;
//!
//! # /*
//! #[test]
//! # */
//! fn cases() {
//!     Harness::<PassThrough>::new().status_transformer().run("cases");
//! }
//! ```
//!
//! A test in Rust calls the traits' functions by itself, with [`with_settings`] around them and [`logs`] after them:
//!
//! ```
//! use resource_broker_sdk::{info, settings_as, testing};
//!
//! #[derive(serde::Deserialize)]
//! struct Settings {
//!     region: String,
//! }
//!
//! let settings: Settings = testing::with_settings(r#"{"region": "eu"}"#, || {
//!     info!("asked for settings");
//!     settings_as().unwrap()
//! });
//! assert_eq!(settings.region, "eu");
//! assert_eq!(testing::logs()[0].message, "asked for settings");
//! ```
//!
//! Settings and log lines belong to the thread: tests that run at the same time do not see each other's.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub use resource_broker_plugin_cases as cases;

use cases::{Answer, Call, Case, Executor, Failure, FailureKind, Report};
use serde_json::Value;

use crate::{
    AcceptFilter, CopyContext, Deployed, Document, Error, FieldError, HIGHEST_SCORE, Level, Manifest, MigrationContext,
    MigrationTemplate, Offer, Plugin, Stage, StageOutcome, StatusTransformer, Verdict,
};

thread_local! {
    static SETTINGS: RefCell<String> = RefCell::new("null".to_owned());
    static LOG: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// A line that the plugin logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
}

/// What was logged in this thread since the last time that this was called.
pub fn logs() -> Vec<Line> {
    LOG.with_borrow_mut(std::mem::take)
}

/// Does something under these settings, given as JSON; the settings of before are back afterwards, after a panic as well.
pub fn with_settings<T>(settings: &str, act: impl FnOnce() -> T) -> T {
    let _restore = Restore(SETTINGS.replace(settings.to_owned()));
    act()
}

/// The settings of before.
struct Restore(String);

impl Drop for Restore {
    fn drop(&mut self) {
        SETTINGS.set(std::mem::take(&mut self.0));
    }
}

pub(crate) fn record(level: Level, message: &str) {
    LOG.with_borrow_mut(|log| log.push(Line { level, message: message.to_owned() }));
}

pub(crate) fn current_settings() -> String {
    SETTINGS.with_borrow(String::clone)
}

type Judge = fn(&Document<'_>, &[Offer]) -> Result<Vec<Verdict>, Error>;
type ValidateFilters = fn(&[String]) -> Result<(), Error>;
type Transform = fn(&Document<'_>, Option<&Document<'_>>, &CopyContext) -> Result<Option<String>, Error>;
type Stages = fn(&MigrationContext, &Document<'_>, &Document<'_>) -> Result<Vec<Stage>, Error>;
type Render = fn(&MigrationContext, &Document<'_>, &Document<'_>, &str) -> Result<Vec<Manifest>, Error>;
type Assess = fn(&MigrationContext, &Document<'_>, &Document<'_>, &str, &[Deployed]) -> Result<StageOutcome, Error>;

/// The functions of [`MigrationTemplate`].
#[derive(Clone, Copy, Debug)]
struct Migration {
    validate: fn(&Document<'_>) -> Result<(), Error>,
    stages: Stages,
    render: Render,
    assess: Assess,
}

/// Runs cases against the plugin `P`, natively. Each role has to be named, as in [`export!`](crate::export).
///
/// As an [`Executor`] it answers single calls.
#[derive(Clone, Debug)]
pub struct Harness<P> {
    filter: Option<(ValidateFilters, Judge)>,
    status: Option<Transform>,
    migration: Option<Migration>,
    plugin: PhantomData<P>,
}

impl<P: Plugin> Default for Harness<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> Harness<P> {
    /// A harness without roles.
    #[must_use]
    pub fn new() -> Self {
        Self { filter: None, status: None, migration: None, plugin: PhantomData }
    }

    /// `P` is an accept filter.
    #[must_use]
    pub fn accept_filter(self) -> Self
    where
        P: AcceptFilter,
    {
        Self { filter: Some((<P as AcceptFilter>::validate, P::judge)), ..self }
    }

    /// `P` is a status transformer.
    #[must_use]
    pub fn status_transformer(self) -> Self
    where
        P: StatusTransformer,
    {
        Self { status: Some(P::transform), ..self }
    }

    /// `P` is a migration template.
    #[must_use]
    pub fn migration_template(self) -> Self
    where
        P: MigrationTemplate,
    {
        let migration = Migration {
            validate: <P as MigrationTemplate>::validate,
            stages: P::stages,
            render: P::render,
            assess: P::assess,
        };
        Self { migration: Some(migration), ..self }
    }

    /// Runs the cases of a file or folder, which is relative to the crate that is tested.
    ///
    /// # Panics
    ///
    /// If a case fails or cannot be read, with what is wrong and where.
    pub fn run(mut self, path: impl AsRef<Path>) {
        match self.report(path.as_ref()) {
            Ok(report) if report.passed() => println!("{report}"),
            Ok(report) => panic!("\n{report}\n"),
            Err(error) => panic!("\n{error}\n"),
        }
    }

    /// Runs the cases of a file or folder.
    ///
    /// # Errors
    ///
    /// If the cases cannot be read.
    pub fn report(&mut self, path: &Path) -> Result<Report, cases::ParseError> {
        Ok(cases::run(&Case::parse_path(path)?, self))
    }

    fn call(&self, settings: &str, call: &Call) -> Result<Answer, Failure> {
        match call {
            Call::ValidateSettings => valid(P::validate_settings(settings)),
            Call::ValidateFilters(filters) => valid(demand(self.filter, "accept_filter")?.0(filters)),
            Call::Judge { object, offers } => {
                judge(demand(self.filter, "accept_filter")?.1, object, offers).map(Answer::Verdicts)
            }
            Call::TransformStatus { copy, previous, context } => {
                let transform = demand(self.status, "status_transformer")?;
                status(transform, copy, previous.as_ref(), context).map(Answer::Status)
            }
            Call::ValidateMigration(configuration) => {
                valid((demand(self.migration, "migration_template")?.validate)(&Document::from(configuration)))
            }
            Call::Stages(migration) => {
                let stages = demand(self.migration, "migration_template")?.stages;
                let (context, old, new) = migrated(migration);
                let stages = stages(&context, &old, &new).map_err(failure)?;
                Ok(Answer::Stages(stages))
            }
            Call::Render { migration, stage } => {
                let render = demand(self.migration, "migration_template")?.render;
                let (context, old, new) = migrated(migration);
                let manifests = render(&context, &old, &new, stage).map_err(failure)?;
                let manifest = |Manifest { name, body }| cases::Manifest { name, body };
                Ok(Answer::Manifests(manifests.into_iter().map(manifest).collect()))
            }
            Call::Assess { migration, stage, deployed } => {
                let assess = demand(self.migration, "migration_template")?.assess;
                let (context, old, new) = migrated(migration);
                let deployed: Vec<Deployed> = deployed.iter().map(deployed_object).collect();
                assess(&context, &old, &new, stage, &deployed).map(Answer::Outcome).map_err(failure)
            }
        }
    }
}

impl<P: Plugin> Executor for Harness<P> {
    fn execute(&mut self, settings: &str, call: &Call) -> Result<Answer, Failure> {
        logs();
        with_settings(settings, || {
            let answered = catch_unwind(AssertUnwindSafe(|| self.call(settings, call)));
            answered.unwrap_or_else(|payload| Err(Failure::new(FailureKind::Crashed, panic_message(payload.as_ref()))))
        })
    }

    fn log(&mut self) -> Vec<String> {
        logs().into_iter().map(|Line { level, message }| format!("{level:?}: {message}")).collect()
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

fn demand<T>(role: Option<T>, name: &str) -> Result<T, Failure> {
    let missing = || format!("the plugin has no such role as far as the test says: call .{name}() on its harness");
    role.ok_or_else(|| Failure::new(FailureKind::Unsupported, missing()))
}

fn valid(answer: Result<(), Error>) -> Result<Answer, Failure> {
    answer.map(|()| Answer::Valid).map_err(failure)
}

fn failure(error: Error) -> Failure {
    let problem = |FieldError { path, message }| cases::Problem { path, message };
    let problems = |list: Vec<FieldError>| list.into_iter().map(problem).collect();
    match error {
        Error::InvalidSettings(list) => Failure::refused(FailureKind::InvalidSettings, problems(list)),
        Error::InvalidInput(list) => Failure::refused(FailureKind::InvalidInput, problems(list)),
        Error::Unsupported(message) => Failure::new(FailureKind::Unsupported, message),
        Error::Internal(message) => Failure::new(FailureKind::Internal, message),
    }
}

fn judge(judge: Judge, object: &Value, offers: &[Offer]) -> Result<Vec<Verdict>, Failure> {
    let verdicts = judge(&Document::from(object), offers).map_err(failure)?;
    if verdicts.len() != offers.len() {
        let message = format!("{} verdicts for {} offers: the host takes no such answer", verdicts.len(), offers.len());
        return Err(Failure::new(FailureKind::Crashed, message));
    }
    let is_too_high =
        |verdict: &&Verdict| matches!(verdict, Verdict::Accepted { score: Some(score) } if *score > HIGHEST_SCORE);
    if let Some(verdict) = verdicts.iter().find(is_too_high) {
        let message = format!("{verdict}, more than {HIGHEST_SCORE}: the host takes no such answer");
        return Err(Failure::new(FailureKind::Crashed, message));
    }
    Ok(verdicts)
}

fn status(
    transform: Transform,
    copy: &Value,
    previous: Option<&Value>,
    context: &CopyContext,
) -> Result<Option<Value>, Failure> {
    let previous = previous.map(Document::from);
    let Some(json) = transform(&Document::from(copy), previous.as_ref(), context).map_err(failure)? else {
        return Ok(None);
    };
    serde_json::from_str(&json).ok().filter(Value::is_object).map(Some).ok_or_else(|| {
        let message = format!("the status is no JSON object, so that the host does not take it: {json}");
        Failure::new(FailureKind::Crashed, message)
    })
}

/// A migration's context and its two copies.
fn migrated(migration: &cases::Migration) -> (MigrationContext, Document<'_>, Document<'_>) {
    let cases::Migration { id, namespace, configuration, old, new, old_copy, new_copy } = migration;
    let context = MigrationContext {
        id: id.clone(),
        namespace: namespace.clone(),
        configuration: Document::from(configuration.clone()),
        old: old.clone(),
        new: new.clone(),
    };
    (context, Document::from(old_copy), Document::from(new_copy))
}

fn deployed_object(deployed: &cases::Deployed) -> Deployed {
    Deployed { name: deployed.name.clone(), object: deployed.object.clone().map(Document::from) }
}
