//! A broker that is killed at any moment: what it left half done is finished, and nothing is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use resource_broker_api::keys;
use resource_broker_api::names::{ClusterName, Role, copy_name};
use resource_broker_harness::{Broker, TestResult, eventually};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::meter::{Meter, table};
use crate::operator::{Operator, bytes, secret_of};
use crate::pair::{PATIENCE, Pair, Side, fails, gone, is_well, until};

/// How often the broker is killed.
const KILLS: usize = 20;
/// The longest that it is left alone before that.
const LONGEST_LIFE: Duration = Duration::from_millis(400);
/// How long forty objects may take to settle.
const SETTLING: Duration = Duration::from_mins(2);

#[tokio::test]
async fn killed_at_random_moments_it_ends_like_an_undisturbed_one() -> TestResult {
    let seed = match std::env::var("CRASH_SEED") {
        Ok(given) => given.parse()?,
        Err(_) => rand::random(),
    };
    println!("CRASH_SEED={seed} repeats this run");
    let mut random = StdRng::seed_from_u64(seed);
    let script = script(&mut random);
    let world = World::new().await?;
    let mut broker = world.pair.broker(&[&world.other]).await?.start().await?;

    let undisturbed = world.act(&script, &mut broker, None).await?;
    world.clear(&script).await?;
    let disturbed = world.act(&script, &mut broker, Some(&mut random)).await?;
    assert_eq!(differences(&undisturbed, &disturbed), Vec::<String>::new());
    world.clear(&script).await?;
    Ok(())
}

#[tokio::test]
async fn a_restart_with_everything_in_step_writes_nothing() -> TestResult {
    const OBJECTS: i64 = 12;
    let pair = Pair::new("crash-idle").await?;
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([{"key": "engine", "valueIn": ["here"]}])).await?;
    let mut broker = pair.broker(&[]).await?.start().await?;
    for number in 0..OBJECTS {
        pair.consumer.create(&format!("order-{number}"), &json!({"size": number, "engine": "here"})).await?;
    }
    pair.consumer.create("homeless", &json!({"engine": "elsewhere"})).await?;
    for number in 0..OBJECTS {
        let name = format!("order-{number}");
        until(&pair.consumer.widgets(), &name, "all to be well", is_well).await;
        until(&pair.consumer.api::<Secret>(), &secret_of(&name), "the Secret", |_| true).await;
    }
    until(&pair.consumer.widgets(), "homeless", "the refusal", |it| fails(it, "Accepted", "NoMatchingOffer")).await;
    counted(&pair.provider, pair.name, OBJECTS).await;

    broker.kill9()?;
    let meter = Meter::start(pair.name, [&pair.coordination, &pair.consumer.cluster, &pair.provider.cluster]).await?;
    broker.restart().await?;
    pair.consumer.create("marker", &json!({"size": 1, "engine": "here"})).await?;
    until(&pair.consumer.widgets(), "marker", "all to be well", is_well).await;
    until(&pair.consumer.api::<Secret>(), &secret_of("marker"), "the Secret", |_| true).await;
    // The number of objects is written some seconds after it changed: by then everything else has been looked at.
    counted(&pair.provider, pair.name, OBJECTS + 1).await;

    let mut writes = meter.requests_beside("marker").await?;
    writes.retain(|request| request.event.is_write());
    assert!(writes.is_empty(), "the restarted broker wrote:\n{}", table(&writes));
    let made = meter.creations().await?;
    assert!(made.len() <= 2, "more was made than the marker's record and Secret:\n{}", table(&made));
    Ok(())
}

#[tokio::test]
async fn a_copy_that_nothing_accounts_for_is_swept_and_no_other() -> TestResult {
    let pair = Pair::new("crash-sweep").await?;
    let mut broker = pair.start().await?;
    for name in ["orphan", "kept"] {
        pair.placed(name, &json!({"size": 1})).await?;
    }
    let copies = pair.provider.widgets();
    eventually("the object to be decorated", PATIENCE, || async {
        let there = pair.consumer.widgets().get("orphan").await?;
        ensure!(!there.finalizers().is_empty(), "no finalizer yet");
        Ok(())
    })
    .await;
    broker.kill9()?;
    pair.consumer.delete("orphan").await?;
    pair.consumer.edit("orphan", &json!({"metadata": {"finalizers": null}})).await?;
    gone(&pair.consumer.widgets(), "orphan").await;
    pair.records.delete(&pair.record_name("orphan"), &DeleteParams::default()).await?;

    // Made by somebody else, with every mark that can be written into an object.
    let foreign = pair.copy_name("foreign");
    plant(&pair, &foreign, &pair.consumer.id, "foreign", "somebody").await?;
    // Made by a broker, for a consumer that this one does not have.
    let elsewhere = ClusterName::new(Role::Consumer, "elsewhere");
    let far = copy_name(&elsewhere, "far");
    plant(&pair, &far, &elsewhere, "far", keys::FIELD_MANAGER).await?;
    // Made by a broker that calls its consumer as this one does.
    let theirs = pair.copy_name("theirs");
    plant(&pair, &theirs, &pair.consumer.id, "theirs", keys::FIELD_MANAGER).await?;

    broker.restart().await?;
    gone(&copies, &pair.copy_name("orphan")).await;
    pair.marker().await?;
    for name in [foreign, far, theirs, pair.copy_name("kept")] {
        let there = copies.get(&name).await?;
        assert!(there.metadata.deletion_timestamp.is_none(), "{name} was deleted");
    }
    Ok(())
}

/// Puts an object at the provider that looks like a copy.
async fn plant(pair: &Pair, name: &str, consumer: &ClusterName, of: &str, manager: &str) -> Result<()> {
    let object = json!({
        "apiVersion": pair.kind.api_version(), "kind": "Widget",
        "metadata": {
            "name": name,
            "annotations": {
                keys::CONSUMER_CLUSTER: consumer.to_string(),
                keys::CONSUMER_NAME: of,
                keys::BROKER: "the-uid-of-another-broker",
            },
            "finalizers": [keys::GENERIC_FINALIZER],
        },
        "spec": {"size": 1},
    });
    pair.provider.widgets().patch(name, &PatchParams::apply(manager), &Patch::Apply(&object)).await?;
    Ok(())
}

/// Waits until an offer's status counts so many objects.
async fn counted(side: &Side, offer: &str, objects: i64) {
    until(&side.offers(), offer, &format!("{objects} objects to be counted"), |it| {
        it.status.as_ref().is_some_and(|status| status.objects == Some(objects))
    })
    .await;
}

/// What people do, one thing after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create(u64),
    Resize(u64, u64),
    /// Gives it the field `tags`, or takes it away.
    Tag(u64, bool),
    /// The provider changes the Secret.
    Rotate(u64, u64),
    Delete(u64),
    /// Another object under the same name.
    Remake(u64),
}

/// What one object is to be in the end.
#[derive(Clone, Debug, Default)]
struct Wanted {
    size: u64,
    tagged: bool,
    rotation: u64,
}

/// As many rounds as there are kills.
fn script(random: &mut StdRng) -> Vec<Vec<Step>> {
    let mut alive: Vec<u64> = Vec::new();
    let mut next = 0;
    let mut rounds = Vec::new();
    for _ in 0..KILLS {
        let mut round = Vec::new();
        for _ in 0..2 {
            round.push(Step::Create(next));
            alive.push(next);
            next += 1;
        }
        let any = |random: &mut StdRng, alive: &[u64]| alive[random.random_range(0..alive.len())];
        round.push(Step::Resize(any(random, &alive), random.random_range(100..1000)));
        round.push(Step::Tag(any(random, &alive), random.random_bool(0.5)));
        round.push(Step::Rotate(any(random, &alive), random.random_range(1..1000)));
        if random.random_bool(0.4) {
            let index = random.random_range(0..alive.len());
            round.push(Step::Delete(alive.swap_remove(index)));
        }
        if random.random_bool(0.2) && !alive.is_empty() {
            round.push(Step::Remake(any(random, &alive)));
        }
        rounds.push(round);
    }
    rounds
}

/// What the script leaves behind.
fn outcome(script: &[Vec<Step>]) -> BTreeMap<u64, Wanted> {
    let mut wanted: BTreeMap<u64, Wanted> = BTreeMap::new();
    for step in script.iter().flatten() {
        match *step {
            Step::Create(id) => {
                wanted.insert(id, Wanted { size: id, tagged: true, rotation: 0 });
            }
            Step::Resize(id, size) => wanted.entry(id).or_default().size = size,
            Step::Tag(id, tagged) => wanted.entry(id).or_default().tagged = tagged,
            Step::Rotate(id, rotation) => wanted.entry(id).or_default().rotation = rotation,
            Step::Delete(id) => drop(wanted.remove(&id)),
            Step::Remake(id) => {
                let before = wanted.entry(id).or_default();
                *before = Wanted { size: id, tagged: true, ..*before };
            }
        }
    }
    wanted
}

fn name_of(id: u64) -> String {
    format!("order-{id:02}")
}

/// Which of the two providers takes the object.
fn provider_of(id: u64) -> usize {
    usize::from(id % 2 == 1)
}

/// Everything of this test in all clusters, by cluster, kind and name.
pub(crate) type Everything = BTreeMap<String, Value>;

/// One consumer, and two providers of which each takes its own half of the objects.
struct World {
    pair: Pair,
    other: Side,
}

impl World {
    async fn new() -> Result<Self> {
        let pair = Pair::new("crash-busy").await?;
        let other = pair.other_provider().await?;
        let world = Self { pair, other };
        for side in world.providers() {
            side.offer(world.pair.name, &json!([{"key": "engine", "valueIn": [side.id.name]}])).await?;
        }
        Ok(world)
    }

    fn providers(&self) -> [&Side; 2] {
        [&self.pair.provider, &self.other]
    }

    fn spec(&self, id: u64) -> Value {
        json!({"size": id, "engine": self.providers()[provider_of(id)].id.name, "tags": ["new"]})
    }

    /// Plays the script, kills the broker once a round where there is chance, and waits until all clusters are as the
    /// script leaves them.
    async fn act(
        &self,
        script: &[Vec<Step>],
        broker: &mut Broker,
        mut chance: Option<&mut StdRng>,
    ) -> Result<Everything> {
        let operators = self.providers().map(Operator::careful);
        for round in script {
            let play = async {
                for step in round {
                    self.step(*step, &operators).await.with_context(|| format!("{step:?}"))?;
                }
                anyhow::Ok(())
            };
            match &mut chance {
                None => play.await?,
                Some(random) => {
                    let life = random.random_range(Duration::ZERO..LONGEST_LIFE);
                    let at_work = random.random_ratio(4, 5);
                    let (played, killed) = tokio::join!(play, kill_after(broker, life, at_work));
                    played?;
                    killed?;
                }
            }
        }
        self.settled(&outcome(script)).await
    }

    async fn step(&self, step: Step, operators: &[Operator; 2]) -> Result<()> {
        let consumer = &self.pair.consumer;
        match step {
            Step::Create(id) => consumer.create(&name_of(id), &self.spec(id)).await.map(drop),
            Step::Resize(id, size) => consumer.edit(&name_of(id), &json!({"spec": {"size": size}})).await.map(drop),
            Step::Tag(id, true) => consumer.edit(&name_of(id), &json!({"spec": {"tags": ["new"]}})).await.map(drop),
            Step::Tag(id, false) => consumer.edit(&name_of(id), &json!({"spec": {"tags": null}})).await.map(drop),
            Step::Rotate(id, rotation) => {
                operators[provider_of(id)].rotate(&self.pair.copy_name(&name_of(id)), rotation);
                Ok(())
            }
            Step::Delete(id) => consumer.delete(&name_of(id)).await,
            Step::Remake(id) => {
                consumer.delete(&name_of(id)).await?;
                gone(&consumer.widgets(), &name_of(id)).await;
                consumer.create(&name_of(id), &self.spec(id)).await.map(drop)
            }
        }
    }

    /// Deletes what the script left, and waits until nothing is left of it anywhere.
    async fn clear(&self, script: &[Vec<Step>]) -> Result<()> {
        let _operators = self.providers().map(Operator::careful);
        for id in outcome(script).into_keys() {
            self.pair.consumer.delete(&name_of(id)).await?;
        }
        self.settled(&BTreeMap::new()).await.map(drop)
    }

    async fn settled(&self, wanted: &BTreeMap<u64, Wanted>) -> Result<Everything> {
        let everything = eventually("all clusters to be as the script leaves them", SETTLING, || async {
            let everything = self.everything().await?;
            self.compare(&everything, wanted)?;
            anyhow::Ok(everything)
        });
        Ok(everything.await)
    }

    /// Every object that is to be there, and no other; and each as it is to be.
    fn compare(&self, everything: &Everything, wanted: &BTreeMap<u64, Wanted>) -> Result<()> {
        let mut places = BTreeSet::new();
        for (index, side) in self.providers().into_iter().enumerate() {
            let place = format!("{}/AcceptAPI/{}", side.id, self.pair.name);
            let objects = wanted.keys().filter(|id| provider_of(**id) == index).count();
            let counted = everything.get(&place).context("an offer is gone")?;
            ensure!(counted["status"]["objects"] == objects, "{place} holds {objects}, and says {counted}");
            places.insert(place);
        }
        for (id, wanted) in wanted {
            places.extend(self.compare_one(everything, *id, wanted)?);
        }
        let there: BTreeSet<String> = everything.keys().cloned().collect();
        let surplus: Vec<&String> = there.difference(&places).collect();
        ensure!(surplus.is_empty(), "there is too much: {surplus:?}");
        Ok(())
    }

    /// The places of one object and of all that belongs to it.
    fn compare_one(&self, everything: &Everything, id: u64, wanted: &Wanted) -> Result<[String; 5]> {
        let (name, pair) = (name_of(id), &self.pair);
        let provider = &self.providers()[provider_of(id)].id;
        let copy = pair.copy_name(&name);
        let places = [
            format!("{}/Widget/{name}", pair.consumer.id),
            format!("{}/Secret/{}", pair.consumer.id, secret_of(&name)),
            format!("coordination/Assignment/{}", pair.record_name(&name)),
            format!("{provider}/Widget/{copy}"),
            format!("{provider}/Secret/{}", secret_of(&copy)),
        ];
        let [order, secret, record, copied, source] = &places;
        let at = |place: &String| everything.get(place).with_context(|| format!("{place} is not there"));
        let order = at(order)?;
        let generation = &order["metadata"]["generation"];
        for conditions in [&order["status"]["conditions"], &at(record)?["status"]["conditions"]] {
            let all = conditions.as_array().map(Vec::as_slice).unwrap_or_default();
            ensure!(all.len() == 3 && all.iter().all(|it| it["status"] == "True"), "{name} says {conditions}");
        }
        let shown = order["status"]["conditions"].as_array().into_iter().flatten();
        ensure!(shown.clone().all(|it| it["observedGeneration"] == *generation), "{name} is behind: {order}");
        ensure!(at(record)?["status"]["observedGeneration"] == *generation, "the record of {name} is behind");
        for spec in [&order["spec"], &at(copied)?["spec"], &order["status"]["made"]] {
            ensure!(spec["size"] == wanted.size, "{name} is to have size {} and has {spec}", wanted.size);
            ensure!(
                spec["tags"].is_array() == wanted.tagged,
                "{name} is to have tags: {}; it has {spec}",
                wanted.tagged
            );
        }
        let data = json!({"size": bytes(&wanted.size.into()), "rotation": bytes(&wanted.rotation.into())});
        for place in [secret, source] {
            ensure!(at(place)?["data"] == data, "{place} is {}, not {data}", at(place)?["data"]);
        }
        Ok(places)
    }

    async fn everything(&self) -> Result<Everything> {
        let pair = &self.pair;
        let mut all = Everything::new();
        for side in self.providers().into_iter().chain([&pair.consumer]) {
            collect(&mut all, &format!("{}/Widget", side.id), &side.widgets()).await?;
            collect(&mut all, &format!("{}/Secret", side.id), &side.api::<Secret>()).await?;
        }
        collect(&mut all, "coordination/Assignment", &pair.records).await?;
        for side in self.providers() {
            let offer = side.offers().get(pair.name).await?;
            all.insert(format!("{}/AcceptAPI/{}", side.id, pair.name), comparable(&offer)?);
        }
        Ok(all)
    }
}

/// Kills the broker at a random moment: of its start, or of its work.
async fn kill_after(broker: &mut Broker, life: Duration, at_work: bool) -> Result<()> {
    if at_work {
        let running = &*broker;
        eventually("the broker to be at work", PATIENCE, || async {
            let passes = running.metric("resource_broker_passes_total", &[]).await?;
            ensure!(passes > 0.5, "it has looked at nothing yet");
            Ok(())
        })
        .await;
    }
    // The random moment itself: there is nothing to wait for.
    tokio::time::sleep(life).await;
    broker.kill9()?;
    broker.restart().await
}

async fn collect<K>(all: &mut Everything, place: &str, api: &Api<K>) -> Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize + kube::Resource,
{
    for object in api.list(&ListParams::default()).await? {
        all.insert(format!("{place}/{}", object.name_any()), comparable(&object)?);
    }
    Ok(())
}

/// An object without what differs between two runs that end alike.
pub(crate) fn comparable(object: &impl Serialize) -> Result<Value> {
    let mut value = serde_json::to_value(object)?;
    let is_copy = value["metadata"]["annotations"][keys::CONSUMER_NAME].is_string();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "creationTimestamp"] {
            metadata.remove(field);
        }
        // A copy may take several changes in at once.
        if is_copy {
            metadata.remove("generation");
        }
    }
    forget(&mut value);
    Ok(value)
}

/// Takes out times, and whatever names one object of several that had its name.
fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A bucket is of a record's name.
            for field in ["uid", "lastTransitionTime", "token", keys::TOKEN, keys::RELATED_SOURCE, keys::BUCKET] {
                fields.remove(field);
            }
            fields.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(crate) fn differences(one: &Everything, other: &Everything) -> Vec<String> {
    let places: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs = places.into_iter().filter(|place| one.get(*place) != other.get(*place));
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    differs
        .map(|place| format!("{place}: {} undisturbed, {} disturbed", shown(one.get(place)), shown(other.get(place))))
        .collect()
}
