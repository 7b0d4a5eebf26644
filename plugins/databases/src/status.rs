//! What the operators of databases report, in the words of the generic kinds.

use resource_broker_plugin_kit::phases::{PhaseSettings, Phases, State};

/// Phases beyond those that operators of every field have.
const KNOWN: &[(&str, State)] = &[
    // CloudNativePG
    ("Cluster in healthy state", State::Available),
    ("Setting up primary", State::Provisioning),
    ("Creating a new replica", State::Degraded),
    ("Creating primary instance", State::Provisioning),
    ("Waiting for the instances to become active", State::Provisioning),
    ("Failing over", State::Degraded),
    ("Switchover in progress", State::Degraded),
    ("Upgrading cluster", State::Degraded),
    ("Upgrading Postgres major version", State::Unavailable),
    ("Not enough disk space", State::Unavailable),
    ("Cluster is unrecoverable and needs manual intervention", State::Failed),
    // Zalando's postgres-operator
    ("UpdateFailed", State::Degraded),
    ("SyncFailed", State::Degraded),
    // Percona's operators
    ("stopping", State::Unavailable),
    // KubeDB, KubeBlocks
    ("DataRestoring", State::Provisioning),
    ("Critical", State::Degraded),
    ("Halted", State::Unavailable),
    ("Abnormal", State::Degraded),
    // Managed services
    ("backing-up", State::Available),
    ("modifying", State::Degraded),
    ("maintenance", State::Degraded),
    ("rebooting", State::Unavailable),
    ("storage-full", State::Unavailable),
    ("incompatible-parameters", State::Failed),
];

/// Conditions that come before `Ready` and `Available`.
const CONDITIONS: &[&str] = &["DatabaseReady"];

/// How databases stand.
pub fn phases(settings: &PhaseSettings) -> Phases<'_> {
    Phases { known: KNOWN, conditions: CONDITIONS, settings }
}
