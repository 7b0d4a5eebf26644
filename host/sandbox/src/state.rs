//! What belongs to one call, and is gone after it.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::inert;
use crate::limits::{Limiter, Limits};
use crate::log::Log;

/// See the module.
pub(crate) struct State {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) log: Log,
    pub(crate) settings: Arc<str>,
    pub(crate) limiter: Limiter,
}

impl State {
    /// Of a call that holds at most `handles` of the host's.
    pub(crate) fn new(log: Log, settings: Arc<str>, limits: &Limits, handles: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        let wasi = inert::context(&log);
        Self { wasi, table, log, settings, limiter: Limiter::new(limits) }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
