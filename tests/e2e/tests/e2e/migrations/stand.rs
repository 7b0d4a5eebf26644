//! What a test of migrations stands on: a world of moves with a broker and a witness, and hands for Migrations, orders, and
//! what is in compute.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt as _};
use resource_broker_api::broker::{MigrationState, MigrationStatus, StageState, StageStatus};
use resource_broker_api::{Migration, MigrationConfiguration, keys};
use resource_broker_harness::{Broker, BrokerBuilder, broker_binary, eventually};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::moves::law::Terms;
use crate::moves::witness::{Chronicle, Place, Sight, Witness};
use crate::moves::world::World;
use crate::operator::Manner;
use crate::pair::{PATIENCE, Side, event_about, gone, until};

/// What says in a ConfigMap of a stage that its work is done.
pub(super) const DONE: &str = "work.data.done == 'yes'";

/// A world in which objects migrate.
pub(super) struct Stand {
    pub(super) world: World,
    pub(super) witness: Witness,
    pub(super) broker: Broker,
    compute: Client,
}

impl Stand {
    /// Two providers and the usual broker. `name` is unique: namespaces in all clusters and the broker's user are called so.
    pub(super) async fn new(name: &'static str) -> Result<Self> {
        Self::on(World::new(name).await?, |broker| broker).await
    }

    /// In this world, with further flags of the broker.
    pub(super) async fn on(world: World, flags: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> Result<Self> {
        let builder = flags(world.broker().await?);
        Self::with(world, builder).await
    }

    /// In this world, with this broker.
    pub(super) async fn with(world: World, broker: BrokerBuilder) -> Result<Self> {
        Self::beside(world, broker, &[]).await
    }

    /// In this world, with this broker, which serves these consumers, too.
    pub(super) async fn beside(world: World, broker: BrokerBuilder, consumers: &[&Side]) -> Result<Self> {
        let witness = Witness::of(&world, consumers).await?;
        let compute = world.compute.client().await?;
        let broker = broker.start().await?;
        Ok(Self { world, witness, broker, compute })
    }

    /// Judges all that was seen.
    pub(super) async fn judge(&self) -> Result<Chronicle> {
        self.judge_by(&Terms::default()).await
    }

    /// Judges all that was seen, where the test does what would break a rule otherwise.
    pub(super) async fn judge_by(&self, terms: &Terms) -> Result<Chronicle> {
        self.world.judge(&self.witness, &self.broker, terms).await
    }

    /// The test's objects of one kind in compute.
    pub(super) fn compute<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.compute.clone(), self.world.pair.name)
    }

    /// Compute as a whole.
    pub(super) fn compute_client(&self) -> Client {
        self.compute.clone()
    }

    /// Sets the stages of all moves here, and waits until they are found good.
    pub(super) async fn configure(&self, stages: &Value) -> Result<()> {
        let applied = self.world.configure("stages", stages).await?;
        let generation = applied.metadata.generation;
        until(&self.world.configurations(), "stages", "to be valid", |it| {
            valid(it).is_some_and(|valid| valid.status == "True" && valid.observed_generation == generation)
        })
        .await;
        Ok(())
    }

    /// Waits for what a configuration says in its condition `Valid`, and returns the message.
    pub(super) async fn judged(&self, configuration: &str, status: &str, reason: &str) -> String {
        let what = format!("Valid to be {status} for {reason}");
        let configuration = until(&self.world.configurations(), configuration, &what, |it| {
            valid(it).is_some_and(|valid| valid.status == status && valid.reason == reason)
        })
        .await;
        valid(&configuration).map(|valid| valid.message.clone()).unwrap_or_default()
    }

    /// Takes a configuration away. The broker lets it go at once, whatever uses it.
    pub(super) async fn unconfigure(&self, name: &str) -> Result<()> {
        self.world.configurations().delete(name, &DeleteParams::default()).await?;
        gone(&self.world.configurations(), name).await;
        Ok(())
    }

    /// What the Migration of an object is called.
    pub(super) fn name(&self, object: &str) -> String {
        self.world.pair.record_name(object)
    }

    /// The Migration of an object now.
    pub(super) async fn migration(&self, object: &str) -> Result<Migration> {
        let name = self.name(object);
        self.world.migrations().get(&name).await.with_context(|| format!("the Migration {name}"))
    }

    /// Waits until `holds` of an object's Migration.
    pub(super) async fn until(&self, object: &str, what: &str, holds: impl Fn(&Migration) -> bool) -> Migration {
        until(&self.world.migrations(), &self.name(object), &format!("the Migration of {object} {what}"), holds).await
    }

    /// Waits until an object's Migration is in a state.
    pub(super) async fn reaches(&self, object: &str, state: MigrationState) -> Migration {
        self.until(object, &format!("to be {state:?}"), |it| state_of(it) == state).await
    }

    /// Waits until a stage is in a state, and returns what the Migration says of it.
    pub(super) async fn stage(&self, object: &str, name: &str, state: StageState) -> StageStatus {
        let migration = self
            .until(object, &format!("to have stage {name} {state:?}"), |it| {
                stage_of(it, name).is_some_and(|stage| stage.state == state)
            })
            .await;
        stage_of(&migration, name).cloned().unwrap_or_default()
    }

    /// Waits until an object's Migration says that it waits for this reason, with this in its message, which is returned.
    pub(super) async fn tells(&self, object: &str, reason: &str, part: &str) -> String {
        let what = format!("to say {reason} with {part:?}");
        let migration = self
            .until(object, &what, |it| {
                condition(it, "Progressing").is_some_and(|it| it.reason == reason && it.message.contains(part))
            })
            .await;
        condition(&migration, "Progressing").map(|it| it.message.clone()).unwrap_or_default()
    }

    /// Waits until an object's Migration has failed for this reason; the message.
    pub(super) async fn fails(&self, object: &str, reason: &str) -> String {
        let migration = self.until(object, &format!("to fail with {reason}"), |it| has_failed(it, reason)).await;
        condition(&migration, "Failed").map(|it| it.message.clone()).unwrap_or_default()
    }

    /// Annotates an object's Migration, as a person gives an order.
    pub(super) async fn order(&self, object: &str, annotation: &str, value: &str) -> Result<()> {
        let change = json!({"metadata": {"annotations": {annotation: value}}});
        self.world.migrations().patch(&self.name(object), &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Waits until the broker has taken an order off.
    pub(super) async fn order_is_taken(&self, object: &str, annotation: &str) {
        self.until(object, &format!("to be without {annotation}"), |it| !it.annotations().contains_key(annotation))
            .await;
    }

    /// Waits for an Event about an object's Migration; its message.
    pub(super) async fn event(&self, object: &str, reason: &str) -> String {
        let events: Api<Event> = Api::namespaced(self.world.pair.records.clone().into_client(), self.world.pair.name);
        event_about(&events, &self.name(object), reason).await
    }

    /// What the names of what an object's stages deploy begin with.
    pub(super) async fn id(&self, object: &str) -> String {
        let migration = self.until(object, "to have an id", |it| status_of(it).id.is_some()).await;
        status_of(&migration).id.unwrap_or_default()
    }

    /// Waits for what a template of an object's stage has deployed.
    pub(super) async fn deployed<K>(&self, object: &str, template: &str) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    {
        let name = format!("{}-{template}", self.id(object).await);
        until(&self.compute::<K>(), &name, "to be deployed and to stay", |it| it.meta().deletion_timestamp.is_none())
            .await
    }

    /// Writes into the ConfigMap `work` of an object's stage that its work is done.
    pub(super) async fn done(&self, object: &str) -> Result<()> {
        let map: ConfigMap = self.deployed(object, "work").await;
        self.finish(&map).await
    }

    /// Writes into a stage's ConfigMap that its work is done.
    pub(super) async fn finish(&self, map: &ConfigMap) -> Result<()> {
        let change = json!({"metadata": {"uid": map.uid()}, "data": {"done": "yes"}});
        let maps = self.compute::<ConfigMap>();
        maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Writes a Job's status, as its controller does.
    pub(super) async fn report(&self, object: &str, template: &str, status: &Value) -> Result<()> {
        let job: Job = self.deployed(object, template).await;
        let change = json!({"metadata": {"uid": job.uid()}, "status": status});
        let jobs = self.compute::<Job>();
        jobs.patch_status(&job.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Waits until nothing of any migration is in compute.
    pub(super) async fn is_clean(&self) {
        eventually("compute to be clean", PATIENCE, || async {
            let mut left = names(&self.compute::<ConfigMap>()).await?;
            left.extend(names(&self.compute::<Secret>()).await?);
            left.extend(names(&self.compute::<Job>()).await?);
            ensure!(left.is_empty(), "there are {left:?}");
            anyhow::Ok(())
        })
        .await;
    }

    /// Waits until an object has migrated: it is at the second provider, its Migration says so, and compute is clean of it.
    pub(super) async fn migrated(&self, object: &str) -> Migration {
        self.world.arrived(object, self.world.second()).await;
        self.reaches(object, MigrationState::CutoverCompleted).await
    }

    /// Waits until an object stays where it was, its Migration has failed for this reason, and no other copy is there. The
    /// message.
    pub(super) async fn stays(&self, object: &str, reason: &str) -> String {
        let message = self.fails(object, reason).await;
        self.world.moved(object, self.world.first()).await;
        message
    }

    /// Everything that was deleted so far, or is being deleted.
    pub(super) async fn endings(&self) -> BTreeSet<Place> {
        let chronicle = self.witness.chronicle().await;
        chronicle.sights.iter().filter(|sight| !sight.lives()).map(Sight::place).collect()
    }

    /// Runs `resource-broker migrate` for an object's Migration.
    pub(super) async fn migrate(&self, order: &str, object: &str, further: &[&str]) -> Result<Answer> {
        let name = self.name(object);
        let namespace = format!("--namespace={}", self.world.pair.name);
        let arguments: Vec<&str> = [order, &name, &namespace].into_iter().chain(further.iter().copied()).collect();
        self.command(&arguments).await
    }

    /// Runs `resource-broker migrate` with these arguments, and the coordination cluster's kubeconfig.
    pub(super) async fn command(&self, arguments: &[&str]) -> Result<Answer> {
        let kubeconfig = self.world.pair.coordination.kubeconfig();
        let output = Command::new(broker_binary()?)
            .arg("migrate")
            .args(arguments)
            .arg(format!("--coordination-kubeconfig={}", kubeconfig.display()))
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .output()
            .await
            .context("the broker's program cannot be run")?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().context("it was killed")?;
        Ok(Answer { code, output: text(&output.stdout), complaint: text(&output.stderr) })
    }

    /// Which provider the consumer's Secret of an object is from, where that stays so while another object is placed.
    pub(super) async fn serves_on(&self, object: &str, marker: &str) -> Result<()> {
        self.world.place(marker, self.world.first()).await?;
        let serving = self.world.served_by(object).await?;
        ensure!(serving.as_deref() == Some(self.world.first().id.name.as_str()), "it is served by {serving:?}");
        let record = self.world.record(object).await?;
        ensure!(record.spec.provider.cluster == self.world.first().id.to_string(), "{:?}", record.spec);
        Ok(())
    }
}

/// What a command came to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) output: String,
    pub(super) complaint: String,
}

impl Answer {
    /// It did what it was told to, and said this.
    #[track_caller]
    pub(super) fn is_done(&self, part: &str) {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(self.output.contains(part) && self.complaint.is_empty(), "no {part:?} in {self:?}");
    }

    /// It refused in one line, in which all of this stands.
    #[track_caller]
    pub(super) fn is_refused(&self, parts: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(self.output.is_empty() && self.complaint.trim_end().lines().count() == 1, "{self:?}");
        for part in parts {
            assert!(self.complaint.contains(part), "no {part:?} in {self:?}");
        }
    }
}

/// A stage that is done when its ConfigMap says so; `further` fields replace the usual ones.
pub(super) fn stage(name: &str, further: &Value) -> Value {
    let mut stage = json!({
        "name": name,
        "templates": {"work": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"done": "no"}}},
        "successConditions": [DONE],
    });
    for (field, value) in further.as_object().into_iter().flatten() {
        stage[field] = value.clone();
    }
    stage
}

/// An operator's manner: stages may begin, and the copy cannot take over yet.
pub(super) fn not_available() -> Manner {
    Manner { says: Some("Degraded"), ..Manner::signing() }
}

/// What a Job's controller writes when its pods have failed for good.
pub(super) fn job_failed(message: &str) -> Value {
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "BackoffLimitExceeded", "message": message,
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        })
    };
    json!({
        "startTime": "2020-01-01T00:00:00Z", "failed": 1,
        "conditions": [condition("FailureTarget"), condition("Failed")],
    })
}

/// What a Job's controller writes when a pod has succeeded.
pub(super) fn job_succeeded() -> Value {
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "CompletionsReached", "message": "",
            "lastTransitionTime": "2020-01-01T00:00:01Z",
        })
    };
    json!({
        "startTime": "2020-01-01T00:00:00Z", "completionTime": "2020-01-01T00:00:01Z", "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    })
}

/// A manifest of a Job that does nothing here: nobody runs it.
pub(super) fn job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "work", "image": "work.example.com/work"}],
        }}},
    })
}

/// The names of what migrations have left in compute.
async fn names<K>(objects: &Api<K>) -> Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let there = objects.list(&ListParams::default().labels(keys::MIGRATION_ID)).await?;
    Ok(there.items.iter().map(|it| format!("{} {}", K::kind(&()), it.name_any())).collect())
}

/// What a Migration says.
pub(super) fn status_of(migration: &Migration) -> MigrationStatus {
    migration.status.clone().unwrap_or_default()
}

/// The state that a Migration is in.
pub(super) fn state_of(migration: &Migration) -> MigrationState {
    status_of(migration).state.unwrap_or_default()
}

/// What a Migration says of a stage.
pub(super) fn stage_of<'m>(migration: &'m Migration, stage: &str) -> Option<&'m StageStatus> {
    migration.status.as_ref()?.stages.iter().find(|it| it.name == stage)
}

/// One condition of a Migration.
pub(super) fn condition<'m>(migration: &'m Migration, type_: &str) -> Option<&'m Condition> {
    migration.status.as_ref()?.conditions.iter().find(|it| it.type_ == type_)
}

/// Whether a Migration has failed for a reason.
pub(super) fn has_failed(migration: &Migration, reason: &str) -> bool {
    let failed = condition(migration, "Failed").is_some_and(|it| it.status == "True" && it.reason == reason);
    failed && state_of(migration) == MigrationState::Failed
}

/// A configuration's only condition.
pub(super) fn valid(configuration: &MigrationConfiguration) -> Option<&Condition> {
    configuration.status.as_ref()?.conditions.iter().find(|it| it.type_ == "Valid")
}

/// What a Secret holds, as text.
pub(super) fn texts(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, bytes)| (key.clone(), String::from_utf8_lossy(&bytes.0).into_owned())).collect()
}

/// The states of an object's Migration in the order in which they were seen, which are to be these.
pub(super) fn went_through(chronicle: &Chronicle, migration: &str, states: &[&str]) -> Result<()> {
    let seen = chronicle.states(migration);
    if seen != states {
        bail!("{migration} went through {seen:?}, and not through {states:?}");
    }
    Ok(())
}
