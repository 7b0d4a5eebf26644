//! Which of the clusters that kubeconfigs name are attached, and under which names. Pure: the keeper brings what it knows, and
//! does what comes out.
//!
//! A name in a kubeconfig is not a cluster. What a cluster is, its fingerprint says; the name under which records know it goes on
//! for as long as there are records, whatever kubeconfigs call it.

use std::collections::BTreeMap;

use resource_broker_api::{
    broker::BrokerCluster,
    conditions::reason,
    names::{ClusterName, Role},
};

use crate::{
    cache::Directory,
    fingerprint::{Look, is_own_text},
    planner::model::snapshot::Identity,
};

/// What is known of a cluster that a kubeconfig names.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// What it said of itself; `None`: it was not asked yet.
    pub(super) look: Option<Look>,
    /// Its place in the order in which clusters answered.
    pub(super) order: u64,
    /// It is in no kubeconfig any more.
    pub(super) gone: bool,
    /// The name under which it is attached now.
    pub(super) serves: Option<ClusterName>,
    /// It had time enough to answer.
    pub(super) had_time: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is attached.
    Serve {
        /// Under this name, which is another one than the kubeconfig's where that is a new name for a known cluster.
        name: ClusterName,
        /// What records know it by.
        fingerprint: Option<String>,
        /// Whether it is certain that it is the recorded cluster: nothing is sent to it before.
        proven: bool,
        /// Why its identity cannot be watched over.
        warning: Option<String>,
    },
    /// It is not known yet which cluster it is.
    Wait,
    /// It is not attached.
    Refuse(Refusal),
}

/// Why a cluster is not attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The kind of reason.
    pub(super) kind: Kind,
    /// For people: what, why, what next.
    pub(super) why: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is attached under another name.
    Duplicate,
    /// It is another cluster than the recorded one.
    Changed,
    /// An administrator had it removed.
    Removed,
}

impl Kind {
    /// The reason of a condition.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => reason::DUPLICATE,
            Self::Changed => reason::CLUSTER_CHANGED,
            Self::Removed => reason::REMOVED,
        }
    }
}

/// What a name in a kubeconfig stands for, before the cluster is asked.
enum Claim<'a> {
    /// The cluster of this record.
    Known(&'a BrokerCluster),
    /// Assignments of earlier releases name it, and there is no record of the cluster.
    Used,
    /// Nobody knows it.
    New,
    /// The name is that of another cluster, which kubeconfigs are to call otherwise.
    Taken(&'a BrokerCluster),
}

/// The recorded name of a record's cluster.
fn recorded(known: &BrokerCluster) -> ClusterName {
    ClusterName::new(known.spec.role, &known.spec.name)
}

fn claim<'a>(directory: &'a Directory, name: &ClusterName) -> Claim<'a> {
    let renamed = directory
        .clusters
        .values()
        .find(|known| known.spec.role == name.role && known.spec.source.as_deref() == Some(name.name.as_str()));
    if let Some(known) = renamed {
        return Claim::Known(known);
    }
    match directory.clusters.get(name) {
        Some(known) if known.spec.source.is_none() => Claim::Known(known),
        Some(known) => Claim::Taken(known),
        None if directory.uses.contains_key(name) => Claim::Used,
        None => Claim::New,
    }
}

/// The fingerprints by which the cluster of a name is recorded.
pub(super) fn expected(directory: &Directory, name: &ClusterName) -> Vec<String> {
    let of_uses = |name: &ClusterName| {
        directory.uses.get(name).map(|uses| uses.fingerprints.keys().cloned().collect()).unwrap_or_default()
    };
    match claim(directory, name) {
        Claim::Known(known) => match &known.spec.fingerprint {
            Some(fingerprint) => vec![fingerprint.clone()],
            None => of_uses(&recorded(known)),
        },
        Claim::Used => of_uses(name),
        Claim::New | Claim::Taken(_) => Vec::new(),
    }
}

const UNREADABLE: &str = "nothing that tells it from other clusters may be read there, so that an accident with its kubeconfig \
                          cannot be noticed: allow the broker to get the namespace kube-system";

/// Decides about all clusters of all roles at once.
pub(super) fn decide(directory: &Directory, all: &BTreeMap<ClusterName, Named>) -> BTreeMap<ClusterName, Verdict> {
    let mut verdicts: BTreeMap<ClusterName, Verdict> =
        all.iter().map(|(name, named)| (name.clone(), alone(directory, name, named))).collect();
    yield_to_used(directory, all, &mut verdicts);
    newcomers(directory, all, &mut verdicts);
    one_each(all, &mut verdicts);
    verdicts
}

/// A name is served by one kubeconfig at a time.
fn one_each(all: &BTreeMap<ClusterName, Named>, verdicts: &mut BTreeMap<ClusterName, Verdict>) {
    let mut best: BTreeMap<ClusterName, ((bool, bool, bool), ClusterName)> = BTreeMap::new();
    for (by, verdict) in &*verdicts {
        let Verdict::Serve { name, proven, .. } = verdict else { continue };
        let named = all.get(by);
        let gone = named.is_none_or(|named| named.gone);
        let serves = named.is_some_and(|named| named.serves.as_ref() == Some(name));
        let rank = ((gone, !*proven, !serves), by.clone());
        match best.get_mut(name) {
            Some(there) if *there <= rank => {}
            Some(there) => *there = rank,
            None => {
                best.insert(name.clone(), rank);
            }
        }
    }
    for (by, verdict) in verdicts {
        if let Verdict::Serve { name, .. } = verdict
            && best.get(name).is_some_and(|(_, winner)| winner != by)
        {
            *verdict = Verdict::Wait;
        }
    }
}

/// The verdict about a cluster whose name is known, without a look at the others; [`Verdict::Wait`] for one that has to be
/// compared with them.
fn alone(directory: &Directory, name: &ClusterName, named: &Named) -> Verdict {
    let (as_name, expected) = match claim(directory, name) {
        Claim::Known(known) if known.spec.removed || known.metadata.deletion_timestamp.is_some() => {
            return Verdict::Refuse(removed(known, name));
        }
        Claim::Known(known) => (recorded(known), expected(directory, name)),
        Claim::Used => (name.clone(), expected(directory, name)),
        // There is one at most, and the flag that names it is all that is known of it.
        Claim::New if name.role == Role::Compute => (name.clone(), Vec::new()),
        Claim::New | Claim::Taken(_) => return Verdict::Wait,
    };
    let serve = |fingerprint: Option<String>, proven: bool, warning: Option<String>| Verdict::Serve {
        name: as_name.clone(),
        fingerprint,
        proven,
        warning,
    };
    if let Some(own) = expected.iter().find(|it| is_own_text(it)) {
        return serve(Some(own.clone()), true, None);
    }
    let only = || expected.first().filter(|_| expected.len() == 1).cloned();
    let Some(look) = &named.look else { return serve(None, false, None) };
    match look {
        Look::Silent(_) => serve(None, false, None),
        Look::Unreadable => serve(only(), true, Some(UNREADABLE.to_owned())),
        Look::Known(_) if expected.is_empty() => serve(look.main().map(str::to_owned), true, None),
        Look::Known(_) => {
            if let Some(same) = expected.iter().find(|it| look.is(it) == Some(true)) {
                return serve(Some(same.clone()), true, None);
            }
            if expected.iter().any(|it| look.is(it).is_none()) {
                let warning = format!(
                    "it is recorded as {}, which cannot be read there any more, so that it is not known whether it is still the \
                     same cluster",
                    expected.join(" or ")
                );
                return serve(only(), true, Some(warning));
            }
            Verdict::Refuse(changed(directory, name, &as_name, &expected, look))
        }
    }
}

/// Of several recorded names of one cluster, those that no Assignment names yield to those that one does.
fn yield_to_used(
    directory: &Directory,
    all: &BTreeMap<ClusterName, Named>,
    verdicts: &mut BTreeMap<ClusterName, Verdict>,
) {
    let serving: Vec<(ClusterName, ClusterName, String)> = verdicts
        .iter()
        .filter_map(|(by, verdict)| match verdict {
            Verdict::Serve { name, fingerprint: Some(fingerprint), proven: true, .. }
                if !is_own_text(fingerprint) && !all.get(by).is_some_and(|named| named.gone) =>
            {
                Some((by.clone(), name.clone(), main_of(all, by)?.to_owned()))
            }
            _ => None,
        })
        .collect();
    for (by, name, main) in &serving {
        let is_used = |name: &ClusterName| directory.uses.contains_key(name);
        if is_used(name) {
            continue;
        }
        let rank = |by: &ClusterName, name: &ClusterName| {
            let serves = all.get(by).is_some_and(|named| named.serves.is_some());
            (!is_used(name), !serves, by.clone())
        };
        let others = serving.iter().filter(|(_, other, of)| other.role == name.role && other != name && of == main);
        if let Some((winner, of, _)) = others.min_by_key(|(by, name, _)| rank(by, name))
            && rank(winner, of) < rank(by, name)
        {
            verdicts.insert(by.clone(), Verdict::Refuse(duplicate(directory, by, of, winner, main)));
        }
    }
}

fn main_of<'a>(all: &'a BTreeMap<ClusterName, Named>, by: &ClusterName) -> Option<&'a str> {
    all.get(by)?.look.as_ref()?.main()
}

/// Those whose names nobody knows: new clusters, or known ones under new names.
fn newcomers(directory: &Directory, all: &BTreeMap<ClusterName, Named>, verdicts: &mut BTreeMap<ClusterName, Verdict>) {
    let mut new: Vec<(&ClusterName, &Named)> =
        all.iter().filter(|(name, _)| verdicts.get(*name) == Some(&Verdict::Wait)).collect();
    // Who serves already goes on, then who was first.
    new.sort_by_key(|(name, named)| (named.gone, named.serves.is_none(), named.order, (*name).clone()));
    for (name, named) in new {
        let verdict = newcomer(directory, all, verdicts, name, named);
        verdicts.insert(name.clone(), verdict);
    }
}

fn newcomer(
    directory: &Directory,
    all: &BTreeMap<ClusterName, Named>,
    verdicts: &BTreeMap<ClusterName, Verdict>,
    name: &ClusterName,
    named: &Named,
) -> Verdict {
    let taken = match claim(directory, name) {
        Claim::Taken(known) => Some(known),
        _ => None,
    };
    let (main, look) = match &named.look {
        None | Some(Look::Silent(_)) => return Verdict::Wait,
        Some(Look::Unreadable) => {
            return match taken {
                Some(known) => Verdict::Refuse(name_is_taken(name, known)),
                None => Verdict::Serve {
                    name: name.clone(),
                    fingerprint: None,
                    proven: true,
                    warning: Some(UNREADABLE.to_owned()),
                },
            };
        }
        Some(look) => match look.main() {
            Some(main) => (main, look),
            None => return Verdict::Wait,
        },
    };
    // One whose name is recorded without a fingerprint may be the same.
    let may_be = |(other, it): (&ClusterName, &Named)| {
        let unread = matches!(it.look, None | Some(Look::Silent(_)));
        other.role == name.role
            && !it.gone
            && !it.had_time
            && unread
            && expected(directory, other).is_empty()
            && matches!(verdicts.get(other), Some(Verdict::Serve { .. }))
    };
    if named.serves.is_none() && all.iter().any(may_be) {
        return Verdict::Wait;
    }
    let Some(known_as) = known_as(directory, all, verdicts, name, main, look) else {
        return match taken {
            Some(known) => Verdict::Refuse(name_is_taken(name, known)),
            None => {
                Verdict::Serve { name: name.clone(), fingerprint: Some(main.to_owned()), proven: true, warning: None }
            }
        };
    };
    if let Some(known) = directory.clusters.get(&known_as)
        && (known.spec.removed || known.metadata.deletion_timestamp.is_some())
    {
        return Verdict::Refuse(removed(known, name));
    }
    let holder = verdicts.iter().find(|(by, verdict)| match verdict {
        Verdict::Serve { name: served, proven, .. } => {
            let gone = all.get(*by).is_none_or(|named| named.gone);
            // Who is not even known to be that cluster yields to who is.
            *served == known_as && *by != name && !gone && *proven
        }
        _ => false,
    });
    if let Some((holder, _)) = holder {
        return Verdict::Refuse(duplicate(directory, name, &known_as, holder, main));
    }
    let fingerprint = directory
        .clusters
        .get(&known_as)
        .and_then(|known| known.spec.fingerprint.clone())
        .filter(|it| look.is(it) == Some(true))
        .unwrap_or_else(|| main.to_owned());
    Verdict::Serve { name: known_as, fingerprint: Some(fingerprint), proven: true, warning: None }
}

/// The name under which a cluster is known already, other than `name`.
fn known_as(
    directory: &Directory,
    all: &BTreeMap<ClusterName, Named>,
    verdicts: &BTreeMap<ClusterName, Verdict>,
    name: &ClusterName,
    main: &str,
    look: &Look,
) -> Option<ClusterName> {
    let of_role = |other: &&ClusterName| other.role == name.role && *other != name;
    let serves = verdicts.iter().find_map(|(by, verdict)| match verdict {
        Verdict::Serve { name: served, fingerprint: Some(fingerprint), proven: true, .. }
            if by != name && by.role == name.role && !is_own_text(fingerprint) && main_of(all, by) == Some(main) =>
        {
            Some(served.clone())
        }
        _ => None,
    });
    // A cluster that has said of itself in the meantime by what it is known is known by that, not by what it was copied with.
    let is_it = |recorded: &str, now: Option<&str>| {
        recorded == main || now == Some(main) || (now.is_none() && look.is(recorded) == Some(true))
    };
    let recorded = || {
        let mut known = directory.clusters.iter().filter(|(other, known)| {
            let now = known.status.as_ref().and_then(|status| status.fingerprint.as_deref());
            let matches = known.spec.fingerprint.as_deref().is_some_and(|recorded| is_it(recorded, now));
            let own = directory.clusters.get(name).is_some_and(|own| recorded_source_is(own, other));
            (of_role(other) || own) && matches
        });
        known.next().map(|(name, _)| name.clone())
    };
    let used = || {
        let mut uses =
            directory.uses.iter().filter(|(other, uses)| of_role(other) && uses.fingerprints.contains_key(main));
        uses.next().map(|(name, _)| name.clone())
    };
    serves.or_else(recorded).or_else(used)
}

/// Whether a record is about `name`, and kubeconfigs are to call that otherwise.
fn recorded_source_is(known: &BrokerCluster, name: &ClusterName) -> bool {
    recorded(known) == *name && known.spec.source.is_some()
}

fn duplicate(
    directory: &Directory,
    name: &ClusterName,
    known_as: &ClusterName,
    holder: &ClusterName,
    main: &str,
) -> Refusal {
    let by =
        if holder == known_as { String::new() } else { format!(" (by the kubeconfig that calls it {})", holder.name) };
    let in_use = match directory.uses.get(known_as).map_or(0, |uses| uses.objects) {
        0 => String::new(),
        1 => ", and 1 Assignment names it so".to_owned(),
        count => format!(", and {count} Assignments name it so"),
    };
    let why = format!(
        "it is the same cluster as {known_as} ({main}), which is attached{by}{in_use}, so it is not attached a second time; take it \
         out of the kubeconfigs. If they are two that were made from one copy, say so: resource-broker cluster accept {name} \
         --fingerprint TEXT with a text of your own, or kubectl apply a ClusterProperty cluster.clusterset.k8s.io of \
         about.k8s.io/v1alpha1 with a spec.value of its own in that cluster"
    );
    Refusal { kind: Kind::Duplicate, why }
}

fn changed(
    directory: &Directory,
    name: &ClusterName,
    as_name: &ClusterName,
    expected: &[String],
    look: &Look,
) -> Refusal {
    let main = look.main().unwrap_or_default();
    let other = directory.clusters.iter().find(|(other, known)| {
        other.role == name.role && *other != as_name && known.spec.fingerprint.as_deref() == Some(main)
    });
    let is = other.map(|(other, _)| format!(", which is {other}")).unwrap_or_default();
    let why = format!(
        "another cluster is there than the one that records call {as_name}: it was {}, and is {main}{is}. Nothing is written to \
         it, and nothing is deleted because of it. If its kubeconfig points to a wrong place, mend that; if the cluster was made \
         anew and this one takes its place, say so: resource-broker cluster accept {as_name}",
        expected.join(" or ")
    );
    Refusal { kind: Kind::Changed, why }
}

fn name_is_taken(name: &ClusterName, known: &BrokerCluster) -> Refusal {
    let source = known.spec.source.as_deref().unwrap_or_default();
    let why = format!(
        "records know another cluster by this name, which kubeconfigs call {source} since it was renamed: copies could not be told \
         apart. Call this cluster something else than {}",
        name.name
    );
    Refusal { kind: Kind::Changed, why }
}

fn removed(known: &BrokerCluster, name: &ClusterName) -> Refusal {
    let object = known.metadata.name.as_deref().unwrap_or_default();
    let why = format!(
        "an administrator had it removed (BrokerCluster {object}). Take {} out of the kubeconfigs; to attach it again, wait until \
         that object is gone",
        name.name
    );
    Refusal { kind: Kind::Removed, why }
}

/// What planners are to know of the clusters.
pub(super) fn identities(
    directory: &Directory,
    verdicts: &BTreeMap<ClusterName, Verdict>,
) -> BTreeMap<ClusterName, Identity> {
    let accepted = |name: &ClusterName| {
        directory.clusters.get(name).map(|known| known.spec.previous_fingerprints.clone()).unwrap_or_default()
    };
    let mut identities = BTreeMap::new();
    for (by, verdict) in verdicts {
        match verdict {
            Verdict::Serve { name, fingerprint, proven, .. } => {
                let fingerprint = fingerprint.clone().filter(|_| *proven);
                let identity = Identity { fingerprint, refused: None, changed: false, accepted: accepted(name) };
                identities.insert(name.clone(), identity);
            }
            Verdict::Refuse(Refusal { kind, why }) => {
                let name = match claim(directory, by) {
                    Claim::Known(known) => recorded(known),
                    _ => by.clone(),
                };
                let changed = *kind == Kind::Changed;
                let identity =
                    Identity { fingerprint: None, refused: Some(why.clone()), changed, accepted: Vec::new() };
                identities.entry(name).or_insert(identity);
            }
            Verdict::Wait => {}
        }
    }
    identities
}

#[cfg(test)]
mod tests;
