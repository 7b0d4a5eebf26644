//! The choice among providers that accept: even, the same everywhere, and moved as little as possible.

use std::collections::BTreeMap;

use resource_broker_api::names::ClusterName;
use resource_broker_planner::plan::Action;

use crate::world::accepts;
use crate::world::{World, provider};

const OBJECTS: usize = 3000;

/// Where each of many objects goes if these providers accept them all.
fn placed(providers: &[&str]) -> BTreeMap<String, ClusterName> {
    let mut world = World::new();
    for name in providers {
        world.providers.entry(provider(name)).or_default();
        world.offers.insert((provider(name), "offers".into(), "all".into()), accepts());
    }
    (0..OBJECTS)
        .map(|number| {
            world.key.name = format!("object-{number}");
            let plan = world.plan();
            let place = plan.actions().find_map(|action| match action {
                Action::CreateRecord { spec, .. } => ClusterName::parse(&spec.provider.cluster),
                _ => None,
            });
            (world.key.name.clone(), place.expect("somebody accepts it"))
        })
        .collect()
}

#[test]
fn every_provider_gets_its_share() {
    let placed = placed(&["anna", "berta", "carla"]);
    for name in ["anna", "berta", "carla"] {
        let share = placed.values().filter(|place| place.name == name).count();
        // A third, give or take five standard deviations.
        assert!((870..=1130).contains(&share), "{name} got {share} of {OBJECTS}");
    }
}

#[test]
fn a_provider_that_comes_moves_no_more_than_its_own_share() {
    let (before, after) = (placed(&["anna", "berta", "carla"]), placed(&["anna", "berta", "carla", "dora"]));
    for (name, place) in &after {
        assert!(place.name == "dora" || before[name] == *place, "{name} moved from {} to {place}", before[name]);
    }
}

#[test]
fn the_choice_does_not_hang_on_how_many_offers_a_provider_has() {
    let mut world = World::new();
    let mut choose = |offers: &[(&str, &str)]| {
        world.offers = offers
            .iter()
            .map(|(cluster, name)| {
                world.providers.entry(provider(cluster)).or_default();
                ((provider(cluster), "offers".into(), (*name).into()), accepts())
            })
            .collect();
        let plan = world.plan();
        plan.actions().find_map(|action| match action {
            Action::CreateRecord { spec, .. } => Some(spec.provider.cluster.clone()),
            _ => None,
        })
    };
    let one_each = choose(&[("anna", "a"), ("berta", "a"), ("carla", "a")]);
    for crowded in ["anna", "berta", "carla"] {
        let more = [("anna", "a"), ("berta", "a"), ("carla", "a"), (crowded, "b"), (crowded, "c"), (crowded, "d")];
        assert_eq!(choose(&more), one_each);
    }
}
