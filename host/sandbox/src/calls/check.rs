//! The types of the functions that a component exports.
//!
//! The generated bindings compare them too, but do not say which one differs.

use resource_broker_plugin_types::Role;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower, Resource};

use crate::call::Call;
use crate::document::Document;
use crate::error::LoadError;
use crate::interface::{PACKAGE, VERSION, filter, misfit, plugin, status, template, types};
use crate::state::State;
use crate::text;

/// How much of the words about a type is kept, in characters.
const MESSAGE: usize = 512;

type Answer<T> = (Result<T, types::Error>,);
type Doc = Resource<Document>;

/// Whether every function has the type that it is called by. Makes an instance, since types are compared with one.
pub(crate) fn check(call: &mut Call<'_>) -> Result<(), LoadError> {
    let roles = &call.linked().compiled.roles;
    call.run(0, |store, instance| Ok(compare(&mut Exported { store, instance }, roles)))?
}

/// The functions of one instance.
struct Exported<'s> {
    store: &'s mut Store<State>,
    instance: &'s Instance,
}

fn compare(exported: &mut Exported<'_>, roles: &[Role]) -> Result<(), LoadError> {
    exported.has::<(), (plugin::Description,)>("plugin", "describe")?;
    exported.has::<(&str,), Answer<()>>("plugin", "validate-settings")?;
    for role in roles {
        let name = role.name();
        match role {
            Role::AcceptFilter => {
                exported.has::<(&[String],), Answer<()>>(name, "validate")?;
                exported.has::<(Doc, &[filter::Offer]), Answer<Vec<filter::Verdict>>>(name, "judge")?;
            }
            Role::StatusTransformer => {
                exported.has::<(Doc, Option<Doc>, &status::CopyContext), Answer<Option<String>>>(name, "transform")?;
            }
            Role::MigrationTemplate => compare_template(exported, name)?,
        }
    }
    Ok(())
}

fn compare_template(exported: &mut Exported<'_>, name: &str) -> Result<(), LoadError> {
    type Context<'c> = &'c template::Context;
    exported.has::<(&str,), Answer<()>>(name, "validate")?;
    exported.has::<(Context<'_>, Doc, Doc), Answer<Vec<template::Stage>>>(name, "stages")?;
    exported.has::<(Context<'_>, Doc, Doc, &str), Answer<Vec<template::Manifest>>>(name, "render")?;
    exported.has::<(Context<'_>, Doc, Doc, &str, &[template::Deployed]), Answer<template::Outcome>>(name, "assess")
}

impl Exported<'_> {
    /// Whether `function` takes `P` and answers `R`.
    fn has<P, R>(&mut self, interface: &str, function: &str) -> Result<(), LoadError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let name = format!("{PACKAGE}{interface}@{VERSION}");
        let found = self
            .instance
            .get_export_index(&mut *self.store, None, &name)
            .and_then(|index| self.instance.get_export_index(&mut *self.store, Some(&index), function))
            .and_then(|index| self.instance.get_func(&mut *self.store, index));
        let Some(found) = found else { return Err(misfit(interface, function, "it is missing".to_owned())) };
        found
            .typed::<P, R>(&*self.store)
            .map(drop)
            .map_err(|error| misfit(interface, function, text::clean(&format!("{error:#}"), MESSAGE)))
    }
}
