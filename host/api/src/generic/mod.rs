//! `DOMAIN.generic.platform-mesh.io/v1alpha1` and the examples: the kinds that people order from whoever offers them.
//!
//! Their specs say what is wanted in terms that every provider can understand, and nothing of how it is made. All
//! share one status.

#![allow(clippy::duplicated_attributes, reason = "the lint takes the fields of several columns for one attribute's")]

pub mod ai;
pub mod compute;
pub mod databases;
pub mod example;
pub mod identity;
pub mod messaging;
pub mod networking;
mod status;
pub mod storage;

pub use status::{GenericStatus, RelatedResource, ResourceState};

/// A generic kind: what the derive needs that is the same for each of them, and the columns that answer "can I use it,
/// and who gave it to me?".
macro_rules! generic_kind {
    ($doc:literal, $(#[$attribute:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        #[doc = $doc]
        #[derive(
            ::kube::CustomResource,
            Clone,
            Debug,
            PartialEq,
            ::serde::Serialize,
            ::serde::Deserialize,
            ::schemars::JsonSchema,
        )]
        #[kube(
            doc = $doc,
            version = "v1alpha1",
            namespaced,
            status = "crate::generic::GenericStatus",
            derive = "PartialEq",
            category = "generic",
            printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
            printcolumn(
                name = "Ready",
                type_ = "string",
                json_path = r#".status.conditions[?(@.type=="Ready")].status"#
            ),
            printcolumn(
                name = "Provider",
                type_ = "string",
                json_path = r".metadata.annotations.broker\.platform-mesh\.io/provider-cluster"
            ),
            printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
            printcolumn(
                name = "Accepted",
                type_ = "string",
                json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#,
                priority = "1"
            ),
            printcolumn(
                name = "Synced",
                type_ = "string",
                json_path = r#".status.conditions[?(@.type=="Synced")].status"#,
                priority = "1"
            ),
            printcolumn(
                name = "Moving-To",
                type_ = "string",
                json_path = r".metadata.annotations.broker\.platform-mesh\.io/new-provider-cluster",
                priority = "1"
            )
        )]
        $(#[$attribute])*
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($fields)* }
    };
}
pub(crate) use generic_kind;
