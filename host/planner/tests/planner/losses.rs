//! Single decisions that keep service and data, each in the moment in which it alone does: were it left out, no later pass would
//! make good for it. What holds over whole histories is in `moves` and `versions`.

use std::time::Duration;

use resource_broker_api::{
    broker::{AssignmentSpec, MigrationState, PreviousRef, StageState},
    conditions::reason,
    keys,
    names::Gvk,
};
use resource_broker_planner::{
    history, migrate, plan,
    plan::{Action, CopyRelated, Existing, Guard, Marks, Plan},
    question::{Outcome, PluginFailure, Verdict},
    related,
    snapshot::{Failure, KindView, MigrationRecord, Part, ProviderView, Record, Snapshot, Target, View, Watched},
};
use serde_json::json;

use crate::{
    mishaps::{AT_ANNA, CHANGED, HANDED_OVER, SERVED, STAGES, has_live_copy, run, whose_secret},
    world::{THEIR_FINALIZER, Unread, World, object, provider},
};

/// The first stage has begun, and its Job runs.
const RUNNING: &str = "- settle\n";
/// An object that `nestor` does not take any more, and `anna` takes in another version of its kind.
const TO_ANOTHER_VERSION: &str = r#"
- versions: {v1beta1: {anna/certs: accepts}}
- attach: [anna]
- offers: {nestor/certs: ["fqdn: no"]}
- pass
- wait: 11
- pass
"#;

fn unread<T>() -> View<T> {
    View::Unknown { why: "connection refused".into(), failing: false }
}

fn spec(world: &World) -> AssignmentSpec {
    world.record.as_ref().expect("it has one").spec.clone()
}

/// The record's new specs, as a plan writes them.
fn recorded(plan: &Plan) -> Vec<&AssignmentSpec> {
    let updates = plan.actions().filter_map(|action| match action {
        Action::UpdateRecord { spec, .. } => Some(spec.as_ref()),
        _ => None,
    });
    updates.collect()
}

/// The plan for a snapshot of the world that is changed first.
fn planned(world: &World, change: impl FnOnce(&mut Snapshot)) -> Plan {
    let mut snapshot = world.snapshot();
    change(&mut snapshot);
    world.decide(&snapshot)
}

fn with_record(snapshot: &mut Snapshot, change: impl FnOnce(&mut Record)) {
    let mut record = snapshot.record.present().expect("it has one").as_ref().clone();
    change(&mut record);
    snapshot.record = View::Present(record.into());
}

fn with_migration(snapshot: &mut Snapshot, change: impl FnOnce(&mut MigrationRecord)) {
    let mut migration = snapshot.migration.object.present().expect("it has one").as_ref().clone();
    change(&mut migration);
    snapshot.migration.object = View::Present(migration.into());
}

/// A place at `carla` that the object left while its entries said no version.
fn left_at_carla(record: &mut Record) {
    let at = &record.spec.provider;
    let (namespace, name) = (at.namespace.clone(), at.name.clone());
    let cluster = provider("carla").to_string();
    record.spec.previous.push(PreviousRef { cluster, version: None, namespace, name, uid: None });
}

/// Whether a plan writes to a Migration's status.
fn writes_migration(plan: &Plan) -> bool {
    plan.actions().any(|action| matches!(action, Action::MigrationStatus { .. }))
}

/// From which providers a plan has the consumer's related resources copied.
fn copied_from(world: &World, plan: &Plan) -> Vec<String> {
    let of = |action: &Action| match action {
        Action::CopyRelated(copy) if copy.target.cluster == world.key.consumer => Some(copy.source.cluster.to_string()),
        _ => None,
    };
    plan.actions().filter_map(of).collect()
}

fn running() -> World {
    run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING])
}

fn handed_over() -> World {
    run(&[SERVED, STAGES, CHANGED, AT_ANNA, HANDED_OVER])
}

/// The object goes to `berta` since `anna` refuses it, where a copy has been made already.
fn turned_to_berta() -> World {
    let turned = r#"
- offers: {nestor/certs: ["fqdn: no"], anna/certs: ["fqdn: no"], berta/certs: accepts}
- pass
- wait: 11
- pass
"#;
    let world = run(&[SERVED, CHANGED, "- pass\n- pass\n", turned]);
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#berta"));
    assert!(has_live_copy(&world, "anna"), "it is cleared in a later pass");
    assert!(spec(&world).previous[0].uid.is_some(), "it is known");
    world
}

#[test]
fn a_copy_that_says_that_it_is_not_ready_does_not_take_over() {
    let ready = |at: &str, is: &str| {
        format!(
            "- at: {at}\n  copy: {{status: {{conditions: [{{type: Ready, status: \"{is}\", reason: R, message: m}}]}}}}\n"
        )
    };
    let served = format!("- offers: {{nestor/certs: accepts}}\n- settle\n{}- settle\n", ready("nestor", "True"));
    let mut world = run(&[&served, CHANGED, "- pass\n- pass\n", &ready("anna", "False"), "- settle\n"]);
    assert_eq!(world.assigned(), Some(provider("nestor")));
    world.edit_copy(
        &provider("anna"),
        &json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "m"}]}}),
    );
    world.settle();
    assert_eq!(world.assigned(), Some(provider("anna")));
}

#[test]
fn the_switch_forgets_no_place_that_was_left_earlier() {
    let world = run(&[SERVED, CHANGED, AT_ANNA]);
    let plan = planned(&world, |snapshot| with_record(snapshot, left_at_carla));
    let [spec] = recorded(&plan)[..] else { panic!("the switch is due: {plan:#?}") };
    let left: Vec<&str> = spec.previous.iter().map(|place| place.cluster.as_str()).collect();
    assert_eq!(left, ["provider#carla", "provider#nestor"]);
}

#[test]
fn what_is_left_in_one_version_says_so_before_the_object_goes_on_in_another() {
    let mut world = run(&[SERVED, TO_ANOTHER_VERSION, "- pass\n- ready: {anna: tls}\n"]);
    let versions = |plan: &Plan| -> Vec<Option<String>> {
        let [spec] = recorded(plan)[..] else { panic!("the record is due: {plan:#?}") };
        spec.previous.iter().map(|place| place.version.clone()).collect()
    };
    let old = || Some("v1alpha1".to_owned());
    let switch = planned(&world, |snapshot| with_record(snapshot, left_at_carla));
    assert_eq!(versions(&switch), [old(), old()]);
    assert_eq!(recorded(&switch)[0].consumer.version, "v1beta1");
    // The new copy is of the version in which it was made.
    world.offers.values_mut().for_each(|says| *says = Verdict::Accepted);
    world.edit_object(&json!({"spec": {"days": 7}}));
    let back = planned(&world, |_| ());
    assert_eq!(versions(&back), [Some("v1beta1".to_owned())]);
    // The same provider takes it in another version.
    let served = run(&[SERVED, "- versions: {v1beta1: {nestor/certs: accepts}}\n", CHANGED]);
    let stays = planned(&served, |snapshot| with_record(snapshot, left_at_carla));
    assert_eq!(versions(&stays), [old()]);
    // The version that the record names is watched no more.
    let unwatched = planned(&run(&[SERVED]), |snapshot| {
        with_record(snapshot, left_at_carla);
        with_record(snapshot, |record| record.spec.consumer.version = "v1beta1".into());
        snapshot.record_is_watched = false;
    });
    assert_eq!(versions(&unwatched), [Some("v1beta1".to_owned())]);
}

#[test]
fn a_copy_in_another_version_is_made_of_the_object_in_that_version() {
    let world = run(&[SERVED, TO_ANOTHER_VERSION]);
    let plan = planned(&world, |snapshot| {
        let converted =
            json!({"metadata": world.object.as_ref().expect("it is there")["metadata"], "spec": {"host": "a"}});
        snapshot.versions[0].consumer = View::Present(object(&converted));
    });
    let bodies = plan.actions().filter_map(|action| match action {
        Action::ApplyCopy { body, .. } => Some(body),
        _ => None,
    });
    let bodies: Vec<_> = bodies.collect();
    let [body] = bodies[..] else { panic!("the copy is due: {plan:#?}") };
    assert_eq!(
        (&body["apiVersion"], &body["spec"]),
        (&json!("identity.generic.platform-mesh.io/v1beta1"), &json!({"host": "a"}))
    );
}

#[test]
fn nobody_else_speaks_for_the_provider_that_is_gone_to() {
    let mut world = run(&[SERVED, TO_ANOTHER_VERSION, "- pass\n"]);
    assert!(has_live_copy(&world, "anna"));
    let offer = |at: &str| (provider(at), "offers".to_owned(), "certs".to_owned());
    world.providers.entry(provider("carla")).or_default();
    let answers = [(offer("anna"), Verdict::Refused(vec!["days: no".into()])), (offer("carla"), Verdict::Accepted)];
    world.versions.insert("v1beta1".into(), answers.into());
    world.pass();
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#anna"), "that has to last");
    world.wait(Duration::from_secs(11));
    world.pass();
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#carla"));
    assert_eq!(spec(&world).previous.first().map(|place| place.cluster.as_str()), Some("provider#anna"));
}

#[test]
fn what_stays_with_its_provider_or_in_its_version_goes_first() {
    let others = "- versions: {v1beta1: {nestor/certs: accepts, berta/certs: accepts}}\n- attach: [berta]\n";
    let world = run(&[SERVED, others, CHANGED, "- pass\n"]);
    assert_eq!((world.assigned(), spec(&world).next), (Some(provider("nestor")), None));
    assert_eq!(spec(&world).consumer.version, "v1beta1");
    let others = "- versions: {v1beta1: {berta/certs: accepts}}\n- attach: [berta]\n";
    let world = run(&[SERVED, others, CHANGED, "- pass\n"]);
    let next = spec(&world).next.expect("it moves");
    assert_eq!((next.cluster.as_str(), next.version), ("provider#anna", None));
}

#[test]
fn a_filter_that_fails_is_not_told_as_a_refusal() {
    let world = run(&[SERVED, CHANGED]);
    let snapshot = world.snapshot();
    let (mut answers, _) = world.questioned(&snapshot);
    let said = answers.elsewhere.as_mut().expect("the others are asked");
    said.fill(Err(PluginFailure { message: "it trapped".into() }));
    let made = plan(&snapshot, &answers).expect("all is answered");
    let told = made.actions().find_map(|action| match action {
        Action::PutStatus { status, .. } => Some(status["conditions"].to_string()),
        _ => None,
    });
    let told = told.expect("people are told");
    assert!(told.contains(reason::PLUGIN_FAILED) && !told.contains(reason::NO_MATCHING_OFFER), "{told}");
}

#[test]
fn a_move_that_stalls_takes_nothing_back_that_was_handed_over() {
    let mut world = handed_over();
    assert_eq!(whose_secret(&world), "anna");
    let unread = Unread { why: "connection refused".into(), failing: true };
    world.providers.get_mut(&provider("anna")).expect("it is attached").offers_unread = Some(unread);
    for _ in 0..5 {
        world.pass();
        assert_eq!(whose_secret(&world), "anna");
    }
}

#[test]
fn a_move_that_stalls_clears_what_was_left_all_the_same() {
    let mut world = turned_to_berta();
    let unread = Unread { why: "connection refused".into(), failing: true };
    world.providers.get_mut(&provider("berta")).expect("it is attached").offers_unread = Some(unread);
    world.settle();
    assert!(!has_live_copy(&world, "anna") && spec(&world).previous.is_empty(), "{:?}", spec(&world));
}

#[test]
fn a_place_that_cannot_be_reached_holds_no_move_up_and_is_not_forgotten() {
    let mut world = turned_to_berta();
    world.providers.get_mut(&provider("anna")).expect("it is attached").detached = true;
    world.settle();
    world.make_ready(&provider("berta"), "tls");
    world.settle();
    assert_eq!(world.assigned(), Some(provider("berta")));
    let left: Vec<_> = spec(&world).previous.into_iter().map(|place| place.cluster).collect();
    assert_eq!(left, ["provider#anna"]);
    world.providers.get_mut(&provider("anna")).expect("it is known").detached = false;
    world.settle();
    assert!(!has_live_copy(&world, "anna") && spec(&world).previous.is_empty());
}

#[test]
fn the_record_is_written_once_in_a_pass() {
    let attach = |snapshot: &mut Snapshot| {
        with_record(snapshot, left_at_carla);
        let mut view = snapshot.providers[&provider("nestor")].clone();
        view.copy = View::Absent;
        snapshot.providers.insert(provider("carla"), view);
    };
    // What was left has gone, and the object moves on after a write of the record that failed.
    let plan = planned(&run(&[SERVED, CHANGED]), |snapshot| {
        attach(snapshot);
        let message = "the connection was reset".into();
        snapshot.memory.failure =
            Some(Failure { part: Part::Record, invalid: false, reason: reason::CLUSTER_UNAVAILABLE, message });
    });
    assert_eq!(recorded(&plan).len(), 1, "{plan:#?}");
    // The same, and another offer of the same provider takes the object.
    let plan = planned(&run(&[SERVED, "- offers: {nestor/others: accepts}\n"]), attach);
    assert_eq!(recorded(&plan).len(), 1, "{plan:#?}");
}

#[test]
fn the_end_of_one_copy_is_no_proof_of_the_end_of_another() {
    let mut world = run(&[SERVED, CHANGED, "- pass\n- pass\n"]);
    assert!(has_live_copy(&world, "anna"));
    let old = world.copy().expect("it serves")["metadata"]["uid"].as_str().expect("it has one").to_owned();
    world.delete_object();
    let plan = planned(&world, |snapshot| {
        snapshot.providers.values_mut().for_each(|view| view.copy = View::Absent);
        snapshot.memory.gone.insert(old);
    });
    let anna = Guard::Gone(world.key.copy_at(&provider("anna")));
    let releases =
        |action: &Action| matches!(action, Action::ReleaseFinalizer { guards, .. } if guards.contains(&anna));
    assert!(plan.actions().any(releases), "{plan:#?}");
}

#[test]
fn a_move_whose_stages_nobody_tells_any_more_does_not_go_ahead() {
    let stages = "- stages-plugin\n- stages: [{name: copy, deploys: {job: Job}, progress: true}]\n";
    let mut world = run(&[SERVED, stages, CHANGED, AT_ANNA, RUNNING]);
    assert_eq!(world.migration.as_ref().map(|it| it.status.stages.len()), Some(1));
    world.stages_plugin = false;
    world.end_jobs(true);
    world.settle();
    assert_eq!(world.assigned(), Some(provider("nestor")));
    // All stages are taken out of the configuration while one of them is under way.
    let mut world = running();
    world.compute.stages.clear();
    world.end_jobs(true);
    world.settle();
    let state = world.migration.as_ref().and_then(|it| it.status.state);
    assert_eq!((world.assigned(), state), (Some(provider("nestor")), Some(MigrationState::InitialInProgress)));
}

#[test]
fn a_move_waits_until_configurations_are_read() {
    let world = run(&[SERVED, CHANGED, AT_ANNA]);
    let plan = planned(&world, |snapshot| {
        snapshot.migration.configurations = View::Unknown { why: "not yet".into(), failing: false };
    });
    assert!(recorded(&plan).is_empty(), "one of them may be for this move: {plan:#?}");
}

#[test]
fn a_configuration_for_other_kinds_holds_nothing_up() {
    let mut world = run(&[SERVED, STAGES, CHANGED]);
    let to = Gvk { version: "v9".into(), ..world.key.gvk.clone() };
    world.configurations.iter_mut().for_each(|it| it.to = to.clone());
    world.pass();
    world.pass();
    world.make_ready(&provider("anna"), "tls");
    world.settle();
    assert_eq!((world.assigned(), world.migration.is_none()), (Some(provider("anna")), true));
}

#[test]
fn an_order_that_is_none_is_not_followed() {
    let failed = "- settle\n- jobs-fail\n- settle\n- orders: {retry: \"false\"}\n- settle\n";
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, failed]);
    let status = world.migration.expect("it is kept").status;
    assert_eq!((status.state, status.stages[0].attempt), (Some(MigrationState::Failed), 1));
}

#[test]
fn what_was_rolled_back_goes_by_the_object_as_it_was_then() {
    let rolled_back = "- orders: {rollback: \"true\"}\n- settle\n";
    // It changed after its stages had begun, and then was ordered to stay as it is.
    let world =
        run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, "- object: {spec: {days: 3}}\n- settle\n", rolled_back]);
    assert_eq!((world.assigned(), spec(&world).next), (Some(provider("nestor")), None));
    assert!(has_live_copy(&world, "nestor") && !has_live_copy(&world, "anna"));
    // It changes after that order: the order is over.
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, rolled_back]);
    world.edit_object(&json!({"spec": {"days": 4}}));
    world.settle();
    assert_eq!(spec(&world).next.map(|next| next.cluster).as_deref(), Some("provider#anna"));
    // What was ordered at one provider says nothing of another.
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, rolled_back]);
    let plan = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.spec.from.cluster_name = provider("berta").to_string());
    });
    assert!(recorded(&plan).iter().any(|spec| spec.next.is_some()), "{plan:#?}");
}

#[test]
fn an_order_about_another_move_is_not_carried_out_on_this_one() {
    let mut world = running();
    let orders = &mut world.migration.as_mut().expect("it is under way").orders;
    orders.insert(keys::MIGRATION_ROLLBACK.into(), "true".into());
    let failed = |plan: &Plan| {
        plan.actions().any(|action| match action {
            Action::MigrationStatus { status, .. } => {
                status.conditions.iter().any(|condition| condition.reason == reason::ROLLED_BACK)
            }
            _ => false,
        })
    };
    assert!(failed(&planned(&world, |_| ())));
    let other = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.spec.to.cluster_name = provider("berta").to_string());
    });
    assert!(!failed(&other), "{other:#?}");
    let complete = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.status.state = Some(MigrationState::CutoverCompleted));
    });
    assert!(!failed(&complete), "{complete:#?}");
}

#[test]
fn only_this_moves_own_migration_hands_the_new_secrets_over() {
    let world = handed_over();
    assert_eq!(copied_from(&world, &planned(&world, |_| ())), Vec::<String>::new());
    let other = planned(&world, |snapshot| {
        with_migration(snapshot, |it| it.spec.to.cluster_name = provider("berta").to_string());
    });
    assert_eq!(copied_from(&world, &other), ["provider#nestor"]);
    // The copy whose data the stages brought is gone, and with it the migration.
    let mut world = handed_over();
    world.providers.get_mut(&provider("anna")).expect("it is attached").copy = None;
    world.pass();
    world.pass();
    world.pass();
    assert_eq!(whose_secret(&world), "nestor");
}

#[test]
fn a_migration_ends_only_with_what_is_certain() {
    let world = running();
    let gone = planned(&world, |snapshot| snapshot.consumer = View::Absent);
    assert!(!writes_migration(&gone), "a cache alone is no proof: {gone:#?}");
    let mut history = world.history_snapshot();
    history.record = View::Unknown { why: "not yet".into(), failing: false };
    assert_eq!(history::plan(&history).actions().count(), 0, "its object's record is not known");
    // Nothing moves any more, and nobody has told the Migration.
    let stays = planned(&world, |snapshot| with_record(snapshot, |record| record.spec.next = None));
    let state = stays.actions().find_map(|action| match action {
        Action::MigrationStatus { status, .. } => status.state,
        _ => None,
    });
    assert_eq!(state, Some(MigrationState::Failed), "{stays:#?}");
}

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
    world.edit_copy(&provider("anna"), &json!({"metadata": {"annotations": {keys::BROKER: "this-broker"}}}));
    let mut deployed = None;
    for _ in 0..20 {
        let plan = planned(&world, |snapshot| snapshot.broker = Some("this-broker".into()));
        deployed = deployed.or_else(|| {
            plan.actions().find_map(|action| match action {
                Action::Deploy { body, .. } => Some(body.clone()),
                _ => None,
            })
        });
        world.pass();
    }
    let deployed = deployed.expect("the stage deploys a Job");
    assert_eq!(deployed["metadata"]["annotations"][keys::BROKER], "this-broker");
}

#[test]
fn what_a_stage_deployed_is_not_done_because_it_may_be_deployed() {
    let world = running();
    let snapshot = world.snapshot();
    let (mut answers, _) = world.questioned(&snapshot);
    assert!(answers.outcome.is_some(), "the component is asked");
    answers.outcome = Some(Ok(Outcome::Ready));
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
    assert!(plan.actions().any(|action| matches!(action, Action::Deploy { .. })), "{plan:#?}");
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

/// Whether a Migration is let go, by deleting it or by releasing it.
fn goes(plan: &Plan) -> bool {
    let goes = |action: &Action| matches!(action, Action::DeleteMigration { .. } | Action::ReleaseMigration { .. });
    plan.actions().any(goes)
}

#[test]
fn a_migration_stays_until_compute_is_known_to_be_clean_of_it() {
    let world = running();
    let compute = world.history_snapshot().compute;
    let over = "- orders: {rollback: \"true\"}\n- settle\n- orders: {retry: \"true\"}\n";
    let world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, over]);
    let clean = world.history_snapshot();
    assert!(goes(&history::plan(&clean)), "it is tried again: {clean:#?}");
    let mut deployed = clean.clone();
    deployed.compute.deployed.clone_from(&compute.deployed);
    assert!(!compute.deployed.is_empty() && !goes(&history::plan(&deployed)), "its Job is there");
    let mut not_read = clean;
    not_read.compute.kinds.insert(Gvk::new("batch", "v1", "Job"), KindView { read: unread(), namespaced: Some(true) });
    assert!(!goes(&history::plan(&not_read)), "its Job may be there");
}

#[test]
fn a_migration_that_may_hold_its_object_stays_while_the_record_is_not_known() {
    let mut world = run(&[SERVED, STAGES, CHANGED, AT_ANNA, RUNNING, "- orders: {rollback: \"true\"}\n- settle\n"]);
    world.wait(Duration::from_hours(25));
    let mut snapshot = world.history_snapshot();
    snapshot.record = View::Unknown { why: "not yet".into(), failing: false };
    assert!(!goes(&history::plan(&snapshot)));
    snapshot.record = View::Absent;
    assert!(goes(&history::plan(&snapshot)));
}

/// A request to write a mirror of the migration `m1`.
fn mirror() -> CopyRelated {
    let world = World::new();
    let target = Target::new(world.key.consumer.clone(), Gvk::new("core", "v1", "Secret"), None, "to-tls".into());
    let marks = Marks::Mirror { id: "m1".into(), broker: None };
    let source = target.clone();
    CopyRelated { source, target, existing: Existing::Unknown, untouched: false, keep: true, marks }
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

#[test]
fn a_secret_of_the_consumers_own_is_not_taken_away() {
    let mut world = run(&[SERVED]);
    let object = world.object.as_ref().expect("it is there");
    let owner = json!({"apiVersion": world.key.gvk.api_version(), "kind": "Certificate", "name": "www", "uid": object["metadata"]["uid"]});
    let labels = json!({keys::RELATED_TO: world.key.record_name()});
    let mine = json!({"metadata": {"labels": labels, "ownerReferences": [owner]}});
    world.edit_beside(Gvk::new("core", "v1", "Secret"), "mine", &mine);
    world.settle();
    assert!(world.beside.keys().any(|(_, name)| name == "mine"));
}

#[test]
fn a_secret_that_an_earlier_object_left_is_the_new_ones() {
    let mut world = run(&[SERVED]);
    let plan = planned(&world, |snapshot| {
        for view in &mut snapshot.related {
            let Watched::View(View::Present(there)) = &view.target else { continue };
            let mut there = there.as_ref().clone();
            there
                .meta
                .owner_references
                .iter_mut()
                .flatten()
                .for_each(|owner| owner.uid = "uid-of-an-earlier-one".into());
            view.target = Watched::View(View::Present(there.into()));
        }
    });
    assert_eq!(copied_from(&world, &plan), ["provider#nestor"], "it goes with the earlier one else");
    world.settle();
    assert_eq!(copied_from(&world, &planned(&world, |_| ())), Vec::<String>::new());
}

#[test]
fn what_the_consumer_has_stays_until_the_new_providers_is_there() {
    for (old, new) in [("tls", "tls"), ("old", "new")] {
        let served = format!("- offers: {{nestor/certs: accepts}}\n- settle\n- ready: {{nestor: {old}}}\n- settle\n");
        let ready = format!("- pass\n- pass\n- ready: {{anna: {new}}}\n");
        let mut world = run(&[&served, CHANGED, &ready]);
        while world.assigned() != Some(provider("anna")) {
            assert_ne!(world.pass(), 0, "the switch is due");
        }
        let sources = std::mem::take(&mut world.providers.get_mut(&provider("anna")).expect("it is attached").sources);
        for _ in 0..5 {
            world.pass();
            assert!(world.beside.keys().any(|(_, name)| name == old), "{old} went before {new} came");
            assert!(has_live_copy(&world, "nestor"), "the consumer has its Secret");
        }
        world.providers.get_mut(&provider("anna")).expect("it is attached").sources = sources;
        world.settle();
        let there: Vec<&str> = world.beside.keys().map(|(_, name)| name.as_str()).collect();
        assert_eq!((there, has_live_copy(&world, "nestor")), (vec![new], false));
    }
}

#[test]
fn a_secret_stays_while_the_copy_that_declared_it_goes() {
    let mut world = run(&[SERVED]);
    let held = json!({"metadata": {"finalizers": [keys::GENERIC_FINALIZER, THEIR_FINALIZER]}});
    world.edit_copy(&provider("nestor"), &held);
    world.delete_copy(&provider("nestor"));
    world.providers.get_mut(&provider("nestor")).expect("it is attached").sources.clear();
    world.settle();
    assert!(world.beside.keys().any(|(_, name)| name == "tls"), "the copy is made again, and with it its Secret");
}

#[test]
fn what_was_left_in_another_version_is_looked_for_and_taken_away_there() {
    let mut world = run(&[SERVED, TO_ANOTHER_VERSION, "- pass\n"]);
    world.offers.values_mut().for_each(|says| *says = Verdict::Accepted);
    world.edit_object(&json!({"spec": {"days": 7}}));
    world.pass();
    assert_eq!(spec(&world).previous[0].version.as_deref(), Some("v1beta1"));
    let at_anna = |snapshot: &mut Snapshot, change: fn(&mut ProviderView)| {
        snapshot.providers.get_mut(&provider("anna")).map(change).expect("it is attached");
    };
    let plan = planned(&world, |snapshot| at_anna(snapshot, |view| view.copy = View::Absent));
    let taken = plan.actions().find_map(|action| match action {
        Action::Delete { target, .. } => Some((target.cluster.to_string(), target.gvk.version.clone())),
        _ => None,
    });
    assert_eq!(taken, Some(("provider#anna".to_owned(), "v1beta1".to_owned())), "{plan:#?}");
    // The object goes to the same place in its own version, and what is there in the other one cannot be read.
    let left = spec(&world).previous;
    let other = "- versions: {v1beta1: {berta/certs: [\"days: no\"]}}\n- attach: [berta]\n";
    let moving = run(&[SERVED, other, CHANGED, "- pass\n"]);
    let makes_copy = |change: fn(&mut ProviderView)| {
        let plan = planned(&moving, |snapshot| {
            with_record(snapshot, |record| record.spec.previous.clone_from(&left));
            at_anna(snapshot, change);
        });
        plan.actions().any(|action| matches!(action, Action::ApplyCopy { .. }))
    };
    assert!(!makes_copy(|view| drop(view.versions.insert("v1beta1".into(), unread()))), "it may be the same object");
}

#[test]
fn the_migration_of_another_move_ends_before_this_ones_begins() {
    let world = running();
    let other = |snapshot: &mut Snapshot| {
        with_migration(snapshot, |it| it.spec.to.cluster_name = provider("berta").to_string());
    };
    let plan = planned(&world, other);
    let state = plan.actions().find_map(|action| match action {
        Action::MigrationStatus { status, .. } => status.state,
        _ => None,
    });
    assert_eq!(state, Some(MigrationState::Failed), "{plan:#?}");
    let over = planned(&world, |snapshot| {
        other(snapshot);
        with_migration(snapshot, |it| it.status.state = Some(MigrationState::CutoverCompleted));
    });
    assert!(!goes(&over), "its Job is there: {over:#?}");
}

#[test]
fn nothing_moves_because_a_cluster_is_detached() {
    let others = "- offers: {nestor/certs: accepts, anna/certs: accepts}\n- detach: [nestor]\n";
    let mut world = run(&[SERVED, others]);
    for _ in 0..20 {
        world.pass();
        world.wait(Duration::from_secs(5));
    }
    assert_eq!((world.assigned(), spec(&world).next), (Some(provider("nestor")), None));
}

#[test]
fn the_old_copy_serves_until_the_new_one_is_available_with_all_that_it_declares() {
    let mut world = run(&[SERVED, CHANGED, AT_ANNA]);
    world.edit_copy(&provider("anna"), &json!({"status": {"status": "Degraded"}}));
    world.settle();
    assert_eq!(world.assigned(), Some(provider("nestor")));
    let sources = std::mem::take(&mut world.providers.get_mut(&provider("anna")).expect("it is attached").sources);
    world.edit_copy(&provider("anna"), &json!({"status": {"status": "Available"}}));
    world.settle();
    assert_eq!(world.assigned(), Some(provider("nestor")), "its Secret is not there");
    world.providers.get_mut(&provider("anna")).expect("it is attached").sources = sources;
    world.settle();
    assert_eq!(world.assigned(), Some(provider("anna")));
}
