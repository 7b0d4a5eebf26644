//! What stages deploy, wait for and find in the compute cluster.

use super::{planned, running};
use crate::mishaps::{AT_ANNA, CHANGED, SERVED, STAGES, run, whose_secret};
use crate::world::{Unread, World, object, provider};
use resource_broker_api::broker::{MigrationState, StageState};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_api::names::Gvk;
use resource_broker_planner::model::snapshot::Target;
use resource_broker_planner::plan::{Action, CopyRelated, DeclaredBy, Existing, Marks};
use resource_broker_planner::{migration::migrate, plan, sync::related};
use resource_broker_plugin_types::StageOutcome;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn preconditions_have_a_timeout_too() {
    let stages = "
- configurations: {databases: null}
- stages: [{name: copy, waits: the source is in use, deploys: {job: Job}, timeout: 60, progress: true}]
";
    let mut world = run(&[SERVED, stages, CHANGED, AT_ANNA, "- settle\n"]);
    let state = |world: &World| world.migration.as_ref().and_then(|it| it.status.state);
    assert_eq!(state(&world), Some(MigrationState::InitialInProgress));
    world.wait(Duration::from_secs(61));
    world.settle();
    assert_eq!(state(&world), Some(MigrationState::Failed));
}

#[test]
fn what_is_deployed_carries_the_brokers_mark() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA]);
    let mut deployed = None;
    for _ in 0..20 {
        let plan = planned(&world, |_| ());
        deployed = deployed.or_else(|| {
            plan.actions().find_map(|action| match action {
                Action::Deploy { body, .. } => Some(body.clone()),
                _ => None,
            })
        });
        world.pass();
    }
    let deployed = deployed.expect("the stage deploys a Job");
    assert_eq!(deployed["metadata"]["annotations"][keys::BROKER], crate::world::BROKER);
}

#[test]
fn what_a_stage_deployed_is_not_done_because_it_may_be_deployed() {
    let world = running();
    let snapshot = world.snapshot();
    let (mut answers, _) = world.questioned(&snapshot);
    assert!(answers.outcome.is_some(), "the component is asked");
    answers.outcome = Some(Ok(StageOutcome::Ready));
    let made = plan(&snapshot, &answers).expect("all is answered");
    let succeeds = |action: &Action| match action {
        Action::MigrationStatus { status, .. } => status.stages[0].state == StageState::Succeeded,
        _ => false,
    };
    assert!(!made.actions().any(succeeds), "{made:#?}");
}

#[test]
fn a_resource_of_another_kind_is_not_taken_for_a_stages_own() {
    let mut world = running();
    world.end_jobs(true);
    let plan = planned(&world, |snapshot| {
        snapshot.migration.compute.deployed.iter_mut().for_each(|(gvk, _)| gvk.kind = "CronJob".into());
    });
    let succeeds = |action: &Action| match action {
        Action::MigrationStatus { status, .. } => status.stages[0].state == StageState::Succeeded,
        _ => false,
    };
    assert!(!plan.actions().any(succeeds), "{plan:#?}");
}

/// What an earlier release of the broker deployed: nothing of it is recorded, and it carries no finalizer.
fn of_an_earlier_release() -> World {
    let mut world = running();
    let migration = world.migration.as_mut().expect("it migrates");
    for stage in &mut migration.status.stages {
        stage.retained = false;
        stage.resources.iter_mut().for_each(|resource| resource.uid = None);
    }
    for there in world.compute.objects.values_mut() {
        there["metadata"]["finalizers"] = json!([]);
    }
    world
}

fn stage(world: &World) -> &resource_broker_api::broker::StageStatus {
    &world.migration.as_ref().expect("it migrates").status.stages[0]
}

#[test]
fn what_an_earlier_release_deployed_is_retained_when_it_is_seen() {
    let mut world = of_an_earlier_release();
    world.settle();
    assert_eq!(world.wrongs, Vec::<String>::new());
    assert!(stage(&world).retained && stage(&world).resources[0].uid.is_some(), "{:?}", stage(&world));
    world.end_jobs(true);
    world.delete_jobs(false);
    assert!(world.compute.objects.keys().any(|(gvk, _)| gvk.kind == "Job"), "the finalizer is on it");
    world.settle();
    assert_eq!(stage(&world).state, StageState::Succeeded);
    assert!(!world.compute.objects.keys().any(|(gvk, _)| gvk.kind == "Job"), "it was let go");
}

#[test]
fn what_an_earlier_release_deployed_is_not_run_again_where_it_is_gone() {
    let mut world = of_an_earlier_release();
    world.end_jobs(true);
    world.delete_jobs(false);
    world.settle();
    assert_eq!(stage(&world).state, StageState::Failed);
    let failed = &world.migration.as_ref().expect("it is there").status.conditions[0];
    assert_eq!(failed.reason, reason::STAGE_RESOURCE_LOST, "{failed:?}");
    assert!(failed.message.contains("resource-broker migrate retry"), "{failed:?}");
}

#[test]
fn another_object_under_the_name_of_what_was_deployed_is_not_asked() {
    let mut world = running();
    world.end_jobs(true);
    for ((gvk, _), there) in &mut world.compute.objects {
        if gvk.kind == "Job" {
            there["metadata"]["uid"] = "another".into();
        }
    }
    world.settle();
    assert_eq!(stage(&world).state, StageState::Failed);
}

#[test]
fn a_stage_deploys_with_the_finalizer_and_records_what_it_deployed() {
    let world = running();
    let job = world.compute.objects.iter().find(|((gvk, _), _)| gvk.kind == "Job").expect("it is deployed").1;
    assert_eq!(job["metadata"]["finalizers"], json!([keys::STAGE_FINALIZER]));
    assert_eq!(stage(&world).resources[0].uid.as_deref(), job["metadata"]["uid"].as_str());
}

#[test]
fn a_migration_that_is_over_lets_go_what_it_deployed() {
    let mut world = running();
    world.delete_migration();
    for _ in 0..10 {
        world.history_pass();
    }
    assert_eq!(world.wrongs, Vec::<String>::new());
    assert!(!world.compute.objects.keys().any(|(gvk, _)| gvk.kind == "Job"), "{:?}", world.compute.objects.keys());
    assert!(world.migration.is_none(), "and goes itself");
}

#[test]
fn a_name_belongs_to_one_migration_whatever_the_kind() {
    for kind in ["ConfigMap", "Secret"] {
        let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA]);
        world.allowed.insert("ConfigMap");
        let name = format!("from-{}tls", world.key.consumer.copy_prefix());
        let gvk = Gvk::new("core", "v1", kind);
        let there = json!({"metadata": {
            "name": name, "namespace": "stages", "uid": "other", "resourceVersion": "1",
            "labels": {keys::MIGRATION_ID: "m000000000000"},
        }});
        world.compute.objects.insert((gvk.clone(), name.clone()), there);
        world.settle();
        let migration = world.migration.as_ref().expect("it migrates");
        assert_eq!(migration.status.stages.len(), 0, "{kind}: a stage would mount what is the other one's");
        let waits = migration.status.conditions.iter().find(|it| it.type_ == "Progressing").expect("it says why");
        assert!(
            waits
                .message
                .contains(&format!("{kind} stages/{name} in compute#compute is in use by migration m000000000000")),
            "{waits:?}"
        );
        world.compute.objects.remove(&(gvk, name));
        world.settle();
        assert_eq!(world.migration.as_ref().map(|it| it.status.stages.len()), Some(1), "{kind}: its turn has come");
    }
}

#[test]
fn a_manifest_mounts_what_is_mirrored_for_its_own_migration_alone() {
    let mounting = |name: &str, field: &str| {
        let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA]);
        let name = name.replace("HASH-", &world.key.consumer.copy_prefix());
        let mut blocked = None;
        for _ in 0..12 {
            let snapshot = world.snapshot();
            let (mut answers, _) = world.questioned(&snapshot);
            if let Some(Ok(manifests)) = &mut answers.manifests {
                let mut body: Value = serde_json::from_str(&manifests[0].body).expect("it is JSON");
                body["spec"]["template"]["spec"]["volumes"] = json!([{field: {"secretName": name, "name": name}}]);
                manifests[0].body = body.to_string();
                let made = plan(&snapshot, &answers).expect("all is answered");
                let deploys = made.actions().any(|action| matches!(action, Action::Deploy { .. }));
                let begins = made.actions().any(|action| match action {
                    Action::MigrationStatus { status, .. } => {
                        status.stages.iter().any(|it| it.state == StageState::Running)
                    }
                    _ => false,
                });
                blocked = Some(!deploys && !begins);
                break;
            }
            world.pass();
        }
        blocked.expect("the stage is rendered")
    };
    assert!(!mounting("from-HASH-tls", "secret"), "it is mirrored");
    assert!(!mounting("scripts", "configMap"), "it is the operator's own");
    assert!(mounting("from-another", "secret"), "it may be another migration's");
    assert!(mounting("from-HASH-tls", "configMap"), "it is a Secret");
}

#[test]
fn the_next_stage_waits_until_compute_shows_that_the_last_one_is_gone() {
    let mut world = running();
    world.end_jobs(true);
    while world.migration.as_ref().is_some_and(|it| it.status.stages[0].state != StageState::Succeeded) {
        assert_ne!(world.pass(), 0, "its Job has ended");
    }
    world.compute.unread = Some(Unread { why: "not yet".into(), failing: false });
    for _ in 0..5 {
        world.pass();
    }
    assert_eq!(world.migration.as_ref().map(|it| it.status.stages.len()), Some(1));
}

#[test]
fn stages_begin_when_all_is_mirrored_that_both_copies_declare() {
    let begun = |world: &World| world.migration.as_ref().is_some_and(|it| !it.status.stages.is_empty());
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA]);
    let sources = std::mem::take(&mut world.providers.get_mut(&provider("anna")).expect("it is attached").sources);
    world.settle();
    assert!(!begun(&world), "its Secret is declared, and not there");
    world.providers.get_mut(&provider("anna")).expect("it is attached").sources = sources;
    world.sources.unread = Some(Unread { why: "not yet".into(), failing: false });
    for _ in 0..5 {
        world.pass();
    }
    assert!(!begun(&world), "whether its Secret is there is not known");
    world.sources.unread = None;
    world.settle();
    assert!(begun(&world));
}

#[test]
fn mirrors_follow_what_is_at_the_providers() {
    let mut world = running();
    let prefix = world.key.consumer.copy_prefix();
    let (secret, name) = (Gvk::new("core", "v1", "Secret"), format!("{prefix}tls"));
    world.put_source(&provider("anna"), secret.clone(), &name);
    let sources = &world.providers[&provider("anna")].sources;
    let latest = sources.values().next().expect("it is there")["data"].clone();
    world.settle();
    let mirror = (secret, format!("to-{name}"));
    assert_eq!(world.compute.objects[&mirror]["data"], latest);
    world.edit_in_compute(&format!("Secret/to-{name}"), &json!({"data": {"version": "by hand"}}));
    world.settle();
    assert_eq!(world.compute.objects[&mirror]["data"], latest);
}

#[test]
fn a_stage_is_told_of_its_own_mirrors_only() {
    let world = running();
    let record = world.record.as_ref().expect("it has one");
    let mut back = record.clone();
    let next = back.spec.next.replace(back.spec.provider.clone());
    back.spec.provider = next.expect("it moves");
    let asked = |world: &World| {
        let (_, asked) = world.questioned(&world.snapshot());
        let context = asked.into_iter().find_map(|questions| questions.template).expect("it is asked").context;
        (context.old.related.len(), context.new.related.len())
    };
    assert_eq!(asked(&world), (1, 1));
    let mut world = world.clone();
    let name = format!("Secret/from-{}tls", world.key.consumer.copy_prefix());
    world.edit_in_compute(&name, &json!({"metadata": {"labels": {keys::MIGRATION_ID: migrate::id(&back)}}}));
    assert_eq!(asked(&world), (0, 1));
}

#[test]
fn a_kind_that_may_not_be_copied_is_not_mirrored_either() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA]);
    world.allowed.remove("Secret");
    world.settle();
    let secrets = world.compute.objects.keys().filter(|(gvk, _)| gvk.kind == "Secret");
    assert_eq!(secrets.count(), 0);
    assert!(world.migration.is_some_and(|it| !it.status.stages.is_empty()), "it holds nothing up");
}

#[test]
fn no_name_is_taken_in_compute_while_another_migration_has_one_of_them() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA]);
    let prefix = world.key.consumer.copy_prefix();
    let labels = json!({keys::MIGRATION_ID: "z-of-another-object"});
    let theirs = json!({"metadata": {"labels": labels}, "data": {"version": "theirs"}});
    world.edit_in_compute(&format!("Secret/to-{prefix}tls"), &theirs);
    for _ in 0..10 {
        world.pass();
    }
    let there: Vec<_> = world.compute.objects.keys().map(|(_, name)| name.clone()).collect();
    assert_eq!(there, [format!("to-{prefix}tls")]);
    assert!(world.migration.is_some_and(|it| it.status.stages.is_empty()));
}

#[test]
fn a_name_that_is_too_long_for_a_mirror_is_told() {
    let mut world = run(&[SERVED, STAGES, CHANGED, "- pass\n- pass\n"]);
    let name = "x".repeat(252 - world.key.consumer.copy_prefix().len());
    world.make_ready(&provider("anna"), &name);
    world.settle();
    let conditions = world.migration.expect("it waits").status.conditions;
    assert!(
        conditions.iter().any(|it| it.reason == reason::BLOCKED && it.message.contains("longer than")),
        "{conditions:?}"
    );
}

#[test]
fn a_retry_goes_on_from_the_state_that_was_reached() {
    let stages = "
- configurations: {databases: null}
- stages:
  - {name: copy, deploys: {job: Job}, progress: true}
  - {name: check, deploys: {job: Job}, progress: true}
";
    let failed = "- settle\n- jobs-end\n- settle\n- jobs-fail\n- settle\n- orders: {retry: \"true\"}\n- pass\n";
    let world = run(&[SERVED, stages, CHANGED, AT_ANNA, failed]);
    assert_eq!(world.migration.as_ref().and_then(|it| it.status.state), Some(MigrationState::InitialCompleted));
    assert_eq!(whose_secret(&world), "anna");
}

/// A request to write a mirror of the migration `m1`.
fn mirror() -> CopyRelated {
    let world = World::new();
    let target = Target::new(world.key.consumer.clone(), Gvk::new("core", "v1", "Secret"), None, "to-tls".into());
    let marks = Marks::Mirror { id: "m1".into(), broker: None };
    let source = target.clone();
    let by = DeclaredBy { copy: source.clone(), uid: "uid-4".into(), is_new: false };
    CopyRelated { source, target, existing: Existing::Unknown, untouched: false, keep: true, by, marks }
}

#[test]
fn a_mirror_replaces_nothing_but_a_mirror_of_its_own_migration() {
    let there = |labels: serde_json::Value, annotations: serde_json::Value| {
        object(&json!({"metadata": {"name": "to-tls", "labels": labels, "annotations": annotations}}))
    };
    let copied = || json!({keys::RELATED_SOURCE: "uid/1"});
    let replaces = |labels, annotations| related::may_replace(&there(labels, annotations), &mirror().marks);
    assert!(replaces(json!({keys::MIGRATION_ID: "m1"}), copied()));
    assert!(!replaces(json!({keys::MIGRATION_ID: "m2"}), copied()), "another migration's");
    assert!(!replaces(json!({keys::MIGRATION_ID: "m1", keys::MIGRATION_STAGE: "copy"}), copied()), "a stage's");
    assert!(!replaces(json!({keys::MIGRATION_ID: "m1"}), json!({})), "nobody copied it");
}
