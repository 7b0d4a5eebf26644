//! A migration that is over, that somebody deleted, or whose record is gone: what it left in the compute cluster is taken away,
//! its finalizer after that, and after a while it goes itself.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};
use resource_broker_api::{
    broker::MigrationState,
    conditions::{FAILED, reason},
    keys,
};

use crate::{
    migration::{
        mirror, stage,
        status_writer::{self, StatusWriter, is_over},
        under_way::take_order,
    },
    model::snapshot::{ComputeView, MigrationRecord, Record, Target, View},
    plan::{
        About, Action, Event, Guard, Plan, State,
        findings::Finding,
        text::{MAX_EVENT, clip},
    },
};

/// How long a deletion may take before the Migration's conditions say what it waits for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// All inputs of one Migration, once its object's own passes have nothing to do with it any more.
#[derive(Clone, Debug)]
pub struct RetentionSnapshot {
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
pub fn plan(snapshot: &RetentionSnapshot) -> Plan {
    let mut plan = Plan::default();
    let Some(migration) = &snapshot.migration else {
        // Somebody took its finalizer off. Where its object still moves it is made anew, and finds what it had deployed.
        let moves = snapshot.record.present().is_some_and(|record| record.spec.next.is_some());
        if snapshot.record.is_known() && !moves {
            clean(&snapshot.compute, &mut plan);
        }
        return plan;
    };
    if migration.is_deleting() {
        return going(snapshot, migration);
    }
    if !is_over(&migration.status) {
        // Its object's passes deal with it as long as there is a record.
        if matches!(snapshot.record, View::Absent) {
            let why = "its Assignment is gone";
            // A cache alone is no proof of that: it may be behind the one that shows the Migration.
            let guards = vec![Guard::NoRecord(migration.name.clone())];
            plan.then(StatusWriter::of(migration, &snapshot.now).fail(reason::ABANDONED, why).write_if(guards));
        }
        return plan;
    }
    let again = orders(migration, &mut plan);
    if let Some(why) = elsewhere(migration, &snapshot.compute) {
        plan.then(say(snapshot, migration, &Finding::no(reason::BLOCKED, why.clone())));
        plan.waits.push(why);
        plan.state = State::Blocked;
        return plan;
    }
    clean(&snapshot.compute, &mut plan);
    if let Some(left) = left(migration, &snapshot.compute) {
        plan.waits.push(left);
        plan.state = State::Waiting;
        return plan;
    }
    if status_writer::is_blocked(&migration.status) {
        plan.then(unblock(snapshot, migration));
        plan.state = State::Waiting;
        return plan;
    }
    plan.then(release(migration));
    if again {
        plan.then([delete(migration)]);
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
        plan.then([delete(migration)]);
    }
    plan
}

/// One that somebody deleted, whatever it had come to: it goes when nothing of it is in the compute cluster any more.
fn going(snapshot: &RetentionSnapshot, migration: &MigrationRecord) -> Plan {
    let mut plan = Plan { state: State::Deleting, ..Plan::default() };
    if let Some(left) = left(migration, &snapshot.compute) {
        tell(snapshot, migration, &left, &mut plan);
        plan.waits.push(left);
    } else {
        plan.then(release(migration));
    }
    if elsewhere(migration, &snapshot.compute).is_none() {
        clean(&snapshot.compute, &mut plan);
    }
    plan
}

/// Has a Migration say what is awaited, or in the way.
fn say(snapshot: &RetentionSnapshot, migration: &MigrationRecord, finding: &Finding) -> Vec<Action> {
    StatusWriter::of(migration, &snapshot.now).progressing(finding).write()
}

/// Takes back what one that is over said of its namespace.
fn unblock(snapshot: &RetentionSnapshot, migration: &MigrationRecord) -> Vec<Action> {
    let (why, message) = status_writer::failure(&migration.status).unwrap_or((reason::OVER, "it is complete"));
    say(snapshot, migration, &Finding::no(why, message))
}

/// Has a Migration say why it does not go. A deletion that is simply under way is not worth a write.
fn tell(snapshot: &RetentionSnapshot, migration: &MigrationRecord, left: &str, plan: &mut Plan) {
    let lasted = migration.deleted_at.as_ref().map_or(PATIENCE, |at| snapshot.now.0.duration_since(at.0));
    if lasted < PATIENCE {
        plan.again_in(Duration::try_from((PATIENCE - lasted).min(PATIENCE)).unwrap_or_default());
        return;
    }
    let message = format!("it was deleted, and goes when {} is clean of it: {left}", snapshot.compute.cluster);
    plan.then(say(snapshot, migration, &Finding::no(reason::CLEANING, message)));
}

/// What is left of a Migration in the compute cluster; `None`: nothing, and that is known. What nobody has looked at yet has never
/// had anything there.
pub(crate) fn left(migration: &MigrationRecord, compute: &ComputeView) -> Option<String> {
    migration.status.id.as_ref().and_then(|_| elsewhere(migration, compute).or_else(|| mirror::left(compute)))
}

/// Why nothing of a migration can be seen or touched in the compute cluster: it began in another namespace than the one that
/// this broker uses.
pub(crate) fn elsewhere(migration: &MigrationRecord, compute: &ComputeView) -> Option<String> {
    let there = migration.status.compute_namespace.as_ref().filter(|there| **there != compute.namespace)?;
    Some(format!(
        "what it has deployed is in namespace {there} of {}, and this broker uses namespace {}: start the broker with \
         --compute-namespace={there} until nothing of it is left there",
        compute.cluster, compute.namespace
    ))
}

/// Takes the broker's finalizer off; whatever others put there stays. Migrations of older brokers have none.
pub(crate) fn release(migration: &MigrationRecord) -> Option<Action> {
    migration.is_held().then(|| Action::ReleaseMigration {
        name: migration.name.clone(),
        uid: migration.uid.clone(),
        resource_version: migration.resource_version.clone(),
        keep: migration.finalizers.iter().filter(|held| *held != keys::MIGRATION_FINALIZER).cloned().collect(),
    })
}

pub(crate) fn delete(migration: &MigrationRecord) -> Action {
    Action::DeleteMigration { name: migration.name.clone(), uid: migration.uid.clone(), guards: Vec::new() }
}

/// Orders about a migration that is over; whether it is to be tried again from its beginning.
fn orders(migration: &MigrationRecord, plan: &mut Plan) -> bool {
    let is_rolled_back = status_writer::failure(&migration.status).is_some_and(|(why, _)| why == reason::ROLLED_BACK);
    let ordered = |order: &str| migration.orders.get(order).is_some_and(|value| value != "false");
    if is_rolled_back && ordered(keys::MIGRATION_RETRY) {
        return true;
    }
    for order in [keys::MIGRATION_RETRY, keys::MIGRATION_ROLLBACK] {
        if !ordered(order) {
            continue;
        }
        let why = match status_writer::failure(&migration.status) {
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
    false
}

/// Whether it keeps its object from moving again, and stays for that.
fn holds(snapshot: &RetentionSnapshot, migration: &MigrationRecord) -> bool {
    let is_rolled_back = status_writer::failure(&migration.status).is_some_and(|(why, _)| why == reason::ROLLED_BACK);
    is_rolled_back
        && match &snapshot.record {
            View::Unknown { .. } => true,
            View::Absent => false,
            View::Present(record) => {
                let changed = record.status.observed_generation > migration.status.object_generation;
                record.spec.provider.cluster == migration.spec.from.cluster_name && !changed
            }
        }
}

/// When it came to its end.
fn ended(migration: &MigrationRecord) -> Option<&Time> {
    let completed = status_writer::name(MigrationState::CutoverCompleted);
    let end = migration
        .status
        .conditions
        .iter()
        .find(|it| [FAILED, completed].contains(&it.type_.as_str()) && it.status == "True");
    end.map(|condition| &condition.last_transition_time)
}

/// Takes away what is left in the compute cluster, in steps.
fn clean(compute: &ComputeView, plan: &mut Plan) {
    let mut steps = <[Vec<Action>; 2]>::default();
    for (gvk, object) in compute.deployed.iter().chain(&compute.mirrored) {
        let namespace = Some(compute.namespace.clone());
        let target = Target::new(compute.cluster.clone(), gvk.clone(), namespace, object.name().to_owned());
        stage::take_away(&target, object, &mut steps);
    }
    for step in steps {
        plan.then(step);
    }
}
