//! What the controller tells the rest of the broker.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use resource_broker_sandbox::{ApiName, Role};
use tokio::sync::watch;

use super::serving::Slot;
use crate::admin::Check;

/// Where passes and readiness read how plugins stand. Clones share it.
#[derive(Clone, Debug)]
pub struct Board(Arc<Posted>);

#[derive(Debug)]
struct Posted {
    claimed: watch::Sender<bool>,
    /// What waits for a Plugin that is being loaded, with its name.
    loading: Mutex<BTreeMap<Slot, String>>,
    checks: Mutex<Vec<Check>>,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Posted {
            claimed: watch::Sender::new(false),
            loading: Mutex::default(),
            checks: Mutex::default(),
        }))
    }
}

impl Board {
    /// Waits until every Plugin is known and holds what it claims: before that, no decision may be made.
    pub async fn claimed(&self) {
        // The sender is in `self`, so it is not gone.
        let _ = self.0.claimed.subscribe().wait_for(|claimed| *claimed).await;
    }

    /// The Plugin that `role` for `api` waits for, while it is being loaded for the first time.
    pub fn loading(&self, api: &ApiName, role: Role) -> Option<String> {
        let loading = lock(&self.0.loading);
        // Almost always: nothing is copied then.
        if loading.is_empty() { None } else { loading.get(&(api.clone(), role)).cloned() }
    }

    /// A line for each Plugin.
    pub fn checks(&self) -> Vec<Check> {
        lock(&self.0.checks).clone()
    }

    pub(super) fn set_claimed(&self) {
        self.0.claimed.send_if_modified(|claimed| !std::mem::replace(claimed, true));
    }

    pub(super) fn set_loading(&self, slots: BTreeMap<Slot, String>) {
        *lock(&self.0.loading) = slots;
    }

    pub(super) fn set_checks(&self, checks: Vec<Check>) {
        *lock(&self.0.checks) = checks;
    }
}

/// Nobody panics while holding one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
