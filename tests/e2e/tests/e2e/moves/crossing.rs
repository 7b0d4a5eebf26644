//! Objects that move past each other: of two consumers, under one name, in opposite directions.

use resource_broker_harness::TestResult;
use serde_json::json;

use super::law::Terms;
use super::witness::Witness;
use super::world::{World, served};
use crate::pair::Side;

#[tokio::test]
async fn two_objects_of_one_consumer_change_places() -> TestResult {
    let world = World::new("crossing-places").await?;
    let witness = world.witness().await?;
    let broker = world.broker().await?.arg("max-moves-per-provider", "1").start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("left", first).await?;
    world.place("right", second).await?;
    for (left, right) in [(second, first), (first, second)] {
        let (one, other) = tokio::join!(world.send("left", left), world.send("right", right));
        one.and(other)?;
        world.arrived("left", left).await;
        world.arrived("right", right).await;
    }
    world.quiet("marker").await?;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn objects_of_two_consumers_with_one_name_keep_apart() -> TestResult {
    let world = World::new("crossing-tenants").await?;
    let stranger = world.pair.other_consumer().await?;
    let witness = Witness::of(&world, &[&stranger]).await?;
    let kubeconfig = stranger.cluster.kubeconfig_as(world.pair.name, &["system:masters"])?;
    let broker = world.broker().await?.consumer(&stranger.id.name, &kubeconfig).start().await?;
    let (first, second) = (world.first(), world.second());
    let spec = |at: &Side| json!({"size": 2, "engine": at.id.name, "tenant": stranger.id.name});
    stranger.create("order", &spec(second)).await?;
    world.place("order", first).await?;
    for (ours, theirs) in [(second, first), (first, second), (second, first)] {
        let change = json!({"spec": {"engine": theirs.id.name}});
        let (one, other) = tokio::join!(world.send("order", ours), stranger.edit("order", &change));
        one.and(other)?;
        world.arrived("order", ours).await;
        served(&stranger, "order", theirs).await;
    }
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}
