//! The runner of Jobs does what the Job controller would, on a real API server, which checks each status that is written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use resource_broker_demo::jobs;
use resource_broker_harness::{Planes, TestResult, eventually, poll};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// A namespace whose Jobs are run, and a folder for what they leave.
struct Bench {
    client: Client,
    jobs: Api<Job>,
    folder: tempfile::TempDir,
    runner: tokio::task::JoinHandle<()>,
}

impl Bench {
    async fn start(namespace: &'static str) -> Result<Self> {
        let cluster = Planes::shared().await.cluster("jobs").await;
        cluster.create_namespace(namespace).await?;
        let client = cluster.client().await?;
        let runner = run(&client, namespace);
        let jobs = Api::namespaced(client.clone(), namespace);
        Ok(Self { client, jobs, folder: tempfile::tempdir()?, runner })
    }

    /// A file in the folder, and a variable that tells a script where it is.
    fn file(&self, name: &str) -> (PathBuf, Value) {
        let path = self.folder.path().join(name);
        let variable = json!({"name": "FILE", "value": path});
        (path, variable)
    }

    async fn create(&self, name: &str, container: Value, backoff_limit: i32) -> Result<Job> {
        let mut container = container;
        container["name"] = json!("main");
        container["image"] = json!("none");
        let job = json!({
            "metadata": {"name": name},
            "spec": {
                "backoffLimit": backoff_limit,
                "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
            },
        });
        Ok(self.jobs.create(&PostParams::default(), &serde_json::from_value(job)?).await?)
    }

    /// The status once the Job has the condition `type_`.
    async fn ended(&self, name: &str, type_: &str) -> Result<JobStatus> {
        poll(&format!("condition {type_} of {name}"), SOON, async || {
            let status = self.jobs.get(name).await?.status.unwrap_or_default();
            let is_there = status.conditions.iter().flatten().any(|it| it.type_ == type_ && it.status == "True");
            ensure!(is_there, "{status:?}");
            Ok(status)
        })
        .await
    }
}

fn run(client: &Client, namespace: &'static str) -> tokio::task::JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move { jobs::run(client, namespace).await })
}

fn script(text: &str) -> Value {
    json!({"command": ["sh", "-ec"], "args": [text]})
}

fn with_env(mut container: Value, env: Value) -> Value {
    container["env"] = env;
    container
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

#[tokio::test]
async fn a_job_that_succeeds_runs_once_and_is_complete() -> TestResult {
    let bench = Bench::start("succeeds").await?;
    let (file, variable) = bench.file("ran");
    bench.create("good", with_env(script("echo once >> \"$FILE\""), json!([variable])), 3).await?;
    let status = bench.ended("good", "Complete").await?;
    assert_eq!((status.succeeded, status.failed.unwrap_or_default()), (Some(1), 0));
    assert!(status.start_time.is_some() && status.completion_time.is_some(), "{status:?}");
    assert_eq!(status.active.unwrap_or_default(), 0);

    // Another change is no reason to run it again, nor is another runner.
    bench.runner.abort();
    let label = json!({"metadata": {"labels": {"touched": "true"}}});
    bench.jobs.patch("good", &PatchParams::default(), &Patch::Merge(&label)).await?;
    let again = run(&bench.client, "succeeds");
    bench.create("after", script("true"), 0).await?;
    bench.ended("after", "Complete").await?;
    assert_eq!(read(&file), "once\n");
    again.abort();
    Ok(())
}

#[tokio::test]
async fn a_job_that_fails_is_tried_as_often_as_it_says() -> TestResult {
    let bench = Bench::start("fails").await?;
    let (file, variable) = bench.file("tries");
    bench.create("bad", with_env(script("echo try >> \"$FILE\"; exit 7"), json!([variable])), 2).await?;
    let status = bench.ended("bad", "Failed").await?;
    assert_eq!((status.failed, status.succeeded.unwrap_or_default()), (Some(3), 0));
    let reasons: Vec<_> = status.conditions.iter().flatten().map(|it| it.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("BackoffLimitExceeded"); 2], "{status:?}");
    assert_eq!(read(&file).lines().count(), 3);

    let (file, variable) = bench.file("second");
    let second = "test -e \"$FILE\" && exit 0; touch \"$FILE\"; exit 1";
    bench.create("flaky", with_env(script(second), json!([variable])), 1).await?;
    let status = bench.ended("flaky", "Complete").await?;
    assert_eq!((status.failed, status.succeeded), (Some(1), Some(1)));
    assert!(file.exists());
    Ok(())
}

#[tokio::test]
async fn a_job_that_cannot_run_here_says_why() -> TestResult {
    let bench = Bench::start("unrunnable").await?;
    bench.create("image", json!({}), 0).await?;
    let field = json!([{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]);
    bench.create("field", with_env(script("true"), field), 0).await?;
    for (name, why) in [("image", "has no command"), ("field", "the variable NODE")] {
        let status = bench.ended(name, "Failed").await?;
        let messages: Vec<_> = status.conditions.iter().flatten().filter_map(|it| it.message.as_deref()).collect();
        assert!(messages.iter().all(|message| message.contains(why)), "{messages:?}");
    }
    Ok(())
}

#[tokio::test]
async fn deletion_kills_all_that_a_job_started() -> TestResult {
    let bench = Bench::start("deleted").await?;
    let (file, variable) = bench.file("processes");
    let long = "sleep 1000 & echo $! >> \"$FILE\"; echo $$ >> \"$FILE\"; wait";
    // Orphaning is what a DELETE of a Job does by itself: the finalizer waits for a garbage collector.
    for (name, params) in [("background", DeleteParams::background()), ("plain", DeleteParams::default())] {
        bench.create(name, with_env(script(long), json!([variable])), 0).await?;
        let pids = poll("two processes", SOON, async || {
            let pids: Vec<String> = read(&file).lines().map(str::to_owned).collect();
            ensure!(pids.len() == 2, "{pids:?}");
            Ok(pids)
        })
        .await?;
        bench.jobs.delete(name, &params).await?;
        eventually("the end of Job and processes", SOON, async || {
            ensure!(bench.jobs.get_opt(name).await?.is_none(), "the Job is there");
            for pid in &pids {
                ensure!(!lives(pid), "{pid} lives");
            }
            Ok(())
        })
        .await;
        std::fs::remove_file(&file)?;
    }

    // The end of the runner is the end of what it runs.
    bench.create("left", with_env(script(long), json!([variable])), 0).await?;
    let pids = eventually("two processes", SOON, async || {
        let pids: Vec<String> = read(&file).lines().map(str::to_owned).collect();
        (pids.len() == 2).then_some(pids)
    })
    .await;
    bench.runner.abort();
    eventually("the end of the processes", SOON, async || pids.iter().all(|pid| !lives(pid)).then_some(())).await;
    Ok(())
}

/// Whether a process is there and is not only waiting to be noticed as ended.
fn lives(pid: &str) -> bool {
    let listed = std::process::Command::new("ps").args(["-o", "stat=", "-p", pid]).output().expect("ps runs");
    let stat = String::from_utf8_lossy(&listed.stdout).into_owned();
    !stat.is_empty() && !stat.starts_with('Z')
}

#[tokio::test]
async fn the_environment_comes_from_values_secrets_and_config_maps() -> TestResult {
    let bench = Bench::start("environment").await?;
    let (file, variable) = bench.file("env");
    let container = json!({
        "command": ["sh", "-ec", "env | grep -e ^DB_ -e ^PASSWORD -e ^PLAIN -e ^MODE -e ^ABSENT | sort > \"$FILE\"; echo $PASSWORD"],
        "envFrom": [{"prefix": "DB_", "secretRef": {"name": "credentials"}}, {"configMapRef": {"name": "no", "optional": true}}],
        "env": [
            variable,
            {"name": "PLAIN", "value": "as it is"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "password"}}},
            {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
            {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "no", "optional": true}}},
        ],
    });
    bench.create("reader", container, 0).await?;
    // It waits for what is not there yet, as a Pod would.
    let secret = json!({"metadata": {"name": "credentials"}, "stringData": {"password": "s3cret", "host": "here"}});
    let secret: Secret = serde_json::from_value(secret)?;
    Api::namespaced(bench.client.clone(), "environment").create(&PostParams::default(), &secret).await?;
    let active = bench.jobs.get("reader").await?.status.unwrap_or_default();
    assert!(active.succeeded.is_none() && active.failed.unwrap_or_default() == 0, "{active:?}");
    let settings = json!({"metadata": {"name": "settings"}, "data": {"mode": "fast"}});
    let settings: ConfigMap = serde_json::from_value(settings)?;
    Api::namespaced(bench.client.clone(), "environment").create(&PostParams::default(), &settings).await?;

    bench.ended("reader", "Complete").await?;
    assert_eq!(read(&file), "DB_host=here\nDB_password=s3cret\nMODE=fast\nPASSWORD=s3cret\nPLAIN=as it is\n");
    Ok(())
}

#[tokio::test]
async fn a_suspended_job_waits() -> TestResult {
    let bench = Bench::start("suspended").await?;
    let (file, variable) = bench.file("ran");
    let container = with_env(script("touch \"$FILE\""), json!([variable]));
    let mut job = bench.create("prepared", container.clone(), 0).await?;
    bench.ended("prepared", "Complete").await?;
    std::fs::remove_file(&file)?;
    // The same again, suspended.
    job.metadata = serde_json::from_value(json!({"name": "waiting"}))?;
    job.status = None;
    let spec = job.spec.as_mut().expect("a Job with a spec");
    spec.suspend = Some(true);
    spec.selector = None;
    spec.template.metadata = None;
    let made = bench.jobs.create(&PostParams::default(), &job).await?;
    bench.create("later", script("true"), 0).await?;
    bench.ended("later", "Complete").await?;
    assert!(!file.exists(), "{} ran", made.name_any());
    let resume = json!({"spec": {"suspend": false}});
    bench.jobs.patch("waiting", &PatchParams::default(), &Patch::Merge(&resume)).await?;
    bench.ended("waiting", "Complete").await?;
    assert!(file.exists());
    Ok(())
}
