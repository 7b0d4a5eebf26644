//! Related resources in compute: they follow those at the providers, and those of two tenants never mix.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_api::{Assignment, keys};
use resource_broker_harness::{TestResult, eventually};
use serde_json::json;

use super::stand::{Stand, stage, state_of, status_of, texts};
use crate::moves::witness::COMPUTE;
use crate::operator::{Manner, Operator, secret_of};
use crate::pair::{PATIENCE, gone, until};

#[tokio::test]
async fn they_follow_and_go() -> TestResult {
    let stand = Stand::new("mirrors-follow").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({"progress": true})), stage("check", &json!({}))])).await?;
    stand.world.place("order", first).await?;
    let copy = stand.world.pair.copy_name("order");
    stand.world.send("order", second).await?;
    stand.stage("order", "copy", StageState::Running).await;
    let secrets = stand.compute::<Secret>();
    for (number, (prefix, side)) in [("from", first), ("to", second)].into_iter().enumerate() {
        let name = format!("{prefix}-{}", secret_of(&copy));
        until(&secrets, &name, "to be there", |_| true).await;
        stand.world.operators[number].rotate(&copy, 7);
        let mirror =
            until(&secrets, &name, "to follow", |it| texts(it).get("rotation").is_some_and(|it| it == "7")).await;
        assert_eq!(texts(&mirror), texts(&side.api::<Secret>().get(&secret_of(&copy)).await?));
    }
    // In the other stage they are still there, and still follow.
    stand.done("order").await?;
    stand.stage("order", "check", StageState::Running).await;
    stand.world.operators[0].rotate(&copy, 8);
    until(&secrets, &format!("from-{}", secret_of(&copy)), "to follow", |it| {
        texts(it).get("rotation").is_some_and(|it| it == "8")
    })
    .await;
    stand.done("order").await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_new_provider_still_has_to_make_is_waited_for() -> TestResult {
    let stand = Stand::new("mirrors-late").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.place("order", first).await?;
    stand.world.operators[1].behave(Manner { provides: false, ..Manner::signing() });
    stand.world.send("order", second).await?;
    let secret = secret_of(&stand.world.pair.copy_name("order"));
    stand.tells("order", reason::STAGE_WAITING, &secret).await;
    stand.serves_on("order", "marker").await?;
    assert_eq!(state_of(&stand.migration("order").await?), MigrationState::Pending);
    stand.world.operators[1].behave(Manner::signing());
    stand.done("order").await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

/// Two tenants whose objects, copies and Secrets are called the same, each in a namespace of its own.
#[tokio::test]
async fn of_two_with_the_same_names_one_waits_for_the_other() -> TestResult {
    const OTHER: &str = "mirrors-same-b";
    let stand = Stand::new("mirrors-same").await?;
    let world = &stand.world;
    let (first, second) = (world.first(), world.second());
    world.pair.consumer.cluster.create_namespace(OTHER).await?;
    let consumer = world.pair.consumer.in_namespace(OTHER);
    let sides = [first, second].map(|side| side.in_namespace(OTHER));
    let _operators = sides.each_ref().map(|side| Operator::with(side, Manner::signing()));
    stand.configure(&json!([stage("copy", &json!({"progress": true})), stage("check", &json!({}))])).await?;
    let spec = |tenant: &str| json!({"size": 1, "engine": first.id.name, "tenant": tenant});
    world.pair.consumer.create("order", &spec("tenant-a")).await?;
    consumer.create("order", &spec("tenant-b")).await?;
    for orders in [world.pair.consumer.widgets(), consumer.widgets()] {
        until(&orders, "order", "to be well", crate::pair::is_well).await;
    }
    world.send("order", second).await?;
    let winner: ConfigMap = stand.deployed("order", "work").await;
    let other = record_of(&stand, OTHER).await?;
    consumer.edit("order", &json!({"spec": {"engine": second.id.name}})).await?;
    let migrations = world.migrations();
    let id = stand.id("order").await;
    until(&migrations, &other, "to wait for the other one", |it| {
        super::stand::condition(it, "Progressing")
            .is_some_and(|it| it.message.contains(&format!("in use by migration {id}")))
    })
    .await;
    stand.serves_on("order", "marker").await?;
    assert_eq!(state_of(&migrations.get(&other).await?), MigrationState::Pending);

    stand.finish(&winner).await?;
    stand.stage("order", "check", StageState::Running).await;
    stand.done("order").await?;
    stand.reaches("order", MigrationState::CutoverCompleted).await;
    // Now it is the other one's turn.
    for stage in ["copy", "check"] {
        eventually(&format!("the other one's {stage}"), PATIENCE, || async {
            let id = status_of(&migrations.get(&other).await?).id.context("no id")?;
            let map = stand.compute::<ConfigMap>().get(&format!("{id}-work")).await?;
            anyhow::ensure!(
                map.labels().get(keys::MIGRATION_STAGE).is_some_and(|it| it == stage),
                "{:?}",
                map.labels()
            );
            stand.finish(&map).await
        })
        .await;
    }
    until(&migrations, &other, "to be complete", |it| state_of(it) == MigrationState::CutoverCompleted).await;
    stand.is_clean().await;

    // Whatever a mirror ever held was of the tenant whose migration it was marked with, and so is what each of them has now.
    let ids = [
        (stand.id("order").await, "tenant-a"),
        (status_of(&migrations.get(&other).await?).id.unwrap_or_default(), "tenant-b"),
    ];
    let chronicle = stand.witness.chronicle().await;
    let mut seen = 0;
    for sight in chronicle.sights.iter().filter(|sight| sight.cluster == COMPUTE && sight.kind == "Secret") {
        let secret: Secret = serde_json::from_value(serde_json::to_value(&sight.object)?)?;
        let id = secret.labels().get(keys::MIGRATION_ID).context("a Secret of nobody")?;
        let tenant = ids.iter().find(|(it, _)| it == id).context("a Secret of another migration")?.1;
        assert_eq!(texts(&secret).get("tenant"), Some(&format!("{tenant:?}")), "{sight}");
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} Secrets were seen");
    for (secrets, tenant) in [(world.pair.consumer.api::<Secret>(), "tenant-a"), (consumer.api(), "tenant-b")] {
        let secret = secrets.get(&secret_of("order")).await?;
        assert_eq!(texts(&secret).get("tenant"), Some(&format!("{tenant:?}")));
    }
    for orders in [world.pair.consumer.widgets(), consumer.widgets()] {
        orders.delete("order", &DeleteParams::default()).await?;
        gone(&orders, "order").await;
    }
    Ok(())
}

/// What the record of the other namespace's object is called.
async fn record_of(stand: &Stand, namespace: &str) -> Result<String> {
    let records: Api<Assignment> = stand.world.pair.records.clone();
    let all = records.list(&ListParams::default()).await?.items;
    let found = all.iter().find(|it| it.spec.consumer.namespace.as_deref() == Some(namespace));
    found.map(kube::ResourceExt::name_any).context("the other object has no record")
}

#[tokio::test]
async fn one_whose_source_goes_is_waited_for() -> TestResult {
    let stand = Stand::new("mirrors-gone").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({"approval": "required"}))])).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    stand.stage("order", "copy", StageState::AwaitingApproval).await;
    let secret = secret_of(&stand.world.pair.copy_name("order"));
    second.api::<Secret>().delete(&secret, &DeleteParams::default()).await?;
    stand.serves_on("order", "marker").await?;
    stand.order("order", keys::MIGRATION_APPROVE, "copy").await?;
    stand.done("order").await?;
    // Everything else is ready: the consumer must not be without its Secret.
    until(&stand.world.pair.consumer.widgets(), "order", "what is awaited", |it| {
        crate::pair::message(it, "Synced").contains(&secret)
    })
    .await;
    assert_eq!(stand.world.record("order").await?.spec.provider.cluster, first.id.to_string());
    stand.world.operators[1].rotate(&stand.world.pair.copy_name("order"), 3);
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}
