//! What people order of a migration, by annotation and by command: where it makes sense, and where it does not.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::TestResult;
use serde_json::{Value, json};

use super::stand::{Stand, has_failed, job, job_failed, job_succeeded, stage, state_of};
use super::voyage::Crew;
use crate::operator::{Hold, Manner};
use crate::pair::{PATIENCE, fails, until};

#[tokio::test]
async fn a_failed_migration_is_rolled_back_and_begun_anew_by_command() -> TestResult {
    let stand = Stand::new("orders-command").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([{"name": "copy", "templates": {"task": job()}}])).await?;
    stand.world.place("order", first).await?;
    stand.migrate("retry", "order", &[]).await?.is_refused(&["there is no Migration", "namespace orders-command"]);
    stand.world.send("order", second).await?;
    stand.stage("order", "copy", StageState::Running).await;
    stand.migrate("retry", "order", &[]).await?.is_refused(&["nothing has failed", "InitialInProgress"]);
    stand.migrate("approve", "order", &[]).await?.is_refused(&["no stage waits for approval"]);
    stand.report("order", "task", &job_failed("no space left")).await?;
    stand.fails("order", reason::STAGE_FAILED).await;
    stand.migrate("approve", "order", &[]).await?.is_refused(&["migrate retry", "no space left"]);

    let answer = stand.migrate("rollback", "order", &["--wait", "--output=json"]).await?;
    answer.is_done("\"carriedOut\": true");
    let said: Value = serde_json::from_str(&answer.output)?;
    assert_eq!((&said["order"], &said["state"]), (&json!("rollback"), &json!("Failed")));
    stand.stays("order", reason::ROLLED_BACK).await;
    stand.is_clean().await;
    stand.migrate("rollback", "order", &[]).await?.is_refused(&["rolled back already", "migrate retry"]);
    stand.migrate("approve", "order", &[]).await?.is_refused(&["no stage waits for approval"]);
    until(&stand.world.pair.consumer.widgets(), "order", "to say that it stays", |it| {
        fails(it, "Accepted", reason::MOVE_ROLLED_BACK)
    })
    .await;
    stand.serves_on("order", "marker").await?;

    let before = stand.migration("order").await?.uid();
    stand.migrate("retry", "order", &[]).await?.is_done("retry is ordered");
    stand.until("order", "to begin anew", |it| it.uid() != before).await;
    stand.stage("order", "copy", StageState::Running).await;
    stand.report("order", "task", &job_succeeded()).await?;
    stand.migrated("order").await;

    for order in ["retry", "rollback"] {
        stand.migrate(order, "order", &[]).await?.is_refused(&["no way back but a new move"]);
    }
    let answer = stand.command(&["rollback", "nobody", "--namespace=orders-command"]).await?;
    answer.is_refused(&["there is no Migration nobody", &stand.name("order"), "CutoverCompleted"]);
    for wrong in [&["rollback"][..], &["undo", "order"], &["retry", "order", "--timeout=5s"]] {
        assert_eq!(stand.command(wrong).await?.code, 2, "{wrong:?}");
    }
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn orders_that_make_no_sense_are_taken_off_and_do_nothing() -> TestResult {
    let stand = Stand::new("orders-senseless").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    let map: ConfigMap = stand.deployed("order", "work").await;
    stand.order("order", keys::MIGRATION_RETRY, "true").await?;
    stand.order_is_taken("order", keys::MIGRATION_RETRY).await;
    stand.stage("order", "copy", StageState::Running).await;
    assert_eq!(stand.deployed::<ConfigMap>("order", "work").await.uid(), map.uid(), "it was made anew");
    // One that says no is none.
    stand.order("order", keys::MIGRATION_ROLLBACK, "false").await?;
    stand.serves_on("order", "marker").await?;
    assert_eq!(state_of(&stand.migration("order").await?), MigrationState::InitialInProgress);

    stand.world.operators[0].behave(Manner { holds: Hold::UntilTidied, ..Manner::signing() });
    stand.finish(&map).await?;
    stand.migrated("order").await;
    for order in [keys::MIGRATION_ROLLBACK, keys::MIGRATION_RETRY] {
        stand.order("order", order, "true").await?;
        stand.order_is_taken("order", order).await;
    }
    let told = stand.event("order", reason::ORDER_REFUSED).await;
    assert!(told.contains("no way back but a new move"), "{told}");
    assert_eq!(state_of(&stand.migration("order").await?), MigrationState::CutoverCompleted);
    stand.world.arrived("order", second).await;

    // The new move is the way back.
    let _crew = Crew::of(&stand);
    stand.world.send("order", first).await?;
    stand.world.arrived("order", first).await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_after_the_hand_over_comes_too_late() -> TestResult {
    let stand = Stand::new("orders-late").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.world.operators[0].behave(Manner { holds: Hold::ForEver, ..Manner::signing() });
    stand.configure(&json!([])).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    // The old copy is still going.
    stand.reaches("order", MigrationState::CutoverCompleted).await;
    stand.migrate("rollback", "order", &["--wait"]).await?.is_refused(&["no way back but a new move"]);
    stand.order("order", keys::MIGRATION_ROLLBACK, "true").await?;
    stand.order_is_taken("order", keys::MIGRATION_ROLLBACK).await;
    stand.event("order", reason::ORDER_REFUSED).await;
    assert_eq!(stand.world.record("order").await?.spec.provider.cluster, second.id.to_string());
    stand.world.operators[0].behave(Manner { holds: Hold::UntilTidied, ..Manner::signing() });
    stand.migrated("order").await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_that_is_ordered_while_the_broker_is_down_is_carried_out() -> TestResult {
    let mut stand = Stand::new("orders-down").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({"progress": true})), stage("check", &json!({}))])).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    stand.done("order").await?;
    stand.reaches("order", MigrationState::InitialCompleted).await;
    stand.broker.kill9()?;
    let answer = stand.migrate("rollback", "order", &["--wait", "--timeout=1s"]).await?;
    answer.is_refused(&["not carried out within 1s", "Is the broker running?"]);
    stand.broker.restart().await?;
    stand.stays("order", reason::ROLLED_BACK).await;
    // The consumer has the old provider's Secret again.
    resource_broker_harness::eventually("the old provider to serve", PATIENCE, || async {
        let by = stand.world.served_by("order").await?;
        anyhow::ensure!(by.as_deref() == Some(first.id.name.as_str()), "it is {by:?}");
        anyhow::Ok(())
    })
    .await;
    stand.is_clean().await;
    assert!(has_failed(&stand.migration("order").await?, reason::ROLLED_BACK));
    stand.judge().await?;
    Ok(())
}
