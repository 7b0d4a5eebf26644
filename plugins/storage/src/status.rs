//! What the operators of storage report, in the words of the generic kinds.

use resource_broker_plugin_kit::phases::{PhaseSettings, Phases, State};

/// Phases beyond those that operators of every field have.
const KNOWN: &[(&str, State)] = &[
    // Claims and volumes of Kubernetes, ObjectBucketClaims
    ("Bound", State::Available),
    ("Lost", State::Failed),
    ("Released", State::Unavailable),
    // Rook, Ceph
    ("Connected", State::Available),
    ("Connecting", State::Provisioning),
    ("Created", State::Provisioning),
    ("ReconcileFailed", State::Failed),
    ("Ready (with warnings)", State::Degraded),
    // Longhorn, OpenEBS
    ("attached", State::Available),
    ("detached", State::Available),
    ("faulted", State::Failed),
    ("robust", State::Available),
    // Managed services
    ("in-use", State::Available),
    ("resizing", State::Degraded),
    ("extending", State::Degraded),
    ("optimizing", State::Degraded),
    ("shrinking", State::Degraded),
    ("retyping", State::Degraded),
];

/// Conditions that come before `Ready` and `Available`.
const CONDITIONS: &[&str] = &["BucketReady", "BucketAccessGranted"];

/// How storage stands.
pub fn phases(settings: &PhaseSettings) -> Phases<'_> {
    Phases { known: KNOWN, conditions: CONDITIONS, settings }
}
