//! The calls that a component answers: the bindings' types in, the vocabulary's out, each answer checked.

mod check;
pub(crate) mod migration;

use resource_broker_plugin_types::{CopyContext, NamePair, Offer, Role, Verdict, Violation};
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::answer;
use crate::call::Call;
use crate::document::Document;
use crate::error::{CallError, FieldError};
use crate::interface::{filter, plugin, status, types};
use crate::linked::Linked;
use crate::state::State;

pub(crate) use check::check as check_functions;

/// How a plugin introduces itself; a stranger's words, bounded and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// A short name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// The JSON Schema of its settings, as it was given; some JSON object or boolean.
    pub settings_schema: Option<String>,
}

/// Lets a plugin introduce itself.
pub(crate) fn describe(call: &mut Call<'_>) -> Result<Description, CallError> {
    let indices = &call.linked().compiled.exports.plugin;
    let plugin::Description { name, version, summary, settings_schema } =
        call.run(0, |store, instance| indices.load(&mut *store, instance)?.call_describe(store))?;
    Ok(Description {
        name: answer::sentence(&name),
        version: answer::sentence(&version),
        summary: answer::sentence(&summary),
        settings_schema: settings_schema
            .map(answer::schema)
            .transpose()
            .map_err(|message| malformed(call.linked(), message))?,
    })
}

/// Whether a plugin takes `settings`.
pub(crate) fn validate_settings(call: &mut Call<'_>, settings: &str) -> Result<(), CallError> {
    let linked = call.linked();
    let indices = &linked.compiled.exports.plugin;
    let answer = call.run(settings.len(), |store, instance| {
        indices.load(&mut *store, instance)?.call_validate_settings(store, settings)
    })?;
    answer.map_err(|error| refusal(linked, error))
}

/// Judges `object` against `offers`.
pub(crate) fn judge(call: &mut Call<'_>, object: Document, offers: Vec<Offer>) -> Result<Vec<Verdict>, CallError> {
    let linked = call.linked();
    let indices = linked.compiled.exports.filter.as_ref().ok_or_else(|| lacks(linked, Role::AcceptFilter))?;
    let count = offers.len();
    let offers: Vec<filter::Offer> = offers
        .into_iter()
        .map(|Offer { provider, name, filters }| filter::Offer { provider, name, filters: filters.to_vec() })
        .collect();
    let filters = offers.iter().flat_map(|offer| &offer.filters).map(String::len).sum::<usize>();
    let answer = call.run(object.json().len() + filters, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let object = lend(store, object)?;
        guest.call_judge(store, object, &offers)
    })?;
    let verdicts = answer.map_err(|error| refusal(linked, error))?.into_iter().map(verdict).collect();
    answer::verdicts(verdicts, count).map_err(|message| malformed(linked, message))
}

/// Judges the filters of one offer.
pub(crate) fn validate_filters(call: &mut Call<'_>, filters: &[String]) -> Result<(), CallError> {
    let linked = call.linked();
    let indices = linked.compiled.exports.filter.as_ref().ok_or_else(|| lacks(linked, Role::AcceptFilter))?;
    let input = filters.iter().map(String::len).sum();
    let answer =
        call.run(input, |store, instance| indices.load(&mut *store, instance)?.call_validate(store, filters))?;
    answer.map_err(|error| refusal(linked, error))
}

/// Makes the consumer's status from a provider's copy.
pub(crate) fn transform(
    call: &mut Call<'_>,
    copy: Document,
    previous: Option<Document>,
    context: CopyContext,
) -> Result<Option<String>, CallError> {
    let linked = call.linked();
    let indices = linked.compiled.exports.status.as_ref().ok_or_else(|| lacks(linked, Role::StatusTransformer))?;
    let CopyContext { names, consumer_namespace, provider } = context;
    let lengths = names.iter().map(|NamePair { consumer, copy }| consumer.len() + copy.len()).sum::<usize>();
    let names = names.into_iter().map(|NamePair { consumer, copy }| status::NamePair { consumer, copy }).collect();
    let context = status::CopyContext { names, consumer_namespace, provider };
    let input = lengths + copy.json().len() + previous.as_ref().map_or(0, |previous| previous.json().len());
    let answer = call.run(input, |store, instance| {
        let guest = indices.load(&mut *store, instance)?;
        let copy = lend(store, copy)?;
        let previous = previous.map(|previous| lend(store, previous)).transpose()?;
        guest.call_transform(store, copy, previous, &context)
    })?;
    let Some(status) = answer.map_err(|error| refusal(linked, error))? else { return Ok(None) };
    check_size(linked, "a status", status.len())?;
    answer::status(status).map(Some).map_err(|message| malformed(linked, message))
}

/// What is passed on whole must not be larger than an answer may be; the fuel for passing it counts the input too.
fn check_size(linked: &Linked, what: &str, size: usize) -> Result<(), CallError> {
    let limit = linked.limits.output_bytes;
    if size <= limit {
        return Ok(());
    }
    let message = format!("{what} of {size} bytes, more than {limit}");
    Err(CallError::Oversized { plugin: linked.name.to_string(), message })
}

/// Puts a document where the guest can borrow it.
fn lend(store: &mut Store<State>, document: Document) -> wasmtime::Result<Resource<Document>> {
    let owned = store.data_mut().table.push(document)?;
    Ok(Resource::new_borrow(owned.rep()))
}

fn lacks(linked: &Linked, role: Role) -> CallError {
    CallError::Unsupported { plugin: linked.name.to_string(), message: format!("it has no {}", role.name()) }
}

fn malformed(linked: &Linked, message: String) -> CallError {
    CallError::Malformed { plugin: linked.name.to_string(), message }
}

fn refusal(linked: &Linked, error: types::Error) -> CallError {
    let plugin = linked.name.to_string();
    let problems = |list: Vec<types::FieldError>| {
        let problem = |types::FieldError { path, message }| FieldError { path, message };
        answer::problems(list.into_iter().map(problem).collect())
    };
    match error {
        types::Error::InvalidSettings(list) => CallError::Settings { plugin, problems: problems(list) },
        types::Error::InvalidInput(list) => CallError::Refused { plugin, problems: problems(list) },
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
        filter::Verdict::Accepted(score) => Verdict::Accepted { score },
        filter::Verdict::Refused(violations) => Verdict::Refused(violations.into_iter().map(violation).collect()),
    }
}
