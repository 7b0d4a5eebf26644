//! What must hold of any plan, over generated histories: users, providers, faults and passes in any order.

use std::time::Duration;

use proptest::prelude::*;
use resource_broker_api::{
    keys,
    names::{ClusterName, Gvk},
};
use resource_broker_planner::{
    ask,
    deletion::recreated,
    model::snapshot::{Failure, Part, Snapshot},
    plan,
    plan::{Action, Guard, Plan, check},
    sync::{copy, owned},
};
use serde_json::{Value, json};

use crate::world::{accepts, refuses};
use crate::{
    fields, moves,
    world::{Plugin, THEIR_FINALIZER, Unread, World, object, provider},
};

const PROVIDERS: [&str; 2] = ["anna", "berta"];

/// One thing that happens. `u8`s choose among a few values or providers.
#[derive(Clone, Debug)]
enum Happening {
    // What the consumer does.
    EditObject(u8),
    RemoveField,
    DeleteObject,
    ReplaceObject,
    ForceObjectAway,
    StripObject,
    EditBeside(u8),
    // What providers do.
    Offers(u8),
    EditCopy(u8),
    StripCopy,
    Status(u8),
    Declare(u8),
    PutSource(u8),
    DropSource(u8),
    HoldCopy,
    LetCopyGo,
    DeleteCopy,
    ForceCopyAway,
    TakeName(u8),
    // What goes wrong.
    Detach(u8),
    Attach(u8),
    Break(u8),
    Mend(u8),
    Unread(u8),
    ReadAll,
    Filter(u8),
    Transformer(u8),
    Restart,
    // What no cluster does by itself.
    ClaimCopy(u8),
    LoseRecord,
    OtherVersion,
    Fail(u8),
    // The broker.
    Wait(u16),
    Pass,
    PartOfPass(u8),
    StalePass,
}

use Happening::{
    Attach, Break, ClaimCopy, Declare, DeleteCopy, DeleteObject, Detach, DropSource, EditBeside, EditCopy, EditObject,
    Fail, Filter, ForceCopyAway, ForceObjectAway, HoldCopy, LetCopyGo, LoseRecord, Mend, Offers, OtherVersion,
    PartOfPass, Pass, PutSource, ReadAll, RemoveField, ReplaceObject, Restart, StalePass, Status, StripCopy,
    StripObject, TakeName, Transformer, Wait,
};

/// What may happen in the world, with passes in between.
fn ordinary() -> impl Strategy<Value = Happening> {
    let small = || 0..4_u8;
    let consumer = prop_oneof![
        small().prop_map(EditObject),
        Just(RemoveField),
        Just(DeleteObject),
        Just(ReplaceObject),
        Just(ForceObjectAway),
        Just(StripObject),
        small().prop_map(EditBeside),
    ];
    let providers = prop_oneof![
        3 => (0..9_u8).prop_map(Offers),
        1 => small().prop_map(EditCopy),
        1 => Just(StripCopy),
        2 => (0..6_u8).prop_map(Status),
        1 => small().prop_map(Declare),
        1 => small().prop_map(PutSource),
        1 => small().prop_map(DropSource),
        1 => Just(HoldCopy),
        1 => Just(LetCopyGo),
        1 => Just(DeleteCopy),
        1 => Just(ForceCopyAway),
        1 => small().prop_map(TakeName),
    ];
    let faults = prop_oneof![
        small().prop_map(Detach),
        small().prop_map(Attach),
        small().prop_map(Break),
        small().prop_map(Mend),
        (0..6_u8).prop_map(Happening::Unread),
        Just(ReadAll),
        (0..3_u8).prop_map(Filter),
        (0..3_u8).prop_map(Transformer),
        Just(Restart),
    ];
    let broker = prop_oneof![
        1 => (0..10_000_u16).prop_map(Wait),
        4 => Just(Pass),
        1 => small().prop_map(PartOfPass),
    ];
    prop_oneof![2 => consumer, 3 => providers, 1 => faults, 4 => broker]
}

/// The same, and passes that act on what was so a moment ago.
fn racing() -> impl Strategy<Value = Happening> {
    prop_oneof![9 => ordinary(), 1 => Just(StalePass)]
}

/// The same, and what no cluster does by itself.
fn anything() -> impl Strategy<Value = Happening> {
    let odd = prop_oneof![
        (0..4_u8).prop_map(ClaimCopy),
        Just(LoseRecord),
        Just(OtherVersion),
        (0..6_u8).prop_map(Fail),
        (0..6_u8).prop_map(Happening::Unread),
    ];
    prop_oneof![4 => ordinary(), 1 => odd]
}

fn at(number: u8) -> ClusterName {
    provider(PROVIDERS[usize::from(number) % PROVIDERS.len()])
}

fn secret(number: u8) -> (Gvk, String) {
    (Gvk::new("core", "v1", "Secret"), ["tls", "ca"][usize::from(number) % 2].into())
}

/// A world in which both providers accept, of one of a few shapes.
fn start(shape: u8) -> World {
    let mut world = World::new();
    if shape == 1 {
        world.shape.conditions = false;
    } else if shape == 2 {
        world.shape.conditions = false;
        world.shape.status = false;
    } else if shape == 3 {
        world.webhook = Some(json!({"spec": {"fqdn": "forced.corp.com"}}));
    }
    happen(&mut world, &Offers(4), None);
    world
}

/// Makes something happen. `before` is what was planned a moment ago.
fn happen(world: &mut World, happening: &Happening, before: Option<&Plan>) {
    let assigned = world.assigned().unwrap_or_else(|| at(0));
    let prefix = world.key.consumer.copy_prefix();
    match happening {
        EditObject(value) => {
            world.edit_object(&json!({"spec": {"fqdn": format!("www{value}.corp.com"), "days": value}}));
        }
        RemoveField => world.edit_object(&json!({"spec": {"days": null}})),
        DeleteObject => world.delete_object(),
        ReplaceObject => world.create_object(),
        ForceObjectAway => world.object = None,
        StripObject => world.edit_object(&json!({"metadata": {"finalizers": null, "annotations": null}})),
        EditBeside(number) => {
            let (gvk, name) = secret(*number);
            world.edit_beside(gvk, &name, &json!({"data": {"mine": number}}));
        }
        Offers(answers) => {
            world.offers.clear();
            for (number, answer) in [(0, answers % 3), (1, answers / 3 % 3)] {
                world.providers.entry(at(number)).or_default();
                let verdict = [None, Some(accepts()), Some(refuses("fqdn: no"))];
                let name = (at(number), "offers".into(), "certs".into());
                world.offers.extend(verdict[usize::from(answer)].clone().map(|verdict| (name, verdict)));
            }
        }
        EditCopy(value) if world.copy().is_some() => {
            world.edit_copy(&assigned, &json!({"spec": {"fqdn": format!("theirs{value}"), "issuer": value}}));
        }
        StripCopy if world.copy().is_some() => {
            world.edit_copy(&assigned, &json!({"metadata": {"annotations": null, "finalizers": null}}));
        }
        Status(which) if world.copy().is_some() => {
            let words =
                [json!(null), json!("Available"), json!(""), json!("Provisioning"), json!("Failed"), json!("so so")];
            world.edit_copy(&assigned, &json!({"status": {"status": words[usize::from(*which)]}}));
        }
        Declare(which) if world.copy().is_some() => {
            let entry = |number: u8| {
                let gvk = json!({"group": "core", "version": "v1", "kind": "Secret"});
                let declared =
                    json!({"gvk": gvk, "name": format!("{prefix}{}", secret(number).1), "namespace": "team"});
                if which & (1 << number) == 0 { Value::Null } else { declared }
            };
            world.edit_copy(&assigned, &json!({"status": {"relatedResources": {"one": entry(0), "two": entry(1)}}}));
        }
        PutSource(number) => world.put_source(&assigned, secret(*number).0, &format!("{prefix}{}", secret(*number).1)),
        DropSource(number) => {
            let name = format!("{prefix}{}", secret(*number).1);
            world.providers.entry(assigned).or_default().sources.retain(|(_, _, there), _| *there != name);
        }
        HoldCopy if world.copy().is_some_and(|copy| copy["metadata"]["deletionTimestamp"].is_null()) => {
            world
                .edit_copy(&assigned, &json!({"metadata": {"finalizers": [keys::GENERIC_FINALIZER, THEIR_FINALIZER]}}));
        }
        LetCopyGo => let_go(world),
        DeleteCopy => world.delete_copy(&assigned),
        ForceCopyAway => world.providers.entry(assigned).or_default().copy = None,
        TakeName(number) if world.providers[&at(*number)].copy.is_none() => {
            world.edit_copy(&at(*number), &json!({"spec": {"fqdn": "of somebody else"}}));
        }
        Detach(number) => world.providers.entry(at(*number)).or_default().detached = true,
        Attach(number) => world.providers.entry(at(*number)).or_default().detached = false,
        Break(number) => world.providers.entry(at(*number)).or_default().broken = true,
        Mend(number) => world.providers.entry(at(*number)).or_default().broken = false,
        Happening::Unread(what) => unread(world, *what),
        ReadAll => read_all(world),
        Filter(how) => world.filter = plugin(*how),
        Transformer(how) => world.transformer = plugin(*how),
        Restart => world.memory = resource_broker_planner::model::snapshot::Memory::default(),
        ClaimCopy(number) if world.object.is_some() => world.copy_of_another_broker(&at(*number)),
        LoseRecord => world.record = None,
        OtherVersion => {
            if let Some(record) = &mut world.record {
                record.spec.consumer.version = "v2".into();
            }
        }
        Fail(number) => world.memory.failure = Some(failure(*number)),
        Wait(milliseconds) => world.wait(Duration::from_millis(u64::from(*milliseconds))),
        Pass => {
            world.pass();
        }
        PartOfPass(steps) => {
            let plan = world.plan();
            world.carry_out(&plan, usize::from(*steps));
            world.memory = resource_broker_planner::model::snapshot::Memory::default();
        }
        StalePass => {
            if let Some(plan) = before {
                world.carry_out(plan, usize::MAX);
            }
        }
        // Nobody is there to do it to.
        EditCopy(_) | StripCopy | Status(_) | Declare(_) | HoldCopy | TakeName(_) | ClaimCopy(_) => {}
    }
}

pub(crate) fn let_go(world: &mut World) {
    for number in 0..2 {
        let copy = world.providers.get(&at(number)).and_then(|provider| provider.copy.as_ref());
        let finalizers = copy.map(|copy| copy["metadata"]["finalizers"].clone()).unwrap_or_default();
        if let Some(finalizers) =
            finalizers.as_array().filter(|finalizers| finalizers.iter().any(|f| f == THEIR_FINALIZER))
        {
            let left: Vec<&Value> = finalizers.iter().filter(|finalizer| *finalizer != THEIR_FINALIZER).collect();
            world.edit_copy(&at(number), &json!({"metadata": {"finalizers": left}}));
        }
    }
}

fn unread(world: &mut World, what: u8) {
    let unread = Unread { why: "connection refused".into(), failing: what.is_multiple_of(2) };
    match what {
        0 => world.object_unread = Some(unread),
        1 => world.record_unread = Some(unread),
        2 => world.providers.entry(at(0)).or_default().copies_unread = Some(unread),
        3 => world.providers.entry(at(1)).or_default().offers_unread = Some(unread),
        4 => world.sources.unread = Some(unread),
        _ => world.targets.unread = Some(unread),
    }
}

fn read_all(world: &mut World) {
    (world.object_unread, world.record_unread) = (None, None);
    (world.sources.unread, world.targets.unread) = (None, None);
    for provider in world.providers.values_mut() {
        (provider.copies_unread, provider.offers_unread) = (None, None);
    }
}

fn plugin(how: u8) -> Plugin {
    match how {
        0 => Plugin::Failed("it trapped".into()),
        1 => Plugin::Silent,
        _ => Plugin::Works,
    }
}

fn failure(number: u8) -> Failure {
    let parts = [Part::Record, Part::Decorate, Part::Copy, Part::Status, Part::Related, Part::Delete];
    let part = parts[usize::from(number)];
    let reason = resource_broker_api::conditions::reason::WRITE_FAILED;
    Failure { part, invalid: number % 2 == 1, reason, message: "it was refused".into() }
}

/// What must hold of any plan from any snapshot.
fn check_plan(snapshot: &Snapshot, world: &World) -> Result<Plan, TestCaseError> {
    let (answers, _) = world.questioned(snapshot);
    let made = plan(snapshot, &answers).map_err(|more| TestCaseError::fail(format!("{more:?}")))?;
    let again = plan(&snapshot.clone(), &answers.clone()).map_err(|more| TestCaseError::fail(format!("{more:?}")))?;
    prop_assert_eq!(format!("{made:?}"), format!("{again:?}"), "the same snapshot, another plan");
    prop_assert_eq!(format!("{:?}", ask(snapshot)), format!("{:?}", ask(&snapshot.clone())));
    prop_assert_eq!(check::problems(snapshot, &made), Vec::<String>::new());
    if !snapshot.consumer.is_known() || !snapshot.record.is_known() {
        prop_assert!(made.steps.is_empty(), "it writes although it has not read: {:#?}", made.steps);
    }
    prop_assert!(made.steps.iter().all(|step| !step.is_empty()), "an empty step");
    for action in made.actions() {
        check_deletion(snapshot, action)?;
    }
    Ok(made)
}

/// A copy goes with its object only: deleted itself, or another than the one that the copy is of, or not there (the
/// last two as an uncached look confirms); or where the object has left its place.
fn check_deletion(snapshot: &Snapshot, action: &Action) -> Result<(), TestCaseError> {
    let Action::Delete { target, guards, .. } = action else { return Ok(()) };
    if target.cluster == snapshot.key.consumer {
        return Ok(());
    }
    if snapshot.consumer.present().is_some_and(|consumer| consumer.is_deleting()) {
        return Ok(());
    }
    if snapshot.record.present().is_some_and(|record| moves::is_left(record, &target.cluster)) {
        return Ok(());
    }
    let of = snapshot.record.present().map(|record| record.spec.consumer.uid.clone()).unwrap_or_default();
    prop_assert!(
        snapshot.consumer.present().is_none_or(|consumer| consumer.uid() != of),
        "its object lives: {action:?}"
    );
    prop_assert!(guards.contains(&Guard::NotThatOne(snapshot.key.target(), of)), "without a look: {action:?}");
    Ok(())
}

/// The providers that hold something marked as this object's copy which nobody has deleted.
pub(crate) fn live_copies(world: &World) -> Vec<&ClusterName> {
    let live = |at: &&ClusterName| {
        let copy = world.providers[*at].copy.as_ref();
        world.is_claimed_at(at) && copy.is_some_and(|copy| copy["metadata"]["deletionTimestamp"].is_null())
    };
    world.providers.keys().filter(live).collect()
}

/// Lets faults end, and the broker and the providers' operators do what is left.
/// An administrator decides about an object that came back without its token.
fn decide(world: &mut World) {
    let is_there = world.object.is_some();
    let even = world.now.as_second() % 2 == 0;
    if let Some(record) = world.record.as_mut().filter(|record| recreated::is_undecided(record)) {
        record.recreated = Some(if is_there && even { "take-over" } else { "start-anew" }.into());
    }
}

fn converge(world: &mut World) -> Result<(), TestCaseError> {
    read_all(world);
    (world.filter, world.transformer) = (Plugin::Works, Plugin::Works);
    for provider in world.providers.values_mut() {
        (provider.detached, provider.broken) = (false, false);
    }
    for _ in 0..12 {
        world.settle();
        decide(world);
        let_go(world);
        collect_garbage(world);
        world.wait(Duration::from_mins(10));
        let swept = world.sweep();
        let left: Vec<Action> =
            world.plan().actions().filter(|action| !matches!(action, Action::Event(_))).cloned().collect();
        if swept == 0 && left.is_empty() {
            return Ok(());
        }
        // What people put in the way stays in the way; it is told, and tried again for ever.
        if world.memory.failure.is_some() && world.pass() == 0 {
            return Ok(());
        }
    }
    prop_assert!(false, "still something to do: {:#?}", world.plan());
    Ok(())
}

/// What the owner references are for.
pub(crate) fn collect_garbage(world: &mut World) {
    let uid = world.object.as_ref().map(|there| there["metadata"]["uid"].clone());
    world.beside.retain(|_, there| {
        let owner = &there["metadata"]["ownerReferences"][0]["uid"];
        owner.is_null() || Some(owner) == uid.as_ref()
    });
}

/// What the end looks like, whatever happened before.
fn check_end(world: &World) -> Result<(), TestCaseError> {
    // A move waits where its new copy does not get ready, and what was left waits for the new one's related resources.
    let moves = world.record.as_ref().is_some_and(|it| it.spec.next.is_some() || !it.spec.previous.is_empty());
    // One that an act on the past made stays until the one that is recorded is as ready.
    let kept = world.kept();
    let live = live_copies(world).into_iter().filter(|at| !kept.contains(at)).count();
    prop_assert!(live <= 1 + usize::from(moves), "copies at {:?}", live_copies(world));
    let Some(there) = &world.object else {
        prop_assert!(world.record.is_none(), "a record of nothing: {:?}", world.record);
        prop_assert!(live_copies(world).is_empty(), "a copy of nothing at {:?}", live_copies(world));
        let ours = world.beside.values().filter(|there| !there["metadata"]["labels"][keys::RELATED_TO].is_null());
        prop_assert_eq!(ours.count(), 0, "related resources of nothing");
        return Ok(());
    };
    if !there["metadata"]["deletionTimestamp"].is_null() {
        let ours =
            there["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|f| f == keys::GENERIC_FINALIZER));
        prop_assert!(!ours, "an object that is still held: {there}");
        return Ok(());
    }
    let is_free = |at: &ClusterName| world.providers[at].copy.is_none() || world.is_claimed_at(at);
    let Some(record) = &world.record else {
        let takers = world.offers.iter().filter(|((at, ..), verdict)| **verdict == accepts() && is_free(at));
        prop_assert_eq!(takers.count(), 0, "somebody accepts it, and nobody has it");
        return Ok(());
    };
    prop_assert_eq!(&record.spec.consumer.uid, there["metadata"]["uid"].as_str().unwrap_or_default());
    let holder = record.provider().ok_or_else(|| TestCaseError::fail("a record without a provider"))?;
    let accepts = world.offers.get(&(holder.clone(), "offers".into(), "certs".into())) == Some(&accepts());
    if accepts && is_free(&holder) {
        check_in_service(world, there)?;
    }
    Ok(())
}

/// An object whose provider takes it, with nothing in the way.
fn check_in_service(world: &World, there: &Value) -> Result<(), TestCaseError> {
    let consumer = object(there);
    prop_assert!(consumer.has_finalizer(keys::GENERIC_FINALIZER), "an object without its finalizer");
    let copy = world.copy().ok_or_else(|| TestCaseError::fail("no copy"))?;
    let record = world.record.as_ref().ok_or_else(|| TestCaseError::fail("no record"))?;
    let target = record.target(&(&record.spec.provider).into()).ok_or_else(|| TestCaseError::fail("no place"))?;
    let wanted = copy::wanted(&world.key, &target, &consumer, None);
    if world.webhook.is_none() {
        prop_assert!(owned::in_step(&wanted, &object(copy)), "wanted {wanted}, there is {copy}");
    }
    let (wanted, actual) = (fields::content_of(&wanted), fields::content_of(copy));
    prop_assert_eq!(wanted["spec"].get("days"), actual["spec"].get("days"));
    if world.shape.conditions && world.memory.failure.is_none() {
        let accepted = consumer.field("status").map(|status| status["conditions"].to_string()).unwrap_or_default();
        prop_assert!(accepted.contains(r#""reason":"Accepted""#), "{accepted}");
    }
    Ok(())
}

/// A history as it unfolds; `each` looks at the world after every happening.
fn unfold(
    world: &mut World,
    history: &[Happening],
    each: impl Fn(&World) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut before = None;
    for happening in history {
        happen(world, happening, before.as_ref());
        before = Some(check_plan(&world.snapshot(), world)?);
        each(world)?;
    }
    Ok(())
}

/// How many cases a property has where neither it nor `PROPTEST_CASES` says.
const USUAL: u32 = 256;

/// So many cases; more or fewer in proportion where `PROPTEST_CASES` is not the usual number.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: (cases * asked.cases).div_ceil(USUAL), ..asked }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn any_plan_keeps_the_rules(shape in 0..4_u8, history in prop::collection::vec(anything(), 1..16)) {
        unfold(&mut start(shape), &history, |_| Ok(()))?;
    }

    #[test]
    fn a_broker_that_sees_all_does_no_harm_and_comes_to_rest(
        shape in 0..4_u8,
        history in prop::collection::vec(ordinary(), 1..24),
    ) {
        let mut world = start(shape);
        unfold(&mut world, &history, |world| {
            prop_assert_eq!(&world.wrongs, &Vec::<String>::new());
            moves::check_copies(world)?;
            Ok(())
        })?;
        converge(&mut world)?;
        prop_assert_eq!(&world.wrongs, &Vec::<String>::new());
        check_end(&world)?;
    }

    #[test]
    fn a_broker_that_acts_on_the_past_comes_to_rest(
        shape in 0..4_u8,
        history in prop::collection::vec(racing(), 1..24),
    ) {
        let mut world = start(shape);
        unfold(&mut world, &history, |_| Ok(()))?;
        converge(&mut world)?;
        check_end(&world)?;
    }
}
