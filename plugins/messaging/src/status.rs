//! What the operators of messaging report, in the words of the generic kinds.

use resource_broker_plugin_kit::phases::{PhaseSettings, Phases, State};

/// Phases beyond those that operators of every field have.
const KNOWN: &[(&str, State)] = &[
    // Confluent, Redpanda
    ("Provision", State::Provisioning),
    ("ReconcilePaused", State::Available),
    ("Rolling", State::Degraded),
    // KubeBlocks, KubeDB
    ("Abnormal", State::Degraded),
    ("Critical", State::Degraded),
    ("Halted", State::Unavailable),
    // Managed services
    ("HEALING", State::Degraded),
    ("MAINTENANCE", State::Degraded),
    ("REBOOTING_BROKER", State::Degraded),
    ("CREATION_FAILED", State::Failed),
    ("CRITICAL_ACTION_REQUIRED", State::Unavailable),
];

/// Conditions that come before `Ready` and `Available`.
const CONDITIONS: &[&str] = &["ClusterAvailable", "AllReplicasReady"];

/// How messaging stands.
pub fn phases(settings: &PhaseSettings) -> Phases<'_> {
    Phases { known: KNOWN, conditions: CONDITIONS, settings }
}
