//! MigrationConfigurations: what is wrong with one is said where it stands, and no move goes on by a wrong one.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_harness::{TestKind, TestResult};
use serde_json::json;

use super::stand::{Stand, stage, state_of, valid};
use super::voyage::Crew;
use crate::pair::until;

#[tokio::test]
async fn an_invalid_one_says_where_and_what_and_holds_its_moves() -> TestResult {
    let stand = Stand::new("configurations-invalid").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let mut wrong = stage(
        "copy",
        &json!({
            "preconditions": ["to.status.status = 'Available'"],
            "successConditions": ["wrok.data.done == 'yes'", "work.data.done =="],
            "timeout": "10s",
        }),
    );
    wrong["templates"]["work"]["data"]["text"] = "a ${form.spec.size} b".into();
    wrong["templates"]["from"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    stand.world.configure("stages", &json!([wrong, stage("copy", &json!({}))])).await?;
    let told = stand.judged("stages", "False", reason::INVALID_CONFIGURATION).await;
    for part in [
        "stage \"copy\", preconditions.0, `to.status.status = 'Available'`, column 18",
        "successConditions.0, `wrok.data.done == 'yes'`, column 1",
        "\"wrok\"",
        "there are from, to",
        "templates.from: ",
        "stage \"copy\", name: another stage",
        "successConditions.1",
        "templates.work.data.text, `form.spec.size`, column 1",
        "\"form\"",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let configuration = stand.world.configurations().get("stages").await?;
    assert_eq!(configuration.finalizers(), [""; 0]);
    let status = configuration.status.clone().unwrap_or_default();
    assert_eq!(status.observed_generation, configuration.metadata.generation);
    let table = stand.world.pair.coordination.kubectl(&["get", "migconf", "-n", stand.world.pair.name]).await?;
    assert!(table.contains("False"), "{table}");

    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    let told = stand.tells("order", reason::BLOCKED, "MigrationConfiguration stages cannot be used").await;
    assert!(told.contains("wrok"), "{told}");
    stand.world.copied("order", second).await;
    stand.serves_on("order", "marker").await?;
    assert_eq!(state_of(&stand.migration("order").await?), MigrationState::Pending);

    // What the API server's own schema refuses does not come so far.
    for (field, value) in [("timeout", json!("10 minutes")), ("approval", json!("maybe")), ("retries", json!(-1))] {
        let refused = stand.world.configure("other", &json!([stage("copy", &json!({field: value}))])).await;
        assert!(refused.is_err(), "{field} was taken");
    }
    let _crew = Crew::of(&stand);
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.migrated("order").await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn of_two_for_one_pair_neither_is_used() -> TestResult {
    let stand = Stand::new("configurations-two").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.configure("rival", &json!([])).await?;
    for (one, other) in [("stages", "rival"), ("rival", "stages")] {
        let told = stand.judged(one, "False", reason::CONFLICT).await;
        assert!(told.contains(other), "{told}");
    }
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    let told = stand.tells("order", reason::BLOCKED, "none of them is used").await;
    assert!(told.contains("stages") && told.contains("rival"), "{told}");
    stand.serves_on("order", "marker").await?;
    assert_eq!(stand.migration("order").await?.status.unwrap_or_default().stages, []);
    let _crew = Crew::of(&stand);
    stand.unconfigure("rival").await?;
    stand.judged("stages", "True", reason::VALID).await;
    let migration = stand.migrated("order").await;
    assert_eq!(migration.status.unwrap_or_default().stages.len(), 1);
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn one_for_a_kind_that_is_not_watched_says_so() -> TestResult {
    let stand = Stand::new("configurations-unwatched").await?;
    let other = TestKind::new();
    stand.world.configure_between("other", &other, &other, &json!([])).await?;
    let told = stand.judged("other", "False", reason::NOT_WATCHED).await;
    assert!(told.contains(other.group()) && told.contains("--watch-kind"), "{told}");
    // It is for no pair that anything moves between.
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    stand.world.arrived("order", stand.world.second()).await;
    stand.unconfigure("other").await?;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn one_between_different_kinds_says_so_and_is_in_nobodys_way() -> TestResult {
    let stand = Stand::new("configurations-kinds").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let (kind, other) = (&stand.world.pair.kind, TestKind::new());
    // Its stages make no sense either, and a second one is for the same pair: that is beside the point.
    let stages = json!([stage("copy", &json!({"preconditions": ["from."]}))]);
    for (name, from, to) in [("there", kind, &other), ("there-too", kind, &other), ("back", &other, kind)] {
        stand.world.configure_between(name, from, to, &stages).await?;
        let told = stand.judged(name, "False", reason::DIFFERENT_KINDS).await;
        assert!(told.contains(kind.group()) && told.contains(other.group()), "{told}");
        assert!(told.contains("the same group and kind") && !told.contains("--watch-kind"), "{told}");
    }
    // A move has no stages by them, and those of its own kind.
    stand.world.place("bare", first).await?;
    stand.world.send("bare", second).await?;
    stand.world.arrived("bare", second).await;
    assert!(stand.migration("bare").await.is_err(), "it has a Migration");
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    stand.done("order").await?;
    let migration = stand.migrated("order").await;
    assert_eq!(migration.status.unwrap_or_default().configuration.as_deref(), Some("stages"));
    // Mended, it is one like others.
    stand.unconfigure("there-too").await?;
    stand.unconfigure("stages").await?;
    stand.world.configure_between("back", kind, kind, &json!([])).await?;
    stand.judged("back", "True", reason::VALID).await;
    stand.unconfigure("there").await?;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn one_that_changes_or_goes_in_the_middle() -> TestResult {
    let stand = Stand::new("configurations-middle").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let two = json!([stage("copy", &json!({"progress": true})), stage("check", &json!({}))]);
    stand.configure(&two).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    let map: ConfigMap = stand.deployed("order", "work").await;

    // Gone: everything stays as it is, and is said.
    stand.unconfigure("stages").await?;
    stand.tells("order", reason::BLOCKED, "MigrationConfiguration stages is not there any more").await;
    stand.finish(&map).await?;
    stand.serves_on("order", "marker-gone").await?;
    assert_eq!(stand.deployed::<ConfigMap>("order", "work").await.uid(), map.uid());
    stand.stage("order", "copy", StageState::Running).await;

    // Back, without the stage that is under way.
    stand.configure(&json!([stage("check", &json!({}))])).await?;
    let told = stand.tells("order", reason::BLOCKED, "stage copy is under way").await;
    assert!(told.contains("check") && told.contains("put it back"), "{told}");
    stand.serves_on("order", "marker-without").await?;

    // Back as it was: its work is done. What has not begun yet may be another.
    let other = json!([
        stage("copy", &json!({"progress": true})),
        stage("verify", &json!({"progress": true})),
        stage("check", &json!({})),
    ]);
    stand.configure(&other).await?;
    stand.stage("order", "verify", StageState::Running).await;

    // What ends the stage under way may be another too.
    let mut easier = other.clone();
    easier[1]["successConditions"] = json!(["has(work.data.done)"]);
    stand.configure(&easier).await?;
    stand.stage("order", "check", StageState::Running).await;

    // It also ends where it is gone, by being changed back.
    stand.unconfigure("stages").await?;
    stand.tells("order", reason::BLOCKED, "is not there any more").await;
    stand.world.send("order", first).await?;
    stand.stays("order", reason::ABANDONED).await;
    stand.world.arrived("order", first).await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn one_is_judged_and_let_go_while_the_broker_comes_and_goes() -> TestResult {
    let mut stand = Stand::new("configurations-restart").await?;
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.broker.kill9()?;
    let configurations = stand.world.configurations();
    configurations.delete("stages", &kube::api::DeleteParams::default()).await?;
    // No broker is needed for that.
    crate::pair::gone(&configurations, "stages").await;
    stand.world.configure("later", &json!([stage("copy", &json!({"preconditions": ["from."]}))])).await?;
    stand.broker.restart().await?;
    stand.judged("later", "False", reason::INVALID_CONFIGURATION).await;
    let mended = stand.world.configure("later", &json!([])).await?;
    until(&configurations, "later", "to be valid", |it| {
        valid(it).is_some_and(|it| it.status == "True" && it.observed_generation == mended.metadata.generation)
    })
    .await;
    Ok(())
}
