//! A migration that is under way, with what its reconcile is about and what the compute cluster shows of it.

use std::{collections::BTreeSet, sync::Arc};

use resource_broker_api::{
    GroupVersionKind,
    broker::{MigrationRef, MigrationStatus, StageResource, StageState},
    conditions::reason,
    keys,
    names::Gvk,
    object::Object,
};
use resource_broker_plugin_types::{Endpoint, MigrationContext, Mirrored};
use sha2::{Digest, Sha256};

use crate::{
    migration::{
        progress::{Progress, Stand},
        status_writer::StatusWriter,
    },
    model::{
        question::{Answers, PluginFailure, Questions, Template, TemplateAsk},
        snapshot::{ComputeView, MigrationRecord, MirrorView, Part, Side, Snapshot},
    },
    plan::{Action, findings::Finding},
};

/// A migration that is under way, with what its pass is about.
#[derive(Clone, Copy)]
pub(crate) struct UnderWay<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) migration: &'a MigrationRecord,
    /// The copy that is left.
    pub(crate) old: &'a Object,
    /// The copy that is gone to.
    pub(crate) new: &'a Object,
    /// `spec` of the configuration.
    pub(crate) configuration: &'a str,
    pub(crate) answers: &'a Answers,
}

impl<'a> UnderWay<'a> {
    /// A status to be rewritten. What has been deployed since the last write comes along.
    pub(crate) fn writer(&self) -> StatusWriter<'a> {
        let mut writer = StatusWriter::of(self.migration, &self.snapshot.now);
        note_deployed(*self, writer.status());
        writer
    }

    /// The migration's id.
    pub(crate) fn id(&self) -> &'a str {
        self.migration.status.id.as_deref().unwrap_or_default()
    }

    /// Whether a migration's id is one of this object's, for a move between any two of the providers that are attached or that
    /// this one is between.
    pub(crate) fn is_of_the_same_object(&self, id: &str) -> bool {
        let Some(record) = self.snapshot.record.present() else { return false };
        let spec = &self.migration.spec;
        let attached = self.snapshot.providers.keys().map(ToString::to_string);
        let ends = [&spec.from.cluster_name, &spec.to.cluster_name].into_iter().cloned();
        let providers: BTreeSet<String> = attached.chain(ends).collect();
        let to_each = |from: &String| providers.iter().any(|to| id_between(&record.uid, from, to) == id);
        providers.iter().any(to_each)
    }

    /// Something that is not the broker's to mend is in the way.
    pub(crate) fn blocked(&self, why: &str) -> Progress {
        blocked_in(self.writer(), why)
    }

    /// What is awaited.
    pub(crate) fn waits(&self, why: &'static str, message: String) -> Progress {
        if let Some(failure) = self.snapshot.memory.failure.as_ref().filter(|it| it.part == Part::Migration) {
            return self.blocked(&failure.message);
        }
        let mut writer = self.writer();
        let told = match &self.migration.status.stage {
            Some(stage) => format!("stage {stage}: {message}"),
            None => format!("before the first stage: {message}"),
        };
        let (finding, stand) = match why {
            reason::AWAITING_APPROVAL => (Finding::no(why, told), Stand::AwaitsApproval),
            _ => (Finding::yes(why, told), Stand::Waits),
        };
        writer.progressing(&finding);
        Progress::act(message, writer.write()).shown_as(stand)
    }

    /// Puts a question to the API's template component.
    pub(crate) fn ask(&self, ask: TemplateAsk) -> Box<Questions> {
        let spec = &self.migration.spec;
        let json = |copy: &Object, at: &MigrationRef| {
            let gvk = gvk(&at.gvk);
            copy.to_json(&gvk.api_version(), &gvk.kind)
        };
        let context = MigrationContext {
            id: self.id().to_owned(),
            namespace: self.snapshot.migration.compute.namespace.clone(),
            configuration: self.configuration.to_owned(),
            old: self.endpoint(Side::From, &spec.from),
            new: self.endpoint(Side::To, &spec.to),
        };
        let template = Template { context, old: json(self.old, &spec.from), new: json(self.new, &spec.to), ask };
        Box::new(Questions { template: Some(template), ..Questions::default() })
    }

    fn endpoint(&self, side: Side, at: &MigrationRef) -> Endpoint {
        let gvk = gvk(&at.gvk);
        Endpoint {
            provider: at.cluster_name.clone(),
            api_version: gvk.api_version(),
            kind: gvk.kind,
            namespace: at.namespace.clone().unwrap_or_default(),
            name: at.name.clone(),
            related: in_place(&self.snapshot.migration.compute, self.id(), side),
        }
    }

    /// An answer of the template component, or else what its failure comes to.
    pub(crate) fn answered<'b, T>(&self, answer: &'b Result<T, PluginFailure>) -> Result<&'b T, Progress> {
        answer.as_ref().map_err(|failure| self.blocked(&failure.message))
    }
}

/// Writes down which objects have been deployed for the stage that runs, as the compute cluster shows them.
fn note_deployed(under_way: UnderWay<'_>, status: &mut MigrationStatus) {
    let Some(stage) = status.stages.last_mut().filter(|stage| stage.state == StageState::Running) else { return };
    for resource in stage.resources.iter_mut().filter(|resource| resource.uid.is_none()) {
        let there = seen(under_way, resource).filter(|there| is_of(there, &stage.name));
        resource.uid = there.map(|there| there.uid().to_owned());
    }
    stage.retained |= stage.resources.iter().all(|resource| resource.uid.is_some());
}

/// What is under a stage resource's name, as far as the compute cluster is read.
pub(crate) fn seen<'a>(under_way: UnderWay<'a>, resource: &StageResource) -> Option<&'a Object> {
    let gvk = gvk(&resource.gvk);
    let deployed = &under_way.snapshot.migration.compute.deployed;
    let it = deployed.iter().find(|(other, object)| *other == gvk && object.name() == resource.name);
    it.map(|(_, object)| object.as_ref())
}

/// Whether an object was deployed for the stage of this name.
pub(crate) fn is_of(object: &Object, stage: &str) -> bool {
    object.label(keys::MIGRATION_STAGE) == Some(stage)
}

/// The mirrors of one side that are there.
fn in_place(compute: &ComputeView, id: &str, side: Side) -> Vec<Mirrored> {
    let mirrors = compute.mirrors.iter().filter(|mirror| mirror.side == side);
    let ours = |there: &Arc<Object>| there.label(keys::MIGRATION_ID) == Some(id);
    let there = mirrors.filter(|mirror| mirror.there.present().is_some_and(ours));
    there
        .map(|mirror| Mirrored {
            key: mirror.declared.entry.clone(),
            api_version: mirror.declared.gvk.api_version(),
            kind: mirror.declared.gvk.kind.clone(),
            name: mirror_name(mirror),
        })
        .collect()
}

/// What a mirror is called in the compute cluster.
pub(crate) fn mirror_name(mirror: &MirrorView) -> String {
    format!("{}{}", mirror.side.prefix(), mirror.declared.name)
}

/// The command line with which a person gives an order.
pub(crate) fn command(order: &str, migration: &MigrationRecord) -> String {
    format!("resource-broker migrate {order} {} -n {}", migration.name, migration.namespace)
}

/// Takes one order off a migration.
pub(crate) fn take_order(migration: &MigrationRecord, order: &'static str) -> Action {
    Action::TakeOrders { name: migration.name.clone(), uid: migration.uid.clone(), annotations: vec![order] }
}

pub(crate) fn blocked_in(mut writer: StatusWriter<'_>, why: &str) -> Progress {
    let write = writer.progressing(&Finding::no(reason::BLOCKED, why)).write();
    Progress::act(format!("its migration is blocked: {why}"), write).shown_as(Stand::Blocked)
}

pub(crate) fn id_between(record_uid: &str, from: &str, to: &str) -> String {
    let mut hash = Sha256::new();
    for part in [record_uid, from, to] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("m{}", hex::encode(&hash.finalize()[..6]))
}

pub(crate) fn gvk(kind: &GroupVersionKind) -> Gvk {
    Gvk::new(&kind.group, &kind.version, &kind.kind)
}
