//! Related resources (Secrets, ConfigMaps) that the copy's status declares.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::OwnerReference, jiff::SignedDuration};
use resource_broker_api::{
    broker::ProviderRef,
    conditions::{SYNCED, reason},
    keys,
    names::{ClusterName, Gvk, MAX_NAME},
    object::Object,
};
use serde_json::{Map, Value, json};

use crate::{
    model::{
        declared::{self, MOST, is_time},
        question::{Answers, Questions},
        snapshot::{Key, RelatedView, Snapshot, Target, View, Watched},
    },
    plan::{Action, CopyRelated, DeclaredBy, Existing, Guard, Marks, findings::Finding},
    sync::claims::{self, Declarer, Withheld},
};

/// The pace of single reads where a kind may not be watched. The host adds jitter.
const UNWATCHED_PACE: Duration = Duration::from_mins(1);
/// How long the consumer keeps what an earlier copy declared, after the present copy was made: what went with a copy comes back
/// with it.
const GRACE: Duration = Duration::from_mins(5);
/// How long a source has to be missing before the consumer's copy goes: a namespace that is deleted loses its Secrets a moment
/// before its copies.
const MISSING: Duration = Duration::from_secs(10);

/// What is to be done about related resources.
#[derive(Debug, Default)]
pub struct Step {
    /// Copies to make or renew, and copies to take away.
    pub actions: Vec<Action>,
    /// Copies to take away once everything else has been done: those of a provider that was left.
    pub removals: Vec<Action>,
    /// Something has not been read yet, and will be soon: the consumer is better told when it is there.
    pub pending: bool,
    /// What is in the way, for the condition `Synced`.
    pub problem: Option<Finding>,
    /// Something that the provider declares, or will, cannot be brought to the consumer now.
    pub behind: bool,
    /// Look again after this long.
    pub again: Option<Duration>,
    /// Sources that are not there, by kind and name at the consumer.
    pub missing: BTreeSet<(Gvk, String)>,
    /// What the provider has to mend, told there too.
    pub theirs: Option<Finding>,
}

/// Whose related resources are brought to the consumer.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The provider.
    pub provider: &'a ClusterName,
    /// The name of the Assignment.
    pub record: &'a str,
    /// The place of the copy, as the Assignment has it.
    pub place: &'a ProviderRef,
    /// The copy that declares them.
    pub copy: &'a Object,
    /// What it declares.
    pub views: &'a [RelatedView],
    /// Whether the object is on its way from one provider to another: then what the consumer has stays until all that is to
    /// come in its stead is there.
    pub moving: bool,
}

impl Step {
    fn problem(&mut self, reason: &str, message: String) {
        self.problem.get_or_insert_with(|| Finding::no(reason, message));
    }

    fn again_in(&mut self, rest: Duration) {
        self.again = Some(self.again.map_or(rest, |other| other.min(rest)));
    }
}

impl Source<'_> {
    /// The copy, for whoever reads what it declares.
    pub(crate) fn declared_by(&self, snapshot: &Snapshot) -> DeclaredBy {
        let version = self.place.version.clone().unwrap_or_else(|| snapshot.key.gvk.version.clone());
        let gvk = Gvk { version, ..snapshot.key.gvk.clone() };
        let copy = Target::new(self.provider.clone(), gvk, self.copy.meta.namespace.clone(), self.copy.name().into());
        DeclaredBy { copy, uid: self.copy.uid().into(), is_new: self.rest_of_grace(snapshot).is_some() }
    }

    /// How long what an earlier copy declared stays yet; `None`: no longer. An object that moves has other rules.
    fn rest_of_grace(&self, snapshot: &Snapshot) -> Option<Duration> {
        let made = self.copy.meta.creation_timestamp.as_ref();
        let age = made.map(|made| snapshot.now.0.duration_since(made.0));
        // A provider whose clock is ahead makes it longer, and never shorter.
        let age = age.map(|age| Duration::try_from(age.max(SignedDuration::ZERO)).unwrap_or_default());
        let age = age.into_iter().chain(snapshot.memory.since_placed).min()?;
        GRACE.checked_sub(age).filter(|rest| !rest.is_zero() && !self.moving)
    }

    /// The same for one of the consumer's copies: what the present copy has declared goes when it goes there.
    fn grace(&self, snapshot: &Snapshot, there: &Object) -> Option<Duration> {
        self.rest_of_grace(snapshot).filter(|_| !is_of_copy(there, self.copy.uid()))
    }
}

/// Brings the consumer's copies of related resources in step.
pub fn related(snapshot: &Snapshot, consumer: &Object, source: Source<'_>) -> Step {
    let Source { provider, copy, views, moving, .. } = source;
    let mut step = Step::default();
    if copy.is_deleting() || !is_time(copy) {
        // A kind that reports no status declares nothing either; one that did, and was made anew at its provider, will.
        let reported = moving && declared::word(consumer.field("status").as_ref()).is_some();
        step.behind = copy.is_deleting() || copy.field("status").is_some() || reported;
        return step;
    }
    let Some(namespace) = consumer.namespace() else {
        if !views.is_empty() {
            step.problem(
                reason::RELATED_NOT_ALLOWED,
                "a cluster-wide object has no namespace that related resources could be put into".into(),
            );
        }
        return step;
    };
    let mut taken = BTreeSet::new();
    for view in views {
        let target = Target::new(
            snapshot.key.consumer.clone(),
            view.declared.gvk.clone(),
            Some(namespace.to_owned()),
            view.declared.target_name.clone(),
        );
        if !taken.insert((target.gvk.clone(), target.name.clone())) {
            step.problem(
                reason::RELATED_CONFLICT,
                format!(
                    "{provider} declares two related resources that would both be {target}; only the first is copied"
                ),
            );
            continue;
        }
        if taken.len() > MOST {
            step.problem(
                reason::RELATED_NOT_ALLOWED,
                format!("{provider} declares more than {MOST} related resources; the rest is left out"),
            );
            break;
        }
        one(snapshot, consumer, source, view, target, &mut step);
    }
    step.behind |= step.pending;
    let gone = take_away(snapshot, consumer.uid(), source, &taken, &mut step);
    match (moving, step.behind) {
        (false, _) => step.actions.extend(gone),
        (true, false) => step.removals = gone,
        (true, true) => {}
    }
    step
}

fn one(snapshot: &Snapshot, consumer: &Object, of: Source<'_>, view: &RelatedView, target: Target, step: &mut Step) {
    let Source { provider, record, moving, .. } = of;
    let declared = &view.declared;
    let source =
        Target::new(provider.clone(), declared.gvk.clone(), Some(declared.namespace.clone()), declared.name.clone());
    if !view.allowed {
        step.problem(
            reason::RELATED_NOT_ALLOWED,
            format!("{provider} declares {source}; this broker copies no {} (see --related-kind)", declared.gvk),
        );
        return;
    }
    let marks = Marks::Consumer { owner: owner(&snapshot.key, consumer), record: record.to_owned() };
    let Some(existing) = existing(view, &target, &source, &marks, step) else { return };
    if !is_given(snapshot, consumer, of, view, (&target, &existing), step) {
        return;
    }
    match &view.source {
        Watched::View(View::Unknown { why, failing }) => {
            step.pending |= !failing;
            step.behind = true;
            if *failing {
                step.problem(reason::RELATED_UNREADABLE, format!("{source} cannot be read: {why}"));
            }
            return;
        }
        Watched::View(View::Absent) if matches!(existing, Existing::NoneOfOurs) && may_be_late(snapshot, &source) => {}
        Watched::View(View::Absent) => {
            step.problem(reason::RELATED_MISSING, format!("{provider} declares {source}, but it is not there yet"));
            step.behind = true;
            match existing {
                Existing::Ours(_) | Existing::Unknown if moving => return,
                Existing::Ours(object) => {
                    take_missing(snapshot, consumer, of, (source, target, &object), step);
                    return;
                }
                Existing::NoneOfOurs => return,
                // Whether a copy is to be taken away takes a read, which the write below begins with.
                Existing::Unknown => {}
            }
        }
        Watched::View(View::Present(at_provider)) => {
            if let Existing::Ours(object) = &existing
                && is_in_step(snapshot, &target, object, at_provider, consumer)
            {
                return;
            }
        }
        Watched::Unwatchable => {}
    }
    if matches!(view.source, Watched::Unwatchable) || matches!(view.target, Watched::Unwatchable) {
        step.again_in(UNWATCHED_PACE);
    }
    let untouched = match &existing {
        Existing::Ours(there) => there.is_owned_by(consumer.uid()) && is_untouched(snapshot, &target, there),
        Existing::NoneOfOurs | Existing::Unknown => false,
    };
    let by = of.declared_by(snapshot);
    let copy = CopyRelated { source, target, existing, untouched, keep: moving, by, marks };
    step.actions.push(Action::CopyRelated(Box::new(copy)));
}

/// What is at the consumer under a related resource's name; `None` where nothing can be done there.
fn existing(view: &RelatedView, target: &Target, source: &Target, marks: &Marks, step: &mut Step) -> Option<Existing> {
    match &view.target {
        Watched::View(View::Unknown { why, failing }) => {
            step.pending |= !failing;
            step.behind = true;
            if *failing {
                step.problem(
                    reason::RELATED_UNREADABLE,
                    format!("copies of {} at {} cannot be read: {why}", view.declared.gvk, target.cluster),
                );
            }
            None
        }
        Watched::View(View::Absent) => Some(Existing::NoneOfOurs),
        Watched::View(View::Present(object)) if may_replace(object, marks) => Some(Existing::Ours(object.clone())),
        Watched::View(View::Present(object)) => {
            step.behind = true;
            step.problem(reason::RELATED_CONFLICT, of_another(source, target, object));
            None
        }
        Watched::Unwatchable => Some(Existing::Unknown),
    }
}

/// Whose copy of a related resource stands in the way of another one.
fn of_another(source: &Target, target: &Target, there: &Object) -> String {
    let owners = there.meta.owner_references.iter().flatten();
    let owner = owners.map(|owner| format!(" of {} {}", owner.kind, owner.name)).next().unwrap_or_default();
    format!(
        "{source} is declared as a related resource, but {target} is one{owner} already and stays that: have {} call this one \
         otherwise",
        source.cluster
    )
}

/// Whether the consumer may have a related resource. Where it may not, what it has had before stays as it is.
fn is_given(
    snapshot: &Snapshot,
    consumer: &Object,
    of: Source<'_>,
    view: &RelatedView,
    (target, existing): (&Target, &Existing),
    step: &mut Step,
) -> bool {
    let at_provider = match &view.source {
        Watched::View(View::Present(object)) => Some(object.as_ref()),
        Watched::View(View::Absent | View::Unknown { .. }) | Watched::Unwatchable => None,
    };
    let by = Declarer { provider: of.provider, place: of.place, copy: of.copy };
    match claims::withheld(snapshot, by, &view.declared, &view.claims, at_provider) {
        None => true,
        Some(Withheld::Refused(finding)) => {
            step.behind = true;
            step.theirs.get_or_insert_with(|| finding.clone());
            step.problem.get_or_insert(finding);
            false
        }
        Some(Withheld::Unknown(why, failing)) => {
            // What it has may be as it should be all the same.
            let is_right = matches!((existing, at_provider), (Existing::Ours(there), Some(source))
                if is_in_step(snapshot, target, there, source, consumer));
            if !is_right {
                step.pending |= !failing;
                step.behind = true;
                if failing {
                    let what = format!("whose {} at {} is cannot be told: {why}", view.declared.name, of.provider);
                    step.problem(reason::RELATED_UNREADABLE, what);
                }
            }
            is_right
        }
    }
}

/// The source of one of the consumer's copies has gone: the copy goes too, unless it went with the provider's copy.
fn take_missing(
    snapshot: &Snapshot,
    consumer: &Object,
    of: Source<'_>,
    (source, target, there): (Target, Target, &Object),
    step: &mut Step,
) {
    if !is_copy(there, snapshot.key.namespace.as_deref(), consumer.uid())
        || there.label(keys::RELATED_TO) != Some(of.record)
        || there.is_deleting()
    {
        return;
    }
    if let Some(rest) = of.grace(snapshot, there) {
        step.again_in(rest);
        return;
    }
    let name = (target.gvk.clone(), target.name.clone());
    let missing = snapshot.memory.missing.get(&name).copied().unwrap_or_default();
    step.missing.insert(name);
    if let Some(rest) = MISSING.checked_sub(missing).filter(|rest| !rest.is_zero()) {
        step.again_in(rest);
        return;
    }
    let by = of.declared_by(snapshot);
    let guards = vec![Guard::Gone(source), Guard::Lives(by.copy, by.uid)];
    step.actions.push(Action::Delete { target, uid: there.uid().into(), guards });
}

/// What keeps related resources that `to` declares from being brought to the consumer once the object is there: an object of
/// somebody else's under the name of one. Asks where no watch shows what is there.
pub(crate) fn taken(
    snapshot: &Snapshot,
    consumer: &Object,
    to: &ClusterName,
    answers: &Answers,
) -> Result<Option<String>, Box<Questions>> {
    let (Some(namespace), Some(record)) = (consumer.namespace(), snapshot.record.present()) else { return Ok(None) };
    let marks = Marks::Consumer { owner: owner(&snapshot.key, consumer), record: record.name.clone() };
    let mut places = Vec::new();
    for view in snapshot.related_next.iter().take(MOST).filter(|view| view.allowed) {
        let declared = &view.declared;
        let (consumer, name) = (snapshot.key.consumer.clone(), declared.target_name.clone());
        let target = Target::new(consumer, declared.gvk.clone(), Some(namespace.to_owned()), name);
        match &view.target {
            // A consumer that cannot be read keeps no provider busy: what it has stays until all can be brought to it.
            Watched::View(View::Unknown { .. }) => {}
            Watched::View(View::Present(there)) if may_replace(there, &marks) => {}
            Watched::View(View::Present(_)) => return Ok(Some(in_the_way(&target, to))),
            Watched::View(View::Absent) | Watched::Unwatchable => places.push(target),
        }
    }
    if places.is_empty() {
        return Ok(None);
    }
    let Some(found) = &answers.places else {
        return Err(Box::new(Questions { places, ..Questions::default() }));
    };
    Ok(places.iter().zip(found).find_map(|(target, found)| match found {
        Err(why) => Some(format!("whether {target} is there cannot be told: {why}")),
        Ok(Some(there)) if !may_replace(there, &marks) => Some(in_the_way(target, to)),
        Ok(_) => None,
    }))
}

fn in_the_way(target: &Target, to: &ClusterName) -> String {
    let namespace = target.namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    let (kind, name) = (&target.gvk.kind, &target.name);
    format!(
        "{} has a {kind} of its own named {name}{namespace}, and {to} declares one that would have that name: rename or delete \
         it there",
        target.cluster
    )
}

/// Whether the watch of a source may only be behind the one that showed the status which declares it: the read that copying
/// begins with tells. Once the record says that something is in the way, whatever it is, the watch alone is waited for:
/// what that read found would not be what is told, and so it would be made at every pass.
fn may_be_late(snapshot: &Snapshot, source: &Target) -> bool {
    let told = snapshot
        .record
        .present()
        .is_some_and(|record| record.status.conditions.iter().any(|it| it.type_ == SYNCED && it.status != "True"));
    // What cannot be a name cannot be there either.
    !told && source.namespace.iter().chain([&source.name]).all(|name| is_name(name))
}

/// Whether an API server may have an object of this name.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    text.len() <= MAX_NAME && text.bytes().all(fits) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Whether the consumer's copy is of this version of the source, and nobody changed it since.
fn is_in_step(snapshot: &Snapshot, target: &Target, there: &Object, source: &Object, consumer: &Object) -> bool {
    is_of(there, source) && there.is_owned_by(consumer.uid()) && is_untouched(snapshot, target, there)
}

/// Whether nobody changed a copy since the broker wrote it.
pub(crate) fn is_untouched(snapshot: &Snapshot, target: &Target, there: &Object) -> bool {
    let written = snapshot.memory.related.get(&(target.gvk.clone(), target.name.clone()));
    written.map_or(!there.touched_by_others, |version| version == there.resource_version())
}

/// What marks a copy as one of this version of the source.
pub fn source_mark(source: &Object) -> String {
    format!("{}/{}", source.uid(), source.resource_version())
}

/// Whether an object is a copy of this version of the source.
pub fn is_of(there: &Object, source: &Object) -> bool {
    let rest = there.annotation(keys::RELATED_SOURCE).and_then(|mark| mark.strip_prefix(&source_mark(source)));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an object was written because the provider's copy with this UID declared its source.
fn is_of_copy(there: &Object, uid: &str) -> bool {
    there.annotation(keys::RELATED_SOURCE).and_then(|mark| mark.splitn(3, '/').nth(2)) == Some(uid)
}

/// Whether what is at the target is this object's own and goes with its source. What an earlier copy at the provider had
/// declared stays while the present one is new.
pub fn may_take_away(there: &Object, request: &CopyRelated) -> bool {
    let is_own = match &request.marks {
        Marks::Consumer { owner, record } => {
            is_copy(there, request.target.namespace.as_deref(), &owner.uid)
                && there.label(keys::RELATED_TO) == Some(record.as_str())
        }
        Marks::Mirror { .. } => may_replace(there, &request.marks),
    };
    is_own && !request.keep && (!request.by.is_new || is_of_copy(there, &request.by.uid))
}

fn owner(key: &Key, consumer: &Object) -> OwnerReference {
    OwnerReference {
        api_version: key.gvk.api_version(),
        kind: key.gvk.kind.clone(),
        name: key.name.clone(),
        uid: consumer.uid().into(),
        ..OwnerReference::default()
    }
}

/// Copies that the status no longer declares.
fn take_away(
    snapshot: &Snapshot,
    consumer_uid: &str,
    of: Source<'_>,
    declared: &BTreeSet<(Gvk, String)>,
    step: &mut Step,
) -> Vec<Action> {
    let namespace = snapshot.key.namespace.as_deref();
    let is_declared = |gvk: &Gvk, object: &Object| {
        declared.contains(&(gvk.clone(), object.name().to_owned())) && object.namespace() == namespace
    };
    let left_over = snapshot.held.iter().filter(|(gvk, object)| {
        is_copy(object, namespace, consumer_uid) && !is_declared(gvk, object) && !object.is_deleting()
    });
    let mut gone = Vec::new();
    for (gvk, object) in left_over {
        match of.grace(snapshot, object) {
            Some(rest) => step.again_in(rest),
            None => gone.push(delete_held(&snapshot.key, gvk, object, Vec::new())),
        }
    }
    gone
}

/// The deletion of one copy at the consumer.
pub fn delete_held(key: &Key, gvk: &Gvk, object: &Object, guards: Vec<Guard>) -> Action {
    Action::Delete {
        target: Target::new(key.consumer.clone(), gvk.clone(), object.meta.namespace.clone(), object.name().into()),
        uid: object.uid().into(),
        guards,
    }
}

/// Whether an object is a copy that the broker made for the object with this UID. The label alone says nothing: it is
/// cloned with a Secret that somebody replicates or restores elsewhere.
pub fn is_copy(object: &Object, namespace: Option<&str>, consumer_uid: &str) -> bool {
    object.namespace() == namespace
        && object.is_owned_by(consumer_uid)
        && object.annotation(keys::RELATED_SOURCE).is_some()
}

/// Whether an object at the target may be replaced: the broker's own copy, also one for an object that stood under this
/// name before, or one that the Go broker made, which owns no more than a plain reference; in the compute cluster, a mirror of
/// the same migration.
pub fn may_replace(there: &Object, marks: &Marks) -> bool {
    let is_copied = there.annotation(keys::RELATED_SOURCE).is_some();
    match marks {
        Marks::Consumer { owner, record } => {
            let label = there.label(keys::RELATED_TO);
            let labelled = label == Some(record.as_str());
            let owners = there.meta.owner_references.iter().flatten();
            // One with another object's label is that one's, whatever else it says.
            let referred = label.is_none_or(|_| labelled)
                && owners.clone().any(|other| other.uid == owner.uid)
                && owners.clone().all(|other| other.controller != Some(true));
            (labelled && is_copied) || referred
        }
        Marks::Mirror { id, .. } => {
            is_copied
                && there.label(keys::MIGRATION_ID) == Some(id.as_str())
                && there.label(keys::MIGRATION_STAGE).is_none()
        }
    }
}

/// The document that is written, or why there is none.
pub fn document(source: &Object, request: &CopyRelated, there: Option<&Object>) -> Result<Value, Finding> {
    let is_token = source.field("type").is_some_and(|kind| kind == "kubernetes.io/service-account-token");
    if is_token && request.source.gvk.kind == "Secret" {
        return Err(Finding::no(
            reason::RELATED_NOT_ALLOWED,
            format!("{} is a service account token of the provider and is never copied", request.source),
        ));
    }
    let mut labels = there.and_then(|there| there.meta.labels.clone()).unwrap_or_default();
    let mut annotations = there.and_then(|there| there.meta.annotations.clone()).unwrap_or_default();
    annotations.insert(keys::RELATED_SOURCE.into(), source_mark(source));
    let mut owners = Vec::new();
    match &request.marks {
        Marks::Consumer { owner, record } => {
            annotations.insert(keys::RELATED_SOURCE.into(), format!("{}/{}", source_mark(source), request.by.uid));
            labels.insert(keys::RELATED_TO.into(), record.clone());
            owners.push(owner);
        }
        Marks::Mirror { id, broker } => {
            labels.insert(keys::MIGRATION_ID.into(), id.clone());
            annotations.extend(broker.as_ref().map(|broker| (keys::BROKER.into(), broker.to_string())));
        }
    }
    let mut metadata = json!({
        "name": request.target.name,
        "namespace": request.target.namespace,
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": owners,
    });
    if let Some(there) = there {
        metadata["uid"] = there.uid().into();
        metadata["resourceVersion"] = there.resource_version().into();
        metadata["finalizers"] = there.finalizers().to_vec().into();
    }
    let mut document: Map<String, Value> = source.content();
    document.insert("apiVersion".into(), request.target.gvk.api_version().into());
    document.insert("kind".into(), request.target.gvk.kind.as_str().into());
    document.insert("metadata".into(), metadata);
    Ok(Value::Object(document))
}
