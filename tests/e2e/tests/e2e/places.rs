//! How copies are called and where they are, as offers ask for it.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt as _};
use resource_broker_api::names::{copy_namespace, letter_copy_name};
use resource_broker_api::{AcceptApi, keys};
use resource_broker_harness::TestResult;
use serde_json::{Value, json};

use crate::pair::{Pair, gone, is_well, until};

/// Has the pair's offer want its copies like this.
async fn ask(pair: &Pair, copies: &Value) -> Result<AcceptApi> {
    let change = json!({"spec": {"copies": copies}});
    Ok(pair.provider.offers().patch(pair.name, &PatchParams::default(), &Patch::Merge(&change)).await?)
}

/// The copies in the namespace that the provider has for this consumer alone.
fn copies(pair: &Pair) -> Api<DynamicObject> {
    pair.kind.api(pair.provider.client.clone(), &copy_namespace(&pair.consumer.id, pair.name))
}

fn letter_name(pair: &Pair, name: &str) -> String {
    letter_copy_name(&pair.consumer.id, name)
}

/// An object whose copy is in the consumer's own namespace and has reported a Secret as the provider's operator does.
async fn served(pair: &Pair, name: &str) -> Result<DynamicObject> {
    pair.consumer.create(name, &json!({"size": 1})).await?;
    let copy = until(&copies(pair), &letter_name(pair, name), "the copy", |_| true).await;
    let namespace = copy.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(pair.provider.client.clone(), &namespace);
    let source = letter_name(pair, &format!("{name}-tls"));
    let secret = json!({"metadata": {"name": source}, "stringData": {"key": "one"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let related = json!({"tls": {"gvk": {"group": "", "version": "v1", "kind": "Secret"}, "name": source, "namespace": namespace}});
    let status =
        json!([{"op": "add", "path": "/status", "value": {"status": "Available", "relatedResources": related}}]);
    let patch = Patch::<Value>::Json(serde_json::from_value(status)?);
    copies(pair).patch_status(&copy.name_any(), &PatchParams::default(), &patch).await?;
    until(&pair.consumer.api::<Secret>(), &format!("{name}-tls"), "to come", |_| true).await;
    let order = until(&pair.consumer.widgets(), name, "to be well", is_well).await;
    // What people read names what they have.
    let shown = &order.data["status"]["relatedResources"]["tls"];
    ensure!(shown["name"] == format!("{name}-tls") && shown["namespace"] == pair.name, "{shown}");
    Ok(copy)
}

#[tokio::test]
async fn a_namespace_for_each_consumer_and_names_with_a_letter() -> TestResult {
    let pair = Pair::new("places-both").await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    ask(&pair, &json!({"namespace": "PerConsumer", "names": "Letter"})).await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    let copy = served(&pair, "web").await?;
    assert!(copy.name_any().starts_with("c-") && copy.name_any().ends_with("-web"), "{}", copy.name_any());
    assert_eq!(copy.annotations().get(keys::CONSUMER_NAMESPACE).map(String::as_str), Some(pair.name));

    let namespaces: Api<Namespace> = Api::all(pair.provider.client.clone());
    let own = namespaces.get(&copy.namespace().unwrap_or_default()).await?;
    assert_eq!(own.labels().get(keys::MADE_BY), copy.annotations().get(keys::BROKER), "whose it is");
    let consumer = pair.consumer.id.to_string();
    assert_eq!(own.annotations().get(keys::CONSUMER_CLUSTER), Some(&consumer));
    assert_eq!(own.annotations().get(keys::CONSUMER_NAMESPACE).map(String::as_str), Some(pair.name));

    // The offer wants it otherwise now: that is for copies that are made from now on.
    let record = pair.records.get(&pair.record_name("web")).await?;
    let changed = ask(&pair, &json!({"namespace": "Same", "names": "Hash"})).await?;
    until(&pair.provider.offers(), pair.name, "the broker to have seen it", |it| {
        it.status.as_ref().is_some_and(|status| status.observed_generation == changed.metadata.generation)
    })
    .await;
    pair.marker().await?;
    let position = pair.provider.cluster.audit_position().await?;
    pair.consumer.edit("web", &json!({"spec": {"size": 2}})).await?;
    let same = until(&copies(&pair), &copy.name_any(), "the change", |it| it.data["spec"]["size"] == 2).await;
    assert_eq!(same.uid(), copy.uid());
    pair.marker().await?;
    let name = copy.name_any();
    let writes = pair.writes(&pair.provider.cluster, position, |event| event.request_uri.contains(&name)).await?;
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(pair.records.get(&pair.record_name("web")).await?.spec.provider, record.spec.provider);
    assert!(pair.provider.widgets().get_opt(&pair.copy_name("web")).await?.is_none(), "no second copy");

    pair.consumer.delete("web").await?;
    gone(&pair.consumer.widgets(), "web").await;
    gone(&copies(&pair), &copy.name_any()).await;
    gone(&pair.records, &pair.record_name("web")).await;
    let left = namespaces.get(&own.name_any()).await?;
    assert!(left.meta().deletion_timestamp.is_none(), "namespaces that the broker made stay");
    Ok(())
}

/// A record that was lost, and one that was lost together with its object.
#[tokio::test]
async fn copies_are_found_by_their_marks_wherever_they_are() -> TestResult {
    let pair = Pair::new("places-found").await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    ask(&pair, &json!({"namespace": "PerConsumer", "names": "Letter"})).await?;
    let mut broker = pair.broker(&[]).await?.start().await?;
    let (kept, orphan) = (served(&pair, "kept").await?, served(&pair, "orphan").await?);
    broker.terminate().await?;
    ask(&pair, &json!({"namespace": "Same", "names": "Hash"})).await?;
    for name in ["kept", "orphan"] {
        pair.records.delete(&pair.record_name(name), &DeleteParams::default()).await?;
        gone(&pair.records, &pair.record_name(name)).await;
    }
    pair.consumer.edit("orphan", &json!({"metadata": {"finalizers": null}})).await?;
    pair.consumer.delete("orphan").await?;
    gone(&pair.consumer.widgets(), "orphan").await;

    broker.restart().await?;
    gone(&copies(&pair), &orphan.name_any()).await;
    let record = until(&pair.records, &pair.record_name("kept"), "the record", |_| true).await;
    let place = (record.spec.provider.namespace, record.spec.provider.name);
    assert_eq!(place, (kept.namespace(), kept.name_any()), "it is where it was");
    pair.marker().await?;
    assert_eq!(copies(&pair).get(&kept.name_any()).await?.uid(), kept.uid());
    assert!(pair.provider.widgets().get_opt(&pair.copy_name("kept")).await?.is_none(), "no second copy");
    Ok(())
}
