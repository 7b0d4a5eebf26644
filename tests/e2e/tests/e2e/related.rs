//! Related resources: they come when there is something to have, follow the provider, and are nobody else's.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt as _};
use resource_broker_api::{conditions::reason, keys};
use resource_broker_harness::{TestResult, eventually};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, Side, fails, gone, is, is_well, message, until};

/// An entry of `relatedResources`.
fn entry(kind: &str, name: &str) -> Value {
    json!({"gvk": {"group": "", "version": "v1", "kind": kind}, "name": name})
}

async fn make<K>(side: &Side, object: Value) -> Result<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    Ok(side.api().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
}

async fn merge<K>(api: &Api<K>, name: &str, change: &Value) -> Result<K>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    Ok(api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await?)
}

/// The text under one key of a Secret.
fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8_lossy(&bytes.0).into_owned())
}

/// An object `web` whose copy is `Available` with one Secret `HASH-web-tls` that holds `key: one`.
async fn with_secret(pair: &Pair) -> Result<DynamicObject> {
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let secret = json!({"metadata": {"name": pair.copy_name("web-tls")}, "stringData": {"key": "one"}});
    make::<Secret>(&pair.provider, secret).await?;
    let related = json!({"tls": entry("Secret", &pair.copy_name("web-tls"))});
    let copy = pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": related})).await?;
    until(&pair.consumer.api::<Secret>(), "web-tls", "its content", |it| text(it, "key").as_deref() == Some("one"))
        .await;
    Ok(copy)
}

#[tokio::test]
async fn they_come_whole_with_an_owner_when_the_status_says_so() -> TestResult {
    let pair = Pair::new("related-whole").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let secret = json!({
        "metadata": {
            "name": pair.copy_name("web-tls"), "labels": {"theirs": "x"}, "annotations": {"theirs": "x"},
            "finalizers": ["example.com/theirs"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "0", "controller": true}],
        },
        "type": "kubernetes.io/tls", "data": {"tls.crt": "AAH/", "tls.key": "Zm9v"}, "immutable": true,
    });
    let source = make::<Secret>(&pair.provider, secret).await?;
    let settings = json!({"metadata": {"name": "settings"}, "data": {"a": "ü"}, "binaryData": {"b": "AAH/"}});
    let settings = make::<ConfigMap>(&pair.provider, settings).await?;
    let related =
        json!({"tls": entry("Secret", &pair.copy_name("web-tls")), "settings": entry("ConfigMap", "settings")});

    let (secrets, config_maps) = (pair.consumer.api::<Secret>(), pair.consumer.api::<ConfigMap>());
    for state in ["", "Unknown", "Provisioning"] {
        pair.provider.report(&copy, &json!({"status": state, "relatedResources": related})).await?;
        until(&pair.consumer.widgets(), "web", "the status", |it| it.data["status"]["status"] == state).await;
        pair.marker().await?;
        assert!(secrets.get_opt("web-tls").await?.is_none(), "too early: {state:?}");
        assert!(config_maps.get_opt("settings").await?.is_none(), "too early: {state:?}");
    }
    // A provider may have no word for its state at all.
    pair.provider.report(&copy, &json!({"relatedResources": related})).await?;
    let came = until(&secrets, "web-tls", "to come", |_| true).await;
    assert_eq!((&came.type_, &came.data, came.immutable), (&source.type_, &source.data, Some(true)));
    let order = pair.consumer.widgets().get("web").await?;
    let owners: Vec<_> =
        came.owner_references().iter().map(|owner| (&*owner.kind, &*owner.name, owner.uid.clone())).collect();
    assert_eq!(owners, [("Widget", "web", order.uid().unwrap_or_default())]);
    assert_eq!(came.owner_references()[0].api_version, pair.kind.api_version());
    assert_eq!(came.labels().keys().collect::<Vec<_>>(), [keys::RELATED_TO]);
    assert_eq!(came.annotations().keys().collect::<Vec<_>>(), [keys::RELATED_SOURCE]);
    assert_eq!(came.finalizers(), [""; 0]);
    let came = until(&config_maps, "settings", "to come", |_| true).await;
    assert_eq!((&came.data, &came.binary_data), (&settings.data, &settings.binary_data));

    // They are worth keeping while the provider works on it again.
    pair.provider.report(&copy, &json!({"status": "Provisioning"})).await?;
    until(&pair.consumer.widgets(), "web", "the status", |it| it.data["status"]["status"] == "Provisioning").await;
    pair.marker().await?;
    assert!(secrets.get_opt("web-tls").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn they_follow_the_provider() -> TestResult {
    let pair = Pair::new("related-follow").await?;
    let _broker = pair.start().await?;
    let copy = with_secret(&pair).await?;
    let (secrets, sources) = (pair.consumer.api::<Secret>(), pair.provider.api::<Secret>());
    let source = pair.copy_name("web-tls");
    let first = secrets.get("web-tls").await?.uid();

    merge(&sources, &source, &json!({"data": {"key": null}, "stringData": {"other": "two"}})).await?;
    let changed = until(&secrets, "web-tls", "the change", |it| text(it, "other").as_deref() == Some("two")).await;
    assert_eq!((text(&changed, "key"), changed.uid()), (None, first));

    sources.delete(&source, &DeleteParams::default()).await?;
    gone(&secrets, "web-tls").await;
    let orders = pair.consumer.widgets();
    let missing = until(&orders, "web", "what is missing", |it| fails(it, "Synced", reason::RELATED_MISSING)).await;
    assert!(message(&missing, "Synced").contains(&source), "{}", message(&missing, "Synced"));
    make::<Secret>(&pair.provider, json!({"metadata": {"name": source}, "stringData": {"key": "three"}})).await?;
    until(&secrets, "web-tls", "the new one", |it| text(it, "key").as_deref() == Some("three")).await;
    until(&orders, "web", "to be well", is_well).await;

    // The status names another one.
    make::<Secret>(&pair.provider, json!({"metadata": {"name": "elsewhere"}, "stringData": {"key": "four"}})).await?;
    let related = json!({"tls": entry("Secret", "elsewhere")});
    pair.provider.report(&copy.name_any(), &json!({"status": "Available", "relatedResources": related})).await?;
    until(&secrets, "elsewhere", "the other one", |it| text(it, "key").as_deref() == Some("four")).await;
    gone(&secrets, "web-tls").await;

    // The status names none.
    pair.provider.report(&copy.name_any(), &json!({"status": "Available"})).await?;
    gone(&secrets, "elsewhere").await;
    assert!(sources.get_opt("elsewhere").await?.is_some(), "the provider's own stays");
    until(&orders, "web", "to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn what_the_consumer_does_to_them_is_put_back() -> TestResult {
    let pair = Pair::new("related-edits").await?;
    let _broker = pair.start().await?;
    with_secret(&pair).await?;
    let secrets = pair.consumer.api::<Secret>();
    let is_right = |it: &Secret| {
        it.data.as_ref().is_some_and(|data| data.len() == 1)
            && text(it, "key").as_deref() == Some("one")
            && it.labels().contains_key(keys::RELATED_TO)
            && it.owner_references().len() == 1
    };

    merge(
        &secrets,
        "web-tls",
        &json!({"stringData": {"key": "forged", "more": "x"}, "metadata": {"labels": {"mine": "1"}}}),
    )
    .await?;
    let put_back = until(&secrets, "web-tls", "its content to be put back", is_right).await;
    assert_eq!(put_back.labels()["mine"], "1", "a label is the consumer's own business");

    merge(&secrets, "web-tls", &json!({"metadata": {"labels": {keys::RELATED_TO: null}}})).await?;
    until(&secrets, "web-tls", "the broker's label to be put back", is_right).await;
    merge(&secrets, "web-tls", &json!({"metadata": {"ownerReferences": null}})).await?;
    until(&secrets, "web-tls", "its owner to be put back", is_right).await;

    secrets.delete("web-tls", &DeleteParams::default()).await?;
    let again = until(&secrets, "web-tls", "to be made again", is_right).await;
    assert_ne!(again.uid(), put_back.uid());
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn a_secret_of_others_is_never_touched() -> TestResult {
    let pair = Pair::new("related-foreign").await?;
    let _broker = pair.start().await?;
    let mine =
        make::<Secret>(&pair.consumer, json!({"metadata": {"name": "web-tls"}, "stringData": {"key": "mine"}})).await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let source = pair.copy_name("web-tls");
    make::<Secret>(&pair.provider, json!({"metadata": {"name": source}, "stringData": {"key": "theirs"}})).await?;
    make::<Secret>(&pair.provider, json!({"metadata": {"name": "free"}, "stringData": {"key": "theirs"}})).await?;
    let related = json!({"tls": entry("Secret", &source), "free": entry("Secret", "free")});
    pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": related})).await?;

    let (orders, secrets) = (pair.consumer.widgets(), pair.consumer.api::<Secret>());
    let blocked = until(&orders, "web", "what is in the way", |it| fails(it, "Synced", reason::RELATED_CONFLICT)).await;
    let told = message(&blocked, "Synced");
    assert!(told.contains("web-tls") && told.contains("consumer#consumer"), "{told}");
    assert_eq!(pair.consumer.event("web", reason::RELATED_CONFLICT).await, told);
    assert!(is(&blocked, "Ready", "True"), "the provider's word stands");
    until(&secrets, "free", "the other one to come all the same", |_| true).await;
    pair.marker().await?;
    assert_eq!(secrets.get("web-tls").await?, mine, "nothing of it is changed");

    secrets.delete("web-tls", &DeleteParams::default()).await?;
    until(&secrets, "web-tls", "the copy in its place", |it| text(it, "key").as_deref() == Some("theirs")).await;
    until(&orders, "web", "to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn only_allowed_kinds_come_and_never_a_service_accounts_token() -> TestResult {
    let pair = Pair::new("related-allowed").await?;
    let _broker = pair.start().await?;
    let orders = pair.consumer.widgets();
    let copy = pair.placed("web", &json!({})).await?.name_any();
    make::<ConfigMap>(&pair.provider, json!({"metadata": {"name": "fine"}})).await?;
    let token = json!({
        "metadata": {"name": "token", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token", "stringData": {"token": "of the provider"},
    });
    make::<Secret>(&pair.provider, token).await?;
    for refused in [entry("ServiceAccount", "default"), entry("Secret", "token")] {
        let related = json!({"a": refused, "b": entry("ConfigMap", "fine")});
        pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": related})).await?;
        let blocked = until(&orders, "web", "the refusal", |it| {
            fails(it, "Synced", reason::RELATED_NOT_ALLOWED)
                && message(it, "Synced").contains(refused["name"].as_str().unwrap_or_default())
        })
        .await;
        assert!(message(&blocked, "Synced").contains("provider#provider"), "{}", message(&blocked, "Synced"));
        until(&pair.consumer.api::<ConfigMap>(), "fine", "the allowed one", |_| true).await;
        let only = json!({"b": entry("ConfigMap", "fine")});
        pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": only})).await?;
        until(&orders, "web", "to be well", is_well).await;
    }
    assert!(pair.consumer.api::<Secret>().get_opt("token").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn each_consumer_gets_its_own() -> TestResult {
    let pair = Pair::new("related-twins").await?;
    let other = pair.other_consumer().await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    for (side, bytes) in [(&pair.consumer, "of the first"), (&other, "of the second")] {
        side.create("same", &json!({})).await?;
        let (copy, source) = (side.copy_name("same"), side.copy_name("same-tls"));
        until(&pair.provider.widgets(), &copy, "the copy", |_| true).await;
        make::<Secret>(&pair.provider, json!({"metadata": {"name": source}, "stringData": {"key": bytes}})).await?;
        let related = json!({"tls": entry("Secret", &source)});
        pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": related})).await?;
    }
    for (side, bytes) in [(&pair.consumer, "of the first"), (&other, "of the second")] {
        let came =
            until(&side.api::<Secret>(), "same-tls", "its own bytes", |it| text(it, "key").as_deref() == Some(bytes))
                .await;
        let order = side.widgets().get("same").await?;
        assert_eq!(Some(&came.owner_references()[0].uid), order.uid().as_ref());
    }
    pair.consumer.delete("same").await?;
    gone(&pair.consumer.api::<Secret>(), "same-tls").await;
    gone(&pair.consumer.widgets(), "same").await;
    pair.marker().await?;
    assert_eq!(text(&other.api::<Secret>().get("same-tls").await?, "key").as_deref(), Some("of the second"));
    Ok(())
}

#[tokio::test]
async fn an_immutable_secret_that_is_made_anew_is_made_anew() -> TestResult {
    let pair = Pair::new("related-immutable").await?;
    let mut broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let source = pair.copy_name("web-tls");
    let secret = |type_: &str, key: &str| {
        let data = json!({"tls.crt": key, "tls.key": key});
        json!({"metadata": {"name": source}, "type": type_, "stringData": data, "immutable": true})
    };
    make::<Secret>(&pair.provider, secret("Opaque", "one")).await?;
    let related = json!({"tls": entry("Secret", &source)});
    pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": related})).await?;
    let (secrets, sources) = (pair.consumer.api::<Secret>(), pair.provider.api::<Secret>());
    until(&secrets, "web-tls", "to come", |_| true).await;

    // A broker that does not look in between finds another Secret where it left one.
    for (type_, key) in [("Opaque", "two"), ("kubernetes.io/tls", "three")] {
        broker.pause()?;
        sources.delete(&source, &DeleteParams::default()).await?;
        make::<Secret>(&pair.provider, secret(type_, key)).await?;
        broker.resume()?;
        let came = until(&secrets, "web-tls", "the new one", |it| text(it, "tls.crt").as_deref() == Some(key)).await;
        assert_eq!((came.type_.as_deref(), came.immutable), (Some(type_), Some(true)));
    }
    broker.kill9()?;
    sources.delete(&source, &DeleteParams::default()).await?;
    make::<Secret>(&pair.provider, secret("Opaque", "four")).await?;
    broker.restart().await?;
    until(&secrets, "web-tls", "the new one", |it| text(it, "tls.crt").as_deref() == Some("four")).await;
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    Ok(())
}

/// What the consumer's cluster refuses is no reason to take away what it has.
#[tokio::test]
async fn a_secret_stays_as_it_is_where_the_new_one_is_refused() -> TestResult {
    let pair = Pair::new("related-refused").await?;
    let _broker = pair.start().await?;
    with_secret(&pair).await?;
    let policy = format!(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
    resourceRules:
    - {{apiGroups: [''], apiVersions: ['*'], resources: [secrets], operations: [CREATE, UPDATE]}}
  validations:
  - expression: '!has(object.data) || !(\"refused\" in object.data)'
    message: no such key here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
",
        name = pair.name,
    );
    pair.consumer.cluster.apply_yaml(&policy).await?;
    let (secrets, sources) = (pair.consumer.api::<Secret>(), pair.provider.api::<Secret>());
    let probe = json!({"metadata": {"name": "probe"}, "stringData": {"refused": "x"}});
    let probe: Secret = serde_json::from_value(probe)?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy to be at work", PATIENCE, || async {
        ensure!(secrets.create(&dry_run, &probe).await.is_err(), "it is not refused");
        Ok(())
    })
    .await;

    let before = secrets.get("web-tls").await?;
    let source = pair.copy_name("web-tls");
    merge(&sources, &source, &json!({"stringData": {"key": "two", "refused": "x"}})).await?;
    let says = |it: &DynamicObject| message(it, "Synced").contains("no such key here");
    until(&pair.consumer.widgets(), "web", "to say so", says).await;
    let there = secrets.get("web-tls").await?;
    assert_eq!((there.uid(), text(&there, "key").as_deref()), (before.uid(), Some("one")));

    merge(&sources, &source, &json!({"data": {"refused": null}})).await?;
    until(&secrets, "web-tls", "the new content", |it| text(it, "key").as_deref() == Some("two")).await;
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    Ok(())
}

/// A provider need not let the broker see all its Secrets.
#[tokio::test]
async fn where_they_may_not_be_watched_they_are_read_one_by_one() -> TestResult {
    let pair = Pair::new("related-unwatched").await?;
    let name = pair.name;
    let group = pair.kind.group();
    let roles = format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}}}
rules:
- {{apiGroups: ['{group}'], resources: [widgets], verbs: [get, list, watch, create, patch, delete]}}
- {{apiGroups: [broker.platform-mesh.io], resources: [acceptapis], verbs: [get, list, watch, patch]}}
- {{apiGroups: [broker.platform-mesh.io], resources: [acceptapis/status], verbs: [patch]}}
- {{apiGroups: [''], resources: [namespaces], verbs: [create]}}
- {{apiGroups: [''], resources: [secrets], verbs: [get]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {name}}}]
"
    );
    pair.provider.cluster.apply_yaml(&roles).await?;
    let restricted = pair.provider.cluster.client_as(name, &[]).await?;
    let visible = pair.kind.api(restricted.clone(), name);
    eventually("the role to be at work", PATIENCE, || async { visible.list(&ListParams::default()).await }).await;
    pair.provider.offer(name, &json!([])).await?;
    let all = |cluster: &resource_broker_harness::Cluster| cluster.kubeconfig_as(name, &["system:masters"]);
    let _broker = resource_broker_harness::Broker::builder(resource_broker_harness::Planes::shared().await, name)
        .coordination(&all(&pair.coordination)?)
        .consumer("consumer", &all(&pair.consumer.cluster)?)
        .provider("provider", &pair.provider.cluster.kubeconfig_as(name, &[])?)
        .namespace(name)
        .watch_kind(&pair.kind.watch_kind())
        .start()
        .await?;

    let copy = with_secret(&pair).await?;
    let (secrets, sources) = (pair.consumer.api::<Secret>(), pair.provider.api::<Secret>());
    let source = pair.copy_name("web-tls");
    // Whatever else brings the broker to look at the object brings the change.
    merge(&sources, &source, &json!({"stringData": {"key": "two"}})).await?;
    pair.provider.edit(&copy.name_any(), &json!({"metadata": {"labels": {"touched": "1"}}})).await?;
    until(&secrets, "web-tls", "the change", |it| text(it, "key").as_deref() == Some("two")).await;
    merge(&secrets, "web-tls", &json!({"stringData": {"key": "forged"}})).await?;
    until(&secrets, "web-tls", "its content to be put back", |it| text(it, "key").as_deref() == Some("two")).await;

    // Nothing else happens: it comes at the slow pace, after a minute.
    merge(&sources, &source, &json!({"stringData": {"key": "three"}})).await?;
    eventually("the change", 2 * PATIENCE, || async {
        let seen = secrets.get("web-tls").await?;
        ensure!(text(&seen, "key").as_deref() == Some("three"), "{:?}", text(&seen, "key"));
        Ok(())
    })
    .await;
    let lists =
        pair.provider.cluster.audit(|it| it.user == name && it.resource == "secrets" && it.verb != "get").await?;
    assert!(lists.iter().all(|event| event.code == 403) && lists.len() <= 3, "{lists:#?}");

    pair.consumer.delete("web").await?;
    gone(&pair.consumer.widgets(), "web").await;
    gone(&secrets, "web-tls").await;
    Ok(())
}

/// The Secret under a name at the consumer, and the deletes of it that were asked for since a moment.
async fn deletes_of(pair: &Pair, name: &str, position: u64) -> Result<Vec<String>> {
    pair.writes(&pair.consumer.cluster, position, |event| event.verb == "delete" && event.name == name).await
}

#[tokio::test]
async fn what_belongs_to_another_object_stays_whatever_a_status_names() -> TestResult {
    let pair = Pair::new("related-others").await?;
    let _broker = pair.start().await?;
    let (orders, secrets) = (pair.consumer.widgets(), pair.consumer.api::<Secret>());
    with_secret(&pair).await?;
    let first = secrets.get("web-tls").await?;
    let position = pair.consumer.cluster.audit_position().await?;

    // Its status names what the first object has, and what is not there at the provider.
    let copy = pair.placed("thief", &json!({})).await?.name_any();
    let related = json!({"tls": entry("Secret", "web-tls")});
    for round in 0..3 {
        let status = json!({"status": "Available", "message": format!("{round}"), "relatedResources": related});
        pair.provider.report(&copy, &status).await?;
        let blocked = until(&orders, "thief", "whose it is", |it| {
            fails(it, "Synced", reason::RELATED_CONFLICT) && it.data["status"]["message"] == format!("{round}")
        })
        .await;
        assert!(message(&blocked, "Synced").contains("Widget web"), "{}", message(&blocked, "Synced"));
    }
    assert_eq!(deletes_of(&pair, "web-tls", position).await?, [""; 0]);
    assert_eq!(secrets.get("web-tls").await?, first);

    // Nor where the provider has something of that name.
    make::<Secret>(&pair.provider, json!({"metadata": {"name": "web-tls"}, "stringData": {"key": "stolen"}})).await?;
    pair.marker().await?;
    pair.provider.report(&copy, &json!({"status": "Available", "message": "x", "relatedResources": related})).await?;
    until(&orders, "thief", "the status", |it| it.data["status"]["message"] == "x").await;
    pair.marker().await?;
    assert_eq!(secrets.get("web-tls").await?, first);
    until(&orders, "web", "to be well", is_well).await;
    assert_eq!(deletes_of(&pair, "web-tls", position).await?, [""; 0]);

    // When the first one is gone, the name is free.
    pair.consumer.delete("web").await?;
    gone(&orders, "web").await;
    until(&secrets, "web-tls", "the other one's", |it| text(it, "key").as_deref() == Some("stolen")).await;
    until(&orders, "thief", "to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn what_belongs_to_an_object_at_another_provider_stays_too() -> TestResult {
    let pair = Pair::new("related-others-b").await?;
    let other = pair.other_provider().await?;
    pair.provider.offer(pair.name, &json!([{"key": "at", "valueIn": ["here"]}])).await?;
    other.offer(pair.name, &json!([{"key": "at", "valueIn": ["there"]}])).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    let (orders, secrets) = (pair.consumer.widgets(), pair.consumer.api::<Secret>());
    for (side, name, at) in [(&pair.provider, "web", "here"), (&other, "thief", "there")] {
        pair.consumer.create(name, &json!({"at": at})).await?;
        until(&side.widgets(), &pair.copy_name(name), "the copy", |_| true).await;
    }
    let source = pair.copy_name("web-tls");
    make::<Secret>(&pair.provider, json!({"metadata": {"name": source}, "stringData": {"key": "one"}})).await?;
    let related = |name: &str| json!({"status": "Available", "relatedResources": {"tls": entry("Secret", name)}});
    pair.provider.report(&pair.copy_name("web"), &related(&source)).await?;
    let first = until(&secrets, "web-tls", "to come", |_| true).await;
    let position = pair.consumer.cluster.audit_position().await?;

    other.report(&pair.copy_name("thief"), &related(&source)).await?;
    until(&orders, "thief", "whose it is", |it| fails(it, "Synced", reason::RELATED_CONFLICT)).await;
    make::<Secret>(&other, json!({"metadata": {"name": source}, "stringData": {"key": "stolen"}})).await?;
    other.report(&pair.copy_name("thief"), &related("web-tls")).await?;
    until(&orders, "thief", "whose it is", |it| message(it, "Synced").contains(&format!("{}/web-tls", pair.name)))
        .await;
    assert_eq!(secrets.get("web-tls").await?, first);
    assert_eq!(deletes_of(&pair, "web-tls", position).await?, [""; 0]);
    until(&orders, "web", "to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn what_two_consumers_copies_name_is_given_to_the_one_that_owns_it() -> TestResult {
    let pair = Pair::new("related-shared").await?;
    let other = pair.other_consumer().await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let mut broker = pair.broker(&[&other]).await?.start().await?;
    let sides = [&pair.consumer, &other];
    for side in sides {
        side.create("web", &json!({})).await?;
        until(&pair.provider.widgets(), &side.copy_name("web"), "the copy", |_| true).await;
    }
    let sources = pair.provider.api::<Secret>();
    make::<Secret>(&pair.provider, json!({"metadata": {"name": "web-tls"}, "stringData": {"key": "one"}})).await?;
    let related = json!({"status": "Available", "relatedResources": {"tls": entry("Secret", "web-tls")}});
    for side in sides.into_iter().rev() {
        // The first to name it is alone, for a moment.
        pair.provider.report(&side.copy_name("web"), &related).await?;
        if side.id == other.id {
            until(&other.api::<Secret>(), "web-tls", "to come", |_| true).await;
        }
    }
    for side in sides {
        let told =
            until(&side.widgets(), "web", "that it is ambiguous", |it| fails(it, "Synced", reason::RELATED_AMBIGUOUS))
                .await;
        let told = message(&told, "Synced");
        for part in ["web-tls", "provider#provider", "spec.copies.namespace: PerConsumer", keys::SHARED] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
        let foreign = sides.iter().find(|one| one.id != side.id).expect("two");
        assert!(!told.contains(&foreign.copy_name("web")), "another consumer is nobody's business: {told}");
        let told = pair.provider.event(&side.copy_name("web"), reason::RELATED_AMBIGUOUS).await;
        assert!(told.contains(&foreign.copy_name("web")), "the provider has both: {told}");
    }
    let has = |side: &Side, key: &'static str| {
        let secrets = side.api::<Secret>();
        async move { until(&secrets, "web-tls", "its bytes", |it| text(it, "key").as_deref() == Some(key)).await }
    };
    let (mine, theirs) = (pair.consumer.api::<Secret>(), other.api::<Secret>());
    assert!(mine.get_opt("web-tls").await?.is_none(), "the other consumer's key");

    // What is in use stays, and does not change any more; also for a broker that begins anew.
    broker.restart().await?;
    merge(&sources, "web-tls", &json!({"stringData": {"key": "two"}})).await?;
    pair.marker().await?;
    assert!(mine.get_opt("web-tls").await?.is_none());
    assert_eq!(text(&theirs.get("web-tls").await?, "key").as_deref(), Some("one"));

    // An owner that is no copy says nothing; one that is says whose it is.
    let owner = |kind: &str, name: &str, uid: &str| {
        let api_version = if kind == "Pod" { "v1".into() } else { pair.kind.api_version() };
        json!({"metadata": {"ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}]}})
    };
    merge(&sources, "web-tls", &owner("Pod", "p", "0")).await?;
    pair.marker().await?;
    assert!(mine.get_opt("web-tls").await?.is_none());
    let copy = pair.provider.widgets().get(&pair.copy_name("web")).await?;
    merge(&sources, "web-tls", &owner("Widget", &copy.name_any(), &copy.uid().unwrap_or_default())).await?;
    has(&pair.consumer, "two").await;
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    until(&other.widgets(), "web", "whose it is", |it| message(it, "Synced").contains("belongs to")).await;
    assert_eq!(text(&theirs.get("web-tls").await?, "key").as_deref(), Some("one"));

    // The provider means it for all.
    merge(&sources, "web-tls", &json!({"metadata": {"annotations": {keys::SHARED: "true"}}})).await?;
    has(&other, "two").await;
    until(&other.widgets(), "web", "to be well", is_well).await;

    // One of the two does not name it any more.
    merge(&sources, "web-tls", &json!({"metadata": {"annotations": null, "ownerReferences": null}})).await?;
    for side in sides {
        until(&side.widgets(), "web", "that it is ambiguous", |it| fails(it, "Synced", reason::RELATED_AMBIGUOUS))
            .await;
    }
    pair.provider.report(&other.copy_name("web"), &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    gone(&theirs, "web-tls").await;
    Ok(())
}

#[tokio::test]
async fn a_secret_in_another_namespace_comes_only_where_the_offer_lists_it() -> TestResult {
    let pair = Pair::new("related-elsewhere").await?;
    let _broker = pair.start().await?;
    let (orders, secrets) = (pair.consumer.widgets(), pair.consumer.api::<Secret>());
    let admin_key = format!("{}-admin-key", pair.name);
    let system = Api::<Secret>::namespaced(pair.provider.client.clone(), "kube-system");
    let secret = json!({"metadata": {"name": admin_key}, "stringData": {"key": "of the provider"}});
    system.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let mut key = entry("Secret", &admin_key);
    key["namespace"] = "kube-system".into();
    pair.provider.report(&copy, &json!({"status": "Available", "relatedResources": {"key": key}})).await?;

    let refused = until(&orders, "web", "the refusal", |it| fails(it, "Synced", reason::RELATED_NOT_ALLOWED)).await;
    for told in [message(&refused, "Synced"), &pair.provider.event(&copy, reason::RELATED_NOT_ALLOWED).await] {
        for part in ["kube-system", &admin_key, "spec.relatedResources.namespaces", pair.name] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }
    pair.marker().await?;
    assert!(secrets.get_opt(&admin_key).await?.is_none());

    let listed = json!({"spec": {"relatedResources": {"namespaces": ["kube-system"]}}});
    merge(&pair.provider.offers(), pair.name, &listed).await?;
    until(&secrets, &admin_key, "to come", |_| true).await;
    until(&orders, "web", "to be well", is_well).await;

    // What was given stays; the broker's word is on the order again.
    merge(&pair.provider.offers(), pair.name, &json!({"spec": {"relatedResources": null}})).await?;
    until(&orders, "web", "the refusal", |it| fails(it, "Synced", reason::RELATED_NOT_ALLOWED)).await;
    assert!(secrets.get_opt(&admin_key).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn what_went_with_its_copy_stays_until_the_copy_is_made_again() -> TestResult {
    let pair = Pair::new("related-remade").await?;
    let mut broker = pair.start().await?;
    let copy = with_secret(&pair).await?;
    let (secrets, sources) = (pair.consumer.api::<Secret>(), pair.provider.api::<Secret>());
    let first = secrets.get("web-tls").await?;

    // As the end of a namespace takes them: the Secret a moment before the copy.
    sources.delete(&pair.copy_name("web-tls"), &DeleteParams::default()).await?;
    let orders = pair.consumer.widgets();
    until(&orders, "web", "what is missing", |it| fails(it, "Synced", reason::RELATED_MISSING)).await;
    pair.provider.delete(&copy.name_any()).await?;
    until(&pair.provider.widgets(), &copy.name_any(), "another copy", |it| it.uid() != copy.uid()).await;
    for status in [
        json!({"status": "Available", "message": "first"}),
        json!({"status": "Available", "message": "second",
            "relatedResources": {"tls": entry("Secret", &pair.copy_name("web-tls"))}}),
    ] {
        pair.provider.report(&copy.name_any(), &status).await?;
        until(&orders, "web", "the status", |it| it.data["status"]["message"] == status["message"]).await;
        pair.marker().await?;
        assert_eq!(secrets.get("web-tls").await?, first);
        broker.restart().await?;
        pair.marker().await?;
        assert_eq!(secrets.get("web-tls").await?, first);
    }
    let secret = json!({"metadata": {"name": pair.copy_name("web-tls")}, "stringData": {"key": "two"}});
    make::<Secret>(&pair.provider, secret).await?;
    let renewed = until(&secrets, "web-tls", "the new one", |it| text(it, "key").as_deref() == Some("two")).await;
    assert_eq!(renewed.uid(), first.uid());
    until(&orders, "web", "to be well", is_well).await;
    Ok(())
}
