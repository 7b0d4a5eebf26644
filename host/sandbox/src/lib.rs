//! Runs plugins: WebAssembly components that decide for an API what the broker cannot know by itself.
//!
//! ```text
//! Sandbox ── Registry ── (API, role) → Plugin        the standard one for all that no other serves
//!    │                                   │
//!    │                                 Linked          compiled, linked and questioned once (load)
//!    └── call ── fresh store ── fresh instance ── v1   bindings, and their conversion
//!                  │
//!                  ├─ Limiter, deadline, handles       what it may use (limits, engine)
//!                  ├─ Log                              what it says, bounded (log)
//!                  ├─ Document                         what it is asked about (document)
//!                  └─ WASI                             nothing (inert)
//! ```
//!
//! What holds:
//!
//! - A call gets a store and an instance of its own. Nothing lives on from one call to the next, and what a plugin breaks is
//!   thrown away with the call.
//! - An answer is a function of the input and the settings: there is no clock, no randomness and nothing outside.
//! - Every call ends: guest code at its deadline, and functions of the host by themselves, since none waits for anything.
//! - An answer is input from a stranger: counted, measured, parsed and cleaned before anybody sees it.
//! - A failed call is that call's failure. [`CallError`] says whose fault it was; it never stands for a refusal.
//! - Calls run on threads for blocking work, a bounded number at once.
//!
//! What is absent: Kubernetes. This crate knows JSON text and names; what an object is, where its JSON comes from and what
//! follows from a verdict is for others to know.

mod answer;
mod call;
mod document;
mod engine;
mod error;
mod inert;
mod limits;
mod load;
mod log;
mod registry;
mod text;
mod v1;

use std::fmt;
use std::sync::Arc;
use std::thread;

use tokio::sync::{AcquireError, Semaphore};
use tokio::task;
use wasmtime::component::Linker;

use crate::call::State;
use crate::document::Document;
use crate::registry::Registry;

pub use crate::error::{CallError, Fault, FieldError, LoadError};
pub use crate::limits::Limits;
pub use crate::load::{Description, Plugin, Source};

/// The component of `plugins/standard`.
const STANDARD: &[u8] = include_bytes!(env!("STANDARD_PLUGIN"));

/// An API whose objects are brokered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiName {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its resource, plural and in lower case.
    pub resource: String,
}

impl fmt::Display for ApiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

/// What a plugin can do for an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Decides whether a provider takes an object.
    AcceptFilter,
    /// Shows a provider's status to the consumer.
    StatusTransformer,
    /// Moves an object between providers.
    MigrationTemplate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::AcceptFilter, Self::StatusTransformer, Self::MigrationTemplate];

    /// The role's name, which is its interface's.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptFilter => "accept-filter",
            Self::StatusTransformer => "status-transformer",
            Self::MigrationTemplate => "migration-template",
        }
    }
}

/// One provider's offer for an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The provider's cluster.
    pub provider: String,
    /// The offer's object, as `namespace/name`.
    pub name: String,
    /// Its filters in their order, each one as JSON.
    pub filters: Vec<String>,
}

/// One rule that an object breaks; a plugin's words, bounded and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The filter's key.
    pub filter: String,
    /// The rule's name within the filter.
    pub rule: String,
    /// What the rule asks for.
    pub expected: String,
    /// What the object has; `None` if it has nothing there.
    pub found: Option<String>,
    /// One sentence for the person who made the object.
    pub message: String,
}

/// An offer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider takes the object.
    Accepted,
    /// It does not, for at least one reason.
    Refused(Vec<Violation>),
}

/// Where a copy and its origin live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyContext {
    /// What names at the provider begin with, dash included, as in `0123456789ab-`.
    pub prefix: String,
    /// The namespace of the consumer's object.
    pub consumer_namespace: String,
    /// The provider's cluster.
    pub provider: String,
}

/// What plugins may use, and how many run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// What one call may use.
    pub limits: Limits,
    /// The largest component in bytes. Compiling takes a second for about a megabyte.
    pub component_bytes: usize,
    /// How many calls run at once; the others wait.
    pub parallel_calls: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            component_bytes: 8 << 20,
            parallel_calls: thread::available_parallelism().map_or(2, |cores| cores.get().max(2)),
        }
    }
}

/// Where plugins run. Clones share everything.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
    config: SandboxConfig,
    linker: Linker<State>,
    registry: Registry,
    calls: Arc<Semaphore>,
    /// Compiling uses every core by itself.
    loads: Arc<Semaphore>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("config", &self.0.config)
            .field("registry", &self.0.registry)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox in which the standard plugin serves every API. Compiles it, which takes a good part of a second.
    pub fn new(config: SandboxConfig) -> Result<Self, LoadError> {
        let linker = load::linker(&engine::new()?)?;
        let source = Source { name: "standard".to_owned(), component: STANDARD.to_vec(), settings: None };
        // A guest may make the host wait for a future, which must not happen on a thread that drives futures.
        let standard = thread::scope(|scope| {
            scope.spawn(|| load::load(&linker, &config.limits, config.component_bytes, source)).join()
        })
        .map_err(|_| LoadError::Host { reason: "loading the standard plugin panicked".to_owned() })??;
        Ok(Self(Arc::new(Shared {
            config,
            linker,
            registry: Registry::new(standard),
            calls: Arc::new(Semaphore::new(config.parallel_calls)),
            loads: Arc::new(Semaphore::new(1)),
        })))
    }

    /// Loads a component. It serves nothing until [`serve`](Self::serve) is told so.
    pub async fn load(&self, source: Source) -> Result<Plugin, LoadError> {
        let shared = Arc::clone(&self.0);
        let work = move || load::load(&shared.linker, &shared.config.limits, shared.config.component_bytes, source);
        blocking(&self.0.loads, work).await.map_err(|error| LoadError::Host { reason: error.to_string() })?
    }

    /// From now on `plugin` takes `role` for `api`. Calls under way end with the plugin that they began with.
    pub fn serve(&self, api: &ApiName, role: Role, plugin: Plugin) {
        self.0.registry.set(api, role, Some(plugin));
    }

    /// From now on the standard plugin takes `role` for `api` again.
    pub fn withdraw(&self, api: &ApiName, role: Role) {
        self.0.registry.set(api, role, None);
    }

    /// The plugin that takes `role` for `api`.
    pub fn serving(&self, api: &ApiName, role: Role) -> Plugin {
        self.0.registry.get(api, role)
    }

    /// The standard plugin.
    pub fn standard(&self) -> &Plugin {
        self.0.registry.standard()
    }

    /// Judges `object`, given as JSON, against all offers for it: one verdict an offer, in the same order.
    pub async fn judge(&self, api: &ApiName, object: String, offers: Vec<Offer>) -> Result<Vec<Verdict>, CallError> {
        if offers.is_empty() {
            return Ok(Vec::new());
        }
        self.call(api, Role::AcceptFilter, move |plugin, limits| {
            v1::judge(plugin.linked(), limits, document(plugin, "the object", object)?, offers)
        })
        .await
    }

    /// Judges the filters of one offer, each one given as JSON. [`CallError::Refused`] says what is wrong with them.
    pub async fn validate_filters(&self, api: &ApiName, filters: Vec<String>) -> Result<(), CallError> {
        self.call(api, Role::AcceptFilter, move |plugin, limits| {
            v1::validate_filters(plugin.linked(), limits, &filters)
        })
        .await
    }

    /// Makes the consumer's status from the provider's `copy`; `previous` is the consumer's object as it is. All are whole
    /// objects as JSON; the answer is a JSON object, or `None` if there is no status to show yet.
    pub async fn transform_status(
        &self,
        api: &ApiName,
        copy: String,
        previous: Option<String>,
        context: CopyContext,
    ) -> Result<Option<String>, CallError> {
        self.call(api, Role::StatusTransformer, move |plugin, limits| {
            let copy = document(plugin, "the copy", copy)?;
            let previous = previous.map(|previous| document(plugin, "the consumer's object", previous)).transpose()?;
            v1::transform(plugin.linked(), limits, copy, previous, context)
        })
        .await
    }

    /// Has the plugin that takes `role` for `api` do `work`, away from the async threads.
    async fn call<R: Send + 'static>(
        &self,
        api: &ApiName,
        role: Role,
        work: impl FnOnce(&Plugin, &Limits) -> Result<R, CallError> + Send + 'static,
    ) -> Result<R, CallError> {
        let plugin = self.0.registry.get(api, role);
        let name = plugin.name().to_owned();
        let limits = self.0.config.limits;
        blocking(&self.0.calls, move || work(&plugin, &limits))
            .await
            .map_err(|error| CallError::Host { plugin: name, message: error.to_string() })?
    }
}

fn document(plugin: &Plugin, what: &str, json: String) -> Result<Document, CallError> {
    Document::parse(json).map_err(|error| CallError::Host {
        plugin: plugin.name().to_owned(),
        message: format!("{what} is not JSON: {error}"),
    })
}

/// Why work was not done at all.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error("the sandbox is closed")]
    Closed(#[from] AcquireError),
    #[error("its thread ended early: {0}")]
    Thread(#[from] task::JoinError),
}

/// Does `work` on a thread for blocking work as soon as `permits` allows. Once begun it ends, and holds its permit until then,
/// also if nobody waits for it any more.
async fn blocking<R: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, NotDone> {
    let permit = Arc::clone(permits).acquire_owned().await?;
    let task = task::spawn_blocking(move || {
        let answer = work();
        drop(permit);
        answer
    });
    Ok(task.await?)
}
