//! Lets go of a cluster that an administrator had removed: the broker's marks and finalizers are taken off what is there, and the
//! records that name it go. Each step is one write and leaves nothing to remember, so that a process that ends at any moment is
//! followed by one that finds what is left.
//!
//! What cannot be reached keeps its marks for as long as it cannot; as long as a kubeconfig names the cluster, it is tried again.

use std::{collections::HashSet, sync::Arc};

use http::Request;
use resource_broker_api::{
    broker::{Assignment, BrokerCluster},
    keys,
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Cluster, ClusterSet, Standing};
use crate::{
    cache::{Cache, own},
    discovery::{self, DiscoveryError},
    lease::Leadership,
    resource::{Patch, Resource},
    transport::{Limits, RequestError},
};

/// Objects in one page of a list.
const PAGE: usize = 200;

/// Lets go of clusters.
pub(super) struct Removal {
    pub(super) clusters: Arc<ClusterSet>,
    pub(super) cache: Arc<Cache>,
    pub(super) leadership: Arc<Leadership>,
    pub(super) namespace: String,
    /// The brokered kinds, and those of related resources.
    pub(super) kinds: Vec<Gvk>,
    pub(super) related: Vec<Gvk>,
    /// `BrokerCluster`s whose clusters were cleaned, by UID.
    pub(super) cleaned: HashSet<String>,
}

/// Why it does not go on for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stuck {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("another process leads now")]
    NotLeading,
}

#[derive(Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Removal {
    /// Does what can be done now for `known`, which an administrator had removed. `standing` is what a kubeconfig names for it.
    pub(super) async fn go_on(&mut self, known: &BrokerCluster, standing: Option<&Standing>) -> Result<(), Stuck> {
        let name = ClusterName::new(known.spec.role, &known.spec.name);
        // As long as it is attached, what is taken off is put on again.
        if self.clusters.get(&name).is_some() {
            return Ok(());
        }
        let held_up = self.records(&name).await?;
        let uid = known.metadata.uid.clone().unwrap_or_default();
        let cluster = standing.and_then(|standing| standing.cluster.as_ref()).filter(|it| it.is_proven());
        if let Some(cluster) = cluster
            && !self.cleaned.contains(&uid)
        {
            let found = match name.role {
                Role::Consumer => self.clean_consumer(cluster).await?,
                Role::Provider => self.clean_provider(cluster).await?,
                Role::Coordination | Role::Compute => 0,
            };
            // A pass that was under way may have put something there since: it is clean when nothing is found.
            if found == 0 {
                self.cleaned.insert(uid.clone());
            } else {
                tracing::info!(cluster = %name, objects = found, "took the broker's marks and finalizers off what is in the removed cluster");
            }
        }
        if let Some(stuck) = held_up {
            return Err(stuck);
        }
        // As long as a kubeconfig names it, this record is what keeps it from being attached again.
        if standing.is_none() {
            if !self.cleaned.remove(&uid) {
                tracing::warn!(
                    cluster = %name,
                    "this process has not reached the removed cluster: unless an earlier one had done with it, what the broker put \
                     there keeps its annotations and its finalizer {}, which have to be taken off by hand",
                    keys::GENERIC_FINALIZER
                );
            }
            let object = known.metadata.name.clone().unwrap_or_default();
            self.send(self.clusters.coordination(), own::clusters().delete(Some(&self.namespace), &object, &uid)?)
                .await?;
            tracing::info!(cluster = %name, "removed: the broker does not know the cluster any more");
        }
        Ok(())
    }

    /// Deletes or changes the Assignments that name the cluster. One whose copy a provider does not let go of now stays, and
    /// holds up no other: what it ran into.
    async fn records(&self, name: &ClusterName) -> Result<Option<Stuck>, Stuck> {
        let coordination = self.clusters.coordination().clone();
        let path = own::records().collection(Some(&self.namespace));
        let mut held_up = None;
        for record in self.list::<Assignment>(&coordination, &path, "").await? {
            if record.spec.consumer.cluster == name.to_string()
                && let Err(stuck) = self.let_go_of_copies(&record).await
            {
                held_up = Some(stuck);
                continue;
            }
            let Some(request) = change_of(&record, &name.to_string(), &self.namespace)? else { continue };
            self.send(&coordination, request).await?;
        }
        Ok(held_up)
    }

    /// Takes the marks off the copies of a record whose consumer goes. One that cannot be reached now is not waited for.
    async fn let_go_of_copies(&self, record: &Assignment) -> Result<(), Stuck> {
        let spec = &record.spec;
        let places = [Some(&spec.provider), spec.next.as_ref()].into_iter().flatten();
        let places =
            places.map(|at| (&at.cluster, at.version.as_ref(), at.namespace.as_ref(), &at.name, at.uid.as_ref()));
        let left = spec.previous.iter();
        let left = left.map(|at| (&at.cluster, at.version.as_ref(), at.namespace.as_ref(), &at.name, at.uid.as_ref()));
        for (cluster, version, namespace, name, uid) in places.chain(left) {
            let Some(provider) = ClusterName::parse(cluster) else { continue };
            let version = version.unwrap_or(&spec.consumer.version);
            let gvk = Gvk::new(&spec.consumer.group, version, &spec.consumer.kind);
            let there = self.clusters.get(&provider);
            let Some((cluster, resource)) = there.zip(self.cache.resource(&provider, &gvk)) else {
                tracing::warn!(
                    assignment = record.metadata.name, provider = %provider, copy = name,
                    "a copy of a removed consumer's object cannot be reached: it keeps the broker's marks and finalizer"
                );
                continue;
            };
            let found = match cluster.request(resource.get(namespace.map(String::as_str), name)?).await {
                Ok(reply) => serde_json::from_slice::<Object>(&reply.body)?,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            // A policy there may have taken the annotations off.
            let is_recorded = uid.is_some_and(|uid| uid == found.uid());
            if is_recorded || found.annotation(keys::CONSUMER_CLUSTER) == Some(&spec.consumer.cluster) {
                self.strip(&cluster, &resource, &found, COPY).await?;
            }
        }
        Ok(())
    }

    /// Takes the marks off everything that this broker put at a provider; of how many objects.
    async fn clean_provider(&self, cluster: &Arc<Cluster>) -> Result<usize, Stuck> {
        let me = self.cache.me();
        let mut found = 0;
        for resource in self.served(cluster, &self.kinds).await? {
            for object in self.list::<Object>(cluster, &resource.all(), "").await? {
                let is_ours = object.annotation(keys::CONSUMER_CLUSTER).is_some()
                    && object.annotation(keys::BROKER) == me.as_deref();
                if is_ours {
                    found += usize::from(self.strip(cluster, &resource, &object, COPY).await?);
                }
            }
        }
        let offers = own::offers();
        match self.list::<Object>(cluster, &offers.all(), "").await {
            Ok(all) => {
                for object in all {
                    found += usize::from(self.strip(cluster, &offers, &object, OFFER).await?);
                }
                Ok(found)
            }
            Err(Stuck::Request(error)) if error.is_not_found() => Ok(found),
            Err(error) => Err(error),
        }
    }

    /// Takes the marks off everything that this broker serves at a consumer; of how many objects.
    async fn clean_consumer(&self, cluster: &Arc<Cluster>) -> Result<usize, Stuck> {
        let me = self.cache.me();
        let mut found = 0;
        // The orders of other brokers, by UID.
        let mut others = HashSet::new();
        for resource in self.served(cluster, &self.kinds).await? {
            for object in self.list::<Object>(cluster, &resource.all(), "").await? {
                let served_by = object.annotation(keys::SERVED_BY);
                let is_ours = served_by.is_none_or(|id| Some(id) == me.as_deref());
                // A copy of another broker's that is an order here keeps what makes it a copy.
                let is_copy = object.annotation(keys::CONSUMER_CLUSTER).is_some();
                if is_ours {
                    let marks = if is_copy { ORDER_THAT_IS_A_COPY } else { ORDER };
                    found += usize::from(self.strip(cluster, &resource, &object, marks).await?);
                } else {
                    others.insert(object.uid().to_owned());
                }
            }
        }
        for resource in self.served(cluster, &self.related).await? {
            let selector = format!("labelSelector={}&", keys::RELATED_TO);
            for object in self.list::<Object>(cluster, &resource.all(), &selector).await? {
                if belongs_to_our_order(&object, &self.kinds, &others) {
                    found += usize::from(self.strip(cluster, &resource, &object, RELATED).await?);
                }
            }
        }
        Ok(found)
    }

    /// Those of some kinds that a cluster serves.
    async fn served(&self, cluster: &Arc<Cluster>, kinds: &[Gvk]) -> Result<Vec<Resource>, Stuck> {
        let mut served = Vec::new();
        for gvk in kinds {
            match discovery::find(cluster, gvk, false).await.map(|found| found.resource) {
                Ok(resource) => served.push(resource),
                Err(DiscoveryError::NotServed(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(served)
    }

    /// Takes marks off an object; whether it had any.
    async fn strip(
        &self,
        cluster: &Arc<Cluster>,
        resource: &Resource,
        object: &Object,
        marks: Marks,
    ) -> Result<bool, Stuck> {
        let Some(change) = without(object, marks, self.cache.me().as_deref()) else { return Ok(false) };
        let request = resource.patch(object.namespace(), object.name(), "", Patch::Merge, &change)?;
        self.send(cluster, request).await.map(|()| true)
    }

    /// Sends a write. One that finds something else than was seen is left for the next time.
    async fn send(&self, cluster: &Arc<Cluster>, request: Request<Vec<u8>>) -> Result<(), Stuck> {
        if !self.leadership.is_leader() {
            return Err(Stuck::NotLeading);
        }
        match cluster.request(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn list<T: serde::de::DeserializeOwned>(
        &self,
        cluster: &Arc<Cluster>,
        path: &str,
        selector: &str,
    ) -> Result<Vec<T>, Stuck> {
        let (mut all, mut next) = (Vec::new(), None::<String>);
        loop {
            let from = next.map(|token| format!("&continue={token}")).unwrap_or_default();
            let request = Request::get(format!("{path}?{selector}limit={PAGE}{from}"))
                .header(http::header::ACCEPT, "application/json")
                .body(Vec::new())?;
            let reply = cluster.request_within(request, Limits::PAGE).await?;
            let page: Page<T> = serde_json::from_slice(&reply.body)?;
            all.extend(page.items.unwrap_or_default());
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(all);
            }
        }
    }
}

/// What the broker puts on an object.
#[derive(Clone, Copy)]
struct Marks {
    finalizers: &'static [&'static str],
    annotations: &'static [&'static str],
    labels: &'static [&'static str],
    /// Also the finalizer that has the broker's id in its name.
    own_finalizer: bool,
}

const COPY: Marks = Marks {
    finalizers: &[keys::GENERIC_FINALIZER],
    annotations: &[keys::CONSUMER_CLUSTER, keys::CONSUMER_NAME, keys::BROKER],
    labels: &[keys::ASSIGNMENT, keys::BUCKET],
    own_finalizer: false,
};
const ORDER: Marks = Marks {
    finalizers: &[keys::GENERIC_FINALIZER],
    annotations: &[keys::PROVIDER_CLUSTER, keys::NEW_PROVIDER_CLUSTER, keys::SERVED_BY, keys::TOKEN],
    labels: &[],
    own_finalizer: true,
};
const ORDER_THAT_IS_A_COPY: Marks = Marks { finalizers: &[], ..ORDER };
const OFFER: Marks =
    Marks { finalizers: &[keys::ACCEPT_API_FINALIZER], annotations: &[], labels: &[], own_finalizer: false };
const RELATED: Marks =
    Marks { finalizers: &[], annotations: &[keys::RELATED_SOURCE], labels: &[keys::RELATED_TO], own_finalizer: false };

/// The merge patch that takes marks off an object; `None` where it has none.
fn without(object: &Object, marks: Marks, me: Option<&str>) -> Option<Value> {
    let own = me.filter(|_| marks.own_finalizer).map(|me| format!("{}-{me}", keys::GENERIC_FINALIZER));
    let is_ours =
        |finalizer: &String| marks.finalizers.contains(&finalizer.as_str()) || Some(finalizer) == own.as_ref();
    let keep: Vec<&String> = object.finalizers().iter().filter(|it| !is_ours(it)).collect();
    let none = |keys: &[&str], has: &dyn Fn(&str) -> bool| -> Map<String, Value> {
        keys.iter().filter(|key| has(key)).map(|key| ((*key).to_owned(), Value::Null)).collect()
    };
    let annotations = none(marks.annotations, &|key| object.annotation(key).is_some());
    let labels = none(marks.labels, &|key| object.label(key).is_some());
    let mut metadata = Map::new();
    if keep.len() < object.finalizers().len() {
        metadata.insert("finalizers".into(), if keep.is_empty() { Value::Null } else { json!(keep) });
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".into(), annotations.into());
    }
    if !labels.is_empty() {
        metadata.insert("labels".into(), labels.into());
    }
    if metadata.is_empty() {
        return None;
    }
    metadata.insert("uid".into(), object.uid().into());
    metadata.insert("resourceVersion".into(), object.resource_version().into());
    Some(json!({"metadata": metadata}))
}

/// Whether a related resource was copied for an order of this broker: the label alone says nothing, several brokers set it.
fn belongs_to_our_order(object: &Object, kinds: &[Gvk], others: &HashSet<String>) -> bool {
    object.meta.owner_references.iter().flatten().any(|owner| {
        let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        kinds.iter().any(|kind| kind.kind == owner.kind && kind.group == group) && !others.contains(&owner.uid)
    })
}

/// What is to be done about an Assignment once a cluster is no more.
fn change_of(record: &Assignment, name: &str, namespace: &str) -> Result<Option<Request<Vec<u8>>>, http::Error> {
    let (object, uid) = (record.metadata.name.as_deref().unwrap_or_default(), record.metadata.uid.as_deref());
    let uid = uid.unwrap_or_default();
    let spec = &record.spec;
    if spec.consumer.cluster == name || spec.provider.cluster == name {
        return own::records().delete(Some(namespace), object, uid).map(Some);
    }
    let goes = spec.next.as_ref().is_some_and(|next| next.cluster == name);
    let left: Vec<_> = spec.previous.iter().filter(|place| place.cluster != name).collect();
    if !goes && left.len() == spec.previous.len() {
        return Ok(None);
    }
    let mut change = json!({"previous": left});
    if goes {
        change["next"] = Value::Null;
    }
    let version = record.metadata.resource_version.as_deref();
    let change = json!({"metadata": {"uid": uid, "resourceVersion": version}, "spec": change});
    own::records().patch(Some(namespace), object, "", Patch::Merge, &change).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assignment, key, object};

    #[test]
    fn only_the_brokers_own_marks_go() {
        let order = object(&json!({"metadata": {
            "name": "a", "uid": "u", "resourceVersion": "7",
            "finalizers": ["theirs", keys::GENERIC_FINALIZER, format!("{}-me", keys::GENERIC_FINALIZER)],
            "annotations": {"theirs": "x", keys::PROVIDER_CLUSTER: "provider#p", keys::TOKEN: "t"},
        }}));
        assert_eq!(
            without(&order, ORDER, Some("me")),
            Some(json!({"metadata": {
                "uid": "u", "resourceVersion": "7", "finalizers": ["theirs"],
                "annotations": {keys::PROVIDER_CLUSTER: null, keys::TOKEN: null},
            }}))
        );
        let kept = without(&order, ORDER_THAT_IS_A_COPY, Some("me")).unwrap();
        assert_eq!(kept["metadata"]["finalizers"], json!(["theirs", keys::GENERIC_FINALIZER]));
        let bare = object(&json!({"metadata": {"name": "a", "uid": "u", "finalizers": ["theirs"]}}));
        assert_eq!(without(&bare, COPY, None), None, "nothing is written where nothing is");
    }

    #[test]
    fn related_resources_of_other_brokers_orders_keep_their_marks() {
        let kinds = [Gvk::new("example.com", "v1", "Widget")];
        let others = HashSet::from(["theirs".to_owned()]);
        let owned = |api_version: &str, kind: &str, uid: &str| {
            let owner = json!({"apiVersion": api_version, "kind": kind, "name": "a", "uid": uid});
            let secret = object(&json!({"metadata": {"name": "s", "uid": "u", "ownerReferences": [owner]}}));
            belongs_to_our_order(&secret, &kinds, &others)
        };
        assert!(owned("example.com/v1", "Widget", "ours") && owned("example.com/v2", "Widget", "ours"));
        assert!(!owned("example.com/v1", "Widget", "theirs"), "the order names another broker");
        assert!(
            !owned("example.com/v1", "Gadget", "x") && !owned("other.com/v1", "Widget", "x"),
            "a kind of another broker"
        );
        let bare = object(&json!({"metadata": {"name": "s", "uid": "u"}}));
        assert!(!belongs_to_our_order(&bare, &kinds, &others), "a replica of a copy is its maker's");
    }

    #[test]
    fn records_that_name_the_cluster_go_or_forget_it() {
        let record = |from: &str, next: Option<&str>| -> Assignment {
            let json = assignment(&key("a"), 3, from, next).to_json("broker.platform-mesh.io/v1alpha1", "Assignment");
            serde_json::from_str(&json).unwrap()
        };
        let method = |record: &Assignment, name: &str| {
            change_of(record, name, "broker").unwrap().map(|request| request.method().to_string())
        };
        assert_eq!(method(&record("p", None), "provider#p").as_deref(), Some("DELETE"));
        assert_eq!(method(&record("p", None), "consumer#c").as_deref(), Some("DELETE"));
        assert_eq!(method(&record("p", Some("q")), "provider#q").as_deref(), Some("PATCH"));
        assert_eq!(method(&record("p", Some("q")), "provider#other"), None);
        let mut left = record("p", None);
        left.spec.previous = vec![serde_json::from_value(json!({"cluster": "provider#old", "name": "n"})).unwrap()];
        assert_eq!(method(&left, "provider#old").as_deref(), Some("PATCH"));
    }
}
