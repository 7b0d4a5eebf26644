//! A copy at a provider that no record names: what a crash, a restored backup or a deleted Assignment left behind.
//!
//! It is taken away only where everything says that it is ours and that nobody needs it: the broker's marks, its
//! finalizer, its managed fields and its own mark; the consumer cluster is attached and read; in the caches and in uncached
//! reads, the object's record names other places, or neither the object nor its record is there. Of an object that lives it
//! may be the copy with the data: it stays until the one that the record names is as ready as this one, and as long as there is a
//! Migration that begins with it and was not completed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use resource_broker_api::{
    broker::MigrationState,
    conditions::reason,
    keys,
    names::{ClusterName, Role},
    object::Object,
};

use crate::{
    model::{
        ownership,
        snapshot::{Identity, Key, MigrationRecord, Placement, Record, Target, View},
    },
    plan::{
        About, Action, Event, Guard, Plan, State,
        text::{self, MAX_EVENT},
        writes,
    },
    relocation::relocate,
};

/// When a copy that may be needed is looked at again: nobody calls when it is not any more.
const AGAIN: Duration = Duration::from_secs(30);

/// All inputs of one copy.
#[derive(Clone, Debug)]
pub struct OrphanSnapshot {
    /// What this broker marks its copies with, where it could find that out.
    pub broker: Option<Arc<str>>,
    /// The copy's place.
    pub target: Target,
    /// The copy; `None` where it went.
    pub copy: Option<Arc<Object>>,
    /// The record of the object that it claims. One that names this copy is not asked about.
    pub record: View<Arc<Record>>,
    /// Whether a record names it: its place, or its UID under whatever name its cluster has.
    pub named: bool,
    /// Which clusters stand behind the names that are known.
    pub identities: Arc<BTreeMap<ClusterName, Identity>>,
    /// The consumer object that it claims; `None` where that cluster is not attached.
    pub consumer: Option<View<()>>,
    /// The copy that the record names as the one that serves; `None` where its cluster is not attached.
    pub serving: Option<View<Arc<Object>>>,
    /// The Migration of the object that it claims.
    pub migration: View<Arc<MigrationRecord>>,
    /// Whether people have been told that this copy is kept.
    pub told: bool,
}

/// The consumer object that a copy claims to be of, if its marks agree with its name.
pub fn claim(target: &Target, copy: &Object) -> Option<Key> {
    let consumer = ClusterName::parse(copy.annotation(keys::CONSUMER_CLUSTER)?)?;
    let name = copy.annotation(keys::CONSUMER_NAME)?.to_owned();
    let namespace = ownership::claimed_namespace(copy).map(str::to_owned);
    let key = Key { consumer, gvk: target.gvk.clone(), namespace, name };
    let is_its = |(namespace, name): &(Option<String>, String)| *namespace == target.namespace && *name == target.name;
    (key.consumer.role == Role::Consumer && key.copy_locations().iter().any(is_its)).then_some(key)
}

/// What is to be done about a copy.
pub fn plan(snapshot: &OrphanSnapshot) -> Plan {
    let Some(copy) = &snapshot.copy else { return Plan::default() };
    let Some(key) = claim(&snapshot.target, copy) else { return Plan::default() };
    let is_ours = copy.has_finalizer(keys::GENERIC_FINALIZER)
        && copy.is_applied()
        && copy.annotation(keys::BROKER) == snapshot.broker.as_deref();
    if !is_ours || snapshot.named {
        return Plan::default();
    }
    match (&snapshot.record, &snapshot.consumer) {
        (View::Absent, Some(View::Absent)) => {
            take_away(snapshot, copy, vec![Guard::Gone(key.target()), Guard::NoRecord(key.record_name())])
        }
        (View::Present(record), Some(View::Present(()))) => {
            let not_named = Guard::NotNamed(key.record_name(), snapshot.target.clone());
            // Somebody has decided about a copy that is being deleted.
            if copy.is_deleting() {
                return take_away(snapshot, copy, vec![not_named]);
            }
            // The recorded place may be this one, seen under another name.
            if is_same_cluster(snapshot, record) {
                return Plan::default();
            }
            match serving(snapshot, copy, &key, record) {
                Ok(lives) => take_away(snapshot, copy, vec![not_named, lives]),
                Err(why) => keep(snapshot, record, &why),
            }
        }
        // Nobody calls when its record is made.
        (View::Absent, Some(View::Present(()))) => {
            let mut plan = Plan::wait(State::Waiting, "its object has no record");
            plan.again_in(AGAIN);
            plan
        }
        _ => Plan::default(),
    }
}

/// Whether a place that the record names is in the cluster of this copy, which another name of it shows.
fn is_same_cluster(snapshot: &OrphanSnapshot, record: &Record) -> bool {
    let of = |cluster: &ClusterName| snapshot.identities.get(cluster).and_then(|known| known.fingerprint.as_deref());
    let Some(here) = of(&snapshot.target.cluster) else { return false };
    let places = std::iter::once(&record.spec.provider).chain(&record.spec.next);
    let mut there = places.filter(|place| place.cluster != snapshot.target.cluster.to_string());
    there.any(|place| {
        let known = ClusterName::parse(&place.cluster).and_then(|cluster| of(&cluster).map(str::to_owned));
        known.or_else(|| place.fingerprint.clone()).as_deref() == Some(here)
    })
}

fn take_away(snapshot: &OrphanSnapshot, copy: &Object, guards: Vec<Guard>) -> Plan {
    let mut plan = Plan { state: State::Deleting, ..Plan::default() };
    if !copy.is_deleting() {
        plan.then([Action::Delete { target: snapshot.target.clone(), uid: copy.uid().into(), guards }]);
    } else if copy.finalizers() == [keys::GENERIC_FINALIZER] {
        plan.then([writes::release(snapshot.target.clone(), copy, guards)]);
    }
    plan
}

/// That the copy which the record names is there and as ready as this one, to be confirmed; or why it cannot take this one's
/// place yet.
fn serving(snapshot: &OrphanSnapshot, copy: &Object, key: &Key, record: &Record) -> Result<Guard, String> {
    if let Some(why) = migrates(snapshot) {
        return Err(why);
    }
    if let Some(next) = record.next() {
        return Err(format!("the object is on its way to {next}"));
    }
    let placement = Placement::from(&record.spec.provider);
    let named = record.provider().zip(record.target(&placement));
    let (provider, target) = named.ok_or_else(|| "the record names no provider cluster".to_owned())?;
    let there = match &snapshot.serving {
        None => return Err(format!("{provider}, which has the object, is not attached to the broker")),
        Some(View::Unknown { why, .. }) => return Err(format!("the copy at {provider} cannot be read: {why}")),
        Some(View::Absent) => return Err(format!("the copy at {provider} is not there yet")),
        Some(View::Present(there)) => there,
    };
    if !ownership::is_ours(there, key, record.copy_uid(), snapshot.broker.as_deref()) {
        return Err(format!("what is at {provider} under the copy's name is somebody else's"));
    }
    if there.uid() == copy.uid() {
        return Err(format!("it is the copy at {provider} itself, seen under another name"));
    }
    if there.is_deleting() {
        return Err(format!("the copy at {provider} is being deleted"));
    }
    match relocate::unready(copy.field("status").as_ref(), true, there.field("status").as_ref(), &provider) {
        Some(why) => Err(why),
        None => Ok(Guard::Lives(target, there.uid().into())),
    }
}

/// A migration begins with this copy, and has not been completed: what it holds may be nowhere else.
fn migrates(snapshot: &OrphanSnapshot) -> Option<String> {
    let migration = match &snapshot.migration {
        View::Unknown { why, .. } => return Some(format!("Migrations cannot be read: {why}")),
        View::Absent => return None,
        View::Present(migration) => migration,
    };
    let (from, target) = (&migration.spec.from, &snapshot.target);
    let is_it = from.cluster_name == target.cluster.to_string()
        && from.name == target.name
        && from.namespace == target.namespace;
    let is_complete = migration.status.state == Some(MigrationState::CutoverCompleted);
    (is_it && !is_complete).then(|| {
        format!(
            "Migration {}, which was not completed, migrates from it; this ends with that Migration",
            migration.name
        )
    })
}

/// Nothing is done for now, and people are told once.
fn keep(snapshot: &OrphanSnapshot, record: &Record, why: &str) -> Plan {
    let mut plan = Plan::wait(State::Blocked, why);
    plan.again_in(AGAIN);
    let is_unread = matches!(snapshot.serving, Some(View::Unknown { failing: false, .. }));
    if is_unread || matches!(snapshot.migration, View::Unknown { failing: false, .. }) {
        // A process that begins reads one cluster after the other.
        plan.state = State::Waiting;
        return plan;
    }
    let message = format!(
        "{} is a copy of this object too, and no record names it. It may hold what the other copy does not, and is kept until \
         that one is as ready: {why}. Whoever does not need it may delete it there",
        snapshot.target
    );
    let about = About::Record(record.name.clone(), record.uid.clone());
    let (reason, message) = (reason::COPY_KEPT.to_owned(), text::clip(&message, MAX_EVENT));
    plan.then((!snapshot.told).then_some(Action::Event(Event { about, warning: true, reason, message })));
    plan
}
