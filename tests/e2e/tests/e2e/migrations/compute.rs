//! What can be in the way of a stage in compute, and what is done to its objects there by others.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use resource_broker_api::broker::StageState;
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::{TestKind, TestResult, eventually};
use serde_json::{Value, json};

use super::stand::{Stand, condition, job, stage, status_of, texts};
use super::voyage::Crew;
use crate::moves::world::World;
use crate::operator::secret_of;
use crate::pair::{PATIENCE, gone, is, message, until};
use crate::policy::{Writes, at_work};

/// One stage with this as its second template.
fn with(manifest: &Value) -> Value {
    let mut stage = stage("copy", &json!({}));
    stage["templates"]["other"] = manifest.clone();
    json!([stage])
}

#[tokio::test]
async fn what_cannot_be_deployed_is_said_and_mended() -> TestResult {
    let stand = Stand::new("compute-obstacles").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.world.place("order", first).await?;
    let cases = [
        (json!({"apiVersion": "nothing.example.com/v1", "kind": "Nothing"}), ["Nothing", "nothing.example.com"]),
        (json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": "many"}}), ["Job", "backoffLimit"]),
        (json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {}}), ["Job", "containers"]),
    ];
    stand.configure(&with(&cases[0].0)).await?;
    stand.world.send("order", second).await?;
    for (manifest, parts) in &cases {
        stand.configure(&with(manifest)).await?;
        let told = stand.tells("order", reason::BLOCKED, parts[1]).await;
        assert!(told.contains(parts[0]), "{told}");
    }
    stand.event("order", reason::BLOCKED).await;
    // What is known to live in no namespace is refused with its configuration.
    stand.world.configure("stages", &with(&json!({"apiVersion": "v1", "kind": "Namespace"}))).await?;
    let told = stand.judged("stages", "False", reason::INVALID_CONFIGURATION).await;
    assert!(told.contains("a Namespace lives in no namespace"), "{told}");
    stand.tells("order", reason::BLOCKED, "a Namespace lives in no namespace").await;
    stand.serves_on("order", "marker").await?;

    // A quota refuses it.
    quota(&stand).await?;
    stand.configure(&with(&job())).await?;
    let told = stand.tells("order", reason::BLOCKED, "quota").await;
    assert!(told.contains("no-jobs"), "{told}");
    // The broker tries again by itself, at a slow pace.
    stand.configure(&json!([stage("copy", &json!({"progress": true}))])).await?;
    stand.compute::<ResourceQuota>().delete("no-jobs", &DeleteParams::default()).await?;
    let _crew = Crew::of(&stand);
    stand.migrated("order").await;
    stand.is_clean().await;
    // What was misspelt is not watched any more, and what the stage deployed still is. A Job may have got through on the way.
    eventually("the watches that no stage needs to end", PATIENCE, || async {
        let page = stand.broker.readyz_verbose().await?;
        let stages: Vec<&str> = page.lines().filter(|line| line.contains("of migrations' stages")).collect();
        let is_watched = |kind: &str| stages.iter().any(|line| line.contains(kind));
        anyhow::ensure!(is_watched("ConfigMap") && !is_watched("Nothing"), "{page}");
        anyhow::Ok(())
    })
    .await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_kind_that_comes_later_is_found() -> TestResult {
    let stand = Stand::new("compute-later").await?;
    let kind = TestKind::new();
    let manifest = json!({"apiVersion": kind.api_version(), "kind": "Widget", "spec": {"size": 1, "engine": "none"}});
    stand.configure(&json!([{
        "name": "copy", "templates": {"plan": manifest}, "successConditions": ["has(plan.metadata.annotations.done)"],
    }]))
    .await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    stand.tells("order", reason::BLOCKED, kind.group()).await;
    kind.install(&stand.world.compute).await?;
    let plans = kind.api(stand.compute_client(), stand.world.pair.name);
    let plan = format!("{}-plan", stand.id("order").await);
    // At the next try, which may be the longest pause of an object away.
    let patience = Duration::from_mins(2);
    eventually("the stage to be deployed", patience, || async { plans.get(&plan).await }).await;
    // Its changes are seen, too.
    let change = json!({"metadata": {"annotations": {"done": "yes"}}});
    plans.patch(&plan, &PatchParams::default(), &Patch::Merge(&change)).await?;
    stand.migrated("order").await;
    gone(&plans, &plan).await;
    stand.judge().await?;
    Ok(())
}

/// Allows no Jobs. What counts is the status, which nothing fills in here.
async fn quota(stand: &Stand) -> Result<()> {
    let quotas = stand.compute::<ResourceQuota>();
    let hard = json!({"count/jobs.batch": "0"});
    let quota = json!({"metadata": {"name": "no-jobs"}, "spec": {"hard": hard}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    let status = json!({"status": {"hard": hard, "used": {"count/jobs.batch": "0"}}});
    quotas.patch_status("no-jobs", &PatchParams::default(), &Patch::Merge(&status)).await?;
    let mut probe = job();
    probe["metadata"] = json!({"name": "probe"});
    let probe = serde_json::from_value(probe)?;
    eventually("the quota to refuse Jobs", PATIENCE, || async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let made = stand.compute::<Job>().create(&dry, &probe).await;
        anyhow::ensure!(made.is_err(), "it lets them pass");
        anyhow::Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn what_a_policy_refuses_is_said_and_deployed_when_it_goes() -> TestResult {
    let stand = Stand::new("compute-policy").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.world.place("order", first).await?;
    let name = stand.world.pair.name;
    let jobs = Writes { name, namespace: name, group: "batch", resource: "jobs", operations: &["CREATE"] };
    jobs.refuse(&stand.world.compute, "false", "no work on Sundays").await?;
    let mut probe = job();
    probe["metadata"] = json!({"name": "probe"});
    at_work(&stand.compute(), &serde_json::from_value::<Job>(probe)?, Result::is_err).await;
    stand.configure(&with(&job())).await?;
    stand.world.send("order", second).await?;
    let told = stand.tells("order", reason::BLOCKED, "no work on Sundays").await;
    let id = stand.id("order").await;
    let what = format!("stage copy: Job {id}-other (template other) in namespace {name} of compute#compute is refused");
    assert!(told.starts_with(&what), "{told}");
    // Who has the object is told where it stands, and not what is in there.
    let order = until(&stand.world.pair.consumer.widgets(), "order", "to say so", |it| {
        message(it, "Synced").contains("at stage copy (1 of 1): it is blocked, and an administrator has to mend it")
    })
    .await;
    let synced = message(&order, "Synced");
    assert!(synced.contains(&stand.name("order")) && !synced.contains("Sundays"), "{synced}");
    assert!(is(&order, "Ready", "True"), "the old provider serves: {}", order.data["status"]);
    stand.serves_on("order", "marker").await?;

    jobs.allow(&stand.world.compute).await?;
    stand.deployed::<Job>("order", "other").await;
    let _crew = Crew::of(&stand);
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_overwritten() -> TestResult {
    let stand = Stand::new("compute-foreign").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({"approval": "required"}))])).await?;
    stand.world.place("order", first).await?;
    let copy = stand.world.pair.copy_name("order");
    // A mirror's name is taken.
    let mirror = format!("from-{}", secret_of(&copy));
    let theirs = json!({"metadata": {"name": mirror}, "stringData": {"mine": "yes"}});
    let theirs = stand.compute::<Secret>().create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
    stand.world.send("order", second).await?;
    let told = stand.tells("order", reason::BLOCKED, &mirror).await;
    assert!(told.contains("rename or delete"), "{told}");
    stand.serves_on("order", "marker").await?;
    let now = stand.compute::<Secret>().get(&mirror).await?;
    assert_eq!((now.uid(), texts(&now)), (theirs.uid(), [("mine".to_owned(), "yes".to_owned())].into()));
    stand.compute::<Secret>().delete(&mirror, &DeleteParams::default()).await?;
    stand.stage("order", "copy", StageState::AwaitingApproval).await;

    // A stage resource's name is taken.
    let id = stand.id("order").await;
    let name = format!("{id}-work");
    let theirs = json!({"metadata": {"name": name}, "data": {"mine": "yes"}});
    let maps = stand.compute::<ConfigMap>();
    let theirs = maps.create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
    stand.order("order", keys::MIGRATION_APPROVE, "copy").await?;
    let told = stand.tells("order", reason::BLOCKED, &name).await;
    assert!(told.contains("rename or delete"), "{told}");
    let now = maps.get(&name).await?;
    assert_eq!((now.uid(), now.data), (theirs.uid(), theirs.data));
    maps.delete(&name, &DeleteParams::default()).await?;
    stand.done("order").await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn what_a_stage_deployed_is_kept_until_its_end_is_recorded() -> TestResult {
    let stand = Stand::new("compute-kept").await?;
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let map: ConfigMap = stand.deployed("order", "work").await;
    assert_eq!(map.finalizers(), [keys::STAGE_FINALIZER]);
    let maps = stand.compute::<ConfigMap>();
    maps.delete(&map.name_any(), &DeleteParams::default()).await?;
    stand.tells("order", reason::STAGE_RUNNING, "somebody deleted").await;
    stand.serves_on("order", "marker").await?;
    assert_eq!(maps.get(&map.name_any()).await?.uid(), map.uid(), "it is the same one still");
    stand.finish(&map).await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_deleted_or_changed_by_hand_is_made_again() -> TestResult {
    let stand = Stand::new("compute-hands").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    let maps = stand.compute::<ConfigMap>();
    let secrets = stand.compute::<Secret>();
    for prefix in ["from", "to"] {
        let name = format!("{prefix}-{}", secret_of(&stand.world.pair.copy_name("order")));
        let mirror = until(&secrets, &name, "to be there", |_| true).await;
        secrets.delete(&name, &DeleteParams::default()).await?;
        let anew = until(&secrets, &name, "to be made again", |it| it.uid() != mirror.uid()).await;
        assert_eq!(texts(&anew), texts(&mirror));
        let change = json!({"stringData": {"provider": "somebody"}});
        secrets.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await?;
        until(&secrets, &name, "to be as at the provider again", |it| texts(it) == texts(&mirror)).await;
    }

    // One that is held when its time has come is waited for.
    let map: ConfigMap = stand.deployed("order", "work").await;
    let hold = json!({"metadata": {"finalizers": ["test.example.com/hold"]}});
    maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(&hold)).await?;
    stand.finish(&map).await?;
    stand.tells("order", reason::CLEANING, &map.name_any()).await;
    stand.serves_on("order", "marker").await?;
    let release = json!({"metadata": {"finalizers": null}});
    maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(&release)).await?;
    gone(&maps, &map.name_any()).await;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn without_the_namespace_in_compute_it_says_what_to_do() -> TestResult {
    let world = World::new("compute-nowhere").await?;
    let builder = world.broker().await?.arg("compute-namespace", "compute-nowhere-b");
    let stand = Stand::with(world, builder).await?;
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let told = stand.tells("order", reason::BLOCKED, "compute-nowhere-b").await;
    assert!(told.contains("--compute-namespace"), "{told}");
    stand.serves_on("order", "marker").await?;
    stand.migrate("rollback", "order", &["--wait"]).await?.is_done("is rolled back");
    stand.stays("order", reason::ROLLED_BACK).await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn a_migration_stays_in_the_namespace_that_it_began_in() -> TestResult {
    const ELSEWHERE: &str = "compute-moved-b";
    let mut stand = Stand::new("compute-moved").await?;
    let world = &stand.world;
    let (home, flag) = (world.pair.name, format!("--compute-namespace={}", world.pair.name));
    let namespaces: Api<Namespace> = Api::all(world.compute.client().await?);
    let other = serde_json::from_value(json!({"metadata": {"name": ELSEWHERE}}))?;
    namespaces.create(&PostParams::default(), &other).await?;
    let there: Api<ConfigMap> = Api::namespaced(world.compute.client().await?, ELSEWHERE);
    let (migrations, orders) = (world.migrations(), world.pair.consumer.widgets());
    stand.configure(&json!([stage("copy", &json!({}))])).await?;
    for object in ["order", "kept", "lost"] {
        stand.world.place(object, stand.world.first()).await?;
        stand.world.send(object, stand.world.second()).await?;
        let _: ConfigMap = stand.deployed(object, "work").await;
        assert_eq!(status_of(&stand.migration(object).await?).compute_namespace.as_deref(), Some(home));
    }

    stand.broker.kill9()?;
    stand.broker = stand.world.broker().await?.arg("compute-namespace", ELSEWHERE).start().await?;
    for object in ["order", "kept", "lost"] {
        let told = stand.tells(object, reason::BLOCKED, &flag).await;
        assert!(told.contains(home) && told.contains(ELSEWHERE), "{told}");
    }
    // Nothing is held up by that but what is in compute.
    stand.migrate("rollback", "kept", &["--wait"]).await?.is_done("is rolled back");
    stand.stays("kept", reason::ROLLED_BACK).await;
    stand.tells("kept", reason::BLOCKED, &flag).await;
    orders.delete("lost", &DeleteParams::default()).await?;
    gone(&orders, "lost").await;
    stand.tells("lost", reason::BLOCKED, &flag).await;
    let deleted = stand.migration("order").await?;
    migrations.delete(&stand.name("order"), &DeleteParams::default()).await?;
    stand.tells("order", reason::CLEANING, &flag).await;
    for object in ["order", "kept", "lost"] {
        let _: ConfigMap = stand.deployed(object, "work").await;
    }
    assert!(there.list(&ListParams::default().labels(keys::MIGRATION_ID)).await?.items.is_empty());

    stand.broker.kill9()?;
    stand.broker = stand.world.broker().await?.start().await?;
    stand
        .until("kept", "to say again how it ended", |it| {
            condition(it, "Progressing").is_some_and(|it| it.reason == reason::ROLLED_BACK)
        })
        .await;
    stand.until("order", "to be another one", |it| it.uid() != deleted.uid()).await;
    stand.stage("order", "copy", StageState::Running).await;
    stand.done("order").await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}
