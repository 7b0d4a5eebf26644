//! The compute cluster of the model, and a template component that does what a script says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use resource_broker_api::{
    broker::{MigrationState, MigrationStatus, StageState},
    conditions::reason,
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use resource_broker_planner::model::{
    declared,
    question::{Answers, PodsOf, Template, TemplateAsk},
    snapshot::{ComputeView, KindView, MigrationRecord, MirrorView, Part, Side, Target, View, Watched},
};
use resource_broker_plugin_types::{Deployed, Manifest, Stage, StageOutcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Plugin, Unread, World,
    caches::{answer, view},
    is_deleting, object, uid_of,
    writes::{Done, Fault, failed},
};

/// The namespace that the broker uses.
pub(crate) const NAMESPACE: &str = "stages";

/// The compute cluster.
#[derive(Clone, Debug)]
pub(crate) struct Compute {
    pub(crate) cluster: ClusterName,
    /// The namespace that the broker uses now. Everything is in the first one.
    pub(crate) namespace: String,
    /// Objects in the broker's namespace, by kind and name.
    pub(crate) objects: BTreeMap<(Gvk, String), Value>,
    /// Jobs with a pod that has not ended. It outlives its Job for a while.
    pub(crate) pods: BTreeSet<String>,
    /// Why pods cannot be listed.
    pub(crate) pods_unread: Option<String>,
    /// Why what stages deploy cannot be seen.
    pub(crate) unread: Option<Unread>,
    /// Whatever is written there fails.
    pub(crate) broken: bool,
    /// Kinds that do not live in namespaces.
    pub(crate) cluster_wide: Vec<String>,
    /// What the component makes of any configuration.
    pub(crate) stages: Vec<Scripted>,
    pub(crate) component: Plugin,
}

/// A stage as a script describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Scripted {
    pub(crate) name: String,
    /// Templates: each deploys a Job, or the kind named.
    pub(crate) deploys: BTreeMap<String, String>,
    /// Why the preconditions do not hold.
    pub(crate) waits: Option<String>,
    /// Why it can never succeed.
    pub(crate) fails: Option<String>,
    pub(crate) progress: bool,
    /// Seconds.
    pub(crate) timeout: Option<u32>,
    pub(crate) retries: u32,
    pub(crate) approval: bool,
}

impl Compute {
    pub(super) fn new() -> Self {
        Self {
            cluster: ClusterName::new(Role::Compute, "compute"),
            namespace: NAMESPACE.into(),
            objects: BTreeMap::new(),
            pods: BTreeSet::new(),
            pods_unread: None,
            unread: None,
            broken: false,
            cluster_wide: Vec::new(),
            stages: Vec::new(),
            component: Plugin::Works,
        }
    }
}

impl World {
    pub(super) fn compute_answers(&self) -> Result<(), Fault> {
        if self.compute.broken {
            let message = format!("{} does not answer", self.compute.cluster);
            return Err(failed(Part::Migration, false, reason::CLUSTER_UNAVAILABLE, &message));
        }
        Ok(())
    }

    /// What a watch shows of the Migration's things in the compute cluster.
    pub(super) fn compute_view(&self) -> ComputeView {
        let status = self.migration.as_ref().map(|migration| &migration.status);
        let id = status.and_then(|status| status.id.as_deref()).unwrap_or_default();
        let stages = status.into_iter().flat_map(|status| &status.stages);
        let kinds: BTreeMap<Gvk, KindView> = stages
            .flat_map(|stage| &stage.resources)
            .map(|resource| Gvk::new(&resource.gvk.group, &resource.gvk.version, &resource.gvk.kind))
            .map(|gvk| {
                let namespaced = Some(!self.compute.cluster_wide.contains(&gvk.kind));
                (gvk, KindView { read: self.compute_read(), namespaced })
            })
            .collect();
        let held = |stage: bool| -> Vec<(Gvk, Arc<Object>)> {
            if self.compute.unread.is_some() || self.compute.namespace != NAMESPACE {
                return Vec::new();
            }
            let all = self.compute.objects.iter().map(|((gvk, _), there)| (gvk.clone(), object(there)));
            all.filter(|(gvk, there)| {
                there.label(keys::MIGRATION_ID) == Some(id)
                    && there.label(keys::MIGRATION_STAGE).is_some() == stage
                    && (!stage || kinds.contains_key(gvk))
            })
            .collect()
        };
        ComputeView {
            cluster: self.compute.cluster.clone(),
            namespace: self.compute.namespace.clone(),
            deployed: held(true),
            mirrored: held(false),
            mirrored_is_read: self.compute_read(),
            mirrors: self.mirrors(),
            kinds,
        }
    }

    fn compute_read(&self) -> View<()> {
        match &self.compute.unread {
            Some(Unread { why, failing }) => View::Unknown { why: why.clone(), failing: *failing },
            None => View::Present(()),
        }
    }

    fn mirrors(&self) -> Vec<MirrorView> {
        let Some(record) = &self.record else { return Vec::new() };
        let ends = [(Side::From, record.provider()), (Side::To, record.next())];
        let copies = ends.into_iter().filter_map(|(side, at)| {
            let at = at.filter(|at| self.providers.get(at).is_some_and(|provider| !provider.detached))?;
            Some((side, self.providers.get(&at)?.copy.as_ref().map(object)?, at))
        });
        let all = copies.flat_map(|(side, copy, at)| {
            declared::declared(&copy, &self.key).into_iter().map(move |declared| (side, at.clone(), declared))
        });
        all.map(|(side, at, declared)| {
            let name = format!("{}{}", side.prefix(), declared.name);
            let is_marked = |there: &&Value| !there["metadata"]["labels"][keys::MIGRATION_ID].is_null();
            let there = self.compute.objects.get(&(declared.gvk.clone(), name.clone())).filter(is_marked);
            let others = self.compute.objects.iter().filter(|((gvk, other), there)| {
                *other == name && *gvk != declared.gvk && self.allowed.contains(gvk.kind.as_str()) && is_marked(there)
            });
            let rivals = others.map(|((gvk, _), there)| (gvk.clone(), object(there))).collect();
            let source = (declared.gvk.clone(), declared.namespace.clone(), declared.name.clone());
            let source = self.providers.get(&at).and_then(|provider| provider.sources.get(&source));
            MirrorView {
                side,
                allowed: self.allowed.contains(declared.gvk.kind.as_str()),
                source: if self.sources.unwatchable {
                    Watched::Unwatchable
                } else {
                    Watched::View(view(source, self.sources.unread.as_ref()))
                },
                there: view(there, self.compute.unread.as_ref()),
                claims: self.claims.clone(),
                rivals,
                declared,
            }
        })
        .collect()
    }

    pub(super) fn deploy(&mut self, target: &Target, body: &Value) -> Done {
        self.compute_answers()?;
        if target.namespace.as_deref() != Some(NAMESPACE) || target.cluster != self.compute.cluster {
            self.wrongs.push(format!("{target} was deployed"));
        }
        let recorded = self.migration.as_ref().is_some_and(|migration| {
            let resources = migration.status.stages.iter().flat_map(|stage| &stage.resources);
            resources.into_iter().any(|resource| resource.name == target.name)
        });
        if !recorded {
            self.wrongs.push(format!("{target} was deployed before that was written down"));
        }
        self.goes_on(target);
        let place = (target.gvk.clone(), target.name.clone());
        if let Some(there) = self.compute.objects.get(&place) {
            let labels = |document: &Value| document["metadata"]["labels"].clone();
            if labels(there)[keys::MIGRATION_ID] != labels(body)[keys::MIGRATION_ID] {
                let message = format!("{target} exists and is not this migration's; rename or delete that one");
                return Err(failed(Part::Migration, false, reason::WRITE_FAILED, &message));
            }
            return if is_deleting(there) { Err(Fault::Again) } else { Ok(false) };
        }
        if target.gvk.kind == "Job" && !self.compute.pods.insert(target.name.clone()) {
            self.wrongs.push(format!("{target} was deployed beside a pod of an earlier one"));
        }
        let metadata = self.metadata(&target.name, Some(NAMESPACE));
        let mut document = body.clone();
        let stage = self.migration.as_ref().and_then(|it| it.status.stages.last());
        let mut known = stage.into_iter().flat_map(|stage| &stage.resources);
        // Each attempt begins without any.
        if known.any(|it| it.name == target.name && it.uid.is_some()) {
            self.wrongs.push(format!("{target} was deployed a second time"));
        }
        for field in ["uid", "resourceVersion"] {
            document["metadata"][field] = metadata[field].clone();
        }
        self.compute.objects.insert(place, document);
        Ok(true)
    }

    /// Notes what no write may do: make something for a Migration that is being deleted.
    pub(super) fn goes_on(&mut self, target: &Target) {
        if self.migration.as_ref().is_none_or(MigrationRecord::is_deleting) {
            self.wrongs.push(format!("{target} was made for a Migration that is being deleted"));
        }
    }

    /// What is in the compute cluster of the Migration, whether the broker can see it or not.
    pub(super) fn left_in_compute(&self) -> Vec<String> {
        let id = self.migration.as_ref().and_then(|migration| migration.status.id.as_deref());
        let is_its = |there: &&Value| id.is_some_and(|id| there["metadata"]["labels"][keys::MIGRATION_ID] == id);
        let left = self.compute.objects.values().filter(is_its);
        left.map(|there| there["metadata"]["name"].to_string()).collect()
    }

    pub(super) fn remove_in_compute(&mut self, target: &Target, uid: &str) -> Done {
        if self.compute.broken {
            let message = format!("{} does not answer", self.compute.cluster);
            return Err(failed(Part::Delete, false, reason::CLUSTER_UNAVAILABLE, &message));
        }
        let place = (target.gvk.clone(), target.name.clone());
        let Some(there) = self.compute.objects.get_mut(&place).filter(|there| uid_of(there) == uid) else {
            return Err(Fault::Again);
        };
        if there["metadata"]["labels"][keys::MIGRATION_ID].is_null() {
            self.wrongs.push(format!("{target} was deleted, and is not the broker's"));
        }
        if there["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty()) {
            let was_deleting = is_deleting(there);
            there["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
            return Ok(!was_deleting);
        }
        self.compute.objects.remove(&place);
        Ok(true)
    }

    /// Gives an object these finalizers alone; one that somebody deleted goes with its last one.
    pub(super) fn finalizers_in_compute(&mut self, target: &Target, uid: &str, version: &str, are: &[String]) -> Done {
        self.compute_answers()?;
        let next = self.next().to_string();
        let place = (target.gvk.clone(), target.name.clone());
        let Some(there) = self.compute.objects.get_mut(&place).filter(|there| uid_of(there) == uid) else {
            return Err(Fault::Again);
        };
        if there["metadata"]["resourceVersion"] != version {
            return Err(Fault::Again);
        }
        let is_put_on = are.iter().any(|held| held == keys::STAGE_FINALIZER);
        if is_put_on && is_deleting(there) {
            self.wrongs.push(format!("a finalizer is put on {target}, which is being deleted"));
        }
        there["metadata"]["finalizers"] = json!(are);
        there["metadata"]["resourceVersion"] = next.into();
        if are.is_empty() && is_deleting(there) {
            self.compute.objects.remove(&place);
        }
        let runs = self.migration.as_ref().filter(|migration| !migration.is_deleting()).is_some_and(|migration| {
            let last = migration.status.stages.last();
            let is_its = last.is_some_and(|stage| stage.resources.iter().any(|it| it.uid.as_deref() == Some(uid)));
            is_its
                && migration.status.state != Some(MigrationState::Failed)
                && last.is_some_and(|stage| stage.state == StageState::Running)
        });
        if runs && !is_put_on {
            self.wrongs.push(format!("{target} was let go before its end was written down"));
        }
        Ok(true)
    }

    /// Somebody, or the TTL of Jobs, deletes what a stage deployed: what carries a finalizer stays until that is off.
    pub(crate) fn delete_jobs(&mut self, by_force: bool) {
        let version = self.next().to_string();
        self.compute.objects.retain(|_, there| {
            if there["metadata"]["labels"][keys::MIGRATION_STAGE].is_null() {
                return true;
            }
            there["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
            there["metadata"]["resourceVersion"] = version.clone().into();
            !by_force && there["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty())
        });
    }

    /// What runs in the compute cluster ends: well, or with a failure.
    pub(crate) fn end_jobs(&mut self, well: bool) {
        let version = self.next().to_string();
        for there in self.compute.objects.values_mut() {
            if !there["metadata"]["labels"][keys::MIGRATION_STAGE].is_null() {
                there["status"] = if well { json!({"done": true}) } else { json!({"failed": "exit code 1"}) };
                there["metadata"]["resourceVersion"] = version.clone().into();
            }
        }
        // A Job can fail before all of its pods have ended.
        if well {
            let jobs = &self.compute.objects;
            self.compute.pods.retain(|pod| !jobs.keys().any(|(_, name)| name == pod));
        }
    }

    /// Time passes: pods whose Job is gone come to their end.
    pub(super) fn end_pods(&mut self) {
        let jobs = &self.compute.objects;
        self.compute.pods.retain(|pod| jobs.keys().any(|(_, name)| name == pod));
    }

    /// The pods that have not ended; or why that cannot be told.
    pub(super) fn live_pods(&self, of: &PodsOf) -> Result<Vec<String>, String> {
        assert_eq!((&of.cluster, of.namespace.as_str()), (&self.compute.cluster, NAMESPACE), "nobody else is asked");
        let live = of.jobs.iter().filter(|job| self.compute.pods.contains(*job));
        let live = live.map(|job| format!("{job}-pod")).collect();
        self.compute.pods_unread.clone().map_or(Ok(live), Err)
    }

    /// Notes a migration that goes on although pods of the stage that it leaves, or of an earlier attempt, have not ended.
    pub(super) fn check_pods(&mut self, status: &MigrationStatus) {
        let Some(before) = self.migration.as_ref().map(|migration| &migration.status) else { return };
        let Some(left) = before.stages.last() else { return };
        let is_over = matches!(left.state, StageState::Retrying | StageState::Succeeded);
        let goes_on = status.stages.last().is_none_or(|stage| (&stage.name, stage.state) != (&left.name, left.state))
            || (status.stage.is_none() && before.stage.is_some());
        if !is_over || !goes_on || status.state == Some(MigrationState::Failed) {
            return;
        }
        let lives = left.resources.iter().find(|resource| self.compute.pods.contains(&resource.name));
        if let Some(job) = lives {
            self.wrongs.push(format!("what comes after stage {} met a pod of {}", left.name, job.name));
        }
    }

    /// Somebody changes an object in the compute cluster, or puts one there: `KIND/NAME`, with `ID` for the migration's id.
    pub(crate) fn edit_in_compute(&mut self, name: &str, change: &Value) {
        let Some((kind, name)) = name.split_once('/') else { panic!("{name}: an object is KIND/NAME") };
        let id = self.migration.as_ref().and_then(|migration| migration.status.id.clone()).unwrap_or_default();
        let name = name.replace("ID", &id).replace("HASH-", &self.key.consumer.copy_prefix());
        let gvk = if kind == "Secret" { Gvk::new("core", "v1", kind) } else { Gvk::new("batch", "v1", kind) };
        let metadata = self.metadata(&name, Some(NAMESPACE));
        let there = self.compute.objects.entry((gvk, name)).or_insert_with(|| json!({"metadata": metadata}));
        crate::fields::patch(there, change);
        there["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
        let is_over = is_deleting(there) && there["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if is_over {
            self.compute.objects.retain(|_, there| there["metadata"]["uid"] != metadata["uid"] && !is_deleting(there));
        }
    }

    /// What the component answers.
    pub(super) fn ask_component(&self, template: &Template, answers: &mut Answers) {
        let component = &self.compute.component;
        let scripted = |name: &str| self.compute.stages.iter().find(|stage| stage.name == name);
        match &template.ask {
            TemplateAsk::Stages => {
                answers.stages = answer(component, || self.compute.stages.iter().map(stage).collect());
            }
            TemplateAsk::Render(name) => {
                answers.manifests = answer(component, || scripted(name).map(manifests).unwrap_or_default());
            }
            TemplateAsk::Assess(name, deployed) => {
                answers.outcome = answer(component, || {
                    scripted(name)
                        .map_or_else(|| StageOutcome::Failed("no such stage".into()), |it| assess(it, deployed))
                });
            }
        }
    }
}

fn stage(scripted: &Scripted) -> Stage {
    Stage {
        name: scripted.name.clone(),
        progress: scripted.progress,
        timeout_seconds: scripted.timeout,
        retries: scripted.retries,
        approval: scripted.approval,
    }
}

fn manifests(scripted: &Scripted) -> Vec<Manifest> {
    let of = |(template, kind): (&String, &String)| {
        let (api, kind) = kind.rsplit_once('/').unwrap_or(("batch/v1", kind));
        let body = json!({"apiVersion": api, "kind": kind, "spec": {"of": template}});
        Manifest { name: template.clone(), body: body.to_string() }
    };
    scripted.deploys.iter().map(of).collect()
}

fn assess(scripted: &Scripted, deployed: &[Deployed]) -> StageOutcome {
    if let Some(why) = &scripted.fails {
        return StageOutcome::Failed(why.clone());
    }
    if deployed.is_empty() {
        return scripted.waits.clone().map_or(StageOutcome::Ready, StageOutcome::Waiting);
    }
    let objects: Vec<Value> = deployed
        .iter()
        .map(|it| it.object.as_deref().and_then(|there| serde_json::from_str(there).ok()).unwrap_or_default())
        .collect();
    if let Some(why) = objects.iter().find_map(|there| there["status"]["failed"].as_str()) {
        return StageOutcome::Failed(why.into());
    }
    if objects.iter().all(|there| there["status"]["done"] == true) {
        return StageOutcome::Succeeded;
    }
    StageOutcome::Waiting("its Job has not ended".into())
}
