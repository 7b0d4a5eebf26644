//! The interface package's version 0.1: its generated bindings, and everything between them and the types of this crate.

use tracing::Level;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, Resource};

use crate::answer;
use crate::call::{self, State};
use crate::document::Document;
use crate::error::{CallError, FieldError, LoadError};
use crate::limits::Limits;
use crate::load::{Description, Linked};
use crate::{CopyContext, Offer, Role, Verdict, Violation};

use bindings::exports::resource_broker::plugin::accept_filter as filter;
use bindings::exports::resource_broker::plugin::plugin;
use bindings::exports::resource_broker::plugin::status_transformer as status;
use bindings::resource_broker::plugin::{documents, host, types};

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
pub(crate) const VERSION: &str = "0.1.0";
/// The interface that every component exports.
pub(crate) const PLUGIN: &str = "resource-broker:plugin/plugin";

/// Links what the host does for plugins.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    documents::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// Where a component's functions are.
pub(crate) struct Exports {
    plugin: plugin::GuestIndices,
    filter: Option<filter::GuestIndices>,
    status: Option<status::GuestIndices>,
}

impl Exports {
    /// Finds the functions of `roles`, and compares their types with what is expected.
    pub(crate) fn find(instances: &InstancePre<State>, roles: &[Role]) -> Result<Self, LoadError> {
        let wrong = |interface: &str, error: wasmtime::Error| LoadError::Exports {
            interface: interface.to_owned(),
            reason: format!("{error:#}"),
        };
        let mut exports = Self {
            plugin: plugin::GuestIndices::new(instances).map_err(|error| wrong("plugin", error))?,
            filter: None,
            status: None,
        };
        for role in roles {
            match role {
                Role::AcceptFilter => {
                    exports.filter =
                        Some(filter::GuestIndices::new(instances).map_err(|error| wrong(role.name(), error))?);
                }
                Role::StatusTransformer => {
                    exports.status =
                        Some(status::GuestIndices::new(instances).map_err(|error| wrong(role.name(), error))?);
                }
                Role::MigrationTemplate => {
                    use bindings::exports::resource_broker::plugin::migration_template as migration;
                    migration::GuestIndices::new(instances).map_err(|error| wrong(role.name(), error))?;
                }
            }
        }
        Ok(exports)
    }
}

/// How a plugin introduces itself.
pub(crate) fn describe(linked: &Linked, limits: &Limits) -> Result<Description, CallError> {
    let plugin::Description { name, version, summary, settings_schema } =
        call::run(linked, limits, 0, |store, instance| {
            linked.exports.plugin.load(&mut *store, instance)?.call_describe(store)
        })?;
    Ok(Description {
        name: answer::sentence(&name),
        version: answer::sentence(&version),
        summary: answer::sentence(&summary),
        settings_schema,
    })
}

/// Whether a plugin takes the settings that it was given.
pub(crate) fn validate_settings(linked: &Linked, limits: &Limits) -> Result<(), CallError> {
    let answer = call::run(linked, limits, linked.settings.len(), |store, instance| {
        linked.exports.plugin.load(&mut *store, instance)?.call_validate_settings(store, &linked.settings)
    })?;
    answer.map_err(|error| refusal(linked, error))
}

/// Judges `object` against `offers`.
pub(crate) fn judge(
    linked: &Linked,
    limits: &Limits,
    object: Document,
    offers: Vec<Offer>,
) -> Result<Vec<Verdict>, CallError> {
    let indices = linked.exports.filter.as_ref().ok_or_else(|| lacks(linked, Role::AcceptFilter))?;
    let count = offers.len();
    let offers: Vec<filter::Offer> =
        offers.into_iter().map(|Offer { provider, name, filters }| filter::Offer { provider, name, filters }).collect();
    let filters = offers.iter().flat_map(|offer| &offer.filters).map(String::len).sum::<usize>();
    let answer = call::run(linked, limits, object.json().len() + filters, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let object = lend(store, object)?;
        guest.call_judge(store, object, &offers)
    })?;
    let verdicts = answer.map_err(|error| refusal(linked, error))?.into_iter().map(verdict).collect();
    answer::verdicts(verdicts, count).map_err(|message| malformed(linked, message))
}

/// Judges the filters of one offer.
pub(crate) fn validate_filters(linked: &Linked, limits: &Limits, filters: &[String]) -> Result<(), CallError> {
    let indices = linked.exports.filter.as_ref().ok_or_else(|| lacks(linked, Role::AcceptFilter))?;
    let input = filters.iter().map(String::len).sum();
    let answer = call::run(linked, limits, input, |store, instance| {
        indices.load(&mut *store, instance)?.call_validate(store, filters)
    })?;
    answer.map_err(|error| refusal(linked, error))
}

/// Makes the consumer's status from a provider's copy.
pub(crate) fn transform(
    linked: &Linked,
    limits: &Limits,
    copy: Document,
    previous: Option<Document>,
    context: CopyContext,
) -> Result<Option<String>, CallError> {
    let indices = linked.exports.status.as_ref().ok_or_else(|| lacks(linked, Role::StatusTransformer))?;
    let CopyContext { prefix, consumer_namespace, provider } = context;
    let context = status::CopyContext { prefix, consumer_namespace, provider };
    let input = copy.json().len() + previous.as_ref().map_or(0, |previous| previous.json().len());
    let answer = call::run(linked, limits, input, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let copy = lend(store, copy)?;
        let previous = previous.map(|previous| lend(store, previous)).transpose()?;
        guest.call_transform(store, copy, previous, &context)
    })?;
    let Some(status) = answer.map_err(|error| refusal(linked, error))? else { return Ok(None) };
    if status.len() > limits.output_bytes {
        let message = format!("a status of {} bytes, more than {}", status.len(), limits.output_bytes);
        return Err(CallError::Oversized { plugin: linked.name.to_string(), message });
    }
    answer::status(status).map(Some).map_err(|message| malformed(linked, message))
}

/// Puts a document where the guest can borrow it.
fn lend(store: &mut Store<State>, document: Document) -> wasmtime::Result<Resource<Document>> {
    let owned = store.data_mut().table.push(document)?;
    Ok(Resource::new_borrow(owned.rep()))
}

fn lacks(linked: &Linked, role: Role) -> CallError {
    CallError::Unsupported { plugin: linked.name.to_string(), message: format!("it has no role {}", role.name()) }
}

fn malformed(linked: &Linked, message: String) -> CallError {
    CallError::Malformed { plugin: linked.name.to_string(), message }
}

fn refusal(linked: &Linked, error: types::Error) -> CallError {
    let plugin = linked.name.to_string();
    match error {
        types::Error::InvalidSettings(list) | types::Error::InvalidInput(list) => {
            let problem = |types::FieldError { path, message }| FieldError { path, message };
            CallError::Refused { plugin, problems: answer::problems(list.into_iter().map(problem).collect()) }
        }
        types::Error::Unsupported(message) => CallError::Unsupported { plugin, message: answer::sentence(&message) },
        types::Error::Internal(message) => CallError::Failed { plugin, message: answer::sentence(&message) },
    }
}

fn verdict(verdict: filter::Verdict) -> Verdict {
    let violation = |filter::Violation { filter, rule, expected, found, message }| Violation {
        filter,
        rule,
        expected,
        found,
        message,
    };
    match verdict {
        filter::Verdict::Accepted => Verdict::Accepted,
        filter::Verdict::Refused(violations) => Verdict::Refused(violations.into_iter().map(violation).collect()),
    }
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
