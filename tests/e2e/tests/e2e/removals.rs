//! `cluster remove`: of a consumer while the broker is killed in the middle, and of a provider that cannot be reached any more.

use anyhow::ensure;
use kube::ResourceExt as _;
use resource_broker_api::keys;
use resource_broker_api::names::broker_cluster_name;
use resource_broker_harness::{TestResult, eventually};
use serde_json::json;

use crate::clusters::ADMIN;
use crate::identity::Stand;
use crate::operator::Operator;
use crate::pair::{PATIENCE, gone, is_well, until};

/// How many objects the removed consumer has: several, so that a kill meets the removal in its middle.
const ORDERS: usize = 20;

#[tokio::test]
async fn a_removed_consumer_keeps_all_that_it_has_also_where_the_broker_is_killed_meanwhile() -> TestResult {
    let mut stand = Stand::new("removed-consumer").await?;
    let (consumer, provider) = (&stand.pair.consumer, &stand.pair.provider);
    let names: Vec<String> = (0..ORDERS).map(|number| format!("order-{number:02}")).collect();
    for name in &names {
        consumer.create(name, &json!({"size": 1})).await?;
    }
    let mut copies = Vec::new();
    for name in &names {
        until(&consumer.widgets(), name, "all to be well", is_well).await;
        copies.push(stand.pair.copy(name).await);
    }
    let (code, said) = stand.command(&["remove", &consumer.id.to_string(), "--yes"]).await?;
    assert_eq!(code, 0, "{said}");
    let (code, said) = stand.command(&["remove", &consumer.id.to_string(), "--yes"]).await?;
    assert!(code == 0 && said.contains("is being removed"), "it may be said twice: {code} {said}");
    eventually("the removal to be under way", PATIENCE, || async {
        let left = stand.pair.records.list(&kube::api::ListParams::default()).await?.items.len();
        ensure!(left < ORDERS, "no Assignment is gone yet");
        Ok(())
    })
    .await;
    stand.broker.kill9()?;
    let mut held = 0;
    for name in &names {
        held += usize::from(stand.pair.records.get_opt(&stand.pair.record_name(name)).await?.is_some());
    }
    println!("{held} of {ORDERS} Assignments were left when the broker was killed");
    stand.broker.restart().await?;
    for (name, copy) in names.iter().zip(&copies) {
        let order = until(&consumer.widgets(), name, "the marks to be taken off", |it| {
            it.finalizers().is_empty() && !it.annotations().keys().any(|key| key.starts_with(keys::GROUP))
        })
        .await;
        assert!(order.metadata.deletion_timestamp.is_none());
        let left = until(&provider.widgets(), &copy.name_any(), "the marks to be taken off", |it| {
            it.finalizers().is_empty() && !it.annotations().contains_key(keys::CONSUMER_CLUSTER)
        })
        .await;
        assert_eq!((left.uid(), left.metadata.deletion_timestamp), (copy.uid(), None));
        gone(&stand.pair.records, &stand.pair.record_name(name)).await;
    }
    // Nobody holds what the consumer's people delete now.
    consumer.delete(&names[0]).await?;
    gone(&consumer.widgets(), &names[0]).await;
    stand.known_as(&consumer.id, "Removed").await;
    assert_eq!(provider.widgets().get(&copies[0].name_any()).await?.uid(), copies[0].uid());
    Ok(())
}

#[tokio::test]
async fn a_removed_provider_that_is_never_reached_again_holds_up_nobody() -> TestResult {
    let mut stand = Stand::new("removed-lost").await?;
    let pair = &stand.pair;
    let mut other = pair.other_provider().await?;
    let (beside, name) = crate::identity::other(&stand.folder, &other, "beside");
    other.id = name;
    let _operator = Operator::quick(&other);
    other.offer(pair.name, &json!([])).await?;
    let copy = pair.copy("order").await;
    // Nothing listens there, and never will.
    let file = stand.folder.file(&pair.provider);
    let text = std::fs::read_to_string(&file)?;
    let dead = text.replace(&pair.provider.cluster.url(), "https://127.0.0.1:9");
    assert_ne!(dead, text);
    crate::identity::put(&file, &dead)?;
    // What is there goes on until a start, and whoever has mistyped an address learns of it.
    stand.shows(&format!("[-]cluster {}: nobody answers as its kubeconfig says now", pair.provider.id)).await;
    pair.consumer.edit("order", &json!({"spec": {"size": 2}})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", |it| {
        is_well(it) && it.data["status"]["made"]["size"] == 2
    })
    .await;
    stand.broker.kill9()?;
    stand.broker.restart().await?;
    let pair = &stand.pair;
    stand.shows(&format!("[-]cluster {}", pair.provider.id)).await;
    let made = other.cluster.kubeconfig_as(pair.name, ADMIN)?;
    crate::identity::put(&beside, &std::fs::read_to_string(made)?)?;
    stand.known_as(&other.id, "Attached").await;
    let id = pair.provider.id.to_string();
    let (code, said) = stand.command(&["remove", &id, "--yes"]).await?;
    assert_eq!(code, 0, "{said}");
    // Its objects go to another provider, and its BrokerCluster stays until no kubeconfig names it.
    until(&pair.consumer.widgets(), "order", "the other provider", |it| {
        is_well(it) && it.annotations().get(keys::PROVIDER_CLUSTER) == Some(&other.id.to_string())
    })
    .await;
    stand.known_as(&pair.provider.id, "Removed").await;
    stand.folder.remove(&pair.provider)?;
    gone(&stand.known, &broker_cluster_name(&pair.provider.id)).await;
    // What it has nobody could touch.
    assert_eq!(pair.copy("order").await.uid(), copy.uid());
    pair.consumer.delete("order").await?;
    gone(&pair.consumer.widgets(), "order").await;
    gone(&other.widgets(), &pair.copy_name("order")).await;
    Ok(())
}
