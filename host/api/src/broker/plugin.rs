//! `Plugin`: which WebAssembly component serves which APIs.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// A component, where it is kept, and what it is used for.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "broker.platform-mesh.io",
    version = "v1alpha1",
    kind = "Plugin",
    plural = "plugins",
    shortname = "rbplugin",
    category = "broker",
    namespaced,
    status = "PluginStatus",
    derive = "PartialEq",
    doc = "Which WebAssembly component serves which APIs in place of the standard one.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Roles", type_ = "string", json_path = ".status.columns.roles"),
    printcolumn(name = "APIs", type_ = "string", json_path = ".status.columns.apis"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.columns.digest"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = "1"
    ),
    printcolumn(name = "Interface", type_ = "string", json_path = ".status.interfaceVersion", priority = "1"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".status.size", priority = "1"),
    printcolumn(name = "Calls", type_ = "integer", json_path = ".status.calls", priority = "1"),
    printcolumn(name = "Failures", type_ = "integer", json_path = ".status.failures", priority = "1"),
    printcolumn(name = "Last-Error", type_ = "string", json_path = ".status.lastError", priority = "1")
)]
pub struct PluginSpec {
    /// Where the component's bytes are: one part, or several that are joined in this order where one config map is too
    /// small. The whole may be compressed with gzip or zstd.
    #[schemars(length(min = 1, max = 64))]
    pub component: Vec<ComponentPart>,
    /// The APIs that it serves, in every version.
    #[schemars(length(min = 1))]
    pub apis: Vec<ApiRef>,
    /// What it is used for. None: everything that it exports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<PluginRole>,
    /// Settings that are handed to the component, which checks them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub configuration: Option<Map<String, Value>>,
    /// The SHA-256 of the component, unpacked, in lower-case hex. Another component is not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// What a call may use at most, within what the broker allows any plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PluginLimits>,
}

/// A piece of a component: one `binaryData` key of a `ConfigMap` beside the Plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentPart {
    /// The `ConfigMap`'s name, in the Plugin's namespace.
    #[schemars(length(min = 1))]
    pub config_map: String,
    /// The key in its `binaryData`.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// An API, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ApiRef {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural, lower-case name.
    #[schemars(length(min = 1))]
    pub resource: String,
}

/// What a component can be used for; the names are those of the interfaces that it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PluginRole {
    /// Says which offers take an object.
    AcceptFilter,
    /// Makes the consumer's status from the copy's.
    StatusTransformer,
    /// Says which stages a move has, and what each deploys.
    MigrationTemplate,
}

/// Limits of one call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginLimits {
    /// Memory, in bytes or as a quantity: `64Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::amount")]
    pub memory: Option<Quantity>,
    /// Time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_milliseconds: Option<i64>,
    /// The size of an answer, in bytes or as a quantity: `1Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::amount")]
    pub output: Option<Quantity>,
}

/// What came of loading and calling it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// `Loaded`, `Healthy` and `Ready`, with what exactly is wrong where one is not true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The SHA-256 of the component that serves now, in lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The component's size, unpacked, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// The roles that it exports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<PluginRole>,
    /// The APIs that it serves now, as RESOURCE.GROUP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apis: Vec<String>,
    /// The version of the interface package that it was built against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_version: Option<String>,
    /// How long compiling it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_milliseconds: Option<i64>,
    /// How often it was called since it was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<i64>,
    /// How many of these calls failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<i64>,
    /// What the last failure said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The metadata.generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The same for the columns of a table, where lists are hard to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<PluginColumns>,
}

/// What `kubectl get` shows of a Plugin's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginColumns {
    /// The roles that it serves now, separated by commas.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub roles: String,
    /// The APIs that it serves now, separated by commas.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apis: String,
    /// The first digits of the digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}
