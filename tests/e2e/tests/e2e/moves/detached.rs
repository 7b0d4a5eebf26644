//! Clusters whose kubeconfig is taken away and put back while an object moves.

use kube::ResourceExt as _;
use resource_broker_harness::{Broker, TestResult};

use super::law::Terms;
use super::witness::Witness;
use super::world::World;
use crate::operator::{Hold, Manner};
use crate::pair::{Side, fails, gone, until};

/// A provider's operator that takes its time.
fn slow() -> Manner {
    Manner { says: Some("Provisioning"), ..Manner::signing() }
}

/// A world whose clusters are all attached, and an object at the first provider.
async fn attached(name: &'static str) -> anyhow::Result<(World, Witness, Broker)> {
    let world = World::new(name).await?;
    let witness = world.witness().await?;
    for side in world.providers().into_iter().chain([&world.pair.consumer]) {
        world.attach(side)?;
    }
    let broker = world.unattached().await?.start().await?;
    world.place("order", world.first()).await?;
    Ok((world, witness, broker))
}

/// Waits until the object has been handed over to a provider.
async fn handed_over(world: &World, to: &Side) {
    until(&world.pair.records, &world.pair.record_name("order"), "to be handed over", |record| {
        record.spec.provider.cluster == to.id.to_string() && record.spec.next.is_none()
    })
    .await;
}

#[tokio::test]
async fn the_old_provider_before_the_move() -> TestResult {
    let (world, witness, broker) = attached("detached-early").await?;
    let (first, second) = (world.first(), world.second());
    let copy = world.copied("order", first).await;
    world.offer_for(second, &[&first.id.name, &second.id.name]).await?;
    world.detach(first, &broker).await?;
    until(&world.pair.consumer.widgets(), "order", "the loss", |it| fails(it, "Accepted", "ProviderGone")).await;
    world.place("marker", second).await?;
    let record = world.record("order").await?;
    assert_eq!((record.spec.provider.cluster, record.spec.next), (first.id.to_string(), None), "it moved by itself");
    world.attach(first)?;
    world.arrived("order", first).await;
    assert_eq!(world.copied("order", first).await.uid(), copy.uid());
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_old_provider_while_the_new_copy_is_not_ready() -> TestResult {
    let (world, witness, broker) = attached("detached-old").await?;
    let (first, second) = (world.first(), world.second());
    world.operators[1].behave(slow());
    world.send("order", second).await?;
    world.copied("order", second).await;
    world.detach(first, &broker).await?;
    world.operators[1].behave(Manner::signing());
    handed_over(&world, second).await;
    assert_eq!(world.record("order").await?.spec.previous.len(), 1, "the detached provider is remembered");
    assert!(world.copied("order", first).await.metadata.deletion_timestamp.is_none());
    world.attach(first)?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_old_provider_after_the_hand_over() -> TestResult {
    let (world, witness, broker) = attached("detached-swept").await?;
    let (first, second) = (world.first(), world.second());
    world.operators[0].behave(Manner { holds: Hold::ForEver, ..Manner::signing() });
    until(&first.widgets(), &world.pair.copy_name("order"), "to be held", |copy| copy.finalizers().len() == 2).await;
    world.send("order", second).await?;
    handed_over(&world, second).await;
    world.detach(first, &broker).await?;
    world.operators[0].behave(Manner { holds: Hold::UntilTidied, ..Manner::signing() });
    world.place("marker", second).await?;
    world.attach(first)?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_new_provider_before_its_copy_is_ready() -> TestResult {
    let (world, witness, broker) = attached("detached-new").await?;
    let (first, second) = (world.first(), world.second());
    world.operators[1].behave(slow());
    world.send("order", second).await?;
    let copy = world.copied("order", second).await;
    world.detach(second, &broker).await?;
    world.operators[1].behave(Manner::signing());
    world.place("marker", first).await?;
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));
    assert_eq!(world.copied("order", second).await.uid(), copy.uid());
    world.attach(second)?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_consumer_during_the_move() -> TestResult {
    let (world, witness, broker) = attached("detached-consumer").await?;
    let second = world.second();
    world.operators[1].behave(slow());
    world.send("order", second).await?;
    world.copied("order", second).await;
    world.detach(&world.pair.consumer, &broker).await?;
    world.operators[1].behave(Manner::signing());
    until(&second.widgets(), &world.pair.copy_name("order"), "to be available", |copy| {
        copy.data["status"]["status"] == "Available"
    })
    .await;
    world.attach(&world.pair.consumer)?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_consumer_while_its_object_is_deleted() -> TestResult {
    let (world, witness, broker) = attached("detached-deleted").await?;
    let second = world.second();
    world.operators[1].behave(slow());
    world.send("order", second).await?;
    world.copied("order", second).await;
    world.detach(&world.pair.consumer, &broker).await?;
    world.pair.consumer.delete("order").await?;
    world.attach(&world.pair.consumer)?;
    world.vanished("order").await;
    gone(&world.pair.records, &world.pair.record_name("order")).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}
