//! `Migration`: one object's move from one provider to another.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gvk::GroupVersionKind;
use crate::schema;

/// The two copies between which an object moves.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "broker.platform-mesh.io",
    version = "v1alpha1",
    kind = "Migration",
    plural = "migrations",
    shortname = "mig",
    category = "broker",
    namespaced,
    status = "MigrationStatus",
    derive = "PartialEq",
    doc = "One object's move from one provider to another.",
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from.clusterName"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to.clusterName"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "From-Kind", type_ = "string", json_path = ".spec.from.gvk.kind", priority = "1"),
    printcolumn(name = "From-Name", type_ = "string", json_path = ".spec.from.name", priority = "1"),
    printcolumn(name = "To-Kind", type_ = "string", json_path = ".spec.to.gvk.kind", priority = "1"),
    printcolumn(name = "To-Name", type_ = "string", json_path = ".spec.to.name", priority = "1"),
    printcolumn(
        name = "Waiting-For",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Progressing")].message"#,
        priority = "1"
    ),
    printcolumn(name = "ID", type_ = "string", json_path = ".status.id", priority = "1")
)]
pub struct MigrationSpec {
    /// The copy that is left behind.
    pub from: MigrationRef,
    /// The copy that takes over.
    pub to: MigrationRef,
}

/// One copy at one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRef {
    /// The copy's kind.
    pub gvk: GroupVersionKind,
    /// The copy's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The copy's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The provider's name, as `provider#NAME`.
    #[schemars(length(min = 1))]
    pub cluster_name: String,
}

/// How far the move is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// The step that it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MigrationState>,
    /// The name of the stage that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What the names of the stage's resources begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `MigrationConfiguration` that its stages are from; absent where a Plugin makes them without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// The one namespace of the compute cluster that it deploys into, for as long as it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_namespace: Option<String>,
    /// The stages that have begun, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageStatus>,
    /// The metadata.generation that the consumer object had when it began to move, or was rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_generation: Option<i64>,
    /// A condition for each state that was reached, `Progressing` with what is waited for or in the way, and `Failed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// How one stage went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// The stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How far it is.
    pub state: StageState,
    /// Which attempt this is, from one.
    #[serde(default)]
    #[schemars(!default, schema_with = "schema::count")]
    pub attempt: u32,
    /// When this attempt began; its timeout counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub started_at: Option<Time>,
    /// When the stage ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completed_at: Option<Time>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether what it deploys carries a finalizer of the broker; absent where an earlier release deployed it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub retained: bool,
    /// What the stage deploys in the compute cluster. Written before it is deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<StageResource>,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StageState {
    /// Its preconditions are waited for.
    #[default]
    Waiting,
    /// A person's approval is waited for.
    AwaitingApproval,
    /// Its resources are deployed, and its success conditions waited for.
    Running,
    /// Its attempt failed; its resources are taken away before the next one.
    Retrying,
    /// It is done; its resources are taken away.
    Succeeded,
    /// It failed for good.
    Failed,
}

/// One object that a stage deploys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct StageResource {
    /// The template's name.
    #[schemars(length(min = 1))]
    pub template: String,
    /// The object's kind.
    pub gvk: GroupVersionKind,
    /// The object's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The UID of the object that was deployed, which is not deployed a second time where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl StageResource {
    /// Whether both are for the same object, whichever has been deployed.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.template, &self.gvk, &self.name) == (&other.template, &other.gvk, &other.name)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The steps of a migration, in their order; `Failed` can follow each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MigrationState {
    /// Not taken up yet.
    #[default]
    #[serde(rename = "")]
    New,
    /// Taken up; no stage has begun.
    Pending,
    /// Stages run; the consumer still has the old provider's resources.
    InitialInProgress,
    /// The data is over: the consumer gets the new provider's resources from here on.
    InitialCompleted,
    /// All stages are done; the new copy's availability is waited for.
    CutoverInProgress,
    /// The new provider has taken over.
    CutoverCompleted,
    /// The move cannot go on; the old provider still serves.
    Failed,
}
