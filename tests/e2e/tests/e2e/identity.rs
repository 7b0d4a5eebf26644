//! Which cluster is behind a name: kubeconfigs that are renamed, given twice, or point to another cluster, while objects are in use.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject};
use resource_broker_api::names::{ClusterName, broker_cluster_name};
use resource_broker_api::{broker::BrokerCluster, keys};
use resource_broker_harness::{AuditEvent, Broker, TestResult, broker_binary, eventually};
use serde_json::json;
use tokio::process::Command;

use crate::clusters::{ADMIN, Folder, lone_broker};
use crate::operator::{Operator, secret_of};
use crate::pair::{PATIENCE, Pair, Side, fails, is_well, until};

/// A pair whose provider's kubeconfig is in a folder that the broker looks at, with an object that is well.
pub(crate) struct Stand {
    pub(crate) pair: Pair,
    pub(crate) folder: Folder,
    pub(crate) broker: Broker,
    _operator: Operator,
    pub(crate) known: Api<BrokerCluster>,
}

impl Stand {
    pub(crate) async fn new(name: &'static str) -> Result<Self> {
        let mut pair = Pair::new(name).await?;
        let folder = Folder::new()?;
        pair.provider.id = folder.name(&pair.provider);
        folder.put(&pair.provider, name)?;
        let operator = Operator::quick(&pair.provider);
        pair.provider.offer(pair.name, &json!([])).await?;
        let consumer = pair.consumer.cluster.kubeconfig_as(pair.name, ADMIN)?;
        let broker = lone_broker(&pair).await?.consumer("consumer", &consumer);
        let broker = broker.arg("provider-kubeconfig-dir", &folder.path()).start().await?;
        pair.consumer.create("order", &json!({"size": 1})).await?;
        until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
        let known = Api::namespaced(pair.coordination.client().await?, name);
        Ok(Self { pair, folder, broker, _operator: operator, known })
    }

    /// Waits until `/readyz?verbose` has this.
    pub(crate) async fn shows(&self, what: &str) {
        eventually(&format!("{what} to be shown"), PATIENCE, || async {
            let page = self.broker.readyz_verbose().await?;
            ensure!(page.contains(what) && page.ends_with("\nready\n"), "{page}");
            Ok(())
        })
        .await;
    }

    /// Waits until the `BrokerCluster` of a cluster says this of being attached.
    pub(crate) async fn known_as(&self, cluster: &ClusterName, reason: &str) -> BrokerCluster {
        until(&self.known, &broker_cluster_name(cluster), reason, |known| {
            let conditions = known.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|it| it.type_ == "Attached" && it.reason == reason)
        })
        .await
    }

    /// Runs `resource-broker cluster` with these arguments; the exit code, and what it printed.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = Command::new(broker_binary()?)
            .arg("cluster")
            .args(arguments)
            .arg(format!("--namespace={}", self.pair.name))
            .arg(format!("--coordination-kubeconfig={}", self.pair.coordination.kubeconfig().display()))
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .output()
            .await
            .context("the broker's program cannot be run")?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok((output.status.code().context("it was killed")?, text))
    }

    /// Where the audit logs of both sides are.
    async fn mark(&self) -> Result<[u64; 2]> {
        Ok([self.pair.consumer.cluster.audit_position().await?, self.pair.provider.cluster.audit_position().await?])
    }

    /// The copies and related resources that were made or deleted since, but for those of the object `besides`.
    async fn made_and_deleted(&self, marks: [u64; 2], besides: &str) -> Result<Vec<String>> {
        let counts = |event: &AuditEvent| {
            ["create", "delete", "deletecollection"].contains(&event.verb.as_str())
                && ["widgets", "secrets"].contains(&event.resource.as_str())
                && !event.name.contains(besides)
        };
        let mut all = Vec::new();
        for (side, mark) in [&self.pair.consumer, &self.pair.provider].into_iter().zip(marks) {
            all.extend(self.pair.writes(&side.cluster, mark, counts).await?);
        }
        // A copy is made by an apply that finds none; a related resource's POST has no name in its path.
        all.retain(|line| !line.contains("/secrets?") || !line.starts_with("create"));
        Ok(all)
    }

    /// Another object is made, and is well.
    async fn another(&self, name: &str) -> Result<DynamicObject> {
        self.pair.consumer.create(name, &json!({"size": 1})).await?;
        Ok(until(&self.pair.consumer.widgets(), name, "all to be well", is_well).await)
    }
}

/// A name for the file of a side that is not the usual one.
pub(crate) fn other(folder: &Folder, side: &Side, file: &str) -> (String, ClusterName) {
    let path = format!("{}/{file}.kubeconfig", folder.path());
    let name = ClusterName::new(side.id.role, format!("{path}+{}", side.cluster.name()));
    (path, name)
}

#[tokio::test]
async fn a_file_that_is_renamed_while_an_object_is_available_changes_nothing() -> TestResult {
    let stand = Stand::new("identity-renamed").await?;
    let (pair, old) = (&stand.pair, stand.pair.provider.id.clone());
    let copy = pair.copy("order").await;
    stand.known_as(&old, "Attached").await;
    let marks = stand.mark().await?;

    let (path, new) = other(&stand.folder, &pair.provider, "renamed");
    std::fs::rename(stand.folder.file(&pair.provider), &path)?;
    stand.shows(&format!("cluster {new}: it is {old}")).await;
    let order = stand.another("later").await?;
    assert_eq!(order.annotations().get(keys::PROVIDER_CLUSTER), Some(&old.to_string()), "it goes on under its name");
    let there = pair.copy("order").await;
    assert_eq!((there.uid(), there.metadata.deletion_timestamp), (copy.uid(), None));
    assert!(is_well(&pair.consumer.widgets().get("order").await?));
    assert_eq!(stand.made_and_deleted(marks, "later").await?, Vec::<String>::new());

    // Both are there for some seconds: the new one waits for the old one to go.
    let (second, newer) = other(&stand.folder, &pair.provider, "again");
    std::fs::copy(&path, &second)?;
    stand.shows(&format!("[-]cluster {newer}: not attached")).await;
    std::fs::remove_file(&path)?;
    stand.shows(&format!("cluster {newer}: it is {old}")).await;
    stand.another("latest").await?;
    assert_eq!(pair.copy("order").await.uid(), copy.uid());
    let all = stand.made_and_deleted(marks, "late").await?;
    assert_eq!(all, Vec::<String>::new());

    // What is shown names the command that ends the reminder.
    let known = stand.known_as(&old, "Renamed").await;
    let told = known.status.iter().flat_map(|status| &status.conditions).find(|it| it.reason == "Renamed");
    assert!(told.is_some_and(|it| it.message.contains("resource-broker cluster rename")), "{told:?}");
    let (code, said) = stand.command(&["rename", &old.to_string(), &newer.name]).await?;
    assert_eq!(code, 0, "{said}");
    stand.known_as(&old, "Attached").await;
    assert!(!stand.broker.readyz_verbose().await?.contains("it is provider#"), "nobody is reminded any more");
    let (code, listed) = stand.command(&["list"]).await?;
    assert!(code == 0 && listed.contains("Attached"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn a_second_name_for_an_attached_provider_takes_nothing_away() -> TestResult {
    let stand = Stand::new("identity-twice").await?;
    let pair = &stand.pair;
    let copy = pair.copy("order").await;
    let marks = stand.mark().await?;
    let (path, second) = other(&stand.folder, &pair.provider, "second");
    std::fs::copy(stand.folder.file(&pair.provider), &path)?;
    stand.shows(&format!("[-]cluster {second}: not attached: it is the same cluster as {}", pair.provider.id)).await;
    stand.another("later").await?;
    assert_eq!(pair.copy("order").await.uid(), copy.uid());
    assert_eq!(stand.made_and_deleted(marks, "later").await?, Vec::<String>::new());
    let refused = stand.broker.metric("resource_broker_cluster_refused", &[("reason", "Duplicate")]).await?;
    assert!((refused - 1.0).abs() < f64::EPSILON, "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_second_name_for_an_attached_consumer_makes_nothing_twice() -> TestResult {
    let mut pair = Pair::new("identity-tenant").await?;
    let folder = Folder::new()?;
    pair.consumer.id = folder.name(&pair.consumer);
    folder.put(&pair.consumer, pair.name)?;
    let _operator = Operator::quick(&pair.provider);
    pair.provider.offer(pair.name, &json!([])).await?;
    let provider = pair.provider.cluster.kubeconfig_as(pair.name, ADMIN)?;
    let broker = lone_broker(&pair).await?.provider("provider", &provider);
    let broker = broker.arg("consumer-kubeconfig-dir", &folder.path()).start().await?;
    pair.consumer.create("order", &json!({"size": 1})).await?;
    until(&pair.consumer.widgets(), "order", "all to be well", is_well).await;
    let secrets = pair.consumer.api::<Secret>();
    let secret = until(&secrets, &secret_of("order"), "the Secret", |_| true).await;

    let (path, second) = other(&folder, &pair.consumer, "second");
    std::fs::copy(folder.file(&pair.consumer), &path)?;
    eventually("the second name to be refused", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        ensure!(page.contains(&format!("[-]cluster {second}: not attached")), "{page}");
        Ok(())
    })
    .await;
    pair.consumer.create("later", &json!({"size": 1})).await?;
    until(&pair.consumer.widgets(), "later", "all to be well", is_well).await;
    assert_eq!(pair.provider.widgets().list(&kube::api::ListParams::default()).await?.items.len(), 2, "one copy each");
    assert_eq!(pair.records.list(&kube::api::ListParams::default()).await?.items.len(), 2, "one Assignment each");
    let there = secrets.get(&secret_of("order")).await?;
    assert_eq!(
        (there.uid(), there.resource_version()),
        (secret.uid(), secret.resource_version()),
        "it was written anew"
    );
    Ok(())
}

#[tokio::test]
async fn one_cluster_is_attached_in_both_roles() -> TestResult {
    let pair = Pair::new("identity-both").await?;
    let kubeconfig = pair.consumer.cluster.kubeconfig_as(pair.name, ADMIN)?;
    let broker = lone_broker(&pair).await?.consumer("one", &kubeconfig).provider("one", &kubeconfig);
    let broker = broker.start().await?;
    eventually("both to be attached", PATIENCE, || async {
        let page = broker.readyz_verbose().await?;
        ensure!(page.contains("[+]cluster consumer#one ok") && page.contains("[+]cluster provider#one ok"), "{page}");
        Ok(())
    })
    .await;
    assert!(!broker.logs()?.contains("cluster not attached"));
    Ok(())
}

#[tokio::test]
async fn another_cluster_under_a_known_name_is_left_alone_until_it_is_accepted() -> TestResult {
    let stand = Stand::new("identity-changed").await?;
    let pair = &stand.pair;
    let stranger = pair.other_provider().await?;
    let orders = pair.consumer.widgets();
    let copy = pair.copy("order").await;
    stand.known_as(&pair.provider.id, "Attached").await;
    let marks = stand.mark().await?;
    let there = stranger.cluster.audit_position().await?;

    // The same context in the same file leads to another server.
    let right = std::fs::read_to_string(stand.folder.file(&pair.provider))?;
    let made = stranger.cluster.kubeconfig_as(pair.name, ADMIN)?;
    let wrong = std::fs::read_to_string(&made)?;
    let wrong = renamed_context(&wrong, stranger.cluster.name(), pair.provider.cluster.name());
    put(&stand.folder.file(&pair.provider), &wrong)?;
    until(&orders, "order", "the change to be told", |it| fails(it, "Accepted", "ClusterChanged")).await;
    stand.shows(&format!("[-]cluster {}: not attached: another cluster is there", pair.provider.id)).await;
    stand.known_as(&pair.provider.id, "ClusterChanged").await;
    // A change and a deletion bring nothing about there.
    pair.consumer.edit("order", &json!({"spec": {"size": 2}})).await?;
    until(&orders, "order", "the change to be taken note of", |it| {
        crate::pair::condition(it, "Accepted")["observedGeneration"].as_i64() == it.metadata.generation
    })
    .await;
    let writes = pair.writes(&stranger.cluster, there, |_| true).await?;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(stand.made_and_deleted(marks, "nothing").await?, Vec::<String>::new());

    put(&stand.folder.file(&pair.provider), &right)?;
    until(&orders, "order", "all to be well", |it| is_well(it) && it.data["status"]["made"]["size"] == 2).await;
    assert_eq!(pair.copy("order").await.uid(), copy.uid());

    // It is right: the cluster was made anew, and the copy is made there.
    let _operator = Operator::quick(&stranger);
    stranger.offer(pair.name, &json!([])).await?;
    put(&stand.folder.file(&pair.provider), &wrong)?;
    stand.known_as(&pair.provider.id, "ClusterChanged").await;
    let (code, said) = stand.command(&["accept", &pair.provider.id.to_string()]).await?;
    assert!(code == 0 && said.contains("accepted"), "{said}");
    until(&stranger.widgets(), &pair.copy_name("order"), "the copy to be made there", |_| true).await;
    until(&orders, "order", "all to be well", is_well).await;
    stand.known_as(&pair.provider.id, "Attached").await;
    let (code, said) = stand.command(&["accept", &pair.provider.id.to_string()]).await?;
    assert!(code == 0 && said.contains("nothing to accept"), "{said}");
    let (code, said) = stand.command(&["accept", "nobody"]).await?;
    assert!(code == 2 && said.contains("ROLE#NAME"), "{code} {said}");
    Ok(())
}

#[tokio::test]
async fn a_removed_provider_keeps_its_copies_and_loses_the_brokers_marks() -> TestResult {
    let stand = Stand::new("identity-removed").await?;
    let pair = &stand.pair;
    let provider = &pair.provider;
    stand.known_as(&provider.id, "Attached").await;
    let copy = pair.copy("order").await;
    let (code, said) = stand.command(&["remove", &provider.id.to_string()]).await?;
    assert!(code == 1 && said.contains("1 Assignment names") && said.contains("--yes"), "{said}");
    let (code, said) = stand.command(&["remove", &provider.id.to_string(), "--yes"]).await?;
    assert_eq!(code, 0, "{said}");
    let bare = until(&provider.widgets(), &copy.name_any(), "the marks to be taken off", |it| {
        it.finalizers().is_empty() && !it.annotations().contains_key(keys::CONSUMER_CLUSTER)
    })
    .await;
    assert_eq!((bare.uid(), bare.metadata.deletion_timestamp), (copy.uid(), None));
    until(&pair.consumer.widgets(), "order", "to be without a provider", |it| fails(it, "Accepted", "NoOffers")).await;
    stand.known_as(&provider.id, "Removed").await;
    stand.folder.remove(provider)?;
    crate::pair::gone(&stand.known, &broker_cluster_name(&provider.id)).await;
    assert_eq!(pair.copy("order").await.uid(), copy.uid());
    Ok(())
}

/// A kubeconfig whose context is called otherwise.
fn renamed_context(text: &str, from: &str, to: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some((key, value)) if value == from => format!("{key}: {to}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Writes a file as a whole.
pub(crate) fn put(file: &str, text: &str) -> Result<()> {
    let hidden = Path::new(file).with_file_name(".new");
    std::fs::write(&hidden, text)?;
    std::fs::rename(&hidden, file)?;
    Ok(())
}
