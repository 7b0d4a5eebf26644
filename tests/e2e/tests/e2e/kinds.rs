//! The definitions below `crds/` on a real API server: it takes them all, and with them good objects and no bad ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt as _};
use resource_broker_api::all_crds;
use resource_broker_harness::{Cluster, Planes, TestResult};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const GROUP: &str = "broker.platform-mesh.io";

/// The coordination cluster with all kinds, and a namespace in it.
async fn prepared(namespace: &str) -> Result<Arc<Cluster>> {
    static APPLIED: OnceCell<()> = OnceCell::const_new();
    let cluster = Planes::shared().await.cluster("coordination").await;
    let crds = repository().join("crds");
    APPLIED.get_or_try_init(|| cluster.apply_folder(&crds)).await?;
    cluster.create_namespace(namespace).await?;
    Ok(cluster)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The objects of a kind, found among the definitions.
fn api(client: &Client, namespace: &str, group: &str, kind: &str) -> Result<Api<DynamicObject>> {
    let crd = all_crds()
        .into_iter()
        .map(|file| file.crd.spec)
        .find(|crd| crd.group == group && crd.names.kind == kind)
        .with_context(|| format!("no kind {kind} in {group}"))?;
    let gvk = GroupVersionKind::gvk(group, "v1alpha1", kind);
    Ok(Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&gvk, &crd.names.plural)))
}

fn object(group: &str, kind: &str, spec: &Value) -> Result<DynamicObject> {
    let object = json!({
        "apiVersion": format!("{group}/v1alpha1"),
        "kind": kind,
        "metadata": { "name": "x" },
        "spec": spec,
    });
    serde_json::from_value(object).context("not an object")
}

/// What the API server says to an object with this spec, without keeping it: `None` where it is content.
async fn complaint(client: &Client, namespace: &str, group: &str, kind: &str, spec: &Value) -> Result<Option<String>> {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api(client, namespace, group, kind)?.create(&params, &object(group, kind, spec)?).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(status.message)),
        Err(error) => Err(error).with_context(|| format!("{kind} {spec}")),
    }
}

#[tokio::test]
async fn manifests_of_the_go_broker_apply_unchanged() -> TestResult {
    let cluster = prepared("kinds-existing").await?;
    let manifests = repository().join("tests/e2e/manifests/existing.yaml");
    let manifests = manifests.to_str().context("a path that is not UTF-8")?;
    let first = cluster.kubectl(&["apply", "--validate=strict", "-n", "kinds-existing", "-f", manifests]).await?;
    assert_eq!(first.lines().count(), 24, "{first}");
    let second = cluster.kubectl(&["apply", "--validate=strict", "-n", "kinds-existing", "-f", manifests]).await?;
    let changed: Vec<&str> = second.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert!(changed.is_empty(), "applying again changed {changed:?}");

    // The API server adds and drops nothing.
    let client = cluster.client().await?;
    let stages = api(&client, "kinds-existing", GROUP, "MigrationConfiguration")?.get("postgres").await?;
    let job = &stages.data["spec"]["stages"][0]["templates"]["job"];
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["image"], "postgres:18");
    assert_eq!(stages.data["spec"]["stages"][1], json!({ "name": "switch", "progress": false }));
    let offer = api(&client, "kinds-existing", GROUP, "AcceptAPI")?.get("everything").await?;
    assert_eq!(offer.data["spec"], json!({ "gvr": { "group": "", "version": "v1", "resource": "configmaps" } }));
    Ok(())
}

#[tokio::test]
async fn good_objects_are_taken() -> TestResult {
    let cluster = prepared("kinds-good").await?;
    let client = cluster.client().await?;
    let gvr = json!({ "group": "g", "version": "v1", "resource": "things" });
    for (group, kind, spec) in [
        (
            GROUP,
            "AcceptAPI",
            json!({ "gvr": gvr, "filters": [{ "key": "size", "boundary": { "min": 0.5, "max": 3 } }] }),
        ),
        (GROUP, "AcceptAPI", json!({ "gvr": gvr, "filters": [{ "key": "size", "boundary": { "min": -1 } }] })),
        (GROUP, "AcceptAPI", json!({ "gvr": gvr, "filters": [{ "key": "spec" }, { "key": "spec_x.y" }] })),
        (
            GROUP,
            "Plugin",
            json!({
                "component": [{ "configMap": "one", "key": "a" }, { "configMap": "two", "key": "b" }],
                "apis": [{ "group": "", "resource": "configmaps" }],
                "roles": ["accept-filter"],
                "configuration": { "any": { "thing": [1, "two"] } },
                "sha256": "0".repeat(64),
                "limits": { "memory": "64Mi", "timeoutMilliseconds": 50, "output": 65536 },
            }),
        ),
        ("operator.broker.platform-mesh.io", "Broker", json!({})),
        ("storage.generic.platform-mesh.io", "Block", json!({ "size": "500Gi" })),
        ("identity.generic.platform-mesh.io", "Certificate", json!({})),
        ("compute.generic.platform-mesh.io", "KubernetesCluster", json!({ "version": "1.34", "nodeCount": 0 })),
    ] {
        assert_eq!(complaint(&client, "kinds-good", group, kind, &spec).await?, None, "{kind} {spec}");
    }
    Ok(())
}

#[tokio::test]
async fn bad_objects_are_refused_with_the_field_named() -> TestResult {
    let cluster = prepared("kinds-bad").await?;
    let client = cluster.client().await?;
    let gvr = json!({ "group": "g", "version": "v1", "resource": "things" });
    let filters = |filters: Value| json!({ "gvr": gvr, "filters": filters });
    let component = json!([{ "configMap": "one", "key": "a" }]);
    let apis = json!([{ "group": "g", "resource": "things" }]);
    let kind = json!({ "group": "g", "version": "v1", "kind": "K" });
    for (group, of, spec, expected) in [
        (GROUP, "AcceptAPI", json!({}), "spec.gvr"),
        (GROUP, "AcceptAPI", json!({ "gvr": { "group": "g", "version": "v1" } }), "spec.gvr.resource"),
        (GROUP, "AcceptAPI", filters(json!([{ "suffix": "x" }])), "spec.filters[0].key"),
        (GROUP, "AcceptAPI", filters(json!([{ "key": "" }])), "spec.filters[0].key"),
        (GROUP, "AcceptAPI", filters(json!([{ "key": "a" }, { "key": "spec.fqdn" }])), "drop the leading 'spec.'"),
        (GROUP, "AcceptAPI", filters(json!([{ "key": "a", "valueIn": "b" }])), "spec.filters[0].valueIn"),
        (GROUP, "AcceptAPI", filters(json!([{ "key": "a", "valueIn": [1] }])), "spec.filters[0].valueIn[0]"),
        (GROUP, "AcceptAPI", filters(json!([{ "key": "a", "boundary": { "min": "1" } }])), "boundary.min"),
        (GROUP, "AcceptAPI", filters(json!([{ "key": "a", "with": "semver" }])), "spec.filters[0].with"),
        (GROUP, "Migration", json!({ "from": { "gvk": kind, "name": "a", "clusterName": "c" } }), "spec.to"),
        (GROUP, "MigrationConfiguration", json!({ "from": kind, "to": kind, "stages": [{}] }), "spec.stages[0].name"),
        (
            GROUP,
            "MigrationConfiguration",
            json!({ "from": { "group": "", "version": "", "kind": "Secret" }, "to": kind }),
            "spec.from.version",
        ),
        (GROUP, "Plugin", json!({ "component": component }), "spec.apis"),
        (GROUP, "Plugin", json!({ "component": [], "apis": apis }), "spec.component"),
        (GROUP, "Plugin", json!({ "component": component, "apis": apis, "roles": ["filter"] }), "spec.roles[0]"),
        (GROUP, "Plugin", json!({ "component": component, "apis": apis, "sha256": "abc" }), "spec.sha256"),
        (
            GROUP,
            "Plugin",
            json!({ "component": component, "apis": apis, "limits": { "memory": "lots" } }),
            "limits.memory",
        ),
        (GROUP, "Assignment", json!({}), "spec.consumer"),
        ("operator.broker.platform-mesh.io", "Broker", json!({ "replicas": -1 }), "spec.replicas"),
        ("ai.generic.platform-mesh.io", "HostedModel", json!({ "modelId": "wrong case" }), "spec.modelID"),
        ("compute.generic.platform-mesh.io", "KubernetesCluster", json!({ "nodeCount": 1 }), "spec.version"),
        ("compute.generic.platform-mesh.io", "VirtualMachine", json!({ "memory": 0 }), "spec.memory"),
        ("databases.generic.platform-mesh.io", "SQL", json!({ "version": "18" }), "spec.engine"),
        ("databases.generic.platform-mesh.io", "SQL", json!({ "engine": "postgres", "version": 18 }), "spec.version"),
        ("messaging.generic.platform-mesh.io", "EventStreaming", json!({ "partitions": 1 }), "spec.engine"),
        ("networking.generic.platform-mesh.io", "Peering", json!({ "localNetworkRef": "a" }), "spec.remoteNetworkRef"),
        ("storage.generic.platform-mesh.io", "Block", json!({ "size": "big" }), "spec.size"),
        ("storage.generic.platform-mesh.io", "File", json!({ "size": 0 }), "spec.size"),
        ("example.platform-mesh.io", "VM", json!({ "memory": "512" }), "spec.memory"),
    ] {
        let said = complaint(&client, "kinds-bad", group, of, &spec).await?;
        assert!(said.as_ref().is_some_and(|said| said.contains(expected)), "{of} {spec}: {said:?} lacks {expected}");
    }
    Ok(())
}

#[tokio::test]
async fn a_status_holds_known_states_and_the_conditions_of_several_writers() -> TestResult {
    let cluster = prepared("kinds-status").await?;
    let client = cluster.client().await?;
    let group = "example.platform-mesh.io";
    let vms = api(&client, "kinds-status", group, "VM")?;
    vms.create(&PostParams::default(), &object(group, "VM", &json!({ "memory": 512 }))?).await?;

    for state in ["", "Unknown", "Provisioning", "Available", "Degraded", "Deleting", "Failed", "Unavailable"] {
        let patch = json!({ "status": { "status": state } });
        let patched = vms.patch_status("x", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        assert_eq!(patched.data["status"]["status"], state);
    }
    let unheard_of = json!({ "status": { "status": "Fine" } });
    let refused = vms.patch_status("x", &PatchParams::default(), &Patch::Merge(&unheard_of)).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("status.status")));

    // Each writer owns its conditions; neither has to know the other's.
    for (writer, condition) in [("provider", "Issued"), ("broker", "Accepted")] {
        let status = json!({
            "apiVersion": format!("{group}/v1alpha1"),
            "kind": "VM",
            "status": { "conditions": [{
                "type": condition,
                "status": "True",
                "reason": "Because",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] },
        });
        vms.patch_status("x", &PatchParams::apply(writer), &Patch::Apply(&status)).await?;
    }
    let seen = vms.get("x").await?;
    let conditions = seen.data["status"]["conditions"].as_array().context("no conditions")?;
    let types: Vec<&Value> = conditions.iter().map(|condition| &condition["type"]).collect();
    assert_eq!(types, ["Issued", "Accepted"]);
    Ok(())
}

#[tokio::test]
async fn kubectl_shows_what_people_ask_for() -> TestResult {
    let namespace = "kinds-columns";
    let cluster = prepared(namespace).await?;
    let client = cluster.client().await?;
    let group = "example.platform-mesh.io";
    let mut order = object(group, "Certificate", &json!({ "fqdn": "app.internal.corp" }))?;
    order.annotations_mut().insert("broker.platform-mesh.io/provider-cluster".into(), "provider#nestor".into());
    let certificates = api(&client, namespace, group, "Certificate")?;
    certificates.create(&PostParams::default(), &order).await?;
    let status = json!({ "status": { "status": "Available" } });
    certificates.patch_status("x", &PatchParams::default(), &Patch::Merge(&status)).await?;
    let shown = cluster.kubectl(&["get", "certificates.example.platform-mesh.io", "-n", namespace]).await?;
    let cells: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!(&cells[..5], ["NAME", "STATUS", "READY", "PROVIDER", "AGE"], "{shown}");
    assert!(cells.contains(&"provider#nestor") && cells.contains(&"Available"), "{shown}");

    let offer = json!({ "gvr": { "group": group, "version": "v1alpha1", "resource": "vms" } });
    api(&client, namespace, GROUP, "AcceptAPI")?
        .create(&PostParams::default(), &object(GROUP, "AcceptAPI", &offer)?)
        .await?;
    let assignment = json!({
        "consumer": {
            "cluster": "consumer#a", "group": group, "version": "v1alpha1", "kind": "VM",
            "namespace": "default", "name": "small", "uid": "1",
        },
        "provider": {
            "cluster": "provider#nestor", "acceptAPI": { "namespace": "default", "name": "vms" },
            "namespace": "default", "name": "0123456789ab-small",
        },
    });
    api(&client, namespace, GROUP, "Assignment")?
        .create(&PostParams::default(), &object(GROUP, "Assignment", &assignment)?)
        .await?;
    let all = cluster.kubectl(&["get", "broker", "-n", namespace]).await?;
    for line in ["NAME RESOURCE VALID OBJECTS AGE", "NAME KIND CONSUMER OBJECT PROVIDER ACCEPTED SYNCED READY AGE"] {
        let found = all.lines().any(|shown| shown.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        assert!(found, "{all} lacks {line}");
    }
    let selected =
        ["get", "assign", "-n", namespace, "-o", "name", "--field-selector", "spec.provider.cluster=provider#other"];
    let none = cluster.kubectl(&selected).await?;
    assert_eq!(none.trim(), "", "an assignment to another provider is not selected");
    Ok(())
}
