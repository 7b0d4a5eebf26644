//! The kinds of the broker's own objects, which need no discovery.

use resource_broker_api::{keys, names::Gvk};

use super::accept_api;
use crate::resource::Resource;

fn own(kind: &str, plural: &str) -> Resource {
    Resource::known(Gvk::new(keys::GROUP, "v1alpha1", kind), plural)
}

/// Offers.
pub fn offers() -> Resource {
    Resource::known(accept_api(), "acceptapis")
}

/// Records.
pub fn records() -> Resource {
    own("Assignment", "assignments")
}

/// Plugins.
pub fn plugins() -> Resource {
    own("Plugin", "plugins")
}

/// Migrations.
pub fn migrations() -> Resource {
    own("Migration", "migrations")
}

/// Migration configurations.
pub fn configurations() -> Resource {
    own("MigrationConfiguration", "migrationconfigurations")
}

/// What is known of clusters.
pub fn clusters() -> Resource {
    own("BrokerCluster", "brokerclusters")
}

/// What plugins' components are kept in.
pub fn config_maps() -> Resource {
    Resource::known(Gvk::new("core", "v1", "ConfigMap"), "configmaps")
}

/// All kinds of the broker's own group.
pub fn all() -> [Resource; 6] {
    [records(), offers(), plugins(), migrations(), configurations(), clusters()]
}
