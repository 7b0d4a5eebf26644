//! What the status of a copy declares.

use resource_broker_api::{
    names::{Gvk, prefix_of_copy},
    object::Object,
};
use serde_json::Value;

use crate::model::key::Key;

/// How many related resources one object may declare: a provider's mistake must not fill a consumer's cluster.
pub const MOST: usize = 100;

/// One entry of `status.relatedResources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The entry's key.
    pub entry: String,
    /// The resource's kind.
    pub gvk: Gvk,
    /// Where it is at the provider.
    pub namespace: String,
    /// Its name at the provider.
    pub name: String,
    /// Its name at the consumer.
    pub target_name: String,
}

/// What the copy's status declares, ordered by entry; entries without a kind or a name are left out.
pub fn declared(copy: &Object, key: &Key) -> Vec<Declared> {
    declared_under(copy, &prefix_of_copy(&key.consumer, copy.name()))
}

/// The same of any copy: the kinds, namespaces and names at the provider.
pub fn sources(copy: &Object) -> Vec<(Gvk, String, String)> {
    // Most changes of a status are about something else: nothing is parsed for them.
    let names_some = copy.fields.get("status").is_some_and(|status| status.get().contains("relatedResources"));
    let all = if names_some { declared_under(copy, "") } else { Vec::new() };
    all.into_iter().take(MOST).map(|one| (one.gvk, one.namespace, one.name)).collect()
}

pub(crate) fn declared_under(copy: &Object, prefix: &str) -> Vec<Declared> {
    let Some(status) = copy.field("status") else { return Vec::new() };
    let Some(entries) = status.get("relatedResources").and_then(Value::as_object) else { return Vec::new() };
    let mut declared: Vec<Declared> = entries
        .iter()
        .filter_map(|(entry, resource)| {
            let gvk = &resource["gvk"];
            let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let name = text(&resource["name"])?;
            Some(Declared {
                entry: entry.clone(),
                gvk: Gvk::new(gvk["group"].as_str().unwrap_or_default(), &text(&gvk["version"])?, &text(&gvk["kind"])?),
                namespace: text(&resource["namespace"]).or_else(|| copy.namespace().map(str::to_owned))?,
                target_name: name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(&name).to_owned(),
                name,
            })
        })
        .collect();
    declared.sort_by(|a, b| a.entry.cmp(&b.entry));
    declared
}

/// Whether the status is one at which related resources are worth having. While it is not, what is there stays.
pub(crate) fn is_time(copy: &Object) -> bool {
    let Some(status) = copy.field("status") else { return false };
    !matches!(status.get("status").and_then(Value::as_str), Some("" | "Unknown" | "Provisioning"))
}

/// What a status says in its own `status`, where that says anything.
pub(crate) fn word(status: Option<&Value>) -> Option<&str> {
    status?.get("status")?.as_str().filter(|word| !word.is_empty())
}
