//! Cases about a `MigrationConfiguration`'s own condition: what is known of it in YAML, and its plan as text.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{
    keys,
    names::{ClusterName, Gvk, Role},
};
use resource_broker_planner::{
    configurations::{self, ConfigurationSnapshot, to_validate},
    model::{question::PluginFailure, snapshot::Target},
    offers::Denied,
    plan::Action,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{fields, render, world::object};

/// What there is of a configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Case {
    /// A merge patch of a new configuration; null where it went.
    configuration: Value,
    unwatched: Vec<String>,
    rivals: Vec<String>,
    /// The broker may not take its finalizer off.
    denied: bool,
    /// What the template component finds; null where it was not asked in time.
    problems: Option<Vec<String>>,
    /// What the template component fails with.
    fails: Option<String>,
    /// How the configuration stood a minute before, if its status is from then.
    stood: Option<Value>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            configuration: json!({}),
            unwatched: Vec::new(),
            rivals: Vec::new(),
            denied: false,
            problems: Some(Vec::new()),
            fails: None,
            stood: None,
        }
    }
}

fn kind_of(gvk: &Value) -> Gvk {
    let text = |field: &str| gvk[field].as_str().unwrap_or_default();
    Gvk::new(text("group"), text("version"), text("kind"))
}

fn time(text: &str) -> Time {
    Time(text.parse().unwrap_or(Timestamp::UNIX_EPOCH))
}

impl Case {
    fn snapshot(&self, document: Option<&Value>, now: Time) -> ConfigurationSnapshot {
        let kind = Gvk::new(keys::GROUP, "v1alpha1", "MigrationConfiguration");
        let place = ClusterName::new(Role::Coordination, "coordination");
        let gvk = |text: &String| Gvk::parse(text).unwrap_or_else(|| panic!("{text} is no kind"));
        ConfigurationSnapshot {
            target: Target::new(place, kind, Some("broker".into()), "databases".into()),
            object: document.map(object),
            now,
            pair: document.map(|document| (kind_of(&document["spec"]["from"]), kind_of(&document["spec"]["to"]))),
            unwatched: self.unwatched.iter().map(gvk).collect(),
            rivals: self.rivals.clone(),
            denied: Denied { finalizer: self.denied, status: false },
        }
    }

    fn answer(&self) -> Option<Result<Vec<String>, PluginFailure>> {
        let failure = self.fails.clone().map(|message| Err(PluginFailure { message }));
        failure.or_else(|| self.problems.clone().map(Ok))
    }
}

/// The configuration as its status says it stood: as the planner makes it of an earlier case.
fn stood(mut document: Value, case: Option<&Value>) -> Value {
    let Some(case) = case else { return document };
    let case: Case = serde_json::from_value(case.clone()).unwrap_or_else(|error| panic!("stood: {error}"));
    let snapshot = case.snapshot(Some(&document), time("2026-01-02T03:03:05Z"));
    let plan = configurations::plan(&snapshot, case.answer().as_ref());
    let put = plan.actions().find_map(|action| match action {
        Action::PutStatus { status, .. } => Some(status.clone()),
        _ => None,
    });
    document["status"] = put.expect("a configuration whose status is new is told its status");
    document
}

/// What is asked about, and the plan.
pub(crate) fn planned(text: &str) -> String {
    let case: Case =
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("the case cannot be read: {error}\n{text}"));
    let kind = json!({"group": "example.com", "version": "v1", "kind": "SQL"});
    let bare = json!({
        "metadata": {
            "name": "databases", "namespace": "broker", "uid": "uid-1", "resourceVersion": "7", "generation": 1,
        },
        "spec": {"from": kind, "to": kind, "stages": [{"name": "copy"}]},
    });
    let document = (!case.configuration.is_null()).then(|| {
        let mut document = stood(bare, case.stood.as_ref());
        fields::patch(&mut document, &case.configuration);
        document
    });
    let snapshot = case.snapshot(document.as_ref(), time("2026-01-02T03:04:05Z"));
    let asked = to_validate(&snapshot);
    let answer = asked.as_ref().and_then(|_| case.answer());
    let asked = asked.map(|spec| format!("ask: does this make sense? {spec}\n")).unwrap_or_default();
    format!("{asked}{}", render::plan(&configurations::plan(&snapshot, answer.as_ref()), &snapshot.now))
}
