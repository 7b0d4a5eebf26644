//! A stand-in for the Job controller and the kubelet: runs the Jobs of a namespace as processes of this machine.
//!
//! **It runs whatever a Job says, on this machine, as the user who started it and without a container around it.** It is for
//! clusters of the demo and of tests, every Job of which the demo or the test made itself.
//!
//! Of each Job, once for each UID, `command` and `args` of the first container are run with its environment (`env` with
//! values and keys of Secrets and config maps, `envFrom`), in a temporary folder, and again after a failure as `backoffLimit`
//! says. A key that is missing is waited for, as a Pod would. The status is written as the Job controller would write it. A
//! Job that is suspended or being deleted does not run; deletion kills what runs. Output goes to standard output, with the
//! values of Secrets blotted out.
//!
//! Nothing collects garbage in such a cluster, so the finalizers of `kubectl delete --cascade=foreground|orphan` are
//! released here as well. Left out: images, volumes, all containers but one, `completions` and `parallelism`, time limits,
//! `$(NAME)` in commands, and the pauses between attempts.

mod environment;
mod process;
mod status;

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Container;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};

use environment::{Environment, Unresolved};

/// How soon something that is missing, or a server that does not answer, is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// How often Kubernetes tries again where a Job does not say.
const BACKOFF_LIMIT: i32 = 6;

/// What puts an end to the care for one Job.
#[derive(Debug, thiserror::Error)]
enum JobError {
    /// The API server refuses a write; asking again would not help.
    #[error("{what}: {source}")]
    Refused { what: String, source: kube::Error },
    /// The Job asks for something that is not done here, or cannot be started.
    #[error("{0}")]
    Unrunnable(String),
}

/// Runs the Jobs of `namespace`. It never comes back; dropping it kills all that runs.
pub async fn run(client: Client, namespace: &str) {
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    let mut events = pin!(watcher(jobs.clone(), watcher::Config::default()).default_backoff());
    let mut runner = Runner { client, jobs, tasks: JoinSet::new(), known: HashMap::new(), listed: Vec::new() };
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => runner.take(event),
                Some(Err(error)) => eprintln!("Jobs cannot be watched, trying again: {error}"),
                None => return,
            },
            // Only to forget what has ended.
            Some(_) = runner.tasks.join_next() => {}
        }
    }
}

struct Runner {
    client: Client,
    jobs: Api<Job>,
    /// Dropping it stops all of them, and with them their processes.
    tasks: JoinSet<()>,
    /// By UID. One that has ended stays, so that no Job is run twice.
    known: HashMap<String, AbortHandle>,
    /// The UIDs of a list that is under way.
    listed: Vec<String>,
}

impl Runner {
    fn take(&mut self, event: Event<Job>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(job) => {
                self.listed.extend(job.uid());
                self.look_at(job);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.known.retain(|uid, task| {
                    let is_there = listed.contains(uid);
                    if !is_there {
                        task.abort();
                    }
                    is_there
                });
            }
            Event::Apply(job) => self.look_at(job),
            Event::Delete(job) => self.stop(&job),
        }
    }

    fn look_at(&mut self, job: Job) {
        let Some(uid) = job.uid() else { return };
        if job.metadata.deletion_timestamp.is_some() {
            self.stop(&job);
            let released = status::without_collector(&job);
            if let Some(finalizers) = released {
                self.tasks.spawn(release(self.jobs.clone(), job, finalizers));
            }
        } else if !self.known.contains_key(&uid) && !status::is_over(&job) && !is_suspended(&job) {
            let task = One { client: self.client.clone(), jobs: self.jobs.clone(), job, failed: 0 };
            self.known.insert(uid, self.tasks.spawn(task.care()));
        }
    }

    fn stop(&mut self, job: &Job) {
        let known = job.metadata.uid.as_ref().and_then(|uid| self.known.remove(uid));
        if let Some(task) = known {
            if !task.is_finished() {
                println!("job {}: deleted, and stopped", job.name_any());
            }
            task.abort();
        }
    }
}

/// Takes finalizers of the garbage collector off, as it would once nothing depends on the Job.
async fn release(jobs: Api<Job>, job: Job, finalizers: Vec<String>) {
    let patch = json!({"metadata": {"resourceVersion": job.metadata.resource_version, "finalizers": finalizers}});
    let name = job.name_any();
    if let Err(error) = jobs.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        // Another change of it is another event.
        eprintln!("job {name}: its finalizers: {error}");
    }
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default()
}

/// The care for one Job.
struct One {
    client: Client,
    jobs: Api<Job>,
    job: Job,
    failed: i32,
}

impl One {
    async fn care(mut self) {
        if let Err(error) = self.run().await {
            eprintln!("job {}: {error}", self.job.name_any());
        }
    }

    async fn run(&mut self) -> Result<(), JobError> {
        let started = crate::operator::now();
        self.write(status::active(&started, self.failed)).await?;
        let outcome = self.attempts(&started).await;
        if let Err(JobError::Unrunnable(why)) = &outcome {
            self.write(status::failed(&started, self.failed, "PodFailurePolicy", why)).await?;
        }
        outcome
    }

    async fn attempts(
        &mut self,
        started: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
    ) -> Result<(), JobError> {
        let limit = self.job.spec.as_ref().and_then(|spec| spec.backoff_limit).unwrap_or(BACKOFF_LIMIT);
        loop {
            if self.attempt().await? {
                return self.write(status::complete(started, self.failed)).await;
            }
            self.failed += 1;
            if self.failed > limit {
                let why = "Job has reached the specified backoff limit";
                return self.write(status::failed(started, self.failed, "BackoffLimitExceeded", why)).await;
            }
            self.write(status::active(started, self.failed)).await?;
        }
    }

    /// Runs it once; true if it succeeded.
    async fn attempt(&self) -> Result<bool, JobError> {
        let container = self.container()?;
        let environment = self.environment(container).await?;
        let command =
            [container.command.clone().unwrap_or_default(), container.args.clone().unwrap_or_default()].concat();
        let name = self.job.name_any();
        println!("job {name}: runs, attempt {}", self.failed + 1);
        let ended = process::run(&name, &command, &environment).await;
        let ended = ended.map_err(|error| JobError::Unrunnable(format!("cannot be started here: {error}")))?;
        println!("job {name}: {ended}");
        Ok(ended.success())
    }

    fn container(&self) -> Result<&Container, JobError> {
        let pod = self.job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let container = pod.and_then(|pod| pod.containers.first());
        let runnable = container.filter(|container| container.command.as_ref().is_some_and(|words| !words.is_empty()));
        runnable.ok_or_else(|| {
            JobError::Unrunnable("its first container has no command, and no image is run here to have one".to_owned())
        })
    }

    /// Waits for what the container's environment is read from.
    async fn environment(&self, container: &Container) -> Result<Environment, JobError> {
        let namespace = self.job.namespace().unwrap_or_default();
        let mut told = String::new();
        loop {
            let why = match environment::resolve(&self.client, &namespace, container).await {
                Ok(environment) => return Ok(environment),
                Err(Unresolved::Unsupported(what)) => return Err(JobError::Unrunnable(what)),
                Err(waiting) => waiting.to_string(),
            };
            if told != why {
                println!("job {}: waits: {why}", self.job.name_any());
                told = why;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Writes the status until the server has it, or the Job is gone.
    async fn write(&self, status: Value) -> Result<(), JobError> {
        let patch = json!({"metadata": {"uid": self.job.metadata.uid}, "status": status});
        let name = self.job.name_any();
        loop {
            match self.jobs.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(answer)) if (400..429).contains(&answer.code) => {
                    let source = kube::Error::Api(answer);
                    return Err(JobError::Refused { what: "its status cannot be written".to_owned(), source });
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}
