//! The copy at the provider: what it holds, whose each part of it is, and what it is never mistaken for.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use resource_broker_api::{conditions::reason, keys, names::bucket};
use resource_broker_harness::{TestResult, eventually};
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, fails, gone, is, is_well, message, recorded, until};

/// What somebody who is not the broker wrote last.
const OPERATOR: &str = "operator";

#[tokio::test]
async fn an_object_is_copied_as_it_is_with_the_brokers_marks_alone() -> TestResult {
    let pair = Pair::new("copy-whole").await?;
    let namespaces = Api::<Namespace>::all(pair.provider.client.clone());
    assert!(namespaces.get_opt(pair.name).await?.is_none(), "the broker is to make the namespace");
    let _broker = pair.start().await?;

    let spec = json!({
        "size": 9_007_199_254_740_993_i64, "engine": "ü \"quoted\"", "replicas": 2, "tags": ["b", "a", "b"],
        "nested": {"list": [1, {"deep": [null, 2.5]}], "empty": {}}, "unheardOf": [[], ""],
    });
    let mut object = pair.kind.object(pair.name, "web", &spec);
    object.metadata.labels = Some([("team".to_owned(), "blue".to_owned())].into());
    object.metadata.annotations = Some([("note".to_owned(), "mine".to_owned())].into());
    let order = pair.consumer.widgets().create(&PostParams::default(), &object).await?;

    let copy = pair.copy("web").await;
    assert_eq!(copy.data["spec"], spec);
    let record = pair.record_name("web");
    let labels = [(keys::ASSIGNMENT, record.clone()), (keys::BUCKET, bucket(&record).to_string())];
    let labels = labels.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(*copy.labels(), labels.into(), "{:?}", copy.labels());
    let broker = pair.coordination.client().await?;
    let broker = Api::<Namespace>::all(broker).get(pair.name).await?.uid().unwrap_or_default();
    let marks =
        [(keys::CONSUMER_CLUSTER, "consumer#consumer"), (keys::CONSUMER_NAME, "web"), (keys::BROKER, broker.as_str())];
    let marks = marks.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(*copy.annotations(), marks.into(), "{:?}", copy.annotations());
    assert_eq!(copy.finalizers(), [keys::GENERIC_FINALIZER]);
    assert!(copy.owner_references().is_empty());
    assert!(namespaces.get_opt(pair.name).await?.is_some());

    let shown = until(&pair.consumer.widgets(), "web", "its marks", |it| !it.finalizers().is_empty()).await;
    assert_eq!(shown.finalizers(), [keys::GENERIC_FINALIZER]);
    assert_eq!(shown.annotations()[keys::PROVIDER_CLUSTER], "provider#provider");
    assert_eq!((&shown.annotations()["note"], &shown.labels()["team"]), (&"mine".to_owned(), &"blue".to_owned()));
    assert_eq!((&shown.data["spec"], shown.uid()), (&spec, order.uid()));

    let record = until(&pair.records, &pair.record_name("web"), "the copy's UID", |it| {
        it.status.as_ref().is_some_and(|status| status.copy.is_some())
    })
    .await;
    assert_eq!(record.status.and_then(|status| status.copy).map(|copy| copy.uid), copy.uid());
    assert_eq!(Some(record.spec.consumer.uid), order.uid());
    assert_eq!(
        (record.spec.provider.cluster.as_str(), record.spec.provider.name),
        ("provider#provider", copy.name_any())
    );
    Ok(())
}

#[tokio::test]
async fn equal_names_in_two_consumers_are_two_objects() -> TestResult {
    let pair = Pair::new("copy-twins").await?;
    let other = pair.other_consumer().await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    pair.consumer.create("same", &json!({"size": 1})).await?;
    other.create("same", &json!({"size": 2})).await?;

    let copies = pair.provider.widgets();
    let (first, second) = (pair.consumer.copy_name("same"), other.copy_name("same"));
    for (name, size, state) in [(&first, 1, "Available"), (&second, 2, "Failed")] {
        until(&copies, name, "the copy of its own object", |it| it.data["spec"]["size"] == size).await;
        pair.provider.report(name, &json!({"status": state})).await?;
    }
    for (side, state) in [(&pair.consumer, "Available"), (&other, "Failed")] {
        until(&side.widgets(), "same", "the status of its own copy", |it| it.data["status"]["status"] == state).await;
    }
    pair.consumer.set_spec("same", &json!({"size": 3})).await?;
    until(&copies, &first, "the change", |it| it.data["spec"]["size"] == 3).await;

    pair.consumer.delete("same").await?;
    gone(&pair.consumer.widgets(), "same").await;
    pair.marker().await?;
    let left = copies.get(&second).await?;
    assert_eq!((&left.data["spec"]["size"], left.metadata.deletion_timestamp), (&json!(2), None));
    assert_eq!(other.widgets().get("same").await?.data["status"]["status"], "Failed");
    Ok(())
}

#[tokio::test]
async fn what_the_consumer_removes_disappears_from_the_copy() -> TestResult {
    let pair = Pair::new("copy-removal").await?;
    let _broker = pair.start().await?;
    let whole = json!({
        "size": 1, "engine": "x", "replicas": 1, "tags": ["a", "b"],
        "nested": {"kept": 1, "gone": {"with": "all"}}, "other": {"gone": true},
    });
    let copy = pair.placed("web", &whole).await?;
    assert_eq!(copy.data["spec"], whole);

    let less = json!({"size": 1, "replicas": 1, "tags": ["a"], "nested": {"kept": 1}});
    pair.consumer.set_spec("web", &less).await?;
    until(&pair.provider.widgets(), &copy.name_any(), "only what is left", |it| it.data["spec"] == less).await;
    let bare = json!({"replicas": 1});
    pair.consumer.set_spec("web", &bare).await?;
    until(&pair.provider.widgets(), &copy.name_any(), "nothing but the default", |it| it.data["spec"] == bare).await;
    Ok(())
}

#[tokio::test]
async fn what_the_provider_adds_stays_and_nobody_fights_over_it() -> TestResult {
    let pair = Pair::bare("copy-defaults", "consumer", "provider").await?;
    pair.kind.install(&pair.consumer.cluster).await?;
    let mut crd = serde_json::to_value(pair.kind.crd()?)?;
    let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    spec["tier"] = json!({"type": "string", "default": "gold"});
    spec["nested"]["properties"] = json!({"zone": {"type": "string", "default": "north"}});
    pair.provider.cluster.install_crd(&serde_json::from_value(crd)?).await?;
    let _broker = pair.start().await?;

    let copy = pair.placed("web", &json!({"size": 1, "nested": {"a": 1}})).await?.name_any();
    let copies = pair.provider.widgets();
    until(&copies, &copy, "the provider's defaults", |it| {
        it.data["spec"]["tier"] == "gold" && it.data["spec"]["nested"] == json!({"a": 1, "zone": "north"})
    })
    .await;
    // Each is another way in which an operator may write.
    let applied = json!({
        "apiVersion": pair.kind.api_version(), "kind": "Widget",
        "metadata": {"labels": {"operator": "yes"}, "finalizers": ["example.com/operator"]},
        "spec": {"placed": {"rack": 7}},
    });
    copies.patch(&copy, &PatchParams::apply(OPERATOR), &Patch::Apply(&applied)).await?;
    pair.provider.edit(&copy, &json!({"spec": {"nested": {"zone": "south"}}})).await?;
    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "web", "all to be well", is_well).await;
    pair.marker().await?;

    let position = pair.provider.cluster.audit_position().await?;
    pair.provider.edit(&copy, &json!({"metadata": {"annotations": {"operator": "was here"}}})).await?;
    pair.provider.edit(&copy, &json!({"spec": {"tier": "silver"}})).await?;
    pair.provider.report(&copy, &json!({"status": "Available", "seen": 2})).await?;
    until(&pair.consumer.widgets(), "web", "the last report", |it| it.data["status"]["seen"] == 2).await;
    pair.marker().await?;
    let writes = pair.writes(&pair.provider.cluster, position, |event| event.name == copy).await?;
    assert!(writes.is_empty(), "a write war: {writes:#?}");

    pair.consumer.set_spec("web", &json!({"size": 2, "nested": {"b": 2}})).await?;
    let kept = until(&copies, &copy, "the consumer's change", |it| it.data["spec"]["size"] == 2).await;
    let nested = json!({"b": 2, "zone": "south"});
    assert_eq!(
        kept.data["spec"],
        json!({"size": 2, "replicas": 1, "nested": nested, "tier": "silver", "placed": {"rack": 7}})
    );
    assert_eq!((kept.labels()["operator"].as_str(), kept.annotations()["operator"].as_str()), ("yes", "was here"));
    let writes = pair.writes(&pair.provider.cluster, position, |event| event.name == copy).await?;
    assert_eq!(writes.len(), 1, "one change is one apply: {writes:#?}");

    // Otherwise the operator's finalizer would hold it for ever.
    pair.provider.edit(&copy, &json!({"metadata": {"finalizers": [keys::GENERIC_FINALIZER]}})).await?;
    Ok(())
}

#[tokio::test]
async fn a_provider_that_rewrites_what_it_is_given_causes_no_write_war() -> TestResult {
    let pair = Pair::new("copy-rewriting").await?;
    let policy = format!(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
    - {{apiGroups: ['{group}'], apiVersions: ['*'], resources: [widgets], operations: [CREATE, UPDATE]}}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{{spec: Object.spec{{engine: object.spec.engine.lowerAscii()}}}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}}}
",
        name = pair.name,
        group = pair.kind.group(),
    );
    pair.provider.cluster.apply_yaml(&policy).await?;
    rewriting(&pair).await?;
    let mut broker = pair.start().await?;

    let copy = pair.placed("web", &json!({"engine": "Postgres"})).await?;
    assert_eq!(copy.data["spec"]["engine"], "postgres", "the policy is at work");
    pair.provider.report(&copy.name_any(), &json!({"status": "Available"})).await?;
    until(&pair.consumer.widgets(), "web", "all to be well", is_well).await;
    let copied_with = json!({"engine": "x"});
    pair.consumer.create("after", &copied_with).await?;
    pair.copy("after").await;
    let ours = |event: &resource_broker_harness::AuditEvent| event.name == copy.name_any();
    let writes = pair.writes(&pair.provider.cluster, 0, ours).await?;
    assert_eq!(writes.len(), 1, "{writes:#?}");

    // A broker that starts anew cannot know what its last apply became: it asks once, which changes nothing.
    let before = pair.provider.widgets().get(&copy.name_any()).await?.resource_version();
    broker.restart().await?;
    pair.consumer.create("later", &copied_with).await?;
    pair.copy("later").await;
    let writes = pair.writes(&pair.provider.cluster, 0, ours).await?;
    assert!(writes.len() <= 2, "{writes:#?}");
    assert_eq!(pair.provider.widgets().get(&copy.name_any()).await?.resource_version(), before);
    Ok(())
}

/// An API server takes a new policy in a moment later.
async fn rewriting(pair: &Pair) -> Result<()> {
    pair.provider.cluster.create_namespace(pair.name).await?;
    let probe = pair.kind.object(pair.name, "probe", &json!({"engine": "X"}));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy to be at work", PATIENCE, || async {
        let made = pair.provider.widgets().create(&dry_run, &probe).await?;
        ensure!(made.data["spec"]["engine"] == "x", "{}", made.data["spec"]);
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn edits_of_what_is_the_brokers_are_put_back_and_others_are_left() -> TestResult {
    let pair = Pair::new("copy-edits").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({"size": 1, "tags": ["a"], "nested": {"x": 1}})).await?.name_any();
    let copies = pair.provider.widgets();
    // By the UID in the record the broker knows its copy again without its marks.
    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&pair.records, &pair.record_name("web"), "the copy's UID", |it| {
        it.status.as_ref().is_some_and(|status| status.copy.is_some())
    })
    .await;
    let kubectl = async |patch: Value| {
        let (crd, patch) = (pair.kind.crd_name(), patch.to_string());
        let args = ["patch", &crd, &copy, "-n", pair.name, "--type=merge", "-p", &patch];
        pair.provider.cluster.kubectl(&args).await
    };

    kubectl(json!({
        "metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "2"}},
        "spec": {"size": 9, "tags": ["b"], "theirs": 3, "nested": {"theirs": 4}},
    }))
    .await?;
    let put_back = until(&copies, &copy, "what was changed to be put back", |it| it.data["spec"]["size"] == 1).await;
    let expected = json!({"size": 1, "replicas": 1, "tags": ["a"], "nested": {"x": 1, "theirs": 4}, "theirs": 3});
    assert_eq!(put_back.data["spec"], expected);
    assert_eq!((put_back.labels()["theirs"].as_str(), put_back.annotations()["theirs"].as_str()), ("1", "2"));

    kubectl(json!({"spec": {"size": null, "nested": {"x": null}}})).await?;
    until(&copies, &copy, "what was removed to be put back", |it| it.data["spec"] == expected).await;
    let marks = put_back.annotations().clone();
    kubectl(json!({"metadata": {"finalizers": null, "annotations": {keys::CONSUMER_NAME: null}}})).await?;
    until(&copies, &copy, "the broker's marks to be put back", |it| {
        it.finalizers() == [keys::GENERIC_FINALIZER] && *it.annotations() == marks
    })
    .await;
    assert_eq!(copies.get(&copy).await?.data["spec"], expected);
    Ok(())
}

#[tokio::test]
async fn a_contest_over_a_field_slows_down_and_is_told() -> TestResult {
    let pair = Pair::new("copy-contest").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({"size": 1})).await?.name_any();
    let orders = pair.consumer.widgets();
    let told = eventually("the contest to be told", PATIENCE, || async {
        if pair.provider.widgets().get(&copy).await?.data["spec"]["size"] == 1 {
            pair.provider.edit(&copy, &json!({"spec": {"size": 2}})).await?;
        }
        let order = orders.get("web").await?;
        ensure!(fails(&order, "Synced", reason::CONTESTED), "{}", order.data["status"]);
        Ok(order)
    })
    .await;
    assert!(message(&told, "Synced").contains("keeps changing or deleting the copy"), "{}", message(&told, "Synced"));
    pair.consumer.event("web", reason::CONTESTED).await;

    // The one who changes it gives in, and the object is in step again.
    until(&pair.provider.widgets(), &copy, "the consumer's value", |it| it.data["spec"]["size"] == 1).await;
    until(&orders, "web", "to be in step", |it| is(it, "Synced", "True")).await;
    Ok(())
}

#[tokio::test]
async fn long_names_fit_and_stay_apart() -> TestResult {
    let pair = Pair::new("copy-long-names").await?;
    let _broker = pair.start().await?;
    // The longest name; one that differs at its end; and the longest whose copy's name holds it whole.
    let names = ["a".repeat(253), format!("{}b", "a".repeat(252)), "c".repeat(240)];
    let mut seen = BTreeSet::new();
    for (size, name) in names.iter().enumerate() {
        let copy = pair.placed(name, &json!({"size": size})).await?;
        assert_eq!(copy.data["spec"]["size"], size);
        assert_eq!(copy.annotations()[keys::CONSUMER_NAME], *name);
        assert_eq!(copy.name_any().len(), 253);
        assert!(seen.insert(copy.name_any()));
        let secret = json!({"metadata": {"name": format!("secret-{size}")}, "stringData": {"size": size.to_string()}});
        pair.provider.api::<Secret>().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let gvk = json!({"group": "", "version": "v1", "kind": "Secret"});
        let related = json!({"credentials": {"gvk": gvk, "name": format!("secret-{size}")}});
        pair.provider.report(&copy.name_any(), &json!({"status": "Available", "relatedResources": related})).await?;
    }
    for (size, name) in names.iter().enumerate() {
        let order = until(&pair.consumer.widgets(), name, "to be well", is_well).await;
        let secret = pair.consumer.api::<Secret>().get(&format!("secret-{size}")).await?;
        assert_eq!(secret.owner_references()[0].uid, order.uid().unwrap_or_default());
        pair.consumer.delete(name).await?;
    }
    for name in &names {
        gone(&pair.consumer.widgets(), name).await;
        gone(&pair.provider.widgets(), &pair.copy_name(name)).await;
        gone(&pair.records, &pair.record_name(name)).await;
    }
    Ok(())
}

#[tokio::test]
async fn an_object_of_others_under_the_copys_name_is_not_adopted() -> TestResult {
    let pair = Pair::new("copy-foreign").await?;
    pair.provider.cluster.create_namespace(pair.name).await?;
    let (copies, copy) = (pair.provider.widgets(), pair.copy_name("web"));
    let foreign = pair.provider.create(&copy, &json!({"size": 7})).await?;
    let mut broker = pair.start().await?;

    // It is there before the object: the object is not placed.
    pair.consumer.create("web", &json!({"size": 1})).await?;
    let refused =
        until(&pair.consumer.widgets(), "web", "the reason", |it| fails(it, "Accepted", reason::NO_MATCHING_OFFER))
            .await;
    let told = message(&refused, "Accepted").to_owned();
    assert!(told.contains("provider#provider") && told.contains(&copy) && told.contains("did not make"), "{told}");
    assert_eq!(pair.consumer.event("web", reason::NO_MATCHING_OFFER).await, told);
    pair.marker().await?;
    assert_eq!(copies.get(&copy).await?, foreign, "nothing of it is changed");
    assert!(pair.records.get_opt(&pair.record_name("web")).await?.is_none());
    pair.provider.delete(&copy).await?;
    until(&copies, &copy, "the copy in its place", |it| it.data["spec"]["size"] == 1).await;

    // It takes the place of a copy while nobody looks: the record names another one.
    broker.kill9()?;
    pair.provider.edit(&copy, &json!({"metadata": {"finalizers": null}})).await?;
    pair.provider.delete(&copy).await?;
    gone(&copies, &copy).await;
    let foreign = pair.provider.create(&copy, &json!({"size": 8})).await?;
    broker.restart().await?;
    let blocked =
        until(&pair.consumer.widgets(), "web", "the reason", |it| fails(it, "Synced", reason::NAME_TAKEN)).await;
    let told = message(&blocked, "Synced");
    assert!(told.contains("provider#provider") && told.contains(&copy), "{told}");
    assert_eq!(pair.consumer.event("web", reason::NAME_TAKEN).await, told);
    pair.marker().await?;
    assert_eq!(copies.get(&copy).await?, foreign, "nothing of it is changed");
    pair.provider.delete(&copy).await?;
    until(&copies, &copy, "the copy in its place", |it| it.data["spec"]["size"] == 1).await;
    until(&pair.consumer.widgets(), "web", "to be in step", |it| is(it, "Synced", "True")).await;
    Ok(())
}

/// A kind of the core group, without a status; and related resources of a kind that is brokered itself.
#[tokio::test]
async fn config_maps_are_copied_and_copies_of_related_ones_are_not() -> TestResult {
    let pair = Pair::bare("copy-config-maps", "cm-consumer", "cm-provider").await?;
    for side in [&pair.consumer, &pair.provider] {
        pair.kind.install(&side.cluster).await?;
    }
    pair.provider.offer(pair.name, &json!([])).await?;
    let gvr = json!({"group": "", "version": "v1", "resource": "configmaps"});
    pair.provider.offer_of("config-maps", &gvr, &json!([])).await?;
    let _broker = pair.broker(&[]).await?.watch_kind("ConfigMap.v1.core").start().await?;

    let (orders, copies) = (pair.consumer.api::<ConfigMap>(), pair.provider.api::<ConfigMap>());
    let data = json!({"a": "1", "b": "line\nbreak ü", "empty": ""});
    let whole = json!({"metadata": {"name": "plain"}, "data": data, "binaryData": {"raw": "AAH/gA=="}});
    let order: ConfigMap = serde_json::from_value(whole)?;
    orders.create(&PostParams::default(), &order).await?;
    let name = pair.copy_name("plain");
    let copy = until(&copies, &name, "the copy", |_| true).await;
    assert_eq!((&copy.data, &copy.binary_data), (&order.data, &order.binary_data));
    let record = record_of(&pair, "plain");
    let record = until(&pair.records, &record, "Ready, since no status will come", |it| {
        recorded(it, "Ready") == Some(("True", reason::SYNCED))
            && recorded(it, "Synced") == Some(("True", reason::SYNCED))
    })
    .await;
    assert_eq!(record.spec.consumer.kind, "ConfigMap");
    let less = json!([
        {"op": "replace", "path": "/data", "value": {"b": "2"}},
        {"op": "remove", "path": "/binaryData"},
    ]);
    let less = Patch::<Value>::Json(serde_json::from_value(less)?);
    orders.patch("plain", &PatchParams::default(), &less).await?;
    until(&copies, &name, "only what is left", |it| {
        it.binary_data.is_none() && it.data.as_ref().is_some_and(|data| *data == [("b".into(), "2".into())].into())
    })
    .await;

    related_config_map(&pair).await?;

    orders.delete("plain", &DeleteParams::default()).await?;
    gone(&orders, "plain").await;
    gone(&copies, &name).await;
    gone(&pair.records, &record.name_any()).await;
    Ok(())
}

fn record_of(pair: &Pair, config_map: &str) -> String {
    resource_broker_api::names::assignment_name(&pair.consumer.id, "", "ConfigMap", Some(pair.name), config_map)
}

async fn related_config_map(pair: &Pair) -> Result<()> {
    let copy = pair.placed("web", &json!({})).await?;
    let settings = json!({"metadata": {"name": "settings"}, "data": {"url": "https://web"}});
    let sources = pair.provider.api::<ConfigMap>();
    sources.create(&PostParams::default(), &serde_json::from_value(settings)?).await?;
    let related =
        json!({"settings": {"gvk": {"group": "core", "version": "v1", "kind": "ConfigMap"}, "name": "settings"}});
    pair.provider.report(&copy.name_any(), &json!({"status": "Available", "relatedResources": related})).await?;
    let orders = pair.consumer.api::<ConfigMap>();
    let came = until(&orders, "settings", "the related config map", |_| true).await;
    assert_eq!(came.labels().get(keys::RELATED_TO), Some(&pair.record_name("web")));

    // Made later and copied: so the one before would have been, too.
    let later: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "later"}}))?;
    orders.create(&PostParams::default(), &later).await?;
    until(&sources, &pair.copy_name("later"), "the copy", |_| true).await;
    pair.marker().await?;
    let there = orders.get("settings").await?;
    assert!(there.finalizers().is_empty() && !there.annotations().contains_key(keys::PROVIDER_CLUSTER), "{there:?}");
    assert!(pair.records.get_opt(&record_of(pair, "settings")).await?.is_none());
    let names: Vec<String> =
        sources.list(&ListParams::default()).await?.iter().map(kube::ResourceExt::name_any).collect();
    assert!(!names.contains(&pair.copy_name("settings")), "{names:?}");
    let source: &DynamicObject = &pair.provider.widgets().get(&copy.name_any()).await?;
    assert_eq!(source.data["status"]["relatedResources"], related);
    pair.consumer.delete("web").await.context("cannot delete web")?;
    gone(&pair.consumer.widgets(), "web").await;
    gone(&orders, "settings").await;
    assert!(sources.get_opt("settings").await?.is_some(), "the provider's own stays");
    Ok(())
}
