//! What the operators of model servers report.

use resource_broker_plugin_kit::phases::{PhaseSettings, Phases, State};

/// Phases and states of `KServe`, of Ray and of other operators, beyond what is common.
const KNOWN: &[(&str, State)] = &[
    ("Downloading", State::Provisioning),
    ("Pulling", State::Provisioning),
    ("Loading", State::Provisioning),
    ("Deploying", State::Provisioning),
    ("InProgress", State::Provisioning),
    ("Loaded", State::Available),
    ("Serving", State::Available),
    ("UpToDate", State::Available),
    ("Standby", State::Unavailable),
    ("ScaledToZero", State::Unavailable),
    ("FailedToLoad", State::Failed),
    ("DeployFailed", State::Failed),
    ("BlockedByFailedLoad", State::Failed),
    ("InvalidSpec", State::Failed),
];

/// Conditions that say whether a model can be asked.
const CONDITIONS: &[&str] = &["PredictorReady", "ModelReady"];

/// How they report, with what an operator adds.
pub fn phases(settings: &PhaseSettings) -> Phases<'_> {
    Phases { known: KNOWN, conditions: CONDITIONS, settings }
}
