//! The manifests below `deploy/` on real API servers: they apply, they ask for little, and what they grant is enough.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, CustomResourceExt as _, ResourceExt as _};
use resource_broker_api::generic::example::{Certificate, CertificateSpec};
use resource_broker_api::names::{ClusterName, Role as ClusterRoleName, copy_name};
use resource_broker_api::{AcceptApi, Assignment};
use resource_broker_harness::{AuditEvent, Broker, Cluster, Planes, TestResult, eventually};
use serde_json::json;
use tokio::sync::OnceCell;

const SYSTEM: &str = "resource-broker-system";
/// Whom the manifests grant everything to, as API servers know it.
const ACCOUNT: &str = "system:serviceaccount:resource-broker-system:resource-broker";
const PATIENCE: Duration = Duration::from_secs(150);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize").join(name)
}

async fn apply(cluster: &Cluster, name: &str) -> Result<String> {
    let folder = folder(name);
    let folder = folder.to_str().context("a path that is not UTF-8")?;
    cluster.kubectl(&["apply", "--validate=strict", "-k", folder]).await
}

/// Coordination, consumer and provider with what `deploy/` has for each.
async fn deployed() -> Result<[Arc<Cluster>; 3]> {
    // Once for all tests: kubectl fails where another makes the same object at the same moment.
    static APPLIED: OnceCell<()> = OnceCell::const_new();
    let planes = Planes::shared().await;
    let clusters = planes.clusters(["coordination", "consumer", "provider"]).await;
    let all = async || {
        for (cluster, name) in clusters.iter().zip(["base", "consumer", "provider"]) {
            apply(cluster, name).await?;
        }
        // Stages run beside the broker unless somebody says otherwise.
        apply(&clusters[0], "compute").await?;
        anyhow::Ok(())
    };
    APPLIED.get_or_try_init(all).await?;
    Ok(clusters)
}

/// API servers take new roles in a moment later.
async fn wait_for_roles([coordination, consumer, provider]: &[Arc<Cluster>; 3]) -> Result<()> {
    let one = ListParams::default().limit(1);
    let client = async |cluster: &Cluster| cluster.client_as(ACCOUNT, &["system:authenticated"]).await;
    let (coordination, consumer, provider) =
        (client(coordination).await?, client(consumer).await?, client(provider).await?);
    eventually("the roles to be at work", PATIENCE, || async {
        Api::<Assignment>::namespaced(coordination.clone(), SYSTEM).list(&one).await?;
        Api::<AcceptApi>::all(provider.clone()).list(&one).await?;
        for client in [&consumer, &provider] {
            Api::<Certificate>::all(client.clone()).list(&one).await?;
            Api::<Secret>::all(client.clone()).list(&one).await?;
        }
        anyhow::Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn manifests_apply_twice() -> TestResult {
    let clusters = deployed().await?;
    let [coordination, ..] = &clusters;
    let folders = clusters.iter().zip(["base", "consumer", "provider"]).chain([(coordination, "compute")]);
    for (cluster, name) in folders {
        let again = apply(cluster, name).await?;
        let changed: Vec<&str> = again.lines().filter(|line| !line.ends_with(" unchanged")).collect();
        assert!(changed.is_empty(), "applying {name} again changed {changed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_pod_fits_the_restricted_standard() -> TestResult {
    let [coordination, ..] = deployed().await?;
    let client = coordination.client().await?;
    let namespace = Api::<Namespace>::all(client.clone()).get(SYSTEM).await?;
    assert_eq!(namespace.labels().get("pod-security.kubernetes.io/enforce").map(String::as_str), Some("restricted"));

    let deployment = Api::<Deployment>::namespaced(client.clone(), SYSTEM).get("resource-broker").await?;
    let mut spec = deployment.spec.and_then(|spec| spec.template.spec).context("the Deployment has no pod")?;
    let pod =
        |spec| Pod { metadata: ObjectMeta { name: Some("x".into()), ..ObjectMeta::default() }, spec, status: None };
    let pods = Api::<Pod>::namespaced(client, SYSTEM);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    pods.create(&dry_run, &pod(Some(spec.clone()))).await?;

    let container = spec.containers.first_mut().context("the pod has no container")?;
    assert!(container.liveness_probe.is_some() && container.readiness_probe.is_some());
    let context = container.security_context.as_mut().context("the container has no security context")?;
    assert_eq!(context.read_only_root_filesystem, Some(true));
    context.allow_privilege_escalation = Some(true);
    let refused = pods.create(&dry_run, &pod(Some(spec))).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("PodSecurity")), "the standard is enforced here");
    Ok(())
}

#[tokio::test]
async fn roles_name_what_they_grant() -> TestResult {
    let [coordination, consumer, provider] = deployed().await?;
    let mut granted = Vec::new();
    let roles = Api::<Role>::namespaced(coordination.client().await?, SYSTEM);
    for name in ["resource-broker", "resource-broker-compute"] {
        granted.push((name.to_owned(), roles.get(name).await?.rules.unwrap_or_default()));
    }
    for cluster in [&consumer, &provider] {
        for role in Api::<ClusterRole>::all(cluster.client().await?).list(&ListParams::default()).await? {
            if role.name_any().starts_with("resource-broker-") {
                assert!(role.aggregation_rule.is_none());
                granted.push((role.name_any(), role.rules.unwrap_or_default()));
            }
        }
    }
    assert_eq!(granted.len(), 6, "{granted:?}");
    for (role, rules) in granted {
        for rule in rules {
            check_rule(&rule).with_context(|| format!("{role}: {rule:?}"))?;
        }
    }
    Ok(())
}

fn check_rule(rule: &PolicyRule) -> Result<()> {
    let groups = rule.api_groups.as_deref().unwrap_or_default();
    let resources = rule.resources.as_deref().unwrap_or_default();
    ensure!(rule.non_resource_urls.is_none(), "paths are granted");
    for word in groups.iter().chain(resources).chain(&rule.verbs) {
        ensure!(!word.contains('*'), "a wildcard");
        let forbidden = ["escalate", "bind", "impersonate", "deletecollection"];
        ensure!(!forbidden.contains(&word.as_str()), "{word} is granted");
    }
    ensure!(!groups.is_empty() && !resources.is_empty() && !rule.verbs.is_empty(), "it grants nothing");
    Ok(())
}

/// A whole life with the shipped roles alone: nothing that the broker asks for is denied.
#[tokio::test]
async fn the_granted_rights_are_enough() -> TestResult {
    let clusters = deployed().await?;
    let [coordination, consumer, provider] = &clusters;
    coordination.install_crd(&Assignment::crd()).await?;
    provider.install_crd(&AcceptApi::crd()).await?;
    for cluster in [consumer, provider] {
        cluster.install_crd(&Certificate::crd()).await?;
    }
    let namespace = "deploy-roles";
    consumer.create_namespace(namespace).await?;
    wait_for_roles(&clusters).await?;

    let mut broker = Broker::builder(Planes::shared().await, "deploy-roles")
        .coordination(&coordination.kubeconfig_as(ACCOUNT, &["system:authenticated"])?)
        .consumer("tenant", &consumer.kubeconfig_as(ACCOUNT, &["system:authenticated"])?)
        .provider("issuer", &provider.kubeconfig_as(ACCOUNT, &["system:authenticated"])?)
        .namespace(SYSTEM)
        .watch_kind("Certificate.v1alpha1.example.platform-mesh.io")
        .arg("leader-elect", "true")
        .start()
        .await?;

    offer(provider, namespace).await?;
    let orders = Api::<Certificate>::namespaced(consumer.client().await?, namespace);
    let spec = CertificateSpec { fqdn: Some("app.roles.corp".into()) };
    orders.create(&PostParams::default(), &Certificate::new("order", spec)).await?;

    let copy = copy_name(&ClusterName::new(ClusterRoleName::Consumer, "tenant"), "order");
    issue(provider.client().await?, namespace, &copy).await?;
    let ready = eventually("the order to be ready", PATIENCE, || async {
        let seen = orders.get("order").await?;
        let conditions = seen.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        match conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True") {
            Some(_) => Ok(seen),
            None => bail!("its conditions are {conditions:?}"),
        }
    })
    .await;
    assert_eq!(ready.annotations().get("broker.platform-mesh.io/provider-cluster").unwrap(), "provider#issuer");
    let secrets = Api::<Secret>::namespaced(consumer.client().await?, namespace);
    eventually("the Secret to be there", PATIENCE, || secrets.get("order-tls")).await;

    orders.delete("order", &kube::api::DeleteParams::default()).await?;
    eventually("the order to be gone", PATIENCE, || async {
        match orders.get_opt("order").await? {
            None => Ok(()),
            Some(there) => bail!("its finalizers are {:?}", there.finalizers()),
        }
    })
    .await;
    assert!(broker.terminate().await?.success());

    for cluster in &clusters {
        // The probes of this test are from another program than the broker.
        let is_ours = |event: &AuditEvent| event.user == ACCOUNT && event.user_agent.contains("resource-broker");
        let denied = cluster.audit(|event| is_ours(event) && event.code == 403).await?;
        let denied: Vec<String> =
            denied.into_iter().map(|event| format!("{} {}", event.verb, event.request_uri)).collect();
        assert!(denied.is_empty(), "{} denied the broker {denied:#?}", cluster.name());
    }
    Ok(())
}

async fn offer(provider: &Cluster, namespace: &str) -> Result<()> {
    let offer = json!({
        "apiVersion": "broker.platform-mesh.io/v1alpha1",
        "kind": "AcceptAPI",
        "metadata": { "name": namespace, "namespace": "default" },
        "spec": {
            "gvr": { "group": "example.platform-mesh.io", "version": "v1alpha1", "resource": "certificates" },
            "filters": [{ "key": "fqdn", "suffix": "roles.corp" }],
        },
    });
    provider.apply_yaml(&offer.to_string()).await?;
    Ok(())
}

/// What a provider's operator does: a Secret, and a status that tells of it.
async fn issue(client: Client, namespace: &str, copy: &str) -> Result<()> {
    let copies = Api::<Certificate>::namespaced(client.clone(), namespace);
    eventually("the copy to be made", PATIENCE, || copies.get(copy)).await;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": format!("{copy}-tls") },
        "stringData": { "tls.crt": "issued" },
    }))?;
    Api::namespaced(client, namespace).create(&PostParams::default(), &secret).await?;
    let status = json!({ "status": {
        "status": "Available",
        "relatedResources": { "tls": {
            "gvk": { "group": "core", "version": "v1", "kind": "Secret" },
            "name": format!("{copy}-tls"),
            "namespace": namespace,
        } },
    } });
    copies.patch_status(copy, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}
