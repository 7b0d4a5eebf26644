//! The kinds that the broker reads and writes, and every name, key and reason that appears in people's clusters.
//!
//! Types and pure functions only: no client, no clock, no I/O. Whatever is public here is a public API of the
//! product too, since manifests and running objects carry it.

pub mod broker;
pub mod conditions;
mod crds;
pub mod generic;
mod gvk;
pub mod keys;
pub mod names;
pub mod object;
pub mod operator;
mod schema;

pub use broker::{
    AcceptApi, AcceptApiSpec, AcceptApiStatus, Assignment, AssignmentSpec, AssignmentStatus, ConsumerRef, CopyRef,
    GroupVersionResource, Migration, MigrationConfiguration, NamespacedName, Plugin, ProviderRef,
};
pub use crds::{CrdFile, all_crds};
pub use gvk::GroupVersionKind;
pub use operator::Broker;
