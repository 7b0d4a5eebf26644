//! `BrokerCluster`: what the broker knows of one cluster in one role, and what an administrator decided about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{names::Role, schema};

/// One cluster in one role.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "broker.platform-mesh.io",
    version = "v1alpha1",
    kind = "BrokerCluster",
    plural = "brokerclusters",
    shortname = "bcl",
    category = "broker",
    namespaced,
    status = "BrokerClusterStatus",
    derive = "PartialEq",
    doc = "What the broker knows of one cluster in one role. Made by the broker when it attaches the cluster for the first time.",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.name"),
    printcolumn(
        name = "Attached",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Attached")].status"#
    ),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.objects"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Fingerprint", type_ = "string", json_path = ".spec.fingerprint", priority = "1"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Attached")].reason"#,
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BrokerClusterSpec {
    /// What the cluster is to the broker: `consumer`, `provider` or `compute`.
    #[schemars(with = "String")]
    pub role: Role,
    /// The cluster's name within its role. Records and the names of copies are made of it, so it does not change.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What tells the cluster from any other. Written at the first attach; `cluster accept` replaces it. A text of one's own
    /// declares that a cluster is another one than those that share its UIDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Fingerprints of clusters that stood under this name before, and of which `cluster accept` said that this one takes their
    /// place: records that name one of them follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_fingerprints: Vec<String>,
    /// The name by which kubeconfigs are to call it, where that is another one than `name`: `cluster rename` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether the broker is to let go of the cluster: `cluster remove` writes it. The broker's marks and finalizers are taken
    /// off what is there, and its records of the cluster are deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// What the broker found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerClusterStatus {
    /// `Attached`, `ClusterChanged` and `CredentialsValid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How many records name the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub objects: Option<i64>,
    /// The fingerprint that the cluster behind this name has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The file, directory or flag that names it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The metadata.generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
