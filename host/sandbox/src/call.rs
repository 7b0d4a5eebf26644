//! One call: a fresh store and instance, held to its limits, and its failure told apart.

use std::sync::Arc;

use wasmtime::component::{Instance, ResourceTable};
use wasmtime::{Store, Trap};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use crate::engine;
use crate::error::CallError;
use crate::inert;
use crate::limits::{Limiter, Limits};
use crate::load::Linked;
use crate::log::Log;
use crate::text;

/// Handles that a guest holds at once, of the host's as of its own.
const HANDLES: usize = 128;
/// How much of a failure's text is kept, in characters.
const MESSAGE: usize = 512;

/// What belongs to one call.
pub(crate) struct State {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) log: Log,
    pub(crate) settings: Arc<str>,
    limiter: Limiter,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Makes one call: `function` gets a fresh instance. `input_bytes` is what the host passes in, which the guest may pass back.
pub(crate) fn run<R>(
    linked: &Linked,
    limits: &Limits,
    input_bytes: usize,
    function: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let mut store = store(linked, limits);
    store.set_hostcall_fuel(limits.output_bytes.saturating_add(input_bytes));
    let answer = linked.instances.instantiate(&mut store).and_then(|instance| function(&mut store, &instance));
    store.data().log.finish();
    answer.map_err(|error| failure(&error, &store, linked, limits))
}

fn store(linked: &Linked, limits: &Limits) -> Store<State> {
    let log = Log::new(Arc::clone(&linked.name), limits.log_bytes);
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let state = State {
        wasi: inert::context(&log),
        table,
        log,
        settings: Arc::clone(&linked.settings),
        limiter: Limiter::new(limits),
    };
    let mut store = Store::new(linked.instances.engine(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_epoch_deadline(engine::ticks(limits.deadline));
    store.set_max_component_handles(HANDLES);
    store
}

/// Tells failures apart. The host's functions do not fail by themselves: what is not known to be otherwise is the guest's fault.
fn failure(error: &wasmtime::Error, store: &Store<State>, linked: &Linked, limits: &Limits) -> CallError {
    let plugin = linked.name.to_string();
    let message = text::clean(&error.root_cause().to_string(), MESSAGE);
    let state = store.data();
    if let Some(exceeded) = state.limiter.exceeded() {
        CallError::Memory { plugin, message: exceeded.to_owned() }
    } else if let Some(Trap::Interrupt) = error.downcast_ref() {
        CallError::Deadline { plugin, limit: limits.deadline }
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
