//! Which plugin serves which API.

use std::collections::HashMap;

use parking_lot::RwLock;
use resource_broker_plugin_types::{ApiName, Role};

use crate::load::Plugin;

/// Plugins by API and role; a standard one serves what has no entry. A call holds the plugin that it began with, so that a swap
/// fails no call under way.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<HashMap<Role, HashMap<ApiName, Entry>>>);

/// What takes a role for an API instead of a standard plugin.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A plugin.
    Plugin(Plugin),
    /// Nothing, until the named plugin can serve.
    Blocked {
        /// The plugin's name.
        plugin: String,
        /// Why it cannot.
        reason: String,
    },
}

impl Registry {
    /// What takes `role` for `api`; `None`: a standard plugin does.
    pub(crate) fn get(&self, api: &ApiName, role: Role) -> Option<Entry> {
        let entries = self.0.read();
        entries.get(&role).and_then(|by_api| by_api.get(api)).cloned()
    }

    /// From now on `entry` takes `role` for `api`; `None`: a standard plugin does.
    pub(crate) fn set(&self, api: &ApiName, role: Role, entry: Option<Entry>) {
        let mut entries = self.0.write();
        let by_api = entries.entry(role).or_default();
        match entry {
            Some(entry) => by_api.insert(api.clone(), entry),
            None => by_api.remove(api),
        };
    }
}
