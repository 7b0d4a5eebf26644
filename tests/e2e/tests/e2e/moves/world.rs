//! What a test of moves stands on: a consumer, providers that take objects by name, their operators, compute, and a broker
//! between them, through proxies where a test wants that.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{CustomResourceExt as _, ResourceExt as _};
use resource_broker_api::{Assignment, Migration, MigrationConfiguration, keys};
use resource_broker_harness::{Broker, BrokerBuilder, Cluster, Gate, Planes, Proxy, TestKind, eventually};
use serde_json::{Value, json};

use super::law::Terms;
use super::witness::{Chronicle, Witness};
use crate::meter::{Meter, table};
use crate::operator::{Manner, Operator, TOKEN, secret_of};
use crate::pair::{PATIENCE, Pair, Side, condition, gone, is, is_well, until};

/// Groups of an administrator.
const ADMIN: &[&str] = &["system:masters"];

/// One consumer and at least two providers, with the kinds of moves installed, and a namespace of its own in compute.
///
/// Each provider's offer takes the objects whose `spec.engine` is its name: [`World::send`] makes one refuse and another
/// accept. Objects say in `spec.tenant` whose they are, and so do the Secrets that operators make of them.
pub(crate) struct World {
    pub(crate) pair: Pair,
    /// The providers besides `pair.provider`.
    pub(crate) others: Vec<Side>,
    pub(crate) compute: Arc<Cluster>,
    /// One for each provider, in their order; they sign their Secrets.
    pub(crate) operators: Vec<Operator>,
}

impl World {
    /// Two providers. `name` is unique: namespaces in all clusters and the broker's user are called so.
    pub(crate) async fn new(name: &'static str) -> Result<Self> {
        Self::among(name, TestKind::new(), &["provider-b"]).await
    }

    /// Three providers.
    pub(crate) async fn of_three(name: &'static str) -> Result<Self> {
        Self::among(name, TestKind::new(), &["provider-b", "provider-c"]).await
    }

    /// For a kind that the test chose, with these providers besides the usual one.
    pub(crate) async fn among(name: &'static str, kind: TestKind, others: &[&str]) -> Result<Self> {
        let pair = Pair::of(name, kind).await?;
        for crd in [Migration::crd(), MigrationConfiguration::crd()] {
            pair.coordination.install_crd(&crd).await?;
        }
        let compute = Planes::shared().await.cluster("compute").await;
        compute.create_namespace(name).await?;
        let mut further = Vec::new();
        for other in others {
            further.push(pair.further_provider(other).await?);
        }
        let mut world = Self { pair, others: further, compute, operators: Vec::new() };
        world.operators = world.providers().into_iter().map(|side| Operator::with(side, Manner::signing())).collect();
        for side in world.providers() {
            world.offer(side).await?;
        }
        Ok(world)
    }

    /// Where objects are at first.
    pub(crate) fn first(&self) -> &Side {
        &self.pair.provider
    }

    /// Where they usually move to.
    pub(crate) fn second(&self) -> &Side {
        &self.others[0]
    }

    /// All of them.
    pub(crate) fn providers(&self) -> Vec<&Side> {
        [&self.pair.provider].into_iter().chain(&self.others).collect()
    }

    /// Publishes the provider's usual offer, or puts it back.
    pub(crate) async fn offer(&self, side: &Side) -> Result<()> {
        self.offer_for(side, &[&side.id.name]).await
    }

    /// Has a provider take the objects whose `spec.engine` is one of these.
    pub(crate) async fn offer_for(&self, side: &Side, engines: &[&str]) -> Result<()> {
        side.offer(self.pair.name, &json!([{"key": "engine", "valueIn": engines}])).await.map(drop)
    }

    /// A broker that knows all clusters and moves at once (`--settle=0s`).
    pub(crate) async fn broker(&self) -> Result<BrokerBuilder> {
        self.broker_settling("0s").await
    }

    /// A broker with this `--settle`.
    pub(crate) async fn broker_settling(&self, settle: &str) -> Result<BrokerBuilder> {
        let others: Vec<&Side> = self.others.iter().collect();
        let compute = self.compute.kubeconfig_as(self.pair.name, ADMIN)?;
        let broker = self.pair.broker(&others).await?.compute(&compute);
        Ok(broker.arg("compute-namespace", self.pair.name).arg("settle", settle))
    }

    /// Starts the usual broker.
    pub(crate) async fn start(&self) -> Result<Broker> {
        self.broker().await?.start().await
    }

    /// A broker that moves at once and reaches every cluster through a proxy. What it writes about offers is not counted:
    /// it comes when it comes.
    pub(crate) async fn proxied(&self) -> Result<(Proxies, BrokerBuilder)> {
        let gate = Gate::new(&["acceptapis"]);
        let before = async |cluster: &Cluster| Proxy::start(cluster, self.pair.name, ADMIN, &gate).await;
        let mut providers = Vec::new();
        for side in self.providers() {
            providers.push(before(&side.cluster).await?);
        }
        let proxies = Proxies {
            coordination: before(&self.pair.coordination).await?,
            consumer: before(&self.pair.consumer.cluster).await?,
            compute: before(&self.compute).await?,
            providers,
            gate: Arc::clone(&gate),
        };
        let mut broker = Broker::builder(Planes::shared().await, self.pair.name)
            .coordination(proxies.coordination.kubeconfig())
            .namespace(self.pair.name)
            .watch_kind(&self.pair.kind.watch_kind())
            .consumer(&self.pair.consumer.id.name, proxies.consumer.kubeconfig())
            .compute(proxies.compute.kubeconfig())
            .arg("compute-namespace", self.pair.name)
            .arg("settle", "0s");
        for (side, proxy) in self.providers().into_iter().zip(&proxies.providers) {
            broker = broker.provider(&side.id.name, proxy.kubeconfig());
        }
        Ok((proxies, broker))
    }

    /// A broker that knows its consumers and providers by files, all of which are to be put in place first: see
    /// [`World::attach`].
    pub(crate) async fn unattached(&self) -> Result<BrokerBuilder> {
        self.attach_compute()?;
        let mut broker = Broker::builder(Planes::shared().await, self.pair.name)
            .coordination(&self.pair.coordination.kubeconfig_as(self.pair.name, ADMIN)?)
            .namespace(self.pair.name)
            .watch_kind(&self.pair.kind.watch_kind())
            .compute(&self.compute_file())
            .consumer(&self.pair.consumer.id.name, &self.file(&self.pair.consumer));
        for side in self.providers() {
            broker = broker.provider(&side.id.name, &self.file(side));
        }
        Ok(broker.arg("compute-namespace", self.pair.name).arg("settle", "0s"))
    }

    /// Makes a cluster known to a broker, by a file that is there at one moment.
    pub(crate) fn attach(&self, side: &Side) -> Result<()> {
        let made = side.cluster.kubeconfig_as(self.pair.name, ADMIN)?;
        let file = self.file(side);
        std::fs::rename(&made, &file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Takes a cluster from a broker, and waits until it knows that.
    pub(crate) async fn detach(&self, side: &Side, broker: &Broker) -> Result<()> {
        let file = self.file(side);
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        eventually(&format!("{} to be detached", side.id), PATIENCE, || async {
            let page = broker.readyz_verbose().await?;
            ensure!(!page.contains(&format!("cluster {} ", side.id)), "{page}");
            anyhow::Ok(())
        })
        .await;
        Ok(())
    }

    /// Puts a file in a cluster's place that names none, with which a broker starts all the same.
    pub(crate) fn spoil(&self, side: &Side) -> Result<()> {
        let file = self.file(side);
        std::fs::write(&file, "{}").with_context(|| format!("cannot write {}", file.display()))
    }

    /// Puts the compute cluster's kubeconfig where a broker of [`unattached`](Self::unattached) clusters looks for it.
    pub(crate) fn attach_compute(&self) -> Result<()> {
        self.attach_as_compute(&self.compute)
    }

    /// Puts a kubeconfig there that leads to this cluster, under the usual context.
    pub(crate) fn attach_as_compute(&self, cluster: &Cluster) -> Result<()> {
        let made = cluster.kubeconfig_as(self.pair.name, ADMIN)?;
        let hidden = self.compute_file().with_extension("new");
        std::fs::copy(&made, &hidden).context("cannot copy compute's kubeconfig")?;
        std::fs::rename(&hidden, self.compute_file()).context("cannot write compute's kubeconfig")
    }

    /// Takes it away.
    pub(crate) fn lose_compute(&self) -> Result<()> {
        std::fs::remove_file(self.compute_file()).context("cannot remove compute's kubeconfig")
    }

    fn compute_file(&self) -> PathBuf {
        self.compute.folder().join(format!("{}-compute.kubeconfig", self.pair.name))
    }

    /// Where the kubeconfig is by which a broker knows a side, if it does.
    fn file(&self, side: &Side) -> PathBuf {
        side.cluster.folder().join(format!("{}-{}.kubeconfig", self.pair.name, side.id.role))
    }

    /// A witness of everything here.
    pub(crate) async fn witness(&self) -> Result<Witness> {
        Witness::of(self, &[]).await
    }

    /// What an object says that is to be at a provider.
    pub(crate) fn spec(&self, at: &Side) -> Value {
        json!({"size": 1, "engine": at.id.name, "tenant": self.pair.consumer.id.name})
    }

    /// Makes an object and waits until all of it is there.
    pub(crate) async fn place(&self, name: &str, at: &Side) -> Result<()> {
        self.pair.consumer.create(name, &self.spec(at)).await?;
        self.arrived(name, at).await;
        Ok(())
    }

    /// Changes an object so that only that provider accepts it.
    pub(crate) async fn send(&self, name: &str, to: &Side) -> Result<DynamicObject> {
        self.pair.consumer.edit(name, &json!({"spec": {"engine": to.id.name}})).await
    }

    /// Waits until an object is at a provider and nowhere else, is well, has that provider's Secret, and says so everywhere.
    pub(crate) async fn arrived(&self, name: &str, at: &Side) {
        self.moved(name, at).await;
        // What a provider says of `Ready` speaks of its copy's generation, if of any.
        let well = |order: &DynamicObject| {
            let current = |type_| condition(order, type_)["observedGeneration"].as_i64() == order.metadata.generation;
            ["Accepted", "Synced", "Ready"].into_iter().all(|type_| is(order, type_, "True"))
                && ["Accepted", "Synced"].into_iter().all(current)
                && order.data["status"]["made"]["engine"] == order.data["spec"]["engine"]
        };
        until(&self.pair.consumer.widgets(), name, "to be well", well).await;
        until(&self.pair.consumer.api::<Secret>(), &secret_of(name), &format!("to be from {}", at.id), |secret| {
            signed(secret, "provider").as_deref() == Some(at.id.name.as_str())
        })
        .await;
        eventually(&format!("{name}: its record to say that all is well"), PATIENCE, || async {
            let order = self.pair.consumer.widgets().get(name).await?;
            let status = self.record(name).await?.status.unwrap_or_default();
            let well = status.conditions.len() == 3 && status.conditions.iter().all(|it| it.status == "True");
            ensure!(well && status.observed_generation == order.metadata.generation, "{status:?}");
            anyhow::Ok(())
        })
        .await;
    }

    /// Waits until an object's record names a provider and no other place, the object shows it, and no other copy is there.
    pub(crate) async fn moved(&self, name: &str, at: &Side) {
        let place = at.id.to_string();
        until(&self.pair.records, &self.pair.record_name(name), &format!("to name {place} alone"), |record| {
            record.spec.provider.cluster == place && record.spec.next.is_none() && record.spec.previous.is_empty()
        })
        .await;
        until(&self.pair.consumer.widgets(), name, &format!("to show {place} alone"), |order| {
            order.annotations().get(keys::PROVIDER_CLUSTER) == Some(&place)
                && !order.annotations().contains_key(keys::NEW_PROVIDER_CLUSTER)
        })
        .await;
        for side in self.providers() {
            if side.id != at.id {
                gone(&side.widgets(), &self.pair.copy_name(name)).await;
            }
        }
    }

    /// Waits until a move of an object is recorded.
    pub(crate) async fn moving(&self, name: &str, to: &Side) -> Assignment {
        let place = to.id.to_string();
        until(&self.pair.records, &self.pair.record_name(name), &format!("to move to {place}"), |record| {
            record.spec.next.as_ref().is_some_and(|next| next.cluster == place)
        })
        .await
    }

    /// Waits until an object's copy is at a provider, and returns it.
    pub(crate) async fn copied(&self, name: &str, to: &Side) -> DynamicObject {
        until(&to.widgets(), &self.pair.copy_name(name), &format!("to be at {}", to.id), |_| true).await
    }

    /// An object's record now.
    pub(crate) async fn record(&self, name: &str) -> Result<Assignment> {
        let record = self.pair.record_name(name);
        self.pair.records.get(&record).await.with_context(|| format!("the record {record}"))
    }

    /// The consumer's object now.
    pub(crate) async fn order(&self, name: &str) -> Result<DynamicObject> {
        Ok(self.pair.consumer.widgets().get(name).await?)
    }

    /// Which provider the consumer's Secret of an object is from.
    pub(crate) async fn served_by(&self, name: &str) -> Result<Option<String>> {
        Ok(signed(&self.pair.consumer.api::<Secret>().get(&secret_of(name)).await?, "provider"))
    }

    /// Waits until nothing is left of an object anywhere.
    pub(crate) async fn vanished(&self, name: &str) {
        gone(&self.pair.consumer.widgets(), name).await;
        for side in self.providers() {
            gone(&side.widgets(), &self.pair.copy_name(name)).await;
        }
        gone(&self.pair.records, &self.pair.record_name(name)).await;
        gone(&self.pair.consumer.api::<Secret>(), &secret_of(name)).await;
    }

    /// The Migrations of this test.
    pub(crate) fn migrations(&self) -> Api<Migration> {
        Api::namespaced(self.pair.records.clone().into_client(), self.pair.name)
    }

    /// The MigrationConfigurations of this test.
    pub(crate) fn configurations(&self) -> Api<MigrationConfiguration> {
        Api::namespaced(self.pair.records.clone().into_client(), self.pair.name)
    }

    /// Applies the stages of a move within the test's kind.
    pub(crate) async fn configure(&self, name: &str, stages: &Value) -> Result<MigrationConfiguration> {
        self.configure_between(name, &self.pair.kind, &self.pair.kind, stages).await
    }

    /// Applies the stages of a move from one kind to another.
    pub(crate) async fn configure_between(
        &self,
        name: &str,
        from: &TestKind,
        to: &TestKind,
        stages: &Value,
    ) -> Result<MigrationConfiguration> {
        let gvk = |kind: &TestKind| json!({"group": kind.group(), "version": kind.version(), "kind": "Widget"});
        let configuration = json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "MigrationConfiguration",
            "metadata": {"name": name},
            "spec": {"from": gvk(from), "to": gvk(to), "stages": stages},
        });
        let params = PatchParams::apply("operator-of-the-mesh").force();
        Ok(self.configurations().patch(name, &params, &Patch::Apply(&configuration)).await?)
    }

    /// Judges what a witness saw, and looks for secrets in what the broker wrote to its log.
    pub(crate) async fn judge(&self, witness: &Witness, broker: &Broker, terms: &Terms) -> Result<Chronicle> {
        let chronicle = witness.chronicle().await;
        chronicle.judge(terms);
        ensure!(!broker.logs()?.contains(TOKEN), "the broker's log shows a token");
        Ok(chronicle)
    }

    /// Changes and deletes another object, and fails if the broker wrote anything that has nothing to do with that.
    pub(crate) async fn quiet(&self, marker: &str) -> Result<()> {
        let pair = &self.pair;
        // By the time that it is there, audit logs hold whatever was asked before.
        self.place(marker, self.first()).await?;
        let providers = self.providers();
        let clusters = [&pair.coordination, &pair.consumer.cluster, &self.compute];
        let clusters = clusters.into_iter().chain(providers.iter().map(|side| &side.cluster));
        let meter = Meter::start(pair.name, clusters).await?;
        pair.consumer.edit(marker, &json!({"spec": {"size": 2}})).await?;
        self.arrived(marker, self.first()).await;
        pair.consumer.delete(marker).await?;
        self.vanished(marker).await;
        let mut writes = meter.requests_beside(marker).await?;
        writes.retain(|request| request.event.is_write());
        ensure!(writes.is_empty(), "with everything in step the broker wrote:\n{}", table(&writes));
        let mut made = meter.creations().await?;
        // What people are told of earlier things may come after them.
        made.retain(|request| request.event.resource != "events");
        ensure!(made.is_empty(), "with everything in step the broker made:\n{}", table(&made));
        Ok(())
    }
}

/// One proxy before each cluster; all share one gate.
pub(crate) struct Proxies {
    pub(crate) coordination: Proxy,
    pub(crate) consumer: Proxy,
    pub(crate) compute: Proxy,
    /// In the order of [`World::providers`].
    pub(crate) providers: Vec<Proxy>,
    pub(crate) gate: Arc<Gate>,
}

/// Waits until an object of any consumer is well at a provider, and has that one's Secret.
pub(crate) async fn served(consumer: &Side, name: &str, by: &Side) {
    until(&consumer.widgets(), name, &format!("to be well at {}", by.id), |it| {
        is_well(it) && it.data["status"]["made"]["engine"] == by.id.name.as_str()
    })
    .await;
    until(&consumer.api::<Secret>(), &secret_of(name), "the Secret", |secret| {
        let said = ["provider", "tenant"].map(|key| signed(secret, key).unwrap_or_default());
        said == [by.id.name.clone(), consumer.id.name.clone()]
    })
    .await;
}

/// What a Secret of a signing operator says under one key.
pub(crate) fn signed(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    serde_json::from_slice(&bytes.0).ok()
}
