//! Moves from one version of a kind to another.

use kube::ResourceExt as _;
use resource_broker_harness::{TestKind, TestResult};
use serde_json::json;

use super::law::Terms;
use super::world::World;
use crate::pair::Side;

#[tokio::test]
async fn an_object_moves_to_a_provider_of_another_version_and_back() -> TestResult {
    let world = World::among("versions", TestKind::in_two_versions(), &["provider-b"]).await?;
    let newer = world.pair.kind.other_version();
    let witness = world.witness().await?;
    let (first, second) = (world.first(), world.second());
    offer(second, world.pair.name, &newer).await?;
    let broker = world.broker().await?.watch_kind(&newer.watch_kind()).start().await?;
    world.place("order", first).await?;
    let versions = async || {
        let spec = world.record("order").await?.spec;
        anyhow::Ok((spec.consumer.version, spec.provider.version))
    };
    assert_eq!(versions().await?, (world.pair.kind.version().to_owned(), None));

    world.send("order", second).await?;
    world.arrived("order", second).await;
    assert_eq!(versions().await?, (newer.version().to_owned(), None));
    let copies = newer.api(second.client.clone(), world.pair.name);
    let copy = copies.get(&world.pair.copy_name("order")).await?;
    assert_eq!(copy.data["spec"]["engine"], second.id.name.as_str());
    let applied = copy.managed_fields().iter().filter(|it| it.manager.as_deref() == Some("resource-broker"));
    let as_versions: Vec<_> = applied.map(|it| it.api_version.clone().unwrap_or_default()).collect();
    assert!(!as_versions.is_empty() && as_versions.iter().all(|it| *it == newer.api_version()), "{as_versions:?}");

    // It follows the object there.
    world.pair.consumer.edit("order", &json!({"spec": {"size": 4}})).await?;
    world.arrived("order", second).await;
    assert_eq!(copies.get(&world.pair.copy_name("order")).await?.data["spec"]["size"], 4);

    world.send("order", first).await?;
    world.arrived("order", first).await;
    assert_eq!(versions().await?, (world.pair.kind.version().to_owned(), None));
    world.quiet("marker").await?;
    world.pair.consumer.delete("order").await?;
    world.vanished("order").await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

/// Publishes a provider's usual offer for a version of the kind.
async fn offer(side: &Side, name: &str, kind: &TestKind) -> anyhow::Result<()> {
    side.offer_of(name, &kind.gvr(), &json!([{"key": "engine", "valueIn": [side.id.name]}])).await.map(drop)
}
