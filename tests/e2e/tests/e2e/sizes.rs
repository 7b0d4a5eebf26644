//! Objects near the size that an API server stores: what cannot be written because of it is reported, holds up nobody else, and
//! deleting works.

use anyhow::{Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use resource_broker_api::conditions::reason;
use resource_broker_harness::TestResult;
use serde_json::{Value, json};

use crate::pair::{Pair, Side, fails, gone, is, message, recorded, until};

/// What etcd takes for one object, in bytes.
const MOST: usize = 3 << 19;

/// A text that makes an object as large as it can be beside what it has already: in steps that leave no room for a finalizer.
async fn fill(side: &Side, write: impl AsyncFn(String) -> kube::Result<()>) -> Result<()> {
    for missing in (0..40).map(|step| step * 100) {
        match write("x".repeat(MOST - 700 - missing)).await {
            Ok(()) => return Ok(()),
            Err(kube::Error::Api(status)) if status.message.contains("too large") => {}
            Err(error) => bail!("{}: {error}", side.id),
        }
    }
    bail!("{} takes no object of {MOST} bytes, nor one that is a little smaller", side.id)
}

#[tokio::test]
async fn an_order_without_room_for_the_brokers_marks_goes_at_once() -> TestResult {
    let pair = Pair::new("full").await?;
    let broker = pair.start().await?;
    fill(&pair.consumer, async |engine| pair.consumer.try_create("web", &json!({"engine": engine})).await).await?;
    // The object itself has no room for a status either.
    let record = until(&pair.records, &pair.record_name("web"), "the refusal", |record| {
        recorded(record, "Synced") == Some(("False", reason::INVALID))
    })
    .await;
    let conditions = record.status.unwrap_or_default().conditions;
    let synced = conditions.iter().find(|condition| condition.type_ == "Synced").unwrap();
    assert!(synced.message.contains("too large"), "{}", synced.message);
    let event = pair.consumer.event("web", reason::INVALID).await;
    assert!(event.contains("too large"), "{event}");
    pair.marker().await?;

    pair.consumer.delete("web").await?;
    gone(&pair.consumer.widgets(), "web").await;
    gone(&pair.records, &pair.record_name("web")).await;
    gone(&pair.provider.widgets(), &pair.copy_name("web")).await;
    drop(broker);
    Ok(())
}

/// The pair's kind as a provider serves it that gives each object a large field, so that copies are larger than orders.
fn padded(pair: &Pair) -> Result<CustomResourceDefinition> {
    let mut crd = serde_json::to_value(pair.kind.crd()?)?;
    let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"]["padding"] = json!({"type": "string", "default": "x".repeat(300_000)});
    Ok(serde_json::from_value(crd)?)
}

/// A spec that has room as an order, and none as a copy.
fn large() -> Value {
    json!({"engine": "x".repeat(1_300_000)})
}

#[tokio::test]
async fn a_copy_that_is_too_large_is_invalid_and_its_order_goes_at_once() -> TestResult {
    let pair = Pair::bare("large-copy", "consumer", "provider").await?;
    pair.kind.install(&pair.consumer.cluster).await?;
    pair.provider.cluster.install_crd(&padded(&pair)?).await?;
    let broker = pair.start().await?;
    pair.consumer.create("early", &large()).await?;
    let small = pair.placed("late", &json!({"size": 1})).await?;
    pair.consumer.set_spec("late", &large()).await?;
    for name in ["early", "late"] {
        let shown =
            until(&pair.consumer.widgets(), name, "the refusal", |it| fails(it, "Synced", reason::INVALID)).await;
        let text = message(&shown, "Synced");
        assert!(text.contains("too large") && text.contains(&pair.provider.id.to_string()), "{text}");
        assert!(text.len() < 2_000, "{text}");
    }
    // The copy that was made stays as it was, and nobody else is held up.
    assert_eq!(pair.copy("late").await.uid(), small.uid());
    pair.marker().await?;
    let up = broker.metric("resource_broker_cluster_up", &[("cluster", &pair.provider.id.to_string())]).await?;
    assert!(up > 0.5, "the provider counts as down");

    // A person makes one of them smaller, and deletes the other one.
    pair.consumer.set_spec("late", &json!({"size": 2})).await?;
    until(&pair.provider.widgets(), &pair.copy_name("late"), "the change", |copy| copy.data["spec"]["size"] == 2).await;
    until(&pair.consumer.widgets(), "late", "to be in step", |it| is(it, "Synced", "True")).await;
    pair.consumer.set_spec("late", &large()).await?;
    until(&pair.consumer.widgets(), "late", "the refusal", |it| fails(it, "Synced", reason::INVALID)).await;
    for name in ["early", "late"] {
        pair.consumer.delete(name).await?;
    }
    for name in ["early", "late"] {
        gone(&pair.consumer.widgets(), name).await;
        gone(&pair.records, &pair.record_name(name)).await;
        gone(&pair.provider.widgets(), &pair.copy_name(name)).await;
    }
    drop(broker);
    Ok(())
}
