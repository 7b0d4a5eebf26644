//! How single stages go: approval, time, attempts, failure, and expressions that do not work out.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use resource_broker_api::broker::StageState;
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::TestResult;
use serde_json::json;

use super::stand::{Stand, condition, job, job_failed, job_succeeded, stage, stage_of};
use super::voyage::Crew;
use crate::pair::{condition as said_by, is};

#[tokio::test]
async fn approval_is_of_the_stage_that_waits_and_of_no_other() -> TestResult {
    let stand = Stand::new("stages-approval").await?;
    let stages = json!([
        stage("one", &json!({"approval": "required"})),
        stage("two", &json!({"approval": "required", "timeout": "1h"})),
    ]);
    stand.configure(&stages).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let told = stand.tells("order", reason::AWAITING_APPROVAL, "migrate approve").await;
    assert!(told.contains("stage one") && told.contains(keys::MIGRATION_APPROVE), "{told}");
    let waiting = stand.stage("order", "one", StageState::AwaitingApproval).await;
    assert!(waiting.started_at.is_none() && waiting.resources.is_empty(), "{waiting:?}");

    // What is said of another stage is not for this one.
    for wrong in ["two", "on", "ONE", ""] {
        stand.order("order", keys::MIGRATION_APPROVE, wrong).await?;
        stand.tells("order", reason::AWAITING_APPROVAL, &format!("what was approved is {wrong:?}")).await;
    }
    stand.serves_on("order", "marker").await?;
    stand.stage("order", "one", StageState::AwaitingApproval).await;
    stand.migrate("approve", "order", &["--stage=two"]).await?.is_refused(&["stage one waits for approval, not two"]);

    stand.order("order", keys::MIGRATION_APPROVE, "one").await?;
    // Its time counts from here.
    assert!(stand.stage("order", "one", StageState::Running).await.started_at.is_some());
    stand.done("order").await?;
    // The approval of one says nothing about two.
    stand.stage("order", "two", StageState::AwaitingApproval).await;
    let answer = stand.migrate("approve", "order", &["--stage=two", "--wait", "--timeout=1m"]).await?;
    answer.is_done("is approved");
    stand.migrate("approve", "order", &[]).await?.is_refused(&["no stage waits for approval"]);
    stand.done("order").await?;
    stand.migrated("order").await;
    stand.migrate("approve", "order", &[]).await?.is_refused(&["the object is at its new provider"]);
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_stage_that_takes_too_long_is_tried_again_and_then_fails() -> TestResult {
    let stand = Stand::new("stages-timeout").await?;
    let stages = json!([stage("slow", &json!({"timeout": "5s", "retries": 1, "progress": true}))]);
    stand.configure(&stages).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let told = stand.fails("order", reason::STAGE_TIMED_OUT).await;
    assert!(
        told.contains("stage slow failed at attempt 2") && told.contains("timeout of 5 s; what it waited for last: "),
        "{told}"
    );
    let stage = stand.stage("order", "slow", StageState::Failed).await;
    assert_eq!(stage.attempt, 2);
    assert!(stage.message.is_some_and(|message| message.contains("timeout")));
    // What it deployed is there to be looked at, and the old provider serves.
    let left: ConfigMap = stand.deployed("order", "work").await;
    let order = stand.world.order("order").await?;
    assert!(is(&order, "Ready", "True"), "{}", said_by(&order, "Ready"));
    stand.serves_on("order", "marker").await?;
    for side in [stand.world.first(), stand.world.second()] {
        assert!(stand.world.copied("order", side).await.metadata.deletion_timestamp.is_none());
    }

    // Tried again, it has all its attempts again.
    stand.order("order", keys::MIGRATION_RETRY, "true").await?;
    stand.order_is_taken("order", keys::MIGRATION_RETRY).await;
    stand.until("order", "to begin again", |it| stage_of(it, "slow").is_some_and(|stage| stage.attempt == 1)).await;
    stand.stage("order", "slow", StageState::Running).await;
    let map: ConfigMap = stand.deployed("order", "work").await;
    assert_ne!(map.uid(), left.uid());
    let _crew = Crew::of(&stand);
    let migration = stand.migrated("order").await;
    assert_eq!(condition(&migration, "Failed").map(|it| it.status.as_str()), Some("False"));
    stand.is_clean().await;
    let chronicle = stand.judge().await?;

    // No attempt began before its predecessor had had its time.
    let migrations = chronicle.sights.iter().filter(|it| it.kind == "Migration");
    let mut attempts: Vec<(u64, i64)> = migrations
        .filter_map(|it| {
            let stage = &it.object.data["status"]["stages"][0];
            let started: Time = serde_json::from_value(stage["startedAt"].clone()).ok()?;
            Some((stage["attempt"].as_u64()?, started.0.as_second()))
        })
        .collect();
    attempts.dedup_by_key(|(attempt, _)| *attempt);
    for pair in attempts.windows(2).take(1) {
        assert!(pair[1].1 - pair[0].1 >= 5, "an attempt began too early: {attempts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stage_whose_job_fails_is_tried_again_with_a_new_one() -> TestResult {
    let stand = Stand::new("stages-failing").await?;
    let mut copy = json!({"name": "copy", "retries": 1, "templates": {"task": job()}});
    copy["templates"]["task"]["spec"]["parallelism"] = "${from.spec.replicas}".into();
    stand.configure(&json!([copy])).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let first: Job = stand.deployed("order", "task").await;
    stand.report("order", "task", &job_failed("no space left")).await?;
    stand
        .until("order", "to make a second attempt", |it| {
            stage_of(it, "copy").is_some_and(|stage| stage.attempt == 2 && stage.state == StageState::Running)
        })
        .await;
    let second: Job = stand.deployed("order", "task").await;
    assert_ne!(first.uid(), second.uid());
    assert_eq!(second.spec.and_then(|spec| spec.parallelism), Some(1));
    stand.report("order", "task", &job_failed("still none")).await?;
    let told = stand.fails("order", reason::STAGE_FAILED).await;
    assert!(told.contains("stage copy failed at attempt 2") && told.contains("still none"), "{told}");
    stand.event("order", reason::STAGE_FAILED).await;
    stand.migrate("retry", "order", &["--wait"]).await?.is_done("is tried again");
    stand
        .until("order", "to run again", |it| {
            stage_of(it, "copy").is_some_and(|stage| stage.attempt == 1 && stage.state == StageState::Running)
        })
        .await;
    stand.report("order", "task", &job_succeeded()).await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn an_expression_that_does_not_work_out_holds_the_migration_until_it_is_mended() -> TestResult {
    let stand = Stand::new("stages-cel").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.world.place("order", first).await?;
    let good = stage("copy", &json!({}));
    let bad = |field: &str, value: serde_json::Value| {
        let mut stage = good.clone();
        stage[field] = value;
        json!([stage])
    };
    let with = |text: &str| {
        let mut stages = json!([good]);
        stages[0]["templates"]["work"]["data"]["sum"] = text.into();
        stages
    };
    // Wrong only with the objects at hand.
    stand.configure(&bad("preconditions", json!(["from.spec.size + from.spec.engine == 'x'"]))).await?;
    stand.world.send("order", second).await?;
    let cases = [
        (
            bad("preconditions", json!(["from.spec.size + from.spec.engine == 'x'"])),
            "from.spec.size + from.spec.engine",
        ),
        (bad("preconditions", json!(["from.spec.engine"])), "from.spec.engine"),
        (with("${from.spec.nested.nothing}"), "from.spec.nested"),
        (with("${1 / (from.spec.size - from.spec.size)}"), "from.spec.size - from.spec.size"),
    ];
    for (stages, part) in cases {
        stand.configure(&stages).await?;
        let told = stand.tells("order", reason::BLOCKED, part).await;
        assert!(told.contains("copy"), "no stage in {told}");
        stand.until("order", "to stay", |it| it.status.as_ref().is_some_and(|it| it.stages.len() == 1)).await;
    }
    stand.serves_on("order", "marker").await?;
    assert_eq!(stand.stage("order", "copy", StageState::Waiting).await.resources, []);
    stand.event("order", reason::BLOCKED).await;

    // One that fails when something is deployed already.
    stand.configure(&bad("successConditions", json!(["work.data.done + 1 == 2"]))).await?;
    stand.tells("order", reason::BLOCKED, "work.data.done + 1 == 2").await;
    stand.configure(&bad("successConditions", json!(["work.data.done"]))).await?;
    stand.tells("order", reason::BLOCKED, "`work.data.done`").await;
    stand.configure(&json!([good])).await?;
    stand.done("order").await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

/// As a TTL, a person or a controller does it, while no broker looks.
#[tokio::test]
async fn a_job_that_ended_and_was_deleted_while_no_broker_ran_is_not_run_again() -> TestResult {
    let mut stand = Stand::new("stages-ttl").await?;
    let stages = json!([
        {"name": "copy", "retries": 2, "templates": {"task": job()}},
        {"name": "check", "templates": {"task": job()}},
    ]);
    stand.configure(&stages).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let first: Job = stand.deployed("order", "task").await;
    stand
        .until("order", "to know its Job", |it| {
            stage_of(it, "copy").is_some_and(|stage| stage.resources.iter().any(|it| it.uid == first.uid()))
        })
        .await;
    let jobs = stand.compute::<Job>();
    stand.broker.kill9()?;
    stand.report("order", "task", &job_succeeded()).await?;
    jobs.delete(&first.name_any(), &DeleteParams::background()).await?;
    assert_eq!(jobs.get(&first.name_any()).await?.uid(), first.uid(), "its end is still to be read");
    stand.broker.restart().await?;
    let copied = stand.stage("order", "copy", StageState::Succeeded).await;
    assert_eq!(copied.attempt, 1);

    // By force, while nobody looks: whether it did its work cannot be known.
    let checks = stand
        .until("order", "to check", |it| {
            stage_of(it, "check").is_some_and(|stage| stage.resources.iter().any(|it| it.uid.is_some()))
        })
        .await;
    let second = stage_of(&checks, "check").and_then(|stage| stage.resources[0].uid.clone());
    stand.broker.kill9()?;
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    jobs.patch(&first.name_any(), &PatchParams::default(), &release).await?;
    jobs.delete(&first.name_any(), &DeleteParams::background()).await?;
    stand.broker.restart().await?;
    let told = stand.fails("order", reason::STAGE_RESOURCE_LOST).await;
    assert!(told.contains(&first.name_any()) && told.contains("migrate retry"), "{told}");
    stand.serves_on("order", "marker").await?;
    assert!(jobs.get_opt(&first.name_any()).await?.is_none(), "nothing is run again by itself");
    stand.migrate("retry", "order", &["--wait"]).await?.is_done("is tried again");
    let third: Job = stand.deployed("order", "task").await;
    assert!(third.uid() != second && third.uid() != first.uid());
    stand.report("order", "task", &job_succeeded()).await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}
