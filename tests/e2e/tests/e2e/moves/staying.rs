//! An object whose provider goes on accepting it has no reason to move.

use k8s_openapi::api::core::v1::Secret;
use resource_broker_harness::TestResult;
use serde_json::json;

use super::law::Terms;
use super::world::World;
use crate::operator::secret_of;
use crate::pair::until;

#[tokio::test]
async fn nothing_moves_without_a_refusal() -> TestResult {
    let world = World::new("staying").await?;
    let witness = world.witness().await?;
    let (_proxies, broker) = world.proxied().await?;
    let mut broker = broker.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.offer_for(second, &[&first.id.name, &second.id.name]).await?;
    world.pair.consumer.edit("order", &json!({"spec": {"size": 2}})).await?;
    world.arrived("order", first).await;
    world.operators[0].rotate(&world.pair.copy_name("order"), 5);
    until(&world.pair.consumer.api::<Secret>(), &secret_of("order"), "the new one", |secret| {
        secret.data.as_ref().and_then(|data| data.get("rotation")).is_some_and(|it| it.0 == b"5")
    })
    .await;
    world.offer_for(first, &[&first.id.name, "another"]).await?;
    world.offer(second).await?;
    broker.restart().await?;
    world.quiet("marker").await?;
    let chronicle = world.judge(&witness, &broker, &Terms::default()).await?;
    for side in [first, second] {
        assert_eq!(chronicle.most_moving(&side.id.to_string()), 0, "{}", side.id);
    }
    world.pair.consumer.delete("order").await?;
    world.vanished("order").await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}
