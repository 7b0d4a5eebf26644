//! What can happen at any moment of a migration: one object stops at each point of it, and then it happens to all.

use futures::future::{join_all, try_join_all};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::TestResult;
use serde_json::json;

use super::stand::{Stand, condition};
use super::voyage::{self, Crew, Point};
use crate::moves::world::World;
use crate::operator::Manner;
use crate::pair::{fails, message, until};

#[tokio::test]
async fn deleted_in_every_state() -> TestResult {
    let stand = Stand::new("anywhere-deleted").await?;
    voyage::embark(&stand).await?;
    try_join_all(Point::ALL.map(|point| stand.world.pair.consumer.delete(point.object()))).await?;
    join_all(Point::ALL.map(async |point| {
        stand.world.vanished(point.object()).await;
        let why = stand.fails(point.object(), reason::ABANDONED).await;
        assert!(!why.is_empty());
    }))
    .await;
    stand.is_clean().await;
    // What is left of them holds no new object of the same name.
    stand.world.place("running", stand.world.first()).await?;
    let _crew = Crew::of(&stand);
    stand.world.send("running", stand.world.second()).await?;
    stand.migrated("running").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn changed_back_in_every_state() -> TestResult {
    let stand = Stand::new("anywhere-back").await?;
    voyage::embark(&stand).await?;
    let first = stand.world.first();
    try_join_all(Point::ALL.map(|point| stand.world.send(point.object(), first))).await?;
    join_all(Point::ALL.map(|point| is_back(&stand, point))).await;
    stand.is_clean().await;
    stand.world.quiet("marker").await?;
    stand.judge().await?;
    Ok(())
}

async fn is_back(stand: &Stand, point: Point) {
    stand.world.arrived(point.object(), stand.world.first()).await;
    stand.stays(point.object(), reason::ABANDONED).await;
}

#[tokio::test]
async fn rolled_back_in_every_state_until_it_changes() -> TestResult {
    let stand = Stand::new("anywhere-rolled").await?;
    voyage::embark(&stand).await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    for point in Point::ALL {
        stand.order(point.object(), keys::MIGRATION_ROLLBACK, "true").await?;
    }
    for point in Point::ALL {
        let object = point.object();
        stand.stays(object, reason::ROLLED_BACK).await;
        stand.order_is_taken(object, keys::MIGRATION_ROLLBACK).await;
        let order = until(&stand.world.pair.consumer.widgets(), object, "to say that it stays", |it| {
            fails(it, "Accepted", reason::MOVE_ROLLED_BACK)
        })
        .await;
        assert!(message(&order, "Accepted").contains("migrate retry"), "{}", message(&order, "Accepted"));
    }
    stand.is_clean().await;
    for point in Point::ALL {
        stand.serves_on(point.object(), &format!("marker-{}", point.object())).await?;
    }
    // The Secrets of those that had the new provider's are the old one's again, and nothing moves by itself.
    for point in Point::ALL {
        assert_eq!(stand.world.record(point.object()).await?.spec.next, None, "{point:?}");
    }

    // One that is changed moves, and one whose retry is ordered.
    for point in Point::ALL {
        stand.world.operators[1].treat(&stand.world.pair.copy_name(point.object()), Manner::signing());
    }
    let _crew = Crew::of(&stand);
    stand.world.pair.consumer.edit("running", &json!({"spec": {"size": 2}})).await?;
    stand.order("ready", keys::MIGRATION_RETRY, "true").await?;
    for object in ["running", "ready"] {
        stand.migrated(object).await;
    }
    assert_eq!(stand.world.record("completed").await?.spec.next, None);
    // One that is changed so that its provider takes it again is as any other.
    stand.world.send("completed", first).await?;
    stand.world.arrived("completed", first).await;
    stand.world.send("completed", second).await?;
    stand.migrated("completed").await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn providers_detached_in_every_state() -> TestResult {
    let world = World::new("anywhere-detached").await?;
    for side in world.providers().into_iter().chain([&world.pair.consumer]) {
        world.attach(side)?;
    }
    let broker = world.unattached().await?;
    let stand = Stand::with(world, broker).await?;
    voyage::embark(&stand).await?;
    for side in [stand.world.first(), stand.world.second()] {
        stand.world.detach(side, &stand.broker).await?;
        let marker = format!("marker-{}", side.id.name);
        let other = if side.id == stand.world.first().id { stand.world.second() } else { stand.world.first() };
        stand.world.place(&marker, other).await?;
        stand.world.attach(side)?;
        voyage::as_before(&stand).await?;
    }
    voyage::land(&stand).await?;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn servers_stopped_in_every_state() -> TestResult {
    let world = World::new("anywhere-stopped").await?;
    let (proxies, broker) = world.proxied().await?;
    let stand = Stand::with(world, broker).await?;
    voyage::embark(&stand).await?;
    // Compute is dead; who needs none of it is served.
    proxies.compute.stop().await?;
    stand.world.place("marker-compute", stand.world.first()).await?;
    proxies.compute.resume();
    voyage::as_before(&stand).await?;
    for (proxy, other) in [(0, stand.world.second()), (1, stand.world.first())] {
        proxies.providers[proxy].stop().await?;
        stand.world.place(&format!("marker-{proxy}"), other).await?;
        proxies.providers[proxy].resume();
        voyage::as_before(&stand).await?;
    }
    // One that hangs, in the very moment in which all is to go on.
    proxies.compute.hang();
    let landing = voyage::land(&stand);
    let returning = async {
        stand.world.place("marker-hanging", stand.world.first()).await?;
        proxies.compute.resume();
        anyhow::Ok(())
    };
    let (landed, returned) = tokio::join!(landing, returning);
    landed.and(returned)?;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn migrations_deleted_by_hand_in_every_state() -> TestResult {
    let stand = Stand::new("anywhere-lost").await?;
    voyage::embark(&stand).await?;
    let migrations = stand.world.migrations();
    let mut before = Vec::new();
    for point in Point::ALL {
        before.push((stand.migration(point.object()).await?.uid(), stand.id(point.object()).await));
        migrations.delete(&stand.name(point.object()), &DeleteParams::default()).await?;
    }
    for (point, (uid, id)) in Point::ALL.iter().zip(&before) {
        let anew = stand.until(point.object(), "to be made anew", |it| it.uid() != *uid).await;
        assert_eq!(anew.name_any(), stand.name(point.object()));
        assert_eq!(stand.id(point.object()).await, *id, "what it had deployed is not found again");
    }
    voyage::land(&stand).await?;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_killed_in_every_state_goes_on() -> TestResult {
    let mut stand = Stand::new("anywhere-killed").await?;
    voyage::embark(&stand).await?;
    stand.broker.restart().await?;
    voyage::as_before(&stand).await?;
    let times: Vec<_> = try_join_all(Point::ALL.map(|point| stand.migration(point.object()))).await?;
    for migration in &times {
        let pending = condition(migration, "Pending").map(|it| &it.status);
        assert_eq!(pending.map(String::as_str), Some("True"), "{:?}", migration.status);
    }
    voyage::land(&stand).await?;
    stand.judge().await?;
    Ok(())
}
