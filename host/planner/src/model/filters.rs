//! An offer's filters as text: read once where the offer comes in, and shared by everybody who asks about them.

use std::{fmt, ops::Deref, sync::Arc};

use sha2::{Digest as _, Sha256};

/// The most that all filters of one offer may have together, as JSON, in bytes. Each look at an object reads all of them.
pub const MAX_FILTERS: usize = 256 << 10;

/// An offer's filters, each as JSON text. Clones share the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Filters {
    list: Arc<[String]>,
    size: usize,
    digest: [u8; 32],
}

impl Filters {
    /// The texts, shared.
    pub fn shared(&self) -> Arc<[String]> {
        Arc::clone(&self.list)
    }

    /// The bytes of all of them.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Differs when anything in them differs.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Why they cannot be asked about; `None` if they can.
    pub fn refusal(&self) -> Option<String> {
        (self.size > MAX_FILTERS).then(|| {
            format!(
                "its filters have {} bytes, and an offer may have {MAX_FILTERS}: shorten the lists, use suffix or boundary, or \
                 make several offers",
                self.size
            )
        })
    }
}

impl From<Vec<String>> for Filters {
    fn from(list: Vec<String>) -> Self {
        let mut hash = Sha256::new();
        for filter in &list {
            hash.update((filter.len() as u64).to_be_bytes());
            hash.update(filter.as_bytes());
        }
        Self { size: list.iter().map(String::len).sum(), digest: hash.finalize().into(), list: list.into() }
    }
}

impl Default for Filters {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Deref for Filters {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.list
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.fmt(f)
    }
}
