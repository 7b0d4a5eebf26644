//! Many objects at once, and none for a while.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use resource_broker_api::Assignment;
use resource_broker_harness::{TestResult, eventually, poll};
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

    idles(&pair, &other, shares).await?;
    let state = broker.metric("resource_broker_objects", &[("state", "ready")]).await?;
    let expected = f64::from(u32::try_from(OBJECTS + 2)?);
    assert!((state - expected).abs() < 0.5, "{state} objects are ready by the metrics, not {expected}");
    Ok(())
}

/// Nothing is asked of any cluster for an object that does not change: while another one is made and counted, which takes
/// the broker some ten seconds, only that one costs something.
async fn idles(pair: &Pair, other: &Side, shares: [usize; 2]) -> Result<()> {
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
    let others = meter.requests_beside("marker").await?;
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
