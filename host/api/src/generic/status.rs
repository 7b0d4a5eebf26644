//! The status that all generic kinds share: written by the provider on its copy, brought to the consumer by the broker.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gvk::GroupVersionKind;
use crate::schema;

/// How the thing that was ordered fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenericStatus {
    /// In one word, as the provider sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ResourceState>,
    /// The provider's conditions, and beside them the broker's `Accepted`, `Synced` and, unless the provider has one,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What belongs to it and is needed to use it, such as a Secret with credentials.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub related_resources: BTreeMap<String, RelatedResource>,
}

/// The states of a generic object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ResourceState {
    /// The provider cannot tell.
    Unknown,
    /// Nothing was said yet.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// It is being made.
    Provisioning,
    /// It can be used.
    Available,
    /// It can be used, but not as it should.
    Degraded,
    /// It is being taken down.
    Deleting,
    /// It could not be made.
    Failed,
    /// It exists and cannot be used at present.
    Unavailable,
}

/// An object beside the generic one, in the same cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelatedResource {
    /// Its kind; the core group may be written `core`.
    pub gvk: GroupVersionKind,
    /// Its name.
    pub name: String,
    /// Its namespace. Absent: that of the generic object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
