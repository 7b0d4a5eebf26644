//! What a Migration's status says: its state with a condition for each one that was reached, its stages, what is awaited, and
//! how it ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::{MigrationState, MigrationStatus, StageState, StageStatus},
    conditions::{FAILED, PROGRESSING, reason},
};

use crate::{
    model::snapshot::MigrationRecord,
    plan::{
        About, Action, Event, Guard,
        findings::{Finding, condition},
        text::{self, MAX_EVENT},
    },
};

/// The order of conditions: how it stands, then the states as they are reached.
const ORDER: [&str; 7] =
    [FAILED, PROGRESSING, "Pending", "InitialInProgress", "InitialCompleted", "CutoverInProgress", "CutoverCompleted"];

/// A status that is being rewritten.
#[derive(Debug)]
pub(crate) struct StatusWriter<'a> {
    migration: &'a MigrationRecord,
    now: &'a Time,
    status: MigrationStatus,
    events: Vec<Event>,
}

impl<'a> StatusWriter<'a> {
    /// As it is.
    pub(crate) fn of(migration: &'a MigrationRecord, now: &'a Time) -> Self {
        Self { migration, now, status: migration.status.clone(), events: Vec::new() }
    }

    /// The status so far.
    pub(crate) fn status(&mut self) -> &mut MigrationStatus {
        &mut self.status
    }

    /// A state is reached.
    pub(crate) fn reach(&mut self, state: MigrationState, message: &str) -> &mut Self {
        self.status.state = Some(state);
        self.condition(name(state), &Finding::yes(reason::REACHED, message));
        self.event(false, name(state), message)
    }

    /// The stage that is under way changes.
    pub(crate) fn stage(&mut self, change: impl FnOnce(&mut StageStatus)) -> &mut Self {
        if let Some(stage) = self.status.stages.last_mut() {
            let before = stage.state;
            change(stage);
            // What fails for good is told of the whole migration.
            if stage.state != before && stage.state != StageState::Failed {
                let (name, message) = (stage.name.clone(), stage.message.clone());
                let (warning, what) = turn(stage.state, stage.attempt);
                let why = message.filter(|_| warning).map(|why| format!(": {why}")).unwrap_or_default();
                self.event(warning, stage_reason(stage_state_of(&self.status)), &format!("stage {name} {what}{why}"));
            }
        }
        self
    }

    /// A stage begins.
    pub(crate) fn enter(&mut self, stage: StageStatus) -> &mut Self {
        self.status.stage = Some(stage.name.clone());
        let (_, what) = turn(stage.state, 1);
        let (why, message) = (stage_reason(stage.state), format!("stage {} {what}", stage.name));
        self.status.stages.push(stage);
        self.event(false, why, &message)
    }

    /// What is awaited, or in the way.
    pub(crate) fn progressing(&mut self, finding: &Finding) -> &mut Self {
        self.condition(PROGRESSING, finding);
        let is_blocked = finding.reason == reason::BLOCKED;
        let before = self.migration.status.conditions.iter().find(|c| c.type_ == PROGRESSING);
        if is_blocked && before.is_none_or(|before| before.message != finding.message) {
            self.event(true, reason::BLOCKED, &finding.message);
        }
        self
    }

    /// It ends before its cutover, or stops until somebody orders something.
    pub(crate) fn fail(&mut self, why: &str, message: &str) -> &mut Self {
        self.status.state = Some(MigrationState::Failed);
        self.condition(FAILED, &Finding::yes(why, message));
        self.condition(PROGRESSING, &Finding::no(why, message));
        self.event(why != reason::ROLLED_BACK, why, message)
    }

    /// What failed is tried again.
    pub(crate) fn take_back_failure(&mut self) -> &mut Self {
        self.condition(FAILED, &Finding::no("Retried", "it is tried again, as was ordered"));
        let latest = [MigrationState::CutoverInProgress, MigrationState::InitialCompleted];
        let latest = latest.into_iter().find(|state| reached(&self.status, *state));
        self.status.state = Some(latest.unwrap_or(MigrationState::InitialInProgress));
        self.event(false, "Retried", "it is tried again, as was ordered")
    }

    fn condition(&mut self, type_: &str, finding: &Finding) {
        let conditions = &mut self.status.conditions;
        let new = condition(type_, finding, conditions, self.migration.generation, self.now);
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
        // In the order of the states, whichever write came first.
        conditions.sort_by_key(|condition| ORDER.iter().position(|type_| *type_ == condition.type_));
    }

    fn event(&mut self, warning: bool, why: &str, message: &str) -> &mut Self {
        let about = About::Migration(self.migration.name.clone(), self.migration.uid.clone());
        let message = text::clip(message, MAX_EVENT);
        self.events.push(Event { about, warning, reason: why.to_owned(), message });
        self
    }

    /// The writes that tell it; none where nothing is new.
    pub(crate) fn write(&self) -> Vec<Action> {
        self.write_if(Vec::new())
    }

    /// The same, where `guards` hold.
    pub(crate) fn write_if(&self, guards: Vec<Guard>) -> Vec<Action> {
        if self.status == self.migration.status {
            return Vec::new();
        }
        let status = Action::MigrationStatus {
            name: self.migration.name.clone(),
            uid: self.migration.uid.clone(),
            resource_version: self.migration.resource_version.clone(),
            status: Box::new(self.status.clone()),
            guards,
        };
        std::iter::once(status).chain(self.events.iter().cloned().map(Action::Event)).collect()
    }
}

/// A state's name, as people read it.
pub(crate) fn name(state: MigrationState) -> &'static str {
    match state {
        MigrationState::New => "New",
        MigrationState::Pending => "Pending",
        MigrationState::InitialInProgress => "InitialInProgress",
        MigrationState::InitialCompleted => "InitialCompleted",
        MigrationState::CutoverInProgress => "CutoverInProgress",
        MigrationState::CutoverCompleted => "CutoverCompleted",
        MigrationState::Failed => "Failed",
    }
}

/// Whether a state was reached at some time.
pub(crate) fn reached(status: &MigrationStatus, state: MigrationState) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == name(state) && condition.status == "True")
}

/// Why a migration failed, where it has.
pub(crate) fn failure(status: &MigrationStatus) -> Option<(&str, &str)> {
    let failed = status.state == Some(MigrationState::Failed);
    let why = status.conditions.iter().find(|condition| condition.type_ == FAILED && condition.status == "True");
    why.filter(|_| failed).map(|why| (why.reason.as_str(), why.message.as_str()))
}

/// What a stage waited for last, or what was in its way, as far as the status tells it.
pub(crate) fn last_told(status: &MigrationStatus, stage: &str) -> Option<String> {
    let told = status.conditions.iter().find(|condition| condition.type_ == PROGRESSING)?;
    let its = told.message.strip_prefix(&format!("stage {stage}: "));
    match told.reason.as_str() {
        reason::BLOCKED => Some(format!("what was in its way: {}", its.unwrap_or(&told.message))),
        reason::STAGE_WAITING | reason::STAGE_RUNNING => its.map(|its| format!("what it waited for last: {its}")),
        _ => None,
    }
}

/// Whether something is said to be in the way.
pub(crate) fn is_blocked(status: &MigrationStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == PROGRESSING && condition.reason == reason::BLOCKED)
}

/// Whether a migration is over: nothing of it goes on.
pub(crate) fn is_over(status: &MigrationStatus) -> bool {
    let ended = |(why, _)| matches!(why, reason::ROLLED_BACK | reason::ABANDONED);
    status.state == Some(MigrationState::CutoverCompleted) || failure(status).is_some_and(ended)
}

fn stage_state_of(status: &MigrationStatus) -> StageState {
    status.stages.last().map(|stage| stage.state).unwrap_or_default()
}

fn stage_reason(state: StageState) -> &'static str {
    match state {
        StageState::Waiting => reason::STAGE_WAITING,
        StageState::AwaitingApproval => reason::AWAITING_APPROVAL,
        StageState::Running => reason::STAGE_RUNNING,
        StageState::Retrying => "StageRetrying",
        StageState::Succeeded => "StageSucceeded",
        StageState::Failed => reason::STAGE_FAILED,
    }
}

/// What a stage's new state is told as, and whether it needs attention.
fn turn(state: StageState, attempt: u32) -> (bool, String) {
    match state {
        StageState::Waiting => (false, format!("begins (attempt {attempt})")),
        StageState::AwaitingApproval => (false, "waits for approval".into()),
        StageState::Running => (false, format!("runs (attempt {attempt})")),
        StageState::Retrying if attempt == 0 => (false, "is tried again from its first attempt".into()),
        StageState::Retrying => (true, format!("is tried again after attempt {attempt} failed")),
        StageState::Succeeded => (false, "succeeded".into()),
        StageState::Failed => (true, format!("failed at attempt {attempt}")),
    }
}
