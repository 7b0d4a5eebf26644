//! The pods of stages' Jobs: what comes next waits until they have ended. Nobody runs Jobs here, so the tests make the pods.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use resource_broker_api::broker::{StageState, StageStatus};
use resource_broker_api::conditions::reason;
use resource_broker_harness::{AuditEvent, TestResult, eventually};
use serde_json::json;

use super::stand::{Stand, job, job_failed, job_succeeded, stage_of};
use crate::moves::world::World;
use crate::pair::{PATIENCE, until};

/// Makes a pod of a Job, with what its controller takes from the Job.
async fn pod(stand: &Stand, job: &Job, name: &str) -> Result<()> {
    let template = job.spec.clone().context("the Job has no spec")?.template;
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = Some(name.to_owned());
    let pod = Pod { metadata, spec: template.spec, status: None };
    stand.compute::<Pod>().create(&PostParams::default(), &pod).await?;
    Ok(())
}

/// Writes a pod's phase, as its kubelet does.
async fn phase(stand: &Stand, name: &str, phase: &str) -> Result<()> {
    let change = Patch::Merge(json!({"status": {"phase": phase}}));
    stand.compute::<Pod>().patch_status(name, &PatchParams::default(), &change).await?;
    Ok(())
}

/// Waits until the Migration says that it waits for this pod, whose Job is gone and stays so while another object is placed.
async fn is_held_by(stand: &Stand, why: &str, job: &Job, pod: &str, marker: &str) -> Result<()> {
    let told = stand.tells("order", why, pod).await;
    ensure!(told.contains(&format!("pods of Job {}", job.name_any())), "{told}");
    stand.serves_on("order", marker).await?;
    ensure!(stand.compute::<Job>().get_opt(&job.name_any()).await?.is_none(), "{} is there", job.name_any());
    Ok(())
}

#[tokio::test]
async fn what_comes_after_a_job_waits_for_its_pods() -> TestResult {
    let stand = Stand::new("pods-wait").await?;
    let (jobs, pods) = (stand.compute::<Job>(), stand.compute::<Pod>());
    stand.configure(&json!([{"name": "copy", "retries": 2, "templates": {"task": job()}}])).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;

    // The next attempt.
    let first: Job = stand.deployed("order", "task").await;
    pod(&stand, &first, "runs").await?;
    phase(&stand, "runs", "Running").await?;
    stand.report("order", "task", &job_failed("no space left")).await?;
    is_held_by(&stand, reason::CLEANING, &first, "runs", "one").await?;
    assert_eq!(stand.stage("order", "copy", StageState::Retrying).await.attempt, 1);
    pods.delete("runs", &DeleteParams::default().grace_period(0)).await?;
    let is_second = |stage: &StageStatus| stage.attempt == 2 && stage.state == StageState::Running;
    stand.until("order", "to make a second attempt", |it| stage_of(it, "copy").is_some_and(is_second)).await;
    let second: Job = stand.deployed("order", "task").await;
    assert_ne!(first.uid(), second.uid());

    // A Job that somebody deleted before its end: its controller makes no further pod.
    pod(&stand, &second, "waits").await?;
    jobs.delete(&second.name_any(), &DeleteParams::background()).await?;
    stand.tells("order", reason::STAGE_RUNNING, "waits").await;
    stand.serves_on("order", "two").await?;
    assert_eq!(jobs.get(&second.name_any()).await?.uid(), second.uid(), "nothing is made beside its pod");
    phase(&stand, "waits", "Failed").await?;
    let third = until(&jobs, &second.name_any(), "to be made again", |it| it.uid() != second.uid()).await;

    // The cutover.
    pod(&stand, &third, "lingers").await?;
    phase(&stand, "lingers", "Running").await?;
    stand.report("order", "task", &job_succeeded()).await?;
    is_held_by(&stand, reason::CLEANING, &third, "lingers", "three").await?;
    stand.stage("order", "copy", StageState::Succeeded).await;
    phase(&stand, "lingers", "Succeeded").await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    stand.judge().await?;
    Ok(())
}

/// Whom `deploy/kustomize/compute` grants everything to, under the test's name.
fn account(name: &str) -> String {
    format!("system:serviceaccount:{name}:resource-broker")
}

/// A stand whose broker may do in compute what `deploy/kustomize/compute` grants, as far as `stays` says so.
async fn granted(name: &'static str, stays: impl Fn(&PolicyRule) -> bool) -> Result<Stand> {
    let world = World::new(name).await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/compute");
    let folder = folder.to_str().context("a path that is not UTF-8")?;
    let rendered = world.compute.kubectl(&["kustomize", folder]).await?;
    // What is of the whole cluster is each test's own, too: one would take it from another.
    let rendered = rendered.replace("resource-broker-compute-identity", &format!("{name}-identity"));
    world.compute.apply_yaml(&rendered.replace("resource-broker-system", name)).await?;
    let roles = Api::<Role>::namespaced(world.compute.client().await?, name);
    let mut role = roles.get("resource-broker-compute").await?;
    role.rules = role.rules.map(|rules| rules.into_iter().filter(stays).collect());
    roles.replace("resource-broker-compute", &PostParams::default(), &role).await?;
    let jobs = Api::<Job>::namespaced(world.compute.client_as(&account(name), &[]).await?, name);
    eventually("the role to be at work", PATIENCE, || async { jobs.list(&ListParams::default()).await }).await;
    let namespaces = Api::<Namespace>::all(world.compute.client_as(&account(name), &[]).await?);
    eventually("the cluster's role to be at work", PATIENCE, || async { namespaces.get("kube-system").await }).await;
    let broker = world.broker().await?.compute(&world.compute.kubeconfig_as(&account(name), &[])?);
    Stand::with(world, broker).await
}

/// A migration whose Job has a pod that still runs when the Job is done.
async fn with_a_pod(stand: &Stand) -> Result<()> {
    stand.configure(&json!([{"name": "copy", "templates": {"task": job()}}])).await?;
    stand.world.place("order", stand.world.first()).await?;
    stand.world.send("order", stand.world.second()).await?;
    let job: Job = stand.deployed("order", "task").await;
    pod(stand, &job, "runs").await?;
    phase(stand, "runs", "Running").await?;
    stand.report("order", "task", &job_succeeded()).await
}

/// What compute denied to the broker.
async fn denied(stand: &Stand, name: &str) -> Result<Vec<String>> {
    let account = account(name);
    let is_ours =
        |event: &AuditEvent| event.user == account && event.code == 403 && event.user_agent.contains("resource-broker");
    let events = stand.world.compute.audit(is_ours).await?;
    Ok(events.into_iter().map(|event| format!("{} {}", event.verb, event.resource)).collect())
}

#[tokio::test]
async fn what_the_manifest_grants_in_compute_is_enough() -> TestResult {
    let stand = granted("pods-granted", |_| true).await?;
    with_a_pod(&stand).await?;
    stand.tells("order", reason::CLEANING, "runs").await;
    stand.compute::<Pod>().delete("runs", &DeleteParams::default().grace_period(0)).await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    let denied = denied(&stand, "pods-granted").await?;
    assert!(denied.is_empty(), "{denied:?}");
    stand.judge().await?;
    Ok(())
}

#[tokio::test]
async fn where_pods_may_not_be_listed_none_is_waited_for_and_that_is_said_once() -> TestResult {
    let is_about_pods = |rule: &PolicyRule| rule.resources.iter().flatten().any(|resource| resource == "pods");
    let stand = granted("pods-denied", |rule| !is_about_pods(rule)).await?;
    with_a_pod(&stand).await?;
    stand.migrated("order").await;
    stand.is_clean().await;
    // It is asked for more than once, and nothing else is denied.
    let denied = denied(&stand, "pods-denied").await?;
    assert!(denied.len() > 1 && denied.iter().all(|what| what == "list pods"), "{denied:?}");
    let log = stand.broker.logs()?;
    assert_eq!(log.matches("pods may not be listed").count(), 1, "{log}");
    stand.compute::<Pod>().delete("runs", &DeleteParams::default().grace_period(0)).await?;
    stand.judge().await?;
    Ok(())
}
