//! One call: a fresh store and instance, held to its limits, and its failure told apart.

use std::sync::Arc;

use wasmtime::component::Instance;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::engine;
use crate::error::CallError;
use crate::linked::Linked;
use crate::log::{Log, LogLine};
use crate::state::State;
use crate::text;

/// Handles that a guest holds at once, of the host's as of its own.
const HANDLES: usize = 128;
/// How much of a failure's text is kept, in characters.
const MESSAGE: usize = 512;

/// One call of a plugin, before, while and after it is made.
pub(crate) struct Call<'p> {
    linked: &'p Linked,
    keeps_log: bool,
    memory_bytes: usize,
    log: Vec<LogLine>,
}

impl<'p> Call<'p> {
    /// A call whose log goes to the broker's.
    pub(crate) fn new(linked: &'p Linked) -> Self {
        Self { linked, keeps_log: false, memory_bytes: 0, log: Vec::new() }
    }

    /// A call whose log is kept.
    pub(crate) fn recorded(linked: &'p Linked) -> Self {
        Self { keeps_log: true, ..Self::new(linked) }
    }

    /// What is called.
    pub(crate) fn linked(&self) -> &'p Linked {
        self.linked
    }

    /// The linear memory of the call's instance, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// The log, where it was kept.
    pub(crate) fn into_log(self) -> Vec<LogLine> {
        self.log
    }

    /// Makes the call: `function` gets a fresh instance. `input_bytes` is what the host passes in, which the guest may pass
    /// back.
    pub(crate) fn run<R>(
        &mut self,
        input_bytes: usize,
        function: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let linked = self.linked;
        let mut store = self.store();
        store.set_hostcall_fuel(linked.limits.output_bytes.saturating_add(input_bytes));
        let instance = linked.compiled.instances.instantiate(&mut store);
        let answer = instance.and_then(|instance| function(&mut store, &instance));
        let state = store.data();
        state.log.finish();
        self.memory_bytes = state.limiter.memory_bytes();
        self.log = state.log.take();
        answer.map_err(|error| failure(&error, &store, linked))
    }

    fn store(&self) -> Store<State> {
        let Linked { name, settings, limits, compiled } = self.linked;
        let new_log = if self.keeps_log { Log::kept } else { Log::new };
        let log = new_log(Arc::clone(name), limits.log_bytes);
        let state = State::new(log, Arc::clone(settings), limits, HANDLES);
        let mut store = Store::new(compiled.instances.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(engine::ticks(limits.deadline));
        store.set_max_component_handles(HANDLES);
        store
    }
}

/// Work for one call, on whichever thread makes it.
pub(crate) trait Question<R>: FnOnce(&mut Call<'_>) -> Result<R, CallError> + Send + 'static {}

impl<R, F: FnOnce(&mut Call<'_>) -> Result<R, CallError> + Send + 'static> Question<R> for F {}

/// Tells failures apart. The host's functions do not fail by themselves: what is not known to be otherwise is the guest's fault.
fn failure(error: &wasmtime::Error, store: &Store<State>, linked: &Linked) -> CallError {
    let plugin = linked.name.to_string();
    let message = text::clean(&error.root_cause().to_string(), MESSAGE);
    let state = store.data();
    if let Some(exceeded) = state.limiter.exceeded() {
        CallError::Memory { plugin, message: exceeded.to_owned() }
    } else if let Some(Trap::Interrupt) = error.downcast_ref() {
        CallError::Deadline { plugin, limit: linked.limits.deadline }
    } else if error.is::<Trap>() {
        CallError::Trap { plugin, message: state.log.last_error().unwrap_or(message) }
    } else if error.is::<I32Exit>() {
        CallError::Trap { plugin, message: "it ended its process instead of answering".to_owned() }
    } else if message.contains(FUEL_EXHAUSTED) {
        let message = format!("it passed more than {} bytes to the host at once", store.hostcall_fuel());
        CallError::Oversized { plugin, message }
    } else if message.contains(TOO_MANY_INSTANCES) {
        CallError::Memory { plugin, message }
    } else {
        CallError::Malformed { plugin, message }
    }
}

/// Part of the text of an error that has no public type.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls";
/// Part of the text of an error that has no type; the other limits are the limiter's own.
const TOO_MANY_INSTANCES: &str = "resource limit exceeded";
