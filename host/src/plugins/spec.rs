//! What a Plugin asks for, in the sandbox's terms.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use resource_broker_api::{
    broker::{ApiRef, PluginLimits, PluginRole, PluginSpec},
    object::Object,
};
use resource_broker_plugin_types::{ApiName, Role};
use resource_broker_sandbox::LimitsRequest;
use serde::Deserialize as _;

/// A Plugin's spec, or what is wrong with it.
pub(super) fn read(plugin: &Object) -> Result<PluginSpec, String> {
    let spec = plugin.fields.get("spec").ok_or("the Plugin has no spec")?;
    serde_json::from_str(spec.get()).map_err(|error| format!("the Plugin's spec cannot be read: {error}"))
}

/// What a Plugin wants to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claimed {
    /// The APIs.
    pub(super) apis: Arc<BTreeSet<ApiName>>,
    /// The roles; none: everything that its component exports.
    pub(super) roles: Vec<Role>,
}

/// What a Plugin wants to serve, as far as that can be read: where another part of its spec cannot, nobody else may answer in
/// its stead all the same.
pub(super) fn claimed(plugin: &Object) -> Claimed {
    let spec = plugin.field("spec").unwrap_or_default();
    let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let asked = list("roles");
    let roles: Vec<Role> = asked.iter().filter_map(|role| PluginRole::deserialize(role).ok()).map(to_sandbox).collect();
    if roles.is_empty() && !asked.is_empty() {
        // Only roles that this broker does not know.
        return Claimed::default();
    }
    let apis = list("apis").iter().filter_map(|api| ApiRef::deserialize(api).ok()).map(|api| api_name(&api)).collect();
    Claimed { apis: Arc::new(apis), roles }
}

/// The API that a reference means; `core` is written for the core group by people who write kinds that way.
pub(super) fn api_name(api: &ApiRef) -> ApiName {
    let group = if api.group == "core" { String::new() } else { api.group.clone() };
    ApiName { group, resource: api.resource.clone() }
}

/// The sandbox's name of a role.
pub(super) fn to_sandbox(role: PluginRole) -> Role {
    match role {
        PluginRole::AcceptFilter => Role::AcceptFilter,
        PluginRole::StatusTransformer => Role::StatusTransformer,
        PluginRole::MigrationTemplate => Role::MigrationTemplate,
    }
}

/// A Plugin's name of a role.
pub(super) fn to_plugin(role: Role) -> PluginRole {
    match role {
        Role::AcceptFilter => PluginRole::AcceptFilter,
        Role::StatusTransformer => PluginRole::StatusTransformer,
        Role::MigrationTemplate => PluginRole::MigrationTemplate,
    }
}

/// The limits that are asked for, or what is wrong with them.
pub(super) fn limits(limits: Option<&PluginLimits>) -> Result<LimitsRequest, String> {
    let Some(limits) = limits else { return Ok(LimitsRequest::default()) };
    let amount = |field: &str, amount: &Option<Quantity>| {
        let read = |amount: &Quantity| crate::quantity::bytes(&amount.0).ok_or_else(|| unreadable(field, &amount.0));
        amount.as_ref().map(read).transpose()
    };
    let milliseconds = limits.timeout_milliseconds.map(|time| {
        u64::try_from(time)
            .ok()
            .filter(|time| *time > 0)
            .ok_or_else(|| unreadable("timeoutMilliseconds", &time.to_string()))
    });
    Ok(LimitsRequest {
        memory_bytes: amount("memory", &limits.memory)?,
        deadline: milliseconds.transpose()?.map(Duration::from_millis),
        output_bytes: amount("output", &limits.output)?,
    })
}

fn unreadable(field: &str, value: &str) -> String {
    format!("spec.limits.{field} is {value:?}, which is no amount above zero; write it as 64Mi or 67108864")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plugin(spec: &Value) -> Object {
        serde_json::from_str(&json!({"metadata": {"name": "p"}, "spec": spec}).to_string()).unwrap()
    }

    #[test]
    fn what_is_claimed_is_read_also_where_the_rest_is_of_another_time() {
        let apis = json!([{"group": "core", "resource": "pods"}, {"group": "g.io", "resource": "vms"}, 7]);
        let later = plugin(&json!({"component": "elsewhere", "apis": apis, "roles": ["accept-filter", "oracle"]}));
        assert!(read(&later).is_err());
        let Claimed { apis: claimed, roles } = claimed(&later);
        let names: Vec<String> = claimed.iter().map(ToString::to_string).collect();
        assert_eq!(
            (names.as_slice(), roles),
            (["pods".to_owned(), "vms.g.io".to_owned()].as_slice(), vec![Role::AcceptFilter])
        );
        let unknown = plugin(&json!({"apis": apis, "roles": ["oracle"]}));
        assert_eq!(super::claimed(&unknown), Claimed::default(), "it is for nothing that is asked here");
        assert_eq!(super::claimed(&plugin(&json!(null))), Claimed::default());
    }

    #[test]
    fn limits_are_those_that_are_given_and_the_bad_one_is_named() {
        let given =
            PluginLimits { memory: Some(Quantity("8Mi".into())), timeout_milliseconds: Some(250), output: None };
        let request = limits(Some(&given)).unwrap();
        assert_eq!(request.memory_bytes, Some(8 << 20));
        assert_eq!((request.deadline, request.output_bytes), (Some(Duration::from_millis(250)), None));
        let bad = PluginLimits { output: Some(Quantity("much".into())), ..given };
        assert!(limits(Some(&bad)).unwrap_err().contains("spec.limits.output"));
    }
}
