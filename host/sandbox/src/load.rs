//! From a component to a plugin that can be called.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use resource_broker_plugin_types::{ApiName, Role};

use crate::call::{Call, Question};
use crate::calls::{self, Description};
use crate::compile::Compiled;
use crate::error::{CallError, LoadError};
use crate::health::{Health, Stats, Subject};
use crate::interface;
use crate::limits::{Limits, LimitsRequest};
use crate::linked::Linked;

/// A component to be loaded.
#[derive(Clone)]
pub struct Source {
    /// What it is called in errors, logs and metrics.
    pub name: String,
    /// The binary.
    pub component: Vec<u8>,
    /// The plugin's settings as JSON; `None`: it has none, and sees `null`.
    pub settings: Option<String>,
    /// What its calls may use instead of the defaults.
    pub limits: LimitsRequest,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings may hold what is not for a log.
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("bytes", &self.component.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A plugin that is loaded. Clones share it; it is dropped when neither a registry nor a call holds it any more.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    linked: Linked,
    description: Description,
    health: Health,
}

impl Plugin {
    /// What it is called in errors, logs and metrics.
    pub fn name(&self) -> &str {
        &self.0.linked.name
    }

    /// How it introduced itself.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.compiled().digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.compiled().size
    }

    /// The roles that it exports.
    pub fn roles(&self) -> &[Role] {
        &self.compiled().roles
    }

    /// The interfaces that it imports, with their versions, as in `wasi:io/poll@0.2.6`.
    pub fn imports(&self) -> &[String] {
        &self.compiled().imports
    }

    /// How long it took to compile, also where that was done for an earlier load of the same bytes.
    pub fn compile_time(&self) -> Duration {
        self.compiled().time
    }

    /// What each of its calls may use.
    pub fn limits(&self) -> &Limits {
        &self.0.linked.limits
    }

    /// What its calls came to.
    pub fn stats(&self) -> Stats {
        self.0.health.stats()
    }

    /// The version of the interface package that it is called by.
    pub fn interface_version(&self) -> &'static str {
        interface::VERSION
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.0.linked
    }

    fn compiled(&self) -> &Compiled {
        &self.0.linked.compiled
    }

    /// Fails at once where the plugin is suspended for this API.
    pub(crate) fn check(&self, api: &ApiName) -> Result<(), CallError> {
        self.0.health.check(self.name(), api)
    }

    /// Makes one call about `subject`, unless the plugin is suspended. Takes as long as the plugin; not for an async thread.
    pub(crate) fn ask<R>(&self, subject: Subject, question: impl Question<R>) -> Result<R, CallError> {
        self.0.health.observe(self.name(), subject, || question(&mut Call::new(self.linked())))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name())
            .field("digest", &self.digest())
            .field("roles", &self.roles())
            .finish_non_exhaustive()
    }
}

/// Lets what is compiled introduce itself and judge its settings. Takes as long as two calls; not for an async thread.
pub(crate) fn load(
    name: String,
    settings: Option<String>,
    limits: Limits,
    compiled: Arc<Compiled>,
) -> Result<Plugin, LoadError> {
    let has_settings = settings.is_some();
    let settings = settings.map_or_else(|| Arc::from("null"), Arc::from);
    let linked = Linked { name: name.into(), settings, limits, compiled };
    calls::check_functions(&mut Call::new(&linked))?;
    let description = calls::describe(&mut Call::new(&linked))?;
    if has_settings {
        calls::validate_settings(&mut Call::new(&linked), &linked.settings).map_err(refusal)?;
    }
    Ok(Plugin(Arc::new(Loaded { linked, description, health: Health::default() })))
}

/// Settings are all that could be wrong with the input of the call that judges them.
fn refusal(error: CallError) -> LoadError {
    match error {
        CallError::Settings { problems, .. } | CallError::Refused { problems, .. } => LoadError::Settings { problems },
        other => LoadError::Call(other),
    }
}
