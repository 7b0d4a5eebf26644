//! What the operators of clusters and machines report.

use resource_broker_plugin_kit::phases::{PhaseSettings, Phases, State};

/// Phases of Cluster API, of `KubeVirt` and of the clouds' controllers, beyond what is common.
const KNOWN: &[(&str, State)] = &[
    ("Provisioned", State::Provisioning),
    ("Scheduling", State::Provisioning),
    ("Scheduled", State::Provisioning),
    ("WaitingForVolumeBinding", State::Provisioning),
    ("Bootstrapping", State::Provisioning),
    ("Migrating", State::Degraded),
    ("Scaling", State::Degraded),
    ("ScalingUp", State::Degraded),
    ("ScalingDown", State::Degraded),
    ("CrashLoopBackOff", State::Unavailable),
    ("Stopping", State::Unavailable),
    ("Halted", State::Unavailable),
    ("ErrImagePull", State::Failed),
    ("ImagePullBackOff", State::Failed),
    ("ErrorUnschedulable", State::Failed),
    ("ErrorDataVolumeNotFound", State::Failed),
    ("ErrorPvcNotFound", State::Failed),
    ("DataVolumeError", State::Failed),
    ("Deprovisioning", State::Deleting),
];

/// Conditions that say whether a cluster can be used.
const CONDITIONS: &[&str] = &["ControlPlaneReady", "ControlPlaneAvailable"];

/// How they report, with what an operator adds.
pub fn phases(settings: &PhaseSettings) -> Phases<'_> {
    Phases { known: KNOWN, conditions: CONDITIONS, settings }
}
