//! A model of the clusters around one consumer object: what is there, what the caches show of it, and what writes do
//! to it. Just enough of an API server that plans can be carried out and planned again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use resource_broker_api::{
    broker::AssignmentStatus,
    conditions::reason,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use resource_broker_planner::{
    ask, copy, digest, plan,
    plan::{Action, CopyRelated, Existing, Guard, Plan},
    question::{Answers, Judge, PluginFailure, Transform, Verdict},
    related,
    snapshot::{
        Applied, Failure, Key, Memory, Offer, Part, ProviderView, Record, RelatedView, Shape, Snapshot, Target, View,
        Watched, Written,
    },
    sweep::{self, SweepSnapshot, claim},
};
use serde_json::{Map, Value, json};

use crate::fields;

/// The namespace of the consumer object.
pub(crate) const NAMESPACE: &str = "team";
/// A finalizer of a provider's operator.
pub(crate) const THEIR_FINALIZER: &str = "corp.com/cleanup";
/// How many passes the model lets a settled world take at most.
const ROUNDS: usize = 40;
/// A pause that ends something, unlike a slow pace that goes on for ever.
const SOON: Duration = Duration::from_secs(30);

/// Why a cache cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) why: String,
    pub(crate) failing: bool,
}

/// How a plugin answers.
#[derive(Clone, Debug, Default)]
pub(crate) enum Plugin {
    #[default]
    Works,
    /// It was not asked in time.
    Silent,
    Failed(String),
}

/// Where an offer is: provider, namespace, name.
pub(crate) type OfferName = (ClusterName, String, String);
/// A related resource's kind, namespace and name.
pub(crate) type SourceName = (Gvk, String, String);

/// One provider cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provider {
    pub(crate) detached: bool,
    /// Whatever is written there fails.
    pub(crate) broken: bool,
    pub(crate) copy: Option<Value>,
    pub(crate) copies_unread: Option<Unread>,
    pub(crate) offers_unread: Option<String>,
    pub(crate) sources: BTreeMap<SourceName, Value>,
}

/// Which related resources may not be watched, or cannot be read yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) unwatchable: bool,
    pub(crate) unread: Option<Unread>,
}

/// How an action fared.
enum Fault {
    /// The cluster is not as the snapshot shows it.
    Again,
    Failed(Failure),
}

type Done = Result<bool, Fault>;

/// How a plan fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Went {
    /// Writes that changed something.
    pub(crate) writes: usize,
    /// Whether every action succeeded.
    pub(crate) well: bool,
}

/// Everything around one consumer object.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) key: Key,
    pub(crate) shape: Shape,
    pub(crate) now: Timestamp,
    pub(crate) object: Option<Value>,
    pub(crate) object_unread: Option<Unread>,
    pub(crate) record: Option<Record>,
    pub(crate) record_unread: Option<Unread>,
    pub(crate) offers: BTreeMap<OfferName, Verdict>,
    pub(crate) providers: BTreeMap<ClusterName, Provider>,
    /// Objects beside the consumer object, by kind and name.
    pub(crate) beside: BTreeMap<(Gvk, String), Value>,
    pub(crate) allowed: BTreeSet<&'static str>,
    pub(crate) sources: Ends,
    pub(crate) targets: Ends,
    pub(crate) filter: Plugin,
    pub(crate) transformer: Plugin,
    /// What a webhook at the providers makes of every copy that is applied.
    pub(crate) webhook: Option<Value>,
    /// Whether the consumer's schema drops the broker's conditions, although it has the field.
    pub(crate) drops_conditions: bool,
    pub(crate) memory: Memory,
    /// What a write did that no write may do.
    pub(crate) wrongs: Vec<String>,
    counter: u64,
}

/// A provider cluster by its short name.
pub(crate) fn provider(name: &str) -> ClusterName {
    ClusterName::new(Role::Provider, name)
}

/// What an API server would send of `document`.
pub(crate) fn object(document: &Value) -> Arc<Object> {
    match serde_json::from_str(&document.to_string()) {
        Ok(object) => Arc::new(object),
        Err(error) => panic!("not an object: {error}: {document}"),
    }
}

fn uid_of(document: &Value) -> &str {
    document["metadata"]["uid"].as_str().unwrap_or_default()
}

fn is_deleting(document: &Value) -> bool {
    !document["metadata"]["deletionTimestamp"].is_null()
}

fn view(object_there: Option<&Value>, unread: Option<&Unread>) -> View<Arc<Object>> {
    match (unread, object_there) {
        (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
        (None, Some(there)) => View::Present(object(there)),
        (None, None) => View::Absent,
    }
}

impl World {
    /// A consumer cluster with one new `Certificate`, and nothing else.
    pub(crate) fn new() -> Self {
        let key = Key {
            consumer: ClusterName::new(Role::Consumer, "acme"),
            gvk: Gvk::new("identity.generic.platform-mesh.io", "v1alpha1", "Certificate"),
            namespace: Some(NAMESPACE.into()),
            name: "www".into(),
        };
        // An unfounded date would do as well; the plans only tell "now" from "before".
        let now = "2026-01-02T03:04:05Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let mut world = Self {
            key,
            shape: Shape { status: true, conditions: true },
            now,
            object: None,
            object_unread: None,
            record: None,
            record_unread: None,
            offers: BTreeMap::new(),
            providers: BTreeMap::new(),
            beside: BTreeMap::new(),
            allowed: BTreeSet::from(["Secret", "ConfigMap"]),
            sources: Ends::default(),
            targets: Ends::default(),
            filter: Plugin::Works,
            transformer: Plugin::Works,
            webhook: None,
            drops_conditions: false,
            memory: Memory::default(),
            wrongs: Vec::new(),
            counter: 0,
        };
        world.create_object();
        world
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn metadata(&mut self, name: &str, namespace: Option<&str>) -> Value {
        let (uid, version) = (format!("uid-{}", self.next()), self.counter.to_string());
        let mut metadata = json!({"name": name, "uid": uid, "resourceVersion": version, "generation": 1});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        metadata
    }

    /// The consumer makes its object, under a UID of its own.
    pub(crate) fn create_object(&mut self) {
        let (name, namespace) = (self.key.name.clone(), self.key.namespace.clone());
        let metadata = self.metadata(&name, namespace.as_deref());
        self.object = Some(json!({"metadata": metadata, "spec": {"fqdn": "www.corp.com"}}));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += SignedDuration::try_from(time).unwrap_or_default();
        if let Some(since) = &mut self.memory.since_placed {
            *since += time;
        }
        if let Some(applied) = &mut self.memory.applied {
            applied.ago += time;
        }
    }

    /// Marks an object as deleted; one without finalizers goes. Whether it is gone.
    fn delete(there: &mut Option<Value>, now: Timestamp) -> bool {
        let Some(document) = there else { return true };
        if document["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            *there = None;
            return true;
        }
        if !is_deleting(document) {
            document["metadata"]["deletionTimestamp"] = json!(Time(now));
        }
        false
    }

    /// The consumer deletes its object.
    pub(crate) fn delete_object(&mut self) {
        Self::delete(&mut self.object, self.now);
    }

    /// Somebody at the provider deletes the copy.
    pub(crate) fn delete_copy(&mut self, at: &ClusterName) {
        let now = self.now;
        if let Some(provider) = self.providers.get_mut(at) {
            Self::delete(&mut provider.copy, now);
        }
    }

    /// The consumer changes its object; a changed spec is a new generation.
    pub(crate) fn edit_object(&mut self, change: &Value) {
        let version = self.next();
        if let Some(there) = &mut self.object {
            let before = there["spec"].clone();
            fields::patch(there, change);
            if there["spec"] != before {
                let generation = there["metadata"]["generation"].as_i64().unwrap_or_default();
                there["metadata"]["generation"] = (generation + 1).into();
            }
            there["metadata"]["resourceVersion"] = version.to_string().into();
            Self::end(&mut self.object);
        }
    }

    /// Somebody at the provider changes what is under the copy's name, or puts something there.
    pub(crate) fn edit_copy(&mut self, at: &ClusterName, change: &Value) {
        let name = self.key.copy_name();
        let metadata = self.metadata(&name, self.key.namespace.clone().as_deref());
        let version = self.next();
        let Some(provider) = self.providers.get_mut(at) else { return };
        let there = provider.copy.get_or_insert_with(|| json!({"metadata": metadata}));
        let before = fields::content_of(there);
        fields::patch(there, change);
        let after = fields::content_of(there);
        if let Some(owned) = there["metadata"]["managedFields"][0]["fieldsV1"].as_object() {
            let left = fields::disown(owned, &before, &after);
            there["metadata"]["managedFields"][0]["fieldsV1"] = Value::Object(left);
        }
        there["metadata"]["resourceVersion"] = version.to_string().into();
        Self::end(&mut provider.copy);
    }

    /// A copy as another broker made it: marked, and without an entry of this one in the managed fields.
    pub(crate) fn copy_of_another_broker(&mut self, at: &ClusterName) {
        let marks = json!({
            "metadata": {
                "annotations": {
                    keys::CONSUMER_CLUSTER: self.key.consumer.to_string(), keys::CONSUMER_NAME: self.key.name,
                },
                "finalizers": [keys::GENERIC_FINALIZER],
            },
            "spec": self.object.as_ref().map(|there| there["spec"].clone()),
        });
        self.edit_copy(at, &marks);
    }

    /// The provider's operator puts a source of a related resource there, or a new version of it.
    pub(crate) fn put_source(&mut self, at: &ClusterName, gvk: Gvk, name: &str) {
        let metadata = self.metadata(name, Some(NAMESPACE));
        let version = self.counter;
        let Some(provider) = self.providers.get_mut(at) else { return };
        let source = provider.sources.entry((gvk, NAMESPACE.into(), name.into()));
        let source = source.or_insert_with(|| json!({"metadata": metadata}));
        source["metadata"]["resourceVersion"] = version.to_string().into();
        source["data"] = json!({"version": version.to_string()});
    }

    /// Somebody puts an object of their own beside the consumer object, or changes the one that is there.
    pub(crate) fn edit_beside(&mut self, gvk: Gvk, name: &str, change: &Value) {
        let metadata = self.metadata(name, self.key.namespace.clone().as_deref());
        let version = self.counter;
        let there = self.beside.entry((gvk, name.into())).or_insert_with(|| json!({"metadata": metadata}));
        fields::patch(there, change);
        there["metadata"]["resourceVersion"] = version.to_string().into();
        there["metadata"]["managedFields"] =
            json!([{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {}}}]);
    }

    /// An object that is being deleted goes with its last finalizer.
    fn end(there: &mut Option<Value>) {
        let is_over = there.as_ref().is_some_and(|document| {
            is_deleting(document) && document["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        });
        if is_over {
            *there = None;
        }
    }

    /// The provider that the record names.
    pub(crate) fn assigned(&self) -> Option<ClusterName> {
        self.record.as_ref()?.provider()
    }

    /// The copy at the provider that the record names.
    pub(crate) fn copy(&self) -> Option<&Value> {
        self.providers.get(&self.assigned()?)?.copy.as_ref()
    }

    /// What the caches show.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let assigned = self.assigned();
        let attached = self.providers.iter().filter(|(_, provider)| !provider.detached);
        let of_interest = attached.clone().filter(|(name, _)| assigned.as_ref().is_none_or(|at| at == *name));
        let providers = of_interest.map(|(name, provider)| {
            let copy = view(provider.copy.as_ref(), provider.copies_unread.as_ref());
            (name.clone(), ProviderView { offers_unknown: provider.offers_unread.clone(), copy })
        });
        let attached: BTreeSet<&ClusterName> = attached.map(|(name, _)| name).collect();
        let offers = self.offers.keys().filter(|(provider, ..)| attached.contains(provider));
        let record = match (&self.record_unread, &self.record) {
            (Some(Unread { why, failing }), _) => View::Unknown { why: why.clone(), failing: *failing },
            (None, Some(record)) => View::Present(Arc::new(record.clone())),
            (None, None) => View::Absent,
        };
        let mut snapshot = Snapshot {
            key: self.key.clone(),
            now: Time(self.now),
            consumer: view(self.object.as_ref(), self.object_unread.as_ref()),
            shape: self.shape,
            record,
            offers: offers.map(|name| Arc::new(offer(name))).collect(),
            providers: providers.collect(),
            related: Vec::new(),
            held: self.held(),
            memory: self.memory.clone(),
        };
        if let (Some(at), Some(copy)) = (&assigned, snapshot.copy()) {
            snapshot.related = related::declared(copy, &self.key).into_iter().map(|d| self.related(at, d)).collect();
        }
        snapshot
    }

    /// The broker's copies of related resources that a watch shows.
    fn held(&self) -> Vec<(Gvk, Arc<Object>)> {
        if self.targets.unwatchable || self.targets.unread.is_some() {
            return Vec::new();
        }
        let record = self.key.record_name();
        let beside = self.beside.iter().map(|((gvk, _), document)| (gvk.clone(), object(document)));
        beside.filter(|(_, object)| object.label(keys::RELATED_TO) == Some(record.as_str())).collect()
    }

    fn related(&self, at: &ClusterName, declared: related::Declared) -> RelatedView {
        let source = (declared.gvk.clone(), declared.namespace.clone(), declared.name.clone());
        let source = self.providers.get(at).and_then(|provider| provider.sources.get(&source));
        let ours = |document: &&Value| !document["metadata"]["labels"][keys::RELATED_TO].is_null();
        let target = self.beside.get(&(declared.gvk.clone(), declared.target_name.clone())).filter(ours);
        let watched = |ends: &Ends, there: Option<&Value>| {
            if ends.unwatchable { Watched::Unwatchable } else { Watched::View(view(there, ends.unread.as_ref())) }
        };
        RelatedView {
            allowed: self.allowed.contains(declared.gvk.kind.as_str()),
            source: watched(&self.sources, source),
            target: watched(&self.targets, target),
            declared,
        }
    }

    /// What the plugins answer.
    pub(crate) fn answers(&self, snapshot: &Snapshot) -> Answers {
        let questions = ask(snapshot);
        Answers {
            judge: questions.judge.and_then(|judge| answer(&self.filter, || self.judge(snapshot, &judge))),
            transform: questions.transform.and_then(|question| answer(&self.transformer, || transform(&question))),
        }
    }

    fn judge(&self, snapshot: &Snapshot, judge: &Judge) -> Vec<Verdict> {
        let asked = judge.offers.iter().map(|index| &snapshot.offers[*index]);
        let verdict = |offer: &Arc<Offer>| {
            let name = (offer.provider.clone(), offer.namespace.clone(), offer.name.clone());
            self.offers.get(&name).cloned().unwrap_or_else(|| Verdict::Refused(vec!["it has just gone".into()]))
        };
        asked.map(verdict).collect()
    }

    /// What the planner makes of it.
    pub(crate) fn plan(&self) -> Plan {
        let snapshot = self.snapshot();
        plan(&snapshot, &self.answers(&snapshot))
    }

    /// One pass.
    pub(crate) fn pass(&mut self) -> Went {
        let plan = self.plan();
        self.carry_out(&plan, usize::MAX)
    }

    /// Passes until one changes nothing; time goes on where a plan says that it is waiting for it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let plan = self.plan();
            let went = self.carry_out(&plan, usize::MAX);
            match plan.again {
                _ if went.writes > 0 => {}
                Some(again) if again < SOON => self.wait(again),
                _ => return,
            }
        }
        panic!("still writing after {ROUNDS} passes; the last plan: {:#?}", self.plan());
    }

    /// Carries out the first `steps` steps of a plan, as the host does: a step that fails is the last.
    pub(crate) fn carry_out(&mut self, plan: &Plan, steps: usize) -> Went {
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
                return Went { writes, well: false };
            }
        }
        // The conditions that tell of a failure are out of date once it is mended: another pass is due.
        writes += usize::from(self.memory.failure.take().is_some());
        Went { writes, well: true }
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
            Action::Decorate { target, uid, finalizer, annotations } => self.decorate(target, uid, finalizer, annotations),
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
            return if is_object { self.object.as_ref() } else { self.beside.get(&(target.gvk.clone(), target.name.clone())) };
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
        let Some(source) = self.there(&request.source).map(object) else {
            if let Existing::Ours(there) = &request.existing {
                self.remove(&request.target, there.uid())?;
            }
            let message = format!("{} is declared, but it is not there", request.source);
            return Err(failed(Part::Related, false, reason::RELATED_MISSING, &message));
        };
        let place = (request.target.gvk.clone(), request.target.name.clone());
        let there = self.beside.get(&place).map(object);
        if let (Existing::Unknown, Some(there)) = (&request.existing, &there)
            && there.annotation(keys::RELATED_SOURCE) == Some(related::source_mark(&source).as_str())
            && !there.touched_by_others
        {
            return Ok(false);
        }
        if there.as_ref().is_some_and(|there| !related::may_replace(there, request)) {
            let message = format!("{} exists and is not the broker's", request.target);
            return Err(failed(Part::Related, false, reason::RELATED_CONFLICT, &message));
        }
        let document = related::document(&source, request, there.as_deref());
        let mut document = document.map_err(|found| failed(Part::Related, false, reason::RELATED_NOT_ALLOWED, &found.message))?;
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
            let Some(there) = self.beside.get(&place).filter(|there| uid_of(there) == uid) else { return Err(Fault::Again) };
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
        let places: Vec<ClusterName> = self.providers.keys().filter(|at| Some(*at) != named.as_ref()).cloned().collect();
        for at in places {
            let target = self.key.copy_at(&at);
            let copy = self.there(&target).map(object);
            let nothing = |is_there: bool| if is_there { View::Present(()) } else { View::Absent };
            let snapshot = SweepSnapshot {
                consumer: Some(nothing(self.object.is_some())),
                record: nothing(copy.as_ref().and_then(|copy| claim(&target, copy)).is_none() || self.record.is_some()),
                target,
                copy,
            };
            writes += self.carry_out(&sweep::plan(&snapshot), usize::MAX).writes;
        }
        writes
    }
}

fn offer((provider, namespace, name): &OfferName) -> Offer {
    Offer { provider: provider.clone(), namespace: namespace.clone(), name: name.clone(), filters: Vec::new() }
}

fn answer<T>(plugin: &Plugin, works: impl FnOnce() -> T) -> Option<Result<T, PluginFailure>> {
    match plugin {
        Plugin::Works => Some(Ok(works())),
        Plugin::Silent => None,
        Plugin::Failed(message) => Some(Err(PluginFailure { message: message.clone() })),
    }
}

/// What the standard transformer does: the consumer's names for related resources.
fn transform(question: &Transform) -> Option<Value> {
    let copy: Value = serde_json::from_str(&question.copy).unwrap_or_default();
    let mut status = copy.get("status")?.clone();
    let related = status.get_mut("relatedResources").and_then(Value::as_object_mut);
    for related in related.into_iter().flat_map(Map::values_mut) {
        let name = related["name"].as_str().unwrap_or_default();
        related["name"] = name.strip_prefix(&question.prefix).unwrap_or(name).into();
        related["namespace"] = question.consumer_namespace.clone().into();
    }
    Some(status)
}

fn failed(part: Part, invalid: bool, reason: &'static str, message: &str) -> Fault {
    Fault::Failed(Failure { part, invalid, reason, message: message.into() })
}
