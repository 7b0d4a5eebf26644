//! How soon and how many objects move: offers that flap, and the most that move at once.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use resource_broker_harness::TestResult;

use super::law::Terms;
use super::witness::Chronicle;
use super::world::World;
use crate::operator::Manner;
use crate::pair::{Pair, until};

#[tokio::test]
async fn an_object_that_changed_itself_does_not_wait() -> TestResult {
    let world = World::new("pace-object").await?;
    let broker = world.broker_settling("1h").await?.start().await?;
    let witness = world.witness().await?;
    world.place("order", world.first()).await?;
    world.send("order", world.second()).await?;
    world.arrived("order", world.second()).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn an_offer_that_flaps_moves_nothing_and_one_that_stays_away_does() -> TestResult {
    const SETTLE: Duration = Duration::from_secs(8);
    let world = World::new("pace-flapping").await?;
    let broker = world.broker_settling("8s").await?.start().await?;
    let witness = world.witness().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.offer_for(second, &[&first.id.name, &second.id.name]).await?;
    for flap in 0..4 {
        world.offer_for(first, &["nothing"]).await?;
        // Both are taken note of before it takes the object again.
        until(&world.pair.consumer.widgets(), "order", "to be refused", |it| {
            !crate::pair::is(it, "Accepted", "True") || !crate::pair::is(it, "Synced", "True")
        })
        .await;
        world.offer(first).await?;
        until(&world.pair.consumer.widgets(), "order", "to be well", crate::pair::is_well).await;
        assert!(moves(&witness.chronicle().await, &world.pair).is_empty(), "flap {flap} moved it");
    }
    let refused = SystemTime::now();
    world.offer_for(first, &["nothing"]).await?;
    world.moving("order", second).await;
    let held = refused.elapsed().context("a clock that goes back")?;
    assert!(held >= SETTLE, "it moved after {held:?}, before the refusal had held for {SETTLE:?}");
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

/// The providers that objects have begun to move to.
fn moves(chronicle: &Chronicle, pair: &Pair) -> Vec<String> {
    let record = pair.record_name("order");
    let of = chronicle.sights.iter().filter(|it| it.kind == "Assignment" && it.place().name == record);
    of.filter_map(|it| it.object.data["spec"]["next"]["cluster"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn no_more_move_at_once_than_the_budget_allows() -> TestResult {
    const ORDERS: [&str; 5] = ["one", "two", "three", "four", "five"];
    let world = World::new("pace-budget").await?;
    let broker = world.broker().await?.arg("max-moves-per-provider", "2").start().await?;
    let witness = world.witness().await?;
    let (first, second) = (world.first(), world.second());
    for order in ORDERS {
        world.place(order, first).await?;
    }
    world.operators[1].behave(Manner { says: Some("Provisioning"), ..Manner::signing() });
    for order in ORDERS {
        world.send(order, second).await?;
    }
    // With two on their way, the others are told why they are not.
    let waiting = async || {
        let mut waiting = Vec::new();
        for order in ORDERS {
            if world.record(order).await?.spec.next.is_none() {
                waiting.push(order);
            }
        }
        anyhow::Ok(waiting)
    };
    resource_broker_harness::eventually("two to be on their way", crate::pair::PATIENCE, || async {
        let waiting = waiting().await?;
        anyhow::ensure!(waiting.len() == 3, "{waiting:?} wait");
        anyhow::Ok(())
    })
    .await;
    for order in waiting().await? {
        until(&world.pair.consumer.widgets(), order, "what it waits for", |it| {
            ["Accepted", "Synced"]
                .iter()
                .any(|type_| crate::pair::message(it, type_).contains("max-moves-per-provider"))
        })
        .await;
    }
    world.operators[1].behave(Manner::signing());
    for order in ORDERS {
        world.arrived(order, second).await;
    }
    let chronicle = world.judge(&witness, &broker, &Terms::default()).await?;
    for side in [first, second] {
        assert_eq!(chronicle.most_moving(&side.id.to_string()), 2, "{}", side.id);
    }
    Ok(())
}
