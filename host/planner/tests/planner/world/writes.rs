//! What the broker's passes do to the model: the host's part, without a network.

use std::{collections::BTreeMap, time::Duration};

use resource_broker_api::{
    broker::AssignmentStatus,
    conditions::reason,
    keys,
    names::{ClusterName, Role},
};
use resource_broker_planner::{
    copy, digest, plan,
    plan::{Action, CopyRelated, Existing, Guard, Plan},
    related,
    snapshot::{Applied, Failure, Part, Record, Target, View, Written},
    sweep::{self, SweepSnapshot, claim},
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

/// How an action fared.
enum Fault {
    /// The cluster is not as the snapshot shows it.
    Again,
    Failed(Failure),
}

type Done = Result<bool, Fault>;

impl World {
    /// What the planner makes of it.
    pub(crate) fn plan(&self) -> Plan {
        let snapshot = self.snapshot();
        plan(&snapshot, &self.answers(&snapshot))
    }

    /// One pass; how many writes changed something.
    pub(crate) fn pass(&mut self) -> usize {
        let plan = self.plan();
        self.carry_out(&plan, usize::MAX)
    }

    /// Passes until nothing changes any more: one that fails is told by the next. Time goes on where a plan says that it
    /// is waiting for it.
    pub(crate) fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..ROUNDS {
            let plan = self.plan();
            let writes = self.carry_out(&plan, usize::MAX);
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

    fn act(&mut self, action: &Action) -> Done {
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
                    spec: spec.as_ref().clone(),
                    status: AssignmentStatus::default(),
                });
                Ok(true)
            }
            Action::UpdateRecord { uid, spec, .. } => {
                self.recorded(uid)?.spec = spec.as_ref().clone();
                Ok(true)
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
            Action::Decorate { target, uid, finalizer, annotations } => {
                self.decorate(target, uid, finalizer, annotations)
            }
            Action::ReleaseFinalizer { target, uid, resource_version, keep, guards } => {
                self.guard(guards)?;
                self.release(target, uid, resource_version, keep)
            }
            Action::ApplyCopy { target, uid, body, asked } => self.apply_copy(target, uid.as_deref(), body, asked),
            Action::PutStatus { target, uid, status, asked } => self.put_status(target, uid, status, asked),
            Action::CopyRelated(request) => self.copy_related(request),
            Action::Delete { target, uid, guards } => {
                self.guard(guards)?;
                self.remove(target, uid)
            }
            Action::Event(_) => Ok(false),
        }
    }

    fn recorded(&mut self, uid: &str) -> Result<&mut Record, Fault> {
        self.record.as_mut().filter(|record| record.uid == uid).ok_or(Fault::Again)
    }

    fn there(&self, target: &Target) -> Option<&Value> {
        if target.cluster == self.key.consumer {
            let is_object = target.gvk == self.key.gvk && target.name == self.key.name;
            return if is_object {
                self.object.as_ref()
            } else {
                self.beside.get(&(target.gvk.clone(), target.name.clone()))
            };
        }
        let provider = self.providers.get(&target.cluster)?;
        if target.gvk == self.key.gvk {
            return provider.copy.as_ref();
        }
        provider.sources.get(&(target.gvk.clone(), target.namespace.clone()?, target.name.clone()))
    }

    fn guard(&self, guards: &[Guard]) -> Result<(), Fault> {
        let holds = guards.iter().all(|guard| match guard {
            Guard::Gone(target) => self.there(target).is_none(),
            Guard::NotThatOne(target, uid) => self.there(target).is_none_or(|there| uid_of(there) != uid),
            Guard::NoRecord(_) => self.record.is_none(),
        });
        if holds { Ok(()) } else { Err(Fault::Again) }
    }

    fn decorate(&mut self, target: &Target, uid: &str, finalizer: &str, annotations: &BTreeMap<&str, String>) -> Done {
        if *target != self.key.target() {
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
        let marks = json!({"metadata": {"finalizers": finalizers, "annotations": annotations}});
        fields::patch(there, &marks);
        there["metadata"]["resourceVersion"] = version.to_string().into();
        Ok(true)
    }

    /// The place of an object that may be released or removed.
    fn place(&mut self, target: &Target) -> Result<&mut Option<Value>, Fault> {
        if *target == self.key.target() {
            return Ok(&mut self.object);
        }
        self.reachable(target, Part::Delete)?;
        match self.providers.get_mut(&target.cluster) {
            Some(provider) if target.gvk == self.key.gvk => Ok(&mut provider.copy),
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
        let left_behind = !is_copy && self.assigned().is_some_and(|at| self.is_claimed_at(&at));
        let there = self.place(target)?;
        let Some(document) = there.as_mut().filter(|there| uid_of(there) == uid) else { return Err(Fault::Again) };
        if document["metadata"]["resourceVersion"] != resource_version {
            return Err(Fault::Again);
        }
        document["metadata"]["finalizers"] = json!(keep);
        document["metadata"]["resourceVersion"] = version.to_string().into();
        Self::end(there);
        if is_copy && there.is_none() {
            self.memory.gone = Some(uid.into());
        }
        if left_behind {
            self.wrongs.push("the object was released before its copy was gone".into());
        }
        Ok(true)
    }

    /// Whether a provider holds something that is marked as this object's copy.
    pub(crate) fn is_claimed_at(&self, at: &ClusterName) -> bool {
        let there = self.providers.get(at).and_then(|provider| provider.copy.as_ref());
        there.is_some_and(|there| copy::is_claimed(&object(there), &self.key))
    }

    /// Whether it is this object's copy: by its marks, or by the record.
    fn is_ours(&self, there: &Value) -> bool {
        copy::is_ours(&object(there), &self.key, self.record.as_ref())
    }

    fn apply_copy(&mut self, target: &Target, uid: Option<&str>, body: &Value, asked: &str) -> Done {
        self.reachable(target, Part::Copy)?;
        if *target != self.key.copy_at(&target.cluster) {
            self.wrongs.push(format!("a copy at {target}"));
        }
        let there = self.there(target).cloned();
        if there.as_ref().map(uid_of) != uid {
            return Err(Fault::Again);
        }
        if there.as_ref().is_some_and(|there| !self.is_ours(there)) {
            self.wrongs.push(format!("{target} is somebody else's, and was changed"));
        }
        let is_new = there.is_none();
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
        }
        self.learn_applied(asked, copy::content_digest(&object(&applied)));
        if is_new {
            self.memory.since_placed = Some(Duration::ZERO);
            self.memory.gone = None;
        }
        if let Some(provider) = self.providers.get_mut(&target.cluster) {
            provider.copy = Some(applied);
        }
        Ok(changed)
    }

    fn learn_applied(&mut self, asked: &str, got: String) {
        let before = self.memory.applied.as_ref().filter(|before| before.asked == asked);
        let times = before.map_or(1, |before| before.times + 1);
        self.memory.applied = Some(Applied { asked: asked.into(), got, times, ago: Duration::ZERO });
    }

    fn put_status(&mut self, target: &Target, uid: &str, status: &Value, asked: &str) -> Done {
        if *target != self.key.target() {
            self.wrongs.push(format!("a status of {target}"));
        }
        let version = self.next();
        let drops = self.drops_conditions;
        let there = self.object.as_mut().filter(|there| uid_of(there) == uid).ok_or(Fault::Again)?;
        let before = there["status"].clone();
        there["status"] = status.clone();
        if let Some(status) = there["status"].as_object_mut().filter(|_| drops) {
            status.remove("conditions");
        }
        let got = there["status"].clone();
        there["metadata"]["resourceVersion"] = version.to_string().into();
        self.memory.status = Some(Written { asked: asked.into(), got: digest::of(&got) });
        Ok(got != before)
    }

    fn copy_related(&mut self, request: &CopyRelated) -> Done {
        let place = (request.target.gvk.clone(), request.target.name.clone());
        let there = self.beside.get(&place).map(object);
        let known = match &request.existing {
            Existing::NoneOfOurs => None,
            Existing::Ours(there) => Some(there.clone()),
            Existing::Unknown => there.clone().filter(|there| related::may_replace(there, request)),
        };
        let Some(source) = self.there(&request.source).map(object) else {
            if let Some(there) = known {
                self.remove(&request.target, there.uid())?;
            }
            let message = format!("{} is declared, but it is not there", request.source);
            return Err(failed(Part::Related, false, reason::RELATED_MISSING, &message));
        };
        let untouched = match (&request.existing, &known) {
            (Existing::Unknown, Some(there)) => !there.touched_by_others,
            _ => request.untouched,
        };
        let mark = related::source_mark(&source);
        if untouched && known.is_some_and(|there| there.annotation(keys::RELATED_SOURCE) == Some(mark.as_str())) {
            return Ok(false);
        }
        if there.as_ref().is_some_and(|there| !related::may_replace(there, request)) {
            let message = format!("{} exists and is not the broker's", request.target);
            return Err(failed(Part::Related, false, reason::RELATED_CONFLICT, &message));
        }
        let document = related::document(&source, request, there.as_deref());
        let mut document =
            document.map_err(|found| failed(Part::Related, false, reason::RELATED_NOT_ALLOWED, &found.message))?;
        let version = self.next().to_string();
        if there.is_none() {
            document["metadata"]["uid"] = format!("uid-{version}").into();
        }
        document["metadata"]["resourceVersion"] = version.clone().into();
        self.memory.related.insert(place.clone(), version);
        self.beside.insert(place, document);
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
        self.reachable(target, Part::Delete)?;
        if let Some(there) = self.there(target).filter(|there| !self.is_ours(there)) {
            self.wrongs.push(format!("{target} ({}) was deleted, and is not the broker's", uid_of(there)));
        }
        let needed = self.object.as_ref().filter(|there| !is_deleting(there)).map(uid_of);
        let recorded = self.record.as_ref().map(|record| record.spec.consumer.uid.as_str());
        if needed.is_some() && (recorded.is_none() || needed == recorded) {
            self.wrongs.push(format!("{target} was deleted while its object lives"));
        }
        let now = self.now;
        let there = self.place(target)?;
        if there.as_ref().is_some_and(|there| uid_of(there) != uid) {
            return Err(Fault::Again);
        }
        let was_deleting = there.as_ref().is_none_or(is_deleting);
        if Self::delete(there, now) {
            self.memory.gone = Some(uid.into());
        }
        Ok(!was_deleting)
    }

    /// Takes away copies that no record names.
    pub(crate) fn sweep(&mut self) -> usize {
        let mut writes = 0;
        let named = self.assigned();
        let places: Vec<ClusterName> =
            self.providers.keys().filter(|at| Some(*at) != named.as_ref()).cloned().collect();
        for at in places {
            let target = self.key.copy_at(&at);
            let copy = self.there(&target).map(object);
            let nothing = |is_there: bool| if is_there { View::Present(()) } else { View::Absent };
            let snapshot = SweepSnapshot {
                broker: None,
                consumer: Some(nothing(self.object.is_some())),
                record: nothing(copy.as_ref().and_then(|copy| claim(&target, copy)).is_none() || self.record.is_some()),
                target,
                copy,
            };
            // It is another key than the object's: what is remembered of that has no part in it.
            let memory = self.memory.clone();
            writes += self.carry_out(&sweep::plan(&snapshot), usize::MAX);
            self.memory = memory;
        }
        writes
    }
}

fn failed(part: Part, invalid: bool, reason: &'static str, message: &str) -> Fault {
    Fault::Failed(Failure { part, invalid, reason, message: message.into() })
}
