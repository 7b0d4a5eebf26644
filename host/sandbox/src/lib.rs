//! Runs plugins: WebAssembly components that decide for an API what the broker cannot know by itself.
//!
//! ```text
//! Sandbox ── Registry ── (API, role) → Plugin        a standard one for all that no other serves (standard)
//!    │                                   │
//!    │                                   ├─ Compiled   compiled, linked, its shape checked: once for each digest (compile)
//!    │                                   └─ Health     what its calls came to, and circuit breakers (health, breaker)
//!    │
//!    └── Places ── a turn for each API (fair)
//!          │
//! Trial ── call ── fresh store ── fresh instance ── calls ── interface (bindings of wit/)
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
//! - Calls run on threads for blocking work, a bounded number at once, and APIs take turns.
//! - A plugin that fails every time is suspended, and tried again at growing distances.
//! - A stranger's component is compiled in a process of its own first, which can be killed ([`Probe`]).
//!
//! What is absent: Kubernetes. This crate knows JSON text and names; what an object is, where its JSON comes from and what
//! follows from a verdict is for others to know.

mod answer;
mod ask;
mod breaker;
mod call;
mod calls;
mod compile;
mod document;
mod engine;
mod error;
mod fair;
mod health;
mod inert;
mod interface;
mod limits;
mod linked;
mod load;
mod log;
mod probe;
mod registry;
mod shape;
mod standard;
mod state;
mod text;
mod trial;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use resource_broker_plugin_types::{
    ApiName, CopyContext, Deployed, Manifest, MigrationContext, Offer, Role, Stage, StageOutcome, Verdict,
};
use tokio::sync::Semaphore;
use tokio::task;
use wasmtime::component::Linker;

use crate::call::Question;
use crate::compile::Cache;
use crate::fair::Places;
use crate::health::Subject;
use crate::registry::{Entry, Registry};
use crate::standard::Standard;
use crate::state::State;

pub use crate::calls::Description;
pub use crate::error::{CallError, Fault, FieldError, LoadError};
pub use crate::health::Stats;
pub use crate::limits::{Limits, LimitsRequest};
pub use crate::load::{Plugin, Source};
pub use crate::log::LogLine;
pub use crate::probe::{Probe, probe};
pub use crate::trial::{Trial, Trialled};

/// What plugins may use, and how many run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// What one call may use where a plugin does not ask for anything else.
    pub limits: Limits,
    /// What a plugin may ask for.
    pub maxima: Limits,
    /// The largest component in bytes. Compiling takes a second for about a megabyte.
    pub component_bytes: usize,
    /// How many calls run at once; the others wait, and APIs take turns. From two on, one place is always left to other APIs.
    pub parallel_calls: usize,
    /// How long compiling may take; held only where there is a [`probe`](Self::probe).
    pub compile_time: Duration,
    /// Compiles each component on trial before the broker does. `None`: nobody does, which is for trusted components.
    pub probe: Option<Probe>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            maxima: Limits::MAXIMA,
            component_bytes: 8 << 20,
            parallel_calls: thread::available_parallelism().map_or(2, NonZero::get) + 1,
            compile_time: Duration::from_secs(30),
            probe: None,
        }
    }
}

/// Where plugins run. Clones share everything.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
    config: SandboxConfig,
    linker: Linker<State>,
    compiled: Cache,
    registry: Registry,
    standard: Standard,
    places: Places,
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
    /// A sandbox in which the standard plugins serve every API. Compiles the one for filters and status, which takes a good
    /// part of a second; that for migrations is compiled when it is first needed.
    pub fn new(config: SandboxConfig) -> Result<Self, LoadError> {
        let linker = compile::linker(&engine::new()?)?;
        let compiled = Cache::default();
        let standard = Standard::new(&linker, &compiled, config.limits)?;
        Ok(Self(Arc::new(Shared {
            linker,
            compiled,
            registry: Registry::default(),
            standard,
            places: Places::new(config.parallel_calls),
            loads: Arc::new(Semaphore::new(1)),
            config,
        })))
    }

    /// Loads a component. It serves nothing until [`serve`](Self::serve) is told so. What is compiled already is not compiled
    /// again: the same bytes with other settings or limits cost two short calls.
    pub async fn load(&self, source: Source) -> Result<Plugin, LoadError> {
        let SandboxConfig { limits, maxima, component_bytes, compile_time, probe, .. } = &self.0.config;
        let Source { name, component, settings, limits: request } = source;
        let limits = request.resolve(limits, maxima)?;
        let turn = Arc::clone(&self.0.loads).acquire_owned().await.map_err(|error| not_loaded(&error))?;
        let component_bytes = *component_bytes;
        let identify = move || compile::identify(&component, component_bytes).map(|digest| (component, digest));
        let (component, digest) = task::spawn_blocking(identify).await.map_err(|error| not_loaded(&error))??;
        let compiled = self.0.compiled.get(&digest);
        if let (None, Some(probe)) = (&compiled, probe) {
            probe.run(&component, *compile_time).await?;
        }
        let shared = Arc::clone(&self.0);
        let work = move || {
            // Once begun it ends, and nobody else's turn comes before that, also if nobody waits for it any more.
            let _turn = turn;
            let compiled = match compiled {
                Some(compiled) => compiled,
                None => Arc::new(compile::compile(&shared.linker, &component, digest)?),
            };
            shared.compiled.insert(&compiled);
            load::load(name, settings, limits, compiled)
        };
        task::spawn_blocking(work).await.map_err(|error| not_loaded(&error))?
    }

    /// From now on `plugin` takes `role` for `api`. Calls under way end with the plugin that they began with.
    pub fn serve(&self, api: &ApiName, role: Role, plugin: Plugin) {
        self.0.registry.set(api, role, Some(Entry::Plugin(plugin)));
    }

    /// From now on nobody takes `role` for `api`: calls fail with [`CallError::Unavailable`], which names `plugin` and gives
    /// `reason`, until something serves or the role is withdrawn. For a plugin that is to serve and cannot: a standard one would
    /// answer by other rules.
    pub fn block(&self, api: &ApiName, role: Role, plugin: &str, reason: &str) {
        let entry = Entry::Blocked { plugin: plugin.to_owned(), reason: reason.to_owned() };
        self.0.registry.set(api, role, Some(entry));
    }

    /// From now on a standard plugin takes `role` for `api` again.
    pub fn withdraw(&self, api: &ApiName, role: Role) {
        self.0.registry.set(api, role, None);
    }

    /// The plugin that takes `role` for `api`; `None` where that is [blocked](Self::block). The first to ask for the standard
    /// plugin for migrations waits until it is compiled, which takes some seconds.
    pub fn serving(&self, api: &ApiName, role: Role) -> Option<Plugin> {
        match self.0.registry.get(api, role) {
            Some(Entry::Plugin(plugin)) => Some(plugin),
            Some(Entry::Blocked { .. }) => None,
            None => self.0.load_standard(role).ok(),
        }
    }

    /// Whether a standard plugin takes `role` for `api`: no other serves it, or is to serve it and cannot.
    pub fn is_standard(&self, api: &ApiName, role: Role) -> bool {
        self.0.registry.get(api, role).is_none()
    }

    /// The standard plugin for filters and status.
    pub fn standard(&self) -> &Plugin {
        self.0.standard.plugin()
    }

    /// Calls of `plugin` for people who look at it.
    pub fn trial(&self, plugin: &Plugin) -> Trial {
        Trial::new(plugin)
    }

    /// Judges `object`, given as JSON, against all offers for it: one verdict an offer, in the same order.
    pub async fn judge(&self, api: &ApiName, object: String, offers: Vec<Offer>) -> Result<Vec<Verdict>, CallError> {
        if offers.is_empty() {
            return Ok(Vec::new());
        }
        self.call(api, Role::AcceptFilter, subject(&object), ask::judge(object, offers)).await
    }

    /// Judges the filters of one offer, each one given as JSON. [`CallError::Refused`] says what is wrong with them.
    pub async fn validate_filters(&self, api: &ApiName, filters: Vec<String>) -> Result<(), CallError> {
        self.call(api, Role::AcceptFilter, digest(&filters), ask::validate_filters(filters)).await
    }

    /// Makes the consumer's status from the provider's `copy`; `previous` is the consumer's object as it is. All are whole
    /// objects as JSON; the answer is a JSON object, or `None` if there is no status to show yet. What it says of related
    /// resources is for people: it names no object that the host may then act on.
    pub async fn transform_status(
        &self,
        api: &ApiName,
        copy: String,
        previous: Option<String>,
        context: CopyContext,
    ) -> Result<Option<String>, CallError> {
        self.call(api, Role::StatusTransformer, subject(&copy), ask::transform_status(copy, previous, context)).await
    }

    /// Judges `spec` of a MigrationConfiguration, given as JSON. [`CallError::Refused`] says what is wrong with it.
    pub async fn validate_migration(&self, api: &ApiName, configuration: String) -> Result<(), CallError> {
        self.call(api, Role::MigrationTemplate, digest(&configuration), ask::validate_migration(configuration)).await
    }

    /// The stages of a migration in their order, at most 64. `old` and `new` are the two copies as JSON, here as in the two
    /// calls that follow.
    pub async fn migration_stages(
        &self,
        api: &ApiName,
        context: MigrationContext,
        old: String,
        new: String,
    ) -> Result<Vec<Stage>, CallError> {
        self.call(api, Role::MigrationTemplate, digest(&context.id), ask::migration_stages(context, old, new)).await
    }

    /// What one stage deploys, at most 64 objects.
    pub async fn render_stage(
        &self,
        api: &ApiName,
        context: MigrationContext,
        old: String,
        new: String,
        stage: String,
    ) -> Result<Vec<Manifest>, CallError> {
        self.call(api, Role::MigrationTemplate, digest(&context.id), ask::render_stage(context, old, new, stage)).await
    }

    /// How one stage stands; `deployed` is empty until it has been deployed.
    pub async fn assess_stage(
        &self,
        api: &ApiName,
        context: MigrationContext,
        old: String,
        new: String,
        stage: String,
        deployed: Vec<Deployed>,
    ) -> Result<StageOutcome, CallError> {
        self.call(
            api,
            Role::MigrationTemplate,
            digest(&context.id),
            ask::assess_stage(context, old, new, stage, deployed),
        )
        .await
    }

    /// Asks the plugin that takes `role` for `api` about an `object` of it, away from the async threads.
    async fn call<R: Send + 'static>(
        &self,
        api: &ApiName,
        role: Role,
        object: u64,
        question: impl Question<R>,
    ) -> Result<R, CallError> {
        let plugin = self.taking(api, role).await?;
        let name = plugin.name().to_owned();
        if !plugin.roles().contains(&role) {
            let message = format!("it has no {}; {api} needs a Plugin whose component exports it", role.name());
            return Err(CallError::Unsupported { plugin: name, message });
        }
        plugin.check(api)?;
        let closed = || CallError::Host { plugin: name.clone(), message: "the sandbox is gone".to_owned() };
        let place = self.0.places.take(api).await.ok_or_else(closed)?;
        let api = api.clone();
        let work = move || {
            // Once begun a call ends, and holds its place until then, also if nobody waits for it any more.
            let _place = place;
            plugin.ask(Subject { api, object }, question)
        };
        task::spawn_blocking(work)
            .await
            .map_err(|error| CallError::Host { plugin: name, message: format!("its thread ended early: {error}") })?
    }

    /// The plugin that takes `role` for `api`, compiled if it is a standard one that is not yet.
    async fn taking(&self, api: &ApiName, role: Role) -> Result<Plugin, CallError> {
        match self.0.registry.get(api, role) {
            Some(Entry::Plugin(plugin)) => return Ok(plugin),
            Some(Entry::Blocked { plugin, reason }) => return Err(CallError::Unavailable { plugin, reason }),
            None => {}
        }
        if let Some(plugin) = self.0.standard.loaded(role) {
            return Ok(plugin.clone());
        }
        let shared = Arc::clone(&self.0);
        let loaded = task::spawn_blocking(move || shared.load_standard(role)).await;
        let loaded = loaded.map_err(|error| not_loaded(&error)).flatten();
        loaded.map_err(|error| CallError::Host { plugin: standard::name(role).to_owned(), message: error.to_string() })
    }
}

impl Shared {
    /// The standard plugin that takes `role`. May take as long as compiling; not for an async thread.
    fn load_standard(&self, role: Role) -> Result<Plugin, LoadError> {
        self.standard.load(role, &self.linker, &self.compiled, self.config.limits).cloned()
    }
}

/// Tells objects from one another. One that changes while the plugin fails about it is still the same one.
fn subject(object: &str) -> u64 {
    digest(document::uid(object).unwrap_or(object))
}

/// Tells what calls are about from one another.
fn digest(input: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

fn not_loaded(error: &dyn fmt::Display) -> LoadError {
    LoadError::Host { reason: error.to_string() }
}
