//! A broker that is killed at each single write of a move, one after the other, or has it go wrong: it always ends the same.
//!
//! First a move goes undisturbed, and its writes are counted. Then the same move is made with the first write struck, then
//! with the second, and so on, until a whole move has gone by without the write that was to be struck. Several brokers work
//! through the numbers at the same time, each in a world of its own; a witness sees everything throughout.
//!
//! Writes are struck when the API server has carried them out. A kill before the API server gets one leaves the clusters as a
//! kill after the write before it does, but for what else is on its way: that is tried with every third write, and with each
//! of them where `CRASH_BEFORE=1` is set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, future::try_join_all, pin_mut};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use resource_broker_api::keys;
use resource_broker_harness::{Broker, Fault, TestResult, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::law::Terms;
use super::witness::{COMPUTE, Chronicle, Witness};
use super::world::{Proxies, World};
use crate::crash::{Everything, comparable, differences};
use crate::pair::{PATIENCE, Side, gone};

/// How long a broker that was not struck may take to have made its last write.
const STILL: Duration = Duration::from_secs(1);
/// Between two looks at whether a blow has fallen.
const TICK: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_made_the_same_wherever_the_broker_is_killed() -> TestResult {
    Enumeration::new(Script::Birth, kill).run(&["crash-birth-a", "crash-birth-b"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_ends_the_same_wherever_the_broker_is_killed() -> TestResult {
    let worlds = ["crash-move-a", "crash-move-b", "crash-move-c"];
    Enumeration::new(Script::Churn, kill).run(&worlds).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_ends_the_same_wherever_the_broker_is_killed() -> TestResult {
    let worlds = ["crash-stages-a", "crash-stages-b", "crash-stages-c"];
    Enumeration::new(Script::Stages, kill).run(&worlds).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_ends_the_same_before_whichever_write_the_broker_is_killed() -> TestResult {
    let every = if std::env::var_os("CRASH_BEFORE").is_some() { 1 } else { 3 };
    let worlds = ["crash-before-a", "crash-before-b", "crash-before-c"];
    Enumeration::new(Script::Stages, kill_before).each(every).run(&worlds).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_ends_the_same_whichever_write_goes_wrong() -> TestResult {
    Enumeration::new(Script::Churn, wrong).run(&["wrong-move-a", "wrong-move-b"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_ends_the_same_whichever_write_goes_wrong() -> TestResult {
    Enumeration::new(Script::Stages, wrong).run(&["wrong-stages-a", "wrong-stages-b"]).await?;
    Ok(())
}

/// What happens to each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    /// It is made.
    Birth,
    /// It moves, without stages.
    Churn,
    /// It moves, with a stage.
    Stages,
}

/// A broker of this number dies when the `nth` write is done.
fn kill(_nth: usize, pid: u32) -> Fault {
    Fault::KillAfter(pid)
}

/// A broker of this number dies before the `nth` write.
fn kill_before(_nth: usize, pid: u32) -> Fault {
    Fault::KillBefore(pid)
}

/// The `nth` write goes wrong in one way or another.
fn wrong(nth: usize, _pid: u32) -> Fault {
    let faults = [
        Fault::Answer(409),
        Fault::CutAfter,
        Fault::Answer(503),
        Fault::AnswerAfter(500),
        Fault::CutBefore,
        Fault::Answer(429),
        Fault::AnswerAfter(503),
    ];
    // Another shift each day would find more, and could not be repeated.
    faults[nth % faults.len()]
}

/// The numbers of writes, shared by all who work through them.
struct Enumeration {
    script: Script,
    fault: fn(usize, u32) -> Fault,
    next: AtomicUsize,
    /// One of so many writes is struck.
    every: usize,
    /// Whether a move has gone by without the write that was to be struck.
    over: AtomicBool,
}

impl Enumeration {
    fn new(script: Script, fault: fn(usize, u32) -> Fault) -> Self {
        Self { script, fault, next: AtomicUsize::new(1), every: 1, over: AtomicBool::new(false) }
    }

    /// Strikes the first write, and then each that is so many further on.
    fn each(self, every: usize) -> Self {
        Self { every, ..self }
    }

    async fn run(&self, worlds: &[&'static str]) -> Result<()> {
        let results = try_join_all(worlds.iter().map(|name| self.work(name))).await?;
        let struck: usize = results.iter().sum();
        println!("{:?}: {struck} writes were struck, one of {}", self.script, self.every);
        // A record, what shows it, a copy, a status and a Secret at least.
        ensure!(struck >= 5, "only {struck} writes were struck");
        Ok(())
    }

    /// Takes one number after the other; how many writes were struck.
    async fn work(&self, name: &'static str) -> Result<usize> {
        let mut bench = Bench::new(name, self.script).await?;
        let (undisturbed, writes) = bench.measure().await?;
        let mut struck = 0;
        while !self.over.load(Ordering::Relaxed) {
            let nth = self.next.fetch_add(self.every, Ordering::Relaxed);
            let write = bench.disturbed(nth, self.fault, &undisturbed).await?;
            ensure!(write.is_some() || nth > writes / 2, "a move of {writes} writes went by without its write {nth}");
            match write {
                Some(write) => {
                    println!("{name}: write {nth} was struck: {write}");
                    struck += 1;
                }
                None => self.over.store(true, Ordering::Relaxed),
            }
        }
        bench.finish().await?;
        Ok(struck)
    }
}

/// One world with a broker behind proxies, in which one object after the other is moved.
struct Bench {
    world: World,
    proxies: Proxies,
    broker: Broker,
    script: Script,
    witness: Witness,
    _runner: Runner,
}

impl Bench {
    async fn new(name: &'static str, script: Script) -> Result<Self> {
        let world = World::new(name).await?;
        let (proxies, broker) = world.proxied().await?;
        let witness = world.witness().await?;
        if script == Script::Stages {
            world.configure("stages", &stages()).await?;
        }
        let runner = Runner::start(&world).await?;
        let broker = broker.start().await?;
        Ok(Self { world, proxies, broker, script, witness, _runner: runner })
    }

    /// The end of an undisturbed move, and how many writes it took.
    async fn measure(&mut self) -> Result<(Everything, usize)> {
        // The first of all also finds out about kinds and namespaces.
        self.prepare("first").await?;
        self.begin("first").await?;
        self.settled("first").await;
        self.clear("first").await?;
        self.prepare("undisturbed").await?;
        self.proxies.gate.count();
        self.begin("undisturbed").await?;
        self.settled("undisturbed").await;
        // Nothing tells which write is the last.
        tokio::time::sleep(STILL).await;
        let end = everything(&self.witness.chronicle().await, &self.world, "undisturbed");
        let writes = self.proxies.gate.writes();
        self.proxies.gate.open();
        println!("{}: an undisturbed move takes {} writes:", self.world.pair.name, writes.len());
        for write in &writes {
            println!("    {write}");
        }
        self.clear("undisturbed").await?;
        Ok((end, writes.len()))
    }

    /// Strikes the `nth` write, and waits until all is as it is undisturbed. The write, if it came to it.
    async fn disturbed(
        &mut self,
        nth: usize,
        fault: fn(usize, u32) -> Fault,
        undisturbed: &Everything,
    ) -> Result<Option<String>> {
        let name = format!("struck-{nth:02}");
        self.prepare(&name).await?;
        let pid = self.broker.pid().context("no broker runs")?;
        let fault = fault(nth, pid);
        self.proxies.gate.arm(nth, fault);
        self.begin(&name).await?;
        let struck = self.strike(&name, fault).await?;
        self.settled(&name).await;
        eventually(&format!("{name} to end as undisturbed, struck at {struck:?}"), PATIENCE, || async {
            let end = everything(&self.witness.chronicle().await, &self.world, &name);
            let differences = differences(undisturbed, &end);
            ensure!(differences.is_empty(), "{differences:#?}");
            anyhow::Ok(())
        })
        .await;
        self.witness.chronicle().await.judge(&Terms::default());
        self.clear(&name).await?;
        Ok(struck)
    }

    /// Waits for the blow, or for the end of a move that goes by without it. A dead broker is started again.
    async fn strike(&mut self, name: &str, fault: Fault) -> Result<Option<String>> {
        let (world, gate) = (&self.world, &self.proxies.gate);
        let over = async {
            world.arrived(name, self.target()).await;
            // Nothing tells which write is the last.
            tokio::time::sleep(STILL).await;
        };
        let blow = async {
            while gate.struck().is_none() {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::select! {
            () = blow => {}
            () = over => {}
        }
        let struck = gate.struck().map(|write| write.to_string());
        if struck.is_some() && fault.kills() {
            let broker = &mut self.broker;
            let mut waited = Duration::ZERO;
            while broker.exited()?.is_none() {
                ensure!(waited < PATIENCE, "the broker outlived its end");
                tokio::time::sleep(TICK).await;
                waited += TICK;
            }
            gate.open();
            broker.restart().await?;
        }
        gate.open();
        Ok(struck)
    }

    /// Where the object is in the end.
    fn target(&self) -> &Side {
        if self.script == Script::Birth { self.world.first() } else { self.world.second() }
    }

    /// What comes before the part that is struck.
    async fn prepare(&self, name: &str) -> Result<()> {
        match self.script {
            Script::Birth => Ok(()),
            Script::Churn | Script::Stages => self.world.place(name, self.world.first()).await,
        }
    }

    async fn begin(&self, name: &str) -> Result<()> {
        let begun = match self.script {
            Script::Birth => self.world.pair.consumer.create(name, &self.world.spec(self.world.first())).await,
            Script::Churn | Script::Stages => self.world.send(name, self.world.second()).await,
        };
        begun.map(drop)
    }

    /// Waits until it is over.
    async fn settled(&self, name: &str) {
        let world = &self.world;
        world.arrived(name, self.target()).await;
        if self.script == Script::Stages {
            let migrations = world.migrations();
            let record = world.pair.record_name(name);
            eventually(&format!("the migration of {name} to be over"), PATIENCE, || async {
                let status = migrations.get(&record).await?.status.unwrap_or_default();
                let shown = serde_json::to_value(&status)?;
                ensure!(shown["state"] == "CutoverCompleted", "{shown}");
                let compute: Api<ConfigMap> = Api::namespaced(world.compute.client().await?, world.pair.name);
                let left = compute.list(&ListParams::default().labels(keys::MIGRATION_ID)).await?;
                ensure!(left.items.is_empty(), "compute is not clean: {:?}", left.items);
                anyhow::Ok(())
            })
            .await;
        }
    }

    /// Deletes an object, and waits until nothing is left of it but its finished Migration, which is deleted too.
    async fn clear(&self, name: &str) -> Result<()> {
        self.world.pair.consumer.delete(name).await?;
        self.world.vanished(name).await;
        if self.script == Script::Stages {
            let record = self.world.pair.record_name(name);
            self.world.migrations().delete(&record, &DeleteParams::default()).await?;
            gone(&self.world.migrations(), &record).await;
        }
        Ok(())
    }

    async fn finish(self) -> Result<()> {
        if self.script != Script::Stages {
            self.world.quiet("marker").await?;
        }
        self.world.judge(&self.witness, &self.broker, &Terms::default()).await.map(drop)
    }
}

/// What is there of one object in all clusters but Events, without what differs between two objects that moved alike.
fn everything(chronicle: &Chronicle, world: &World, name: &str) -> Everything {
    let record = world.pair.record_name(name);
    let last = chronicle.last();
    let migration = last.iter().find(|(place, _)| place.kind == "Migration" && place.name == record);
    let id = migration.and_then(|(_, sight)| sight.object.data["status"]["id"].as_str());
    let common = |text: &str| {
        let text = text.replace(&record, "RECORD").replace(name, "NAME");
        id.map_or(text.clone(), |id| text.replace(id, "ID"))
    };
    let mut all = Everything::new();
    for (place, sight) in &last {
        if sight.gone || place.kind == "Event" || !(place.name.contains(name) || place.cluster == COMPUTE) {
            continue;
        }
        let mut value = comparable(&sight.object).unwrap_or_default();
        if place.kind == "Secret" {
            value["data"] = plain(&value["data"]);
        }
        forget_times(&mut value);
        // A name in a name is replaced as well as a name.
        let value = serde_json::from_str(&common(&value.to_string())).unwrap_or(value);
        all.insert(common(&format!("{}/{}/{}", place.cluster, place.kind, place.name)), value);
    }
    all
}

/// A Secret's data as text.
fn plain(data: &Value) -> Value {
    let data: BTreeMap<String, ByteString> = serde_json::from_value(data.clone()).unwrap_or_default();
    data.into_iter().map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes.0).into_owned())).collect()
}

/// Takes out when stages began and ended, and brings conditions into one order: they stand as they first came.
fn forget_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|field, _| !["startedAt", "completedAt"].contains(&field.as_str()));
            if let Some(Value::Array(conditions)) = fields.get_mut("conditions") {
                conditions.sort_by_key(|condition| condition["type"].to_string());
            }
            fields.values_mut().for_each(forget_times);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One stage that is done when somebody writes into its ConfigMap.
fn stages() -> Value {
    json!([{
        "name": "move-data",
        "progress": true,
        "templates": {"job": {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {},
            "data": {"from": "${from.metadata.name}", "done": "no"},
        }},
        "preconditions": ["to.status.status == 'Available'"],
        "successConditions": ["job.data.done == 'yes'"],
    }])
}

/// Does the work of all stages in compute: writes into each ConfigMap of a stage that it is done.
struct Runner(JoinHandle<()>);

impl Runner {
    async fn start(world: &World) -> Result<Self> {
        let maps: Api<ConfigMap> = Api::namespaced(world.compute.client().await?, world.pair.name);
        Ok(Self(tokio::spawn(async move {
            let events = watcher(maps.clone(), watcher::Config::default().labels(keys::MIGRATION_STAGE));
            pin_mut!(events);
            while let Some(event) = events.next().await {
                let Ok(Event::Apply(map) | Event::InitApply(map)) = event else { continue };
                if map.data.as_ref().and_then(|data| data.get("done")).is_some_and(|done| done == "yes") {
                    continue;
                }
                let change = json!({"metadata": {"uid": map.uid()}, "data": {"done": "yes"}});
                // Where it is gone meanwhile, its successor comes as an event of its own.
                let _ = maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await;
            }
        })))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.0.abort();
    }
}
