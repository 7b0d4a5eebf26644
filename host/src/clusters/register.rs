//! Keeps the `BrokerCluster`s: made at the first attach, with a status that says how it is with each cluster. When nothing changes,
//! nothing is written.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use resource_broker_api::{
    broker::{BrokerCluster, BrokerClusterSpec, BrokerClusterStatus},
    conditions::{ATTACHED, CLUSTER_CHANGED, CREDENTIALS_VALID, reason},
    names::{ClusterName, Gvk, Role, broker_cluster_name},
    object::Object,
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{ClusterSet, Standing, removal::Removal};
use crate::{
    cache::{Cache, Directory, WorkKey, own},
    lease::Leadership,
    planner::{
        model::snapshot::Target,
        plan::findings::{Finding, condition},
    },
    queue::Queue,
    resource::Patch,
    transport::{Health, RequestError},
};

/// How often is looked for what to write, besides when something changes.
const LOOK: Duration = Duration::from_secs(2);
/// How long a changed number of objects may stand before it is written.
const COUNT: Duration = Duration::from_secs(10);
/// The pause after a write that did not work out.
const PAUSE: Duration = Duration::from_secs(10);

/// One write.
#[derive(Clone, Debug, PartialEq)]
enum Write {
    /// A cluster is known from now on.
    Create { name: String, spec: BrokerClusterSpec },
    /// Its fingerprint is known from now on.
    Fingerprint { name: String, uid: String, fingerprint: String },
    /// How it is with it.
    Status { name: String, uid: String, status: BrokerClusterStatus },
}

/// What the register works with.
pub struct Register {
    /// The clusters.
    pub clusters: Arc<ClusterSet>,
    /// What records say.
    pub cache: Arc<Cache>,
    /// Gets what our own writes concern.
    pub queue: Arc<Queue<WorkKey>>,
    /// Whether this process may write.
    pub leadership: Arc<Leadership>,
    /// The broker's namespace in the coordination cluster.
    pub namespace: String,
    /// The brokered kinds, which have the broker's marks.
    pub kinds: Vec<Gvk>,
    /// The kinds of related resources.
    pub related: Vec<Gvk>,
}

impl Register {
    /// Keeps the `BrokerCluster`s, and lets go of removed clusters, for as long as the process runs.
    pub async fn run(self) {
        // A cluster with many objects takes its time; what is shown of the others does not wait for it.
        tokio::join!(self.keep(), self.remove());
    }

    async fn keep(&self) {
        let mut changes = self.clusters.changes();
        let (mut counted, mut warned) = (HashMap::new(), false);
        loop {
            if self.leadership.is_leader()
                && let Some(directory) = self.cache.directory()
            {
                if let Some(why) = directory.unkept.as_ref().filter(|_| !warned) {
                    warned = true;
                    tracing::warn!(
                        why,
                        "no BrokerClusters are kept, so that commands about clusters do nothing: apply the CRDs of this version \
                         (resource-broker crds), and allow the broker to read and write brokerclusters in its namespace"
                    );
                }
                let writes = due(&directory, &self.clusters.standings(), &Time(Timestamp::now()), &mut counted);
                for write in writes {
                    if let Err(error) = self.write(&write).await {
                        if std::mem::replace(&mut warned, true) {
                            tracing::debug!(%error, "a BrokerCluster could not be written");
                        } else {
                            tracing::warn!(%error, "a BrokerCluster could not be written; it is tried again");
                        }
                        tokio::time::sleep(PAUSE).await;
                        break;
                    }
                }
            }
            next(&mut changes).await;
        }
    }

    async fn remove(&self) {
        let mut changes = self.clusters.changes();
        let mut removal = Removal {
            clusters: self.clusters.clone(),
            cache: self.cache.clone(),
            leadership: self.leadership.clone(),
            namespace: self.namespace.clone(),
            kinds: self.kinds.clone(),
            related: self.related.clone(),
            cleaned: HashSet::new(),
        };
        loop {
            if self.leadership.is_leader()
                && let Some(directory) = self.cache.directory()
            {
                for known in directory.clusters.values().filter(|known| known.spec.removed) {
                    if let Err(error) = removal.go_on(known, standing_of(&self.clusters.standings(), known)).await {
                        tracing::warn!(name = known.spec.name, %error, "a cluster cannot be let go of yet; it is tried again");
                    }
                }
            }
            next(&mut changes).await;
        }
    }

    async fn write(&self, write: &Write) -> Result<(), RequestError> {
        let resource = own::clusters();
        let namespace = Some(self.namespace.as_str());
        let same = |uid: &str| json!({"op": "test", "path": "/metadata/uid", "value": uid});
        let (name, request) = match write {
            Write::Create { name, spec } => {
                let body = json!({
                    "apiVersion": resource.gvk.api_version(), "kind": resource.gvk.kind,
                    "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
                });
                (name, resource.create(namespace, &body))
            }
            Write::Fingerprint { name, uid, fingerprint } => {
                let change = json!([same(uid), {"op": "add", "path": "/spec/fingerprint", "value": fingerprint}]);
                (name, resource.patch(namespace, name, "", Patch::Json, &change))
            }
            Write::Status { name, uid, status } => {
                let change = json!([same(uid), {"op": "add", "path": "/status", "value": status}]);
                (name, resource.patch(namespace, name, "status", Patch::Json, &change))
            }
        };
        // Names are derived, and make a path.
        let Ok(request) = request else { return Ok(()) };
        match self.clusters.coordination().request(request).await {
            Ok(reply) => {
                let coordination = self.clusters.coordination().name().clone();
                let target =
                    Target::new(coordination, resource.gvk.clone(), Some(self.namespace.clone()), name.clone());
                if let Ok(object) = serde_json::from_slice::<Object>(&reply.body) {
                    self.cache.wrote(&target, &object).enqueue(&self.queue);
                }
                Ok(())
            }
            // It is not as the watch has shown it yet.
            Err(error) if error.is_conflict() || error.is_not_found() || error.is_invalid() => {
                tracing::debug!(%error, "a BrokerCluster is not as it was thought to be");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Waits until something has changed, or may have.
async fn next(changes: &mut watch::Receiver<u64>) {
    // The sender is with the clusters.
    let _ = timeout(LOOK, changes.changed()).await;
    // Several changes come together.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// What is to be written now. `counted` is when each number of objects was written last.
fn due(
    directory: &Directory,
    standings: &[Standing],
    now: &Time,
    counted: &mut HashMap<ClusterName, Instant>,
) -> Vec<Write> {
    if directory.unkept.is_some() {
        return Vec::new();
    }
    let mut writes: Vec<Write> = standings.iter().filter_map(|standing| made(directory, standing)).collect();
    for (name, known) in &directory.clusters {
        let (Some(object), Some(uid)) = (&known.metadata.name, &known.metadata.uid) else { continue };
        let standing = standing_of(standings, known);
        if known.spec.fingerprint.is_none()
            && let Some(fingerprint) = standing.and_then(|standing| standing.fingerprint.clone())
        {
            writes.push(Write::Fingerprint { name: object.clone(), uid: uid.clone(), fingerprint });
        }
        let before = known.status.clone().unwrap_or_default();
        let mut status = status_of(directory, name, known, standing, now);
        if status == before {
            continue;
        }
        let uncounted = BrokerClusterStatus { objects: before.objects, ..status.clone() };
        let rested = counted.get(name).is_none_or(|at| at.elapsed() >= COUNT);
        if !rested {
            if uncounted == before {
                continue;
            }
            status = uncounted;
        }
        if status.objects != before.objects {
            counted.insert(name.clone(), Instant::now());
        }
        writes.push(Write::Status { name: object.clone(), uid: uid.clone(), status });
    }
    writes
}

/// The `BrokerCluster` of a cluster that has none yet: of one that is attached, or that is not the one that Assignments name.
fn made(directory: &Directory, standing: &Standing) -> Option<Write> {
    let is_changed = standing.refused.as_ref().is_some_and(|(reason, _)| *reason == reason::CLUSTER_CHANGED);
    let is_known = standing.attached && (standing.fingerprint.is_some() || standing.warning.is_some());
    let name = &standing.name;
    if directory.clusters.contains_key(name) || name.role == Role::Coordination || !(is_known || is_changed) {
        return None;
    }
    let fingerprint = if is_changed {
        let recorded = directory.uses.get(name)?.fingerprints.iter().max_by_key(|(_, count)| **count)?;
        Some(recorded.0.clone())
    } else {
        standing.fingerprint.clone()
    };
    let spec = BrokerClusterSpec {
        role: name.role,
        name: name.name.clone(),
        fingerprint,
        previous_fingerprints: Vec::new(),
        source: None,
        removed: false,
    };
    Some(Write::Create { name: broker_cluster_name(name), spec })
}

/// What kubeconfigs name for a record.
fn standing_of<'a>(standings: &'a [Standing], known: &BrokerCluster) -> Option<&'a Standing> {
    let name = ClusterName::new(known.spec.role, &known.spec.name);
    let called = known.spec.source.as_ref().map_or_else(|| name.clone(), |source| ClusterName::new(name.role, source));
    let attached = standings.iter().find(|standing| standing.attached && standing.name == name);
    attached.or_else(|| standings.iter().find(|standing| standing.named == called))
}

fn status_of(
    directory: &Directory,
    name: &ClusterName,
    known: &BrokerCluster,
    standing: Option<&Standing>,
    now: &Time,
) -> BrokerClusterStatus {
    let before = known.status.clone().unwrap_or_default();
    let generation = known.metadata.generation;
    let conditions: Vec<Condition> = [
        (ATTACHED, attached(name, known, standing)),
        (CLUSTER_CHANGED, changed(standing)),
        (CREDENTIALS_VALID, credentials(standing)),
    ]
    .into_iter()
    .map(|(type_, finding)| {
        let mut condition = condition(type_, &finding, &before.conditions, generation, now);
        // Who looks at it sees the whole object's below.
        condition.observed_generation = None;
        condition
    })
    .collect();
    BrokerClusterStatus {
        conditions,
        objects: Some(directory.uses.get(name).map_or(0, |uses| uses.objects)),
        fingerprint: standing.and_then(|standing| standing.found.clone()).or(before.fingerprint),
        source: standing.map(|standing| standing.origin.clone()).or(before.source),
        observed_generation: generation,
    }
}

fn attached(name: &ClusterName, known: &BrokerCluster, standing: Option<&Standing>) -> Finding {
    let Some(standing) = standing else {
        let reason = if known.spec.removed { reason::REMOVED } else { reason::DETACHED };
        return Finding::no(reason, "no kubeconfig names it now; nothing is deleted in it or because of it");
    };
    match &standing.refused {
        Some((reason, why)) => Finding::no(reason, why.clone()),
        None if !standing.attached => Finding::no(reason::DETACHED, "it has not answered yet"),
        None if standing.is_renamed => Finding::yes(reason::RENAMED, standing.renamed()),
        None => match standing.warning.clone().or_else(|| standing.unfollowed()) {
            None => Finding::yes(reason::ATTACHED, format!("{name} is read and written")),
            Some(warning) => Finding::yes(reason::ATTACHED, warning),
        },
    }
}

fn changed(standing: Option<&Standing>) -> Finding {
    match standing {
        Some(Standing { refused: Some((reason, why)), .. }) if *reason == reason::CLUSTER_CHANGED => {
            Finding::yes(reason, why.clone())
        }
        Some(Standing { attached: true, fingerprint: Some(_), .. }) => {
            Finding::no(reason::ATTACHED, "it is the recorded cluster")
        }
        Some(Standing { warning: Some(warning), .. }) => Finding::unknown(reason::ATTACHED, warning.clone()),
        _ => Finding::unknown(reason::DETACHED, "which cluster is there has not been read"),
    }
}

fn credentials(standing: Option<&Standing>) -> Finding {
    let health = standing.and_then(|standing| Some(standing.cluster.as_ref()?.health().borrow().clone()));
    match health {
        None => Finding::unknown(reason::DETACHED, "no kubeconfig names it now"),
        Some(Health::Up) => Finding::yes(reason::ACCEPTED, "it takes the credentials of its kubeconfig"),
        Some(Health::Refused) => {
            Finding::no(reason::FORBIDDEN, "it does not know the credentials (401); renew its kubeconfig")
        }
        Some(Health::Unknown | Health::Down { .. }) => {
            Finding::unknown(reason::CLUSTER_UNAVAILABLE, "it does not answer; /readyz?verbose has more")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cache::Use;

    fn name() -> ClusterName {
        ClusterName::new(Role::Provider, "a")
    }

    fn standing(attached: bool) -> Standing {
        Standing {
            named: name(),
            name: name(),
            is_renamed: false,
            origin: "/providers/a".into(),
            refused: None,
            attached,
            warning: None,
            tried: None,
            found: Some("kube-system:1".into()),
            fingerprint: attached.then(|| "kube-system:1".into()),
            cluster: None,
        }
    }

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    /// What is written over and over until nothing is, as a server would keep it.
    fn settle(directory: &mut Directory, standings: &[Standing], counted: &mut HashMap<ClusterName, Instant>) -> usize {
        for writes in 0..10 {
            let due = due(directory, standings, &at(writes), counted);
            if due.is_empty() {
                return usize::try_from(writes).unwrap();
            }
            for write in due {
                match write {
                    Write::Create { name, spec } => {
                        let mut known = BrokerCluster::new(&name, spec);
                        known.metadata.uid = Some("u".into());
                        let name = ClusterName::new(known.spec.role, &known.spec.name);
                        directory.clusters.insert(name, Arc::new(known));
                    }
                    Write::Fingerprint { fingerprint, .. } => {
                        change(directory, |known| known.spec.fingerprint = Some(fingerprint));
                    }
                    Write::Status { status, .. } => change(directory, |known| known.status = Some(status)),
                }
            }
        }
        panic!("there is no end of writes: {directory:?}");
    }

    fn change(directory: &mut Directory, change: impl FnOnce(&mut BrokerCluster)) {
        change(Arc::make_mut(directory.clusters.get_mut(&name()).unwrap()));
    }

    fn reason_of(directory: &Directory, type_: &str) -> String {
        let status = directory.clusters[&name()].status.as_ref().unwrap();
        let condition = status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
        format!("{} {}", condition.status, condition.reason)
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_is_made_once_and_then_nothing_is_written() {
        let (mut directory, mut counted) = (Directory::default(), HashMap::new());
        assert_eq!(settle(&mut directory, &[standing(true)], &mut counted), 2, "the object and its status");
        assert_eq!(reason_of(&directory, ATTACHED), "True Attached");
        assert_eq!(directory.clusters[&name()].spec.fingerprint.as_deref(), Some("kube-system:1"));
        // Objects are counted every ten seconds, whatever happens in between.
        let counts = |objects| BTreeMap::from([(name(), Use { objects, ..Use::default() })]);
        directory.uses = counts(5);
        assert_eq!(settle(&mut directory, &[standing(true)], &mut counted), 0);
        tokio::time::advance(COUNT).await;
        assert_eq!(settle(&mut directory, &[standing(true)], &mut counted), 1);
        assert_eq!(directory.clusters[&name()].status.as_ref().unwrap().objects, Some(5));
        // Nobody waits for the count to learn of a change.
        directory.uses = counts(6);
        assert_eq!(settle(&mut directory, &[], &mut counted), 1);
        assert_eq!(reason_of(&directory, ATTACHED), "False Detached");
        assert_eq!(directory.clusters[&name()].status.as_ref().unwrap().objects, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_the_matter_with_a_cluster_is_in_its_conditions() {
        let (mut directory, mut counted) = (Directory::default(), HashMap::new());
        settle(&mut directory, &[standing(true)], &mut counted);
        let named = ClusterName::new(Role::Provider, "b");
        let renamed = Standing { named: named.clone(), is_renamed: true, ..standing(true) };
        settle(&mut directory, std::slice::from_ref(&renamed), &mut counted);
        assert_eq!(reason_of(&directory, ATTACHED), "True Renamed");
        change(&mut directory, |known| known.spec.source = Some("b".into()));
        settle(&mut directory, &[Standing { named, ..standing(true) }], &mut counted);
        assert_eq!(reason_of(&directory, ATTACHED), "True Attached");
        change(&mut directory, |known| known.spec.source = None);
        let found = Some("kube-system:2".to_owned());
        let refused = Some((reason::CLUSTER_CHANGED, "another one".to_owned()));
        settle(&mut directory, &[Standing { refused, found, ..standing(false) }], &mut counted);
        assert_eq!(reason_of(&directory, ATTACHED), "False ClusterChanged");
        assert_eq!(reason_of(&directory, CLUSTER_CHANGED), "True ClusterChanged");
        let known = &directory.clusters[&name()];
        assert_eq!(known.status.as_ref().unwrap().fingerprint.as_deref(), Some("kube-system:2"));
        assert_eq!(known.spec.fingerprint.as_deref(), Some("kube-system:1"), "that is for an administrator to say");
    }

    #[tokio::test]
    async fn a_changed_cluster_whose_record_was_lost_gets_one_of_what_assignments_say() {
        let mut directory = Directory::default();
        let fingerprints = BTreeMap::from([("kube-system:1".to_owned(), 3)]);
        directory.uses.insert(name(), Use { objects: 3, fingerprints });
        let refused = Some((reason::CLUSTER_CHANGED, "another one".to_owned()));
        let standing = Standing { refused, found: Some("kube-system:2".into()), ..standing(false) };
        settle(&mut directory, &[standing], &mut HashMap::new());
        assert_eq!(directory.clusters[&name()].spec.fingerprint.as_deref(), Some("kube-system:1"));
    }

    #[tokio::test]
    async fn without_the_kind_nothing_is_tried() {
        let directory = Directory { unkept: Some("not served".into()), ..Directory::default() };
        assert!(due(&directory, &[standing(true)], &at(0), &mut HashMap::new()).is_empty());
    }
}
