//! The acts in which a database is ordered, used, and moved with the rows in it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use resource_broker_harness::{broker_binary, poll};
use serde_json::Value;
use tokio::process::Command;

use super::follow::{Follower, Version};
use super::kubectl::words;
use super::moves::condition;
use super::{JOB, MIGRATION, NAMESPACE, PATIENCE, Teller, api};
use crate::database::engine::{self, Engine};
use crate::scene::{BROKER_NAMESPACE, COMPUTE_NAMESPACE, Provider};

const OBJECT: &str = "orders";
const OBJECT_SECRET: &str = "orders-credentials";
const ROW: &str = "a red bicycle";
const STAGE: &str = "copy-rows";
const SELECTOR: &str = "broker.platform-mesh.io/migration-id";

impl Teller<'_> {
    /// A database is ordered, and a row written into it.
    pub(super) async fn database(&mut self) -> Result<()> {
        self.stage.act("Somebody orders a database");
        let engine = self.scene.nestor.databases.access().engine;
        if let Some(missing) = engine.missing() {
            self.stage.say(&format!("{missing}; the story is told with {}.", engine.title()));
        }
        for provider in [&self.scene.nestor, &self.scene.theseus] {
            let name = provider.cluster.name();
            self.stage.say(&format!("{name} has {}.", provider.databases.title().await?));
            self.apply(name, &offer(provider.version)).await?;
        }
        self.stage.say("(Both are what this machine has; the versions in the offers are the story's.)");
        for provider in [&self.scene.nestor, &self.scene.theseus] {
            let name = provider.cluster.name();
            self.run(name, &["wait", "acceptapi/databases", "--for=condition=Valid", "--timeout=60s"]).await?;
        }
        self.apply("homer", &order(self.scene.nestor.version)).await?;
        self.run_in_shop("homer", &["wait", "sql/orders", "--for=condition=Ready", "--timeout=60s"]).await?;
        self.run_in_shop("homer", &["get", "sql", OBJECT, "-o", "wide"]).await?;
        self.stage.say("Its user has the credentials in a Secret, and writes a row:");
        let uri = self.uri_at(&self.scene.nestor).await?;
        self.show_reading_of_uri();
        self.use_database(engine.scripts().write, &uri).await?;
        let rows = self.use_database(engine.scripts().read, &uri).await?;
        ensure!(rows.trim() == ROW, "the row that was written is not there: {rows:?}");
        Ok(())
    }

    /// The database moves.
    pub(super) async fn database_moves(&mut self) -> Result<()> {
        self.stage.act("The database moves, and its rows with it");
        let engine = self.scene.nestor.databases.access().engine;
        self.stage.say("What has to be done when a database moves is written down once, for all of them:");
        self.apply("coordination", &configuration(engine)).await?;
        let there = ["-n", BROKER_NAMESPACE];
        let wait = ["wait", "migrationconfiguration/databases", "--for=condition=Valid", "--timeout=60s"];
        self.run("coordination", &[&wait[..], &there].concat()).await?;
        self.run("coordination", &[&["get", "migrationconfigurations"][..], &there].concat()).await?;

        let old = self.uri_at(&self.scene.nestor).await?;
        let mut seen = Seen::start(self).await?;
        self.stage.say("Another version is wanted, which only theseus offers:");
        let patch = format!(r#"{{"spec":{{"version":"{}"}}}}"#, self.scene.theseus.version);
        self.run_in_shop("homer", &["patch", "sql", OBJECT, "--type=merge", "-p", &patch]).await?;
        let name = self.show_migration(&mut seen, |migration| stage(migration)["state"] == "AwaitingApproval").await?;
        self.awaiting_approval(&name).await?;
        self.show_migration(&mut seen, |migration| migration["status"]["state"] == "CutoverCompleted").await?;

        self.stage.say("The Secret at homer is theseus' now, and has the row:");
        let uri = self.uri_at(&self.scene.theseus).await?;
        ensure!(uri != old, "the old credentials");
        self.show_reading_of_uri();
        let rows = self.use_database(engine.scripts().read, &uri).await?;
        ensure!(rows.trim() == ROW, "the row that was written at nestor is not at theseus: {rows:?}");
        self.stage.good("the row that was written before the move was read from the other server");
        self.run_in_shop("homer", &["get", "sql", OBJECT, "-o", "wide"]).await?;
        self.run("coordination", &[&["get", "migrations"][..], &there].concat()).await?;
        self.stage.say("At nestor nothing is left, and nothing in compute:");
        self.expect_nothing("nestor", NAMESPACE, "sqls,secrets").await?;
        self.expect_no_labelled("compute", COMPUTE_NAMESPACE, "jobs,secrets", SELECTOR).await
    }

    /// Both copies are there, the old one serves, and a person has to say that it may go on.
    async fn awaiting_approval(&mut self, name: &str) -> Result<()> {
        self.stage.say(
            "The stage waits for somebody's word. Until then nestor serves on; theseus' database is there by now:",
        );
        self.run_in_shop("homer", &["get", "sql", OBJECT, "-o", "wide"]).await?;
        self.run("coordination", &["get", "migrations", "-n", BROKER_NAMESPACE]).await?;
        let awaited = r#"jsonpath={.status.conditions[?(@.type=="Progressing")].message}{"\n"}"#;
        self.run("coordination", &["get", "migration", name, "-n", BROKER_NAMESPACE, "-o", awaited]).await?;
        self.stage.say("The credentials of both are in compute, for the stage's Job:");
        let secrets = ["get", "secrets", "-n", COMPUTE_NAMESPACE, "-l", SELECTOR];
        poll("the credentials of both databases in compute", PATIENCE, async || {
            let there = self.kubectl.run("compute", &[&secrets[..], &["-o", "name"]].concat(), None).await?;
            ensure!(there.contains("/from-") && there.contains("/to-"), "there is {there:?}");
            Ok(())
        })
        .await?;
        self.run("compute", &secrets).await?;
        let coordination = self.scene.coordination.kubeconfig().display().to_string();
        let place = ["-n", BROKER_NAMESPACE, "--coordination-kubeconfig", &coordination];
        let args = [&["migrate", "approve", name], &place[..]].concat();
        self.stage.command(&format!("resource-broker {}", words(&args)));
        let said = broker_command(&broker_binary()?, &args).await?;
        self.stage.output(&said);
        Ok(())
    }

    /// Shows how Migration and Jobs change until the Migration is as wanted; returns its name.
    async fn show_migration(&mut self, seen: &mut Seen, is_wanted: fn(&Value) -> bool) -> Result<String> {
        loop {
            let (line, wanted) = tokio::select! {
                version = seen.migrations.next(PATIENCE) => match version? {
                    Version::Is(migration) => {
                        let name = migration.name_any();
                        let wanted = is_wanted(&migration.data).then_some(name);
                        (migration_line(&migration.data)?, wanted)
                    }
                    Version::Gone(_) => bail!("the Migration is gone, and was to stay"),
                },
                version = seen.jobs.next(PATIENCE) => (job_line(&version?), None),
            };
            // A Job and a Migration change in turns, and not every change is one of the line.
            if !line.is_empty() && seen.shown.insert(line.clone()) {
                self.stage.output(&line);
            }
            if let Some(name) = wanted {
                return Ok(name);
            }
        }
    }

    /// The URI in the consumer's Secret once it leads to `provider`'s server.
    async fn uri_at(&self, provider: &Provider) -> Result<String> {
        let secrets = Api::<Secret>::namespaced(self.scene.homer.client().await?, NAMESPACE);
        let address = &provider.databases.access().address;
        poll(&format!("credentials for the server at {address}"), PATIENCE, async || {
            let data = secrets.get(OBJECT_SECRET).await?.data.unwrap_or_default();
            let uri = data.get("uri").map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
            let uri = uri.with_context(|| format!("Secret {OBJECT_SECRET} has no uri"))?;
            ensure!(uri.contains(address), "they are for another server");
            Ok(uri)
        })
        .await
    }

    /// The command that a user has the URI from.
    fn show_reading_of_uri(&mut self) {
        let get = ["get", "secret", OBJECT_SECRET, "-n", NAMESPACE, "-o", "jsonpath={.data.uri}"];
        self.stage.command(&format!("URI=$({} | base64 -d)", self.kubectl.line("homer", &get)));
    }

    /// Does what the database's user would do.
    async fn use_database(&mut self, script: &str, uri: &str) -> Result<String> {
        self.stage.command(&script.replace("$ROW", ROW).replace(":'row'", &format!("'{ROW}'")));
        let output = engine::run(script, &[("URI", uri), ("ROW", ROW)]).await?;
        self.stage.output(&output);
        Ok(output)
    }
}

/// What is seen of a move in coordination and compute.
struct Seen {
    migrations: Follower,
    jobs: Follower,
    shown: HashSet<String>,
}

impl Seen {
    async fn start(teller: &Teller<'_>) -> Result<Self> {
        let scene = teller.scene;
        Ok(Self {
            migrations: Follower::start(api(&scene.coordination, MIGRATION, BROKER_NAMESPACE).await?, None).await?,
            jobs: Follower::start(api(&scene.compute, JOB, COMPUTE_NAMESPACE).await?, None).await?,
            shown: HashSet::new(),
        })
    }
}

/// A Migration in one line; an error if it has failed.
fn migration_line(migration: &Value) -> Result<String> {
    let status = &migration["status"];
    let state = status["state"].as_str().unwrap_or_default();
    if state == "Failed" {
        let failed = condition(migration, "Failed");
        bail!("the Migration failed: {}: {}", failed["reason"], failed["message"]);
    }
    let under_way = match stage(migration) {
        Value::Null => String::new(),
        begun => {
            let again = begun["attempt"].as_u64().filter(|attempt| *attempt > 1);
            let again = again.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
            format!(", stage {}: {}{again}", text(&begun["name"]), text(&begun["state"]))
        }
    };
    Ok(if state.is_empty() { String::new() } else { format!("Migration  {state}{under_way}") })
}

/// A Job in one line; the API server's last word on it is its deletion.
fn job_line(version: &Version) -> String {
    let (job, gone) = match version {
        Version::Is(job) => (job, job.metadata.deletion_timestamp.is_some()),
        Version::Gone(job) => (job, true),
    };
    let status = &job.data["status"];
    let is = |field: &str| status[field].as_u64().is_some_and(|number| number > 0);
    let state = match () {
        () if gone => "deleted",
        () if is("succeeded") => "succeeded",
        () if is("active") => "runs",
        () if is("failed") => "failed",
        () => "deployed in compute",
    };
    format!("Job        {} {state}", job.name_any())
}

/// The stage that is under way, or was last; null where none has begun.
fn stage(migration: &Value) -> &Value {
    migration["status"]["stages"].as_array().and_then(|stages| stages.last()).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn broker_command(program: &PathBuf, args: &[&str]) -> Result<String> {
    let command = Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = command.await.context("cannot run resource-broker")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "resource-broker {}: {}", words(args), complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &complaint)
}

/// A manifest of the database, for the consumer.
fn order(version: &str) -> String {
    format!(
        "apiVersion: databases.generic.platform-mesh.io/v1alpha1\n\
         kind: SQL\n\
         metadata:\n  name: {OBJECT}\n  namespace: {NAMESPACE}\n\
         spec:\n  engine: postgres\n  version: \"{version}\"\n"
    )
}

fn offer(version: &str) -> String {
    format!(
        "apiVersion: broker.platform-mesh.io/v1alpha1\n\
         kind: AcceptAPI\n\
         metadata:\n  name: databases\n  namespace: default\n\
         spec:\n  gvr:\n    group: databases.generic.platform-mesh.io\n    version: v1alpha1\n    resource: sqls\n  \
         filters:\n  - key: engine\n    valueIn: [postgres]\n  - key: version\n    valueIn: [\"{version}\"]\n"
    )
}

/// What has to be done when a database moves. The copy can be made any number of times, so a retry does no harm.
fn configuration(engine: Engine) -> String {
    let script = engine.scripts().copy.replace('\n', "\n                  ");
    format!(
        r#"apiVersion: broker.platform-mesh.io/v1alpha1
kind: MigrationConfiguration
metadata:
  name: databases
  namespace: {BROKER_NAMESPACE}
spec:
  from: {{group: databases.generic.platform-mesh.io, version: v1alpha1, kind: SQL}}
  to: {{group: databases.generic.platform-mesh.io, version: v1alpha1, kind: SQL}}
  stages:
  - name: {STAGE}
    progress: true
    approval: required
    timeout: 2m
    retries: 2
    preconditions:
    - to.status.status == "Available"
    templates:
      job:
        apiVersion: batch/v1
        kind: Job
        spec:
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              containers:
              - name: copy
                image: postgres:16   # what runs Jobs here needs none
                env:
                - name: FROM_URI
                  valueFrom: {{secretKeyRef: {{name: "from-${{from.status.relatedResources.credentials.name}}", key: uri}}}}
                - name: TO_URI
                  valueFrom: {{secretKeyRef: {{name: "to-${{to.status.relatedResources.credentials.name}}", key: uri}}}}
                command: [bash, -euo, pipefail, -c]
                args:
                - |
                  {script}
    successConditions:
    - job.status.succeeded == 1
"#
    )
}
