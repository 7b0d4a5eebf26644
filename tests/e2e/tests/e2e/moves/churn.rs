//! Objects whose provider no longer takes them: each reason, and each way in which a move can turn.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::{TestResult, eventually};
use serde_json::json;

use super::law::{HandOver, Terms};
use super::world::{World, signed};
use crate::operator::{Hold, Manner, secret_of};
use crate::pair::{PATIENCE, condition, event_about, fails, gone, is, message, recorded, until};

/// A provider's operator that takes its time.
fn slow() -> Manner {
    Manner { says: Some("Provisioning"), ..Manner::signing() }
}

/// Whether an object says that it waits for its move.
fn says_moving(order: &DynamicObject) -> bool {
    is(order, "Accepted", "True") && fails(order, "Synced", "Moving")
}

#[tokio::test]
async fn an_object_that_changes_moves_with_all_that_belongs_to_it() -> TestResult {
    let world = World::new("moves-object").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    let secret = world.pair.consumer.api::<Secret>().get(&secret_of("order")).await?;

    world.operators[1].behave(slow());
    world.send("order", second).await?;
    world.copied("order", second).await;
    let order = until(&world.pair.consumer.widgets(), "order", "to say that it moves", says_moving).await;
    let shown = |key: &str| order.annotations().get(key).cloned().unwrap_or_default();
    assert_eq!(shown(keys::PROVIDER_CLUSTER), first.id.to_string());
    assert_eq!(shown(keys::NEW_PROVIDER_CLUSTER), second.id.to_string());
    for place in [first, second].map(|side| side.id.to_string()) {
        assert!(message(&order, "Accepted").contains(&place), "{}", message(&order, "Accepted"));
    }
    assert!(is(&order, "Ready", "True"), "the old provider serves: {}", condition(&order, "Ready"));
    assert_eq!(order.data["status"]["made"]["engine"], first.id.name.as_str(), "the old provider's status");
    until(&world.pair.records, &world.pair.record_name("order"), "to say so too", |record| {
        recorded(record, "Synced") == Some(("False", "Moving"))
    })
    .await;
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));

    world.operators[1].behave(Manner::signing());
    world.arrived("order", second).await;
    let moved = world.pair.consumer.api::<Secret>().get(&secret_of("order")).await?;
    assert_eq!(moved.uid(), secret.uid(), "the Secret was not replaced in its place");
    let events: Api<Event> = Api::namespaced(world.pair.records.clone().into_client(), world.pair.name);
    for reason in ["Moving", "Moved"] {
        for told in [
            world.pair.consumer.event("order", reason).await,
            event_about(&events, &world.pair.record_name("order"), reason).await,
        ] {
            assert!(told.contains(&second.id.to_string()), "{reason}: {told}");
        }
    }
    world.quiet("marker").await?;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn an_offer_that_changes_or_goes_moves_its_objects() -> TestResult {
    let world = World::new("moves-offers").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;

    world.offer_for(second, &[&first.id.name, &second.id.name]).await?;
    world.offer_for(first, &["nothing"]).await?;
    world.arrived("order", second).await;

    world.offer(first).await?;
    second.withdraw(world.pair.name).await?;
    world.arrived("order", first).await;

    // Both change at once.
    let change = json!({"spec": {"engine": "another", "size": 2}});
    let (changed, offered, withdrawn) = tokio::join!(
        world.pair.consumer.edit("order", &change),
        world.offer_for(second, &["another"]),
        first.withdraw(world.pair.name),
    );
    changed.and(offered).and(withdrawn)?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn with_nowhere_to_go_nothing_is_torn_down() -> TestResult {
    let world = World::of_three("moves-nowhere").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let first = world.first();
    world.place("order", first).await?;
    let copy = world.copied("order", first).await;

    world.pair.consumer.edit("order", &json!({"spec": {"engine": "nobody", "size": 7}})).await?;
    let order = until(&world.pair.consumer.widgets(), "order", "the refusal", |it| {
        fails(it, "Accepted", "NoMatchingOffer") && it.metadata.generation == Some(2)
    })
    .await;
    for side in world.providers() {
        let told = message(&order, "Accepted");
        assert!(told.contains(&side.id.to_string()) && told.contains("nobody"), "{} is missing in {told}", side.id);
    }
    // An object made later is served by then.
    world.place("marker", first).await?;
    let record = world.record("order").await?;
    assert_eq!(record.spec.provider.cluster, first.id.to_string());
    assert_eq!((record.spec.next, record.spec.previous), (None, Vec::new()));
    let now = world.copied("order", first).await;
    assert_eq!((now.uid(), &now.data["spec"]), (copy.uid(), &copy.data["spec"]), "the copy is not as it was");
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));

    world.offer_for(&world.others[1], &["nobody"]).await?;
    world.arrived("order", &world.others[1]).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_changes_back_stays_where_it_was() -> TestResult {
    let world = World::new("moves-back").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    let copy = world.copied("order", first).await;
    world.operators[1].behave(slow());
    world.send("order", second).await?;
    world.copied("order", second).await;

    let back = json!({"spec": {"engine": first.id.name, "size": 9}});
    world.pair.consumer.edit("order", &back).await?;
    gone(&second.widgets(), &world.pair.copy_name("order")).await;
    world.arrived("order", first).await;
    let now = world.copied("order", first).await;
    assert_eq!((now.uid(), &now.data["spec"]["size"]), (copy.uid(), &json!(9)), "the copy is not in step");
    let told = world.pair.consumer.event("order", "MoveAbandoned").await;
    assert!(told.contains(&second.id.to_string()), "{told}");

    // And once more, to the end.
    world.operators[1].behave(Manner::signing());
    world.send("order", second).await?;
    world.arrived("order", second).await;
    world.quiet("marker").await?;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_target_that_stops_accepting_is_left() -> TestResult {
    let world = World::of_three("moves-target").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let [first, second, third] = [world.first(), world.second(), &world.others[1]];
    let engine = second.id.name.as_str();
    let copy_name = world.pair.copy_name("order");
    world.place("order", first).await?;
    world.operators[1].behave(slow());
    world.send("order", second).await?;
    world.copied("order", second).await;

    // Nobody takes it: it stays, and is served.
    world.offer_for(second, &["nothing"]).await?;
    until(&world.pair.consumer.widgets(), "order", "the refusal", |it| fails(it, "Accepted", "NoMatchingOffer")).await;
    assert_eq!(world.record("order").await?.spec.provider.cluster, first.id.to_string());
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));

    // The old one takes it again: it is back.
    world.offer_for(first, &[&first.id.name, engine]).await?;
    world.arrived("order", first).await;
    gone(&second.widgets(), &copy_name).await;

    // Another one takes it.
    world.offer(second).await?;
    world.offer(first).await?;
    world.copied("order", second).await;
    world.offer_for(third, &[engine]).await?;
    world.offer_for(second, &["nothing"]).await?;
    world.arrived("order", third).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_old_provider_serves_until_what_the_new_one_promises_is_there() -> TestResult {
    let world = World::new("moves-late").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.operators[1].behave(Manner { provides: false, ..Manner::signing() });
    world.send("order", second).await?;
    until(&second.widgets(), &world.pair.copy_name("order"), "to be available", |copy| {
        copy.data["status"]["status"] == "Available"
    })
    .await;
    // An object made later is served by then.
    world.place("marker", first).await?;
    let order = until(&world.pair.consumer.widgets(), "order", "what is awaited", |it| {
        says_moving(it) && message(it, "Synced").contains(&secret_of(&world.pair.copy_name("order")))
    })
    .await;
    assert_eq!(order.data["status"]["made"]["engine"], first.id.name.as_str());
    assert_eq!(world.record("order").await?.spec.provider.cluster, first.id.to_string());
    world.operators[1].behave(Manner::signing());
    world.arrived("order", second).await;

    // One that declares it late is waited for as well.
    let copy = world.pair.copy_name("order");
    world.operators[0].treat(&copy, Manner { declares: false, ..Manner::signing() });
    world.send("order", first).await?;
    until(&first.widgets(), &world.pair.copy_name("order"), "to be available", |copy| {
        copy.data["status"]["status"] == "Available"
    })
    .await;
    world.operators[0].treat(&copy, Manner::signing());
    world.arrived("order", first).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_that_the_new_provider_never_declares_is_not_waited_for_for_ever() -> TestResult {
    let world = World::new("moves-keyless").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let second = world.second();
    world.place("order", world.first()).await?;
    world.operators[1].behave(Manner { declares: false, ..Manner::signing() });
    world.send("order", second).await?;
    world.moved("order", second).await;
    gone(&world.pair.consumer.api::<Secret>(), &secret_of("order")).await;
    let terms = Terms { secrets_come_and_go: true, ..Terms::default() };
    world.judge(&witness, &broker, &terms).await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_of_another_name_comes_before_the_old_one_goes() -> TestResult {
    let world = World::new("moves-renamed").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let second = world.second();
    world.place("order", world.first()).await?;
    world.operators[1].behave(Manner { suffix: "login", ..Manner::signing() });
    world.send("order", second).await?;
    world.moved("order", second).await;
    let secrets = world.pair.consumer.api::<Secret>();
    gone(&secrets, &secret_of("order")).await;
    let login = secrets.get("order-login").await?;
    assert_eq!(signed(&login, "provider").as_deref(), Some(second.id.name.as_str()));
    world.judge(&witness, &broker, &Terms { renames: true, ..Terms::default() }).await?;
    Ok(())
}

#[tokio::test]
async fn copies_that_never_get_a_status_move_when_the_new_one_is_there() -> TestResult {
    let world = World::new("moves-silent").await?;
    let witness = world.witness().await?;
    let silent = Manner { says: None, ..Manner::signing() };
    world.operators.iter().for_each(|operator| operator.behave(silent.clone()));
    let broker = world.start().await?;
    world.pair.consumer.create("order", &world.spec(world.first())).await?;
    world.copied("order", world.first()).await;
    world.send("order", world.second()).await?;
    world.moved("order", world.second()).await;
    let terms = Terms { hand_over: HandOver::There, ..Terms::default() };
    world.judge(&witness, &broker, &terms).await?;
    Ok(())
}

#[tokio::test]
async fn copies_that_only_have_conditions_move_when_the_new_one_is_ready() -> TestResult {
    let world = World::new("moves-conditions").await?;
    let witness = world.witness().await?;
    let says = |ready| Manner { says: None, ready: Some(ready), ..Manner::signing() };
    world.operators[0].behave(says(true));
    world.operators[1].behave(says(false));
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.send("order", second).await?;
    until(&second.widgets(), &world.pair.copy_name("order"), "to be unready", |copy| is(copy, "Ready", "False")).await;
    world.place("marker", first).await?;
    assert_eq!(world.record("order").await?.spec.provider.cluster, first.id.to_string());
    until(&world.pair.consumer.widgets(), "order", "to say that it moves", says_moving).await;
    world.operators[1].behave(says(true));
    world.arrived("order", second).await;
    let terms = Terms { hand_over: HandOver::Ready, ..Terms::default() };
    world.judge(&witness, &broker, &terms).await?;
    Ok(())
}

#[tokio::test]
async fn an_old_copy_that_its_provider_holds_does_not_hold_the_object() -> TestResult {
    let world = World::new("moves-held").await?;
    let witness = world.witness().await?;
    world.operators[0].behave(Manner { holds: Hold::ForEver, ..Manner::signing() });
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    world.send("order", second).await?;
    let record = until(&world.pair.records, &world.pair.record_name("order"), "to be handed over", |record| {
        record.spec.provider.cluster == second.id.to_string()
    })
    .await;
    assert_eq!(record.spec.next, None);
    let previous: Vec<&str> = record.spec.previous.iter().map(|it| it.cluster.as_str()).collect();
    assert_eq!(previous, [first.id.to_string()]);
    served_from(&world, "order", &second.id.name).await;
    let copies = first.widgets();
    until(&copies, &world.pair.copy_name("order"), "to be deleted", |copy| copy.metadata.deletion_timestamp.is_some())
        .await;
    // It can change meanwhile.
    world.pair.consumer.edit("order", &json!({"spec": {"size": 3}})).await?;
    until(&second.widgets(), &world.pair.copy_name("order"), "the change", |copy| copy.data["spec"]["size"] == 3).await;

    world.operators[0].behave(Manner { holds: Hold::UntilTidied, ..Manner::signing() });
    world.arrived("order", second).await;
    world.quiet("marker").await?;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn back_and_forth_and_back_again() -> TestResult {
    let world = World::new("moves-to-and-fro").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    world.place("order", world.first()).await?;
    for round in 0..3 {
        for side in [world.second(), world.first()] {
            let change = json!({"spec": {"engine": side.id.name, "size": 10 + round}});
            world.pair.consumer.edit("order", &change).await?;
            world.arrived("order", side).await;
        }
    }
    // Turning round while it is on its way.
    for side in [world.second(), world.first(), world.second()] {
        world.send("order", side).await?;
        let name = world.pair.record_name("order");
        eventually("the record to take note", PATIENCE, || async {
            let record = world.pair.records.get(&name).await?;
            let now = record.spec.next.map_or(record.spec.provider.cluster, |next| next.cluster);
            ensure!(now == side.id.to_string(), "it goes to {now}");
            anyhow::Ok(())
        })
        .await;
    }
    world.arrived("order", world.second()).await;
    world.quiet("marker").await?;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

/// Waits until the consumer's Secret is from a provider.
async fn served_from(world: &World, name: &str, provider: &str) {
    eventually(&format!("{name} to be served by {provider}"), PATIENCE, || async {
        let by = world.served_by(name).await?.context("no signature")?;
        ensure!(by == provider, "it is served by {by}");
        anyhow::Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_secret_of_the_consumers_own_holds_the_switch_up() -> TestResult {
    let world = World::new("moves-foreign").await?;
    let _broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.operators[1].behave(Manner { suffix: "login", ..Manner::signing() });
    world.place("order", first).await?;
    let secrets = world.pair.consumer.api::<Secret>();
    let foreign = json!({"metadata": {"name": "order-login"}, "stringData": {"key": "mine"}});
    let mine = secrets.create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;

    world.send("order", second).await?;
    let orders = world.pair.consumer.widgets();
    let told = until(&orders, "order", "what is in the way", |it| {
        fails(it, "Synced", reason::MOVING) && message(it, "Synced").contains("of its own named order-login")
    })
    .await;
    let told = message(&told, "Synced");
    assert!(told.contains("consumer#consumer") && told.contains("rename or delete"), "{told}");
    // An object made later is served by then.
    world.place("marker", first).await?;
    let record = world.record("order").await?;
    assert_eq!(record.spec.provider.cluster, first.id.to_string(), "it was switched");
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));
    assert_eq!(secrets.get("order-login").await?, mine, "nothing of it is changed");

    secrets.delete("order-login", &DeleteParams::default()).await?;
    world.moved("order", second).await;
    until(&secrets, "order-login", "to be the provider's", |it| {
        signed(it, "provider").as_deref() == Some(second.id.name.as_str())
    })
    .await;
    gone(&secrets, &secret_of("order")).await;
    Ok(())
}

#[tokio::test]
async fn an_annotation_of_the_brokers_that_somebody_sets_is_taken_off() -> TestResult {
    let world = World::new("moves-stray").await?;
    let _broker = world.start().await?;
    world.place("order", world.first()).await?;
    let stray = json!({"metadata": {"annotations": {keys::NEW_PROVIDER_CLUSTER: "provider#nowhere"}}});
    world.pair.consumer.edit("order", &stray).await?;
    let orders = world.pair.consumer.widgets();
    until(&orders, "order", "to be without it", |it| !it.annotations().contains_key(keys::NEW_PROVIDER_CLUSTER)).await;
    let before = orders.get("order").await?;
    world.quiet("marker").await?;
    assert_eq!(orders.get("order").await?.resource_version(), before.resource_version(), "it is written again");
    Ok(())
}
