//! Clusters that come, go, change their credentials or do not answer, and kinds that come late: each is its own matter.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{CustomResourceExt as _, ResourceExt as _};
use resource_broker_api::AcceptApi;
use resource_broker_api::keys;
use resource_broker_api::names::ClusterName;
use resource_broker_harness::{AuditEvent, Broker, BrokerBuilder, Cluster, Planes, TestResult, eventually};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::meter::{Meter, table};
use crate::operator::{Operator, secret_of};
use crate::pair::{PATIENCE, Pair, Side, condition, fails, gone, is, is_well, message, until};

#[tokio::test]
async fn a_provider_appears_disappears_and_returns() -> TestResult {
    let mut pair = Pair::new("clusters-provider").await?;
    let folder = Folder::new()?;
    pair.provider.id = folder.name(&pair.provider);
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([])).await?;
    let consumer = pair.consumer.cluster.kubeconfig_as(pair.name, ADMIN)?;
    let broker = lone_broker(&pair).await?.consumer("consumer", &consumer);
    let broker = broker.arg("provider-kubeconfig-dir", &folder.path()).start().await?;
    let orders = pair.consumer.widgets();
    pair.consumer.create("order", &json!({"size": 1})).await?;
    until(&orders, "order", "the lack of offers", |it| fails(it, "Accepted", "NoOffers")).await;

    folder.put(&pair.provider, pair.name)?;
    let order = until(&orders, "order", "all to be well", is_well).await;
    assert_eq!(order.annotations().get(keys::PROVIDER_CLUSTER), Some(&pair.provider.id.to_string()));
    let copy = pair.copy("order").await;
    let secret = secret_of("order");
    until(&pair.consumer.api::<Secret>(), &secret, "the Secret", |_| true).await;

    let sides = [&pair.consumer, &pair.provider];
    let marks = [sides[0].cluster.audit_position().await?, sides[1].cluster.audit_position().await?];
    folder.remove(&pair.provider)?;
    until(&orders, "order", "the loss", |it| fails(it, "Accepted", "ProviderGone")).await;
    unnamed(&broker, &pair.provider.id).await;
    let changed = pair.consumer.edit("order", &json!({"spec": {"size": 2}})).await?;
    until(&orders, "order", "the change to be taken note of", |it| {
        it.metadata.generation == changed.metadata.generation && fails(it, "Accepted", "ProviderGone")
    })
    .await;
    pair.consumer.api::<Secret>().get(&secret).await?;
    assert_eq!(pair.copy("order").await.data["spec"]["size"], 1);

    folder.put(&pair.provider, pair.name)?;
    until(&orders, "order", "all to be well", |it| is_well(it) && it.data["status"]["made"]["size"] == 2).await;
    assert_eq!(pair.copy("order").await.uid(), copy.uid(), "the copy was made anew");
    for (side, mark) in sides.into_iter().zip(marks) {
        let deletions = pair.writes(&side.cluster, mark, |event| event.verb == "delete").await?;
        assert_eq!(deletions, Vec::<String>::new(), "in {}", side.id);
    }
    Ok(())
}

#[tokio::test]
async fn a_consumer_appears_disappears_and_returns() -> TestResult {
    let mut pair = Pair::new("clusters-consumer").await?;
    let folder = Folder::new()?;
    pair.consumer.id = folder.name(&pair.consumer);
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([])).await?;
    let provider = pair.provider.cluster.kubeconfig_as(pair.name, ADMIN)?;
    let neighbour = pair.other_consumer().await?;
    let neighbours = neighbour.cluster.kubeconfig_as(pair.name, ADMIN)?;
    let broker = lone_broker(&pair).await?.provider("provider", &provider).consumer(&neighbour.id.name, &neighbours);
    let broker = broker.arg("consumer-kubeconfig-dir", &folder.path()).start().await?;
    pair.consumer.create("order", &json!({"size": 1})).await?;
    folder.put(&pair.consumer, pair.name)?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    let copy = pair.copy("order").await;

    let mark = pair.provider.cluster.audit_position().await?;
    folder.remove(&pair.consumer)?;
    unnamed(&broker, &pair.consumer.id).await;
    pair.consumer.delete("order").await?;
    // Whatever moves the broker to look at the copy again must not make it think that nobody wants it.
    let note = json!({"metadata": {"annotations": {"test.example.com/note": "seen"}}});
    pair.provider.edit(&copy.name_any(), &note).await?;
    neighbour.create("marker", &json!({"size": 1})).await?;
    until(&neighbour.widgets(), "marker", "all to be well", is_well).await;
    let there = pair.copy("order").await;
    assert_eq!((there.uid(), there.metadata.deletion_timestamp), (copy.uid(), None));
    assert_eq!(pair.writes(&pair.provider.cluster, mark, |event| event.verb == "delete").await?, Vec::<String>::new());

    folder.put(&pair.consumer, pair.name)?;
    gone(&pair.consumer.widgets(), "order").await;
    gone(&pair.provider.widgets(), &copy.name_any()).await;
    Ok(())
}

#[tokio::test]
async fn rotated_credentials_lose_nothing_and_list_nothing_again() -> TestResult {
    let mut pair = Pair::new("clusters-rotation").await?;
    let folder = Folder::new()?;
    for side in [&mut pair.consumer, &mut pair.provider] {
        side.id = folder.name(side);
        folder.put(side, "rotation-old")?;
    }
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([])).await?;
    // Files of both roles may be in one folder, if each is given by its path.
    let broker = lone_broker(&pair).await?;
    let broker = broker.arg("consumer-kubeconfig", &folder.file(&pair.consumer));
    let _broker = broker.arg("provider-kubeconfig", &folder.file(&pair.provider)).start().await?;
    pair.consumer.create("order", &json!({"size": 1})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    let copy = pair.copy("order").await;

    let sides = [&pair.consumer, &pair.provider];
    for side in sides {
        folder.put(side, "rotation-new")?;
    }
    for side in sides {
        eventually("a watch with the new credentials", PATIENCE, || async {
            let watches = side
                .cluster
                .audit(|event| event.user == "rotation-new" && event.verb == "watch" && event.resource == "widgets")
                .await?;
            ensure!(!watches.is_empty(), "there is none in {}", side.id);
            Ok(())
        })
        .await;
    }
    let marks = [sides[0].cluster.audit_position().await?, sides[1].cluster.audit_position().await?];
    pair.consumer.edit("order", &json!({"spec": {"size": 2}})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", |it| {
        is_well(it) && it.data["status"]["made"]["size"] == 2
    })
    .await;
    assert_eq!(pair.copy("order").await.uid(), copy.uid());
    for (side, mark) in sides.into_iter().zip(marks) {
        let of = |user: &'static str| move |event: &AuditEvent| event.user == user && event.is_write();
        assert!(side.cluster.audit_since(mark, of("rotation-old")).await?.is_empty(), "the old credentials are in use");
        assert!(!side.cluster.audit_since(mark, of("rotation-new")).await?.is_empty(), "who wrote in {}?", side.id);
        // One object is asked for, to see that the cluster has not gone back.
        let is_look = |event: &AuditEvent| event.request_uri.ends_with("limit=1");
        let lists = |event: &AuditEvent| event.user == "rotation-new" && event.verb == "list" && !is_look(event);
        let lists = side.cluster.audit(lists).await?;
        assert!(lists.is_empty(), "{} was listed again: {lists:#?}", side.id);
    }
    Ok(())
}

#[tokio::test]
async fn a_plain_path_names_its_cluster_after_path_and_context() -> TestResult {
    let mut pair = Pair::new("clusters-path").await?;
    let mut flags = Vec::new();
    for side in [&mut pair.consumer, &mut pair.provider] {
        let path = side.cluster.kubeconfig_as(pair.name, ADMIN)?.display().to_string();
        side.id = ClusterName::new(side.id.role, format!("{path}+{}", side.cluster.name()));
        flags.push((format!("{}-kubeconfig", side.id.role), path));
    }
    pair.provider.offer(pair.name, &json!([])).await?;
    let broker = flags.iter().fold(lone_broker(&pair).await?, |broker, (flag, path)| broker.arg(flag, path));
    let broker = broker.start().await?;
    let copy = pair.placed("order", &json!({"size": 1})).await?;
    assert_eq!(copy.annotations().get(keys::CONSUMER_CLUSTER), Some(&pair.consumer.id.to_string()));
    let provider = pair.provider.id.to_string();
    until(&pair.consumer.widgets(), "order", "its provider's name", |it| {
        it.annotations().get(keys::PROVIDER_CLUSTER) == Some(&provider)
    })
    .await;
    assert!(broker.readyz_verbose().await?.contains(&format!("[+]cluster {provider} ok")));
    Ok(())
}

#[tokio::test]
async fn a_kind_may_come_late_at_either_side() -> TestResult {
    let pair = Pair::bare("clusters-late-kind", "consumer", "provider").await?;
    let _operator = Operator::quick(&pair.provider);
    let broker = pair.start().await?;
    until(&pair.provider.offers(), pair.name, "the offer to say so", |it| valid(it) == Some(("False", "NotServed")))
        .await;
    let page = broker.readyz_verbose().await?;
    let missing = format!("[-]cache consumer#consumer {}", pair.kind.watch_kind());
    assert!(page.contains(&missing) && page.ends_with("\nready\n"), "{page}");

    pair.kind.install(&pair.consumer.cluster).await?;
    pair.consumer.create("order", &json!({"size": 1})).await?;
    let order = until(&pair.consumer.widgets(), "order", "the refusal", |it| {
        condition(it, "Accepted")["reason"] == "ProviderUnavailable"
    })
    .await;
    assert!(message(&order, "Accepted").contains("provider#provider"), "{}", message(&order, "Accepted"));

    pair.kind.install(&pair.provider.cluster).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    until(&pair.provider.offers(), pair.name, "the offer to say so", |it| valid(it) == Some(("True", "Valid"))).await;
    Ok(())
}

#[tokio::test]
async fn a_provider_without_the_kind_of_offers_holds_nothing_up() -> TestResult {
    let (_alone, pair, other) = beside_frail("clusters-no-offers").await?;
    forget_offers(&pair.provider).await?;
    let _operators = [&pair.provider, &other].map(Operator::quick);
    other.offer(pair.name, &json!([{"key": "engine", "valueIn": ["other"]}])).await?;
    let broker = pair.broker(&[&other]).await?.start().await?;
    pair.consumer.create("order", &json!({"engine": "other"})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    pair.consumer.create("waiting", &json!({"engine": "frail"})).await?;
    until(&pair.consumer.widgets(), "waiting", "the refusal", |it| fails(it, "Accepted", "NoMatchingOffer")).await;
    let page = broker.readyz_verbose().await?;
    assert!(page.contains("[-]cache provider#frail AcceptAPIs"), "{page}");

    pair.provider.cluster.install_crd(&AcceptApi::crd()).await?;
    pair.provider.offer(pair.name, &json!([{"key": "engine", "valueIn": ["frail"]}])).await?;
    until(&pair.consumer.widgets(), "waiting", "all to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_down_at_the_start_joins_later() -> TestResult {
    let (_alone, pair, other) = beside_frail("clusters-down").await?;
    let _operators = [&pair.provider, &other].map(Operator::quick);
    offer_by_name(&pair, &other).await?;
    pair.provider.cluster.stop()?;
    let started = Instant::now();
    let broker = pair.broker(&[&other]).await?.start().await?;
    pair.consumer.create("order", &json!({"engine": other.id.name})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    println!("with a provider down, the first object was ready {:?} after the start", started.elapsed());
    pair.consumer.create("waiting", &json!({"engine": "frail"})).await?;
    until(&pair.consumer.widgets(), "waiting", "the refusal", |it| fails(it, "Accepted", "NoMatchingOffer")).await;
    seen_down(&broker).await;

    pair.provider.cluster.start().await?;
    until(&pair.consumer.widgets(), "waiting", "all to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn a_provider_that_stops_holds_up_its_own_objects_alone() -> TestResult {
    outage("clusters-stopped", Outage::Stopped).await
}

#[tokio::test]
async fn a_provider_that_freezes_holds_up_its_own_objects_alone() -> TestResult {
    outage("clusters-frozen", Outage::Frozen).await
}

#[tokio::test]
async fn a_provider_that_restarts_costs_no_writes() -> TestResult {
    let (_alone, pair, other) = beside_frail("clusters-restarted").await?;
    let _operators = [&pair.provider, &other].map(Operator::quick);
    offer_by_name(&pair, &other).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    for name in ["first", "second"] {
        pair.consumer.create(name, &json!({"size": 1, "engine": "frail"})).await?;
        until(&pair.consumer.widgets(), name, "all to be well", is_well).await;
    }
    until(&pair.provider.offers(), pair.name, "both to be counted", |it| {
        it.status.as_ref().is_some_and(|status| status.objects == Some(2))
    })
    .await;
    let meter = Meter::start(pair.name, [&pair.coordination, &pair.consumer.cluster, &pair.provider.cluster]).await?;
    pair.provider.cluster.stop()?;
    pair.provider.cluster.start().await?;
    pair.consumer.create("marker", &json!({"size": 1, "engine": "frail"})).await?;
    until(&pair.consumer.widgets(), "marker", "all to be well", is_well).await;
    let mut writes = meter.requests_beside("marker").await?;
    writes.retain(|request| request.event.is_write());
    assert!(writes.is_empty(), "the broker wrote:\n{}", table(&writes));
    Ok(())
}

/// How an API server fails.
#[derive(Clone, Copy)]
enum Outage {
    /// Connections are refused.
    Stopped,
    /// Connections stay open and nothing answers.
    Frozen,
}

async fn outage(name: &'static str, how: Outage) -> TestResult {
    let (_alone, pair, other) = beside_frail(name).await?;
    let _operators = [&pair.provider, &other].map(Operator::quick);
    offer_by_name(&pair, &other).await?;
    let broker = pair.broker(&[&other]).await?.start().await?;
    for order in ["changed", "deleted"] {
        pair.consumer.create(order, &json!({"size": 1, "engine": "frail"})).await?;
        until(&pair.consumer.widgets(), order, "all to be well", is_well).await;
    }
    let before = worst_time(&pair, &other, "before").await?;

    let frail = &pair.provider.cluster;
    match how {
        Outage::Stopped => frail.stop()?,
        Outage::Frozen => frail.pause()?,
    }
    pair.consumer.edit("changed", &json!({"spec": {"size": 2}})).await?;
    pair.consumer.delete("deleted").await?;
    let during = worst_time(&pair, &other, "during").await?;
    println!(
        "{name}: an object of the other provider was ready in {before:?} at most, and in {during:?} during the outage"
    );
    // Whoever waits for a request to a frozen server waits for ten seconds, besides what it takes anyhow.
    assert!(during < before + Duration::from_secs(8), "an object of another provider took {during:?}, not {before:?}");
    for order in ["changed", "deleted"] {
        let told =
            until(&pair.consumer.widgets(), order, "the outage to be told", |it| is(it, "Synced", "False")).await;
        assert!(message(&told, "Synced").contains("provider#frail"), "{}", message(&told, "Synced"));
    }
    seen_down(&broker).await;

    match how {
        Outage::Stopped => frail.start().await?,
        Outage::Frozen => frail.resume()?,
    }
    until(&pair.consumer.widgets(), "changed", "all to be well", |it| {
        is_well(it) && it.data["status"]["made"]["size"] == 2
    })
    .await;
    gone(&pair.consumer.widgets(), "deleted").await;
    gone(&pair.provider.widgets(), &pair.copy_name("deleted")).await;
    gone(&pair.records, &pair.record_name("deleted")).await;
    Ok(())
}

/// The longest that one of some objects of a provider takes to be ready.
async fn worst_time(pair: &Pair, side: &Side, when: &str) -> Result<Duration> {
    let mut worst = Duration::ZERO;
    for number in 0..10 {
        let name = format!("{when}-{number}");
        let started = Instant::now();
        pair.consumer.create(&name, &json!({"size": 1, "engine": side.id.name})).await?;
        until(&pair.consumer.widgets(), &name, "all to be well", is_well).await;
        worst = worst.max(started.elapsed());
    }
    Ok(worst)
}

/// Groups of an administrator.
pub(crate) const ADMIN: &[&str] = &["system:masters"];

/// A provider that may be stopped, and another one; no other test has the first meanwhile.
async fn beside_frail(name: &'static str) -> Result<(MutexGuard<'static, ()>, Pair, Side)> {
    static FRAIL: Mutex<()> = Mutex::const_new(());
    let alone = FRAIL.lock().await;
    let cluster: Arc<Cluster> = Planes::shared().await.cluster("frail").await;
    // A test that failed may have left it as it was.
    cluster.start().await?;
    cluster.resume()?;
    let pair = Pair::bare(name, "consumer", "frail").await?;
    for side in [&pair.consumer, &pair.provider] {
        pair.kind.install(&side.cluster).await?;
    }
    let other = pair.other_provider().await?;
    Ok((alone, pair, other))
}

/// Each provider offers to take the objects whose `engine` is its name.
async fn offer_by_name(pair: &Pair, other: &Side) -> Result<()> {
    for side in [&pair.provider, other] {
        side.offer(pair.name, &json!([{"key": "engine", "valueIn": [side.id.name]}])).await?;
    }
    Ok(())
}

/// Takes the kind of offers from a provider, with all that other tests left there.
async fn forget_offers(side: &Side) -> Result<()> {
    let all = Api::<AcceptApi>::all(side.client.clone());
    for offer in all.list(&ListParams::default()).await? {
        let bare = json!({"metadata": {"finalizers": null}});
        side.offers().patch(&offer.name_any(), &PatchParams::default(), &Patch::Merge(&bare)).await?;
    }
    let definitions = Api::<CustomResourceDefinition>::all(side.client.clone());
    let name = AcceptApi::crd().name_any();
    definitions.delete(&name, &DeleteParams::default()).await?;
    gone(&definitions, &name).await;
    Ok(())
}

/// A broker that knows the coordination cluster alone so far.
pub(crate) async fn lone_broker(pair: &Pair) -> Result<BrokerBuilder> {
    let broker = Broker::builder(Planes::shared().await, pair.name);
    let coordination = pair.coordination.kubeconfig_as(pair.name, ADMIN)?;
    Ok(broker.coordination(&coordination).namespace(pair.name).watch_kind(&pair.kind.watch_kind()))
}

/// Waits until the broker does not name a cluster any more.
async fn unnamed(broker: &Broker, cluster: &ClusterName) {
    eventually(&format!("{cluster} to be detached"), PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        ensure!(!page.contains(&cluster.to_string()), "{page}");
        Ok(())
    })
    .await;
}

/// Waits until the broker says that one provider does not answer, and is ready all the same.
async fn seen_down(broker: &Broker) {
    eventually("the outage to be shown", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        let shown = page.contains("[-]cluster provider#frail: no answer since") && page.ends_with("\nready\n");
        ensure!(shown, "{page}");
        Ok(())
    })
    .await;
}

/// Status and reason of an offer's condition.
fn valid(offer: &AcceptApi) -> Option<(&str, &str)> {
    let conditions = &offer.status.as_ref()?.conditions;
    let valid = conditions.iter().find(|condition| condition.type_ == "Valid")?;
    Some((&valid.status, &valid.reason))
}

/// A folder of kubeconfigs that a broker looks at.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir().context("no temporary folder")?))
    }

    pub(crate) fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    /// Where a side's kubeconfig is.
    pub(crate) fn file(&self, side: &Side) -> String {
        format!("{}/{}.kubeconfig", self.path(), side.id.role)
    }

    /// What the broker calls a cluster whose kubeconfig is here.
    pub(crate) fn name(&self, side: &Side) -> ClusterName {
        ClusterName::new(side.id.role, format!("{}+{}", self.file(side), side.cluster.name()))
    }

    /// Puts a side's kubeconfig here, at one moment as a mounted Secret is.
    pub(crate) fn put(&self, side: &Side, user: &str) -> Result<()> {
        let made = side.cluster.kubeconfig_as(user, ADMIN)?;
        let (hidden, file) = (self.0.path().join(".new"), self.file(side));
        std::fs::copy(&made, &hidden).with_context(|| format!("cannot copy {}", made.display()))?;
        std::fs::rename(&hidden, Path::new(&file)).with_context(|| format!("cannot write {file}"))
    }

    pub(crate) fn remove(&self, side: &Side) -> Result<()> {
        let file = self.file(side);
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {file}"))
    }
}
