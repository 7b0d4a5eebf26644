//! Many objects at once, and none for a while.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use resource_broker_api::Assignment;
use resource_broker_harness::{Broker, Gate, Proxy, TestResult, eventually, poll};
use serde_json::json;

use crate::meter::{Meter, table};
use crate::operator::Operator;
use crate::pair::{Pair, Side, is_well, recorded, until};

const OBJECTS: usize = 500;
/// How many of them people make at the same time.
const AT_ONCE: usize = 32;
/// How long all of them may take, here where every API server shares the broker's cores.
const LONGEST: Duration = Duration::from_mins(4);

/// How long one object may take that is made after all of them; where making them took longer, as long as that, twice.
const HELD_UP: Duration = Duration::from_mins(1);

#[tokio::test]
async fn five_hundred_objects_at_once_then_nothing() -> TestResult {
    let pair = Pair::new("load").await?;
    let other = pair.other_provider().await?;
    let _operators = [&pair.provider, &other].map(Operator::quick);
    for side in [&pair.provider, &other] {
        side.offer(pair.name, &json!([])).await?;
    }
    let broker = pair.broker(&[&other]).await?.start().await?;

    let started = Instant::now();
    make(&pair).await?;
    let made = started.elapsed();
    let later = Instant::now();
    pair.consumer.create("later", &json!({"size": 1})).await?;
    let ready = async {
        all_well(&pair.consumer.widgets(), OBJECTS + 1).await?;
        anyhow::Ok(started.elapsed())
    };
    let not_held_up = async {
        poll("later to be well", LONGEST, async || {
            let later = pair.consumer.widgets().get("later").await?;
            ensure!(is_well(&later), "{}", later.data["status"]);
            Ok(())
        })
        .await?;
        anyhow::Ok(later.elapsed())
    };
    let (all, one) = tokio::try_join!(ready, not_held_up)?;
    println!("{OBJECTS} objects made in {made:?}, all ready after {all:?}; one made after them was ready in {one:?}");
    assert!(one < HELD_UP.max(made * 2), "an object made after {OBJECTS} others took {one:?}");

    let shares = [copies(&pair.provider.widgets()).await?, copies(&other.widgets()).await?];
    println!("the providers hold {shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), OBJECTS + 1, "each object has one copy");
    assert!(shares.iter().all(|share| *share > OBJECTS * 2 / 5), "an uneven split: {shares:?}");

    idles(&pair, &broker, &other, shares).await?;
    let state = broker.metric("resource_broker_objects", &[("state", "ready")]).await?;
    let expected = f64::from(u32::try_from(OBJECTS + 2)?);
    assert!((state - expected).abs() < 0.5, "{state} objects are ready by the metrics, not {expected}");
    Ok(())
}

/// Nothing is asked of any cluster for an object that does not change: while another one is made and counted, which takes
/// the broker some ten seconds, only that one costs something.
async fn idles(pair: &Pair, broker: &Broker, other: &Side, shares: [usize; 2]) -> Result<()> {
    eventually("all records to be settled", LONGEST, || async {
        let records = pair.records.list(&ListParams::default()).await?;
        let is_settled = |record: &&Assignment| recorded(record, "Ready").is_some_and(|(status, _)| status == "True");
        let settled = records.iter().filter(is_settled).count();
        ensure!(settled == OBJECTS + 1, "{settled} are");
        Ok(())
    })
    .await;
    for (side, share) in [&pair.provider, other].into_iter().zip(shares) {
        until(&side.offers(), pair.name, "all objects to be counted", |it| {
            it.status.as_ref().is_some_and(|status| status.objects == i64::try_from(share).ok())
        })
        .await;
    }
    let clusters = [&pair.coordination, &pair.consumer.cluster, &pair.provider.cluster, &other.cluster];
    let meter = Meter::start(pair.name, clusters).await?;
    pair.consumer.create("marker", &json!({"size": 1})).await?;
    until(&pair.consumer.widgets(), "marker", "all to be well", is_well).await;
    eventually("the marker to be counted", LONGEST, || async {
        let mut counted = 0;
        for side in [&pair.provider, other] {
            let status = side.offers().get(pair.name).await?.status;
            counted += status.and_then(|status| status.objects).unwrap_or_default();
        }
        ensure!(usize::try_from(counted) == Ok(OBJECTS + 2), "{counted} are");
        Ok(())
    })
    .await;
    let mut others = meter.requests_beside("marker").await?;
    // An API server ends a watch that did not keep up with the burst, and then all is listed once more.
    if broker.metric("resource_broker_watch_restarts_total", &[]).await? > 0.5 {
        others.retain(|request| request.event.verb != "list");
    }
    ensure!(others.is_empty(), "an idle broker asked:\n{}", table(&others));
    let made = meter.creations().await?;
    ensure!(made.len() <= 2, "more was made than the marker's record and Secret:\n{}", table(&made));
    Ok(())
}

async fn make(pair: &Pair) -> Result<()> {
    let names: Vec<String> = (0..OBJECTS).map(|number| format!("order-{number:03}")).collect();
    let spec = json!({"size": 1, "engine": "any"});
    let all = stream::iter(&names).map(|name| pair.consumer.create(name, &spec));
    all.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await
}

/// Waits until so many objects are ready, by a watch: listing them all the time would be a load of its own.
async fn all_well(orders: &Api<DynamicObject>, count: usize) -> Result<()> {
    let mut ready = BTreeSet::new();
    let events = watcher(orders.clone(), watcher::Config::default()).default_backoff().applied_objects();
    pin_mut!(events);
    let watching = async {
        while ready.len() < count {
            match events.next().await {
                Some(Ok(object)) if is_well(&object) => drop(ready.insert(object.name_any())),
                Some(_) => {}
                None => break,
            }
        }
    };
    let ended = tokio::time::timeout(LONGEST, watching).await;
    ensure!(ended.is_ok() && ready.len() == count, "{} of {count} objects are ready after {LONGEST:?}", ready.len());
    Ok(())
}

async fn copies(api: &Api<DynamicObject>) -> Result<usize> {
    Ok(api.list_metadata(&ListParams::default()).await?.items.len())
}

/// How long a slow provider takes for each request, and how many objects wait for it: more than passes may be under way for
/// one consumer.
const SLOWLY: Duration = Duration::from_secs(5);
const WAITING: usize = 800;
/// How many objects of the other provider are made one after the other.
const MEASURED: usize = 25;

#[tokio::test]
async fn a_slow_provider_delays_nobody_else() -> TestResult {
    let pair = Pair::new("slow").await?;
    let slow = pair.other_provider().await?;
    for (side, engine) in [(&pair.provider, "quick"), (&slow, "slow")] {
        side.offer(pair.name, &json!([{"key": "engine", "valueIn": [engine]}])).await?;
    }
    let before = Proxy::start(&slow.cluster, pair.name, &["system:masters"], &Gate::new(&[])).await?;
    let broker = pair.broker(&[]).await?.provider(&slow.id.name, before.kubeconfig()).start().await?;
    pair.consumer.create("first", &json!({"engine": "slow"})).await?;
    until(&slow.widgets(), &pair.copy_name("first"), "the copy to be made", |_| true).await;

    let alone = placing(&pair, "alone").await?;
    before.slow(SLOWLY);
    let spec = json!({"engine": "slow"});
    let names: Vec<String> = (0..WAITING).map(|number| format!("slow-{number:03}")).collect();
    let all = stream::iter(&names).map(|name| pair.consumer.create(name, &spec));
    all.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
    let beside = placing(&pair, "beside").await?;
    let waiting = WAITING + 1 - copies(&slow.widgets()).await?;
    println!("alone: {alone:?}; with {waiting} objects at a provider that takes {SLOWLY:?}: {beside:?}");
    assert!(waiting > WAITING / 4, "only {waiting} objects wait for the slow provider");
    let bound = |alone: Duration| Duration::from_secs(1).max(alone * 3);
    assert!(beside[1] < bound(alone[1]), "half of them took {:?} and more, beside {:?} alone", beside[1], alone[1]);
    // What comes while nobody knows yet how slow it is, and while all these are made, is measured where no load is: `worker/lanes.rs`.
    assert!(beside[2] < bound(alone[2]), "a tenth took {:?} and more, beside {:?} alone", beside[2], alone[2]);
    drop(broker);
    Ok(())
}

/// How long it takes from an object's creation to its copy: the shortest, half of them, nine of ten.
async fn placing(pair: &Pair, prefix: &str) -> Result<[Duration; 3]> {
    let mut times = Vec::new();
    for number in 0..MEASURED {
        let name = format!("{prefix}-{number:02}");
        let copy = pair.copy_name(&name);
        let started = Instant::now();
        pair.consumer.create(&name, &json!({"engine": "quick"})).await?;
        let widgets = pair.provider.widgets();
        poll(&format!("the copy of {name}"), LONGEST, async || {
            ensure!(widgets.get_opt(&copy).await?.is_some(), "it is not there");
            Ok(())
        })
        .await?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok([times[0], times[MEASURED / 2], times[MEASURED * 9 / 10]])
}

/// Offers with long lists, and objects that none of them takes.
const LISTS: usize = 6;
const REFUSED: usize = 200;
/// What the broker may have used at most by then, in KiB. A copy of the lists for each object would be three times that.
const MOST_KIB: u64 = 160 << 10;

#[tokio::test]
async fn long_filters_cost_neither_memory_nor_a_new_look_at_all_of_them() -> TestResult {
    let pair = Pair::new("lists").await?;
    let list = |number: usize, count: usize| {
        let values = (0..count).map(|value| json!(format!("value-{number:02}-{value:08}"))).collect::<Vec<_>>();
        json!([{"key": "engine", "valueIn": values}])
    };
    for number in 0..LISTS {
        pair.provider.offer(&format!("{}-{number}", pair.name), &list(number, 11_000)).await?;
    }
    let too_long = format!("{}-too-long", pair.name);
    pair.provider.offer(&too_long, &list(99, 24_000)).await?;
    let broker = pair.broker(&[]).await?.start().await?;
    // Brokers of other tests, which do not watch the kind, see the offer as well.
    until(&pair.provider.offers(), &too_long, "the offer to be refused", |offer| {
        let conditions = offer.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|valid| valid.status == "False" && valid.reason == "InvalidFilters")
    })
    .await;

    let names: Vec<String> = (0..REFUSED).map(|number| format!("order-{number:03}")).collect();
    let spec = json!({"engine": "none-of-them"});
    let all = stream::iter(&names).map(|name| pair.consumer.create(name, &spec));
    all.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
    let pid = broker.pid().unwrap_or_default();
    all_refused(&pair, "is not one of value-00").await?;
    let (first, peak) = (processor_seconds(pid)?, peak_kib(pid)?);
    pair.provider.offer(&format!("{}-0", pair.name), &list(77, 11_000)).await?;
    all_refused(&pair, "is not one of value-77").await?;
    let second = processor_seconds(pid)? - first;
    println!(
        "{REFUSED} objects and {LISTS} long lists: {first:.1} s, at most {peak} KiB; one changed list: {second:.1} s"
    );
    assert!(peak < MOST_KIB, "{peak} KiB were used");
    assert!(second < first / 2.0, "one changed list took {second} s, all of them {first} s");
    Ok(())
}

/// Waits until each object has been told of this.
async fn all_refused(pair: &Pair, of: &str) -> Result<()> {
    poll("all objects to be refused", LONGEST, async || {
        let objects = pair.consumer.widgets().list(&ListParams::default()).await?.items;
        let told = objects.iter().filter(|object| object.data["status"].to_string().contains(of)).count();
        ensure!(told == REFUSED, "{told} are; {}", objects[0].data["status"]);
        Ok(())
    })
    .await
}

/// The processor time of a process so far, in seconds.
fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime, in hundredths of a second.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// The most memory that a process has had.
fn peak_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}
