//! The interface package's version 0.2: its generated bindings, what the host gives to components, and what they export.

mod exports;

use tracing::Level;
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::document::Document;
use crate::state::State;

pub(crate) use exports::{Exports, misfit};

pub(crate) use bindings::exports::resource_broker::plugin::accept_filter as filter;
pub(crate) use bindings::exports::resource_broker::plugin::migration_template as template;
pub(crate) use bindings::exports::resource_broker::plugin::plugin;
pub(crate) use bindings::exports::resource_broker::plugin::status_transformer as status;
pub(crate) use bindings::resource_broker::plugin::types;
use bindings::resource_broker::plugin::{documents, host};

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated from wit/")]

    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "complete-plugin",
        imports: { default: trappable },
        with: { "resource-broker:plugin/documents.document": crate::document::Document },
    });
}

/// The interface package without its version.
pub(crate) const PACKAGE: &str = "resource-broker:plugin/";
/// Its version.
pub(crate) const VERSION: &str = "0.2.0";
/// The interface that every component exports.
pub(crate) const PLUGIN: &str = "resource-broker:plugin/plugin";

/// The package's interfaces that a component may import.
pub(crate) const IMPORTED: [&str; 3] =
    ["resource-broker:plugin/documents", "resource-broker:plugin/host", "resource-broker:plugin/types"];

/// Links what the host does for plugins.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    documents::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            host::Level::Trace => Level::TRACE,
            host::Level::Debug => Level::DEBUG,
            host::Level::Info => Level::INFO,
            host::Level::Warn => Level::WARN,
            host::Level::Error => Level::ERROR,
        };
        self.log.write(level, &message);
        Ok(())
    }

    fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.settings.to_string())
    }
}

impl documents::Host for State {}

impl documents::HostDocument for State {
    fn get(&mut self, document: Resource<Document>, path: String) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&document)?.get(&path).map(str::to_owned))
    }

    fn text(&mut self, document: Resource<Document>, path: String) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&document)?.text(&path))
    }

    fn to_json(&mut self, document: Resource<Document>) -> wasmtime::Result<String> {
        Ok(self.table.get(&document)?.json().to_owned())
    }

    fn drop(&mut self, document: Resource<Document>) -> wasmtime::Result<()> {
        self.table.delete(document)?;
        Ok(())
    }
}
