//! What `deploy/kustomize` grants is enough for all that the broker does, also for a kind of one's own; and what happens
//! where less is granted.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use resource_broker_api::{AcceptApi, Assignment, Plugin, conditions::reason, keys};
use resource_broker_harness::{AuditEvent, Broker, BrokerBuilder, Cluster, Planes, TestResult, eventually};
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, Side, fails, gone, is, is_well, message, until};
use crate::plugged;

/// A pair whose broker may do what the manifests grant, and for the test's kind what the docs tell people to add.
struct Granted {
    pair: Pair,
    /// The service account, as API servers know it.
    account: String,
}

impl Granted {
    /// Applies the manifests under names of the test's own, so that tests do not share roles.
    async fn new(name: &'static str) -> Result<Self> {
        let pair = Pair::new(name).await?;
        let granted = Self { account: format!("system:serviceaccount:{name}-system:resource-broker"), pair };
        let pair = &granted.pair;
        for (cluster, folder) in
            [(&pair.coordination, "base"), (&pair.consumer.cluster, "consumer"), (&pair.provider.cluster, "provider")]
        {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize").join(folder);
            let rendered = cluster.kubectl(&["kustomize", path.to_str().context("a path that is not UTF-8")?]).await?;
            cluster.apply_yaml(&rendered.replace("resource-broker-", &format!("{name}-"))).await?;
        }
        granted.grant(&pair.consumer, &["get", "list", "watch", "patch"], &["patch"]).await?;
        granted.grant(&pair.provider, &["get", "list", "watch", "create", "patch", "delete"], &[]).await?;
        granted.wait().await?;
        Ok(granted)
    }

    fn namespace(&self) -> String {
        format!("{}-system", self.pair.name)
    }

    fn own_role(&self) -> String {
        format!("{}-own", self.pair.name)
    }

    /// The role for a kind of one's own, as docs/usage.md has it.
    async fn grant(&self, side: &Side, objects: &[&str], status: &[&str]) -> Result<()> {
        let role = |resource: &str, verbs: &[&str]| json!({"apiGroups": [self.pair.kind.group()], "resources": [resource], "verbs": verbs});
        let rules: Vec<Value> = [("widgets", objects), ("widgets/status", status)]
            .iter()
            .filter(|(_, verbs)| !verbs.is_empty())
            .map(|(resource, verbs)| role(resource, verbs))
            .collect();
        let (api, name) = ("rbac.authorization.k8s.io", self.own_role());
        for object in [
            json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
            json!({
                "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": "resource-broker", "namespace": self.namespace()}],
            }),
        ] {
            side.cluster.apply_yaml(&object.to_string()).await?;
        }
        Ok(())
    }

    /// API servers take new roles in a moment later.
    async fn wait(&self) -> Result<()> {
        let pair = &self.pair;
        let one = ListParams::default().limit(1);
        let client = async |cluster: &Cluster| cluster.client_as(&self.account, &[]).await;
        let records = Api::<Assignment>::namespaced(client(&pair.coordination).await?, &self.namespace());
        let orders = pair.kind.api(client(&pair.consumer.cluster).await?, pair.name);
        let copies = pair.kind.api(client(&pair.provider.cluster).await?, pair.name);
        let secrets = Api::<Secret>::all(client(&pair.consumer.cluster).await?);
        let sources = Api::<Secret>::all(client(&pair.provider.cluster).await?);
        eventually("the roles to be at work", PATIENCE, || async {
            records.list(&one).await?;
            orders.list(&one).await?;
            copies.list(&one).await?;
            secrets.list(&one).await?;
            sources.list(&one).await?;
            anyhow::Ok(())
        })
        .await;
        Ok(())
    }

    fn broker(&self, planes: &Planes) -> Result<BrokerBuilder> {
        let pair = &self.pair;
        let restricted = |cluster: &Cluster| cluster.kubeconfig_as(&self.account, &[]);
        Ok(Broker::builder(planes, pair.name)
            .coordination(&restricted(&pair.coordination)?)
            .consumer("consumer", &restricted(&pair.consumer.cluster)?)
            .provider("provider", &restricted(&pair.provider.cluster)?)
            .namespace(&self.namespace())
            .watch_kind(&pair.kind.watch_kind())
            .arg("leader-elect", "true"))
    }

    /// What the API servers denied to the broker.
    async fn denied(&self, filter: impl Fn(&AuditEvent) -> bool) -> Result<Vec<String>> {
        let mut denied = Vec::new();
        for cluster in [&self.pair.coordination, &self.pair.consumer.cluster, &self.pair.provider.cluster] {
            // The probes of this test are from other programs than the broker.
            let is_ours = |event: &AuditEvent| {
                event.user == self.account
                    && event.code == 403
                    && event.user_agent.contains("resource-broker")
                    && filter(event)
            };
            let events = cluster.audit(is_ours).await?;
            denied
                .extend(events.iter().map(|event| format!("{}: {} {}", cluster.name(), event.verb, event.request_uri)));
        }
        Ok(denied)
    }

    /// A Plugin that is read, and told that its config map holds no component.
    async fn plugin(&self) -> Result<()> {
        let cluster = &self.pair.coordination;
        let namespace = self.namespace();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "component", "namespace": namespace},
            "binaryData": {"text": ByteString(b"text".to_vec())},
        });
        let plugin = json!({
            "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Plugin",
            "metadata": {"name": "plugin", "namespace": namespace},
            "spec": {
                "component": [{"configMap": "component", "key": "text"}],
                "apis": [{"group": "other.example.com", "resource": "others"}],
            },
        });
        for object in [map, plugin] {
            cluster.apply_yaml(&object.to_string()).await?;
        }
        let plugins = Api::<Plugin>::namespaced(cluster.client().await?, &namespace);
        until(&plugins, "plugin", "to be told", |it| {
            plugged::condition(it, "Loaded").is_some_and(|loaded| loaded.reason == reason::NOT_A_COMPONENT)
        })
        .await;
        Ok(())
    }

    /// Everything that can happen to one object.
    async fn whole_life(&self) -> Result<()> {
        let pair = &self.pair;
        let (orders, copies, copy) = (pair.consumer.widgets(), pair.provider.widgets(), pair.copy_name("web"));
        let (secrets, config_maps) = (pair.consumer.api::<Secret>(), pair.consumer.api::<ConfigMap>());
        self.plugin().await?;
        // Refused, with a word to people; then taken, in a namespace that is made for it.
        pair.provider.offer(pair.name, &json!([{"key": "size", "boundary": {"max": 5}}])).await?;
        pair.consumer.create("web", &json!({"size": 6})).await?;
        until(&orders, "web", "its refusal", |it| fails(it, "Accepted", reason::NO_MATCHING_OFFER)).await;
        pair.consumer.set_spec("web", &json!({"size": 5})).await?;
        let first = until(&copies, &copy, "the copy", |_| true).await;

        let gvk = |kind: &str| json!({"group": "core", "version": "v1", "kind": kind});
        let secret = json!({"metadata": {"name": "tls"}, "stringData": {"key": "one"}});
        pair.provider.api::<Secret>().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let settings = json!({"metadata": {"name": "settings"}, "data": {"key": "one"}});
        let sources = pair.provider.api::<ConfigMap>();
        sources.create(&PostParams::default(), &serde_json::from_value(settings)?).await?;
        let related = json!({
            "tls": {"gvk": gvk("Secret"), "name": "tls"}, "settings": {"gvk": gvk("ConfigMap"), "name": "settings"},
        });
        pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": related})).await?;
        until(&orders, "web", "to be well", is_well).await;
        until(&secrets, "tls", "to come", |_| true).await;
        let change = Patch::Merge(json!({"data": {"key": "two"}}));
        until(&config_maps, "settings", "to come", |_| true).await;
        sources.patch("settings", &PatchParams::default(), &change).await?;
        until(&config_maps, "settings", "the change", |it| it.data.as_ref().is_some_and(|data| data["key"] == "two"))
            .await;
        let less = json!({"settings": related["settings"]});
        pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": less})).await?;
        gone(&secrets, "tls").await;

        pair.consumer.set_spec("web", &json!({"size": 4})).await?;
        until(&copies, &copy, "the change", |it| it.data["spec"]["size"] == 4).await;
        pair.provider.delete(&copy).await?;
        until(&copies, &copy, "another copy", |it| it.uid() != first.uid()).await;
        pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": less})).await?;
        until(&orders, "web", "to be well", is_well).await;
        let offers = pair.provider.offers();
        until(&offers, pair.name, "the broker's word on the offer", |it| {
            it.status.as_ref().is_some_and(|status| status.brokers.len() == 1) && it.finalizers().is_empty()
        })
        .await;

        pair.consumer.delete("web").await?;
        gone(&orders, "web").await;
        gone(&copies, &copy).await;
        gone(&config_maps, "settings").await;
        pair.provider.withdraw(pair.name).await
    }
}

#[tokio::test]
async fn what_the_manifests_grant_is_enough_for_everything() -> TestResult {
    let granted = Granted::new("rights-all").await?;
    let mut broker = granted.broker(Planes::shared().await)?.start().await?;
    granted.whole_life().await?;
    granted.pair.consumer.event("web", reason::NO_MATCHING_OFFER).await;
    assert!(broker.terminate().await?.success());
    let denied = granted.denied(|_| true).await?;
    assert!(denied.is_empty(), "{denied:#?}");
    Ok(())
}

#[tokio::test]
async fn without_permission_for_events_it_works_all_the_same() -> TestResult {
    let granted = Granted::new("rights-no-events").await?;
    let pair = &granted.pair;
    let without = |rules: Option<Vec<PolicyRule>>| {
        let rules = rules.unwrap_or_default().into_iter();
        let is_events = |rule: &PolicyRule| rule.resources.iter().flatten().any(|resource| resource == "events");
        Some(rules.filter(|rule| !is_events(rule)).collect::<Vec<_>>())
    };
    let roles = Api::<Role>::namespaced(pair.coordination.client().await?, &granted.namespace());
    let mut role = roles.get("resource-broker").await?;
    role.rules = without(role.rules);
    roles.replace("resource-broker", &PostParams::default(), &role).await?;
    for side in [&pair.consumer, &pair.provider] {
        let roles = Api::<ClusterRole>::all(side.client.clone());
        let name = format!("{}-{}", pair.name, side.id.role);
        let mut role = roles.get(&name).await?;
        role.rules = without(role.rules);
        roles.replace(&name, &PostParams::default(), &role).await?;
    }
    let mut broker = granted.broker(Planes::shared().await)?.start().await?;
    granted.whole_life().await?;
    assert!(broker.terminate().await?.success());
    let denied = granted.denied(|event| event.resource != "events").await?;
    assert!(denied.is_empty(), "{denied:#?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_told_and_taken_up_when_it_comes() -> TestResult {
    let granted = Granted::new("rights-missing").await?;
    let pair = &granted.pair;
    granted.grant(&pair.provider, &["get", "list", "watch"], &[]).await?;
    let copies = pair.kind.api(pair.provider.cluster.client_as(&granted.account, &[]).await?, pair.name);
    let probe = pair.kind.object(pair.name, "probe", &json!({}));
    pair.provider.cluster.create_namespace(pair.name).await?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the smaller role to be at work", PATIENCE, || async {
        let refused = copies.create(&dry_run, &probe).await;
        ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
        Ok(())
    })
    .await;
    pair.provider.offer(pair.name, &json!([])).await?;
    let _broker = granted.broker(Planes::shared().await)?.start().await?;

    pair.consumer.create("web", &json!({"size": 1})).await?;
    let orders = pair.consumer.widgets();
    let blocked = until(&orders, "web", "what is forbidden", |it| fails(it, "Synced", reason::FORBIDDEN)).await;
    let told = message(&blocked, "Synced");
    assert!(told.contains("provider#provider") && told.contains("widgets"), "{told}");
    pair.consumer.event("web", reason::FORBIDDEN).await;

    granted.grant(&pair.provider, &["get", "list", "watch", "create", "patch", "delete"], &[]).await?;
    assert_eq!(pair.copy("web").await.data["spec"]["size"], 1);
    until(&orders, "web", "to be in step", |it| is(it, "Synced", "True")).await;
    Ok(())
}

/// As the Go broker's own roles have it.
#[tokio::test]
async fn without_rights_on_offers_all_else_works_and_nothing_is_tried_for_ever() -> TestResult {
    let granted = Granted::new("rights-offers").await?;
    let pair = &granted.pair;
    let roles = Api::<ClusterRole>::all(pair.provider.client.clone());
    let name = format!("{}-provider", pair.name);
    let mut role = roles.get(&name).await?;
    for rule in role.rules.iter_mut().flatten() {
        let resources = rule.resources.iter().flatten().map(String::as_str).collect::<Vec<_>>();
        match resources[..] {
            ["acceptapis"] => rule.verbs = ["get", "list", "watch"].map(str::to_owned).to_vec(),
            ["acceptapis/status"] => rule.verbs = vec!["get".to_owned()],
            _ => {}
        }
    }
    roles.replace(&name, &PostParams::default(), &role).await?;
    let offers = Api::<AcceptApi>::default_namespaced(pair.provider.cluster.client_as(&granted.account, &[]).await?);
    pair.provider.offer(pair.name, &json!([])).await?;
    let held = json!({"metadata": {"finalizers": [keys::ACCEPT_API_FINALIZER]}});
    pair.provider.offers().patch(pair.name, &PatchParams::default(), &Patch::Merge(&held)).await?;
    eventually("the smaller role to be at work", PATIENCE, || async {
        let refused = offers.patch(pair.name, &PatchParams::default(), &Patch::Merge(&held)).await;
        ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
        Ok(())
    })
    .await;

    let broker = granted.broker(Planes::shared().await)?.start().await?;
    for name in ["web", "other"] {
        let copy = pair.placed(name, &json!({})).await?.name_any();
        pair.provider.report(&copy, &json!({"status": "Available"})).await?;
        until(&pair.consumer.widgets(), name, "to be well", is_well).await;
    }
    pair.consumer.delete("other").await?;
    gone(&pair.consumer.widgets(), "other").await;
    let is_offers = |event: &AuditEvent| event.resource == "acceptapis" && event.name == pair.name;
    let denied = granted.denied(is_offers).await?;
    assert_eq!(denied.len(), 2, "the status once and the finalizer once: {denied:#?}");
    let logs = broker.logs()?;
    assert_eq!(logs.matches("the broker may not write this").count(), 1, "{logs}");

    // Another try when somebody changes the offer, and one alone.
    pair.provider.offer(pair.name, &json!([{"key": "size", "boundary": {"max": 5}}])).await?;
    eventually("another try", PATIENCE, || async {
        let denied = granted.denied(is_offers).await?;
        ensure!(denied.len() == 4, "{denied:#?}");
        Ok(())
    })
    .await;
    Ok(())
}
