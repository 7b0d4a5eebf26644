//! A compiled component with what the operator gave it: all that a call needs.

use std::fmt;
use std::sync::Arc;

use crate::compile::Compiled;
use crate::limits::Limits;

/// What a call needs.
#[derive(Clone)]
pub(crate) struct Linked {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) compiled: Arc<Compiled>,
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("name", &self.name)
            .field("digest", &self.compiled.digest)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
