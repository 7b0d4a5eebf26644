//! How soon and how many objects move: offers that flap, and the most that move at once.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use resource_broker_harness::TestResult;

use super::law::Terms;
use super::witness::Chronicle;
use super::world::World;
use crate::operator::Manner;
use crate::pair::{Pair, Side, until};

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

#[tokio::test]
async fn a_move_under_way_is_not_abandoned_for_an_offer_that_flaps() -> TestResult {
    let world = World::new("pace-flapping-back").await?;
    let broker = world.broker_settling("1m").await?.start().await?;
    let witness = world.witness().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.operators[1].behave(Manner { says: Some("Provisioning"), ..Manner::signing() });
    world.send("order", second).await?;
    let copy = world.copied("order", second).await;
    let says_again = |it: &DynamicObject| crate::pair::message(it, "Synced").contains("takes it again");
    for _ in 0..4 {
        world.offer_for(first, &[&first.id.name, &second.id.name]).await?;
        until(&world.pair.consumer.widgets(), "order", "to stand still", says_again).await;
        assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));
        world.offer(first).await?;
        until(&world.pair.consumer.widgets(), "order", "to go on", |it| !says_again(it)).await;
    }
    world.operators[1].behave(Manner::signing());
    world.arrived("order", second).await;
    let chronicle = world.judge(&witness, &broker, &Terms::default()).await?;
    assert_eq!(made_at(&chronicle, second, &world.pair), BTreeSet::from([copy.uid()]), "copies were made anew");
    assert!(moves(&chronicle, &world.pair).iter().all(|to| *to == second.id.to_string()));
    let events = chronicle.sights.iter().filter(|it| it.kind == "Event" && it.object.data["reason"] == "MoveAbandoned");
    assert_eq!(events.count(), 0, "it was abandoned");
    Ok(())
}

#[tokio::test]
async fn a_move_is_abandoned_when_the_old_offer_is_back_for_good() -> TestResult {
    const SETTLE: Duration = Duration::from_secs(8);
    let world = World::new("pace-back").await?;
    let broker = world.broker_settling("8s").await?.start().await?;
    let witness = world.witness().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.operators[1].behave(Manner { says: Some("Provisioning"), ..Manner::signing() });
    world.send("order", second).await?;
    world.copied("order", second).await;
    let accepted = SystemTime::now();
    world.offer_for(first, &[&first.id.name, &second.id.name]).await?;
    until(&world.pair.records, &world.pair.record_name("order"), "to be abandoned", |it| it.spec.next.is_none()).await;
    let held = accepted.elapsed().context("a clock that goes back")?;
    assert!(held >= SETTLE, "it was abandoned after {held:?}, before that had held for {SETTLE:?}");
    world.arrived("order", first).await;
    let told = world.pair.consumer.event("order", "MoveAbandoned").await;
    assert!(told.contains(&second.id.to_string()), "{told}");
    let chronicle = world.judge(&witness, &broker, &Terms::default()).await?;
    assert_eq!(made_at(&chronicle, second, &world.pair).len(), 1);
    Ok(())
}

/// The UIDs of the order's copies that were ever at a provider.
fn made_at(chronicle: &Chronicle, side: &Side, pair: &Pair) -> BTreeSet<Option<String>> {
    let (at, name) = (side.id.to_string(), pair.copy_name("order"));
    let of = chronicle.sights.iter().filter(|it| it.kind == "Widget" && it.cluster == at && it.place().name == name);
    of.map(|it| it.object.uid()).collect()
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
