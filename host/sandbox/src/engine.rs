//! The engine: what WebAssembly may be, and the clock that stops it.

use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, Strategy, WasmFeatures};

use crate::error::LoadError;

/// How often running guests look whether their time is up.
const TICK: Duration = Duration::from_millis(10);

/// Stack for guest code. Host functions run on the same thread's stack, beyond it.
const STACK_BYTES: usize = 512 << 10;

/// Makes the engine and starts its clock.
pub(crate) fn new() -> Result<Engine, LoadError> {
    let engine = without_clock()?;
    let weak = engine.weak();
    let clock = thread::Builder::new().name("sandbox-clock".to_owned()).spawn(move || tick(&weak));
    clock.map_err(|error| LoadError::Host { reason: error.to_string() })?;
    Ok(engine)
}

/// Makes an engine that compiles and runs nothing.
pub(crate) fn without_clock() -> Result<Engine, LoadError> {
    Engine::new(&config()).map_err(|error| LoadError::Host { reason: error.to_string() })
}

/// How many ticks a guest has that may run for `deadline`; at least that long, whenever it starts between two ticks.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).saturating_add(1)
}

fn config() -> Config {
    // What is newer than what components built from Rust need has seen less scrutiny.
    let unneeded = WasmFeatures::THREADS
        | WasmFeatures::SHARED_EVERYTHING_THREADS
        | WasmFeatures::MEMORY64
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::GC
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::STACK_SWITCHING
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::CM_ASYNC;
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        .wasm_features(unneeded, false)
        .shared_memory(false)
        .epoch_interruption(true)
        // An answer is a function of the input, also where it depends on a NaN's bits.
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(STACK_BYTES)
        .wasm_backtrace_max_frames(None)
        .concurrency_support(false);
    config
}

/// Ends with the engine, which it therefore holds weakly.
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(TICK);
    }
}
