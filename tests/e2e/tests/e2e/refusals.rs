//! Copies that a provider's API server refuses, whatever its offer says: they are invalid and no outage, and another provider is a
//! way out for an object that has no copy yet.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use resource_broker_api::{conditions::reason, keys};
use resource_broker_harness::{AuditEvent, Cluster, TestResult};
use serde_json::{Value, json};

use crate::pair::{Pair, fails, is, message, recorded, until};

/// The pair's kind with a spec that has nothing but `size` and a list of `parts`, which have names.
fn strict(pair: &Pair) -> Result<CustomResourceDefinition> {
    let mut crd = serde_json::to_value(pair.kind.crd()?)?;
    let part = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let parts = json!({
        "type": "array", "items": part, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    });
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "replicas": {"type": "integer"}, "parts": parts,
    }});
    Ok(serde_json::from_value(crd)?)
}

/// When a copy was applied at a cluster.
async fn applies(cluster: &Cluster, position: u64, user: &str, copy: &str) -> Result<Vec<Timestamp>> {
    let is_apply = |event: &AuditEvent| event.user == user && event.is_write() && event.name == copy;
    let events = cluster.audit_since(position, is_apply).await?;
    Ok(events.iter().map(|event| event.received.parse()).collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn a_copy_that_the_schema_refuses_is_invalid_and_goes_to_another_provider() -> TestResult {
    let pair = Pair::bare("refused-schema", "consumer", "provider").await?;
    pair.kind.install(&pair.consumer.cluster).await?;
    pair.provider.cluster.install_crd(&strict(&pair)?).await?;
    let other = pair.other_provider().await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let broker = pair.broker(&[&other]).await?.start().await?;
    let orders = pair.consumer.widgets();
    let position = pair.provider.cluster.audit_position().await?;
    let inputs: [(&str, Value, &str); 2] = [
        ("web", json!({"size": 1, "engine": "postgres"}), "engine"),
        ("twice", json!({"size": 1, "parts": [{"name": "a"}, {"name": "a"}]}), "duplicate"),
    ];
    for (name, spec, about) in &inputs {
        pair.consumer.create(name, spec).await?;
        let shown = until(&orders, name, "the refusal", |it| fails(it, "Synced", reason::INVALID)).await;
        let text = message(&shown, "Synced");
        assert!(text.contains("provider#") && text.contains(about), "{name}: {text}");
        assert!(!text.contains("/apis/") && !text.contains("coordination"), "{name}: {text}");
        until(&pair.records, &pair.record_name(name), "the same", |it| {
            recorded(it, "Synced") == Some(("False", reason::INVALID))
        })
        .await;
    }
    // Nobody else is held up, and what is refused is tried ever less often.
    pair.marker().await?;
    let copy = pair.copy_name("web");
    resource_broker_harness::eventually("a long pause between two tries", crate::pair::PATIENCE, || async {
        let times = applies(&pair.provider.cluster, position, pair.name, &copy).await?;
        let longest = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default();
        anyhow::ensure!(longest >= SignedDuration::from_secs(2), "the longest pause is {longest:?}");
        Ok(())
    })
    .await;
    let up = broker.metric("resource_broker_cluster_up", &[("cluster", &pair.provider.id.to_string())]).await?;
    assert!(up > 0.5, "the provider counts as down");

    other.offer(pair.name, &json!([])).await?;
    for (name, ..) in &inputs {
        let shown = until(&orders, name, "the other provider", |it| {
            it.annotations().get(keys::PROVIDER_CLUSTER) == Some(&other.id.to_string()) && is(it, "Synced", "True")
        })
        .await;
        until(&other.widgets(), &pair.copy_name(name), "the copy", |it| it.data["spec"]["size"] == 1).await;
        assert!(is(&shown, "Accepted", "True"));
    }
    let _ = &broker;
    Ok(())
}
