//! Another server behind the compute cluster's kubeconfig while stages are under way.

use anyhow::ensure;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use resource_broker_api::broker::StageState;
use resource_broker_api::conditions::reason;
use resource_broker_harness::{Planes, TestResult, eventually};
use serde_json::json;

use super::stand::{Stand, job, stage};
use crate::moves::world::World;
use crate::pair::PATIENCE;

#[tokio::test]
async fn another_server_as_compute_gets_nothing_and_the_stage_goes_on_where_it_began() -> TestResult {
    let world = World::new("behind-compute").await?;
    let builder = world.unattached().await?;
    for side in [&world.pair.consumer].into_iter().chain(world.providers()) {
        world.attach(side)?;
    }
    let mut stand = Stand::with(world, builder).await?;
    let (name, first, second) = (stand.world.pair.name, stand.world.first(), stand.world.second());
    let other = Planes::shared().await.cluster("compute-b").await;
    other.create_namespace(name).await?;
    let there: Api<Job> = Api::namespaced(other.client().await?, name);
    let mut copy = stage("copy", &json!({}));
    copy["templates"]["task"] = job();
    stand.configure(&json!([copy])).await?;
    for object in ["order", "later"] {
        stand.world.place(object, first).await?;
    }
    stand.world.send("order", second).await?;
    let task: Job = stand.deployed("order", "task").await;
    let work: ConfigMap = stand.deployed("order", "work").await;

    let mark = other.audit_position().await?;
    stand.world.attach_as_compute(&other)?;
    changed(&stand).await;
    stand.tells("order", reason::BLOCKED, "cluster accept compute#compute").await;
    // One whose stage has not begun waits, too.
    stand.world.send("later", stand.world.second()).await?;
    stand.tells("later", reason::BLOCKED, "cluster accept compute#compute").await;
    stand.serves_on("order", "marker").await?;
    // A broker that starts now knows it as well.
    stand.broker.kill9()?;
    stand.broker.restart().await?;
    changed(&stand).await;
    stand.serves_on("order", "another").await?;
    let writes = stand.world.pair.writes(&other, mark, |_| true).await?;
    assert_eq!(writes, Vec::<String>::new());

    stand.world.attach_compute()?;
    let _: Job = stand.deployed("later", "task").await;
    stand.stage("order", "copy", StageState::Running).await;
    assert_eq!(stand.deployed::<Job>("order", "task").await.uid(), task.uid(), "it was deployed twice");
    assert_eq!(stand.deployed::<ConfigMap>("order", "work").await.uid(), work.uid(), "it was deployed twice");
    for object in ["order", "later"] {
        stand.done(object).await?;
        stand.migrated(object).await;
    }
    stand.is_clean().await;
    assert!(there.list(&ListParams::default()).await?.items.is_empty());
    stand.judge().await?;
    Ok(())
}

async fn changed(stand: &Stand) {
    eventually("the change to be shown", PATIENCE, || async {
        let page = stand.broker.readyz_verbose().await?;
        let line = "[-]cluster compute#compute: not attached: another cluster is there";
        ensure!(page.contains(line) && page.ends_with("\nready\n"), "{page}");
        Ok(())
    })
    .await;
}
