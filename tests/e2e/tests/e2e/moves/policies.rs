//! Clusters whose policies refuse what a move takes, or make another thing of it.

use kube::api::{DynamicObject, Patch, PatchParams};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::{TestResult, eventually};
use serde_json::{Value, json};

use super::law::Terms;
use super::world::World;
use crate::operator::Manner;
use crate::pair::{PATIENCE, condition, fails, is, message, recorded, until};
use crate::policy::{Writes, at_work};

/// The words of each policy that refuses.
const WORDS: &str = "not in this house";

/// What policies are about here, under a name of the test's own.
fn widgets<'a>(world: &'a World, resource: &'a str, operations: &'a [&'a str]) -> Writes<'a> {
    let name = world.pair.name;
    Writes { name, namespace: name, group: world.pair.kind.group(), resource, operations }
}

#[tokio::test]
async fn a_target_that_refuses_the_copy_is_waited_for_while_the_old_provider_serves() -> TestResult {
    let world = World::new("policy-target").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    second.cluster.create_namespace(world.pair.name).await?;
    let copies = widgets(&world, "widgets", &["CREATE"]);
    copies.refuse(&second.cluster, "false", WORDS).await?;
    let probe = world.pair.kind.object(world.pair.name, "probe", &json!({}));
    at_work(&second.widgets(), &probe, Result::is_err).await;

    world.send("order", second).await?;
    let order = until(&world.pair.consumer.widgets(), "order", "to say what is refused", |it| {
        fails(it, "Synced", reason::INVALID) && message(it, "Synced").contains(WORDS)
    })
    .await;
    let told = message(&order, "Synced");
    assert!(told.contains(&second.id.to_string()) && told.contains(&world.pair.copy_name("order")), "{told}");
    assert!(is(&order, "Accepted", "True") && is(&order, "Ready", "True"), "{}", order.data["status"]);
    assert_eq!(order.data["status"]["made"]["engine"], first.id.name.as_str(), "the old provider's status");
    assert!(world.pair.consumer.event("order", reason::INVALID).await.contains(WORDS));
    // Others are served meanwhile.
    world.place("marker", first).await?;
    let record = world.record("order").await?;
    assert_eq!(recorded(&record, "Synced"), Some(("False", reason::INVALID)));
    assert_eq!(record.spec.provider.cluster, first.id.to_string());
    assert_eq!(record.spec.next.map(|next| next.cluster), Some(second.id.to_string()));
    assert_eq!(world.served_by("order").await?.as_deref(), Some(first.id.name.as_str()));

    copies.allow(&second.cluster).await?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_consumer_that_refuses_statuses_gets_its_object_moved_and_is_told_afterwards() -> TestResult {
    let world = World::new("policy-status").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    let consumer = &world.pair.consumer;
    let statuses = widgets(&world, "widgets/status", &["UPDATE"]);
    statuses.refuse(&consumer.cluster, "object.metadata.name != 'order'", WORDS).await?;
    eventually("the policy to be at work", PATIENCE, || async {
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        let change = Patch::Merge(json!({"status": {"probe": true}}));
        anyhow::ensure!(consumer.widgets().patch_status("order", &dry_run, &change).await.is_err(), "it is not");
        anyhow::Ok(())
    })
    .await;

    world.send("order", second).await?;
    // What cannot be said on the object stands on its record.
    until(&world.pair.records, &world.pair.record_name("order"), "to have moved, and to say what is refused", |it| {
        let conditions = it.status.iter().flat_map(|status| &status.conditions);
        let told = conditions
            .filter(|it| it.type_ == "Synced" && it.status == "False")
            .any(|it| it.message.contains(WORDS) && it.message.contains(&consumer.id.to_string()));
        it.spec.provider.cluster == second.id.to_string() && told
    })
    .await;
    eventually("the new provider's Secret", PATIENCE, || async {
        let by = world.served_by("order").await?;
        anyhow::ensure!(by.as_deref() == Some(second.id.name.as_str()), "it is of {by:?}");
        anyhow::Ok(())
    })
    .await;
    assert_eq!(world.order("order").await?.data["status"]["made"]["engine"], first.id.name.as_str());
    world.place("marker", second).await?;

    statuses.allow(&consumer.cluster).await?;
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_consumer_that_refuses_annotations_does_not_hold_its_object() -> TestResult {
    let world = World::new("policy-annotations").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let second = world.second();
    world.place("order", world.first()).await?;
    let consumer = &world.pair.consumer;
    let marks = widgets(&world, "widgets", &["CREATE", "UPDATE"]);
    let unmarked = format!(
        "!has(object.metadata.annotations) || !('{}' in object.metadata.annotations)",
        keys::NEW_PROVIDER_CLUSTER
    );
    marks.refuse(&consumer.cluster, &unmarked, WORDS).await?;
    let mut probe = world.pair.kind.object(world.pair.name, "probe", &json!({}));
    probe.metadata.annotations = Some([(keys::NEW_PROVIDER_CLUSTER.to_owned(), "provider#x".to_owned())].into());
    at_work(&consumer.widgets(), &probe, Result::is_err).await;

    world.operators[1].behave(Manner { says: Some("Provisioning"), ..Manner::signing() });
    world.send("order", second).await?;
    let order = until(&consumer.widgets(), "order", "to say what is refused", |it| {
        is(it, "Synced", "False") && message(it, "Synced").contains(WORDS)
    })
    .await;
    assert!(is(&order, "Ready", "True"), "the old provider serves: {}", condition(&order, "Ready"));
    world.copied("order", second).await;
    world.operators[1].behave(Manner::signing());
    // At its new place nothing is said any more that the policy refuses.
    world.arrived("order", second).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_target_that_rewrites_the_copy_causes_no_write_war() -> TestResult {
    let world = World::new("policy-rewriting").await?;
    let witness = world.witness().await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    second.cluster.create_namespace(world.pair.name).await?;
    // One field is set that nobody asked for, and one that the consumer asked for is another.
    let rewritten = "Object{spec: Object.spec{fqdn: 'set.example.com', size: object.spec.size + 100}}";
    widgets(&world, "widgets", &["CREATE", "UPDATE"]).rewrite(&second.cluster, rewritten).await?;
    let probe = world.pair.kind.object(world.pair.name, "probe", &json!({"size": 1}));
    let is_rewritten =
        |made: &kube::Result<DynamicObject>| made.as_ref().is_ok_and(|made| made.data["spec"]["size"] == 101);
    at_work(&second.widgets(), &probe, is_rewritten).await;

    let before = second.cluster.audit_position().await?;
    world.operators[1].behave(Manner { says: Some("Provisioning"), ..Manner::signing() });
    world.send("order", second).await?;
    let copy = world.copied("order", second).await;
    let shown = [&copy.data["spec"]["size"], &copy.data["spec"]["fqdn"]];
    assert_eq!(shown, [&Value::from(101), &Value::from("set.example.com")]);
    // Others come and go while it is awaited, and its operator says this and that.
    world.place("marker", first).await?;
    for says in ["Unknown", "Provisioning", "Degraded"] {
        world.operators[1].behave(Manner { says: Some(says), ..Manner::signing() });
        until(&second.widgets(), &world.pair.copy_name("order"), says, |it| it.data["status"]["status"] == says).await;
    }
    world.operators[1].behave(Manner::signing());
    world.arrived("order", second).await;
    world.quiet("other").await?;
    let name = world.pair.copy_name("order");
    let writes = world.pair.writes(&second.cluster, before, |event| event.name == name).await?;
    assert_eq!(writes.len(), 1, "a write war: {writes:#?}");

    // And back: the old copy, which is not as it was asked for, stays as it is until it goes.
    world.send("order", first).await?;
    world.arrived("order", first).await;
    world.judge(&witness, &broker, &Terms::default()).await?;
    Ok(())
}
