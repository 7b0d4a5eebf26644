//! Offers are the provider's: nothing of the broker's holds them, and several brokers may use one.

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use resource_broker_api::{AcceptApi, MigrationConfiguration, broker::OfferBroker, keys};
use resource_broker_harness::{Broker, Planes, TestResult, eventually};
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, gone, is_well, until};

/// A broker's entry on an offer.
fn entries(offer: &AcceptApi) -> &[OfferBroker] {
    offer.status.as_ref().map(|status| status.brokers.as_slice()).unwrap_or_default()
}

/// Status and message of `Valid`.
fn valid(offer: &AcceptApi) -> Option<(&str, &str)> {
    let conditions = &offer.status.as_ref()?.conditions;
    let valid = conditions.iter().find(|condition| condition.type_ == "Valid")?;
    Some((&valid.status, &valid.message))
}

async fn merge(api: &Api<AcceptApi>, name: &str, change: &Value) -> Result<AcceptApi> {
    Ok(api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await?)
}

#[tokio::test]
async fn finalizers_of_earlier_releases_are_taken_off() -> TestResult {
    let pair = Pair::new("offers-finalizers").await?;
    let offers = pair.provider.offers();
    pair.provider.offer(pair.name, &json!([])).await?;
    let held = |finalizer: &str| json!({"metadata": {"finalizers": ["example.com/theirs", finalizer]}});
    merge(&offers, pair.name, &held(keys::ACCEPT_API_FINALIZER)).await?;
    let configurations = Api::<MigrationConfiguration>::namespaced(pair.coordination.client().await?, pair.name);
    let kind = json!({"group": pair.kind.group(), "version": "v1alpha1", "kind": "Widget"});
    let mut configuration = held(keys::MIGRATION_CONFIGURATION_FINALIZER);
    for (field, value) in [
        ("apiVersion", json!("broker.platform-mesh.io/v1alpha1")),
        ("kind", json!("MigrationConfiguration")),
        ("spec", json!({"from": kind, "to": kind, "stages": []})),
    ] {
        configuration[field] = value;
    }
    configuration["metadata"]["name"] = "old".into();
    configurations.create(&kube::api::PostParams::default(), &serde_json::from_value(configuration)?).await?;

    let _broker = pair.broker(&[]).await?.start().await?;
    until(&offers, pair.name, "the finalizer to go", |it| it.finalizers() == ["example.com/theirs"]).await;
    until(&configurations, "old", "the finalizer to go", |it| it.finalizers() == ["example.com/theirs"]).await;
    let none = json!({"metadata": {"finalizers": null}});
    merge(&offers, pair.name, &none).await?;
    configurations.patch("old", &PatchParams::default(), &Patch::Merge(&none)).await?;
    pair.placed("web", &json!({})).await?;
    pair.marker().await?;
    assert_eq!(offers.get(pair.name).await?.finalizers(), [""; 0], "and none is put on");
    assert_eq!(configurations.get("old").await?.finalizers(), [""; 0]);
    pair.provider.withdraw(pair.name).await?;
    configurations.delete("old", &DeleteParams::default()).await?;
    gone(&configurations, "old").await;
    Ok(())
}

#[tokio::test]
async fn two_brokers_on_one_offer_write_each_its_own_part() -> TestResult {
    let pair = Pair::new("offers-two").await?;
    let other = pair.other_consumer().await?;
    let offers = pair.provider.offers();
    pair.provider.offer(pair.name, &json!([])).await?;
    // The second one has a Plugin for the API that cannot be loaded, and so another opinion of the offer.
    let (planes, second) = (Planes::shared().await, "offers-two-b");
    pair.coordination.create_namespace(second).await?;
    let plugin = json!({
        "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Plugin",
        "metadata": {"name": "broken", "namespace": second},
        "spec": {
            "component": [{"configMap": "none", "key": "none"}],
            "apis": [{"group": pair.kind.group(), "resource": "widgets"}],
        },
    });
    pair.coordination.apply_yaml(&plugin.to_string()).await?;
    let position = pair.provider.cluster.audit_position().await?;
    let _first = pair.broker(&[]).await?.start().await?;
    let admin = |cluster: &resource_broker_harness::Cluster| cluster.kubeconfig_as(second, &["system:masters"]);
    let mut beside = Broker::builder(planes, second)
        .coordination(&admin(&pair.coordination)?)
        .namespace(second)
        .watch_kind(&pair.kind.watch_kind())
        .consumer(&other.id.name, &admin(&other.cluster)?)
        .provider(&pair.provider.id.name, &admin(&pair.provider.cluster)?)
        .start()
        .await?;
    let both = until(&offers, pair.name, "both brokers' words", |it| entries(it).len() == 2).await;
    let words: Vec<&str> = entries(&both).iter().map(|entry| entry.valid.as_str()).collect();
    assert!(words.contains(&"True") && words.contains(&"Unknown"), "{words:?}");

    let copy = pair.placed("web", &json!({})).await?.name_any();
    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    let counted = until(&offers, pair.name, "the number of objects", |it| {
        it.status.as_ref().is_some_and(|status| status.objects == Some(1))
    })
    .await;
    let smallest = entries(&counted).iter().min_by(|one, other| one.id.cmp(&other.id)).cloned().unwrap_or_default();
    assert_eq!(valid(&counted), Some((smallest.valid.as_str(), smallest.message.as_str())));
    assert_eq!(entries(&counted).iter().map(|entry| entry.objects).sum::<i64>(), 1);

    let writes = async || {
        let is_status = |event: &resource_broker_harness::AuditEvent| {
            [pair.name, second].contains(&event.user.as_str())
                && event.is_write()
                && event.resource == "acceptapis"
                && event.name == pair.name
        };
        pair.provider.cluster.audit_since(position, is_status).await
    };
    let so_far = writes().await?;
    assert!(so_far.len() <= 6, "{} writes: {so_far:#?}", so_far.len());
    pair.marker().await?;
    pair.consumer.delete("web").await?;
    gone(&pair.consumer.widgets(), "web").await;
    let after = writes().await?.len() - so_far.len();
    assert!(after <= 2, "{after} more writes");

    // A broker that is no more leaves its entry; whoever takes it out has the others' word in its place.
    let their_word = |one: &OfferBroker| one.valid == "Unknown";
    beside.kill9()?;
    let index = entries(&offers.get(pair.name).await?).iter().position(their_word);
    let path = format!("/status/brokers/{}", index.unwrap_or_default());
    let take_out = serde_json::from_value(json!([{"op": "remove", "path": path}]))?;
    offers.patch_status(pair.name, &PatchParams::default(), &Patch::<Value>::Json(take_out)).await?;
    until(&offers, pair.name, "the first one's word", |it| {
        entries(it).len() == 1 && valid(it).is_some_and(|(status, _)| status == "True")
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_broker_that_does_not_watch_what_is_offered_leaves_the_word_to_one_that_does() -> TestResult {
    let pair = Pair::new("offers-watch").await?;
    let offers = pair.provider.offers();
    let second = "offers-watch-b";
    pair.coordination.create_namespace(second).await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let admin = |cluster: &resource_broker_harness::Cluster| cluster.kubeconfig_as(second, &["system:masters"]);
    let _beside = Broker::builder(Planes::shared().await, second)
        .coordination(&admin(&pair.coordination)?)
        .namespace(second)
        .watch_kind("Other.v1.other.example.com")
        .consumer(&pair.consumer.id.name, &admin(&pair.consumer.cluster)?)
        .provider(&pair.provider.id.name, &admin(&pair.provider.cluster)?)
        .start()
        .await?;
    until(&offers, pair.name, "that it is not watched", |it| valid(it).is_some_and(|(status, _)| status == "False"))
        .await;
    assert!(entries(&offers.get(pair.name).await?).is_empty(), "it has no part in the offer");
    let position = pair.provider.cluster.audit_position().await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    until(&offers, pair.name, "that it is valid", |it| valid(it).is_some_and(|(status, _)| status == "True")).await;
    pair.marker().await?;
    eventually("the second broker to have seen it", PATIENCE, || async {
        let ours = |event: &resource_broker_harness::AuditEvent| {
            [pair.name, second].contains(&event.user.as_str())
                && event.is_write()
                && event.resource == "acceptapis"
                && event.name == pair.name
        };
        let writes = pair.provider.cluster.audit_since(position, ours).await?;
        ensure!(writes.len() <= 4, "{} writes: {writes:#?}", writes.len());
        Ok(())
    })
    .await;
    let seen = offers.get(pair.name).await?;
    assert_eq!((valid(&seen).map(|(status, _)| status), entries(&seen).len()), (Some("True"), 1));
    Ok(())
}
