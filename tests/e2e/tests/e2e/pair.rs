//! What a test between a consumer and a provider stands on: a kind, namespaces and a broker of its own.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Client, CustomResourceExt as _, Resource};
use resource_broker_api::broker::BrokerCluster;
use resource_broker_api::names::{ClusterName, Role, assignment_name, copy_name};
use resource_broker_api::{AcceptApi, Assignment, Migration, MigrationConfiguration, Plugin};
use resource_broker_harness::{AuditEvent, Broker, BrokerBuilder, Cluster, Planes, TestKind, eventually};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long one thing may take: much longer than it does, since many tests share few cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// One consumer and one provider among the shared control planes, with what is a test's own there.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    /// A kind that only this test's broker watches.
    pub(crate) kind: TestKind,
    pub(crate) coordination: Arc<Cluster>,
    /// The broker's records of this test.
    pub(crate) records: Api<Assignment>,
    /// Where people order.
    pub(crate) consumer: Side,
    /// Where it is made.
    pub(crate) provider: Side,
    markers: AtomicU32,
}

impl Pair {
    /// Between the usual consumer and provider. `name` is unique: the namespaces and the broker's user are called so.
    pub(crate) async fn new(name: &'static str) -> Result<Self> {
        Self::of(name, TestKind::new()).await
    }

    /// As [`new`](Self::new), for a kind that the test chose.
    pub(crate) async fn of(name: &'static str, kind: TestKind) -> Result<Self> {
        let pair = Self::between(name, kind, "consumer", "provider").await?;
        for side in [&pair.consumer, &pair.provider] {
            pair.kind.install(&side.cluster).await?;
        }
        Ok(pair)
    }

    /// Between clusters in which the kind is not installed yet.
    pub(crate) async fn bare(name: &'static str, consumer: &str, provider: &str) -> Result<Self> {
        Self::between(name, TestKind::new(), consumer, provider).await
    }

    async fn between(name: &'static str, kind: TestKind, consumer: &str, provider: &str) -> Result<Self> {
        let [coordination, consumer, provider] =
            Planes::shared().await.clusters(["coordination", consumer, provider]).await;
        coordination.install_crd(&Assignment::crd()).await?;
        coordination.install_crd(&BrokerCluster::crd()).await?;
        coordination.install_crd(&Plugin::crd()).await?;
        coordination.install_crd(&Migration::crd()).await?;
        coordination.install_crd(&MigrationConfiguration::crd()).await?;
        coordination.create_namespace(name).await?;
        let records = Api::namespaced(coordination.client().await?, name);
        let consumer = Side::new(Role::Consumer, consumer, &kind, name).await?;
        let provider = Side::new(Role::Provider, provider, &kind, name).await?;
        Ok(Self { name, kind, coordination, records, consumer, provider, markers: AtomicU32::new(0) })
    }

    /// A second consumer, with the kind.
    pub(crate) async fn other_consumer(&self) -> Result<Side> {
        let cluster = Planes::shared().await.cluster("consumer-b").await;
        self.kind.install(&cluster).await?;
        Side::new(Role::Consumer, cluster, &self.kind, self.name).await
    }

    /// A second provider, with the kind.
    pub(crate) async fn other_provider(&self) -> Result<Side> {
        self.further_provider("provider-b").await
    }

    /// One more provider, with the kind, in the cluster of that name.
    pub(crate) async fn further_provider(&self, name: &str) -> Result<Side> {
        let cluster = Planes::shared().await.cluster(name).await;
        self.kind.install(&cluster).await?;
        Side::new(Role::Provider, cluster, &self.kind, self.name).await
    }

    /// A broker for this kind. Its user is called as the test and may do everything.
    pub(crate) async fn broker(&self, others: &[&Side]) -> Result<BrokerBuilder> {
        let admin = |cluster: &Cluster| cluster.kubeconfig_as(self.name, &["system:masters"]);
        let mut builder = Broker::builder(Planes::shared().await, self.name)
            .coordination(&admin(&self.coordination)?)
            .namespace(self.name)
            .watch_kind(&self.kind.watch_kind());
        for side in [&self.consumer, &self.provider].into_iter().chain(others.iter().copied()) {
            let kubeconfig = admin(&side.cluster)?;
            builder = match side.id.role {
                Role::Provider => builder.provider(&side.id.name, &kubeconfig),
                _ => builder.consumer(&side.id.name, &kubeconfig),
            };
        }
        Ok(builder)
    }

    /// A provider that takes everything, and a broker that runs.
    pub(crate) async fn start(&self) -> Result<Broker> {
        self.provider.offer(self.name, &json!([])).await?;
        self.broker(&[]).await?.start().await
    }

    /// What the copies of the consumer's object `name` are called.
    pub(crate) fn copy_name(&self, name: &str) -> String {
        self.consumer.copy_name(name)
    }

    /// What the record of the consumer's object `name` is called.
    pub(crate) fn record_name(&self, name: &str) -> String {
        assignment_name(&self.consumer.id, self.kind.group(), "Widget", Some(self.name), name)
    }

    /// Waits for the provider's copy of the consumer's object `name`.
    pub(crate) async fn copy(&self, name: &str) -> DynamicObject {
        until(&self.provider.widgets(), &self.copy_name(name), "the copy to be made", |_| true).await
    }

    /// An object whose copy has been made, and the copy.
    pub(crate) async fn placed(&self, name: &str, spec: &Value) -> Result<DynamicObject> {
        self.consumer.create(name, spec).await?;
        Ok(self.copy(name).await)
    }

    /// Waits until another object, made now, is all done: by then whatever was going on before has happened.
    pub(crate) async fn marker(&self) -> Result<()> {
        let name = format!("marker-{}", self.markers.fetch_add(1, Ordering::Relaxed));
        self.placed(&name, &json!({})).await?;
        self.provider.report(&self.copy_name(&name), &json!({"status": "Available"})).await?;
        until(&self.consumer.widgets(), &name, "the marker to be ready", |it| is(it, "Ready", "True")).await;
        until(&self.records, &self.record_name(&name), "the marker's record to say so", |it| {
            it.status.as_ref().is_some_and(|status| !status.conditions.is_empty())
        })
        .await;
        Ok(())
    }

    /// The broker's writes in a cluster since `position`, as far as `filter` takes them, as `VERB PATH CODE`.
    pub(crate) async fn writes(
        &self,
        cluster: &Cluster,
        position: u64,
        filter: impl Fn(&AuditEvent) -> bool,
    ) -> Result<Vec<String>> {
        let ours = |event: &AuditEvent| event.user == self.name && event.is_write() && filter(event);
        let events = cluster.audit_since(position, ours).await?;
        Ok(events.iter().map(|event| format!("{} {} {}", event.verb, event.request_uri, event.code)).collect())
    }
}

/// A consumer or a provider, as a test sees it.
pub(crate) struct Side {
    pub(crate) cluster: Arc<Cluster>,
    /// What the broker calls it.
    pub(crate) id: ClusterName,
    pub(crate) client: Client,
    kind: TestKind,
    namespace: &'static str,
}

impl Side {
    async fn new(role: Role, cluster: Arc<Cluster>, kind: &TestKind, namespace: &'static str) -> Result<Self> {
        match role {
            Role::Provider => cluster.install_crd(&AcceptApi::crd()).await?,
            // At a provider the broker makes the namespace.
            _ => cluster.create_namespace(namespace).await?,
        }
        let id = ClusterName::new(role, cluster.name());
        let client = cluster.client().await?;
        Ok(Self { cluster, id, client, kind: kind.clone(), namespace })
    }

    /// The same cluster in another namespace.
    pub(crate) fn in_namespace(&self, namespace: &'static str) -> Self {
        let Self { cluster, id, client, kind, .. } = self;
        Self { cluster: Arc::clone(cluster), id: id.clone(), client: client.clone(), kind: kind.clone(), namespace }
    }

    /// The test's objects here, or their copies.
    pub(crate) fn widgets(&self) -> Api<DynamicObject> {
        self.kind.api(self.client.clone(), self.namespace)
    }

    /// Other objects in the test's namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// The offers here. They are in a namespace that is there already.
    pub(crate) fn offers(&self) -> Api<AcceptApi> {
        Api::default_namespaced(self.client.clone())
    }

    /// What copies of this consumer's objects are called.
    pub(crate) fn copy_name(&self, name: &str) -> String {
        copy_name(&self.id, name)
    }

    /// Makes an object.
    pub(crate) async fn create(&self, name: &str, spec: &Value) -> Result<DynamicObject> {
        let object = self.kind.object(self.namespace, name, spec);
        Ok(self.widgets().create(&PostParams::default(), &object).await?)
    }

    /// Makes an object, where the API server takes it.
    pub(crate) async fn try_create(&self, name: &str, spec: &Value) -> kube::Result<()> {
        let object = self.kind.object(self.namespace, name, spec);
        self.widgets().create(&PostParams::default(), &object).await.map(drop)
    }

    /// Replaces an object's whole spec.
    pub(crate) async fn set_spec(&self, name: &str, spec: &Value) -> Result<DynamicObject> {
        let patch = serde_json::from_value(json!([{"op": "replace", "path": "/spec", "value": spec}]))?;
        Ok(self.widgets().patch(name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await?)
    }

    /// Changes an object as `kubectl edit` does.
    pub(crate) async fn edit(&self, name: &str, change: &Value) -> Result<DynamicObject> {
        Ok(self.widgets().patch(name, &PatchParams::default(), &Patch::Merge(change)).await?)
    }

    /// Replaces an object's whole status, as a provider's operator does.
    pub(crate) async fn report(&self, name: &str, status: &Value) -> Result<DynamicObject> {
        let patch = serde_json::from_value(json!([{"op": "add", "path": "/status", "value": status}]))?;
        Ok(self.widgets().patch_status(name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await?)
    }

    /// Deletes an object; finalizers may hold it.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.widgets().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Publishes an offer for the test's kind, or replaces its filters.
    pub(crate) async fn offer(&self, name: &str, filters: &Value) -> Result<AcceptApi> {
        self.offer_of(name, &self.kind.gvr(), filters).await
    }

    /// Publishes an offer.
    pub(crate) async fn offer_of(&self, name: &str, gvr: &Value, filters: &Value) -> Result<AcceptApi> {
        let offer = json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "AcceptAPI",
            "metadata": {"name": name}, "spec": {"gvr": gvr, "filters": filters},
        });
        Ok(self.offers().patch(name, &PatchParams::apply("provider").force(), &Patch::Apply(&offer)).await?)
    }

    /// Withdraws an offer and waits for its end.
    pub(crate) async fn withdraw(&self, name: &str) -> Result<()> {
        self.offers().delete(name, &DeleteParams::default()).await?;
        gone(&self.offers(), name).await;
        Ok(())
    }

    /// Waits for an Event about an object, and returns its message.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> String {
        event_about(&self.api(), name, reason).await
    }
}

/// Waits for an Event with this reason about the object `name`, and returns its message.
pub(crate) async fn event_about(events: &Api<Event>, name: &str, reason: &str) -> String {
    eventually(&format!("an Event {reason} about {name}"), PATIENCE, || async {
        let about = events.list(&ListParams::default().fields(&format!("involvedObject.name={name}"))).await?.items;
        match about.iter().find(|event| event.reason.as_deref() == Some(reason)) {
            Some(event) => Ok(event.message.clone().unwrap_or_default()),
            None => bail!("{:?}", about.iter().map(|event| (&event.reason, &event.message)).collect::<Vec<_>>()),
        }
    })
    .await
}

/// Waits until the object `name` is there and `holds` of it.
pub(crate) async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    eventually(&format!("{name}: {what}"), PATIENCE, || async {
        match api.get_opt(name).await? {
            Some(object) if holds(&object) => Ok(object),
            Some(object) => bail!("{}", shown(&object)),
            None => bail!("it is not there"),
        }
    })
    .await
}

/// Waits until the object `name` is not there.
pub(crate) async fn gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    eventually(&format!("the end of {name}"), PATIENCE, || async {
        match api.get_opt(name).await? {
            None => Ok(()),
            Some(object) => bail!("{}", shown(&object)),
        }
    })
    .await;
}

/// An object as a person wants to see it.
fn shown<K: Serialize>(object: &K) -> String {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    value.to_string()
}

/// One condition of an object; null where it has none of that type.
pub(crate) fn condition<'a>(object: &'a DynamicObject, type_: &str) -> &'a Value {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}

/// Whether a condition has this status.
pub(crate) fn is(object: &DynamicObject, type_: &str, status: &str) -> bool {
    condition(object, type_)["status"] == status
}

/// Whether a condition is false for this reason.
pub(crate) fn fails(object: &DynamicObject, type_: &str, reason: &str) -> bool {
    is(object, type_, "False") && condition(object, type_)["reason"] == reason
}

/// The message of a condition.
pub(crate) fn message<'a>(object: &'a DynamicObject, type_: &str) -> &'a str {
    condition(object, type_)["message"].as_str().unwrap_or_default()
}

/// Whether all three conditions hold for the object's present generation.
pub(crate) fn is_well(object: &DynamicObject) -> bool {
    ["Accepted", "Synced", "Ready"].into_iter().all(|type_| {
        is(object, type_, "True")
            && condition(object, type_)["observedGeneration"].as_i64() == object.metadata.generation
    })
}

/// The status and the reason of a record's condition.
pub(crate) fn recorded<'a>(record: &'a Assignment, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = &record.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((&condition.status, &condition.reason))
}
