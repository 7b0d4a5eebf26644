//! What may be ordered of a migration in which state, and how it shows that an order was carried out.

use resource_broker_api::{
    broker::{Migration, MigrationState, StageState, StageStatus},
    conditions::{FAILED, PROGRESSING, reason},
    keys,
};

/// What a person wants of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// This stage may begin; `None`: the one that waits.
    Approve(Option<String>),
    /// Try again.
    Retry,
    /// The object stays where it was.
    Rollback,
}

/// How far an order is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not carried out yet: what the Migration says meanwhile.
    Waiting(String),
    /// The broker took the order off without doing it: why.
    Refused(String),
    /// Carried out.
    Done,
}

impl Order {
    /// The order's name on the command line.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Approve(_) => "approve",
            Self::Retry => "retry",
            Self::Rollback => "rollback",
        }
    }

    /// What happened when it is carried out.
    pub(super) fn done(&self) -> &'static str {
        match self {
            Self::Approve(_) => "is approved",
            Self::Retry => "is tried again",
            Self::Rollback => "is rolled back",
        }
    }

    fn annotation(&self) -> &'static str {
        match self {
            Self::Approve(_) => keys::MIGRATION_APPROVE,
            Self::Retry => keys::MIGRATION_RETRY,
            Self::Rollback => keys::MIGRATION_ROLLBACK,
        }
    }

    /// The annotation that gives the order.
    pub(super) fn as_annotation(&self) -> (&'static str, &str) {
        let value = if let Self::Approve(Some(stage)) = self { stage } else { "true" };
        (self.annotation(), value)
    }

    /// The order as it is to be given to this migration; `Err`: why it makes no sense now, and what does.
    pub(super) fn for_migration(&self, migration: &Migration) -> Result<Self, String> {
        let state = migration.status.as_ref().and_then(|status| status.state);
        match (self, state) {
            (_, Some(MigrationState::CutoverCompleted)) => Err(after_the_switch(self)),
            (Self::Approve(_), Some(MigrationState::Failed)) => Err(format!(
                "no stage waits for approval: the migration has failed ({}); order `migrate retry` or `migrate rollback`",
                why_failed(migration)
            )),
            (Self::Approve(meant), _) => approve(meant.as_deref(), migration),
            (Self::Retry, Some(MigrationState::Failed)) if failed_for(migration, reason::ABANDONED) => Err(format!(
                "there is nothing to try again: the move was abandoned ({}); a new one begins by itself where it is needed",
                why_failed(migration)
            )),
            (Self::Retry, Some(MigrationState::Failed)) => Ok(Self::Retry),
            (Self::Retry, _) => Err(format!(
                "nothing has failed: it is {}, and {}; to call it off, order `migrate rollback`",
                state_of(migration),
                progress_of(migration)
            )),
            (Self::Rollback, Some(MigrationState::Failed)) if failed_for(migration, reason::ROLLED_BACK) => {
                Err("it has been rolled back already; to try it again, order `migrate retry`".into())
            }
            (Self::Rollback, Some(MigrationState::Failed)) if failed_for(migration, reason::ABANDONED) => {
                Err("there is nothing to roll back: the move was abandoned, and the object is at its old provider"
                    .into())
            }
            (Self::Rollback, _) => Ok(Self::Rollback),
        }
    }

    /// What it means for an order that the Migration it was given to is not there any more. `ordered`: as it was then.
    pub(super) fn progress_of_gone(&self, ordered: &Migration) -> Result<(), String> {
        match self {
            // The move begins anew, with a Migration of its own.
            Self::Retry if failed_for(ordered, reason::ROLLED_BACK) => Ok(()),
            _ => Err("the Migration is not there any more; its object was deleted, or moves anew".into()),
        }
    }

    /// Whether the broker has carried this order out.
    pub(super) fn progress(&self, migration: &Migration) -> Progress {
        let is_ordered = migration.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(self.annotation()));
        if let Self::Approve(stage) = self {
            let begun = stages(migration).iter().find(|it| Some(&it.name) == stage.as_ref());
            let waits = |stage: &StageStatus| matches!(stage.state, StageState::AwaitingApproval);
            return match begun {
                Some(stage) if !waits(stage) => Progress::Done,
                _ if is_over(migration) => Progress::Refused(format!("the migration is {}", state_of(migration))),
                _ => Progress::Waiting(progress_of(migration)),
            };
        }
        if is_ordered {
            return Progress::Waiting(progress_of(migration));
        }
        match self {
            Self::Rollback if !failed_for(migration, reason::ROLLED_BACK) => Progress::Refused(format!(
                "the migration is {}; the Events of the Migration say why",
                state_of(migration)
            )),
            _ => Progress::Done,
        }
    }
}

fn after_the_switch(order: &Order) -> String {
    match order {
        Order::Approve(_) => "no stage waits for approval: the migration is over, the object is at its new provider".into(),
        Order::Retry | Order::Rollback => {
            "the object is at its new provider, and its old copy is gone or going: there is no way back but a new move. \
             Change the object or the providers' offers, so that another provider accepts it"
                .into()
        }
    }
}

fn approve(stage: Option<&str>, migration: &Migration) -> Result<Order, String> {
    let waiting = stages(migration).iter().find(|stage| matches!(stage.state, StageState::AwaitingApproval));
    match (waiting, stage) {
        (Some(waiting), None) => Ok(Order::Approve(Some(waiting.name.clone()))),
        (Some(waiting), Some(stage)) if waiting.name == stage => Ok(Order::Approve(Some(stage.to_owned()))),
        (Some(waiting), Some(stage)) => Err(format!("stage {} waits for approval, not {stage}", waiting.name)),
        (None, _) => {
            Err(format!("no stage waits for approval: it is {}, and {}", state_of(migration), progress_of(migration)))
        }
    }
}

fn stages(migration: &Migration) -> &[StageStatus] {
    migration.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default()
}

/// The state's name as its status has it.
pub(super) fn state_of(migration: &Migration) -> String {
    let state = migration.status.as_ref().and_then(|status| status.state).unwrap_or_default();
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(name)) if !name.is_empty() => name,
        _ => "New".into(),
    }
}

fn condition<'a>(migration: &'a Migration, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = &migration.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((&condition.reason, &condition.message))
}

fn is_over(migration: &Migration) -> bool {
    let state = migration.status.as_ref().and_then(|status| status.state);
    matches!(state, Some(MigrationState::CutoverCompleted | MigrationState::Failed))
}

fn failed_for(migration: &Migration, reason: &str) -> bool {
    let state = migration.status.as_ref().and_then(|status| status.state);
    state == Some(MigrationState::Failed) && condition(migration, FAILED).is_some_and(|(is, _)| is == reason)
}

fn why_failed(migration: &Migration) -> &str {
    condition(migration, FAILED).map_or("it does not say why", |(_, message)| message)
}

/// What a person reads of a migration: what it waits for, or why it failed. Nothing of one that is complete.
pub(super) fn said_of(migration: &Migration) -> String {
    match migration.status.as_ref().and_then(|status| status.state) {
        Some(MigrationState::CutoverCompleted) => String::new(),
        Some(MigrationState::Failed) => why_failed(migration).to_owned(),
        _ => progress_of(migration),
    }
}

fn progress_of(migration: &Migration) -> String {
    match condition(migration, PROGRESSING) {
        Some((reason, "")) => reason.to_owned(),
        Some((_, message)) => message.to_owned(),
        None => "it has not begun".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn migration(state: &str, stages: &Value, failed: &str, annotations: &Value) -> Migration {
        let at = |cluster: &str| json!({"gvk": {"group": "g", "version": "v1", "kind": "K"}, "name": "n", "clusterName": cluster});
        let condition = |type_: &str, reason: &str| {
            json!({
                "type": type_, "status": "True", "reason": reason, "message": format!("{reason} it is"),
                "lastTransitionTime": "2020-01-01T00:00:00Z",
            })
        };
        let object = json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Migration",
            "metadata": {"name": "m", "namespace": "n", "annotations": annotations},
            "spec": {"from": at("provider#a"), "to": at("provider#b")},
            "status": {
                "state": state, "stages": stages,
                "conditions": [condition("Failed", failed), condition("Progressing", "StageRunning")],
            },
        });
        serde_json::from_value(object).unwrap()
    }

    fn plain(state: &str, failed: &str) -> Migration {
        migration(state, &json!([]), failed, &json!({}))
    }

    fn staged(stages: &Value) -> Migration {
        migration("InitialInProgress", stages, "", &json!({}))
    }

    #[test]
    fn the_stage_that_waits_is_approved_and_no_other() {
        let waits =
            staged(&json!([{"name": "copy", "state": "Succeeded"}, {"name": "move", "state": "AwaitingApproval"}]));
        let named = |stage: &str| Order::Approve(Some(stage.into()));
        assert_eq!(Order::Approve(None).for_migration(&waits), Ok(named("move")));
        assert_eq!(named("move").for_migration(&waits), Ok(named("move")));
        assert!(named("copy").for_migration(&waits).unwrap_err().contains("stage move waits for approval, not copy"));
        let runs = staged(&json!([{"name": "copy", "state": "Running"}]));
        let refused = Order::Approve(None).for_migration(&runs).unwrap_err();
        assert!(refused.contains("InitialInProgress") && refused.contains("StageRunning it is"), "{refused}");
        let failed = Order::Approve(None).for_migration(&plain("Failed", "StageFailed")).unwrap_err();
        assert!(failed.contains("StageFailed it is") && failed.contains("migrate retry"), "{failed}");
    }

    #[test]
    fn after_the_switch_there_is_no_way_back_but_a_new_move() {
        for order in [Order::Retry, Order::Rollback] {
            let refused = order.for_migration(&plain("CutoverCompleted", "")).unwrap_err();
            assert!(refused.contains("no way back but a new move"), "{refused}");
        }
    }

    #[test]
    fn what_failed_is_tried_again_or_rolled_back() {
        for why in ["StageFailed", "StageTimedOut"] {
            assert_eq!(Order::Retry.for_migration(&plain("Failed", why)), Ok(Order::Retry));
            assert_eq!(Order::Rollback.for_migration(&plain("Failed", why)), Ok(Order::Rollback));
        }
        assert_eq!(Order::Retry.for_migration(&plain("Failed", "RolledBack")), Ok(Order::Retry));
        assert!(Order::Rollback.for_migration(&plain("Failed", "RolledBack")).unwrap_err().contains("already"));
        for order in [Order::Retry, Order::Rollback] {
            assert!(order.for_migration(&plain("Failed", "Abandoned")).unwrap_err().contains("nothing to"));
        }
        assert!(
            Order::Retry.for_migration(&plain("InitialInProgress", "")).unwrap_err().contains("nothing has failed")
        );
        assert_eq!(Order::Rollback.for_migration(&plain("InitialInProgress", "")), Ok(Order::Rollback));
    }

    #[test]
    fn an_order_is_carried_out_when_the_broker_has_taken_it_off() {
        let ordered = json!({"broker.platform-mesh.io/migration-rollback": "true"});
        let waits = migration("InitialInProgress", &json!([]), "", &ordered);
        assert!(matches!(Order::Rollback.progress(&waits), Progress::Waiting(_)));
        assert_eq!(Order::Rollback.progress(&plain("Failed", "RolledBack")), Progress::Done);
        assert!(matches!(Order::Rollback.progress(&plain("CutoverCompleted", "")), Progress::Refused(_)));
        assert_eq!(Order::Retry.progress(&plain("InitialInProgress", "")), Progress::Done);
        let rolled_back = plain("Failed", "RolledBack");
        assert_eq!(Order::Retry.progress_of_gone(&rolled_back), Ok(()), "the move begins with a new Migration");
        for (order, there) in [(Order::Rollback, plain("Pending", "")), (Order::Retry, plain("Failed", "StageFailed"))]
        {
            assert!(order.progress_of_gone(&there).unwrap_err().contains("not there any more"), "{order:?}");
        }
        let approve = Order::Approve(Some("copy".into()));
        for (state, done) in [("AwaitingApproval", false), ("Waiting", true), ("Running", true), ("Succeeded", true)] {
            let progress = approve.progress(&staged(&json!([{"name": "copy", "state": state}])));
            assert_eq!(progress == Progress::Done, done, "{state}: {progress:?}");
        }
    }
}
