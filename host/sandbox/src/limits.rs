//! What a call may use, and the bookkeeping that holds it to that.

use std::time::Duration;

use wasmtime::{ResourceLimiter, format_err};

use crate::error::LoadError;

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

impl Limits {
    /// What no plugin may ask to exceed, unless the host is told otherwise.
    pub(crate) const MAXIMA: Self =
        Self { memory_bytes: 256 << 20, deadline: Duration::from_secs(10), output_bytes: 4 << 20, log_bytes: 32 << 10 };
}

/// What one plugin asks for instead of the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsRequest {
    /// See [`Limits::memory_bytes`].
    pub memory_bytes: Option<usize>,
    /// See [`Limits::deadline`].
    pub deadline: Option<Duration>,
    /// See [`Limits::output_bytes`].
    pub output_bytes: Option<usize>,
}

impl LimitsRequest {
    /// What the plugin gets, unless it asks for more than there is.
    pub(crate) fn resolve(self, defaults: &Limits, maxima: &Limits) -> Result<Limits, LoadError> {
        let bytes = |bytes: usize| format!("{bytes} bytes");
        let time = |time: Duration| format!("{} ms", time.as_millis());
        Ok(Limits {
            memory_bytes: within("memory", self.memory_bytes, defaults.memory_bytes, maxima.memory_bytes, bytes)?,
            deadline: within("time", self.deadline, defaults.deadline, maxima.deadline, time)?,
            output_bytes: within("output", self.output_bytes, defaults.output_bytes, maxima.output_bytes, bytes)?,
            log_bytes: defaults.log_bytes,
        })
    }
}

fn within<T: Copy + Ord>(
    field: &'static str,
    wanted: Option<T>,
    default: T,
    maximum: T,
    show: impl Fn(T) -> String,
) -> Result<T, LoadError> {
    match wanted {
        Some(wanted) if wanted > maximum => {
            Err(LoadError::Limits { field, wanted: show(wanted), maximum: show(maximum) })
        }
        Some(wanted) => Ok(wanted),
        None => Ok(default),
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

    /// The linear memory that was given, in bytes; it never shrinks.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_granted_up_to_the_maxima_and_else_named() {
        let (defaults, maxima) = (Limits::default(), Limits::MAXIMA);
        assert_eq!(LimitsRequest::default().resolve(&defaults, &maxima), Ok(defaults));
        let all = LimitsRequest {
            memory_bytes: Some(maxima.memory_bytes),
            deadline: Some(maxima.deadline),
            output_bytes: Some(1),
        };
        let granted = Limits { output_bytes: 1, log_bytes: defaults.log_bytes, ..maxima };
        assert_eq!(all.resolve(&defaults, &maxima), Ok(granted));

        let none = LimitsRequest::default();
        for (request, field) in [
            (LimitsRequest { memory_bytes: Some(maxima.memory_bytes + 1), ..none }, "memory"),
            (LimitsRequest { deadline: Some(Duration::from_mins(1)), ..none }, "time"),
            (LimitsRequest { output_bytes: Some(usize::MAX), ..none }, "output"),
        ] {
            let error = request.resolve(&defaults, &maxima).unwrap_err();
            assert!(matches!(&error, LoadError::Limits { field: named, .. } if *named == field), "{error}");
        }
        let long = LimitsRequest { deadline: Some(Duration::from_mins(1)), ..none };
        let error = long.resolve(&defaults, &maxima).unwrap_err().to_string();
        assert!(error.contains("60000 ms") && error.contains("10000 ms"), "{error}");
    }
}
