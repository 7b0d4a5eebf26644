//! `status.status` in the words of the generic kinds, from what a provider's operator reports in its own.

use std::collections::BTreeMap;

use resource_broker_sdk::{CopyContext, Document, Error, standard};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

/// The words of `status.status` that the generic kinds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum State {
    /// The provider cannot tell.
    Unknown,
    /// It is being made.
    Provisioning,
    /// It can be used.
    Available,
    /// It can be used, but not as it should.
    Degraded,
    /// It is being taken down.
    Deleting,
    /// It could not be made.
    Failed,
    /// It exists and cannot be used at present.
    Unavailable,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Provisioning,
        Self::Available,
        Self::Degraded,
        Self::Deleting,
        Self::Failed,
        Self::Unavailable,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Provisioning => "Provisioning",
            Self::Available => "Available",
            Self::Degraded => "Degraded",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
            Self::Unavailable => "Unavailable",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What operators of every field report. Case does not count.
const COMMON: &[(&str, State)] = &[
    ("Pending", State::Provisioning),
    ("Creating", State::Provisioning),
    ("Initializing", State::Provisioning),
    ("Initialising", State::Provisioning),
    ("Starting", State::Provisioning),
    ("Progressing", State::Provisioning),
    ("Reconciling", State::Provisioning),
    ("Ready", State::Available),
    ("Running", State::Available),
    ("Healthy", State::Available),
    ("Active", State::Available),
    ("Online", State::Available),
    ("Ok", State::Available),
    ("Updating", State::Degraded),
    ("Upgrading", State::Degraded),
    ("Warning", State::Degraded),
    ("Error", State::Failed),
    ("Failure", State::Failed),
    ("CreateFailed", State::Failed),
    ("Invalid", State::Failed),
    ("Stopped", State::Unavailable),
    ("Paused", State::Unavailable),
    ("Offline", State::Unavailable),
    ("Suspended", State::Unavailable),
    ("NotReady", State::Unavailable),
    ("Unhealthy", State::Unavailable),
    ("Terminating", State::Deleting),
    ("Removing", State::Deleting),
];

/// The conditions that say whether something can be used, in every field.
const COMMON_CONDITIONS: &[&str] = &["Ready", "Available"];

/// Fields of a status in which operators report a phase, besides `status` itself.
const PHASE_FIELDS: &[&str] = &["phase", "state"];

/// What the operator adds to the phases that are known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PhaseSettings {
    /// What a phase means, over what is known: `{"Healthy": "Available"}`. Case does not count.
    pub phases: BTreeMap<String, State>,
    /// More conditions that say whether the thing can be used.
    pub ready_conditions: Vec<String>,
}

/// How a field's operators report.
#[derive(Clone, Copy, Debug)]
pub struct Phases<'a> {
    /// What the phases of the field's operators mean, beyond what is common.
    pub known: &'a [(&'a str, State)],
    /// Conditions of the field's operators that say whether the thing can be used.
    pub conditions: &'a [&'a str],
    /// What the operator adds.
    pub settings: &'a PhaseSettings,
}

impl Phases<'_> {
    /// How a copy stands; `None` if its status says nothing about it. `previous` is what the consumer was shown last, if
    /// anything: what could be used and is not ready now is unavailable, what could not is still being made.
    ///
    /// # Errors
    ///
    /// If the copy's status cannot be read.
    pub fn state(&self, copy: &Document<'_>, previous: Option<State>) -> Result<Option<State>, Error> {
        let status = copy.at("status");
        let word = |field: &str| status.at(field).text().ok().flatten().filter(|word| !word.is_empty());
        let own = word("status");
        if let Some(state) = own.as_deref().and_then(State::of_word) {
            return Ok(Some(state));
        }
        if copy.text("metadata.deletionTimestamp").is_some() {
            return Ok(Some(State::Deleting));
        }
        let words = own.clone().into_iter().chain(PHASE_FIELDS.iter().filter_map(|field| word(field)));
        if let Some(state) = words.into_iter().find_map(|word| self.mean(&word)) {
            return Ok(Some(state));
        }
        if let Some(ready) = self.ready(&status) {
            return Ok(Some(match (ready, previous) {
                (true, _) => State::Available,
                (false, Some(State::Available | State::Degraded | State::Unavailable)) => State::Unavailable,
                (false, _) => State::Provisioning,
            }));
        }
        // A word that nobody knows would be refused by the consumer's API server, and with it the whole status.
        Ok(own.map(|_| State::Unknown))
    }

    /// The consumer's status: the standard one, with `status` in the words of the generic kinds.
    ///
    /// # Errors
    ///
    /// If the copy's status is no object.
    pub fn transform(
        &self,
        copy: &Document<'_>,
        previous: Option<&Document<'_>>,
        context: &CopyContext,
    ) -> Result<Option<String>, Error> {
        let Some(status) = standard::transform_status(copy, context)? else { return Ok(None) };
        let before = previous.and_then(|object| object.text("status.status")).and_then(|word| State::of_word(&word));
        let Some(state) = self.state(copy, before)? else { return Ok(Some(status)) };
        if copy.text("status.status").as_deref() == Some(state.word()) {
            return Ok(Some(status));
        }
        let word = to_raw_value(state.word())?;
        let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(&status)?;
        fields.insert("status".to_owned(), &word);
        Ok(Some(serde_json::to_string(&fields)?))
    }

    fn mean(&self, word: &str) -> Option<State> {
        let of_settings = self.settings.phases.iter().map(|(known, state)| (known.as_str(), *state));
        let known = of_settings.chain(self.known.iter().copied()).chain(COMMON.iter().copied());
        let all = known.chain(State::ALL.map(|state| (state.word(), state)));
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word.trim())).map(|(_, state)| state)
    }

    /// What the first of the conditions that is there says.
    fn ready(&self, status: &resource_broker_sdk::Field<'_>) -> Option<bool> {
        let conditions = status.at("conditions");
        let conditions: Vec<(String, String)> = conditions
            .each()
            .iter()
            .filter_map(|each| Some((each.at("type").text().ok()??, each.at("status").text().ok()??)))
            .collect();
        let of_settings = self.settings.ready_conditions.iter().map(String::as_str);
        let names = of_settings.chain(self.conditions.iter().copied()).chain(COMMON_CONDITIONS.iter().copied());
        names.filter_map(|name| conditions.iter().find(|(kind, _)| kind == name)).find_map(|(_, status)| {
            match status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(status: &Value, previous: Option<State>) -> Option<State> {
        let settings = PhaseSettings {
            phases: BTreeMap::from([
                ("Cooking".to_owned(), State::Provisioning),
                ("running".to_owned(), State::Degraded),
            ]),
            ready_conditions: vec!["Usable".to_owned()],
        };
        let phases = Phases { known: &[("Served", State::Available)], conditions: &["Up"], settings: &settings };
        phases.state(&Document::from(json!({ "status": status })), previous).unwrap()
    }

    #[test]
    fn a_known_word_stays_and_others_are_translated() {
        for (status, expected) in [
            (json!({"status": "Failed", "phase": "Ready"}), Some(State::Failed)),
            (json!({"status": "ready"}), Some(State::Available)),
            (json!({"status": "available"}), Some(State::Available)),
            (json!({"status": "", "phase": "Creating"}), Some(State::Provisioning)),
            (json!({"phase": "served"}), Some(State::Available)),
            (json!({"state": "COOKING"}), Some(State::Provisioning)),
            (json!({"phase": "Running"}), Some(State::Degraded)),
            (json!({"status": "Odd", "phase": "Ready"}), Some(State::Available)),
            (json!({"status": "Odd"}), Some(State::Unknown)),
            (json!({"phase": "Odd"}), None),
            (json!({"status": ""}), None),
            (json!({}), None),
            (json!({"phase": 7, "conditions": "none"}), None),
        ] {
            assert_eq!(state(&status, None), expected, "{status}");
        }
    }

    #[test]
    fn conditions_speak_where_no_phase_does() {
        let conditions = |list: &[(&str, &str)]| {
            let list: Vec<Value> = list.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
            json!({ "conditions": list })
        };
        for (list, previous, expected) in [
            (vec![("Ready", "True")], None, Some(State::Available)),
            (vec![("Ready", "False")], None, Some(State::Provisioning)),
            (vec![("Ready", "False")], Some(State::Provisioning), Some(State::Provisioning)),
            (vec![("Ready", "False")], Some(State::Available), Some(State::Unavailable)),
            (vec![("Ready", "False")], Some(State::Unavailable), Some(State::Unavailable)),
            (vec![("Ready", "Unknown"), ("Available", "True")], None, Some(State::Available)),
            (vec![("Ready", "True"), ("Up", "False")], None, Some(State::Provisioning)),
            (vec![("Up", "True"), ("Usable", "False")], None, Some(State::Provisioning)),
            (vec![("Synced", "True")], None, None),
        ] {
            assert_eq!(state(&conditions(&list), previous), expected, "{list:?} after {previous:?}");
        }
    }

    #[test]
    fn what_is_being_deleted_is_deleting_unless_it_says_otherwise() {
        let phases = Phases { known: &[], conditions: &[], settings: &PhaseSettings::default() };
        let metadata = json!({"deletionTimestamp": "2026-07-01T12:00:00Z"});
        let copy = Document::from(json!({"metadata": metadata, "status": {"phase": "Ready"}}));
        assert_eq!(phases.state(&copy, None), Ok(Some(State::Deleting)));
        let copy = Document::from(json!({"metadata": metadata, "status": {"status": "Failed"}}));
        assert_eq!(phases.state(&copy, None), Ok(Some(State::Failed)));
    }
}
