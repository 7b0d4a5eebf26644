//! How many requests one object costs, counted in the API servers' audit logs: it does not depend on the machine.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DynamicObject;
use resource_broker_harness::{AuditEvent, Broker, Cluster, TestResult, eventually};
use serde_json::{Value, json};

use crate::operator::{Operator, secret_of};
use crate::pair::{PATIENCE, Pair, gone, is_well, until};

/// One life of an object whose kind shows conditions.
const WITH_CONDITIONS: usize = 12;
/// One life of an object of any other kind.
const WITHOUT_CONDITIONS: usize = 11;

#[tokio::test]
async fn one_life_with_conditions_is_within_budget() -> TestResult {
    let pair = Pair::new("budget-conditions").await?;
    let stage = Stage::of(pair, true).await?;
    stage.live("warm-up").await?;
    let life = stage.cost_of_a_life("order").await?;
    check(&life, WITH_CONDITIONS);
    Ok(())
}

#[tokio::test]
async fn one_life_without_conditions_is_within_budget() -> TestResult {
    let pair = Pair::bare("budget-plain", "consumer", "provider").await?;
    let definition = without_conditions(pair.kind.crd()?)?;
    for side in [&pair.consumer, &pair.provider] {
        side.cluster.install_crd(&definition).await?;
    }
    let stage = Stage::of(pair, false).await?;
    stage.live("warm-up").await?;
    let life = stage.cost_of_a_life("order").await?;
    check(&life, WITHOUT_CONDITIONS);
    Ok(())
}

#[tokio::test]
async fn what_changes_nothing_costs_nothing() -> TestResult {
    let pair = Pair::new("budget-echoes").await?;
    let stage = Stage::of(pair, true).await?;
    let pair = &stage.pair;
    stage.order("order").await?;
    stage.settled("order").await?;

    let positions = stage.positions().await?;
    let copy = pair.copy("order").await;
    let (status, name) = (copy.data["status"].clone(), pair.copy_name("order"));
    for round in 0..5 {
        pair.provider.report(&name, &status).await?;
        // Metadata of theirs is their business, on either side.
        let note = json!({"metadata": {"annotations": {"test.example.com/round": round.to_string()}}});
        pair.provider.edit(&name, &note).await?;
        pair.consumer.edit("order", &note).await?;
    }
    // An object made later is done later.
    stage.order("marker").await?;
    stage.settled("marker").await?;
    let mut requests = stage.requests(positions).await?;
    requests.retain(|(_, event)| !event.name.contains("marker"));
    // A request to create something has no name in its path: the marker's record and Secret.
    let (creations, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(|(_, event)| event.verb == "create");
    assert!(others.is_empty(), "repeated events cost requests:\n{}", table(&others));
    assert!(creations.len() <= 2, "more than the marker was made:\n{}", table(&creations));
    Ok(())
}

/// A broker, and a provider that answers at once.
struct Stage {
    pair: Pair,
    /// Whether the kind shows conditions.
    conditions: bool,
    _operator: Operator,
    _broker: Broker,
}

/// A request and the cluster that got it.
type Request = (String, AuditEvent);

impl Stage {
    async fn of(pair: Pair, conditions: bool) -> Result<Self> {
        let operator = Operator::quick(&pair.provider);
        let broker = pair.start().await?;
        Ok(Self { pair, conditions, _operator: operator, _broker: broker })
    }

    async fn order(&self, name: &str) -> Result<DynamicObject> {
        self.pair.consumer.create(name, &json!({"size": 3})).await
    }

    /// Waits until everything of an object is at the consumer and its record says so.
    async fn settled(&self, name: &str) -> Result<()> {
        let pair = &self.pair;
        until(&pair.consumer.widgets(), name, "the provider's status", |it| {
            it.data["status"]["status"] == "Available" && (!self.conditions || is_well(it))
        })
        .await;
        until(&pair.consumer.api::<Secret>(), &secret_of(name), "the Secret", |_| true).await;
        eventually("the record to be settled", PATIENCE, || async {
            let record = pair.records.get(&pair.record_name(name)).await?;
            let conditions = record.status.map(|status| status.conditions).unwrap_or_default();
            ensure!(conditions.len() == 3 && conditions.iter().all(|it| it.status == "True"), "{conditions:?}");
            Ok(())
        })
        .await;
        Ok(())
    }

    /// Create, route, copy, status and Secret back, delete.
    async fn live(&self, name: &str) -> Result<()> {
        self.order(name).await?;
        self.settled(name).await?;
        self.pair.consumer.delete(name).await?;
        let pair = &self.pair;
        gone(&pair.consumer.widgets(), name).await;
        gone(&pair.records, &pair.record_name(name)).await;
        gone(&pair.consumer.api::<Secret>(), &secret_of(name)).await;
        Ok(())
    }

    async fn cost_of_a_life(&self, name: &str) -> Result<Vec<Request>> {
        let positions = self.positions().await?;
        self.live(name).await?;
        self.requests(positions).await
    }

    fn clusters(&self) -> [&Arc<Cluster>; 3] {
        [&self.pair.coordination, &self.pair.consumer.cluster, &self.pair.provider.cluster]
    }

    async fn positions(&self) -> Result<[u64; 3]> {
        let mut positions = [0; 3];
        for (position, cluster) in positions.iter_mut().zip(self.clusters()) {
            *position = cluster.audit_position().await?;
        }
        Ok(positions)
    }

    /// What the broker asked since then. Watches are not counted, nor what it says on offers, which all objects of an
    /// offer share.
    async fn requests(&self, positions: [u64; 3]) -> Result<Vec<Request>> {
        let mut requests = Vec::new();
        for (position, cluster) in positions.into_iter().zip(self.clusters()) {
            let ours = |event: &AuditEvent| {
                event.user == self.pair.name && event.verb != "watch" && event.resource != "acceptapis"
            };
            let events = cluster.audit_since(position, ours).await?;
            requests.extend(events.into_iter().map(|event| (cluster.name().to_owned(), event)));
        }
        requests.sort_by(|(_, one), (_, other)| one.received.cmp(&other.received));
        Ok(requests)
    }
}

fn check(life: &[Request], most: usize) {
    let reads: Vec<_> = life.iter().filter(|(_, event)| !event.is_write()).cloned().collect();
    println!("{} requests, of which {} reads:\n{}", life.len(), reads.len(), table(life));
    assert!(life.len() <= most, "one life cost {} requests, more than {most}:\n{}", life.len(), table(life));
    assert!(reads.len() <= 1, "one life cost {} reads, more than one:\n{}", reads.len(), table(&reads));
}

fn table(requests: &[Request]) -> String {
    let line = |(cluster, event): &Request| {
        format!("{} {cluster:<14} {:<7} {} -> {}", event.received, event.verb, event.request_uri, event.code)
    };
    requests.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The same definition with a status that has no conditions.
fn without_conditions(crd: CustomResourceDefinition) -> Result<CustomResourceDefinition> {
    let mut value = serde_json::to_value(crd)?;
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
    let status = value.pointer_mut(path).and_then(Value::as_object_mut).context("a status in the schema")?;
    if status.remove("conditions").is_none() {
        bail!("the definition has no conditions to leave out");
    }
    Ok(serde_json::from_value(value)?)
}
