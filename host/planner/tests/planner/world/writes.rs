//! What the broker's passes do to the model: the host's part, without a network.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use resource_broker_api::{
    broker::AssignmentStatus,
    conditions::reason,
    keys,
    names::{ClusterName, Role},
};
use resource_broker_planner::{
    deletion::orphans::{self, OrphanSnapshot},
    model::{
        ownership,
        snapshot::{Applied, Failure, Memory, Part, Record, RefusedCopy, Snapshot, Target, View, Written},
    },
    plan,
    plan::{Action, CopyRelated, Existing, Guard, Marks, Plan, State, digest},
    sync::{copy, related},
};
use serde_json::{Value, json};

use super::{World, is_deleting, object, uid_of};
use crate::fields;

/// How many passes the model lets a settled world take at most.
const ROUNDS: usize = 40;
/// After so many passes without effect, more time would not change anything.
const IDLE: usize = 6;
/// A pause that ends something, unlike a slow pace that goes on for ever.
const SOON: Duration = Duration::from_secs(30);

/// How a pass comes to a sudden end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The process is killed, and forgets.
    Killed,
    /// The next write fails without an effect.
    FailedBefore,
    /// The next write has its effect, and seems to fail.
    FailedAfter,
}

/// How an action fared.
pub(super) enum Fault {
    /// The cluster is not as the snapshot shows it.
    Again,
    Failed(Failure),
}

pub(super) type Done = Result<bool, Fault>;

impl World {
    /// What the planner makes of it.
    pub(crate) fn plan(&self) -> Plan {
        self.decide(&self.snapshot())
    }

    /// Asks and plans in rounds, as the host does.
    pub(crate) fn decide(&self, snapshot: &Snapshot) -> Plan {
        let (answers, _) = self.questioned(snapshot);
        plan(snapshot, &answers).unwrap_or_else(|more| panic!("no end of questions: {more:#?}"))
    }

    /// One pass; how many writes changed something.
    pub(crate) fn pass(&mut self) -> usize {
        let plan = self.plan();
        let writes = self.carry_out(&plan, usize::MAX);
        writes + self.history_pass()
    }

    /// Passes until nothing changes any more: one that fails is told by the next. Time goes on where a plan says that it
    /// is waiting for it.
    pub(crate) fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..ROUNDS {
            let plan = self.plan();
            let writes = self.carry_out(&plan, usize::MAX) + self.history_pass();
            idle = if writes > 0 { 0 } else { idle + 1 };
            match plan.again.filter(|again| *again < SOON && idle < IDLE) {
                Some(again) if idle >= 2 => self.wait(again),
                None if idle >= 2 => return,
                _ => {}
            }
        }
        panic!("still writing after {ROUNDS} passes; the last plan: {:#?}", self.plan());
    }

    /// Carries out the first `steps` steps of a plan, as the host does: a step that fails is the last. Returns
    /// how many writes changed something.
    pub(crate) fn carry_out(&mut self, plan: &Plan, steps: usize) -> usize {
        self.note_judged(plan);
        self.memory.reported.extend(plan.reported.iter().cloned());
        let mut writes = 0;
        for step in plan.steps.iter().take(steps) {
            let mut faults = Vec::new();
            for action in step {
                match self.act(action) {
                    Ok(wrote) => writes += usize::from(wrote),
                    Err(fault) => faults.push(fault),
                }
            }
            if !faults.is_empty() {
                let failure = faults.into_iter().find_map(|fault| match fault {
                    Fault::Failed(failure) => Some(failure),
                    Fault::Again => None,
                });
                self.memory.failure = failure.or(self.memory.failure.take());
                return writes;
            }
        }
        // The conditions that tell of a failure are out of date once it is mended: another pass is due.
        writes += usize::from(self.memory.failure.take().is_some());
        writes
    }

    /// Carries out the first `writes` writes of a plan; then the process is killed, or the next write fails.
    pub(crate) fn carry_out_part(&mut self, plan: &Plan, writes: usize, cut: Cut) {
        self.note_judged(plan);
        let mut actions = plan.actions().filter(|action| !matches!(action, Action::Event(_)));
        for action in actions.by_ref().take(writes) {
            if let Err(fault) = self.act(action) {
                if let Fault::Failed(failure) = fault {
                    self.memory.failure = Some(failure);
                }
                return;
            }
        }
        match (cut, actions.next()) {
            (Cut::Killed, _) => self.memory = Memory::default(),
            (Cut::FailedBefore | Cut::FailedAfter, Some(action)) => {
                if cut == Cut::FailedAfter {
                    // What it did is not known to whoever asked for it.
                    let memory = self.memory.clone();
                    let _ = self.act(action);
                    self.memory = memory;
                }
                let message = "the connection was reset".to_owned();
                let reason = reason::CLUSTER_UNAVAILABLE;
                self.memory.failure = Some(Failure { part: action.part(), invalid: false, reason, message });
            }
            (_, None) => self.memory.failure = None,
        }
    }

    pub(super) fn act(&mut self, action: &Action) -> Done {
        match action {
            Action::CreateRecord { name, spec } => {
                if self.record.is_some() {
                    return Err(Fault::Again);
                }
                self.record = Some(Record {
                    name: name.clone(),
                    uid: format!("uid-{}", self.next()),
                    generation: Some(1),
                    deleting: false,
                    recreated: None,
                    spec: spec.as_ref().clone(),
                    status: AssignmentStatus::default(),
                });
                Ok(true)
            }
            Action::UpdateRecord { uid, generation, spec, obeyed, budget, guards, .. } => {
                self.guard(guards)?;
                let wrote = self.update_record(uid, *generation, spec, budget.as_ref())?;
                if obeyed.is_some() {
                    self.recorded(uid)?.recreated = None;
                }
                Ok(wrote)
            }
            Action::RecordStatus { uid, status, .. } => {
                self.recorded(uid)?.status = status.as_ref().clone();
                Ok(true)
            }
            Action::DeleteRecord { uid, guards, .. } => {
                self.guard(guards)?;
                self.recorded(uid)?;
                self.record = None;
                Ok(true)
            }
            Action::Decorate { target, uid, resource_version, finalizer, annotations, .. } => {
                let there = self.object.as_ref().map(|there| there["metadata"]["resourceVersion"].clone());
                if resource_version.as_deref().is_some_and(|version| there.is_none_or(|there| there != version)) {
                    return Err(Fault::Again);
                }
                self.decorate(target, uid, finalizer, annotations)
            }
            Action::Unmark { target, uid, annotation } => self.unmark(target, uid, annotation),
            Action::Retain { target, uid, resource_version, finalizers } => {
                self.finalizers_in_compute(target, uid, resource_version, finalizers)
            }
            Action::ReleaseFinalizer { target, uid, resource_version, keep, guards } => {
                self.guard(guards)?;
                if target.cluster == self.compute.cluster {
                    return self.finalizers_in_compute(target, uid, resource_version, keep);
                }
                self.release(target, uid, resource_version, keep)
            }
            Action::ApplyCopy { target, uid, body, asked } => self.apply_copy(target, uid.as_deref(), body, asked),
            Action::PutStatus { target, uid, status, beside, asked } => {
                self.put_status(target, uid, status, beside.as_ref(), asked)
            }
            Action::CopyRelated(request) => self.copy_related(request),
            Action::Delete { target, uid, guards } => {
                self.guard(guards)?;
                self.remove(target, uid)
            }
            Action::CreateMigration { name, spec } => self.create_migration(name, spec),
            Action::MigrationStatus { uid, status, guards, .. } => {
                self.guard(guards)?;
                self.check_pods(status);
                self.report_migration(uid, status)
            }
            Action::TakeOrders { uid, annotations, .. } => {
                self.migrating(uid)?.orders.retain(|order, _| !annotations.contains(&order.as_str()));
                Ok(true)
            }
            Action::DeleteMigration { uid, guards, .. } => {
                self.guard(guards)?;
                self.migrating(uid)?;
                self.delete_migration();
                Ok(true)
            }
            Action::ReleaseMigration { uid, resource_version, keep, .. } => {
                self.release_migration(uid, resource_version, keep)
            }
            Action::Deploy { target, body } => self.deploy(target, body),
            Action::Event(_) | Action::OfferStatus { .. } => Ok(false),
        }
    }

    pub(super) fn recorded(&mut self, uid: &str) -> Result<&mut Record, Fault> {
        self.record.as_mut().filter(|record| record.uid == uid).ok_or(Fault::Again)
    }

    pub(super) fn there(&self, target: &Target) -> Option<&Value> {
        if target.cluster == self.key.consumer {
            let is_object = self.is_of_the_kind(target) && target.name == self.key.name;
            return if is_object {
                self.object.as_ref()
            } else {
                self.beside.get(&(target.gvk.clone(), target.name.clone()))
            };
        }
        if target.cluster == self.compute.cluster {
            return self.compute.objects.get(&(target.gvk.clone(), target.name.clone()));
        }
        let provider = self.providers.get(&target.cluster)?;
        if self.is_of_the_kind(target) {
            return provider.copy.as_ref().filter(|there| {
                let (namespace, name) = (&there["metadata"]["namespace"], &there["metadata"]["name"]);
                (namespace.as_str(), name.as_str()) == (target.namespace.as_deref(), Some(&target.name))
            });
        }
        provider.sources.get(&(target.gvk.clone(), target.namespace.clone()?, target.name.clone()))
    }

    fn guard(&self, guards: &[Guard]) -> Result<(), Fault> {
        for guard in guards {
            if let Guard::Gone(target) | Guard::NotThatOne(target, _) = guard
                && self.providers.get(&target.cluster).is_some_and(|provider| provider.detached)
            {
                self.reachable(target, Part::Delete)?;
            }
        }
        let holds = guards.iter().all(|guard| match guard {
            Guard::Gone(target) => self.there(target).is_none(),
            Guard::NotThatOne(target, uid) => self.there(target).is_none_or(|there| uid_of(there) != uid),
            Guard::NoRecord(_) => self.record.is_none(),
            Guard::NotNamed(_, copy) => !self.names(copy),
            Guard::Lives(target, uid) => {
                self.there(target).is_some_and(|there| uid_of(there) == uid && !is_deleting(there))
            }
        });
        if holds { Ok(()) } else { Err(Fault::Again) }
    }

    fn decorate(&mut self, target: &Target, uid: &str, finalizer: &str, annotations: &BTreeMap<&str, String>) -> Done {
        if !self.is_the_object(target) {
            self.wrongs.push(format!("marks on {target}"));
        }
        let version = self.next();
        let there = self.object.as_mut().filter(|there| uid_of(there) == uid).ok_or(Fault::Again)?;
        let mut finalizers = there["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|other| other == finalizer) {
            if is_deleting(there) {
                return Err(failed(Part::Decorate, true, reason::INVALID, "no new finalizers while it is deleted"));
            }
            finalizers.push(finalizer.into());
        }
        // An apply takes away what its manager does not ask for any more, and leaves what others have put there.
        let ours = std::mem::replace(&mut self.marked, annotations.keys().map(|name| (*name).to_owned()).collect());
        let names = ours.iter().map(String::as_str).chain(annotations.keys().copied());
        let annotations: BTreeMap<&str, Option<&String>> = names.map(|name| (name, annotations.get(name))).collect();
        let marks = json!({"metadata": {"finalizers": finalizers, "annotations": annotations}});
        fields::patch(there, &marks);
        there["metadata"]["resourceVersion"] = version.to_string().into();
        Ok(true)
    }

    fn unmark(&mut self, target: &Target, uid: &str, annotation: &str) -> Done {
        if !self.is_the_object(target) {
            self.wrongs.push(format!("marks off {target}"));
        }
        let version = self.next();
        let there = self.object.as_mut().filter(|there| uid_of(there) == uid).ok_or(Fault::Again)?;
        fields::patch(there, &json!({"metadata": {"annotations": {annotation: null}}}));
        there["metadata"]["resourceVersion"] = version.to_string().into();
        Ok(true)
    }

    /// The place of an object that may be released or removed.
    fn place(&mut self, target: &Target) -> Result<&mut Option<Value>, Fault> {
        if self.is_the_object(target) {
            return Ok(&mut self.object);
        }
        self.reachable(target, Part::Delete)?;
        let is_copy = self.is_of_the_kind(target);
        match self.providers.get_mut(&target.cluster) {
            Some(provider) if is_copy => Ok(&mut provider.copy),
            _ => Err(failed(Part::Delete, false, reason::FORBIDDEN, &format!("{target} is nobody's business"))),
        }
    }

    fn reachable(&self, target: &Target, part: Part) -> Result<(), Fault> {
        match self.providers.get(&target.cluster) {
            Some(provider) if !provider.detached && !provider.broken => Ok(()),
            _ => Err(failed(part, false, reason::CLUSTER_UNAVAILABLE, &format!("{} does not answer", target.cluster))),
        }
    }

    fn release(&mut self, target: &Target, uid: &str, resource_version: &str, keep: &[String]) -> Done {
        let version = self.next();
        let is_copy = target.cluster.role == Role::Provider;
        let left_behind = !is_copy && self.named().iter().any(|at| self.is_claimed_at(at));
        let there = self.place(target)?;
        let Some(document) = there.as_mut().filter(|there| uid_of(there) == uid) else { return Err(Fault::Again) };
        if document["metadata"]["resourceVersion"] != resource_version {
            return Err(Fault::Again);
        }
        document["metadata"]["finalizers"] = json!(keep);
        document["metadata"]["resourceVersion"] = version.to_string().into();
        Self::end(there);
        if is_copy && there.is_none() {
            self.memory.gone.insert(uid.into());
        }
        if left_behind {
            self.wrongs.push("the object was released before its copy was gone".into());
        }
        Ok(true)
    }

    /// Whether a provider holds something that is marked as this object's copy.
    pub(crate) fn is_claimed_at(&self, at: &ClusterName) -> bool {
        let there = self.providers.get(at).and_then(|provider| provider.copy.as_ref());
        there.is_some_and(|there| ownership::is_claimed(&object(there), &self.key))
    }

    /// Whether it is this object's copy: by its marks, or by the record.
    fn is_ours(&self, there: &Value) -> bool {
        let made = self.memory.made.values().map(String::as_str);
        let known = self.uids().into_iter().chain(made).map(Some).chain([None]);
        let broker = Some(crate::world::BROKER);
        // The one that the consumer object and it name each other may be taken over.
        let claimed = self
            .object
            .as_ref()
            .is_some_and(|object| !object["metadata"]["annotations"][keys::PROVIDER_CLUSTER].is_null());
        known.into_iter().any(|uid| ownership::is_ours(&object(there), &self.key, uid, broker))
            || (claimed && ownership::is_claimed(&object(there), &self.key))
    }

    fn apply_copy(&mut self, target: &Target, uid: Option<&str>, body: &Value, asked: &str) -> Done {
        self.reachable(target, Part::Copy)?;
        let places = self.key.in_version(&target.gvk.version).copies_at(&target.cluster);
        if !places.contains(target) || !self.is_served(target) {
            self.wrongs.push(format!("a copy at {target}"));
        }
        let there = self.there(target).cloned();
        if there.as_ref().map(uid_of) != uid {
            return Err(Fault::Again);
        }
        if there.as_ref().is_some_and(|there| !self.is_ours(there)) {
            self.wrongs.push(format!("{target} is somebody else's, and was changed"));
        }
        if let Some(why) = self.providers.get(&target.cluster).and_then(|provider| provider.refuses.clone()) {
            let generation = self.object.as_ref().and_then(|object| object["metadata"]["generation"].as_i64());
            let message = format!("{}: {why}", target.cluster);
            if uid.is_none() {
                let refused = RefusedCopy { generation, message: message.clone() };
                self.memory.refused_copies.insert(target.cluster.clone(), refused);
            }
            return Err(failed(Part::Copy, true, reason::INVALID, &message));
        }
        let is_new = there.is_none();
        self.check_copy(target, is_new);
        let metadata = self.metadata(&target.name, target.namespace.as_deref());
        let mut applied = there.clone().unwrap_or_else(|| json!({"metadata": metadata}));
        fields::patch(&mut applied, &json!({"metadata": body["metadata"]}));
        let wanted = fields::content_of(body);
        let owned = applied["metadata"]["managedFields"][0]["fieldsV1"].as_object().cloned().unwrap_or_default();
        let mut content = fields::content_of(&applied);
        fields::apply(&mut content, &owned, &wanted);
        let mut content = Value::Object(content);
        self.webhook.iter().for_each(|change| fields::patch(&mut content, change));
        let frame = json!({"metadata": applied["metadata"], "status": applied["status"]});
        fields::patch(&mut content, &frame);
        applied = content;
        applied["metadata"]["managedFields"] =
            json!([{"manager": keys::FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields::fields_of(&wanted)}]);
        let changed = there.as_ref() != Some(&applied);
        if changed {
            applied["metadata"]["resourceVersion"] = self.next().to_string().into();
            let spec_changed = there.as_ref().is_some_and(|there| there["spec"] != applied["spec"]);
            if spec_changed {
                let generation = applied["metadata"]["generation"].as_i64().unwrap_or_default();
                applied["metadata"]["generation"] = (generation + 1).into();
            }
        }
        self.learn_applied(&target.cluster, asked, copy::content_digest(&object(&applied)));
        self.memory.made.insert(target.cluster.clone(), uid_of(&applied).to_owned());
        if is_new && self.assigned().is_none_or(|at| at == target.cluster) {
            self.memory.since_placed = Some(Duration::ZERO);
        }
        if let Some(provider) = self.providers.get_mut(&target.cluster) {
            provider.copy = Some(applied);
        }
        Ok(changed)
    }

    fn learn_applied(&mut self, at: &ClusterName, asked: &str, got: String) {
        let before = self.memory.applied.get(at).filter(|before| before.asked == asked);
        let times = before.map_or(1, |before| before.times + 1);
        self.memory.applied.insert(at.clone(), Applied { asked: asked.into(), got, times, ago: Duration::ZERO });
    }

    fn put_status(&mut self, target: &Target, uid: &str, status: &Value, beside: Option<&Value>, asked: &str) -> Done {
        if !self.is_the_object(target) {
            self.wrongs.push(format!("a status of {target}"));
        }
        let version = self.next();
        let drops = self.drops_conditions;
        let there = self.object.as_mut().filter(|there| uid_of(there) == uid).ok_or(Fault::Again)?;
        if beside.is_some_and(|beside| there["status"]["conditions"] != *beside) {
            return Err(Fault::Again);
        }
        let before = there["status"].clone();
        there["status"] = status.clone();
        if let Some(status) = there["status"].as_object_mut().filter(|_| drops) {
            status.remove("conditions");
        }
        let got = there["status"].clone();
        there["metadata"]["resourceVersion"] = version.to_string().into();
        own_conditions(there, &before["conditions"]);
        let same = self.memory.status.as_ref().filter(|last| last.asked == asked);
        let times = same.map_or(1, |last| last.times + 1);
        self.memory.status = Some(Written { asked: asked.into(), got: digest::of(&got), times, ago: Duration::ZERO });
        Ok(got != before)
    }

    fn copy_related(&mut self, request: &CopyRelated) -> Done {
        let part = if matches!(request.marks, Marks::Mirror { .. }) { Part::Migration } else { Part::Related };
        if part == Part::Migration {
            self.compute_answers()?;
            self.goes_on(&request.target);
        }
        self.reachable(&request.source, part)?;
        let place = (request.target.gvk.clone(), request.target.name.clone());
        let there = self.there(&request.target).map(object);
        let known = match &request.existing {
            Existing::NoneOfOurs => None,
            Existing::Ours(there) => Some(there.clone()),
            Existing::Unknown => there.clone().filter(|there| related::may_replace(there, &request.marks)),
        };
        let Some(source) = self.there(&request.source).map(object) else {
            if let Some(there) = known.filter(|there| related::may_take_away(there, request)) {
                self.guard(&[Guard::Lives(request.by.copy.clone(), request.by.uid.clone())])?;
                self.remove(&request.target, there.uid())?;
            }
            let message = format!("{} is declared, but it is not there", request.source);
            return Err(failed(part, false, reason::RELATED_MISSING, &message));
        };
        let untouched = match (&request.existing, &known) {
            (Existing::Unknown, Some(there)) => !there.touched_by_others,
            _ => request.untouched,
        };
        if untouched && known.is_some_and(|there| related::is_of(&there, &source)) {
            return Ok(false);
        }
        if there.as_ref().is_some_and(|there| !related::may_replace(there, &request.marks)) {
            let message = format!("{} exists and is not the broker's", request.target);
            return Err(failed(part, false, reason::RELATED_CONFLICT, &message));
        }
        let document = related::document(&source, request, there.as_deref());
        let mut document =
            document.map_err(|found| failed(part, false, reason::RELATED_NOT_ALLOWED, &found.message))?;
        let version = self.next().to_string();
        if there.is_none() {
            document["metadata"]["uid"] = format!("uid-{version}").into();
        }
        document["metadata"]["resourceVersion"] = version.clone().into();
        self.memory.related.insert(place.clone(), version);
        let cluster = if part == Part::Migration { &mut self.compute.objects } else { &mut self.beside };
        cluster.insert(place, document);
        Ok(true)
    }

    fn remove(&mut self, target: &Target, uid: &str) -> Done {
        if target.cluster == self.key.consumer {
            let place = (target.gvk.clone(), target.name.clone());
            let Some(there) = self.beside.get(&place).filter(|there| uid_of(there) == uid) else {
                return Err(Fault::Again);
            };
            if there["metadata"]["labels"][keys::RELATED_TO].is_null() {
                self.wrongs.push(format!("{target} was deleted, and is not the broker's"));
            }
            self.beside.remove(&place);
            return Ok(true);
        }
        if target.cluster == self.compute.cluster {
            return self.remove_in_compute(target, uid);
        }
        self.reachable(target, Part::Delete)?;
        if let Some(there) = self.there(target).filter(|there| !self.is_ours(there)) {
            self.wrongs.push(format!("{target} ({}) was deleted, and is not the broker's", uid_of(there)));
        }
        if self.serving().contains(uid) {
            self.wrongs.push(format!("{target} was deleted, and is in use"));
        }
        let needed = self.object.as_ref().filter(|there| !is_deleting(there)).map(uid_of);
        let recorded = self.record.as_ref().map(|record| record.spec.consumer.uid.as_str());
        if needed.is_some() && (recorded.is_none() || needed == recorded) && !self.is_left(target) {
            self.wrongs.push(format!("{target} was deleted while its object lives"));
        }
        let now = self.now;
        let there = self.place(target)?;
        if there.as_ref().is_some_and(|there| uid_of(there) != uid) {
            return Err(Fault::Again);
        }
        let was_deleting = there.as_ref().is_none_or(is_deleting);
        if Self::delete(there, now) {
            self.memory.gone.insert(uid.into());
        }
        Ok(!was_deleting)
    }

    /// What the sweep is to do about each copy that no record names.
    fn swept(&self) -> Vec<(Target, Plan)> {
        let seen = self.snapshot();
        let named: BTreeSet<ClusterName> = self.named();
        let places = self.providers.keys().filter(|at| !named.contains(at)).map(|at| self.key.copy_at(at));
        let consumer = match seen.consumer.clone() {
            View::Unknown { why, failing } => View::Unknown { why, failing },
            View::Absent => View::Absent,
            View::Present(_) => View::Present(()),
        };
        let serving = self.record.as_ref().and_then(|record| seen.view(&(&record.spec.provider).into()).cloned());
        let planned = places.map(|target| {
            let snapshot = OrphanSnapshot {
                broker: Some(crate::world::BROKER.into()),
                identities: std::sync::Arc::new(self.identities.clone()),
                copy: self.there(&target).map(object),
                target: target.clone(),
                record: seen.record.clone(),
                named: false,
                consumer: Some(consumer.clone()),
                serving: serving.clone(),
                migration: seen.migration.object.clone(),
                told: false,
            };
            (target, orphans::plan(&snapshot))
        });
        planned.collect()
    }

    /// Takes away copies that no record names.
    pub(crate) fn sweep(&mut self) -> usize {
        let mut writes = 0;
        for (_, plan) in self.swept() {
            // It is another key than the object's: what is remembered of that has no part in it.
            let memory = self.memory.clone();
            writes += self.carry_out(&plan, usize::MAX);
            self.memory = memory;
        }
        writes
    }

    /// The providers with a copy that no record names and that is kept, since the other one cannot take its place.
    pub(crate) fn kept(&self) -> Vec<ClusterName> {
        let kept = self.swept().into_iter().filter(|(_, plan)| plan.state == State::Blocked);
        kept.map(|(target, _)| target.cluster).collect()
    }
}

/// What an API server notes of whose the conditions are after the broker's write: those that it changed are the broker's.
fn own_conditions(there: &mut Value, before: &Value) {
    let key = |condition: &Value| format!("k:{}", json!({"type": condition["type"]}));
    let entries = there["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let ours = |entry: &Value| entry["subresource"] == "status" && entry["manager"] == keys::FIELD_MANAGER;
    let owned =
        entries.iter().find(|entry| ours(entry)).map(|entry| entry["fieldsV1"]["f:status"]["f:conditions"].clone());
    let before = before.as_array().cloned().unwrap_or_default();
    let now = there["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ours = |condition: &&Value| {
        let was = owned.as_ref().is_some_and(|owned| !owned[key(condition)].is_null());
        was || !before.contains(condition)
    };
    let fields: serde_json::Map<String, Value> =
        now.iter().filter(is_ours).map(|condition| (key(condition), json!({".": {}}))).collect();
    let entry = json!({
        "manager": keys::FIELD_MANAGER, "operation": "Update", "subresource": "status",
        "fieldsV1": {"f:status": {"f:conditions": fields}},
    });
    let others = entries.into_iter().filter(|entry| !ours(entry));
    there["metadata"]["managedFields"] = others.chain([entry]).collect();
}

pub(super) fn failed(part: Part, invalid: bool, reason: &'static str, message: &str) -> Fault {
    Fault::Failed(Failure { part, invalid, reason, message: message.into() })
}
