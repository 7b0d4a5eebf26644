//! Calls of a plugin for people who look at it: each answer comes with what the call cost and what the plugin logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use resource_broker_plugin_types::{
    CopyContext, Deployed, Manifest, MigrationContext, Offer, Stage, StageOutcome, Verdict,
};
use tokio::task;

use crate::ask;
use crate::call::{Call, Question};
use crate::error::CallError;
use crate::linked::Linked;
use crate::load::Plugin;
use crate::log::LogLine;

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trialled<T> {
    /// The answer, checked as any plugin's is.
    pub answer: Result<T, CallError>,
    /// From the input's parsing to the answer's check, without waiting for a thread.
    pub time: Duration,
    /// The linear memory that the call's instance had in the end, in bytes.
    pub memory_bytes: usize,
    /// What the plugin logged or printed, within the limit.
    pub log: Vec<LogLine>,
}

/// Calls one plugin, by the limits that it was loaded with. Its calls wait for nobody else's, are not counted in its
/// [`Stats`](crate::Stats), and are made also where it is suspended. What it logs is given back instead of being logged.
#[derive(Clone, Debug)]
pub struct Trial {
    linked: Linked,
}

impl Trial {
    pub(crate) fn new(plugin: &Plugin) -> Self {
        Self { linked: plugin.linked().clone() }
    }

    /// The same plugin with other settings, given as JSON and not validated; `None`: it has none.
    #[must_use]
    pub fn with_settings(&self, settings: Option<String>) -> Self {
        let settings = settings.map_or_else(|| Arc::from("null"), Arc::from);
        Self { linked: Linked { settings, ..self.linked.clone() } }
    }

    /// Makes an instance and asks it nothing.
    pub async fn instantiate(&self) -> Trialled<()> {
        self.call(|call: &mut Call<'_>| call.run(0, |_, _| Ok(()))).await
    }

    /// See [`Sandbox::judge`](crate::Sandbox::judge).
    pub async fn judge(&self, object: String, offers: Vec<Offer>) -> Trialled<Vec<Verdict>> {
        self.call(ask::judge(object, offers)).await
    }

    /// See [`Sandbox::validate_filters`](crate::Sandbox::validate_filters).
    pub async fn validate_filters(&self, filters: Vec<String>) -> Trialled<()> {
        self.call(ask::validate_filters(filters)).await
    }

    /// See [`Sandbox::transform_status`](crate::Sandbox::transform_status).
    pub async fn transform_status(
        &self,
        copy: String,
        previous: Option<String>,
        context: CopyContext,
    ) -> Trialled<Option<String>> {
        self.call(ask::transform_status(copy, previous, context)).await
    }

    /// Judges settings, given as JSON. [`CallError::Refused`] or [`CallError::Settings`] says what is wrong with them.
    pub async fn validate_settings(&self, settings: String) -> Trialled<()> {
        self.call(ask::validate_settings(settings)).await
    }

    /// See [`Sandbox::validate_migration`](crate::Sandbox::validate_migration).
    pub async fn validate_migration(&self, configuration: String) -> Trialled<()> {
        self.call(ask::validate_migration(configuration)).await
    }

    /// See [`Sandbox::migration_stages`](crate::Sandbox::migration_stages).
    pub async fn migration_stages(&self, context: MigrationContext, old: String, new: String) -> Trialled<Vec<Stage>> {
        self.call(ask::migration_stages(context, old, new)).await
    }

    /// See [`Sandbox::render_stage`](crate::Sandbox::render_stage).
    pub async fn render_stage(
        &self,
        context: MigrationContext,
        old: String,
        new: String,
        stage: String,
    ) -> Trialled<Vec<Manifest>> {
        self.call(ask::render_stage(context, old, new, stage)).await
    }

    /// See [`Sandbox::assess_stage`](crate::Sandbox::assess_stage).
    pub async fn assess_stage(
        &self,
        context: MigrationContext,
        old: String,
        new: String,
        stage: String,
        deployed: Vec<Deployed>,
    ) -> Trialled<StageOutcome> {
        self.call(ask::assess_stage(context, old, new, stage, deployed)).await
    }

    async fn call<R: Send + 'static>(&self, question: impl Question<R>) -> Trialled<R> {
        let linked = self.linked.clone();
        let work = move || {
            let begun = Instant::now();
            let mut call = Call::recorded(&linked);
            let answer = question(&mut call);
            let time = begun.elapsed();
            Trialled { answer, time, memory_bytes: call.memory_bytes(), log: call.into_log() }
        };
        task::spawn_blocking(work).await.unwrap_or_else(|error| {
            let plugin = self.linked.name.to_string();
            let message = format!("its thread ended early: {error}");
            let answer = Err(CallError::Host { plugin, message });
            Trialled { answer, time: Duration::ZERO, memory_bytes: 0, log: Vec::new() }
        })
    }
}
