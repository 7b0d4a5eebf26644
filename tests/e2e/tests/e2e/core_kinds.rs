//! Kinds that API servers have of their own: what a server sets stays with it, and what it makes is nobody's order.

use anyhow::{Context as _, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt as _};
use resource_broker_harness::TestResult;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::pair::{Pair, Side, gone, recorded, until};

const KINDS: [(&str, &str, &str); 4] = [
    ("Service.v1.core", "", "services"),
    ("PersistentVolumeClaim.v1.core", "", "persistentvolumeclaims"),
    ("ServiceAccount.v1.core", "", "serviceaccounts"),
    ("Job.v1.batch", "batch", "jobs"),
];

async fn make<K>(side: &Side, object: Value) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    Ok(side.api().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
}

/// Waits until the record of a consumer object says that its copy shows all of it.
async fn synced(pair: &Pair, group: &str, kind: &str, name: &str) {
    let record = resource_broker_api::names::assignment_name(&pair.consumer.id, group, kind, Some(pair.name), name);
    until(&pair.records, &record, "to be in step", |it| {
        recorded(it, "Synced").is_some_and(|(status, _)| status == "True")
    })
    .await;
}

#[tokio::test]
async fn services_jobs_and_claims_are_copied_without_what_their_cluster_gave_them() -> TestResult {
    let pair = Pair::bare("core-kinds", "cm-consumer", "cm-provider").await?;
    let mut broker = pair.broker(&[]).await?;
    pair.kind.install(&pair.consumer.cluster).await?;
    pair.kind.install(&pair.provider.cluster).await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    for (kind, group, resource) in KINDS {
        let gvr = json!({"group": group, "version": "v1", "resource": resource});
        pair.provider.offer_of(resource, &gvr, &json!([])).await?;
        broker = broker.watch_kind(kind);
    }
    let mut broker = broker.start().await?;

    // Taken at the provider, so that a copied address or port would be refused.
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    let service =
        json!({"metadata": {"name": "web"}, "spec": {"type": "NodePort", "ports": ports, "selector": {"app": "web"}}});
    let service: Service = make(&pair.consumer, service).await?;
    let given = service.spec.context("no spec")?;
    let (address, port) = (given.cluster_ip.context("no address")?, given.ports.context("no ports")?[0].node_port);
    let pod = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}});
    let job: Job = make(&pair.consumer, json!({"metadata": {"name": "once"}, "spec": {"template": pod}})).await?;
    let claim = json!({"metadata": {"name": "disk"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "volumeName": "theirs", "resources": {"requests": {"storage": "1Gi"}},
    }});
    make::<PersistentVolumeClaim>(&pair.consumer, claim).await?;
    let account = json!({"metadata": {"name": "robot"}, "secrets": [{"name": "robot-token-1"}]});
    make::<ServiceAccount>(&pair.consumer, account).await?;
    make::<ServiceAccount>(&pair.consumer, json!({"metadata": {"name": "default"}})).await?;

    let services = pair.provider.api::<Service>();
    let copy = until(&services, &pair.copy_name("web"), "the copy", |_| true).await;
    let spec = copy.spec.context("no spec")?;
    assert_eq!((spec.type_.as_deref(), spec.selector), (Some("NodePort"), given.selector));
    assert!(spec.cluster_ip.is_some_and(|own| own != address), "an address of its own");
    let own = spec.ports.context("no ports")?[0].node_port;
    assert!(own.is_some() && own != port, "a port of its own: {own:?} {port:?}");
    let jobs = pair.provider.api::<Job>();
    let copy = until(&jobs, &pair.copy_name("once"), "the copy", |_| true).await;
    let selects = |job: &Job| job.spec.as_ref().and_then(|spec| spec.selector.clone());
    assert!(selects(&copy).is_some() && selects(&copy) != selects(&job), "{:?}", selects(&copy));
    let claims = pair.provider.api::<PersistentVolumeClaim>();
    let copy = until(&claims, &pair.copy_name("disk"), "the copy", |_| true).await;
    assert_eq!(copy.spec.context("no spec")?.volume_name, None);
    let accounts = pair.provider.api::<ServiceAccount>();
    let copy = until(&accounts, &pair.copy_name("robot"), "the copy", |_| true).await;
    assert_eq!(copy.secrets, None);
    for (group, kind, name) in [
        ("", "Service", "web"),
        ("batch", "Job", "once"),
        ("", "PersistentVolumeClaim", "disk"),
        ("", "ServiceAccount", "robot"),
    ] {
        synced(&pair, group, kind, name).await;
    }

    // What every cluster has was there before all of these.
    pair.marker().await?;
    let own: Api<Service> = Api::namespaced(pair.consumer.client.clone(), "default");
    assert_eq!(own.get("kubernetes").await?.finalizers(), [""; 0]);
    assert_eq!(pair.consumer.api::<ServiceAccount>().get("default").await?.finalizers(), [""; 0]);
    assert!(accounts.get_opt(&pair.copy_name("default")).await?.is_none());

    // A process that remembers nothing finds nothing to do.
    broker.terminate().await?;
    let positions = [pair.consumer.cluster.audit_position().await?, pair.provider.cluster.audit_position().await?];
    broker.restart().await?;
    pair.marker().await?;
    for (side, position) in [&pair.consumer, &pair.provider].into_iter().zip(positions) {
        let of_core = |uri: &str| KINDS.iter().any(|(_, _, resource)| uri.contains(&format!("/{resource}/")));
        let writes = pair.writes(&side.cluster, position, |event| of_core(&event.request_uri)).await?;
        assert!(writes.is_empty(), "{writes:?}");
    }

    // A change goes on reaching the copy, and the end takes all of it.
    let change = json!({"spec": {"selector": {"app": "other"}}});
    pair.consumer.api::<Service>().patch("web", &PatchParams::default(), &Patch::Merge(&change)).await?;
    let selects = |it: &Service, app: &str| {
        it.spec.as_ref().and_then(|spec| spec.selector.as_ref()?.get("app")).is_some_and(|found| found == app)
    };
    until(&services, &pair.copy_name("web"), "the change", |it| selects(it, "other")).await;
    pair.consumer.api::<Service>().delete("web", &DeleteParams::default()).await?;
    pair.consumer.api::<Job>().delete("once", &DeleteParams::background()).await?;
    gone(&pair.consumer.api::<Service>(), "web").await;
    gone(&services, &pair.copy_name("web")).await;
    gone(&jobs, &pair.copy_name("once")).await;
    Ok(())
}
