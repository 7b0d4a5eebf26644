//! Objects that are deleted while they move: nothing is left of them, whatever the move had come to.

use kube::ResourceExt as _;
use resource_broker_api::keys;
use resource_broker_harness::TestResult;

use super::law::Terms;
use super::world::World;
use crate::operator::{Hold, Manner};
use crate::pair::{gone, until};

/// A provider's operator that takes its time.
fn slow() -> Manner {
    Manner { says: Some("Provisioning"), ..Manner::signing() }
}

#[tokio::test]
async fn deleted_before_the_new_copy_is_made() -> TestResult {
    let world = World::new("ending-recorded").await?;
    let witness = world.witness().await?;
    let (proxies, broker) = world.proxied().await?;
    let broker = broker.start().await?;
    world.place("order", world.first()).await?;
    proxies.providers[1].stop().await?;
    world.send("order", world.second()).await?;
    world.moving("order", world.second()).await;
    world.pair.consumer.delete("order").await?;
    // The other copy need not wait for the provider that does not answer.
    gone(&world.first().widgets(), &world.pair.copy_name("order")).await;
    assert!(!world.order("order").await?.finalizers().is_empty(), "nobody knows what the dead provider holds");
    proxies.providers[1].resume();
    world.vanished("order").await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn deleted_while_the_new_copy_is_not_ready() -> TestResult {
    let world = World::new("ending-made").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    world.place("order", world.first()).await?;
    world.operators[1].behave(slow());
    world.send("order", world.second()).await?;
    world.copied("order", world.second()).await;
    world.pair.consumer.delete("order").await?;
    world.vanished("order").await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn deleted_after_the_hand_over_while_the_old_copy_is_held() -> TestResult {
    let world = World::new("ending-handed-over").await?;
    let witness = world.witness().await?;
    world.operators[0].behave(Manner { holds: Hold::ForEver, ..Manner::signing() });
    let broker = world.start().await?;
    world.place("order", world.first()).await?;
    world.send("order", world.second()).await?;
    let place = world.second().id.to_string();
    until(&world.pair.records, &world.pair.record_name("order"), "to be handed over", |record| {
        record.spec.provider.cluster == place
    })
    .await;
    world.pair.consumer.delete("order").await?;
    gone(&world.second().widgets(), &world.pair.copy_name("order")).await;
    // The consumer's finalizer waits for both.
    world.place("marker", world.second()).await?;
    assert!(world.order("order").await?.finalizers().contains(&keys::GENERIC_FINALIZER.to_owned()));
    world.operators[0].behave(Manner { holds: Hold::UntilTidied, ..Manner::signing() });
    world.vanished("order").await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn deleted_while_an_abandoned_copy_is_held() -> TestResult {
    let world = World::new("ending-abandoned").await?;
    let witness = world.witness().await?;
    world.operators[1].behave(Manner { holds: Hold::ForEver, ..slow() });
    let broker = world.start().await?;
    world.place("order", world.first()).await?;
    world.send("order", world.second()).await?;
    until(&world.second().widgets(), &world.pair.copy_name("order"), "to be held", |copy| copy.finalizers().len() == 2)
        .await;
    world.send("order", world.first()).await?;
    until(&world.pair.records, &world.pair.record_name("order"), "to have given it up", |record| {
        record.spec.next.is_none() && record.spec.previous.len() == 1
    })
    .await;
    world.pair.consumer.delete("order").await?;
    gone(&world.first().widgets(), &world.pair.copy_name("order")).await;
    world.operators[1].behave(Manner { holds: Hold::UntilTidied, ..slow() });
    world.vanished("order").await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn deleted_and_made_again_under_its_name() -> TestResult {
    let world = World::new("ending-remade").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    world.place("order", world.first()).await?;
    world.operators[1].behave(slow());
    world.send("order", world.second()).await?;
    let copy = world.copied("order", world.second()).await;
    world.pair.consumer.delete("order").await?;
    gone(&world.pair.consumer.widgets(), "order").await;
    world.operators[1].behave(Manner::signing());
    world.place("order", world.second()).await?;
    assert_ne!(world.copied("order", world.second()).await.uid(), copy.uid());
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}
