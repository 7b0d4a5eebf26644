//! Where a component's functions are.

use resource_broker_plugin_types::Role;
use wasmtime::component::InstancePre;

use super::{PACKAGE, VERSION, filter, plugin, status, template};
use crate::error::LoadError;
use crate::state::State;

/// See the module.
pub(crate) struct Exports {
    pub(crate) plugin: plugin::GuestIndices,
    pub(crate) filter: Option<filter::GuestIndices>,
    pub(crate) status: Option<status::GuestIndices>,
    pub(crate) template: Option<template::GuestIndices>,
}

impl Exports {
    /// Finds the functions of `roles`. Their types are compared by the first call.
    pub(crate) fn find(instances: &InstancePre<State>, roles: &[Role]) -> Result<Self, LoadError> {
        find(instances, "plugin")?;
        for role in roles {
            find(instances, role.name())?;
        }
        let has = |role: Role| roles.contains(&role);
        let wrong = |error: wasmtime::Error| LoadError::Host { reason: format!("{error:#}") };
        Ok(Self {
            plugin: plugin::GuestIndices::new(instances).map_err(wrong)?,
            filter: has(Role::AcceptFilter).then(|| filter::GuestIndices::new(instances)).transpose().map_err(wrong)?,
            status: has(Role::StatusTransformer)
                .then(|| status::GuestIndices::new(instances))
                .transpose()
                .map_err(wrong)?,
            template: has(Role::MigrationTemplate)
                .then(|| template::GuestIndices::new(instances))
                .transpose()
                .map_err(wrong)?,
        })
    }
}

/// The names of an interface's functions.
fn names(interface: &str) -> &'static [&'static str] {
    match interface {
        "plugin" => &["describe", "validate-settings"],
        "accept-filter" => &["validate", "judge"],
        "status-transformer" => &["transform"],
        "migration-template" => &["validate", "stages", "render", "assess"],
        _ => &[],
    }
}

/// Whether the component exports every function of `interface`.
fn find(instances: &InstancePre<State>, interface: &str) -> Result<(), LoadError> {
    let component = instances.component();
    let exported = component.get_export_index(None, format!("{PACKAGE}{interface}@{VERSION}").as_str());
    for function in names(interface) {
        if exported.and_then(|exported| component.get_export_index(Some(&exported), function)).is_none() {
            return Err(misfit(interface, function, "it is missing".to_owned()));
        }
    }
    Ok(())
}

/// That a function is not as the interface wants it.
pub(crate) fn misfit(interface: &str, function: &str, reason: String) -> LoadError {
    LoadError::Exports { interface: interface.to_owned(), function: function.to_owned(), reason }
}
