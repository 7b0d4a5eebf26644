//! What a call may use, and the bookkeeping that holds it to that.

use std::time::Duration;

use wasmtime::{ResourceLimiter, format_err};

/// What one call of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, all of an instance's memories together.
    pub memory_bytes: usize,
    /// From instantiation to answer.
    pub deadline: Duration,
    /// The answer in bytes, and what one call to the host may pass beyond the size of the input.
    pub output_bytes: usize,
    /// The log in bytes; what exceeds it is dropped and counted.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, deadline: Duration::from_secs(1), output_bytes: 1 << 20, log_bytes: 32 << 10 }
    }
}

/// Elements of all tables together.
const TABLE_ELEMENTS: usize = 10_000;
/// Core instances: a component built from Rust has three.
const INSTANCES: usize = 10;
/// Tables.
const TABLES: usize = 10;
/// Linear memories.
const MEMORIES: usize = 2;

/// Refuses growth beyond the limits, and remembers that it did.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_limit: usize,
    memory: usize,
    table_elements: usize,
    exceeded: Option<String>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory_limit: limits.memory_bytes, memory: 0, table_elements: 0, exceeded: None }
    }

    /// What was wanted in vain.
    pub(crate) fn exceeded(&self) -> Option<&str> {
        self.exceeded.as_deref()
    }

    /// An error rather than a `-1` for the guest: it ends the call at once, and its reason is known.
    fn refuse(&mut self, message: String) -> wasmtime::Result<bool> {
        let error = format_err!("{message}");
        self.exceeded = Some(message);
        Err(error)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_limit {
            let limit = self.memory_limit;
            return self.refuse(format!("it wanted {wanted} bytes of memory and may have {limit}"));
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.table_elements.saturating_add(desired.saturating_sub(current));
        if wanted > TABLE_ELEMENTS {
            return self.refuse(format!("it wanted {wanted} table elements and may have {TABLE_ELEMENTS}"));
        }
        self.table_elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
