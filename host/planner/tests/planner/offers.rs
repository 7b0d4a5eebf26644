//! Cases about an AcceptAPI's own conditions: a description of the offer in YAML, and its plan as text.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::{
    keys,
    names::{ClusterName, Gvk, Role},
};
use resource_broker_planner::{
    model::{
        filters::MAX_FILTERS,
        question::PluginFailure,
        snapshot::{Applied, Target},
    },
    offers::{self, Denied, OfferSnapshot, Served, filters_to_validate},
    plan::Action,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{fields, render, world::object};

/// What there is of an offer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Case {
    /// A merge patch of a new offer; null where it went.
    offer: Value,
    /// `yes`, `not watched`, `unknown: WHY`, `no: WHY`.
    served: String,
    objects: i64,
    count_is_due: bool,
    /// What the filter component finds; null where it was not asked in time.
    problems: Option<Vec<String>>,
    /// What the filter component fails with.
    fails: Option<String>,
    /// How the offer stood a minute before, if its status is from then.
    stood: Option<Value>,
    /// This broker's id.
    broker: Option<String>,
    /// Writes that were denied before: `finalizer`, `status`.
    denied: Vec<String>,
    /// How often the broker has written what it would write now, which somebody has changed since; and how many seconds ago.
    contested: Option<(u32, u64)>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            offer: json!({}),
            served: "yes".into(),
            objects: 0,
            count_is_due: false,
            problems: Some(Vec::new()),
            fails: None,
            stood: None,
            broker: None,
            denied: Vec::new(),
            contested: None,
        }
    }
}

fn time(text: &str) -> Time {
    Time(text.parse().unwrap_or(Timestamp::UNIX_EPOCH))
}

fn served(text: &str) -> Served {
    match text.split_once(": ") {
        None if text == "yes" => Served::Yes,
        None if text == "not watched" => Served::NotWatched,
        Some(("unknown", why)) => Served::Unknown(why.into()),
        Some(("no", why)) => Served::No(why.into()),
        _ => panic!("served: {text}?"),
    }
}

impl Case {
    fn snapshot(&self, document: Option<&Value>, now: Time) -> OfferSnapshot {
        let acceptapi = Gvk::new(keys::GROUP, "v1alpha1", "AcceptAPI");
        let place = ClusterName::new(Role::Provider, "nestor");
        OfferSnapshot {
            target: Target::new(place, acceptapi, Some("offers".into()), "certs".into()),
            offer: document.map(object),
            now,
            served: served(&self.served),
            objects: self.objects,
            count_is_due: self.count_is_due,
            broker: self.broker.as_deref().map(Into::into),
            denied: Denied {
                finalizer: self.denied.iter().any(|part| part == "finalizer"),
                status: self.denied.iter().any(|part| part == "status"),
            },
            written: None,
        }
    }

    fn answer(&self) -> Option<Result<Vec<String>, PluginFailure>> {
        let failure = self.fails.clone().map(|message| Err(PluginFailure { message }));
        failure.or_else(|| self.problems.clone().map(Ok))
    }
}

/// The offer as its status says it stood: as the planner makes it of an earlier case.
fn stood(mut document: Value, case: Option<&Value>) -> Value {
    let Some(case) = case else { return document };
    let case: Case = serde_json::from_value(case.clone()).unwrap_or_else(|error| panic!("stood: {error}"));
    let snapshot = case.snapshot(Some(&document), time("2026-01-02T03:03:05Z"));
    let plan = offers::plan(&snapshot, case.answer().as_ref());
    let put = plan.actions().find_map(|action| match action {
        Action::OfferStatus { status, .. } => Some(status.clone()),
        _ => None,
    });
    document["status"] = put.expect("an offer whose status is new is told its status");
    document
}

/// What is asked about, and the plan.
pub(crate) fn planned(text: &str) -> String {
    let case: Case =
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("the case cannot be read: {error}\n{text}"));
    let filters = json!([{"key": "fqdn", "suffix": "corp.com"}]);
    let gvr = json!({"group": "identity.generic.platform-mesh.io", "version": "v1alpha1", "resource": "certificates"});
    let bare = json!({
        "metadata": {"name": "certs", "namespace": "offers", "uid": "uid-1", "resourceVersion": "7", "generation": 1},
        "spec": {"gvr": gvr, "filters": filters},
    });
    let document = (!case.offer.is_null()).then(|| {
        let mut document = stood(bare, case.stood.as_ref());
        fields::patch(&mut document, &case.offer);
        document
    });
    let mut snapshot = case.snapshot(document.as_ref(), time("2026-01-02T03:04:05Z"));
    let asked = filters_to_validate(&snapshot);
    if let Some((times, ago)) = case.contested {
        let plan = offers::plan(&snapshot, asked.as_ref().and_then(|_| case.answer()).as_ref());
        let asked = plan.actions().find_map(|action| match action {
            Action::OfferStatus { asked, .. } => Some(asked.clone()),
            _ => None,
        });
        let (asked, got) = (asked.expect("there is a status to put back"), "another".into());
        snapshot.written = Some(Applied { asked, got, times, ago: Duration::from_secs(ago) });
    }
    let answer = asked.as_ref().and_then(|_| case.answer());
    let asked = asked.map(|filters| format!("ask: do these make sense? {}\n", filters.join(" "))).unwrap_or_default();
    format!("{asked}{}", render::plan(&offers::plan(&snapshot, answer.as_ref()), &snapshot.now))
}

#[test]
fn filters_that_are_too_long_are_refused_and_nobody_is_asked_about_them() {
    let with = |size: usize| {
        let suffix = "x".repeat(size);
        planned(&format!("offer: {{spec: {{filters: [{{key: fqdn, suffix: {suffix}}}]}}}}"))
    };
    let refused = with(MAX_FILTERS);
    assert!(!refused.contains("ask:") && refused.contains("InvalidFilters") && refused.len() < 10_000, "{refused}");
    assert!(refused.contains("an offer may have 262144"), "{refused}");
    assert!(with(MAX_FILTERS - 100).contains("ask:"), "one byte less is asked about");
}
