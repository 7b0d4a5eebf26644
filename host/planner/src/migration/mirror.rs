//! The related resources of both copies in the compute cluster, where stages find them.

use std::{sync::Arc, time::Duration};

use resource_broker_api::{
    broker::ProviderRef,
    conditions::reason,
    keys,
    names::{ClusterName, Gvk, MAX_NAME},
    object::Object,
};

use crate::{
    migration::{
        progress::Progress,
        reference::{self, Reference},
        rendered::Rendered,
        under_way::{UnderWay, mirror_name},
    },
    model::snapshot::{ComputeView, MirrorView, Side, Target, View, Watched},
    plan::{Action, CopyRelated, DeclaredBy, Existing, Marks},
    sync::{
        claims::{self, Declarer, Withheld},
        related::{is_untouched, source_mark},
    },
};

/// The pace of single reads where a kind may not be watched at a provider.
const UNWATCHED_PACE: Duration = Duration::from_mins(1);

/// What is to be done about mirrors.
#[derive(Debug, Default)]
pub(crate) struct Step {
    actions: Vec<Action>,
    /// A mirror is not as it should be, as far as that is known without a read.
    due: bool,
    again: Option<Duration>,
    /// What is awaited before a stage can use them.
    pending: Option<String>,
    /// What people have to mend first.
    problem: Option<String>,
    /// A name is another migration's for now. Whatever a stage mounts from there would be that one's.
    taken: Option<String>,
}

impl Step {
    /// What the migration waits for because of its mirrors. A stage that has begun goes on beside them.
    pub(crate) fn hold(&self, under_way: UnderWay<'_>, has_begun: bool) -> Option<Progress> {
        let progress = match (&self.problem, self.taken.as_ref().or(self.pending.as_ref())) {
            (Some(problem), _) => under_way.blocked(problem),
            (None, Some(pending)) if !has_begun || self.taken.is_some() => {
                under_way.waits(reason::STAGE_WAITING, pending.clone())
            }
            (None, None) if !has_begun && self.due => {
                under_way.waits(reason::STAGE_WAITING, "related resources are mirrored into compute".into())
            }
            (None, _) => return None,
        };
        Some(self.beside(progress))
    }

    /// The same, with the mirrors brought in step.
    pub(crate) fn beside(&self, progress: Progress) -> Progress {
        match progress {
            Progress::Wait { why, stand, mut steps, again } => {
                steps.insert(0, self.actions.clone());
                let again = [again, self.again].into_iter().flatten().min();
                Progress::Wait { why, stand, steps, again }
            }
            other @ (Progress::RollBack(_) | Progress::Switch) => other,
        }
    }
}

/// Brings the mirrors in step with what both copies declare. As long as another migration has one of their names none is made:
/// two that need the same names would each hold some and wait for the rest. Where both have begun to take them at the same
/// time, one gives its own back. A name belongs to one migration, whatever the kind: what a stage mounts is said by the name alone.
pub(crate) fn sync(under_way: UnderWay<'_>, has_begun: bool) -> Step {
    let compute = &under_way.snapshot.migration.compute;
    let mirrors = || compute.mirrors.iter().filter(|mirror| mirror.allowed);
    let mut step = Step::default();
    // What may not be copied is not mirrored, and a stage may speak of it all the same.
    let mut held = compute.mirrors.iter().filter_map(|mirror| holder(under_way, mirror));
    // Two that both have begun with the name, under an earlier release, would wait for one another.
    let waits = |(_, other, shared): &(Target, &str, bool)| !has_begun || !shared || *other < under_way.id();
    if let Some((target, other, _)) = held.find(waits) {
        step.taken = Some(format!("{target} is in use by migration {other}, which ends first"));
        if !has_begun && other < under_way.id() {
            step.actions = mirrors().filter_map(|mirror| give_back(under_way, mirror)).collect();
            return step;
        }
    }
    for (gvk, left) in compute.mirrors.iter().flat_map(|mirror| &mirror.rivals) {
        let other = left.label(keys::MIGRATION_ID).unwrap_or_default();
        if other != under_way.id() && under_way.is_of_the_same_object(other) && !left.is_deleting() {
            let target = place(compute, gvk, left.name());
            step.actions.push(Action::Delete { target, uid: left.uid().to_owned(), guards: Vec::new() });
        }
    }
    if let (View::Unknown { why, failing }, false, Some(_)) = (&compute.mirrored_is_read, has_begun, mirrors().next()) {
        let text = format!("mirrored resources in {} {} cannot be read: {why}", compute.cluster, compute.namespace);
        *(if *failing { &mut step.problem } else { &mut step.pending }) = Some(text);
        return step;
    }
    for mirror in mirrors() {
        one(under_way, mirror, &mut step);
    }
    step
}

/// The other migration that has a mirror's name, under which kind, and whether this one has it too, under its own.
fn holder<'a>(under_way: UnderWay<'a>, mirror: &'a MirrorView) -> Option<(Target, &'a str, bool)> {
    let is_own = |there: &Arc<Object>| there.label(keys::MIGRATION_ID) == Some(under_way.id());
    let shared = mirror.there.present().is_some_and(is_own);
    let compute = &under_way.snapshot.migration.compute;
    let own = mirror.there.present().map(|there| (&mirror.declared.gvk, there));
    let all = own.into_iter().chain(mirror.rivals.iter().map(|(gvk, there)| (gvk, there)));
    let mut others = all.filter_map(|(gvk, there)| {
        let id = there.label(keys::MIGRATION_ID).unwrap_or_default();
        let is_another = id != under_way.id() && !under_way.is_of_the_same_object(id);
        is_another.then(|| (place(compute, gvk, there.name()), id, shared))
    });
    others.next()
}

/// Takes a mirror of this migration away.
fn give_back(under_way: UnderWay<'_>, mirror: &MirrorView) -> Option<Action> {
    let there = mirror.there.present().filter(|there| there.label(keys::MIGRATION_ID) == Some(under_way.id()))?;
    let uid = (!there.is_deleting()).then(|| there.uid().to_owned())?;
    let target = target(&under_way.snapshot.migration.compute, mirror);
    Some(Action::Delete { target, uid, guards: Vec::new() })
}

fn target(compute: &ComputeView, mirror: &MirrorView) -> Target {
    place(compute, &mirror.declared.gvk, &mirror_name(mirror))
}

fn place(compute: &ComputeView, gvk: &Gvk, name: &str) -> Target {
    Target::new(compute.cluster.clone(), gvk.clone(), Some(compute.namespace.clone()), name.to_owned())
}

fn one(under_way: UnderWay<'_>, mirror: &MirrorView, step: &mut Step) {
    let compute = &under_way.snapshot.migration.compute;
    let Some((provider, source)) = source(under_way, mirror) else { return };
    let Some((place, copy)) = declared_by(under_way, mirror) else { return };
    let by = Declarer { provider: &provider, place, copy };
    let at_provider = match &mirror.source {
        Watched::View(source) => source.present().map(AsRef::as_ref),
        Watched::Unwatchable => None,
    };
    match claims::withheld(under_way.snapshot, by, &mirror.declared, &mirror.claims, at_provider) {
        None => {}
        Some(Withheld::Unknown(why, _)) => {
            step.pending = Some(why);
            return;
        }
        Some(Withheld::Refused(finding)) => {
            step.problem = Some(finding.inside().message);
            return;
        }
    }
    let name = mirror_name(mirror);
    if name.len() > MAX_NAME {
        step.problem = Some(format!("{source} cannot be mirrored: {name} is longer than {MAX_NAME} characters"));
        return;
    }
    let target = target(compute, mirror);
    let existing = match &mirror.there {
        View::Unknown { why, failing } => {
            let text = format!("{target} cannot be read: {why}");
            *(if *failing { &mut step.problem } else { &mut step.pending }) = Some(text);
            return;
        }
        View::Absent => Existing::NoneOfOurs,
        View::Present(there) if there.label(keys::MIGRATION_ID) == Some(under_way.id()) => {
            Existing::Ours(there.clone())
        }
        View::Present(there) => {
            let other = there.label(keys::MIGRATION_ID).unwrap_or_default();
            if under_way.is_of_the_same_object(other) {
                // One object has one migration at a time: this is what is left of one that was deleted by hand.
                let uid = there.uid().to_owned();
                step.actions.push(Action::Delete { target: target.clone(), uid, guards: Vec::new() });
                step.pending = Some(format!("{target}, which an earlier migration left, goes first"));
            }
            return;
        }
    };
    let untouched = matches!(&existing, Existing::Ours(there) if is_untouched(under_way.snapshot, &target, there));
    match &mirror.source {
        Watched::View(View::Unknown { why, .. }) => {
            step.pending = Some(format!("{source} cannot be read: {why}"));
            return;
        }
        Watched::View(View::Absent) => {
            step.pending = Some(format!("{provider} declares {source}, which is not there yet"));
            return;
        }
        Watched::View(View::Present(at_provider)) if untouched && is_in_step(&existing, at_provider) => return,
        Watched::View(View::Present(_)) => step.due = true,
        // Whether it is in step takes a read at each look: one that is there will do.
        Watched::Unwatchable => {
            step.due |= matches!(existing, Existing::NoneOfOurs);
            step.again = Some(UNWATCHED_PACE);
        }
    }
    if step.taken.is_some() && matches!(existing, Existing::NoneOfOurs) {
        return;
    }
    let marks = Marks::Mirror { id: under_way.id().to_owned(), broker: under_way.snapshot.broker.clone() };
    let uid = copy.uid().to_owned();
    let copy = Target::new(provider, copied(under_way, place), copy.meta.namespace.clone(), copy.name().into());
    let by = DeclaredBy { copy, uid, is_new: false };
    let copy = CopyRelated { source, target, existing, untouched, keep: true, by, marks };
    step.actions.push(Action::CopyRelated(Box::new(copy)));
}

/// The copy that declares what is mirrored, with its place in the record.
fn declared_by<'a>(under_way: UnderWay<'a>, mirror: &MirrorView) -> Option<(&'a ProviderRef, &'a Object)> {
    let spec = &under_way.snapshot.record.present()?.spec;
    Some(match mirror.side {
        Side::From => (&spec.provider, under_way.snapshot.copy()?),
        Side::To => (spec.next.as_ref()?, under_way.snapshot.next_copy()?),
    })
}

/// The kind of the copy at a place.
fn copied(under_way: UnderWay<'_>, place: &ProviderRef) -> Gvk {
    let key = &under_way.snapshot.key;
    Gvk { version: place.version.clone().unwrap_or_else(|| key.gvk.version.clone()), ..key.gvk.clone() }
}

fn is_in_step(existing: &Existing, source: &Object) -> bool {
    matches!(existing, Existing::Ours(there) if there.annotation(keys::RELATED_SOURCE) == Some(&source_mark(source)))
}

fn source(under_way: UnderWay<'_>, mirror: &MirrorView) -> Option<(ClusterName, Target)> {
    let spec = &under_way.migration.spec;
    let end = match mirror.side {
        Side::From => &spec.from,
        Side::To => &spec.to,
    };
    let provider = ClusterName::parse(&end.cluster_name)?;
    let declared = &mirror.declared;
    let source =
        Target::new(provider.clone(), declared.gvk.clone(), Some(declared.namespace.clone()), declared.name.clone());
    Some((provider, source))
}

/// Why a stage's manifest may not be deployed: it refers to what is not mirrored for this migration, and may come to be another
/// one's.
pub(crate) fn strange_reference(under_way: UnderWay<'_>, template: &Rendered) -> Option<String> {
    let compute = &under_way.snapshot.migration.compute;
    let is_own = |reference: &Reference| {
        compute.mirrored.iter().any(|(gvk, object)| {
            let is_core = ["", "core"].contains(&gvk.group.as_str());
            object.name() == reference.name && reference.kind.kind().is_none_or(|kind| is_core && gvk.kind == kind)
        })
    };
    let references = reference::all(&template.body);
    let strange = references.into_iter().find(|reference| !is_own(reference))?;
    Some(format!(
        "template {} refers to {} {}, which is not among the related resources that are mirrored for this migration in \
         namespace {} of {}: names that begin with from- and to- belong to those; let the copies declare it, or correct the \
         template",
        template.name,
        strange.kind.kind().unwrap_or("object"),
        strange.name,
        compute.namespace,
        compute.cluster
    ))
}

/// What is left of a migration in the compute cluster; `None`: nothing, and that is known.
pub(crate) fn left(compute: &ComputeView) -> Option<String> {
    let unread = compute.kinds.iter().find_map(|(gvk, kind)| match &kind.read {
        View::Unknown { why, .. } => Some(format!("{gvk} cannot be read: {why}")),
        View::Absent | View::Present(()) => None,
    });
    let mirrors = match &compute.mirrored_is_read {
        View::Unknown { why, .. } => Some(format!("mirrored resources cannot be read: {why}")),
        View::Absent | View::Present(()) => None,
    };
    let there = compute.deployed.iter().chain(&compute.mirrored).next();
    let there = there.map(|(gvk, object)| {
        format!("{} in namespace {} of {}", held(&gvk.kind, object), compute.namespace, compute.cluster)
    });
    there.or(unread).or(mirrors)
}

/// An object with what holds it, where it is on its way out.
pub(crate) fn held(kind: &str, object: &Object) -> String {
    let name = format!("{kind} {}", object.name());
    match object.finalizers() {
        finalizers @ [_, ..] if object.is_deleting() => format!("{name} (held by {})", finalizers.join(", ")),
        _ => name,
    }
}
