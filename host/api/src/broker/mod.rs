//! `broker.platform-mesh.io/v1alpha1`: offers, the record of what was placed where, moves, and plugins.

#![allow(clippy::duplicated_attributes, reason = "the lint takes the fields of several columns for one attribute's")]

mod accept_api;
mod assignment;
mod broker_cluster;
mod migration;
mod migration_configuration;
mod plugin;

pub use accept_api::{
    AcceptApi, AcceptApiSpec, AcceptApiStatus, Boundary, Copies, CopyNames, CopyNamespace, Filter,
    GroupVersionResource, OfferBroker, RelatedResources,
};
pub use assignment::{
    Assignment, AssignmentSpec, AssignmentStatus, ConsumerRef, CopyRef, NamespacedName, PreviousRef, ProviderRef,
};
pub use broker_cluster::{BrokerCluster, BrokerClusterSpec, BrokerClusterStatus};
pub use migration::{
    Migration, MigrationRef, MigrationSpec, MigrationState, MigrationStatus, StageResource, StageState, StageStatus,
};
pub use migration_configuration::{
    Approval, MigrationConfiguration, MigrationConfigurationSpec, MigrationConfigurationStatus, MigrationStage,
};
pub use plugin::{ApiRef, ComponentPart, Plugin, PluginColumns, PluginLimits, PluginRole, PluginSpec, PluginStatus};
