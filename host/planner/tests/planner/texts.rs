//! What people are told while an object moves: what, where, why, and what to do next.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resource_broker_api::conditions::{ACCEPTED, FAILED, PROGRESSING, SYNCED, reason};
use resource_broker_planner::plan::findings::conditions_of;

use crate::{
    script,
    world::{World, object},
};

/// An object that `nestor` serves.
const SERVED: &str = "
- offers: {nestor/certs: accepts}
- settle
- ready: {nestor: tls}
- settle
";
/// It changed: `anna` takes it, and the copy there is available.
const MOVES: &str = r#"
- object: {spec: {fqdn: www.other.org}}
  offers: {nestor/certs: ["fqdn: no"], anna/certs: accepts}
- pass
- pass
- ready: {anna: tls}
"#;

fn run(steps: &[&str]) -> World {
    script::run(&steps.concat())
}

#[track_caller]
fn check(conditions: &[Condition], type_: &str, (status, reason): (&str, &str), words: &[&str]) {
    let found = conditions.iter().find(|condition| condition.type_ == type_);
    let found = found.unwrap_or_else(|| panic!("no condition {type_} among {conditions:#?}"));
    assert_eq!((found.status.as_str(), found.reason.as_str()), (status, reason), "{}", found.message);
    for word in words {
        assert!(found.message.contains(word), "{type_} does not say {word:?}: {}", found.message);
    }
}

/// The consumer object's condition after the script.
#[track_caller]
fn object_says(steps: &[&str], type_: &str, how: (&str, &str), words: &[&str]) {
    let world = run(steps);
    let there = object(world.object.as_ref().expect("it is there"));
    check(&conditions_of(there.field("status").as_ref()), type_, how, words);
}

/// The Migration's condition after the script.
#[track_caller]
fn migration_says(steps: &[&str], type_: &str, how: (&str, &str), words: &[&str]) {
    let world = run(steps);
    let migration = world.migration.as_ref().expect("there is a Migration");
    check(&migration.status.conditions, type_, how, words);
}

#[test]
fn nowhere_to_go_is_told_with_every_refusal() {
    let offers = r#"
- offers: {nestor/certs: ["fqdn: no"], anna/certs: ["fqdn: neither"], berta/certs: ["days: too many"]}
- pass
- wait: 11
- pass
"#;
    let how = ("False", reason::NO_MATCHING_OFFER);
    let words = [
        "provider#nestor",
        "fqdn: no",
        "nothing is torn down",
        "provider#anna",
        "neither",
        "provider#berta",
        "too many",
    ];
    object_says(&[SERVED, offers], ACCEPTED, how, &words);
}

#[test]
fn who_waits_for_a_turn_is_told_of_the_limit() {
    let full = "\n- moves: {anna: 10}\n";
    let how = ("False", reason::WAITS_FOR_TURN);
    let words = ["provider#anna takes it", "10 objects", "--max-moves-per-provider", "waits for its turn"];
    object_says(&[SERVED, full, MOVES], ACCEPTED, how, &words);
}

#[test]
fn a_refusal_that_may_not_last_says_for_how_long_it_is_waited() {
    let offers = "\n- offers: {nestor/certs: [\"fqdn: no\"], anna/certs: accepts}\n- pass\n";
    let words = ["it moves if that lasts 10 s", "nothing is torn down"];
    object_says(&[SERVED, offers], ACCEPTED, ("False", reason::NO_MATCHING_OFFER), &words);
}

#[test]
fn a_detached_provider_is_told_with_what_to_do() {
    let detached = "\n- offers: {nestor/certs: accepts, anna/certs: accepts}\n  detach: [nestor]\n- pass\n";
    let words = ["provider#nestor", "not attached", "nothing is torn down", "attached again"];
    object_says(&[SERVED, detached], ACCEPTED, ("False", reason::PROVIDER_GONE), &words);
}

#[test]
fn an_object_that_moves_says_from_where_to_where_and_what_is_awaited() {
    let begun = MOVES.replace("- ready: {anna: tls}\n", "- pass\n");
    let words = ["from provider#nestor to provider#anna", "Available"];
    object_says(&[SERVED, &begun], SYNCED, ("False", reason::MOVING), &words);
    object_says(&[SERVED, &begun], ACCEPTED, ("True", reason::ACCEPTED), &["provider#anna", "provider#nestor"]);
}

#[test]
fn a_filter_that_cannot_judge_is_no_refusal() {
    let failing = "\n- filter: it trapped at 0x10\n- pass\n";
    let how = ("Unknown", reason::PLUGIN_FAILED);
    object_says(&[SERVED, MOVES, failing], ACCEPTED, how, &["provider#nestor", "it trapped at 0x10"]);
}

fn staged(stage: &str, then: &str) -> String {
    format!(
        "\n- configurations: {{databases: null}}\n- stages: [{stage}]\n{MOVES}- pass\n- pass\n- pass\n- pass\n{then}"
    )
}

#[test]
fn an_approval_that_is_awaited_says_how_it_is_given() {
    let stage = staged("{name: copy, approval: true}", "- pass\n");
    let how = ("False", reason::AWAITING_APPROVAL);
    let words = ["stage copy", "resource-broker migrate approve", " -n broker", "migration-approve=copy"];
    migration_says(&[SERVED, &stage], PROGRESSING, how, &words);
}

#[test]
fn the_objects_owner_is_told_where_its_migration_stands_and_nothing_from_inside() {
    let told = |stage: &str, then: &str, words: &[&str], inner: &str| {
        let world = run(&[SERVED, &staged(stage, then)]);
        let there = object(world.object.as_ref().expect("it is there"));
        let conditions = conditions_of(there.field("status").as_ref());
        check(&conditions, SYNCED, ("False", reason::MOVING), words);
        check(
            &conditions,
            SYNCED,
            ("False", reason::MOVING),
            &["provider#nestor serves on; Migration certificate-www-"],
        );
        let said = format!("{conditions:?}");
        assert!(!said.contains(inner) && !said.contains("resource-broker"), "{said}");
    };
    let at = "its migration is at stage copy";
    told(
        "{name: copy, approval: true}, {name: other}",
        "- pass\n",
        &[at, "(1 of 2): it waits for approval"],
        "annotate",
    );
    told("{name: copy, waits: x.y}", "- pass\n", &[at, "(1 of 1): it waits for its conditions"], "x.y");
    let refused = "- pass\n- pass\n- failure: {part: migration, reason: Invalid, message: \"Job m1: 400\"}\n- pass\n";
    told("{name: copy, deploys: {job: Job}}", refused, &[at, "blocked, and an administrator has to mend it"], "400");
    let failed = "- pass\n- wait: 60\n- pass\n- pass\n";
    told("{name: copy, waits: x.y, timeout: 60}", failed, &[at, "it failed, and an administrator has to"], "x.y");
}

#[test]
fn a_stage_that_took_too_long_says_what_it_waited_for_or_what_was_in_its_way() {
    let late = |stage: &str, then: &str, words: &str| {
        let then = format!("- pass\n{then}- wait: 60\n- pass\n");
        let words = ["timeout of 60 s; ", words, "provider#nestor serves on"];
        let steps = [SERVED, &staged(stage, &then)];
        migration_says(&steps, FAILED, ("True", reason::STAGE_TIMED_OUT), &words);
        let migration = run(&steps).migration.expect("there is a Migration");
        let message = migration.status.stages[0].message.as_deref().unwrap_or_default();
        assert!(message.contains(words[1]), "{message}");
    };
    late("{name: copy, waits: x.y, timeout: 60}", "", "what it waited for last: x.y");
    let blocked =
        "- pass\n- failure: {part: migration, reason: Invalid, message: \"stage copy: Job m1: 400\"}\n- pass\n";
    late("{name: copy, deploys: {job: Job}, timeout: 60}", blocked, "what was in its way: Job m1: 400");
}

#[test]
fn a_failed_migration_says_who_serves_and_which_orders_there_are() {
    let stage = staged("{name: copy, deploys: {job: Job}, timeout: 60}", "- pass\n- pass\n- wait: 60\n- pass\n");
    let words = [
        "stage copy",
        "attempt 1",
        "timeout of 60 s",
        "provider#nestor serves on",
        "resource-broker migrate retry",
        "resource-broker migrate rollback",
    ];
    migration_says(&[SERVED, &stage], FAILED, ("True", reason::STAGE_TIMED_OUT), &words);
    migration_says(&[SERVED, &stage], PROGRESSING, ("False", reason::STAGE_TIMED_OUT), &words);
}

#[test]
fn a_rollback_says_when_the_object_moves_again() {
    let back = staged("{name: copy, waits: \"from.spec.paused\"}", "- orders: {rollback: \"true\"}\n- settle\n");
    let words = ["provider#nestor", "rollback", "when it changes", "an administrator", "Migration certificate-www-"];
    object_says(&[SERVED, &back], ACCEPTED, ("False", reason::MOVE_ROLLED_BACK), &words);
}

#[test]
fn what_blocks_a_migration_is_named_with_what_mends_it() {
    let blocked = |change: &str, words: &[&str]| {
        let stage = staged("{name: copy, deploys: {job: Job}}", change);
        migration_says(&[SERVED, &stage], PROGRESSING, ("False", reason::BLOCKED), words);
    };
    blocked("- configurations: {}\n- pass\n", &["databases", "create it again", "roll the migration back"]);
    blocked("- configurations: {databases: null, more: null}\n- pass\n", &["databases and more", "keep one"]);
    blocked("- configurations: {databases: \"stage copy: no\"}\n- pass\n", &["databases", "stage copy: no"]);
    blocked("- stages: [{name: other}]\n- pass\n", &["stage copy", "other", "put it back"]);
    blocked("- copy-vanishes\n- pass\n", &["provider#nestor", "resource-broker migrate rollback"]);
    blocked("- failing: {compute: forbidden}\n- pass\n", &["compute#compute", "forbidden"]);
}
