//! What can happen at any moment of a migration: one object stops at each point of it, and then it happens to all.

use futures::future::{join_all, try_join_all};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use resource_broker_api::broker::StageState;
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::TestResult;
use serde_json::json;

use super::stand::{Stand, condition, status_of};
use super::voyage::{self, Crew, Point};
use crate::moves::world::{World, served};
use crate::operator::Manner;
use crate::pair::{fails, gone, message, until};

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
        let told = message(&order, "Accepted");
        assert!(told.contains("an administrator") && told.contains(&stand.name(object)), "{told}");
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
async fn the_consumer_detached_in_every_state() -> TestResult {
    let world = World::new("anywhere-consumer").await?;
    for side in world.providers().into_iter().chain([&world.pair.consumer]) {
        world.attach(side)?;
    }
    let stranger = world.pair.other_consumer().await?;
    let kubeconfig = stranger.cluster.kubeconfig_as(world.pair.name, &["system:masters"])?;
    let broker = world.unattached().await?.consumer(&stranger.id.name, &kubeconfig);
    let mut stand = Stand::beside(world, broker, &[&stranger]).await?;
    voyage::embark(&stand).await?;
    let before = stand.endings().await;
    // Another consumer's objects are made as ever; by then whatever comes of the loss has happened.
    let (consumer, first) = (&stand.world.pair.consumer, stand.world.first());
    let others = json!({"size": 1, "engine": first.id.name, "tenant": stranger.id.name});
    stand.world.detach(consumer, &stand.broker).await?;
    stranger.create("meanwhile", &others).await?;
    served(&stranger, "meanwhile", first).await;
    // One that starts now has never heard of that consumer.
    stand.world.spoil(consumer)?;
    stand.broker.restart().await?;
    stranger.create("afterwards", &others).await?;
    served(&stranger, "afterwards", stand.world.first()).await;
    assert_eq!(stand.endings().await, before, "something was deleted");
    stand.world.attach(&stand.world.pair.consumer)?;
    voyage::as_before(&stand).await?;
    assert_eq!(stand.endings().await, before, "something was deleted");

    // Compute is given once: that its kubeconfig goes while the broker runs changes nothing.
    stand.world.lose_compute()?;
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
        assert_eq!(stand.id(point.object()).await, *id, "it is another move");
    }
    voyage::land(&stand).await?;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn migrations_deleted_while_no_broker_runs() -> TestResult {
    let mut stand = Stand::new("anywhere-lost-off").await?;
    voyage::embark(&stand).await?;
    stand.broker.kill9()?;
    let (first, migrations) = (stand.world.first(), stand.world.migrations());
    let mut before = Vec::new();
    for point in Point::ALL {
        before.push(stand.migration(point.object()).await?.uid());
        migrations.delete(&stand.name(point.object()), &DeleteParams::default()).await?;
        let held = stand.migration(point.object()).await?;
        assert_eq!(held.finalizers(), [keys::MIGRATION_FINALIZER], "{point:?}: what it has in compute is forgotten");
    }
    // Of all objects, a third is changed back, and a third deleted.
    let fates: [Vec<Point>; 3] = [0, 1, 2]
        .map(|fate| Point::ALL.into_iter().enumerate().filter(|(n, _)| n % 3 == fate).map(|it| it.1).collect());
    let [back, deleted, going_on] = &fates;
    try_join_all(back.iter().map(|point| stand.world.send(point.object(), first))).await?;
    try_join_all(deleted.iter().map(|point| stand.world.pair.consumer.delete(point.object()))).await?;
    stand.broker.restart().await?;
    for point in back {
        stand.world.arrived(point.object(), stand.world.first()).await;
        gone(&migrations, &stand.name(point.object())).await;
    }
    for point in deleted {
        stand.world.vanished(point.object()).await;
        gone(&migrations, &stand.name(point.object())).await;
    }
    for (point, uid) in Point::ALL.iter().zip(&before).filter(|(point, _)| going_on.contains(point)) {
        stand.until(point.object(), "to be made anew", |it| it.uid() != *uid).await;
    }
    let _crew = Crew::of(&stand);
    for point in going_on {
        stand.migrated(point.object()).await;
    }
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn records_deleted_by_hand_in_every_state() -> TestResult {
    let stand = Stand::new("anywhere-records").await?;
    voyage::embark(&stand).await?;
    let (pair, first, second) = (&stand.world.pair, stand.world.first(), stand.world.second());
    let mut before = Vec::new();
    for point in Point::ALL {
        let (copy, record) = (pair.copy_name(point.object()), stand.name(point.object()));
        before.push((first.widgets().get(&copy).await?.uid(), pair.records.get(&record).await?.uid()));
        pair.records.delete(&record, &DeleteParams::default()).await?;
    }
    for (point, (_, lost)) in Point::ALL.iter().zip(&before) {
        let what = "to be made again, for the provider with the data, and to be moved anew";
        until(&pair.records, &stand.name(point.object()), what, |record| {
            record.uid() != *lost
                && record.spec.provider.cluster == first.id.to_string()
                && record.spec.next.as_ref().is_some_and(|next| next.cluster == second.id.to_string())
        })
        .await;
    }
    // Nobody has done any stage's work since.
    for (point, (uid, _)) in Point::ALL.iter().zip(&before) {
        let copy = first.widgets().get(&pair.copy_name(point.object())).await?;
        assert_eq!((copy.uid(), copy.metadata.deletion_timestamp), (uid.clone(), None), "{point:?}");
        stand.world.operators[1].treat(&pair.copy_name(point.object()), Manner::signing());
    }
    let _crew = Crew::of(&stand);
    for point in Point::ALL {
        let migration = stand.migrated(point.object()).await;
        let stages = status_of(&migration).stages;
        let all = stages.iter().filter(|stage| stage.state == StageState::Succeeded).count();
        assert_eq!((all, stages.len()), (4, 4), "{point:?}: {stages:?}");
    }
    stand.is_clean().await;
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
