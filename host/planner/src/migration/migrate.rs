//! A migration: the great steps between two copies, from its first look to the cutover. What one stage does is in `stage`, what
//! is mirrored for it in `mirror`, what comes after the end in `retention`.

use std::sync::Arc;

use resource_broker_api::{
    GroupVersionKind,
    broker::{MigrationRef, MigrationSpec, MigrationState},
    conditions::reason,
    keys,
    names::ClusterName,
    object::Object,
};
use serde_json::json;

use crate::{
    migration::{
        mirror,
        progress::{Progress, Stand},
        retention, stage,
        status_writer::{self, StatusWriter, is_over},
        under_way::{UnderWay, blocked_in, command, gvk, id_between, take_order},
    },
    model::{
        declared::{self, word},
        question::{Answers, Questions, TemplateAsk},
        snapshot::{MigrationRecord, Placement, Record, Snapshot, View},
    },
    plan::{Action, Guard, findings::Finding},
};

/// Takes the migration of an object whose new copy is there a step further.
pub(crate) fn advance(
    snapshot: &Snapshot,
    consumer: &Object,
    record: &Record,
    old: Option<&Arc<Object>>,
    new: &Object,
    answers: &Answers,
) -> Result<Progress, Box<Questions>> {
    let Some(spec) = spec(record) else { return Ok(Progress::wait("the record names no next provider")) };
    let there = match &snapshot.migration.object {
        View::Unknown { why, .. } => return Ok(Progress::wait(format!("Migrations cannot be read: {why}"))),
        View::Absent => None,
        View::Present(migration) => Some(migration.as_ref()),
    };
    let active = there.filter(|migration| migration.spec == spec && goes_on(migration));
    let choice = match choose(snapshot, &spec, active) {
        Choice::Unread(why) => return Ok(Progress::wait(why)),
        other => other,
    };
    let Some(migration) = active else {
        return Ok(make(snapshot, record, spec, there, &choice));
    };
    // Stages may come after the one that brought it here.
    if migration.status.state == Some(MigrationState::CutoverInProgress) && migration.status.stage.is_none() {
        return Ok(Progress::Switch);
    }
    if let Some(progress) = take_up(snapshot, consumer, record, migration, &choice) {
        return Ok(progress);
    }
    if let Some(why) = retention::elsewhere(migration, &snapshot.migration.compute) {
        return Ok(blocked(snapshot, migration, &why));
    }
    let configuration = match &choice {
        Choice::Stages { spec, .. } => spec,
        Choice::Blocked(why) => return Ok(blocked(snapshot, migration, why)),
        Choice::None | Choice::Unread(_) => return Ok(Progress::Switch),
    };
    let Some(old) = old else {
        let from = &spec.from.cluster_name;
        let why = format!(
            "the copy at {from} is not there, or cannot be read: it goes on when it is there; {} gives it up",
            command("rollback", migration)
        );
        return Ok(blocked(snapshot, migration, &why));
    };
    let under_way = UnderWay { snapshot, migration, old, new, configuration, answers };
    go_on(under_way)
}

/// What decides about an object's stages.
enum Choice {
    /// Nothing: it moves without any.
    None,
    /// This configuration, or, where it has no name, a Plugin alone.
    Stages { name: Option<String>, spec: String },
    /// People have to mend something first.
    Blocked(String),
    /// It cannot be told yet.
    Unread(String),
}

fn choose(snapshot: &Snapshot, spec: &MigrationSpec, active: Option<&MigrationRecord>) -> Choice {
    let configurations = match &snapshot.migration.configurations {
        View::Unknown { why, .. } => return Choice::Unread(format!("MigrationConfigurations cannot be read: {why}")),
        View::Absent => &Vec::new(),
        View::Present(all) => all,
    };
    let (from, to) = (gvk(&spec.from.gvk), gvk(&spec.to.gvk));
    let matching: Vec<_> = configurations.iter().filter(|it| it.from == from && it.to == to).collect();
    let used = active.and_then(|migration| migration.status.configuration.as_deref());
    match matching.as_slice() {
        [one] => match &one.invalid {
            None => Choice::Stages { name: Some(one.name.clone()), spec: one.spec.clone() },
            Some(why) => Choice::Blocked(format!("MigrationConfiguration {} cannot be used: {why}", one.name)),
        },
        [] if snapshot.migration.plugin => {
            let spec = json!({"from": spec.from.gvk, "to": spec.to.gvk}).to_string();
            Choice::Stages { name: None, spec }
        }
        [] => match (used, active) {
            (Some(name), _) => Choice::Blocked(format!(
                "MigrationConfiguration {name} is not there any more: create it again, or roll the migration back"
            )),
            (None, Some(migration)) if migration.status.id.is_some() => Choice::Blocked(
                "neither a MigrationConfiguration nor a Plugin says any more what its stages are: put back what did, or roll the \
                 migration back"
                    .into(),
            ),
            _ => Choice::None,
        },
        several => {
            let names: Vec<&str> = several.iter().map(|it| it.name.as_str()).collect();
            Choice::Blocked(format!(
                "MigrationConfigurations {} are all for moves from {from} to {to}, and none of them is used: keep one",
                names.join(" and ")
            ))
        }
    }
}

/// There is no migration of this move yet: it is made, once what is there of another one is out of the way.
fn make(
    snapshot: &Snapshot,
    record: &Record,
    spec: MigrationSpec,
    there: Option<&MigrationRecord>,
    choice: &Choice,
) -> Progress {
    if let Some(other) = there.filter(|other| !is_over(&other.status)) {
        if other.is_deleting() {
            return going(other);
        }
        let write = abandon(snapshot, "the object goes elsewhere", None);
        return Progress::act("an earlier migration is given up", write);
    }
    match (choice, there) {
        (Choice::None | Choice::Unread(_), _) => Progress::Switch,
        (Choice::Stages { .. } | Choice::Blocked(_), None) => {
            let create = Action::CreateMigration { name: record.name.clone(), spec: Box::new(spec) };
            Progress::act("its migration begins", vec![create])
        }
        (Choice::Stages { .. } | Choice::Blocked(_), Some(other)) if other.is_deleting() => going(other),
        (Choice::Stages { .. } | Choice::Blocked(_), Some(other)) => {
            if let Some(what) = retention::left(other, &snapshot.migration.compute) {
                return Progress::wait(format!("what an earlier migration left in compute goes first: {what}"));
            }
            let steps = vec![retention::release(other).into_iter().collect(), vec![retention::delete(other)]];
            Progress::steps("its migration begins", steps)
        }
    }
}

/// Somebody deleted the Migration: the move waits until nothing of it is left, which is not this pass's to see to.
fn going(migration: &MigrationRecord) -> Progress {
    let name = &migration.name;
    Progress::wait(format!("Migration {name} is being deleted; it is made anew when what it had in compute is gone"))
}

/// Whether a migration is under way: one that is over is not, nor one that is being deleted.
fn goes_on(migration: &MigrationRecord) -> bool {
    !migration.is_deleting() && !is_over(&migration.status)
}

/// The first look at a migration, and people's orders about it.
fn take_up(
    snapshot: &Snapshot,
    consumer: &Object,
    record: &Record,
    migration: &MigrationRecord,
    choice: &Choice,
) -> Option<Progress> {
    let mut writer = StatusWriter::of(migration, &snapshot.now);
    let ordered = |order: &str| migration.orders.get(order).is_some_and(|value| value != "false");
    let generation = consumer.meta.generation;
    let is_new = matches!(migration.status.state, None | Some(MigrationState::New));
    if is_new && matches!(choice, Choice::None) {
        // What it was made for went before it was looked at.
        return None;
    }
    if is_new {
        let status = writer.status();
        status.id = Some(id(record));
        status.object_generation = generation;
        status.compute_namespace = Some(snapshot.migration.compute.namespace.clone());
        if let Choice::Stages { name, .. } = choice {
            status.configuration.clone_from(name);
        }
        let message = format!("from {} to {}", migration.spec.from.cluster_name, migration.spec.to.cluster_name);
        return Some(Progress::act("its migration begins", writer.reach(MigrationState::Pending, &message).write()));
    }
    if let Choice::Stages { name, .. } = choice
        && migration.status.configuration != *name
    {
        writer.status().configuration.clone_from(name);
        return Some(Progress::act("which configuration its stages are from is written down", writer.write()));
    }
    if let Some((_, why)) = status_writer::failure(&migration.status) {
        if !ordered(keys::MIGRATION_RETRY) {
            return Some(Progress::wait(format!("its migration failed: {why}")).shown_as(Stand::Failed));
        }
        let steps = vec![stage::retry(writer), vec![take_order(migration, keys::MIGRATION_RETRY)]];
        return Some(Progress::steps("its migration is tried again", steps));
    }
    // An order that came when it was not needed any more.
    let stale = ordered(keys::MIGRATION_RETRY).then(|| take_order(migration, keys::MIGRATION_RETRY));
    stale.map(|stale| Progress::act("an order is taken off", vec![stale]))
}

/// A person's order that the object stays where it is: carried out on the Migration first, then on the record.
pub(crate) fn rollback(snapshot: &Snapshot, consumer: &Object, record: &Record) -> Option<Progress> {
    let migration = snapshot.migration.object.present().filter(|it| Some(&it.spec) == spec(record).as_ref())?;
    let generation = consumer.meta.generation;
    if let Some((why, message)) = status_writer::failure(&migration.status).filter(|_| is_over(&migration.status)) {
        let is_this = why == reason::ROLLED_BACK && migration.status.object_generation == generation;
        return is_this.then(|| Progress::RollBack(message.to_owned()));
    }
    let ordered = migration.orders.get(keys::MIGRATION_ROLLBACK).is_some_and(|value| value != "false");
    if !ordered || !goes_on(migration) {
        return None;
    }
    let mut writer = StatusWriter::of(migration, &snapshot.now);
    writer.status().object_generation = generation;
    let message = format!("{} serves on, as was ordered", migration.spec.from.cluster_name);
    let write = writer.fail(reason::ROLLED_BACK, &message).write();
    let steps = vec![write, vec![take_order(migration, keys::MIGRATION_ROLLBACK)]];
    Some(Progress::steps(message, steps))
}

/// The end of a migration whose new copy is another object than the one that its stages filled: somebody at the provider
/// deleted that one. What they did has to be done anew. Written before the record knows the new copy.
pub(crate) fn lost_copy(snapshot: &Snapshot, record: &Record) -> Option<Vec<Action>> {
    let (new, known) = (snapshot.own_next_copy()?, record.next_uid()?);
    let migration = snapshot.migration.object.present()?;
    let is_its = !migration.status.stages.is_empty() && Some(&migration.spec) == spec(record).as_ref();
    if new.uid() == known || !is_its || !goes_on(migration) {
        return None;
    }
    let why = format!(
        "the copy at {} was replaced by another one, and with it went what the stages had brought there; the migration \
         begins anew",
        migration.spec.to.cluster_name
    );
    Some(abandon(snapshot, &why, None))
}

fn go_on(under_way: UnderWay<'_>) -> Result<Progress, Box<Questions>> {
    let UnderWay { migration, old, new, answers, .. } = under_way;
    let state = migration.status.state.unwrap_or_default();
    if state == MigrationState::Pending && !has_begun(Some(old), new) {
        let to = &migration.spec.to.cluster_name;
        return Ok(under_way.waits(reason::STAGE_WAITING, format!("{to} is still making its copy")));
    }
    let has_begun = !migration.status.stages.is_empty();
    let mirrored = mirror::sync(under_way, has_begun);
    if let Some(progress) = mirrored.hold(under_way, has_begun) {
        return Ok(progress);
    }
    let Some(stages) = &answers.stages else { return Err(under_way.ask(TemplateAsk::Stages)) };
    let stages = match under_way.answered(stages) {
        Ok(stages) => stages,
        Err(progress) => return Ok(progress),
    };
    let progress = if stages.is_empty() && !has_begun {
        let message = "there are no stages; the new copy takes over when it is ready";
        let mut writer = under_way.writer();
        writer.reach(MigrationState::CutoverInProgress, message).progressing(&Finding::yes(reason::CUTOVER, message));
        Progress::act(message, writer.write())
    } else {
        stage::advance(under_way, stages)?
    };
    Ok(mirrored.beside(progress))
}

/// Something that is not the broker's to mend is in the way of a migration.
fn blocked(snapshot: &Snapshot, migration: &MigrationRecord, why: &str) -> Progress {
    blocked_in(StatusWriter::of(migration, &snapshot.now), why)
}

/// The migration that belongs to the record's move.
fn spec(record: &Record) -> Option<MigrationSpec> {
    let end = |placement: Placement<'_>| {
        let target = record.target(&placement)?;
        let gvk = target.gvk;
        Some(MigrationRef {
            gvk: GroupVersionKind { group: gvk.group, version: gvk.version, kind: gvk.kind },
            name: target.name,
            namespace: target.namespace,
            cluster_name: target.cluster.to_string(),
        })
    };
    Some(MigrationSpec { from: end((&record.spec.provider).into())?, to: end(record.spec.next.as_ref()?.into())? })
}

/// What the names of everything that a migration deploys begin with: the same for the same move of the same record, so that
/// a Migration that was deleted by hand finds what it had deployed.
pub fn id(record: &Record) -> String {
    let next = record.spec.next.as_ref().map_or("", |next| next.cluster.as_str());
    id_between(&record.uid, &record.spec.provider.cluster, next)
}

/// Whether the consumer has the new provider's related resources by now.
pub(crate) fn hands_over(snapshot: &Snapshot) -> bool {
    let migration = snapshot.migration.object.present();
    migration.is_some_and(|migration| {
        goes_on(migration)
            && status_writer::reached(&migration.status, MigrationState::InitialCompleted)
            && snapshot.record.present().and_then(|record| spec(record)).as_ref() == Some(&migration.spec)
    })
}

/// Whether a person ordered that the object stays at `provider` as it is.
pub(crate) fn is_rolled_back(snapshot: &Snapshot, consumer: &Object, provider: &ClusterName) -> bool {
    snapshot.migration.object.present().is_some_and(|migration| {
        let rolled_back = status_writer::failure(&migration.status).is_some_and(|(why, _)| why == reason::ROLLED_BACK);
        rolled_back
            && migration.spec.from.cluster_name == provider.to_string()
            && migration.status.object_generation == consumer.meta.generation
    })
}

/// The writes that end a migration which is under way; none where there is none. Where the end of its object is not certain
/// (`guard`) it is left to whoever looks at migrations without a record.
pub(crate) fn abandon(snapshot: &Snapshot, why: &str, guard: Option<&Guard>) -> Vec<Action> {
    let migration = snapshot.migration.object.present().filter(|migration| goes_on(migration));
    let Some(migration) = migration.filter(|_| guard.is_none()) else { return Vec::new() };
    StatusWriter::of(migration, &snapshot.now).fail(reason::ABANDONED, why).write()
}

/// A migration that is under way although nothing moves: the switch was made, or the move was given up.
pub(crate) fn settle(snapshot: &Snapshot, record: &Record) -> Vec<Action> {
    let migration = snapshot.migration.object.present().filter(|migration| goes_on(migration));
    let Some(migration) = migration else { return Vec::new() };
    if migration.spec.to.cluster_name != record.spec.provider.cluster {
        return abandon(snapshot, "the object stays where it is", None);
    }
    let mut writer = StatusWriter::of(migration, &snapshot.now);
    let message = format!("{} serves the object now", migration.spec.to.cluster_name);
    writer.reach(MigrationState::CutoverCompleted, &message);
    writer.progressing(&Finding::no(reason::OVER, "it is complete"));
    writer.write()
}

/// Whether related resources of the next copy are worth having: a copy of a kind that reports no status declares none.
pub(crate) fn has_begun(old: Option<&Object>, new: &Object) -> bool {
    let reports = old.and_then(|old| old.field("status")).is_some_and(|status| word(Some(&status)).is_some());
    !reports || declared::is_time(new)
}
