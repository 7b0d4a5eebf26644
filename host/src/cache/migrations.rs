//! The broker's Migrations and `MigrationConfiguration`s, what the compute cluster holds of the first, and which keys a
//! change of any of these concerns.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use resource_broker_api::{
    GroupVersionKind,
    broker::{MigrationConfigurationStatus, MigrationSpec, MigrationState, MigrationStatus},
    conditions::{VALID, reason},
    keys,
    names::{ClusterName, Gvk},
    object::Object,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Cache, Dirty, HeldId, Inner, StoreId, What, WorkKey, indexes::key_of_record, own, store::Change};
use crate::planner::model::snapshot::{Configuration, Key, MigrationRecord, Target};

/// What the annotations begin with that people give orders by.
const ORDERS: &str = "broker.platform-mesh.io/";

/// Indexes over Migrations, their configurations, and their objects in the compute cluster.
#[derive(Debug, Default)]
pub(super) struct Migrations {
    /// By name, which is the Assignment's.
    pub(super) records: HashMap<String, Arc<MigrationRecord>>,
    /// Migrations that went, by somebody's hand, before what they have in the compute cluster. By name.
    pub(super) lost: HashMap<String, Arc<MigrationRecord>>,
    /// The Migrations' names by the id that their status has.
    names: HashMap<String, String>,
    /// By name.
    pub(super) configurations: BTreeMap<String, Known>,
    /// Stage resources by the id on their label.
    pub(super) deployed: Labelled,
    /// Mirrored related resources by the id on their label.
    pub(super) mirrored: Labelled,
    /// Names of mirrors that are being made, with the migration's id and how many objects it makes under the name.
    making: HashMap<String, (String, usize)>,
}

/// A `MigrationConfiguration` with what the planner need not know.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) configuration: Arc<Configuration>,
    pub(super) deleting: bool,
}

impl Migrations {
    fn has_objects(&self, id: &str) -> bool {
        self.deployed.of(id).next().is_some() || self.mirrored.of(id).next().is_some()
    }
}

/// Objects of the compute cluster by the migration's id on their label.
#[derive(Debug, Default)]
pub(super) struct Labelled(HashMap<String, BTreeSet<HeldId>>);

impl Labelled {
    /// Takes a change in; the ids that it concerns.
    fn changed(&mut self, gvk: &Gvk, change: &Change) -> BTreeSet<String> {
        let entry = |object: &Arc<Object>| {
            let held = (gvk.clone(), object.namespace().unwrap_or_default().to_owned(), object.name().to_owned());
            Some((object.label(keys::MIGRATION_ID)?.to_owned(), held))
        };
        let (old, new) = (change.old.as_ref().and_then(entry), change.new.as_ref().and_then(entry));
        if let Some((id, held)) = &old
            && let Some(all) = self.0.get_mut(id)
        {
            all.remove(held);
            if all.is_empty() {
                self.0.remove(id);
            }
        }
        if let Some((id, held)) = &new {
            self.0.entry(id.clone()).or_default().insert(held.clone());
        }
        [old, new].into_iter().flatten().map(|(id, _)| id).collect()
    }

    /// What carries this id.
    pub(super) fn of(&self, id: &str) -> impl Iterator<Item = &HeldId> {
        self.0.get(id).into_iter().flatten()
    }

    /// Whose, other than this one's, a name is.
    fn holder(&self, name: &str, id: &str) -> Option<&str> {
        let mut others = self.0.iter().filter(|(other, _)| other.as_str() != id);
        others.find(|(_, held)| held.iter().any(|(.., there)| there == name)).map(|(other, _)| other.as_str())
    }

    /// Nothing of it is known any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Nothing of this kind is known any more.
    pub(super) fn forget_kind(&mut self, kind: &Gvk) {
        self.0.retain(|_, all| {
            all.retain(|(gvk, ..)| gvk != kind);
            !all.is_empty()
        });
    }
}

impl Inner {
    pub(super) fn migration_changed(&mut self, change: &Change, dirty: &mut Dirty) {
        if let Some(old) = &change.old
            && let Some(before) = self.migrations.records.remove(old.name())
            && let Some(id) = &before.status.id
        {
            if change.new.is_none() && self.migrations.has_objects(id) {
                self.migrations.lost.insert(before.name.clone(), before);
            } else {
                self.migrations.names.remove(id);
            }
        }
        if let Some(record) = change.new.as_ref().and_then(|object| parse_migration(object)) {
            if let Some(id) = &record.status.id {
                self.migrations.names.insert(id.clone(), record.name.clone());
                // The same move of the same object has the same id: what was lost is found again.
                self.migrations.lost.retain(|_, lost| lost.status.id.as_ref() != Some(id));
            }
            self.call_watches(&record);
            self.migrations.records.insert(record.name.clone(), Arc::new(record));
        }
        if let Some(object) = change.new.as_ref().or(change.old.as_ref()) {
            self.migration_keys(object.name(), dirty);
        }
    }

    /// Forgets a Migration that went, once nothing of it is left.
    pub(super) fn forget_lost(&mut self, name: &str) {
        let id = self.migrations.lost.get(name).and_then(|lost| lost.status.id.clone());
        if let Some(id) = id.filter(|id| !self.migrations.has_objects(id)) {
            self.migrations.lost.remove(name);
            self.migrations.names.remove(&id);
        }
    }

    /// The object that a Migration moves, and the Migration itself.
    pub(super) fn migration_keys(&self, name: &str, dirty: &mut Dirty) {
        let object = self.records.get(name).and_then(|record| key_of_record(record));
        dirty.now.extend(object.map(WorkKey::Object));
        dirty.now.push(WorkKey::Migration(name.to_owned()));
    }

    /// Every Migration, and the object that it moves.
    pub(super) fn all_migrations(&self, dirty: &mut Dirty) {
        self.migrations.records.keys().for_each(|name| self.migration_keys(name, dirty));
    }

    pub(super) fn configuration_changed(&mut self, change: &Change, dirty: &mut Dirty) {
        let Some(name) = change.new.as_ref().or(change.old.as_ref()).map(|object| object.name().to_owned()) else {
            return;
        };
        let old = self.migrations.configurations.remove(&name);
        if let Some(new) = change.new.as_ref().and_then(|object| parse_configuration(object)) {
            self.migrations.configurations.insert(name.clone(), new);
        }
        dirty.now.extend(self.configuration_target(&name).map(WorkKey::Configuration));
        let new = self.migrations.configurations.get(&name).map(|known| known.configuration.clone());
        for configuration in old.iter().map(|known| &known.configuration).chain(&new) {
            let rivals = self.rivals(configuration);
            let targets = rivals.iter().filter_map(|rival| self.configuration_target(rival));
            dirty.now.extend(targets.map(WorkKey::Configuration));
            self.movers(configuration, dirty);
        }
    }

    /// Objects on their way whose kind a configuration is for.
    fn movers(&self, configuration: &Configuration, dirty: &mut Dirty) {
        let moving = self.records.values().filter(|record| record.spec.next.is_some());
        let keys = moving.filter_map(|record| key_of_record(record));
        dirty.now.extend(keys.filter(|key| is_for(configuration, key)).map(WorkKey::Object));
    }

    /// Where a configuration is; `None` before the broker watches its own objects.
    pub(super) fn configuration_target(&self, name: &str) -> Option<Target> {
        let id = self.stores.keys().find(|id| id.what == What::Configurations)?;
        let namespace = Some(self.scope.namespace.clone());
        Some(Target::new(id.cluster.clone(), own::configurations().gvk, namespace, name.to_owned()))
    }

    /// Other configurations for the same pair that are there to stay.
    pub(super) fn rivals(&self, of: &Configuration) -> Vec<String> {
        let rivals = self.migrations.configurations.values().filter(|known| {
            let other = &known.configuration;
            !known.deleting && other.name != of.name && (&other.from, &other.to) == (&of.from, &of.to)
        });
        rivals.map(|known| known.configuration.name.clone()).collect()
    }

    /// Every configuration for which `fits` holds.
    pub(super) fn configurations(&self, fits: impl Fn(&Configuration) -> bool, dirty: &mut Dirty) {
        let names = self.migrations.configurations.values().map(|known| &known.configuration);
        let targets = names.filter(|it| fits(it)).filter_map(|it| self.configuration_target(&it.name));
        dirty.now.extend(targets.map(WorkKey::Configuration));
    }

    pub(super) fn compute_changed(&mut self, id: &StoreId, change: &Change, dirty: &mut Dirty) {
        let ids = match &id.what {
            What::Stage(gvk) => self.migrations.deployed.changed(gvk, change),
            What::Mirrors(gvk) => self.migrations.mirrored.changed(gvk, change),
            _ => return,
        };
        for id in ids {
            if let Some(name) = self.migrations.names.get(&id).cloned() {
                self.migration_keys(&name, dirty);
            }
        }
        // A name in compute is free again, which another migration may wait for.
        if change.new.is_none() && matches!(id.what, What::Mirrors(_)) {
            let waiting = self.migrations.records.values().filter(|migration| !is_over(migration));
            let names: Vec<String> = waiting.map(|migration| migration.name.clone()).collect();
            for name in &names {
                self.migration_keys(name, dirty);
            }
        }
    }
}

impl Cache {
    /// Whether the migration with this id is there to stay, as far as is known.
    pub fn is_migrating(&self, id: &str) -> bool {
        let inner = self.lock();
        let migration = inner.migrations.names.get(id).and_then(|name| inner.migrations.records.get(name));
        migration.is_some_and(|migration| !migration.is_deleting())
    }
}

/// A mirror's name in the compute cluster, which a migration has while it makes the mirror. When this is dropped, what was made is in
/// the cache and holds the name.
pub struct MirrorName {
    cache: Arc<Cache>,
    name: String,
}

impl Cache {
    /// Takes a mirror's name for a migration, whatever the mirror's kind.
    ///
    /// # Errors
    ///
    /// The id of the migration that has it.
    pub fn take_mirror_name(self: &Arc<Self>, name: &str, id: &str) -> Result<MirrorName, String> {
        let mut inner = self.lock();
        if let Some(other) = inner.migrations.mirrored.holder(name, id) {
            return Err(other.to_owned());
        }
        let (holder, count) = inner.migrations.making.entry(name.to_owned()).or_insert_with(|| (id.to_owned(), 0));
        if holder != id {
            return Err(holder.clone());
        }
        *count += 1;
        drop(inner);
        Ok(MirrorName { cache: self.clone(), name: name.to_owned() })
    }
}

impl Drop for MirrorName {
    fn drop(&mut self) {
        let mut inner = self.cache.lock();
        if let Some((_, count)) = inner.migrations.making.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                inner.migrations.making.remove(&self.name);
            }
        }
    }
}

/// Whether a configuration is for moves of the key's object, in any of its versions.
pub(super) fn is_for(configuration: &Configuration, key: &Key) -> bool {
    let is_it = |gvk: &Gvk| (&gvk.group, &gvk.kind) == (&key.gvk.group, &key.gvk.kind);
    is_it(&configuration.from) && is_it(&configuration.to)
}

/// Whether a migration is over.
pub(super) fn is_over(migration: &MigrationRecord) -> bool {
    matches!(migration.status.state, Some(MigrationState::CutoverCompleted | MigrationState::Failed))
}

fn field<T: DeserializeOwned>(object: &Object, name: &str) -> Option<T> {
    serde_json::from_str(object.fields.get(name)?.get()).ok()
}

fn parse_migration(object: &Object) -> Option<MigrationRecord> {
    let spec: MigrationSpec = field(object, "spec")?;
    let annotations = object.meta.annotations.iter().flatten();
    Some(MigrationRecord {
        name: object.name().to_owned(),
        namespace: object.namespace().unwrap_or_default().to_owned(),
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_owned(),
        generation: object.meta.generation,
        deleted_at: object.meta.deletion_timestamp.clone(),
        finalizers: object.finalizers().to_vec(),
        orders: annotations
            .filter(|(name, _)| name.starts_with(ORDERS))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        spec,
        status: field::<MigrationStatus>(object, "status").unwrap_or_default(),
    })
}

/// The pair of a configuration, whatever its stages are.
#[derive(Deserialize)]
struct Pair {
    from: GroupVersionKind,
    to: GroupVersionKind,
}

fn parse_configuration(object: &Object) -> Option<Known> {
    let spec: &RawValue = object.fields.get("spec")?;
    let pair: Pair = serde_json::from_str(spec.get()).ok()?;
    let gvk = |gvk: &GroupVersionKind| Gvk::new(&gvk.group, &gvk.version, &gvk.kind);
    let configuration = Configuration {
        name: object.name().to_owned(),
        from: gvk(&pair.from),
        to: gvk(&pair.to),
        spec: spec.get().to_owned(),
        invalid: invalid(object),
    };
    Some(Known { configuration: Arc::new(configuration), deleting: object.is_deleting() })
}

/// Why this generation of a configuration was refused.
fn invalid(object: &Object) -> Option<String> {
    let status: MigrationConfigurationStatus = field(object, "status")?;
    let refused = |c: &&_| {
        let c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition = c;
        c.type_ == VALID && c.status == "False" && c.reason == reason::INVALID_CONFIGURATION
    };
    let condition = status.conditions.iter().find(refused)?;
    (condition.observed_generation == object.meta.generation).then(|| condition.message.clone())
}

/// The compute cluster with the one namespace of it that the broker uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compute {
    /// The cluster.
    pub cluster: ClusterName,
    /// The namespace.
    pub namespace: String,
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::Role;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        planner::model::snapshot::{Memory, View},
        testing::{assignment, key, object, records, scope},
    };

    fn thing() -> Gvk {
        key("a").gvk
    }

    fn job() -> Gvk {
        Gvk::new("batch", "v1", "Job")
    }

    fn store(what: What) -> StoreId {
        let role = if matches!(what, What::Stage(_) | What::Mirrors(_)) { Role::Compute } else { Role::Coordination };
        let name = if role == Role::Compute { "compute" } else { "coord" };
        StoreId { cluster: ClusterName::new(role, name), what }
    }

    /// A cache that has read everything, with an object `a` on its way from p to q.
    fn cache() -> Cache {
        let cache = Cache::new(scope(vec![thing()], vec![]));
        for id in [records(), store(What::Migrations), store(What::Configurations), store(What::Stage(job()))] {
            cache.attach(&id.cluster);
            cache.open(&id);
            cache.listed(&id, "1", vec![]);
        }
        cache.seen(&records(), assignment(&key("a"), 2, "p", Some("q")));
        cache
    }

    fn configuration(name: &str, to: &str, version: u64, status: &Value) -> Object {
        let gvk = |version: &str| json!({"group": "g.io", "version": version, "kind": "Thing"});
        object(&json!({
            "metadata": {
                "name": name, "namespace": "broker", "uid": name, "generation": 3,
                "resourceVersion": version.to_string(),
            },
            "spec": {"from": gvk("v1"), "to": gvk(to)},
            "status": status,
        }))
    }

    fn migration(version: u64, id: &str) -> Object {
        let gvk = json!({"group": "batch", "version": "v1", "kind": "Job"});
        let end = |provider: &str| json!({"gvk": gvk, "name": "n", "clusterName": format!("provider#{provider}")});
        let resources = json!([{"template": "run", "gvk": gvk, "name": format!("{id}-run")}]);
        object(&json!({
            "metadata": {
                "name": key("a").record_name(), "namespace": "broker", "uid": "m",
                "resourceVersion": version.to_string(),
                "annotations": {keys::MIGRATION_RETRY: "true", "other.io/note": "x"},
            },
            "spec": {"from": end("p"), "to": end("q")},
            "status": {
                "state": "InitialInProgress", "id": id,
                "stages": [{"name": "copy", "state": "Running", "resources": resources}],
            },
        }))
    }

    fn deployed(id: &str, version: u64) -> Object {
        object(&json!({"metadata": {
            "name": format!("{id}-run"), "namespace": "compute", "uid": id, "resourceVersion": version.to_string(),
            "labels": {keys::MIGRATION_ID: id, keys::MIGRATION_STAGE: "copy"},
        }}))
    }

    fn looked_at(dirty: &Dirty) -> BTreeSet<String> {
        dirty.now.iter().map(ToString::to_string).collect()
    }

    fn names(keys: &[WorkKey]) -> BTreeSet<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    fn of_configuration(name: &str) -> WorkKey {
        let id = store(What::Configurations);
        let namespace = Some("broker".to_owned());
        WorkKey::Configuration(Target::new(id.cluster, own::configurations().gvk, namespace, name.into()))
    }

    #[test]
    fn a_configuration_concerns_its_rivals_and_the_objects_on_their_way() {
        let cache = cache();
        let id = store(What::Configurations);
        cache.seen(&id, configuration("one", "v1", 2, &json!({})));
        cache.seen(&id, configuration("apart", "v2", 3, &json!({})));
        let dirty = cache.seen(&id, configuration("two", "v1", 4, &json!({})));
        let moving = WorkKey::Object(key("a"));
        let expected = names(&[of_configuration("one"), of_configuration("two"), moving.clone()]);
        assert_eq!(looked_at(&dirty), expected);
        let Some(two) = dirty.now.iter().find_map(|key| match key {
            WorkKey::Configuration(target) if target.name == "two" => Some(target),
            _ => None,
        }) else {
            panic!("{dirty:?}");
        };
        assert_eq!(cache.configuration_snapshot(two).rivals, ["one"]);
        // It is for the other pair from now on: both who were its rivals and who are now are told.
        let dirty = cache.seen(&id, configuration("two", "v2", 5, &json!({})));
        let expected = [of_configuration("one"), of_configuration("two"), of_configuration("apart"), moving];
        assert_eq!(looked_at(&dirty), names(&expected));
        assert_eq!(cache.configuration_snapshot(two).unwatched, [Gvk::new("g.io", "v2", "Thing")]);
    }

    #[test]
    fn a_configuration_is_invalid_as_long_as_its_status_speaks_of_this_generation() {
        let condition = |reason: &str, generation: i64| {
            let status = json!({"conditions": [{
                "type": "Valid", "status": "False", "reason": reason, "message": "why", "observedGeneration": generation,
                "lastTransitionTime": "2020-01-01T00:00:00Z",
            }]});
            parse_configuration(&configuration("c", "v1", 1, &status)).unwrap().configuration.invalid.clone()
        };
        assert_eq!(condition("InvalidConfiguration", 3).as_deref(), Some("why"));
        assert_eq!(condition("InvalidConfiguration", 2), None, "it was changed since");
        assert_eq!(condition("Conflict", 3), None, "two for a pair are told apart from it");
    }

    #[test]
    fn what_a_stage_deployed_is_seen_by_its_migration() {
        let cache = cache();
        let both = names(&[WorkKey::Object(key("a")), WorkKey::Migration(key("a").record_name())]);
        assert_eq!(looked_at(&cache.seen(&store(What::Migrations), migration(2, "m1"))), both);
        let jobs = store(What::Stage(job()));
        assert_eq!(looked_at(&cache.seen(&jobs, deployed("m1", 2))), both);
        assert!(cache.seen(&jobs, deployed("stranger", 3)).now.is_empty());
        let (snapshot, needed) = cache.snapshot(&key("a"), Memory::default());
        assert!(needed.is_empty(), "{needed:?}");
        let View::Present(record) = &snapshot.migration.object else { panic!("{:?}", snapshot.migration.object) };
        assert_eq!(record.orders.keys().collect::<Vec<_>>(), [keys::MIGRATION_RETRY], "nobody else's annotations");
        let compute = &snapshot.migration.compute;
        let held: Vec<&str> = compute.deployed.iter().map(|(_, object)| object.name()).collect();
        assert_eq!(held, ["m1-run"]);
        assert!(compute.kinds[&job()].read.is_known());
        // It is gone with its cluster: that is not known to be deleted.
        cache.detach(&jobs.cluster);
        let (snapshot, needed) = cache.snapshot(&key("a"), Memory::default());
        assert!(!snapshot.migration.compute.kinds[&job()].read.is_known());
        assert_eq!(needed, [jobs]);
    }

    #[test]
    fn a_mirrors_name_is_one_migrations_while_it_is_made_and_after() {
        let cache = std::sync::Arc::new(cache());
        let first = cache.take_mirror_name("from-db", "m1").unwrap();
        assert_eq!(
            cache.take_mirror_name("from-db", "m2").err().as_deref(),
            Some("m1"),
            "another kind is another's too"
        );
        assert!(cache.take_mirror_name("to-db", "m2").is_ok());
        let again = cache.take_mirror_name("from-db", "m1").unwrap();
        drop(first);
        assert!(cache.take_mirror_name("from-db", "m2").is_err(), "both of its kinds count");
        drop(again);
        assert!(cache.take_mirror_name("from-db", "m2").is_ok());
        let secrets = store(What::Mirrors(Gvk::new("core", "v1", "Secret")));
        cache.open(&secrets);
        let mut mirror = deployed("m1", 2);
        mirror.meta.name = Some("from-db".into());
        cache.listed(&secrets, "1", vec![mirror]);
        assert_eq!(cache.take_mirror_name("from-db", "m2").err().as_deref(), Some("m1"));
        assert!(cache.take_mirror_name("from-db", "m1").is_ok());
    }

    #[test]
    fn a_migration_that_is_being_deleted_does_not_go_on() {
        let cache = cache();
        let migrations = store(What::Migrations);
        cache.seen(&migrations, migration(2, "m1"));
        assert!(cache.is_migrating("m1") && !cache.is_migrating("m2"));
        let mut deleted = migration(3, "m1");
        deleted.meta.deletion_timestamp = serde_json::from_value(json!("2020-01-01T00:00:00Z")).ok();
        deleted.meta.finalizers = Some(vec![keys::MIGRATION_FINALIZER.into(), "other.io/hold".into()]);
        cache.seen(&migrations, deleted);
        assert!(!cache.is_migrating("m1"));
        let (snapshot, _) = cache.history_snapshot(&key("a").record_name(), std::time::Duration::ZERO);
        assert!(snapshot.migration.is_some_and(|it| it.is_deleting() && it.is_held()));
    }

    #[test]
    fn without_the_kinds_there_are_no_migrations_and_that_is_known() {
        let cache = cache();
        for what in [What::Migrations, What::Configurations] {
            cache.state(&store(what), super::super::State::NotServed("no CRD".into()));
        }
        let (snapshot, _) = cache.snapshot(&key("a"), Memory::default());
        assert!(matches!(snapshot.migration.object, View::Absent));
        assert!(matches!(snapshot.migration.configurations, View::Present(all) if all.is_empty()));
    }
}
