//! What somebody who runs brokers sees and does: health, metrics, an orderly stop, and a second one that stands by.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::api::{Api, DynamicObject};
use resource_broker_harness::{AuditEvent, Broker, Planes, TestResult, eventually};
use serde_json::json;

use crate::operator::Operator;
use crate::pair::{PATIENCE, Pair, gone, is_well, until};

#[tokio::test]
async fn health_and_readiness_name_clusters_and_caches() -> TestResult {
    let pair = Pair::new("operations-health").await?;
    let broker = pair.start().await?;
    pair.placed("order", &json!({})).await?;
    assert_eq!(broker.health("/healthz").await?, (200, "ok\n".to_owned()));
    let (code, brief) = broker.health("/readyz").await?;
    assert_eq!((code, brief.as_str()), (200, "ready\n"));
    let kind = pair.kind.watch_kind();
    let lines = [
        "[+]cluster coordination#coord ok".to_owned(),
        "[+]cluster consumer#consumer ok".to_owned(),
        "[+]cluster provider#provider ok".to_owned(),
        "[+]cache coordination#coord Assignments ok".to_owned(),
        format!("[+]cache consumer#consumer {kind} ok"),
        format!("[+]cache provider#provider {kind} ok"),
        "[+]cache provider#provider AcceptAPIs ok".to_owned(),
    ];
    eventually("every cluster and cache to be named", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        let missing: Vec<&String> = lines.iter().filter(|line| !page.lines().any(|it| it == *line)).collect();
        ensure!(missing.is_empty(), "{missing:?} are not in\n{page}");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn every_family_of_metrics_moves() -> TestResult {
    let pair = Pair::new("operations-metrics").await?;
    // Somebody asks for a kind that is nowhere: its watches start again and again.
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([{"key": "engine", "valueIn": ["here"]}])).await?;
    let broker = pair.broker(&[]).await?.watch_kind("Unheard.v1.of.test.example.com").start().await?;
    pair.consumer.create("order", &json!({"engine": "here"})).await?;
    pair.consumer.create("homeless", &json!({"engine": "elsewhere"})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;

    let at_least_one: [(&str, &[(&str, &str)]); 14] = [
        ("resource_broker_queue_wait_seconds_count", &[]),
        ("resource_broker_passes_total", &[("outcome", "ok")]),
        ("resource_broker_pass_duration_seconds_count", &[]),
        ("resource_broker_requests_total", &[("cluster", "provider#provider"), ("verb", "apply"), ("class", "2xx")]),
        ("resource_broker_requests_total", &[("cluster", "coordination#coord"), ("verb", "create")]),
        ("resource_broker_request_duration_seconds_count", &[("cluster", "consumer#consumer")]),
        ("resource_broker_sandbox_calls_total", &[("role", "accept-filter"), ("outcome", "ok")]),
        ("resource_broker_sandbox_calls_total", &[("role", "status-transformer"), ("outcome", "ok")]),
        ("resource_broker_sandbox_call_duration_seconds_count", &[("role", "accept-filter")]),
        ("resource_broker_watch_restarts_total", &[("cluster", "provider#provider")]),
        ("resource_broker_objects", &[("state", "ready")]),
        ("resource_broker_objects", &[("state", "unplaced")]),
        ("resource_broker_cluster_up", &[("cluster", "consumer#consumer")]),
        ("resource_broker_leader", &[]),
    ];
    eventually("every family to have moved", PATIENCE, || async {
        for (name, labels) in at_least_one {
            ensure!(broker.metric(name, labels).await? >= 1.0, "{name} {labels:?} has not");
        }
        let page = broker.metrics().await?;
        for family in ["resource_broker_queue_depth", "resource_broker_kubeconfig_problems"] {
            ensure!(page.contains(&format!("\n{family} ")), "{family} is not there");
        }
        Ok(())
    })
    .await;

    let passes = broker.metric("resource_broker_passes_total", &[]).await?;
    pair.consumer.delete("order").await?;
    gone(&pair.consumer.widgets(), "order").await;
    eventually("the metrics to follow", PATIENCE, || async {
        let ready = broker.metric("resource_broker_objects", &[("state", "ready")]).await?;
        let now = broker.metric("resource_broker_passes_total", &[]).await?;
        ensure!(ready < 0.5 && now > passes, "{ready} objects are ready, after {now} passes");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn it_stops_in_time_when_told_and_a_restart_finishes_the_work() -> TestResult {
    const OBJECTS: usize = 60;
    let pair = Pair::new("operations-stop").await?;
    let _operator = Operator::careful(&pair.provider);
    let mut broker = pair.start().await?;
    pair.placed("first", &json!({})).await?;
    for number in 0..OBJECTS {
        pair.consumer.create(&format!("order-{number}"), &json!({"size": number})).await?;
    }
    pair.consumer.delete("first").await?;

    let told = Instant::now();
    let status = broker.terminate().await?;
    let took = told.elapsed();
    println!("stopped after {took:?}");
    assert!(status.success(), "it ended with {status}");
    // It promises five seconds; the machine may be busy with other tests.
    assert!(took < Duration::from_secs(12), "it took {took:?}");

    broker.restart().await?;
    gone(&pair.consumer.widgets(), "first").await;
    for number in 0..OBJECTS {
        until(&pair.consumer.widgets(), &format!("order-{number}"), "all to be well", is_well).await;
    }
    Ok(())
}

#[tokio::test]
async fn of_two_brokers_one_writes_and_the_other_takes_over() -> TestResult {
    let pair = Pair::new("operations-leader").await?;
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([])).await?;
    let mut first = candidate(&pair, "leader-one").await?;
    leads(&first).await;
    let mut second = candidate(&pair, "leader-two").await?;
    make(&pair, "before").await?;
    assert_eq!(writes(&pair, "leader-two").await?, Vec::<String>::new(), "the one that stands by wrote");

    // In order: at once.
    let told = Instant::now();
    assert!(first.terminate().await?.success());
    leads(&second).await;
    let handed_over = told.elapsed();
    println!("handed over in {handed_over:?}");
    assert!(handed_over < Duration::from_secs(14), "the Lease was not released: it took {handed_over:?}");
    make(&pair, "after-stop").await?;

    // By a crash: when the Lease has run out.
    let mut third = candidate(&pair, "leader-three").await?;
    second.kill9()?;
    leads(&third).await;
    make(&pair, "after-crash").await?;
    assert!(third.exited()?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_leader_that_slept_through_its_lease_writes_nothing() -> TestResult {
    let pair = Pair::new("operations-paused").await?;
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([])).await?;
    let mut sleeper = candidate(&pair, "sleeper").await?;
    leads(&sleeper).await;
    make(&pair, "before").await?;
    let successor = candidate(&pair, "successor").await?;

    sleeper.pause()?;
    leads(&successor).await;
    make(&pair, "while-asleep").await?;
    let positions = [&pair.coordination, &pair.consumer.cluster, &pair.provider.cluster];
    let mut marks = Vec::new();
    for cluster in positions {
        marks.push(cluster.audit_position().await?);
    }
    // When it wakes up, it finds work that it thinks is its own.
    pair.consumer.edit("before", &json!({"spec": {"size": 7}})).await?;
    until(&pair.provider.widgets(), &pair.copy_name("before"), "the successor's work", |it| {
        it.data["spec"]["size"] == 7
    })
    .await;
    sleeper.resume()?;
    pair.consumer.edit("before", &json!({"spec": {"size": 8}})).await?;
    let ended = eventually("the former leader to end", PATIENCE, || std::future::ready(sleeper.exited().transpose()));
    let status = ended.await?;
    assert!(!status.success(), "it ended as if all were well");
    until(&pair.consumer.widgets(), "before", "all to be well", |it| {
        is_well(it) && it.data["status"]["made"]["size"] == 8
    })
    .await;

    for (cluster, mark) in positions.into_iter().zip(marks) {
        let wrote = |event: &AuditEvent| event.user == "sleeper" && event.is_write() && event.code < 300;
        let writes = cluster.audit_since(mark, wrote).await?;
        assert!(writes.is_empty(), "in {} it wrote {writes:#?}", cluster.name());
    }
    Ok(())
}

/// A broker that stands for election, with a user and a log of its own.
async fn candidate(pair: &Pair, user: &str) -> Result<Broker> {
    let admin = &["system:masters"];
    let builder = Broker::builder(Planes::shared().await, &format!("{}-{user}", pair.name))
        .coordination(&pair.coordination.kubeconfig_as(user, admin)?)
        .consumer(&pair.consumer.id.name, &pair.consumer.cluster.kubeconfig_as(user, admin)?)
        .provider(&pair.provider.id.name, &pair.provider.cluster.kubeconfig_as(user, admin)?)
        .namespace(pair.name)
        .watch_kind(&pair.kind.watch_kind())
        .arg("leader-elect", "true");
    builder.start().await
}

async fn leads(broker: &Broker) {
    eventually("the broker to lead", PATIENCE, || async {
        let leads = broker.metric("resource_broker_leader", &[]).await?;
        ensure!(leads > 0.5, "it does not");
        Ok(())
    })
    .await;
}

async fn make(pair: &Pair, name: &str) -> Result<DynamicObject> {
    pair.consumer.create(name, &json!({"size": 1})).await?;
    let orders: Api<DynamicObject> = pair.consumer.widgets();
    Ok(until(&orders, name, "all to be well", is_well).await)
}

/// What a broker wrote anywhere but into the Lease.
async fn writes(pair: &Pair, user: &str) -> Result<Vec<String>> {
    let mut writes = Vec::new();
    for cluster in [&pair.coordination, &pair.consumer.cluster, &pair.provider.cluster] {
        let wrote = |event: &AuditEvent| event.user == user && event.is_write() && event.resource != "leases";
        let events = cluster.audit(wrote).await?;
        writes.extend(events.iter().map(|event| format!("{} {}", event.verb, event.request_uri)));
    }
    Ok(writes)
}
