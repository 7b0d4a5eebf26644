//! What serves where no Plugin does: the components that the broker brings along.

use std::sync::{Arc, OnceLock};
use std::thread;

use parking_lot::Mutex;
use resource_broker_plugin_types::Role;
use wasmtime::component::Linker;

use crate::compile::{self, Cache};
use crate::error::LoadError;
use crate::limits::Limits;
use crate::load::{self, Plugin};
use crate::state::State;

/// The component of `plugins/standard`: filters and status.
const STANDARD: Embedded = Embedded { name: "standard", component: include_bytes!(env!("STANDARD_PLUGIN")) };
/// The component of `plugins/standard-migration`: stages.
const MIGRATION: Embedded =
    Embedded { name: "standard-migration", component: include_bytes!(env!("STANDARD_MIGRATION_PLUGIN")) };

/// A component within the broker's own program.
struct Embedded {
    /// What it is called in errors, logs and metrics.
    name: &'static str,
    component: &'static [u8],
}

/// The name of what takes `role`.
pub(crate) fn name(role: Role) -> &'static str {
    match role {
        Role::AcceptFilter | Role::StatusTransformer => STANDARD.name,
        Role::MigrationTemplate => MIGRATION.name,
    }
}

/// The standard plugins. That for migrations is ten times as large, and most brokers need it rarely: it is compiled when it is
/// first needed.
pub(crate) struct Standard {
    plugin: Plugin,
    migration: OnceLock<Plugin>,
    /// Held by whoever compiles the latter.
    loading: Mutex<()>,
}

impl Standard {
    /// Compiles what every broker needs, which takes a good part of a second.
    pub(crate) fn new(linker: &Linker<State>, cache: &Cache, limits: Limits) -> Result<Self, LoadError> {
        let plugin = STANDARD.load(linker, cache, limits)?;
        Ok(Self { plugin, migration: OnceLock::new(), loading: Mutex::default() })
    }

    /// The plugin for filters and status.
    pub(crate) fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What takes `role`, if it is compiled already.
    pub(crate) fn loaded(&self, role: Role) -> Option<&Plugin> {
        match role {
            Role::AcceptFilter | Role::StatusTransformer => Some(&self.plugin),
            Role::MigrationTemplate => self.migration.get(),
        }
    }

    /// What takes `role`, compiled if it has to be; who asks meanwhile waits. Not for an async thread.
    pub(crate) fn load(
        &self,
        role: Role,
        linker: &Linker<State>,
        cache: &Cache,
        limits: Limits,
    ) -> Result<&Plugin, LoadError> {
        if let Some(plugin) = self.loaded(role) {
            return Ok(plugin);
        }
        let _turn = self.loading.lock();
        if let Some(plugin) = self.migration.get() {
            return Ok(plugin);
        }
        let plugin = MIGRATION.load(linker, cache, limits)?;
        Ok(self.migration.get_or_init(|| plugin))
    }
}

impl Embedded {
    fn load(&self, linker: &Linker<State>, cache: &Cache, limits: Limits) -> Result<Plugin, LoadError> {
        let Self { name, component } = self;
        let digest = compile::identify(component, component.len())?;
        // A guest may make the host wait for a future, which must not happen on a thread that drives futures.
        let plugin = thread::scope(|scope| {
            let load = || {
                let compiled = Arc::new(compile::compile(linker, component, digest)?);
                load::load((*name).to_owned(), None, limits, compiled)
            };
            scope.spawn(load).join()
        })
        .map_err(|_| LoadError::Host { reason: format!("loading the plugin {name} panicked") })??;
        cache.insert(&plugin.linked().compiled);
        Ok(plugin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;

    #[test]
    fn the_plugin_for_migrations_is_compiled_once_and_when_it_is_needed() {
        let linker = compile::linker(&engine::new().unwrap()).unwrap();
        let cache = Cache::default();
        let standard = Standard::new(&linker, &cache, Limits::default()).unwrap();
        assert!(standard.loaded(Role::AcceptFilter).is_some() && standard.loaded(Role::StatusTransformer).is_some());
        assert!(standard.loaded(Role::MigrationTemplate).is_none(), "nobody has needed it yet");
        let load = || standard.load(Role::MigrationTemplate, &linker, &cache, Limits::default()).unwrap();
        let (one, other) = thread::scope(|scope| {
            let (one, other) = (scope.spawn(load), scope.spawn(load));
            (one.join().unwrap(), other.join().unwrap())
        });
        assert!(std::ptr::eq(one, other), "two who need it at once share it");
        assert_eq!(one.roles(), [Role::MigrationTemplate]);
        assert!(cache.get(one.digest()).is_some(), "the same bytes as a Plugin are not compiled again");
        assert_eq!(one.name(), name(Role::MigrationTemplate));
    }
}
