//! Moves without stages: what the consumer has, what was left, and who takes over.

use super::{copied_from, handed_over, left_at_carla, planned, recorded, spec, turned_to_berta, with_record};
use crate::mishaps::{AT_ANNA, CHANGED, SERVED, has_live_copy, run, whose_secret};
use crate::world::{THEIR_FINALIZER, Unread, provider};
use resource_broker_api::conditions::reason;
use resource_broker_api::keys;
use resource_broker_api::names::Gvk;
use resource_broker_planner::model::question::PluginFailure;
use resource_broker_planner::model::snapshot::{Failure, Part, Snapshot, View, Watched};
use resource_broker_planner::plan;
use resource_broker_planner::plan::{Action, Guard};
use serde_json::json;
use std::time::Duration;

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
