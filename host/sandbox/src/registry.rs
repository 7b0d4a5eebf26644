//! Which plugin serves which API.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::load::Plugin;
use crate::{ApiName, Role};

/// Plugins by API and role. What no plugin serves is served by the standard one. A call holds the plugin that it began with, so
/// that a swap fails no call under way.
#[derive(Debug)]
pub(crate) struct Registry {
    standard: Plugin,
    plugins: RwLock<HashMap<Role, HashMap<ApiName, Plugin>>>,
}

impl Registry {
    pub(crate) fn new(standard: Plugin) -> Self {
        Self { standard, plugins: RwLock::default() }
    }

    pub(crate) fn standard(&self) -> &Plugin {
        &self.standard
    }

    /// The plugin that takes `role` for `api`.
    pub(crate) fn get(&self, api: &ApiName, role: Role) -> Plugin {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        plugins.get(&role).and_then(|by_api| by_api.get(api)).unwrap_or(&self.standard).clone()
    }

    /// From now on `plugin` takes `role` for `api`; `None`: the standard one does.
    pub(crate) fn set(&self, api: &ApiName, role: Role, plugin: Option<Plugin>) {
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        let by_api = plugins.entry(role).or_default();
        match plugin {
            Some(plugin) => by_api.insert(api.clone(), plugin),
            None => by_api.remove(api),
        };
    }
}
