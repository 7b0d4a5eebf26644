//! What the controller tells the rest of the broker.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use resource_broker_plugin_types::{ApiName, Role};
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
    /// What is held, with the age of who holds it: the least is the oldest.
    held: Mutex<BTreeMap<Slot, usize>>,
    checks: Mutex<Vec<Check>>,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Posted {
            claimed: watch::Sender::new(false),
            loading: Mutex::default(),
            held: Mutex::default(),
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

    /// The name under which the oldest Plugin holds `role` for an API that has all of these names.
    pub fn holder(&self, names: &BTreeSet<ApiName>, role: Role) -> Option<ApiName> {
        let held = lock(&self.0.held);
        if held.is_empty() {
            return None;
        }
        let holders = names.iter().filter_map(|name| Some((*held.get(&(name.clone(), role))?, name)));
        holders.min().map(|(_, name)| name.clone())
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

    pub(super) fn set_held(&self, held: BTreeMap<Slot, usize>) {
        *lock(&self.0.held) = held;
    }

    pub(super) fn set_checks(&self, checks: Vec<Check>) {
        *lock(&self.0.checks) = checks;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_names_of_an_api_the_oldest_plugins_counts() {
        let api = |resource: &str| ApiName { group: "g.io".into(), resource: resource.into() };
        let names = |all: &[&str]| all.iter().map(|resource| api(resource)).collect::<BTreeSet<_>>();
        let board = Board::default();
        assert_eq!(board.holder(&names(&["certs"]), Role::AcceptFilter), None);
        board.set_held(BTreeMap::from([
            ((api("certs"), Role::AcceptFilter), 1),
            ((api("certificates"), Role::AcceptFilter), 0),
            ((api("certs"), Role::StatusTransformer), 1),
        ]));
        for (all, role, holder) in [
            (&["certs", "certificates"][..], Role::AcceptFilter, Some("certificates")),
            (&["certs", "certificates"], Role::StatusTransformer, Some("certs")),
            (&["certs"], Role::AcceptFilter, Some("certs")),
            (&["certs", "certificates"], Role::MigrationTemplate, None),
            (&["gadgets"], Role::AcceptFilter, None),
        ] {
            assert_eq!(board.holder(&names(all), role), holder.map(api), "{all:?}");
        }
    }
}
