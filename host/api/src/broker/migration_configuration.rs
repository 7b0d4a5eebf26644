//! `MigrationConfiguration`: the stages that a move from one kind to another goes through.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gvk::GroupVersionKind;
use crate::schema;

/// What happens when an object of one kind moves.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "broker.platform-mesh.io",
    version = "v1alpha1",
    kind = "MigrationConfiguration",
    plural = "migrationconfigurations",
    shortname = "migconf",
    category = "broker",
    namespaced,
    status = "MigrationConfigurationStatus",
    derive = "PartialEq",
    doc = "The stages that a move from one kind to another goes through.",
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from.kind"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to.kind"),
    printcolumn(name = "Valid", type_ = "string", json_path = r#".status.conditions[?(@.type=="Valid")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "From-Group", type_ = "string", json_path = ".spec.from.group", priority = "1"),
    printcolumn(name = "From-Version", type_ = "string", json_path = ".spec.from.version", priority = "1"),
    printcolumn(name = "To-Group", type_ = "string", json_path = ".spec.to.group", priority = "1"),
    printcolumn(name = "To-Version", type_ = "string", json_path = ".spec.to.version", priority = "1")
)]
pub struct MigrationConfigurationSpec {
    /// The kind that an object moves from.
    #[schemars(schema_with = "schema::named_kind")]
    pub from: GroupVersionKind,
    /// The kind that it moves to: the same, perhaps in another version.
    #[schemars(schema_with = "schema::named_kind")]
    pub to: GroupVersionKind,
    /// What is done, in this order. None: the move goes straight to its cutover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<MigrationStage>,
}

/// One stage: resources that are deployed to the compute cluster, and when they have done their work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStage {
    /// The stage's name, shown on the Migration.
    #[schemars(length(min = 1))]
    pub name: String,
    /// CEL expressions that must all be true before anything is deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<String>,
    /// The manifests to deploy, each under the name by which expressions speak of it. Strings may hold `${CEL}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::free_objects_by_name")]
    pub templates: BTreeMap<String, Map<String, Value>>,
    /// CEL expressions that must all be true for the stage to be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success_conditions: Vec<String>,
    /// Whether this stage's success moves the migration on to the next state.
    #[serde(default, skip_serializing_if = "is_false")]
    pub progress: bool,
    /// After how long an attempt at the stage has failed, as `90s`, `10m` or `1h30m`. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub timeout: Option<String>,
    /// How often the stage is tried again after an attempt that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub retries: Option<u32>,
    /// Whether a person has to approve the stage before it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// Whether a stage waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// It begins when the annotation `broker.platform-mesh.io/migration-approve` of the Migration names it.
    #[serde(rename = "required")]
    Required,
}

/// What the broker makes of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationConfigurationStatus {
    /// `Valid`: every expression can be compiled, and no other configuration is for the same pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The metadata.generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
