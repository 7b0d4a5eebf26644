//! What a cache knows of an object.

use std::sync::Arc;

use resource_broker_api::object::Object;

/// What a cache knows of an object. "Not there" is a fact only where the cache has synced.
#[derive(Clone, Debug)]
pub enum View<T> {
    /// The cache has not synced.
    Unknown {
        /// Why, for a condition: "the Certificate CRD is not installed", "connection refused", …
        why: String,
        /// Whether this has gone on long enough to be told; start-up is not a failure.
        failing: bool,
    },
    /// It is not there.
    Absent,
    /// It is there.
    Present(T),
}

impl<T> View<T> {
    /// The object, where it is there.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unknown { .. } | Self::Absent => None,
        }
    }

    /// Why it is not known yet, where it will be soon.
    pub fn soon(&self) -> Option<&str> {
        match self {
            Self::Unknown { why, failing: false } => Some(why),
            Self::Unknown { .. } | Self::Absent | Self::Present(_) => None,
        }
    }

    /// Whether the cache has synced.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

/// What is known of an object of a kind that may not be watched.
#[derive(Clone, Debug)]
pub enum Watched {
    /// A watch holds it, or will soon.
    View(View<Arc<Object>>),
    /// The kind may not be listed or watched there: it takes a single read to know.
    Unwatchable,
}
