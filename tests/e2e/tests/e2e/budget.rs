//! How many requests one object costs, counted in the API servers' audit logs: it does not depend on the machine.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use resource_broker_harness::{Broker, TestResult, eventually};
use serde_json::{Value, json};

use crate::meter::{Meter, Request, table};
use crate::operator::{Operator, secret_of};
use crate::pair::{PATIENCE, Pair, gone, is_well, until};

/// What one life may cost, with one related resource: a request for each write that the life cannot do without, and one
/// read of what the metadata watch does not bring. The related resource's deletion is among them: the broker does not
/// leave it to a garbage collector, which not every control plane has.
const MOST: usize = 12;
/// How many lives are lived at most. On a machine that is busy otherwise the provider answers late, and what people are told
/// of that costs a write more: what a life costs is what the cheapest does.
const LIVES: usize = 5;

#[tokio::test]
async fn one_life_with_conditions_is_within_budget() -> TestResult {
    let pair = Pair::new("budget-conditions").await?;
    let stage = Stage::of(pair, true).await?;
    check(&stage.cost_of_a_life().await?);
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
    check(&stage.cost_of_a_life().await?);
    Ok(())
}

#[tokio::test]
async fn what_changes_nothing_costs_nothing() -> TestResult {
    let stage = Stage::of(Pair::new("budget-echoes").await?, true).await?;
    let pair = &stage.pair;
    stage.make("order").await?;

    let meter = stage.meter().await?;
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
    stage.make("marker").await?;
    let others = meter.requests_beside("marker").await?;
    assert!(others.is_empty(), "repeated events cost requests:\n{}", table(&others));
    let made = meter.creations().await?;
    assert!(made.len() <= 2, "more was made than the marker's record and Secret:\n{}", table(&made));
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

impl Stage {
    async fn of(pair: Pair, conditions: bool) -> Result<Self> {
        let operator = Operator::quick(&pair.provider);
        let broker = pair.start().await?;
        Ok(Self { pair, conditions, _operator: operator, _broker: broker })
    }

    async fn meter(&self) -> Result<Meter> {
        let Pair { coordination, consumer, provider, name, .. } = &self.pair;
        Meter::start(name, [coordination, &consumer.cluster, &provider.cluster]).await
    }

    /// Makes an object and waits until everything of it is at the consumer and its record says so.
    async fn make(&self, name: &str) -> Result<()> {
        let pair = &self.pair;
        pair.consumer.create(name, &json!({"size": 3})).await?;
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
        let pair = &self.pair;
        self.make(name).await?;
        pair.consumer.delete(name).await?;
        gone(&pair.consumer.widgets(), name).await;
        gone(&pair.records, &pair.record_name(name)).await;
        gone(&pair.consumer.api::<Secret>(), &secret_of(name)).await;
        Ok(())
    }

    async fn cost_of_a_life(&self) -> Result<Vec<Request>> {
        // The first one of all also finds out about kinds, namespaces and watches.
        self.live("first").await?;
        let mut cheapest: Option<Vec<Request>> = None;
        for life in 0..LIVES {
            let meter = self.meter().await?;
            self.live(&format!("life-{life}")).await?;
            let requests = meter.requests().await?;
            if is_within_budget(&requests) {
                return Ok(requests);
            }
            cheapest = [cheapest, Some(requests)].into_iter().flatten().min_by_key(Vec::len);
        }
        cheapest.context("no life was lived")
    }
}

fn reads(life: &[Request]) -> Vec<Request> {
    life.iter().filter(|request| !request.event.is_write()).cloned().collect()
}

fn is_within_budget(life: &[Request]) -> bool {
    life.len() <= MOST && reads(life).len() <= 1
}

fn check(life: &[Request]) {
    let reads = reads(life);
    println!("{} requests, of which {} reads:\n{}", life.len(), reads.len(), table(life));
    assert!(life.len() <= MOST, "one life cost {} requests, more than {MOST}:\n{}", life.len(), table(life));
    assert!(reads.len() <= 1, "one life cost {} reads, more than one:\n{}", reads.len(), table(&reads));
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
