//! What must hold while objects move, over generated histories of people, providers, faults, orders and a process that may be
//! killed between any two writes.

use std::time::Duration;

use proptest::prelude::*;
use resource_broker_api::{
    broker::{MigrationState, StageState},
    conditions::{FAILED, PROGRESSING, reason},
    keys,
    names::ClusterName,
};
use resource_broker_planner::model::snapshot::{Configuration, Record};
use serde_json::json;

use crate::world::{accepts, refuses};
use crate::{
    properties::live_copies,
    world::{Cut, Plugin, Unread, World, compute::Scripted, provider},
};

const PROVIDERS: [&str; 3] = ["anna", "berta", "carla"];

/// One thing that happens. `u8`s choose among providers or a few values; a mask says which providers accept.
#[derive(Clone, Debug)]
enum Happening {
    Edit(u8),
    Offers(u8),
    Operate(u8),
    Worsen(u8),
    Detach(u8),
    Attach(u8),
    Break(u8),
    Mend(u8),
    Unread(u8),
    Read(u8),
    Compute(u8),
    Component(bool),
    Configure(u8),
    JobsEnd,
    JobsFail,
    Order(u8),
    DeleteMigration,
    LoseMigration,
    Wait(u16),
    Pass,
    Sweep,
    Part(u8, Cut),
    Delete,
}

use Happening::{
    Attach, Break, Component, Configure, Delete, DeleteMigration, Detach, Edit, JobsEnd, JobsFail, LoseMigration, Mend,
    Offers, Operate, Order, Part, Pass, Read, Sweep, Wait, Worsen,
};

fn happening() -> impl Strategy<Value = Happening> {
    let one = || 0..3_u8;
    let people = prop_oneof![
        4 => (0..8_u8).prop_map(Edit),
        4 => (0..8_u8).prop_map(Offers),
        1 => (0..4_u8).prop_map(Configure),
        1 => (0..3_u8).prop_map(Order),
        2 => Just(DeleteMigration),
        1 => Just(LoseMigration),
    ];
    let providers =
        prop_oneof![6 => one().prop_map(Operate), 1 => one().prop_map(Worsen), 3 => Just(JobsEnd), 1 => Just(JobsFail)];
    let faults = prop_oneof![
        one().prop_map(Detach),
        one().prop_map(Attach),
        one().prop_map(Break),
        one().prop_map(Mend),
        one().prop_map(Happening::Unread),
        one().prop_map(Read),
        one().prop_map(Happening::Compute),
        any::<bool>().prop_map(Component),
    ];
    let cut = prop_oneof![2 => Just(Cut::Killed), 1 => Just(Cut::FailedBefore), 1 => Just(Cut::FailedAfter)];
    let broker = prop_oneof![
        8 => Just(Pass),
        2 => (0..20_000_u16).prop_map(Wait),
        1 => Just(Sweep),
        3 => (0..6_u8, cut).prop_map(|(writes, cut)| Part(writes, cut)),
    ];
    prop_oneof![3 => people, 4 => providers, 1 => faults, 8 => broker]
}

pub(crate) fn at(number: u8) -> ClusterName {
    provider(PROVIDERS[usize::from(number) % PROVIDERS.len()])
}

fn accept(world: &mut World, mask: u8) {
    for number in 0..3_u8 {
        world.providers.entry(at(number)).or_default();
        let verdict = if mask & (1 << number) == 0 { refuses("fqdn: no") } else { accepts() };
        world.offers.insert((at(number), "offers".into(), "certs".into()), verdict);
    }
}

fn configure(world: &mut World, how: u8) {
    let gvk = world.key.gvk.clone();
    let of = |name: &str, invalid: Option<&str>| Configuration {
        name: name.into(),
        from: gvk.clone(),
        to: gvk.clone(),
        spec: "{}".into(),
        invalid: invalid.map(str::to_owned),
    };
    world.configurations = match how {
        0 => Vec::new(),
        1 => vec![of("databases", None)],
        2 => vec![of("databases", Some("stage copy: no"))],
        _ => vec![of("databases", None), of("more", None)],
    };
}

/// A world in which one provider serves an object; with `staged`, moves go through stages. With `own_names`, each provider
/// calls its Secret by a name of its own.
pub(crate) fn start(staged: u8, own_names: bool) -> World {
    let mut world = World::new();
    world.own_names = own_names;
    accept(&mut world, 1);
    world.settle();
    operate(&mut world, 0);
    world.settle();
    let job = || [("job".to_owned(), "Job".to_owned())].into();
    let copy = Scripted { name: "copy".into(), deploys: job(), progress: true, ..Scripted::default() };
    let check = Scripted { name: "check".into(), progress: true, approval: staged == 2, ..Scripted::default() };
    let last = Scripted { name: "last".into(), deploys: job(), timeout: Some(20), retries: 1, ..Scripted::default() };
    world.compute.stages = vec![copy, check, last];
    configure(&mut world, staged.min(1));
    world
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Edit(mask) => {
            let days = world.now.as_second();
            world.edit_object(&json!({"spec": {"days": days, "fqdn": format!("www{mask}.corp.com")}}));
            accept(world, *mask);
        }
        Offers(mask) => accept(world, *mask),
        Operate(number) => operate(world, *number),
        Worsen(number) if is_there(world, *number) => {
            world.edit_copy(&at(*number), &json!({"status": {"status": "Provisioning"}}));
        }
        Detach(number) => world.providers.entry(at(*number)).or_default().detached = true,
        Attach(number) => world.providers.entry(at(*number)).or_default().detached = false,
        Break(number) => world.providers.entry(at(*number)).or_default().broken = true,
        Mend(number) => world.providers.entry(at(*number)).or_default().broken = false,
        Happening::Unread(number) => {
            let unread = Unread { why: "connection refused".into(), failing: true };
            world.providers.entry(at(*number)).or_default().copies_unread = Some(unread);
        }
        Read(number) => world.providers.entry(at(*number)).or_default().copies_unread = None,
        Happening::Compute(0) => world.compute.broken = true,
        Happening::Compute(1) => world.compute.unread = Some(Unread { why: "forbidden".into(), failing: true }),
        Happening::Compute(_) => (world.compute.broken, world.compute.unread) = (false, None),
        Component(works) => {
            world.compute.component = if *works { Plugin::Works } else { Plugin::Failed("it trapped".into()) };
        }
        Configure(how) => configure(world, *how),
        JobsEnd => world.end_jobs(true),
        JobsFail => world.end_jobs(false),
        Order(which) => order(world, *which),
        DeleteMigration => world.delete_migration(),
        LoseMigration => {
            world.migration_was_lost |= world.migration.take().is_some();
        }
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
        Delete => world.delete_object(),
        Worsen(_) => {}
    }
    // What a provider made of a copy goes with it.
    for provider in world.providers.values_mut().filter(|provider| provider.copy.is_none()) {
        provider.sources.clear();
    }
}

fn is_there(world: &World, number: u8) -> bool {
    world.providers.get(&at(number)).is_some_and(|provider| provider.copy.is_some())
}

pub(crate) fn operate(world: &mut World, number: u8) {
    if is_there(world, number) {
        let secret = if world.own_names { PROVIDERS[usize::from(number)] } else { "tls" };
        world.make_ready(&at(number), secret);
    }
}

fn order(world: &mut World, which: u8) {
    let Some(migration) = &mut world.migration else { return };
    let stage = migration.status.stage.clone().unwrap_or_default();
    let (order, value) = match which {
        0 => (keys::MIGRATION_APPROVE, stage),
        1 => (keys::MIGRATION_RETRY, "true".to_owned()),
        _ => (keys::MIGRATION_ROLLBACK, "true".to_owned()),
    };
    migration.orders.insert(order.into(), value);
}

/// Whether the object has left a provider.
pub(crate) fn is_left(record: &Record, at: &ClusterName) -> bool {
    let serves = [record.provider(), record.next()];
    let cluster = at.to_string();
    !serves.into_iter().flatten().any(|serving| serving == *at)
        && record.spec.previous.iter().any(|place| place.cluster == cluster)
}

/// Every copy that lives is one that the record names.
pub(crate) fn check_copies(world: &World) -> Result<(), TestCaseError> {
    let named = world.named();
    let unnamed: Vec<_> = live_copies(world).into_iter().filter(|at| !named.contains(*at)).collect();
    prop_assert!(unnamed.is_empty(), "copies that no record names: {:?}", unnamed);
    Ok(())
}

/// Whether the consumer has a Secret that the broker brought.
fn has_secret(world: &World) -> bool {
    world.beside.values().any(|there| !there["metadata"]["labels"][keys::RELATED_TO].is_null())
}

/// What must hold at every moment.
pub(crate) fn check_moment(world: &World) -> Result<(), TestCaseError> {
    prop_assert_eq!(&world.wrongs, &Vec::<String>::new());
    check_copies(world)?;
    if world.object.as_ref().is_some_and(|there| there["metadata"]["deletionTimestamp"].is_null()) {
        prop_assert!(has_secret(world), "the consumer is without its Secret");
    }
    if let (Some(frozen), Some(copy)) = (&world.frozen, world.copy()) {
        prop_assert_eq!(frozen, &copy["spec"], "the old copy was changed while its object moves");
    }
    Ok(())
}

/// Faults end, providers and jobs do their work, people approve what waits for them.
fn converge(world: &mut World) -> Result<(), TestCaseError> {
    for provider in world.providers.values_mut() {
        (provider.detached, provider.broken, provider.copies_unread) = (false, false, None);
    }
    (world.compute.broken, world.compute.unread, world.compute.component) = (false, None, Plugin::Works);
    let mut quiet = 0;
    for _ in 0..60 {
        let mut writes = 0;
        for _ in 0..4 {
            writes += world.pass();
        }
        writes += world.sweep();
        (0..3).for_each(|number| operate(world, number));
        world.end_jobs(true);
        let waits = world.migration.as_ref().and_then(|migration| migration.status.stages.last());
        if waits.is_some_and(|stage| stage.state == StageState::AwaitingApproval) {
            order(world, 0);
        }
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

/// Why an object may stay where it is not accepted although somebody else accepts it: people have been told.
pub(crate) fn is_excused(world: &World) -> bool {
    let Some(migration) = &world.migration else { return false };
    let status = &migration.status;
    let says = |type_: &str, status_is: &str, why: &[&str]| {
        let mut conditions = status.conditions.iter();
        conditions.any(|it| {
            it.type_ == type_
                && it.status == status_is
                && !it.message.is_empty()
                && (why.is_empty() || why.contains(&it.reason.as_str()))
        })
    };
    let failed = status.state == Some(MigrationState::Failed)
        && says(FAILED, "True", &[reason::ROLLED_BACK, reason::STAGE_FAILED, reason::STAGE_TIMED_OUT]);
    failed || says(PROGRESSING, "False", &[reason::BLOCKED])
}

fn check_end(world: &World) -> Result<(), TestCaseError> {
    let hangs = world.migration.as_ref().filter(|migration| migration.is_deleting());
    prop_assert!(hangs.is_none(), "a Migration that was deleted does not go: {:?}", hangs);
    if world.object.is_none() {
        prop_assert!(world.record.is_none() && live_copies(world).is_empty(), "something is left of nothing");
        return check_compute(world);
    }
    let record = world.record.as_ref().ok_or_else(|| TestCaseError::fail("no record"))?;
    let accepts =
        |at: &ClusterName| world.offers.get(&(at.clone(), "offers".into(), "certs".into())) == Some(&accepts());
    let holder = record.provider().ok_or_else(|| TestCaseError::fail("a record without a provider"))?;
    if accepts(&holder) {
        prop_assert!(record.spec.next.is_none() && record.spec.previous.is_empty(), "not at rest: {:?}", record.spec);
        prop_assert_eq!(live_copies(world), vec![&holder]);
        return check_compute(world);
    }
    let somebody = world.providers.keys().any(accepts);
    prop_assert!(!somebody || is_excused(world), "{:?} stays, and {:?} says not why", record.spec, world.migration);
    prop_assert!(live_copies(world).contains(&&holder), "nothing is torn down where there is nowhere to go");
    Ok(())
}

/// Nothing stays in the compute cluster once all is over. A Migration that somebody tears away, finalizer or not, takes with it
/// what tells whose that was, unless the same move makes another one.
fn check_compute(world: &World) -> Result<(), TestCaseError> {
    if world.migration_was_lost {
        return Ok(());
    }
    let left: Vec<_> = world.compute.objects.keys().collect();
    prop_assert!(left.is_empty() || is_excused(world), "left in compute: {:?} of {:?}", left, world.migration);
    Ok(())
}

fn unfold(world: &mut World, history: &[Happening]) -> Result<(), TestCaseError> {
    for one in history {
        happen(world, one);
        check_moment(world)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::properties::config(500))]

    #[test]
    fn an_object_that_moves_is_never_without_service_and_comes_to_rest(
        staged in 0..3_u8,
        own_names in any::<bool>(),
        history in prop::collection::vec(happening(), 1..40),
    ) {
        let mut world = start(staged, own_names);
        unfold(&mut world, &history)?;
        converge(&mut world)?;
        check_end(&world)?;
    }

    #[test]
    fn an_object_that_is_deleted_while_it_moves_leaves_nothing(
        staged in 0..3_u8,
        own_names in any::<bool>(),
        before in prop::collection::vec(happening(), 1..20),
        after in prop::collection::vec(happening(), 0..10),
    ) {
        let mut world = start(staged, own_names);
        unfold(&mut world, &before)?;
        happen(&mut world, &Delete);
        unfold(&mut world, &after)?;
        converge(&mut world)?;
        check_end(&world)?;
        prop_assert!(world.object.is_none(), "it is held: {:?}", world.object);
    }
}

proptest! {
    #![proptest_config(crate::properties::config(200))]

    /// Each flap is some seconds of the one and some of the other, fewer than it takes to settle.
    #[test]
    fn offers_that_flap_faster_than_it_takes_to_settle_neither_begin_nor_abandon_a_move(
        staged in 0..3_u8,
        moves in any::<bool>(),
        flaps in prop::collection::vec((1..10_u8, 1..10_u8), 1..8),
    ) {
        const BOTH: u8 = 3;
        const SECOND: u8 = 2;
        let mut world = start(staged, false);
        accept(&mut world, BOTH);
        world.settle();
        if moves {
            lasting(&mut world, SECOND, 12, |_| Ok(()))?;
        }
        let is_as_it_was = whereabouts(&world);
        prop_assert_eq!(is_as_it_was.1.is_some(), moves);
        for (first, second) in flaps {
            let (before, after) = if moves { (BOTH, SECOND) } else { (SECOND, BOTH) };
            for (mask, seconds) in [(before, first), (after, second)] {
                lasting(&mut world, mask, seconds, |world| {
                    prop_assert_eq!(&whereabouts(world), &is_as_it_was);
                    Ok(())
                })?;
            }
        }
        // What stays so is followed.
        lasting(&mut world, if moves { BOTH } else { SECOND }, 12, |_| Ok(()))?;
        prop_assert_eq!(whereabouts(&world).1.is_some(), !moves);
        converge(&mut world)?;
        check_end(&world)?;
    }

    /// Whatever is lost: a copy that says that it is available is not taken away before another one is.
    #[test]
    fn no_sweep_takes_the_only_copy_that_is_available(history in prop::collection::vec(losing(), 1..60)) {
        let mut world = start(0, false);
        for one in &history {
            let available = available(&world).len();
            match one {
                None => world.record = None,
                Some(one) => happen(&mut world, one),
            }
            if matches!(one, Some(Sweep)) {
                prop_assert!(available == 0 || !self::available(&world).is_empty(), "none is left of {available}");
            }
        }
        accept(&mut world, 1);
        for _ in 0..20 {
            world.settle();
            world.sweep();
            (0..3).for_each(|number| operate(&mut world, number));
        }
        prop_assert_eq!(world.kept(), Vec::<ClusterName>::new(), "each is as ready as the others");
        check_copies(&world)?;
    }
}

proptest! {
    #![proptest_config(crate::properties::config(60))]

    /// A person deletes the Assignment at any moment of a migration, whatever the broker looks at first: the copy that the
    /// migration begins with does not go before the stages have run to their end.
    #[test]
    fn no_record_that_is_deleted_while_its_object_migrates_costs_data(
        own_names in any::<bool>(),
        losses in prop::collection::vec(0..40_usize, 1..3),
        history_first in any::<bool>(),
        part in 0..6_u8,
    ) {
        let mut world = start(1, own_names);
        happen(&mut world, &Edit(2));
        let old = world.providers[&at(0)].copy.as_ref().map(|copy| copy["metadata"]["uid"].clone());
        for round in 0..90 {
            let migrates = world.migration.is_some() && world.record.as_ref().is_some_and(|it| it.spec.next.is_some());
            if losses.contains(&round) && migrates {
                world.record = None;
                if history_first {
                    world.history_pass();
                    world.sweep();
                }
                happen(&mut world, &Part(part, Cut::Killed));
            }
            world.pass();
            world.sweep();
            let is_there = |copy: &serde_json::Value| {
                Some(&copy["metadata"]["uid"]) == old.as_ref() && copy["metadata"]["deletionTimestamp"].is_null()
            };
            let stages = world.migration.as_ref().map(|it| it.status.stages.clone()).unwrap_or_default();
            let is_done = stages.len() == 3 && stages.iter().all(|stage| stage.state == StageState::Succeeded);
            prop_assert!(is_done || world.providers[&at(0)].copy.as_ref().is_some_and(is_there), "gone after {stages:?}");
            (0..3).for_each(|number| operate(&mut world, number));
            world.end_jobs(true);
            world.wait(Duration::from_secs(4));
        }
        prop_assert_eq!(&world.wrongs, &Vec::<String>::new());
        let berta = at(1);
        prop_assert_eq!(live_copies(&world), vec![&berta]);
        prop_assert_eq!(world.assigned(), Some(berta));
    }
}

/// An offer's answers for some seconds, with a pass in each; `each` looks at the world after it.
fn lasting(
    world: &mut World,
    mask: u8,
    seconds: u8,
    each: impl Fn(&World) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    accept(world, mask);
    for _ in 0..seconds {
        world.pass();
        each(world)?;
        check_moment(world)?;
        world.wait(Duration::from_secs(1));
    }
    Ok(())
}

/// Where the object is, where it goes, what it has left, and how its migration stands.
fn whereabouts(world: &World) -> (Option<ClusterName>, Option<ClusterName>, usize, bool) {
    let record = world.record.as_ref();
    let next = record.and_then(Record::next);
    let left = record.map_or(0, |record| record.spec.previous.len());
    let failed = world.migration.as_ref().is_some_and(|it| it.status.state == Some(MigrationState::Failed));
    (world.assigned(), next, left, failed)
}

/// What happens to an object whose record may be lost (`None`).
fn losing() -> impl Strategy<Value = Option<Happening>> {
    let one = || 0..3_u8;
    let some = prop_oneof![
        3 => (0..8_u8).prop_map(Edit),
        3 => (0..8_u8).prop_map(Offers),
        4 => one().prop_map(Operate),
        2 => one().prop_map(Worsen),
        6 => Just(Pass),
        3 => Just(Sweep),
        1 => (0..20_000_u16).prop_map(Wait),
    ];
    prop_oneof![1 => Just(None), 12 => some.prop_map(Some)]
}

/// The providers whose live copy says that it is available.
fn available(world: &World) -> Vec<&ClusterName> {
    let says = |at: &&ClusterName| {
        let copy = world.providers[*at].copy.as_ref();
        copy.is_some_and(|copy| copy["status"]["status"] == "Available")
    };
    live_copies(world).into_iter().filter(says).collect()
}

/// A move from its beginning to its end, with the process killed after each number of writes in turn: the end is the same.
#[test]
fn a_process_that_is_killed_after_any_write_leaves_the_same_end() {
    for staged in 0..3 {
        let end = |killed: usize| {
            let mut world = start(staged, true);
            happen(&mut world, &Edit(2));
            let (mut left, mut writes) = (killed, 0);
            for _ in 0..60 {
                let plan = world.plan();
                let due = plan.actions().count();
                if due > left {
                    world.carry_out_part(&plan, left, Cut::Killed);
                    left = usize::MAX;
                } else {
                    left -= due;
                    writes += due;
                    world.carry_out(&plan, usize::MAX);
                }
                world.history_pass();
                (0..3).for_each(|number| operate(&mut world, number));
                world.end_jobs(true);
                order(&mut world, 0);
                world.wait(Duration::from_secs(3));
            }
            converge(&mut world)
                .unwrap_or_else(|error| panic!("killed after {killed} writes, staged {staged}: {error}"));
            check_end(&world).unwrap_or_else(|error| panic!("killed after {killed} writes, staged {staged}: {error}"));
            let record = world.record.as_ref().map(|record| record.spec.clone());
            assert_eq!(record.as_ref().map(|spec| spec.provider.cluster.as_str()), Some("provider#berta"));
            assert_eq!(world.memory.failure.as_ref().map(|failure| &failure.message), None);
            writes
        };
        let all = end(usize::MAX);
        assert!(all > 10, "a move takes some writes: {all}");
        for killed in 0..=all {
            end(killed);
        }
    }
}

/// The same history gives the same end, whatever else runs.
#[test]
fn the_same_history_gives_the_same_end() {
    let trace = || {
        let mut world = start(2, false);
        let history = [Edit(2), Pass, Pass, Operate(1), Pass, Pass, Part(2, Cut::Killed), Offers(5), Wait(9000), Pass];
        for one in &history {
            happen(&mut world, one);
        }
        format!("{:?} {:?} {:?}", world.record, world.migration, world.providers)
    };
    assert_eq!(trace(), trace());
}
