//! Which plugin serves which API.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::error::CallError;
use crate::load::Plugin;
use crate::{ApiName, Role};

/// Plugins by API and role. What no plugin serves is served by the standard one. A call holds the plugin that it began with, so
/// that a swap fails no call under way.
#[derive(Debug)]
pub(crate) struct Registry {
    standard: Plugin,
    entries: RwLock<HashMap<Role, HashMap<ApiName, Entry>>>,
}

/// What takes a role for an API instead of the standard plugin.
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
    pub(crate) fn new(standard: Plugin) -> Self {
        Self { standard, entries: RwLock::default() }
    }

    pub(crate) fn standard(&self) -> &Plugin {
        &self.standard
    }

    /// The plugin that takes `role` for `api`, unless that is blocked.
    pub(crate) fn get(&self, api: &ApiName, role: Role) -> Result<Plugin, CallError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        match entries.get(&role).and_then(|by_api| by_api.get(api)) {
            None => Ok(self.standard.clone()),
            Some(Entry::Plugin(plugin)) => Ok(plugin.clone()),
            Some(Entry::Blocked { plugin, reason }) => {
                Err(CallError::Unavailable { plugin: plugin.clone(), reason: reason.clone() })
            }
        }
    }

    /// From now on `entry` takes `role` for `api`; `None`: the standard plugin does.
    pub(crate) fn set(&self, api: &ApiName, role: Role, entry: Option<Entry>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let by_api = entries.entry(role).or_default();
        match entry {
            Some(entry) => by_api.insert(api.clone(), entry),
            None => by_api.remove(api),
        };
    }
}
