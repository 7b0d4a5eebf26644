//! What a Plugin's status says. Needs no client: facts and the status that is there go in, the status that should be
//! there comes out.

use std::{collections::BTreeSet, fmt::Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resource_broker_api::{
    broker::{PluginColumns, PluginStatus},
    conditions::{HEALTHY, LOADED, READY, reason},
};
use resource_broker_plugin_types::{ApiName, Role};
use resource_broker_sandbox::{Plugin, Stats};

use super::{
    serving::{Share, Slot},
    spec,
};
use crate::planner::plan::findings::{Finding, condition};

/// How many digits of a digest people are shown.
const SHORT: usize = 12;

/// How far the newest version has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is being loaded, or waits for its turn.
    Loading,
    /// It is loaded.
    Loaded,
    /// It cannot be loaded.
    Failed(Problem),
}

/// Why a version cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The condition's reason.
    pub(super) reason: &'static str,
    /// What is wrong, where, and what to do.
    pub(super) message: String,
}

/// What is told of a component that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// The SHA-256, in lower-case hex.
    pub(super) digest: String,
    /// The size in bytes, unpacked.
    pub(super) size: usize,
    /// The roles that it exports.
    pub(super) exports: Vec<Role>,
    /// The version of its interface package.
    pub(super) interface_version: String,
    /// How long compiling took, in milliseconds.
    pub(super) compile_milliseconds: i64,
    /// How its calls went.
    pub(super) stats: Stats,
    /// Whether the last calls failed.
    pub(super) failing: bool,
}

impl Running {
    /// Of a plugin in the sandbox.
    pub(super) fn of(plugin: &Plugin, failing: bool) -> Self {
        Self {
            digest: plugin.digest().to_owned(),
            size: plugin.size(),
            exports: plugin.roles().to_vec(),
            interface_version: plugin.interface_version().to_owned(),
            compile_milliseconds: i64::try_from(plugin.compile_time().as_millis()).unwrap_or(i64::MAX),
            stats: plugin.stats(),
            failing,
        }
    }
}

/// Everything that a Plugin's status is made of.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its `metadata.generation`.
    pub(super) generation: Option<i64>,
    /// The newest version.
    pub(super) progress: Progress,
    /// What serves; `None`: nothing was ever loaded.
    pub(super) running: Option<Running>,
    /// What it serves, and what others hold.
    pub(super) share: Share,
    /// What it holds and what runs is not for: it waits for the newest version.
    pub(super) waiting: BTreeSet<Slot>,
    /// Roles that it asks for and the component does not export.
    pub(super) missing: Vec<Role>,
    /// APIs among its own that the broker does not watch.
    pub(super) unwatched: Vec<ApiName>,
}

/// The status that should be there, where `before` is.
pub(super) fn status(facts: &Facts, before: &PluginStatus, now: &Time) -> PluginStatus {
    let running = facts.running.as_ref();
    let served: BTreeSet<_> = running.map(|_| facts.share.holds.clone()).unwrap_or_default();
    let mut apis: Vec<String> = served.iter().map(|(api, _)| api.to_string()).collect();
    apis.dedup();
    let roles: BTreeSet<Role> = served.iter().map(|(_, role)| *role).collect();
    let conditions = [(LOADED, loaded(facts)), (HEALTHY, healthy(running)), (READY, ready(facts))];
    let count = |count: fn(&Running) -> u64| running.map(|it| i64::try_from(count(it)).unwrap_or(i64::MAX));
    PluginStatus {
        conditions: conditions
            .iter()
            .map(|(type_, finding)| condition(type_, finding, &before.conditions, facts.generation, now))
            .collect(),
        digest: running.map(|it| it.digest.clone()),
        size: running.and_then(|it| i64::try_from(it.size).ok()),
        roles: running.map(|it| it.exports.iter().copied().map(spec::to_plugin).collect()).unwrap_or_default(),
        columns: running.map(|it| PluginColumns {
            roles: roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(","),
            apis: apis.join(","),
            digest: short(&it.digest).to_owned(),
        }),
        apis,
        interface_version: running.map(|it| it.interface_version.clone()),
        compile_milliseconds: running.map(|it| it.compile_milliseconds),
        calls: count(|it| it.stats.calls),
        failures: count(|it| it.stats.failures),
        last_error: running.and_then(|it| it.stats.last_error.clone()),
        observed_generation: facts.generation,
    }
}

/// Whether two statuses differ in more than what every call changes.
pub(super) fn differs(one: &PluginStatus, other: &PluginStatus) -> bool {
    let still = |status: &PluginStatus| {
        let mut status = PluginStatus { calls: None, failures: None, last_error: None, ..status.clone() };
        // What a failing plugin says may differ in every call.
        for condition in &mut status.conditions {
            if condition.type_ == HEALTHY {
                condition.message.clear();
            }
        }
        status
    };
    still(one) != still(other)
}

fn loaded(facts: &Facts) -> Finding {
    match (&facts.progress, &facts.running) {
        (Progress::Loaded, Some(it)) => {
            Finding::yes(reason::LOADED, format!("the component {} is loaded", short(&it.digest)))
        }
        (Progress::Loading | Progress::Loaded, None) => Finding::unknown(
            reason::LOADING,
            "the component is being read and compiled; objects of its APIs wait until then",
        ),
        (Progress::Loading, Some(it)) => Finding::unknown(
            reason::LOADING,
            format!("another version is being read and compiled; {} serves until then", short(&it.digest)),
        ),
        (Progress::Failed(problem), running) => Finding::no(problem.reason, failed(problem, running.as_ref())),
    }
}

/// What is wrong with the newest version, and what that means for objects.
fn failed(problem: &Problem, running: Option<&Running>) -> String {
    match running {
        Some(it) => format!("{}. The component {}, loaded before, goes on serving", problem.message, short(&it.digest)),
        None => format!("{}. Until then objects of its APIs stay as they are, and new ones wait", problem.message),
    }
}

fn healthy(running: Option<&Running>) -> Finding {
    let Some(it) = running else { return Finding::unknown(reason::NOT_CALLED, "no component is loaded") };
    let last = it.stats.last_error.as_deref().unwrap_or("no error was kept");
    if it.stats.suspended_for.is_some() {
        let message = format!(
            "so many calls failed in a row that it is asked only now and then; objects that need it wait. The last \
             failure: {last}"
        );
        return Finding::no(reason::SUSPENDED, message);
    }
    if it.failing {
        return Finding::no(reason::FAILING, format!("the last calls failed: {last}"));
    }
    if it.stats.calls == 0 {
        return Finding::yes(reason::NOT_CALLED, "it has not been called yet");
    }
    Finding::yes(reason::HEALTHY, "calls succeed")
}

fn ready(facts: &Facts) -> Finding {
    let Share { holds, shadowed } = &facts.share;
    if facts.running.is_none() {
        return match &facts.progress {
            Progress::Failed(problem) => Finding::no(problem.reason, failed(problem, None)),
            Progress::Loading | Progress::Loaded => loaded(facts),
        };
    }
    let mut message =
        if holds.is_empty() { "it serves nothing".to_owned() } else { format!("it serves {}", slots(holds)) };
    let older: BTreeSet<&String> = shadowed.values().collect();
    for name in older {
        let held = shadowed.iter().filter(|(_, by)| *by == name).map(|(slot, _)| slot.clone()).collect();
        // Writing to a String cannot fail.
        let _ = write!(message, "; Plugin {name}, which is older, serves {}", slots(&held));
    }
    if !facts.waiting.is_empty() {
        let _ = write!(message, "; {} waits for the newest version of the component", slots(&facts.waiting));
    }
    if !facts.missing.is_empty() {
        let roles: Vec<&str> = facts.missing.iter().map(|role| role.name()).collect();
        let _ = write!(
            message,
            "; the component does not export {}, which spec.roles asks for: the standard component does that",
            roles.join(", ")
        );
    }
    if !facts.unwatched.is_empty() {
        let apis: Vec<String> = facts.unwatched.iter().map(ToString::to_string).collect();
        let _ = write!(message, "; the broker watches no kind of {}: see --watch-kind", apis.join(", "));
    }
    if !facts.waiting.is_empty() {
        match &facts.progress {
            Progress::Failed(problem) => Finding::no(problem.reason, format!("{message}: {}", problem.message)),
            Progress::Loading | Progress::Loaded => Finding::unknown(reason::LOADING, message),
        }
    } else if !facts.missing.is_empty() {
        Finding::no(reason::ROLE_MISSING, message)
    } else if holds.is_empty() {
        Finding::no(reason::SHADOWED, message)
    } else {
        Finding::yes(reason::SERVING, message)
    }
}

/// `accept-filter and status-transformer of vms.g.io; accept-filter of disks.g.io`, by API.
fn slots(slots: &BTreeSet<Slot>) -> String {
    let slots: Vec<&Slot> = slots.iter().collect();
    let of = |slots: &[&Slot]| {
        let roles: Vec<&str> = slots.iter().map(|(_, role)| role.name()).collect();
        format!("{} of {}", roles.join(" and "), slots[0].0)
    };
    // They are ordered by API.
    slots.chunk_by(|(one, _), (next, _)| one == next).map(of).collect::<Vec<_>>().join(", ")
}

/// The first digits of a digest.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

    use super::*;

    fn now(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn api(resource: &str) -> ApiName {
        ApiName { group: "g.io".into(), resource: resource.into() }
    }

    fn running() -> Running {
        Running {
            digest: "ab".repeat(32),
            size: 7,
            exports: vec![Role::AcceptFilter],
            interface_version: "0.2.0".into(),
            compile_milliseconds: 3,
            stats: Stats { calls: 9, ..Stats::default() },
            failing: false,
        }
    }

    fn facts() -> Facts {
        let holds = BTreeSet::from([(api("vms"), Role::AcceptFilter)]);
        Facts {
            generation: Some(4),
            progress: Progress::Loaded,
            running: Some(running()),
            share: Share { holds, shadowed: BTreeMap::new() },
            waiting: BTreeSet::new(),
            missing: vec![],
            unwatched: vec![],
        }
    }

    fn problem() -> Progress {
        Progress::Failed(Problem { reason: reason::DIGEST_MISMATCH, message: "it is another one".into() })
    }

    fn found(facts: &Facts, type_: &str) -> Condition {
        let status = status(facts, &PluginStatus::default(), &now(1));
        status.conditions.into_iter().find(|condition| condition.type_ == type_).unwrap()
    }

    fn assert_found(facts: &Facts, type_: &str, status: &str, reason: &str, message: &[&str]) {
        let found = found(facts, type_);
        assert_eq!((found.status.as_str(), found.reason.as_str()), (status, reason), "{found:?}");
        for part in message {
            assert!(found.message.contains(part), "no {part:?} in {found:?}");
        }
    }

    #[test]
    fn all_is_well() {
        let status = status(&facts(), &PluginStatus::default(), &now(1));
        assert!(status.conditions.iter().all(|condition| condition.status == "True"), "{status:?}");
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(4)));
        let columns = status.columns.unwrap();
        assert_eq!((columns.roles.as_str(), columns.apis.as_str()), ("accept-filter", "vms.g.io"));
        assert_eq!((columns.digest.as_str(), status.apis), ("abababababab", vec!["vms.g.io".to_owned()]));
    }

    #[test]
    fn a_bad_version_beside_a_good_one_tells_of_both() {
        let facts = Facts { progress: problem(), ..facts() };
        assert_found(
            &facts,
            LOADED,
            "False",
            reason::DIGEST_MISMATCH,
            &["it is another one", "abababababab", "goes on serving"],
        );
        assert_found(&facts, READY, "True", reason::SERVING, &["accept-filter of vms.g.io"]);
    }

    #[test]
    fn a_bad_version_alone_is_not_ready_for_the_same_reason() {
        let facts = Facts { progress: problem(), running: None, ..facts() };
        for type_ in [LOADED, READY] {
            assert_found(&facts, type_, "False", reason::DIGEST_MISMATCH, &["it is another one", "stay as they are"]);
        }
        assert_found(&facts, HEALTHY, "Unknown", reason::NOT_CALLED, &[]);
        let status = status(&facts, &PluginStatus::default(), &now(1));
        assert!(status.apis.is_empty() && status.columns.is_none(), "what it only keeps waiting is not served");
    }

    #[test]
    fn loading_is_neither_true_nor_false() {
        let mut facts = Facts { progress: Progress::Loading, ..facts() };
        assert_found(&facts, LOADED, "Unknown", reason::LOADING, &["abababababab serves until then"]);
        assert_found(&facts, READY, "True", reason::SERVING, &[]);
        facts.running = None;
        assert_found(&facts, READY, "Unknown", reason::LOADING, &[]);
    }

    #[test]
    fn the_younger_one_says_who_serves() {
        let mut facts = facts();
        facts.share.shadowed = BTreeMap::from([((api("disks"), Role::AcceptFilter), "older".to_owned())]);
        assert_found(&facts, READY, "True", reason::SERVING, &["Plugin older, which is older, serves", "disks.g.io"]);
        facts.share.holds.clear();
        assert_found(&facts, READY, "False", reason::SHADOWED, &["it serves nothing", "Plugin older"]);
    }

    #[test]
    fn a_role_that_is_not_exported_is_named() {
        let facts = Facts { missing: vec![Role::StatusTransformer], ..facts() };
        assert_found(
            &facts,
            READY,
            "False",
            reason::ROLE_MISSING,
            &["it serves accept-filter of vms.g.io", "does not export status-transformer"],
        );
        let facts = Facts { missing: vec![], unwatched: vec![api("vms")], ..facts };
        assert_found(&facts, READY, "True", reason::SERVING, &["watches no kind of vms.g.io"]);
    }

    #[test]
    fn an_api_that_waits_for_the_newest_version_is_not_said_to_be_served() {
        let waiting = BTreeSet::from([(api("disks"), Role::AcceptFilter), (api("disks"), Role::StatusTransformer)]);
        let mut facts = Facts { progress: Progress::Loading, waiting, ..facts() };
        let waits = "accept-filter and status-transformer of disks.g.io waits for the newest version";
        assert_found(&facts, READY, "Unknown", reason::LOADING, &["it serves accept-filter of vms.g.io", waits]);
        facts.progress = problem();
        assert_found(&facts, READY, "False", reason::DIGEST_MISMATCH, &[waits, "it is another one"]);
        assert_eq!(status(&facts, &PluginStatus::default(), &now(1)).apis, ["vms.g.io"]);
    }

    #[test]
    fn failing_calls_are_told_with_the_last_error() {
        let mut facts = facts();
        let stats = |suspended_for| Stats { calls: 9, failures: 5, last_error: Some("boom".into()), suspended_for };
        facts.running = Some(Running { stats: stats(Some(Duration::from_secs(1))), ..running() });
        assert_found(&facts, HEALTHY, "False", reason::SUSPENDED, &["boom"]);
        facts.running = Some(Running { stats: stats(None), failing: true, ..running() });
        assert_found(&facts, HEALTHY, "False", reason::FAILING, &["boom"]);
        facts.running = Some(Running { stats: stats(None), failing: false, ..running() });
        assert_found(&facts, HEALTHY, "True", reason::HEALTHY, &[]);
        facts.running = Some(Running { stats: Stats::default(), ..running() });
        assert_found(&facts, HEALTHY, "True", reason::NOT_CALLED, &[]);
    }

    #[test]
    fn counted_calls_alone_are_no_difference_and_times_stand_while_nothing_changes() {
        let first = status(&facts(), &PluginStatus::default(), &now(1));
        let mut more = facts();
        more.running = Some(Running {
            stats: Stats { calls: 10, failures: 1, last_error: Some("x".into()), suspended_for: None },
            ..running()
        });
        let second = status(&more, &first, &now(2));
        assert_ne!(first, second);
        assert!(!differs(&first, &second), "{second:?}");
        let third = status(&Facts { progress: problem(), ..facts() }, &first, &now(3));
        assert!(differs(&first, &third));
        let times: Vec<_> = third.conditions.iter().map(|it| it.last_transition_time.0.as_second()).collect();
        assert_eq!(times, [3, 1, 1], "only what changed has another time");
    }
}
