//! Providers that do not answer while an object moves away from them or to them.

use resource_broker_harness::TestResult;
use serde_json::json;

use super::law::Terms;
use super::world::World;
use crate::operator::Manner;
use crate::pair::{condition, is, message, until};

/// A provider's operator that takes its time.
fn slow() -> Manner {
    Manner { says: Some("Provisioning"), ..Manner::signing() }
}

#[tokio::test]
async fn a_dead_old_provider_does_not_hold_its_objects() -> TestResult {
    let world = World::new("outage-old").await?;
    let witness = world.witness().await?;
    let (proxies, broker) = world.proxied().await?;
    let broker = broker.start().await?;
    let (first, second) = (world.first(), world.second());
    for order in ["before", "during", "frozen"] {
        world.place(order, first).await?;
    }
    let handed_over = async |order: &str| {
        let name = world.pair.record_name(order);
        let record = until(&world.pair.records, &name, "to be handed over", |record| {
            record.spec.provider.cluster == second.id.to_string()
        })
        .await;
        assert!(record.spec.next.is_none(), "{:?}", record.spec);
        assert_eq!(record.spec.previous.len(), 1, "the dead provider is remembered: {:?}", record.spec);
        until(&world.pair.consumer.widgets(), order, "the new provider's status", |it| {
            it.data["status"]["made"]["engine"] == second.id.name.as_str()
        })
        .await;
    };

    world.operators[1].behave(slow());
    world.send("during", second).await?;
    world.copied("during", second).await;
    proxies.providers[0].stop().await?;
    world.send("before", second).await?;
    world.operators[1].behave(Manner::signing());
    for order in ["before", "during"] {
        handed_over(order).await;
        // The old copy is as it was: nobody could reach it.
        assert!(world.copied(order, first).await.metadata.deletion_timestamp.is_none());
    }
    // A new object, and a change of one that has moved, do not wait for it either.
    world.pair.consumer.edit("before", &json!({"spec": {"size": 5}})).await?;
    until(&second.widgets(), &world.pair.copy_name("before"), "the change", |it| it.data["spec"]["size"] == 5).await;

    proxies.providers[0].resume();
    for order in ["before", "during"] {
        world.arrived(order, second).await;
    }

    // One that hangs is no better than one that refuses.
    proxies.providers[0].hang();
    world.send("frozen", second).await?;
    handed_over("frozen").await;
    proxies.providers[0].resume();
    world.arrived("frozen", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_new_provider_is_waited_for_while_the_old_one_serves() -> TestResult {
    let world = World::new("outage-new").await?;
    let witness = world.witness().await?;
    let (proxies, broker) = world.proxied().await?;
    let broker = broker.start().await?;
    let (first, second) = (world.first(), world.second());
    for order in ["unmade", "made"] {
        world.place(order, first).await?;
    }
    world.operators[1].behave(slow());
    world.send("made", second).await?;
    world.copied("made", second).await;
    proxies.providers[1].stop().await?;
    // It would be ready, if anybody could see it.
    world.operators[1].behave(Manner::signing());
    world.send("unmade", second).await?;
    for order in ["unmade", "made"] {
        let told = until(&world.pair.consumer.widgets(), order, "what is awaited", |it| {
            is(it, "Synced", "False") && message(it, "Synced").contains(&second.id.to_string())
        })
        .await;
        assert!(is(&told, "Ready", "True"), "the old provider serves: {}", condition(&told, "Ready"));
        assert_eq!(world.served_by(order).await?.as_deref(), Some(first.id.name.as_str()));
        assert_eq!(world.record(order).await?.spec.provider.cluster, first.id.to_string());
    }
    proxies.providers[1].resume();
    for order in ["unmade", "made"] {
        world.arrived(order, second).await;
    }
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_consumer_or_record_keeper_only_delays_a_move() -> TestResult {
    let world = World::new("outage-others").await?;
    let witness = world.witness().await?;
    let (proxies, broker) = world.proxied().await?;
    let broker = broker.start().await?;
    let (first, second) = (world.first(), world.second());
    for (order, proxy) in [("consumer", &proxies.consumer), ("coordination", &proxies.coordination)] {
        world.place(order, first).await?;
        world.operators[1].behave(slow());
        world.send(order, second).await?;
        world.copied(order, second).await;
        proxy.stop().await?;
        world.operators[1].behave(Manner::signing());
        until(&second.widgets(), &world.pair.copy_name(order), "to be available", |it| {
            it.data["status"]["status"] == "Available"
        })
        .await;
        proxy.resume();
        world.arrived(order, second).await;
    }
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}
