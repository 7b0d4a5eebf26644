//! Objects that move from one version of their kind to another.

use super::{TO_ANOTHER_VERSION, left_at_carla, planned, recorded, spec, unread, with_record};
use crate::mishaps::{CHANGED, SERVED, has_live_copy, run};
use crate::world::{accepts, refuses};
use crate::world::{object, provider};
use resource_broker_planner::model::snapshot::{ProviderView, Snapshot, View};
use resource_broker_planner::plan::{Action, Plan};
use serde_json::json;
use std::time::Duration;

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
    world.offers.values_mut().for_each(|says| *says = accepts());
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
    let answers = [(offer("anna"), refuses("days: no")), (offer("carla"), accepts())];
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
fn what_was_left_in_another_version_is_looked_for_and_taken_away_there() {
    let mut world = run(&[SERVED, TO_ANOTHER_VERSION, "- pass\n"]);
    world.offers.values_mut().for_each(|says| *says = accepts());
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
