//! One configuration that has everything in it, objects that stop at any point of it, and a crew that brings them to its end.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_api::{Migration, keys};
use resource_broker_harness::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::stand::{Stand, job, job_failed, not_available, stage, status_of};
use crate::operator::Manner;
use crate::pair::PATIENCE;

/// What a copy is annotated with for the first stage's precondition to hold.
const GO: &str = "test.example.com/go";
/// How often the crew looks around.
const LOOK: Duration = Duration::from_millis(100);

/// Where an object stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// `Pending`: the new copy is being made.
    Pending,
    /// The first stage of all waits for a person.
    Approval,
    /// `InitialInProgress`: a precondition is waited for.
    Precondition,
    /// `InitialInProgress`: a stage runs.
    Running,
    /// `Failed`: that stage has failed, and nobody has decided what follows.
    Failed,
    /// `InitialCompleted`: the next stage runs.
    Completed,
    /// `CutoverInProgress`: the last stage runs.
    Cutover,
    /// `CutoverInProgress`: all stages are done, and the new copy is not available.
    Ready,
}

impl Point {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::Pending,
        Self::Approval,
        Self::Precondition,
        Self::Running,
        Self::Failed,
        Self::Completed,
        Self::Cutover,
        Self::Ready,
    ];

    /// The object that stops here.
    pub(super) fn object(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approval => "approval",
            Self::Precondition => "precondition",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Cutover => "cutover",
            Self::Ready => "ready",
        }
    }

    /// The state of a Migration that is here.
    pub(super) fn state(self) -> MigrationState {
        match self {
            Self::Pending => MigrationState::Pending,
            Self::Approval | Self::Precondition | Self::Running => MigrationState::InitialInProgress,
            Self::Failed => MigrationState::Failed,
            Self::Completed => MigrationState::InitialCompleted,
            Self::Cutover | Self::Ready => MigrationState::CutoverInProgress,
        }
    }

    /// Whether the consumer has the new provider's related resources here.
    pub(super) fn is_handed_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cutover | Self::Ready)
    }
}

/// The stages that lead by all points.
pub(super) fn stages() -> Value {
    let mut first = stage(
        "first",
        &json!({
            "progress": true,
            "preconditions": [format!("'{GO}' in to.metadata.annotations")],
        }),
    );
    first["templates"]["task"] = job();
    json!([
        {"name": "agreed", "approval": "required"},
        first,
        stage("second", &json!({"progress": true})),
        stage("third", &json!({})),
    ])
}

/// Places one object for each point, and takes each there.
pub(super) async fn embark(stand: &Stand) -> Result<()> {
    stand.configure(&stages()).await?;
    try_join_all(Point::ALL.map(|point| stand.world.place(point.object(), stand.world.first()))).await?;
    try_join_all(Point::ALL.map(|point| take(stand, point))).await?;
    Ok(())
}

async fn take(stand: &Stand, point: Point) -> Result<()> {
    let (world, object) = (&stand.world, point.object());
    let copy = world.pair.copy_name(object);
    match point {
        Point::Pending => {
            world.operators[1].treat(&copy, Manner { says: Some("Provisioning"), ..Manner::signing() });
        }
        Point::Ready => world.operators[1].treat(&copy, not_available()),
        _ => {}
    }
    world.send(object, world.second()).await?;
    if point == Point::Pending {
        stand.tells(object, reason::STAGE_WAITING, "is still making its copy").await;
        stand.reaches(object, MigrationState::Pending).await;
        return Ok(());
    }
    stand.stage(object, "agreed", StageState::AwaitingApproval).await;
    if point == Point::Approval {
        return Ok(());
    }
    stand.order(object, keys::MIGRATION_APPROVE, "agreed").await?;
    stand.stage(object, "first", StageState::Waiting).await;
    if point == Point::Precondition {
        stand.tells(object, reason::STAGE_WAITING, GO).await;
        return Ok(());
    }
    go(stand, object).await?;
    stand.stage(object, "first", StageState::Running).await;
    if point == Point::Running {
        stand.deployed::<ConfigMap>(object, "work").await;
        return Ok(());
    }
    if point == Point::Failed {
        stand.report(object, "task", &job_failed("no space left")).await?;
        stand.fails(object, reason::STAGE_FAILED).await;
        return Ok(());
    }
    for (stage, last) in [("first", false), ("second", point == Point::Completed), ("third", point == Point::Cutover)] {
        stand.stage(object, stage, StageState::Running).await;
        if last {
            stand.deployed::<ConfigMap>(object, "work").await;
            break;
        }
        work_of(stand, object, stage).await?;
        stand.stage(object, stage, StageState::Succeeded).await;
    }
    stand.reaches(object, point.state()).await;
    Ok(())
}

/// Does the work of one stage, whose ConfigMap is called as those of the others.
async fn work_of(stand: &Stand, object: &str, stage: &str) -> Result<()> {
    eventually(&format!("the work of {object}'s {stage}"), PATIENCE, || async {
        let map: ConfigMap = stand.deployed(object, "work").await;
        ensure!(map.labels().get(keys::MIGRATION_STAGE).is_some_and(|it| it == stage), "it is {:?}", map.labels());
        stand.finish(&map).await
    })
    .await;
    Ok(())
}

/// Has the first stage's precondition hold.
async fn go(stand: &Stand, object: &str) -> Result<()> {
    let world = &stand.world;
    let change = json!({"metadata": {"annotations": {GO: "yes"}}});
    world.second().edit(&world.pair.copy_name(object), &change).await.map(drop)
}

/// Waits until every object is where it stopped, whatever was done to the clusters meanwhile.
pub(super) async fn as_before(stand: &Stand) -> Result<()> {
    try_join_all(Point::ALL.map(|point| async move {
        let object = point.object();
        stand.reaches(object, point.state()).await;
        let (first, second) = (stand.world.first(), stand.world.second());
        let record = stand.world.record(object).await?;
        let next = record.spec.next.as_ref().map(|next| next.cluster.clone());
        ensure!(record.spec.provider.cluster == first.id.to_string(), "{object}: {:?}", record.spec);
        ensure!(next == Some(second.id.to_string()), "{object}: {:?}", record.spec);
        let serving = if point.is_handed_over() { second } else { first };
        eventually(&format!("{object} to have the Secret of {}", serving.id), PATIENCE, || async {
            let has = stand.world.served_by(object).await?;
            ensure!(has.as_deref() == Some(serving.id.name.as_str()), "it is of {has:?}");
            anyhow::Ok(())
        })
        .await;
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// Brings every object to its end.
pub(super) async fn land(stand: &Stand) -> Result<()> {
    let usual = Manner::signing();
    for point in Point::ALL {
        stand.world.operators[1].treat(&stand.world.pair.copy_name(point.object()), usual.clone());
    }
    let _crew = Crew::of(stand);
    try_join_all(Point::ALL.map(|point| async move {
        let object = point.object();
        if status_of(&stand.migration(object).await?).state == Some(MigrationState::Failed) {
            stand.order(object, keys::MIGRATION_RETRY, "true").await?;
        }
        go(stand, object).await?;
        stand.migrated(object).await;
        anyhow::Ok(())
    }))
    .await?;
    stand.is_clean().await;
    Ok(())
}

/// Does whatever stages wait for, until it is dropped.
pub(super) struct Crew(JoinHandle<()>);

impl Crew {
    /// For all migrations of a test.
    pub(super) fn of(stand: &Stand) -> Self {
        let hands = Hands {
            migrations: stand.world.migrations(),
            copies: stand.world.second().widgets(),
            maps: stand.compute(),
        };
        Self(tokio::spawn(async move {
            loop {
                // A server that does not answer is asked again.
                let _ = hands.help().await;
                tokio::time::sleep(LOOK).await;
            }
        }))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Hands {
    migrations: Api<Migration>,
    copies: Api<DynamicObject>,
    maps: Api<ConfigMap>,
}

impl Hands {
    async fn help(&self) -> Result<()> {
        for migration in self.migrations.list(&ListParams::default()).await? {
            let Some(stage) = status_of(&migration).stages.pop() else { continue };
            if stage.state == StageState::AwaitingApproval {
                annotate(&self.migrations, &migration.name_any(), keys::MIGRATION_APPROVE, &stage.name).await;
            }
            if stage.state == StageState::Waiting {
                annotate(&self.copies, &migration.spec.to.name, GO, "yes").await;
            }
        }
        for map in self.maps.list(&ListParams::default().labels(keys::MIGRATION_STAGE)).await? {
            let change = json!({"metadata": {"uid": map.uid()}, "data": {"done": "yes"}});
            // It may be gone by now.
            let _ = self.maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await;
        }
        Ok(())
    }
}

/// Annotates what may be gone by now.
async fn annotate<K: Clone + Debug + DeserializeOwned>(objects: &Api<K>, name: &str, key: &str, value: &str) {
    let change = json!({"metadata": {"annotations": {key: value}}});
    let _ = objects.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await;
}
