//! What moves and migrations take of the model beside every pass's writes: the record's places, a place in the budget, the
//! Migration, what is remembered of verdicts, and the look at history.

use std::{collections::BTreeSet, time::Duration};

use resource_broker_api::{
    broker::{AssignmentSpec, MigrationSpec, MigrationStatus},
    keys,
    names::ClusterName,
};
use resource_broker_planner::{
    migration::retention::{self, RetentionSnapshot},
    model::snapshot::{MigrationRecord, Record, Target, View},
    plan::{Budget, Plan},
};

use super::{
    World, is_deleting,
    writes::{Done, Fault},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

impl World {
    /// Whether it is the consumer object, in whatever version.
    pub(super) fn is_the_object(&self, target: &Target) -> bool {
        *target == self.key.in_version(&target.gvk.version).target()
    }

    /// Whether it is of the object's kind, in whatever version.
    pub(super) fn is_of_the_kind(&self, target: &Target) -> bool {
        (&target.gvk.group, &target.gvk.kind) == (&self.key.gvk.group, &self.key.gvk.kind)
    }

    /// The providers that the record names for any reason.
    pub(crate) fn named(&self) -> BTreeSet<ClusterName> {
        self.record.iter().flat_map(Record::places).map(|place| place.cluster).collect()
    }

    /// Whether the record, as it is now, names a copy.
    pub(super) fn names(&self, copy: &Target) -> bool {
        self.named().contains(&copy.cluster)
    }

    /// Whether the record says that the object is served there, or moves there.
    pub(super) fn is_served(&self, target: &Target) -> bool {
        self.record.as_ref().is_some_and(|record| {
            [record.provider(), record.next()].into_iter().flatten().any(|at| at == target.cluster)
        })
    }

    /// Whether the object has left the place of a copy.
    pub(super) fn is_left(&self, target: &Target) -> bool {
        self.record.is_some() && !self.is_served(target)
    }

    /// The UIDs that the record knows of copies.
    pub(super) fn uids(&self) -> Vec<&str> {
        let Some(record) = &self.record else { return Vec::new() };
        let served = [&record.status.copy, &record.status.next].into_iter().flatten().map(|copy| copy.uid.as_str());
        let taken = std::iter::once(&record.spec.provider).chain(&record.spec.next).filter_map(|at| at.uid.as_deref());
        served.chain(record.spec.previous.iter().filter_map(|place| place.uid.as_deref())).chain(taken).collect()
    }

    /// The UIDs that the record names for use, where its object lives.
    pub(crate) fn serving(&self) -> BTreeSet<String> {
        let Some(record) = &self.record else { return BTreeSet::new() };
        let lives =
            |there: &Value| !is_deleting(there) && there["metadata"]["uid"] == record.spec.consumer.uid.as_str();
        let lives = self.object_unread.is_some() || self.object.as_ref().is_some_and(lives);
        record.serving().filter(|_| lives).map(str::to_owned).collect()
    }

    /// Replaces the record's spec, as a JSON patch with tests does.
    pub(super) fn update_record(
        &mut self,
        uid: &str,
        generation: Option<i64>,
        spec: &AssignmentSpec,
        budget: Option<&Budget>,
    ) -> Done {
        let is_full = |budget: &Budget| {
            let has_place = |at: &ClusterName| self.moves.get(at).is_none_or(|moves| *moves < budget.limit);
            !budget.providers.iter().all(has_place)
        };
        if budget.is_some_and(is_full) {
            return Err(Fault::Again);
        }
        let frozen = self.copy().map(|copy| copy["spec"].clone());
        let record = self.recorded(uid)?;
        if generation.is_some() && record.generation != generation {
            return Err(Fault::Again);
        }
        if record.spec == *spec {
            return Ok(false);
        }
        let begins = record.spec.next.is_none() && spec.next.is_some();
        record.spec = spec.clone();
        record.generation = record.generation.map(|generation| generation + 1);
        if begins {
            self.frozen = frozen;
        } else if spec.next.is_none() {
            self.frozen = None;
        }
        Ok(true)
    }

    /// Notes what no apply may do: change the copy that is left while its object moves, or make a third one beside two that
    /// can be reached.
    pub(super) fn check_copy(&mut self, target: &Target, is_new: bool) {
        let moves = self.record.as_ref().is_some_and(|record| record.spec.next.is_some());
        if moves && self.assigned().as_ref() == Some(&target.cluster) {
            self.wrongs.push(format!("{target} was changed while its object moves"));
        }
        let lives = |at: &&ClusterName| {
            let provider = &self.providers[*at];
            let copy = provider.copy.as_ref().is_some_and(|copy| !is_deleting(copy));
            **at != target.cluster
                && copy
                && !provider.detached
                && provider.copies_unread.is_none()
                && self.is_claimed_at(at)
        };
        if is_new && self.providers.keys().filter(lives).count() > 1 {
            self.wrongs.push(format!("{target} is a third copy"));
        }
    }

    pub(super) fn create_migration(&mut self, name: &str, spec: &MigrationSpec) -> Done {
        if self.migration.is_some() {
            return Err(Fault::Again);
        }
        self.migration = Some(MigrationRecord {
            name: name.into(),
            namespace: "broker".into(),
            uid: format!("uid-{}", self.next()),
            resource_version: "1".into(),
            generation: Some(1),
            deleted_at: None,
            finalizers: vec![keys::MIGRATION_FINALIZER.into()],
            orders: std::collections::BTreeMap::new(),
            spec: spec.clone(),
            status: MigrationStatus::default(),
        });
        Ok(true)
    }

    /// Somebody deletes the Migration, or the broker does: it goes with its last finalizer.
    pub(crate) fn delete_migration(&mut self) {
        if let Some(migration) = &mut self.migration {
            migration.deleted_at.get_or_insert(Time(self.now));
        }
        self.end_migration();
    }

    fn end_migration(&mut self) {
        self.migration.take_if(|migration| migration.is_deleting() && migration.finalizers.is_empty());
    }

    /// Takes the broker's finalizer off the Migration, and notes it where something of it is still in the compute cluster.
    pub(super) fn release_migration(&mut self, uid: &str, resource_version: &str, keep: &[String]) -> Done {
        let migration = self.migrating(uid)?;
        if migration.resource_version != resource_version {
            return Err(Fault::Again);
        }
        migration.finalizers = keep.to_vec();
        let version = self.next().to_string();
        let left = self.left_in_compute();
        if !left.is_empty() {
            self.wrongs.push(format!("the Migration was released before what it has in compute was gone: {left:?}"));
        }
        self.migrating(uid)?.resource_version = version;
        self.end_migration();
        Ok(true)
    }

    /// Notes what no write may do: take a Migration a step further that is being deleted.
    pub(super) fn report_migration(&mut self, uid: &str, status: &MigrationStatus) -> Done {
        let version = self.next().to_string();
        let migration = self.migrating(uid)?;
        let is_step = (migration.status.state, &migration.status.stages) != (status.state, &status.stages);
        migration.status = status.clone();
        migration.resource_version = version;
        if is_step && migration.is_deleting() {
            self.wrongs.push("a Migration went on that is being deleted".into());
        }
        Ok(true)
    }

    pub(super) fn migrating(&mut self, uid: &str) -> Result<&mut MigrationRecord, Fault> {
        self.migration.as_mut().filter(|migration| migration.uid == uid).ok_or(Fault::Again)
    }

    /// Remembers what a pass heard of offers, and whether the next copy is fit to take over.
    pub(super) fn note_judged(&mut self, plan: &Plan) {
        let generation = self.object.as_ref().and_then(|there| there["metadata"]["generation"].as_i64());
        if !plan.judged.is_empty() {
            self.memory.judged.retain(|at, _| plan.judged.iter().any(|(judged, _)| judged == at));
        }
        let moves = self.record.as_ref().is_some_and(|record| record.spec.next.is_some());
        for (at, accepts) in &plan.judged {
            let judged = self.memory.judged.entry(at.clone()).or_default();
            if *accepts {
                judged.accepted = generation;
                judged.refused_for = None;
                judged.accepted_for = moves.then(|| judged.accepted_for.unwrap_or_default());
            } else {
                judged.refused = generation;
                judged.accepted_for = None;
                judged.refused_for.get_or_insert(Duration::ZERO);
            }
        }
        self.memory.fit = plan.fit.then(|| self.memory.fit.unwrap_or_default());
        self.memory.missing.retain(|name, _| plan.missing.contains(name));
        for name in &plan.missing {
            self.memory.missing.entry(name.clone()).or_default();
        }
    }

    /// What is known of the Migration as history.
    pub(crate) fn history_snapshot(&self) -> RetentionSnapshot {
        RetentionSnapshot {
            broker: None,
            name: self.key.record_name(),
            migration: self.migration.clone().map(std::sync::Arc::new),
            record: self.record.as_ref().map_or(View::Absent, |record| View::Present(record.clone().into())),
            now: Time(self.now),
            keep: self.history,
            compute: self.compute_view(),
        }
    }

    /// One look at the Migration as history; how many writes changed something.
    pub(crate) fn history_pass(&mut self) -> usize {
        if self.migration.is_none() {
            return 0;
        }
        let plan = retention::plan(&self.history_snapshot());
        // It is another key than the object's: what is remembered of that has no part in it.
        let memory = self.memory.clone();
        let writes = self.carry_out(&plan, usize::MAX);
        self.memory = memory;
        writes
    }
}
