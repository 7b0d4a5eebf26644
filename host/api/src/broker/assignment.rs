//! `Assignment`: the record of which provider holds one consumer object. This record decides; annotations only show it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// One consumer object, and where its copy is.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "broker.platform-mesh.io",
    version = "v1alpha1",
    kind = "Assignment",
    plural = "assignments",
    shortname = "assign",
    category = "broker",
    namespaced,
    status = "AssignmentStatus",
    derive = "PartialEq",
    doc = "The record of which provider holds one consumer object. Written by the broker alone.",
    selectable = ".spec.consumer.cluster",
    selectable = ".spec.consumer.kind",
    selectable = ".spec.provider.cluster",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.consumer.kind"),
    printcolumn(name = "Consumer", type_ = "string", json_path = ".spec.consumer.cluster"),
    printcolumn(name = "Object", type_ = "string", json_path = ".spec.consumer.name"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider.cluster"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#
    ),
    printcolumn(name = "Synced", type_ = "string", json_path = r#".status.conditions[?(@.type=="Synced")].status"#),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Object-Namespace", type_ = "string", json_path = ".spec.consumer.namespace", priority = "1"),
    printcolumn(name = "Copy", type_ = "string", json_path = ".spec.provider.name", priority = "1"),
    printcolumn(name = "Offer", type_ = "string", json_path = ".spec.provider.acceptAPI.name", priority = "1"),
    printcolumn(name = "Next-Provider", type_ = "string", json_path = ".spec.next.cluster", priority = "1"),
    printcolumn(name = "Leaving", type_ = "string", json_path = ".spec.previous[*].cluster", priority = "1"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#,
        priority = "1"
    )
)]
pub struct AssignmentSpec {
    /// The consumer object.
    pub consumer: ConsumerRef,
    /// The provider that holds it now, and the copy there.
    pub provider: ProviderRef,
    /// The provider that it is moving to, and the copy there. Absent while nothing moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ProviderRef>,
    /// Places that the object has left and whose copy is not confirmed to be gone. An entry that is taken out by hand is the
    /// sweep's business when its cluster can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousRef>,
}

/// A consumer's object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerRef {
    /// The cluster's name, as `consumer#NAME`.
    #[schemars(length(min = 1))]
    pub cluster: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version in which the broker watches it.
    #[schemars(length(min = 1))]
    pub version: String,
    /// The kind.
    #[schemars(length(min = 1))]
    pub kind: String,
    /// The namespace; absent for an object of a cluster-wide kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The object's UID: another object under the same name is another object.
    #[schemars(length(min = 1))]
    pub uid: String,
    /// What the object is known by when it comes back under its name with another UID: the same text stands in its annotation
    /// `broker.platform-mesh.io/token`. Absent in records of earlier releases until the object is marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The cluster's fingerprint. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A place at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRef {
    /// The cluster's name, as `provider#NAME`.
    #[schemars(length(min = 1))]
    pub cluster: String,
    /// The offer under which the object is there.
    #[serde(rename = "acceptAPI")]
    pub accept_api: NamespacedName,
    /// The version of the copy's API; absent where it is the consumer object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The copy's namespace; absent for a cluster-wide kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The copy's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The copy's UID, where it was there before the record: a copy that is taken over. Of others the status has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The copy's `group/version`, or `version` for the core group. Absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The copy's kind. Absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The cluster's fingerprint. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Objects that were copied along. Not used yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<NamespacedName>,
    /// The workspace that was made for the copy. Not used yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// A place at a provider that the object has left.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PreviousRef {
    /// The cluster's name, as `provider#NAME`.
    #[schemars(length(min = 1))]
    pub cluster: String,
    /// The version of the copy's API; absent where it is the consumer object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The copy's namespace; absent for a cluster-wide kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The copy's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The copy's UID, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The cluster's fingerprint. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// An object of a known kind in a known cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NamespacedName {
    /// The namespace.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// The name.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// What has come of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentStatus {
    /// `Accepted`, `Synced` and `Ready`, as they stand on the consumer object where its schema has conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The copy at the provider, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyRef>,
    /// The copy at the next provider, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<CopyRef>,
    /// The metadata.generation of the consumer object that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// One copy, told from any other that had its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CopyRef {
    /// The copy's UID.
    #[schemars(length(min = 1))]
    pub uid: String,
}
