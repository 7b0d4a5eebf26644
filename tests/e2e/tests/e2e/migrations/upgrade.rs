//! What an earlier release left, in every state that it knew, is gone on with: nothing is lost, and nothing is made twice.
//!
//! The earlier release is the program that `RESOURCE_BROKER_EARLIER_BIN` names; `make test-upgrade` builds it from its commit. The
//! test does nothing where none is named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use resource_broker_api::keys;
use resource_broker_harness::{TestResult, eventually};
use serde_json::json;

use super::stand::Stand;
use super::voyage::{self, Point};
use crate::moves::world::World;
use crate::operator::{Hold, Manner};
use crate::pair::{PATIENCE, until};

/// Objects that are where they belong.
const SETTLED: [&str; 3] = ["settled-a", "settled-b", "settled-c"];
/// One that is changed while no broker runs.
const EDITED: &str = "edited";
/// One that is deleted while no broker runs.
const DELETED: &str = "deleted";
/// One that is being deleted, and whose provider does not let go of it.
const LEAVING: &str = "leaving";
/// One that nobody takes.
const REFUSED: &str = "refused";

/// The copies at both providers that are not being deleted, by name.
async fn copies(stand: &Stand) -> Result<BTreeMap<String, DynamicObject>> {
    let mut copies = BTreeMap::new();
    for side in [stand.world.first(), stand.world.second()] {
        for copy in side.widgets().list(&ListParams::default()).await? {
            if copy.metadata.deletion_timestamp.is_none() {
                copies.insert(format!("{} {}", side.id, copy.name_any()), copy);
            }
        }
    }
    Ok(copies)
}

#[tokio::test]
async fn what_an_earlier_release_left_is_gone_on_with() -> TestResult {
    let Some(earlier) = std::env::var_os("RESOURCE_BROKER_EARLIER_BIN").map(PathBuf::from) else {
        println!("skipped: no earlier release is named by RESOURCE_BROKER_EARLIER_BIN; make test-upgrade builds one");
        return Ok(());
    };
    let world = World::new("upgrade").await?;
    let mut stand = Stand::on(world, |broker| broker.program(&earlier)).await?;
    let (pair, first) = (&stand.world.pair, stand.world.first());
    for name in SETTLED.iter().chain(&[EDITED, DELETED]) {
        stand.world.place(name, first).await?;
    }
    stand.world.operators[0].treat(&pair.copy_name(LEAVING), Manner { holds: Hold::ForEver, ..Manner::signing() });
    stand.world.place(LEAVING, first).await?;
    pair.consumer.delete(LEAVING).await?;
    let ends = |it: &DynamicObject| it.metadata.deletion_timestamp.is_some();
    until(&first.widgets(), &pair.copy_name(LEAVING), "to be ending", ends).await;
    pair.consumer.create(REFUSED, &json!({"engine": "nobody"})).await?;
    until(&pair.consumer.widgets(), REFUSED, "to be refused", |it| it.data["status"].is_object()).await;
    voyage::embark(&stand).await?;
    let records = pair.records.list(&ListParams::default()).await?.items;
    assert!(records.iter().all(|it| it.spec.consumer.token.is_none()), "no earlier release: its records have tokens");

    stand.broker.kill9()?;
    pair.consumer.edit(EDITED, &json!({"spec": {"size": 2}})).await?;
    pair.consumer.delete(DELETED).await?;
    let before = copies(&stand).await?;
    stand.broker.upgrade().await?;

    voyage::as_before(&stand).await?;
    let (pair, first) = (&stand.world.pair, stand.world.first());
    stand.world.vanished(DELETED).await;
    until(&first.widgets(), &pair.copy_name(EDITED), "the change", |it| it.data["spec"]["size"] == 2).await;
    for name in SETTLED.iter().chain(&[EDITED]) {
        stand.world.arrived(name, first).await;
        let order = until(&pair.consumer.widgets(), name, "to be this release's", |it| {
            it.annotations().contains_key(keys::TOKEN) && it.annotations().contains_key(keys::SERVED_BY)
        })
        .await;
        let secret = pair.consumer.api::<Secret>().get(&crate::operator::secret_of(name)).await?;
        assert!(
            secret.metadata.owner_references.iter().flatten().any(|it| Some(&it.uid) == order.uid().as_ref()),
            "{name}"
        );
    }
    // What is on its way out is marked with nothing more.
    let leaving = pair.record_name(LEAVING);
    eventually("all other records to have a token", PATIENCE, || async {
        let records = pair.records.list(&ListParams::default()).await?.items;
        let without = records.iter().filter(|it| it.spec.consumer.token.is_none()).map(kube::ResourceExt::name_any);
        let without: Vec<String> = without.filter(|name| *name != leaving).collect();
        ensure!(without.is_empty(), "{without:?}");
        Ok(())
    })
    .await;
    let gone = format!("{} {}", first.id, pair.copy_name(DELETED));
    let after = copies(&stand).await?;
    for (name, copy) in before.iter().filter(|(name, _)| **name != gone) {
        assert!(after.get(name).and_then(kube::ResourceExt::uid) == copy.uid(), "{name} is another object, or gone");
    }
    assert!(after.len() == before.len() - 1, "{:?} are not {:?}", after.keys(), before.keys());

    stand.world.operators[0].treat(&pair.copy_name(LEAVING), Manner::signing());
    stand.world.vanished(LEAVING).await;
    stand.world.send(REFUSED, first).await?;
    stand.world.arrived(REFUSED, first).await;
    voyage::land(&stand).await?;
    for point in Point::ALL {
        stand.world.arrived(point.object(), stand.world.second()).await;
    }
    stand.judge().await?;
    Ok(())
}
