//! A migration that is over, or whose record is gone: what it left in the compute cluster is taken away, and after a while it goes
//! itself. Needs no client.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};
use resource_broker_api::{
    broker::MigrationState,
    conditions::{FAILED, reason},
    keys,
};

use crate::{
    chronicle::{self, Chronicle, is_over},
    findings::clip,
    migrate::take_order,
    mirror,
    plan::{About, Action, Event, Guard, Plan, State},
    service::MAX_EVENT,
    snapshot::{ComputeView, MigrationRecord, Record, Target, View},
};

/// All inputs of one Migration, once its object's own passes have nothing to do with it any more.
#[derive(Clone, Debug)]
pub struct HistorySnapshot {
    /// What this broker marks its objects with, where it could find that out.
    pub broker: Option<Arc<str>>,
    /// The Migration's name.
    pub name: String,
    /// The Migration; `None` where it went.
    pub migration: Option<Arc<MigrationRecord>>,
    /// The record of the object that it moved.
    pub record: View<Arc<Record>>,
    /// The time.
    pub now: Time,
    /// How long a finished Migration stays.
    pub keep: Duration,
    /// What the compute cluster holds of it, or of one that somebody deleted.
    pub compute: ComputeView,
}

/// What is to be done about one Migration.
pub fn plan(snapshot: &HistorySnapshot) -> Plan {
    let mut plan = Plan::default();
    let Some(migration) = &snapshot.migration else {
        // Somebody deleted it. Where its object still moves it is made anew, and finds what it had deployed.
        let moves = snapshot.record.present().is_some_and(|record| record.spec.next.is_some());
        if snapshot.record.is_known() && !moves {
            plan.then(clean(&snapshot.compute));
        }
        return plan;
    };
    if migration.deleting {
        return plan;
    }
    if !is_over(&migration.status) {
        // Its object's passes deal with it as long as there is a record.
        if matches!(snapshot.record, View::Absent) {
            let why = "its object is gone";
            // A cache alone is no proof of that: it may be behind the one that shows the Migration.
            let guards = vec![Guard::NoRecord(migration.name.clone())];
            plan.then(Chronicle::of(migration, &snapshot.now).fail(reason::ABANDONED, why).write_if(guards));
        }
        return plan;
    }
    if let Some(again) = orders(migration, &mut plan)
        && again
        && mirror::left(&snapshot.compute).is_none()
    {
        plan.then([delete(migration, Vec::new())]);
        return plan;
    }
    plan.then(clean(&snapshot.compute));
    if let Some(left) = mirror::left(&snapshot.compute) {
        plan.waits.push(left);
        plan.state = State::Waiting;
        return plan;
    }
    if holds(snapshot, migration) {
        return plan;
    }
    let lasted = ended(migration).map(|at| snapshot.now.0.duration_since(at.0)).unwrap_or_default();
    let rest = SignedDuration::try_from(snapshot.keep).unwrap_or(SignedDuration::MAX) - lasted;
    if rest.is_positive() {
        plan.again_in(Duration::try_from(rest).unwrap_or_default());
    } else {
        plan.then([delete(migration, Vec::new())]);
    }
    plan
}

fn delete(migration: &MigrationRecord, guards: Vec<Guard>) -> Action {
    Action::DeleteMigration { name: migration.name.clone(), uid: migration.uid.clone(), guards }
}

/// Orders about a migration that is over; `Some(true)`: it is to be tried again from its beginning.
fn orders(migration: &MigrationRecord, plan: &mut Plan) -> Option<bool> {
    let is_rolled_back = chronicle::failure(&migration.status).is_some_and(|(why, _)| why == reason::ROLLED_BACK);
    let ordered = |order: &str| migration.orders.get(order).is_some_and(|value| value != "false");
    if is_rolled_back && ordered(keys::MIGRATION_RETRY) {
        return Some(true);
    }
    for order in [keys::MIGRATION_RETRY, keys::MIGRATION_ROLLBACK] {
        if !ordered(order) {
            continue;
        }
        let why = match chronicle::failure(&migration.status) {
            // The order that made it so.
            Some((reason::ROLLED_BACK, _)) => None,
            Some(_) => Some("it was abandoned; there is nothing to retry or to roll back"),
            None => Some(
                "the cutover is complete, and there is no way back but a new move: change the object or the offers so that \
                 another provider takes it",
            ),
        };
        plan.then([take_order(migration, order)]);
        plan.then(why.map(|why| {
            Action::Event(Event {
                about: About::Migration(migration.name.clone(), migration.uid.clone()),
                warning: true,
                reason: reason::ORDER_REFUSED.into(),
                message: clip(why, MAX_EVENT),
            })
        }));
    }
    None
}

/// Whether it keeps its object from moving again, and stays for that.
fn holds(snapshot: &HistorySnapshot, migration: &MigrationRecord) -> bool {
    let is_rolled_back = chronicle::failure(&migration.status).is_some_and(|(why, _)| why == reason::ROLLED_BACK);
    is_rolled_back
        && match &snapshot.record {
            View::Unknown { .. } => true,
            View::Absent => false,
            View::Present(record) => {
                let changed = record.status.observed_generation > migration.status.observed_generation;
                record.spec.provider.cluster == migration.spec.from.cluster_name && !changed
            }
        }
}

/// When it came to its end.
fn ended(migration: &MigrationRecord) -> Option<&Time> {
    let completed = chronicle::name(MigrationState::CutoverCompleted);
    let end = migration
        .status
        .conditions
        .iter()
        .find(|it| [FAILED, completed].contains(&it.type_.as_str()) && it.status == "True");
    end.map(|condition| &condition.last_transition_time)
}

/// Takes away what is left in the compute cluster.
fn clean(compute: &ComputeView) -> Vec<Action> {
    let all = compute.deployed.iter().chain(&compute.mirrored).filter(|(_, object)| !object.is_deleting());
    all.map(|(gvk, object)| Action::Delete {
        target: Target::new(
            compute.cluster.clone(),
            gvk.clone(),
            Some(compute.namespace.clone()),
            object.name().to_owned(),
        ),
        uid: object.uid().to_owned(),
        guards: Vec::new(),
    })
    .collect()
}
