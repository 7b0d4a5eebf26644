//! Whose an object is: a cluster that is consumer and provider, brokers in a chain, two brokers for one kind, objects that come back
//! under their names, and policies that take a broker's marks away.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use resource_broker_api::names::{ClusterName, Role, assignment_name, copy_name};
use resource_broker_api::{Assignment, keys};
use resource_broker_harness::{AuditEvent, Broker, Planes, TestResult, eventually};
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, fails, gone, is, message, recorded, until};
use crate::policy::{Writes, at_work};

/// The names of all objects of the test's kind in its namespace.
async fn names(widgets: &Api<DynamicObject>) -> Result<Vec<String>> {
    let mut names: Vec<String> =
        widgets.list(&ListParams::default()).await?.iter().map(kube::ResourceExt::name_any).collect();
    names.sort();
    Ok(names)
}

/// The finalizers of an object, in order.
fn held(object: &DynamicObject) -> Vec<&str> {
    let mut held: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
    held.sort_unstable();
    held
}

#[tokio::test]
async fn one_cluster_in_both_roles_has_one_copy_of_each_order() -> TestResult {
    let pair = Pair::bare("whose-roles", "provider", "provider").await?;
    pair.kind.install(&pair.provider.cluster).await?;
    let mut broker = pair.start().await?;
    let copy = pair.placed("web", &json!({"size": 3})).await?;
    pair.provider.report(&copy.name_any(), &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "web", "to be ready", |it| is(it, "Ready", "True")).await;
    // Somebody orders with a manifest that was taken from a copy.
    let pasted = json!({
        "apiVersion": pair.kind.api_version(), "kind": "Widget",
        "metadata": {"name": "pasted", "annotations": copy.annotations()},
        "spec": {"size": 5},
    });
    pair.consumer.widgets().create(&PostParams::default(), &serde_json::from_value(pasted)?).await?;
    pair.copy("pasted").await;
    broker.kill9()?;
    broker.restart().await?;
    pair.marker().await?;

    let mut expected: Vec<String> =
        ["web", "pasted", "marker-0"].iter().flat_map(|name| [(*name).to_owned(), pair.copy_name(name)]).collect();
    expected.sort();
    assert_eq!(names(&pair.consumer.widgets()).await?, expected);
    assert_eq!(pair.records.list(&ListParams::default()).await?.items.len(), 3, "records");
    for name in ["web".to_owned(), pair.copy_name("web")] {
        let there = pair.consumer.widgets().get(&name).await?;
        assert_eq!(there.data["spec"]["size"], 3, "{name}");
    }
    for name in ["web", "pasted", "marker-0"] {
        pair.consumer.delete(name).await?;
    }
    eventually("nothing to be left", PATIENCE, || async {
        let left = names(&pair.consumer.widgets()).await?;
        let records = pair.records.list(&ListParams::default()).await?.items.len();
        ensure!(left.is_empty() && records == 0, "{left:?} and {records} records");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn two_brokers_in_a_chain_keep_what_each_of_them_wrote() -> TestResult {
    const SECOND: &str = "whose-chain-second";
    // The first broker's provider is the second one's consumer.
    let pair = Pair::bare("whose-chain", "consumer", "provider-b").await?;
    let last = pair.further_provider("provider").await?;
    for side in [&pair.consumer, &pair.provider] {
        pair.kind.install(&side.cluster).await?;
    }
    pair.coordination.create_namespace(SECOND).await?;
    let records: Api<Assignment> = Api::namespaced(pair.coordination.client().await?, SECOND);
    let between = ClusterName::new(Role::Consumer, pair.provider.cluster.name());
    let admin = &["system:masters"];
    let second = Broker::builder(Planes::shared().await, SECOND)
        .coordination(&pair.coordination.kubeconfig_as(SECOND, admin)?)
        .namespace(SECOND)
        .watch_kind(&pair.kind.watch_kind())
        .consumer(&between.name, &pair.provider.cluster.kubeconfig_as(SECOND, admin)?)
        .provider(&last.id.name, &last.cluster.kubeconfig_as(SECOND, admin)?);
    last.offer(pair.name, &json!([])).await?;
    let mut first = pair.start().await?;

    // A copy that is in use before the second broker comes.
    let middle = pair.placed("web", &json!({"size": 3})).await?;
    pair.provider.report(&middle.name_any(), &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "web", "to be ready", |it| is(it, "Ready", "True")).await;
    let second = second.start().await?;
    let end = copy_name(&between, &middle.name_any());
    let copy = until(&last.widgets(), &end, "the second copy", |it| it.data["spec"]["size"] == 3).await;
    last.report(&end, &json!({"status": "Available"})).await?;
    // Another one that both have from the start.
    pair.consumer.create("late", &json!({"size": 4})).await?;
    let late = copy_name(&between, &pair.copy_name("late"));
    until(&last.widgets(), &late, "its second copy", |it| it.data["spec"]["size"] == 4).await;

    // A change goes through both, also after the first broker has looked at its copy anew.
    pair.consumer.edit("web", &json!({"spec": {"size": 7}})).await?;
    until(&last.widgets(), &end, "the change", |it| it.data["spec"]["size"] == 7).await;
    first.kill9()?;
    first.restart().await?;
    pair.consumer.edit("web", &json!({"spec": {"size": 8}})).await?;
    let now = until(&last.widgets(), &end, "the next change", |it| it.data["spec"]["size"] == 8).await;
    assert_eq!(now.uid(), copy.uid());
    let middle_now = pair.provider.widgets().get(&middle.name_any()).await?;
    assert_eq!((middle_now.uid(), &middle_now.data["spec"]["size"]), (middle.uid(), &json!(8)));
    for mark in [keys::CONSUMER_CLUSTER, keys::BROKER, keys::PROVIDER_CLUSTER, keys::SERVED_BY, keys::TOKEN] {
        assert!(middle_now.annotations().contains_key(mark), "{mark} is not there: {:?}", middle_now.annotations());
    }
    let finalizers = held(&middle_now);
    assert!(finalizers.len() == 2 && finalizers[0] == keys::GENERIC_FINALIZER, "{finalizers:?}");

    for name in ["web", "late"] {
        pair.consumer.delete(name).await?;
    }
    eventually("nothing to be left", PATIENCE, || async {
        let left = [
            names(&pair.consumer.widgets()).await?,
            names(&pair.provider.widgets()).await?,
            names(&last.widgets()).await?,
        ];
        let both = [&pair.records, &records];
        for records in both {
            let records = records.list(&ListParams::default()).await?.items;
            ensure!(records.is_empty(), "{records:?}");
        }
        ensure!(left.iter().all(Vec::is_empty), "{left:?}");
        Ok(())
    })
    .await;
    drop((first, second));
    Ok(())
}

#[tokio::test]
async fn of_two_brokers_for_one_kind_each_order_has_one() -> TestResult {
    const ORDERS: usize = 20;
    const SECOND: &str = "whose-rivals-second";
    let pair = Pair::new("whose-rivals").await?;
    pair.coordination.create_namespace(SECOND).await?;
    let records: Api<Assignment> = Api::namespaced(pair.coordination.client().await?, SECOND);
    let admin = &["system:masters"];
    let rival = Broker::builder(Planes::shared().await, SECOND)
        .coordination(&pair.coordination.kubeconfig_as(SECOND, admin)?)
        .namespace(SECOND)
        .watch_kind(&pair.kind.watch_kind())
        .consumer(&pair.consumer.id.name, &pair.consumer.cluster.kubeconfig_as(SECOND, admin)?)
        .provider(&pair.provider.id.name, &pair.provider.cluster.kubeconfig_as(SECOND, admin)?)
        .start()
        .await?;
    let own = pair.start().await?;
    for number in 0..ORDERS {
        pair.consumer.create(&format!("order-{number}"), &json!({"size": number})).await?;
    }
    let copies = pair.provider.widgets();
    let servers = eventually("each order to have one broker", PATIENCE, || async {
        let mut servers = BTreeMap::<String, usize>::new();
        for number in 0..ORDERS {
            let name = format!("order-{number}");
            let order = pair.consumer.widgets().get(&name).await?;
            let Some(server) = order.annotations().get(keys::SERVED_BY) else { anyhow::bail!("{name} has none") };
            let copy = copies.get(&pair.copy_name(&name)).await?;
            ensure!(
                copy.annotations().get(keys::BROKER) == Some(server),
                "{name} of {server}: {:?}",
                copy.annotations()
            );
            *servers.entry(server.clone()).or_default() += 1;
        }
        let ours = pair.records.list(&ListParams::default()).await?.items.len();
        let theirs = records.list(&ListParams::default()).await?.items.len();
        ensure!(ours + theirs == ORDERS, "{ours} and {theirs} records");
        Ok(servers)
    })
    .await;
    println!("{servers:?}");
    // Whoever lost an order says so, once for all of them.
    let told = [own.logs()?, rival.logs()?].concat();
    assert!(told.matches("another broker serves this object").count() <= 2, "it is told again and again");
    let ready = [own.readyz_verbose().await?, rival.readyz_verbose().await?].concat();
    assert!(ready.contains("of broker"), "{ready}");
    for number in 0..ORDERS {
        pair.consumer.delete(&format!("order-{number}")).await?;
    }
    eventually("nothing to be left", PATIENCE, || async {
        let left = [names(&pair.consumer.widgets()).await?, names(&copies).await?];
        ensure!(left.iter().all(Vec::is_empty), "{left:?}");
        Ok(())
    })
    .await;
    Ok(())
}

/// Tears an object away as a restored backup does, and makes it anew with these annotations.
async fn come_back(pair: &Pair, name: &str, annotations: &BTreeMap<String, String>) -> Result<()> {
    let widgets = pair.consumer.widgets();
    let before = widgets.get(name).await?;
    pair.consumer.edit(name, &json!({"metadata": {"finalizers": null}})).await?;
    widgets.delete(name, &DeleteParams::default()).await?;
    gone(&widgets, name).await;
    let again = json!({
        "apiVersion": pair.kind.api_version(), "kind": "Widget",
        "metadata": {"name": name, "annotations": annotations}, "spec": before.data["spec"],
    });
    widgets.create(&PostParams::default(), &serde_json::from_value(again)?).await?;
    Ok(())
}

#[tokio::test]
async fn orders_that_come_back_with_other_uids_keep_their_copies() -> TestResult {
    const ORDERS: usize = 30;
    let pair = Pair::new("whose-restore").await?;
    let mut broker = pair.start().await?;
    let name = |number: usize| format!("order-{number:02}");
    let mut uids = Vec::new();
    for number in 0..ORDERS {
        uids.push(pair.placed(&name(number), &json!({"size": number})).await?.uid());
        pair.provider.report(&pair.copy_name(&name(number)), &json!({"status": "Available"})).await?;
    }
    for number in 0..ORDERS {
        until(&pair.consumer.widgets(), &name(number), "to be ready", |it| is(it, "Ready", "True")).await;
        until(&pair.records, &pair.record_name(&name(number)), "the copy's UID", |record| {
            record.status.as_ref().is_some_and(|status| status.copy.is_some())
        })
        .await;
    }
    broker.kill9()?;
    // The first half comes with all that was on it, the other as Git has it.
    for number in 0..ORDERS {
        let before = pair.consumer.widgets().get(&name(number)).await?;
        let annotations = if number % 2 == 0 { before.annotations().clone() } else { BTreeMap::new() };
        come_back(&pair, &name(number), &annotations).await?;
    }
    let position = pair.provider.cluster.audit_position().await?;
    broker.restart().await?;
    for number in 0..ORDERS {
        let widgets = pair.consumer.widgets();
        if number % 2 == 0 {
            until(&widgets, &name(number), "to be ready again", |it| is(it, "Ready", "True")).await;
        } else {
            let it = until(&widgets, &name(number), "Recreated", |it| fails(it, "Synced", "Recreated")).await;
            for command in ["=take-over", "=start-anew"] {
                let command = format!(
                    "kubectl annotate assignment {} -n {} {}{command}",
                    pair.record_name(&name(number)),
                    pair.name,
                    keys::RECREATED
                );
                assert!(message(&it, "Synced").contains(&command), "{}", message(&it, "Synced"));
            }
            assert!(it.data["status"]["status"].is_null(), "it is given nothing: {}", it.data["status"]);
        }
    }
    let copies = pair.provider.widgets();
    for (number, uid) in uids.iter().enumerate() {
        let copy = copies.get(&pair.copy_name(&name(number))).await?;
        assert_eq!((&copy.uid(), copy.metadata.deletion_timestamp), (uid, None), "{number}");
    }
    let deletes = pair.writes(&pair.provider.cluster, position, |event: &AuditEvent| event.verb == "delete").await?;
    assert!(deletes.is_empty(), "{deletes:?}");

    // An administrator decides.
    let decide = async |number: usize, decision: &str| -> Result<()> {
        let change = json!({"metadata": {"annotations": {keys::RECREATED: decision}}});
        let record = pair.record_name(&name(number));
        pair.records.patch(&record, &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    };
    decide(1, "take-over").await?;
    until(&pair.consumer.widgets(), &name(1), "to be ready again", |it| is(it, "Ready", "True")).await;
    assert_eq!(copies.get(&pair.copy_name(&name(1))).await?.uid(), uids[1]);
    let record = pair.records.get(&pair.record_name(&name(1))).await?;
    assert!(!record.annotations().contains_key(keys::RECREATED), "it is taken off");
    decide(3, "start-anew").await?;
    let fresh = until(&copies, &pair.copy_name(&name(3)), "another copy", |it| it.uid() != uids[3]).await;
    assert!(fresh.data["status"].is_null());
    until(&pair.records, &pair.record_name(&name(3)), "another record", |record| {
        recorded(record, "Synced").is_none_or(|(_, reason)| reason != "Recreated")
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_policy_that_strips_annotations_makes_nobody_elses_copy_of_it() -> TestResult {
    let pair = Pair::new("whose-policy").await?;
    pair.provider.cluster.create_namespace(pair.name).await?;
    let writes = Writes {
        name: "whose-policy",
        namespace: pair.name,
        group: pair.kind.group(),
        resource: "widgets",
        operations: &["CREATE", "UPDATE"],
    };
    writes.strip_annotations(&pair.provider.cluster).await?;
    let mut probe = pair.kind.object(pair.name, "probe", &json!({}));
    probe.metadata.annotations = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    at_work(&pair.provider.widgets(), &probe, |made| made.as_ref().is_ok_and(|made| made.annotations().is_empty()))
        .await;

    let mut broker = pair.start().await?;
    let copy = pair.placed("web", &json!({"size": 1})).await?;
    assert!(copy.annotations().is_empty(), "the policy is not at work");
    pair.provider.report(&copy.name_any(), &json!({"status": "Available"})).await?;
    let widgets = pair.consumer.widgets();
    until(&widgets, "web", "to be ready", |it| is(it, "Ready", "True") && is(it, "Synced", "True")).await;
    until(&pair.records, &pair.record_name("web"), "the copy's UID", |record| {
        record.status.as_ref().is_some_and(|status| status.copy.is_some())
    })
    .await;
    broker.kill9()?;
    // The record's status may be lost at any time.
    let none: Value = json!([{"op": "remove", "path": "/status"}]);
    let record = pair.record_name("web");
    let patch = Patch::<Value>::Json(serde_json::from_value(none)?);
    pair.records.patch_status(&record, &PatchParams::default(), &patch).await?;
    broker.restart().await?;
    pair.consumer.edit("web", &json!({"spec": {"size": 2}})).await?;
    let now = until(&pair.provider.widgets(), &copy.name_any(), "the change", |it| it.data["spec"]["size"] == 2).await;
    assert_eq!(now.uid(), copy.uid());
    pair.consumer.delete("web").await?;
    gone(&widgets, "web").await;
    gone(&pair.provider.widgets(), &copy.name_any()).await;
    gone(&pair.records, &assignment_name(&pair.consumer.id, pair.kind.group(), "Widget", Some(pair.name), "web")).await;
    Ok(())
}
