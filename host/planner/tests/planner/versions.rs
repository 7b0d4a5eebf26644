//! What must hold while an object that is watched in two versions of its kind moves between providers and between versions, over
//! generated histories of people, providers, faults and a process that may be killed between any two writes.

use std::{mem, time::Duration};

use proptest::prelude::*;
use resource_broker_api::names::ClusterName;
use resource_broker_planner::model::snapshot::{Configuration, Memory};
use serde_json::json;

use crate::world::{accepts, refuses};
use crate::{
    moves::{at, check_moment, is_excused, operate, start},
    properties::live_copies,
    world::{Cut, Plugin, Unread, World},
};

/// The version in which the object begins, and the other one.
const VERSIONS: [&str; 2] = ["v1alpha1", "v1beta1"];

/// One thing that happens. `Offers` and `Edit` have a bit for each provider and version: whether it is accepted there.
#[derive(Clone, Debug)]
enum Happening {
    Offers(u8),
    Edit(u8),
    Operate(u8),
    JobsEnd,
    Detach(u8),
    Attach(u8),
    Break(u8),
    Mend(u8),
    Unread(u8),
    Read(u8),
    Wait(u16),
    Pass,
    Sweep,
    Part(u8, Cut),
}

use Happening::{Attach, Break, Detach, Edit, JobsEnd, Mend, Offers, Operate, Part, Pass, Read, Sweep, Wait};

/// Who takes the object in which version: a place alone most often, since the object's own version goes before the other.
fn mask() -> impl Strategy<Value = u8> {
    prop_oneof![1 => 0..64_u8, 2 => (0..6_u8).prop_map(|bit| 1 << bit)]
}

fn happening() -> impl Strategy<Value = Happening> {
    let one = || 0..3_u8;
    let people = prop_oneof![2 => mask().prop_map(Offers), 1 => mask().prop_map(Edit)];
    let providers = prop_oneof![4 => one().prop_map(Operate), 1 => Just(JobsEnd)];
    let faults = prop_oneof![
        one().prop_map(Detach),
        one().prop_map(Attach),
        one().prop_map(Break),
        one().prop_map(Mend),
        one().prop_map(Happening::Unread),
        one().prop_map(Read),
    ];
    let cut = prop_oneof![2 => Just(Cut::Killed), 1 => Just(Cut::FailedBefore), 1 => Just(Cut::FailedAfter)];
    let broker = prop_oneof![
        8 => Just(Pass),
        3 => (0..20_000_u16).prop_map(Wait),
        1 => Just(Sweep),
        3 => (0..6_u8, cut).prop_map(|(writes, cut)| Part(writes, cut)),
    ];
    prop_oneof![3 => people, 4 => providers, 1 => faults, 8 => broker]
}

/// What each provider answers in each version.
fn accept(world: &mut World, mask: u8) {
    for (bit, (version, number)) in VERSIONS.iter().flat_map(|version| (0..3).map(move |at| (version, at))).enumerate()
    {
        let takes = mask & (1 << bit) != 0;
        let verdict = if takes { accepts() } else { refuses("fqdn: no") };
        let is_own = world.key.gvk.version == *version;
        let offers = if is_own { &mut world.offers } else { world.versions.entry((*version).to_owned()).or_default() };
        offers.insert((at(number), "offers".into(), "certs".into()), verdict);
    }
}

/// An object that is served in the first version, and watched in both; with `staged`, each move goes through stages.
fn begin(staged: bool) -> World {
    let mut world = start(u8::from(staged), false);
    accept(&mut world, 1);
    let kinds = VERSIONS.map(|version| world.key.in_version(version).gvk);
    let pairs = kinds.iter().flat_map(|from| kinds.iter().map(move |to| (from.clone(), to.clone())));
    let of = |(from, to)| Configuration { name: format!("{from}-{to}"), from, to, spec: "{}".into(), invalid: None };
    world.configurations = if staged { pairs.map(of).collect() } else { Vec::new() };
    world
}

/// The object's passes are those of the version that its record names; what is remembered is of one version.
fn follow(world: &mut World) {
    let Some(version) = world.record.as_ref().map(|record| record.spec.consumer.version.clone()) else { return };
    let Some(offers) = world.versions.remove(&version) else { return };
    let before = mem::replace(&mut world.offers, offers);
    world.versions.insert(world.key.gvk.version.clone(), before);
    world.key = world.key.in_version(&version);
    world.memory = Memory::default();
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Offers(mask) => accept(world, *mask),
        Edit(mask) => {
            let days = world.now.as_second();
            world.edit_object(&json!({"spec": {"days": days}}));
            accept(world, *mask);
        }
        Operate(number) => operate(world, *number),
        JobsEnd => world.end_jobs(true),
        Detach(number) => world.providers.entry(at(*number)).or_default().detached = true,
        Attach(number) => world.providers.entry(at(*number)).or_default().detached = false,
        Break(number) => world.providers.entry(at(*number)).or_default().broken = true,
        Mend(number) => world.providers.entry(at(*number)).or_default().broken = false,
        Happening::Unread(number) => {
            let unread = Unread { why: "connection refused".into(), failing: true };
            world.providers.entry(at(*number)).or_default().copies_unread = Some(unread);
        }
        Read(number) => world.providers.entry(at(*number)).or_default().copies_unread = None,
        Wait(milliseconds) => world.wait(Duration::from_millis(u64::from(*milliseconds))),
        Pass => {
            world.pass();
        }
        Sweep => {
            world.sweep();
        }
        Part(writes, cut) => {
            let plan = world.plan();
            world.carry_out_part(&plan, usize::from(*writes), *cut);
        }
    }
    // What a provider made of a copy goes with it.
    for provider in world.providers.values_mut().filter(|provider| provider.copy.is_none()) {
        provider.sources.clear();
    }
    follow(world);
}

fn unfold(world: &mut World, history: &[Happening]) -> Result<(), TestCaseError> {
    for one in history {
        happen(world, one);
        check_moment(world)?;
    }
    Ok(())
}

/// Faults end, and providers and jobs do their work.
fn converge(world: &mut World) -> Result<(), TestCaseError> {
    for provider in world.providers.values_mut() {
        (provider.detached, provider.broken, provider.copies_unread) = (false, false, None);
    }
    world.compute.component = Plugin::Works;
    let mut quiet = 0;
    for _ in 0..80 {
        let mut writes = 0;
        for _ in 0..4 {
            writes += world.pass();
            follow(world);
        }
        writes += world.sweep();
        (0..3).for_each(|number| operate(world, number));
        world.end_jobs(true);
        check_moment(world)?;
        world.wait(Duration::from_secs(15));
        quiet = if writes == 0 { quiet + 1 } else { 0 };
        if quiet > 3 {
            return Ok(());
        }
    }
    prop_assert!(false, "still writing: {:#?}", world.plan());
    Ok(())
}

fn check_end(world: &World) -> Result<(), TestCaseError> {
    let record = world.record.as_ref().ok_or_else(|| TestCaseError::fail("no record"))?;
    let holder = record.provider().ok_or_else(|| TestCaseError::fail("a record without a provider"))?;
    prop_assert_eq!(&record.spec.consumer.version, &world.key.gvk.version);
    let takes = |at: &ClusterName| world.offers.iter().any(|((of, ..), says)| of == at && *says == accepts());
    if takes(&holder) {
        prop_assert!(record.spec.next.is_none() && record.spec.previous.is_empty(), "not at rest: {:?}", record.spec);
        prop_assert_eq!(live_copies(world), vec![&holder]);
        return Ok(());
    }
    let all = world.offers.values().chain(world.versions.values().flat_map(|offers| offers.values()));
    let somebody = all.into_iter().any(|says| *says == accepts());
    prop_assert!(!somebody || is_excused(world), "{:?} stays, and {:?} says not why", record.spec, world.migration);
    prop_assert!(live_copies(world).contains(&&holder), "nothing is torn down where there is nowhere to go");
    Ok(())
}

proptest! {
    #![proptest_config(crate::properties::config(300))]

    #[test]
    fn an_object_of_two_versions_is_never_without_service_and_comes_to_rest(
        staged in any::<bool>(),
        history in prop::collection::vec(happening(), 1..40),
    ) {
        let mut world = begin(staged);
        unfold(&mut world, &history)?;
        converge(&mut world)?;
        check_end(&world)?;
    }

    #[test]
    fn an_object_of_two_versions_that_is_deleted_leaves_nothing(
        staged in any::<bool>(),
        before in prop::collection::vec(happening(), 1..20),
        after in prop::collection::vec(happening(), 0..10),
    ) {
        let mut world = begin(staged);
        unfold(&mut world, &before)?;
        world.delete_object();
        unfold(&mut world, &after)?;
        converge(&mut world)?;
        prop_assert!(world.object.is_none() && world.record.is_none(), "it is held: {:?}", world.record);
        prop_assert!(live_copies(&world).is_empty(), "a copy of nothing at {:?}", live_copies(&world));
    }
}
