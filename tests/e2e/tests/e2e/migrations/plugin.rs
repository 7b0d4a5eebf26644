//! Migrations whose stages a Plugin makes: with a configuration and without, and what it may not answer.

use anyhow::Result;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::ListParams;
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_harness::{TestResult, guest};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::stand::{Stand, job, job_succeeded, status_of};
use crate::operator::secret_of;
use crate::plugged::Plugins;

/// The config map that holds the component, and its key.
const MAP: &str = "stager";
const KEY: &str = "component.wasm";

/// The component of `tests/guests/stager`.
async fn stager() -> Result<&'static Vec<u8>> {
    static STAGER: OnceCell<Vec<u8>> = OnceCell::const_new();
    STAGER.get_or_try_init(async || tokio::task::spawn_blocking(|| guest("stager")).await?).await
}

/// Has the test's API migrate as the settings say.
async fn behave(plugins: &Plugins<'_>, settings: &Value) -> Result<()> {
    let spec = json!({
        "component": [{"configMap": MAP, "key": KEY}],
        "roles": ["migration-template"],
        "configuration": settings,
    });
    plugins.settle("stager", &spec).await.map(drop)
}

fn map() -> Value {
    json!({"name": "note", "body": {"apiVersion": "v1", "kind": "ConfigMap", "data": {}}})
}

fn task() -> Value {
    json!({"name": "task", "body": job()})
}

#[tokio::test]
async fn a_plugin_makes_the_stages_of_its_api() -> TestResult {
    let stand = Stand::new("plugin-stages").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let plugins = Plugins::new(&stand.world.pair).await?;
    plugins.store(MAP, KEY, stager().await?).await?;
    let stages = json!([
        {"name": "ask", "approval": true},
        {"name": "copy", "progress": true, "retries": 1},
    ]);
    behave(&plugins, &json!({"stages": stages, "manifests": [task(), map()]})).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;

    // Without a configuration there is a Migration all the same.
    stand.stage("order", "ask", StageState::AwaitingApproval).await;
    assert_eq!(status_of(&stand.migration("order").await?).configuration, None);
    stand.order("order", keys::MIGRATION_APPROVE, "ask").await?;
    for stage in ["ask", "copy"] {
        stand.stage("order", stage, StageState::Running).await;
        let note: ConfigMap = stand.deployed("order", "note").await;
        assert_eq!(note.labels().get(keys::MIGRATION_STAGE).map(String::as_str), Some(stage));
        let copy = stand.world.pair.copy_name("order");
        let said = note.data.unwrap_or_default();
        assert_eq!(said.get("old"), Some(&format!("from-{}", secret_of(&copy))));
        assert_eq!(said.get("new"), Some(&format!("to-{}", secret_of(&copy))));
        assert_eq!(said.get("id"), Some(&stand.id("order").await));
        stand.report("order", "task", &job_succeeded()).await?;
        stand.stage("order", stage, StageState::Succeeded).await;
    }
    stand.migrated("order").await;
    stand.is_clean().await;

    // A configuration is judged by it too.
    behave(&plugins, &json!({"refuses": "the wind is wrong", "manifests": [task()]})).await?;
    stand.world.configure("stages", &json!([])).await?;
    let told = stand.judged("stages", "False", reason::INVALID_CONFIGURATION).await;
    assert!(told.contains("the wind is wrong"), "{told}");
    behave(&plugins, &json!({"stages": [{"name": "only"}], "manifests": [task()]})).await?;
    stand.judged("stages", "True", reason::VALID).await;
    stand.world.send("order", first).await?;
    stand.stage("order", "only", StageState::Running).await;
    assert_eq!(status_of(&stand.migration("order").await?).configuration.as_deref(), Some("stages"));
    stand.report("order", "task", &job_succeeded()).await?;
    stand.world.arrived("order", first).await;
    stand.reaches("order", MigrationState::CutoverCompleted).await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn what_a_plugin_must_not_answer_is_refused_and_told() -> TestResult {
    let stand = Stand::new("plugin-refused").await?;
    let (first, second) = (stand.world.first(), stand.world.second());
    let plugins = Plugins::new(&stand.world.pair).await?;
    plugins.store(MAP, KEY, stager().await?).await?;
    let one = json!([{"name": "copy"}]);
    let body = |metadata: Value| {
        json!({"stages": one, "manifests": [{"name": "task", "body": {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        }}]})
    };
    let many: Vec<Value> = (0..65).map(|number| json!({"name": format!("s{number}")})).collect();
    let cases = [
        (json!({"stages": [{"name": "a"}, {"name": "a"}]}), "two stages called a"),
        (json!({"stages": [{"name": "../a"}]}), "../a"),
        (json!({"stages": many}), "65 stages"),
        (body(json!({"name": "mine"})), "\"name\""),
        (body(json!({"namespace": "kube-system"})), "\"namespace\""),
        (body(json!({"ownerReferences": []})), "ownerReferences"),
        (body(json!({"labels": {keys::MIGRATION_ID: "other"}})), keys::MIGRATION_ID),
        (json!({"stages": one, "manifests": [task(), task()]}), "two manifests called task"),
        (
            json!({"stages": one, "manifests": [{"name": "task", "body": {"apiVersion": "../v1", "kind": "Job"}}]}),
            "apiVersion",
        ),
        (json!({"stages": one, "manifests": [{"name": "task", "body": {"apiVersion": "v1", "kind": "Node"}}]}), "Node"),
        (json!({"stages": one, "traps": true}), "crashed"),
    ];
    behave(&plugins, &cases[0].0).await?;
    stand.world.place("order", first).await?;
    stand.world.send("order", second).await?;
    for (settings, part) in &cases {
        behave(&plugins, settings).await?;
        stand.tells("order", reason::BLOCKED, part).await;
    }
    stand.serves_on("order", "marker").await?;
    let there = stand.compute::<ConfigMap>().list(&ListParams::default().labels(keys::MIGRATION_ID)).await?;
    assert_eq!(there.items, [], "something was deployed");

    behave(&plugins, &json!({"stages": one, "manifests": [task()]})).await?;
    let there: Job = stand.deployed("order", "task").await;
    // Nobody else knows what it was about.
    plugins.remove("stager").await?;
    stand.tells("order", reason::BLOCKED, "nor a Plugin says any more").await;
    stand.serves_on("order", "marker-alone").await?;
    behave(&plugins, &json!({"stages": one, "manifests": [task()]})).await?;
    assert_eq!(stand.deployed::<Job>("order", "task").await.uid(), there.uid());
    stand.report("order", "task", &job_succeeded()).await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}
