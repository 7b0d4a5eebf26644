//! Takes statuses and Events to the API server, one batch at a time and no more often than they are worth.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{broker::PluginStatus, conditions::READY, names::ClusterName};
use resource_broker_plugin_types::ApiName;
use serde_json::Value;
use tokio::{task::JoinSet, time::Instant};

use super::{
    known::Known,
    serving::Share,
    status::{self, Facts, Progress, Running},
};
use crate::{
    admin::Check,
    apply::{Apply, Fault, Learned},
    cache::own,
    metrics::Metrics,
    planner::{
        model::snapshot::Target,
        plan::{About, Action, Event, digest, text::clip},
    },
};

/// How long a load may take before it is told that one is under way: most are done by then, which saves a write.
const SETTLE: Duration = Duration::from_secs(3);
/// How often counts are written, where nothing else changes.
const COUNTS: Duration = Duration::from_secs(10);
/// The pause after a write that did not succeed.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest message that an Event takes, in bytes.
const MESSAGE: usize = 1024;
/// So many Events wait at most; the conditions say the same.
const EVENTS: usize = 100;

/// Something to tell people who look at a Plugin.
pub(super) struct Notice {
    warning: bool,
    reason: &'static str,
    message: String,
}

impl Notice {
    /// It is as it should be.
    pub(super) fn normal(reason: &'static str, message: String) -> Self {
        Self { warning: false, reason, message }
    }

    /// Somebody should see to it.
    pub(super) fn warning(reason: &'static str, message: String) -> Self {
        Self { warning: true, reason, message }
    }
}

/// See the module.
pub(super) struct Reports {
    apply: Arc<Apply>,
    coordination: ClusterName,
    events: Vec<Action>,
    writing: JoinSet<Vec<Write>>,
    written: Vec<Write>,
    not_before: Option<Instant>,
}

/// A status that was sent.
struct Write {
    name: String,
    outcome: Result<Vec<Learned>, Fault>,
}

impl Reports {
    /// Nothing to tell yet.
    pub(super) fn new(apply: Arc<Apply>, coordination: ClusterName) -> Self {
        Self { apply, coordination, events: Vec::new(), writing: JoinSet::new(), written: Vec::new(), not_before: None }
    }

    /// Has an Event sent about a Plugin.
    pub(super) fn tell(&mut self, known: &Known, notice: Notice) {
        let about = About::Object(self.target(known.object.name()), known.object.uid().to_owned());
        let Notice { warning, reason, message } = notice;
        let message = clip(&message, MESSAGE);
        if self.events.len() < EVENTS {
            self.events.push(Action::Event(Event { about, warning, reason: reason.to_owned(), message }));
        }
    }

    /// Waits until a batch of writes has ended; for ever, where none is under way.
    pub(super) async fn written(&mut self) {
        match self.writing.join_next().await {
            Some(Ok(writes)) => self.written = writes,
            Some(Err(error)) => tracing::error!(%error, "writing statuses panicked; this is a bug"),
            None => pending().await,
        }
    }

    /// Begins to write what is due, in the process that leads, and has a line for each Plugin.
    pub(super) fn report(
        &mut self,
        all: &mut BTreeMap<String, Known>,
        shares: &BTreeMap<String, Share>,
        is_watched: impl Fn(&ApiName) -> bool,
        metrics: &Metrics,
    ) -> Vec<Check> {
        self.learn(all);
        let now = Time(Timestamp::now());
        let mut checks = Vec::new();
        let mut due = Vec::new();
        for (name, known) in all.iter_mut() {
            let facts = facts(known, shares.get(name).cloned().unwrap_or_default(), &is_watched);
            let before = known.status();
            let wanted = status::status(&facts, &before, &now);
            let check = check(name, &wanted);
            metrics.plugin(name, check.ok, known.pulse.suspended());
            checks.push(check);
            if is_due(known, &before, &wanted) {
                due.push((name.clone(), known.object.uid().to_owned(), wanted));
            }
        }
        self.write(due);
        checks
    }

    fn write(&mut self, due: Vec<(String, String, PluginStatus)>) {
        if !self.apply.leadership.is_leader() {
            // Whoever leads tells the same.
            self.events.clear();
            return;
        }
        let paused = self.not_before.is_some_and(|at| Instant::now() < at);
        if !self.writing.is_empty() || paused || (due.is_empty() && self.events.is_empty()) {
            return;
        }
        let events = std::mem::take(&mut self.events);
        let due: Vec<(String, Action)> = due
            .into_iter()
            .map(|(name, uid, status)| {
                let asked = asked(&status);
                let status = serde_json::to_value(status).unwrap_or_default();
                let action = Action::PutStatus { target: self.target(&name), uid, status, beside: None, asked };
                (name, action)
            })
            .collect();
        let apply = self.apply.clone();
        self.writing.spawn(async move {
            let mut writes = Vec::new();
            for (name, action) in due {
                writes.push(Write { name, outcome: apply.run(&action).await });
            }
            for event in events {
                // Events are a help, never a need.
                let _ = apply.run(&event).await;
            }
            writes
        });
    }

    /// What came of the last batch.
    fn learn(&mut self, all: &mut BTreeMap<String, Known>) {
        for Write { name, outcome } in std::mem::take(&mut self.written) {
            match outcome {
                Ok(learned) => {
                    let Some(known) = all.get_mut(&name) else { continue };
                    known.written_at = Some(Instant::now());
                    for learned in learned {
                        if let Learned::Status(asked, got) = learned {
                            known.written = Some((asked, got));
                        }
                    }
                }
                Err(fault) => {
                    if let Fault::Failed { failure, .. } = &fault {
                        tracing::warn!(plugin = name, error = failure.message, "a status could not be written");
                    }
                    self.not_before = Some(Instant::now() + AGAIN);
                }
            }
        }
    }

    fn target(&self, name: &str) -> Target {
        let namespace = Some(self.apply.namespace.clone());
        Target::new(self.coordination.clone(), own::plugins().gvk, namespace, name.to_owned())
    }
}

fn facts(known: &Known, share: Share, is_watched: impl Fn(&ApiName) -> bool) -> Facts {
    let claim = known.claim();
    let missing = claim.missing();
    let (holds, waiting) = share.holds.into_iter().partition(|(api, _)| known.good_for(api).is_some());
    let share = Share { holds, ..share };
    Facts {
        generation: known.object.meta.generation,
        progress: known.progress.clone(),
        running: known.good.as_ref().map(|good| Running::of(&good.plugin, known.pulse.failing())),
        share,
        waiting,
        missing,
        unwatched: claim.apis.into_iter().filter(|api| !is_watched(api)).collect(),
    }
}

fn check(name: &str, status: &PluginStatus) -> Check {
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY);
    let ok = ready.is_some_and(|ready| ready.status == "True");
    let detail = ready.filter(|_| !ok).map(|ready| ready.message.clone()).unwrap_or_default();
    Check { name: format!("plugin {name}"), ok, required: false, detail }
}

fn is_due(known: &Known, before: &PluginStatus, wanted: &PluginStatus) -> bool {
    let settling = known.progress == Progress::Loading && known.since.elapsed() < SETTLE;
    if settling || before == wanted {
        return false;
    }
    // A definition that lacks a field drops it: asking again would be in vain.
    let got = || digest::of(&known.object.field("status").unwrap_or(Value::Null));
    if known.written.as_ref().is_some_and(|(asked_for, resulted)| *asked_for == asked(wanted) && *resulted == got()) {
        return false;
    }
    status::differs(before, wanted) || known.written_at.is_none_or(|at| at.elapsed() >= COUNTS)
}

/// A digest of a status without its times, which differ in every look.
fn asked(status: &PluginStatus) -> String {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    for condition in value["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"].take();
    }
    digest::of(&value)
}
