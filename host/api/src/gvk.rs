//! A kind as objects write it: group, version, kind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct GroupVersionKind {
    /// The API group; empty (or `core`, where a related resource is meant) for the core group.
    pub group: String,
    /// The version within the group.
    pub version: String,
    /// The kind.
    pub kind: String,
}
