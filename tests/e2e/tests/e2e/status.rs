//! The provider's status at the consumer, with the broker's conditions beside it.

use anyhow::{Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use resource_broker_api::conditions::reason;
use resource_broker_harness::{AuditEvent, TestResult, eventually};
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, condition, fails, is, is_well, message, recorded, until};

/// A condition as a provider reports it.
fn reported(type_: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": format!("{type_} is {status}"),
        "observedGeneration": 1, "lastTransitionTime": "2026-01-02T03:04:05Z",
    })
}

fn types(object: &DynamicObject) -> Vec<&str> {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().filter_map(|condition| condition["type"].as_str()).collect()
}

#[tokio::test]
async fn the_whole_status_comes_with_names_and_namespaces_of_the_consumer() -> TestResult {
    let pair = Pair::new("status-whole").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let (widget, other) = (json!({"group": "g", "version": "v1", "kind": "Thing"}), json!({"x": [1]}));
    pair.provider
        .report(
            &copy,
            &json!({
                "status": "Provisioning", "phase": "ü \"odd\"", "nested": {"list": [{"a": 1}, null, []], "empty": {}},
                "exact": [9_007_199_254_740_993_i64, i64::MAX, i64::MIN, 0.1, -2.5e-10],
                "conditions": [reported("Issued", "False", "Waiting"), reported("Synced", "Unknown", "Theirs")],
                "relatedResources": {
                    "ours": {"gvk": widget, "name": pair.copy_name("web-tls"), "namespace": pair.name, "more": other},
                    "plain": {"gvk": widget, "name": "plain", "namespace": "somewhere-else"},
                    "bare": {"gvk": widget, "name": "bare"},
                },
            }),
        )
        .await?;
    let shown =
        until(&pair.consumer.widgets(), "web", "the status", |it| it.data["status"]["phase"] == "ü \"odd\"").await;
    let mut status = shown.data["status"].clone();
    let conditions = status["conditions"].take();
    assert_eq!(
        status,
        json!({
            "status": "Provisioning", "phase": "ü \"odd\"", "nested": {"list": [{"a": 1}, null, []], "empty": {}},
            "exact": [9_007_199_254_740_993_i64, i64::MAX, i64::MIN, 0.1, -2.5e-10],
            "conditions": null,
            "relatedResources": {
                "ours": {"gvk": widget, "name": "web-tls", "namespace": pair.name, "more": other},
                "plain": {"gvk": widget, "name": "plain", "namespace": pair.name},
                "bare": {"gvk": widget, "name": "bare", "namespace": pair.name},
            },
        })
    );
    assert_eq!(types(&shown), ["Issued", "Accepted", "Synced", "Ready"], "{conditions}");
    assert_eq!(*condition(&shown, "Issued"), reported("Issued", "False", "Waiting"));
    assert!(is(&shown, "Accepted", "True") && is(&shown, "Ready", "False"), "{conditions}");
    assert_eq!(condition(&shown, "Ready")["reason"], "Provisioning");

    pair.provider.report(&copy, &json!({"status": "Available", "left": true})).await?;
    let shown = until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    let fields: Vec<&String> = shown.data["status"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
    assert_eq!(fields, ["conditions", "left", "status"], "what the provider removed is gone");
    assert_eq!(types(&shown), ["Accepted", "Synced", "Ready"]);
    Ok(())
}

#[tokio::test]
async fn kubectl_can_wait_for_an_object_to_be_ready() -> TestResult {
    let pair = Pair::new("status-kubectl").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let object = format!("{}/web", pair.kind.crd_name());
    let args = ["wait", "--for=condition=Ready", &object, "-n", pair.name, "--timeout=60s"];
    let waiting = pair.consumer.cluster.kubectl(&args);
    let report = async {
        // The one who waits has to see it become true.
        until(&pair.consumer.widgets(), "web", "that nothing was reported", |it| fails(it, "Ready", reason::PENDING))
            .await;
        pair.provider.report(&copy, &json!({"status": "Available"})).await
    };
    let (waited, reported) = tokio::join!(waiting, report);
    reported?;
    assert!(waited?.contains("condition met"));
    Ok(())
}

#[tokio::test]
async fn a_provider_may_say_itself_what_is_ready() -> TestResult {
    let pair = Pair::new("status-ready").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let orders = pair.consumer.widgets();
    for (word, status, why) in
        [("Available", "False", "Warming"), ("Provisioning", "True", "Serving"), ("Available", "Unknown", "Lost")]
    {
        let ready = reported("Ready", status, why);
        pair.provider.report(&copy, &json!({"status": word, "conditions": [ready]})).await?;
        let shown = until(&orders, "web", "the provider's word", |it| *condition(it, "Ready") == ready).await;
        assert_eq!(types(&shown).iter().filter(|type_| **type_ == "Ready").count(), 1);
    }
    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    let shown = until(&orders, "web", "the broker's word", |it| is(it, "Ready", "True")).await;
    assert_eq!(condition(&shown, "Ready")["reason"], "Available");
    until(&pair.records, &pair.record_name("web"), "the same", |it| {
        recorded(it, "Ready") == Some(("True", "Available"))
    })
    .await;
    Ok(())
}

/// The definition of the pair's kind with another schema of its status.
fn with_status(pair: &Pair, status: &Value) -> Result<CustomResourceDefinition> {
    let mut crd = serde_json::to_value(pair.kind.crd()?)?;
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = status.clone();
    Ok(serde_json::from_value(crd)?)
}

#[tokio::test]
async fn a_status_that_the_consumers_schema_refuses_is_told_and_holds_up_nothing() -> TestResult {
    let pair = Pair::bare("status-refused", "consumer", "provider").await?;
    let crd = serde_json::to_value(pair.kind.crd()?)?;
    let mut status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"].clone();
    status["properties"]["phase"] = json!({"type": "string", "enum": ["good"]});
    pair.consumer.cluster.install_crd(&with_status(&pair, &status)?).await?;
    pair.kind.install(&pair.provider.cluster).await?;
    let _broker = pair.start().await?;
    let orders = pair.consumer.widgets();
    let copy = pair.placed("web", &json!({"size": 1})).await?.name_any();
    pair.provider.report(&copy, &json!({"status": "Available", "phase": "good", "seen": 1})).await?;
    until(&orders, "web", "to be well", is_well).await;

    let position = pair.consumer.cluster.audit_position().await?;
    pair.provider.report(&copy, &json!({"status": "Available", "phase": "bad", "seen": 2})).await?;
    let refused = until(&orders, "web", "the refusal", |it| fails(it, "Synced", reason::INVALID)).await;
    assert!(message(&refused, "Synced").contains("status.phase"), "{}", message(&refused, "Synced"));
    assert_eq!(refused.data["status"]["seen"], 1, "the last good status stays");
    pair.consumer.event("web", reason::INVALID).await;
    pair.consumer.set_spec("web", &json!({"size": 2})).await?;
    until(&pair.provider.widgets(), &copy, "the change", |it| it.data["spec"]["size"] == 2).await;
    eventually("a long pause between two tries", PATIENCE, || async {
        let pause = longest_pause(&pair, position).await?;
        ensure!(pause >= SignedDuration::from_secs(2), "the longest pause is {pause:?}");
        Ok(())
    })
    .await;

    pair.provider.report(&copy, &json!({"status": "Available", "phase": "good", "seen": 3})).await?;
    let shown = until(&orders, "web", "to be well", is_well).await;
    assert_eq!(shown.data["status"]["seen"], 3);
    Ok(())
}

/// The longest time between two refusals of what the broker wrote of `web`.
async fn longest_pause(pair: &Pair, position: u64) -> Result<SignedDuration> {
    let is_refused = |event: &AuditEvent| event.user == pair.name && event.name == "web" && event.code == 422;
    let refused = pair.consumer.cluster.audit_since(position, is_refused).await?;
    let times: Vec<Timestamp> = refused.iter().map(|event| event.received.parse()).collect::<Result<_, _>>()?;
    let pauses = times.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    Ok(pauses.max().unwrap_or_default())
}

#[tokio::test]
async fn a_status_without_conditions_comes_and_the_record_has_them() -> TestResult {
    let pair = Pair::bare("status-plain", "consumer", "provider").await?;
    let plain = json!({"type": "object", "properties": {"status": {"type": "string"}, "seen": {"type": "integer"}}});
    for side in [&pair.consumer, &pair.provider] {
        side.cluster.install_crd(&with_status(&pair, &plain)?).await?;
    }
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let record = pair.record_name("web");
    until(&pair.records, &record, "that nothing came yet", |it| {
        recorded(it, "Ready") == Some(("False", reason::PENDING))
    })
    .await;
    pair.provider.report(&copy, &json!({"status": "Available", "seen": 1})).await?;
    let shown = until(&pair.consumer.widgets(), "web", "the status", |it| it.data["status"]["seen"] == 1).await;
    assert_eq!(shown.data["status"], json!({"status": "Available", "seen": 1}));
    until(&pair.records, &record, "all to be well", |it| {
        ["Accepted", "Synced", "Ready"]
            .iter()
            .all(|type_| recorded(it, type_).is_some_and(|(status, _)| status == "True"))
    })
    .await;

    // The status is the same: it is not written again and again for conditions that the schema has no place for.
    let position = pair.consumer.cluster.audit_position().await?;
    pair.provider.edit(&copy, &json!({"metadata": {"labels": {"touched": "yes"}}})).await?;
    pair.provider.report(&copy, &json!({"status": "Available", "seen": 2})).await?;
    until(&pair.consumer.widgets(), "web", "the last report", |it| it.data["status"]["seen"] == 2).await;
    let writes = pair.writes(&pair.consumer.cluster, position, |event| event.name == "web").await?;
    assert_eq!(writes.len(), 1, "{writes:#?}");
    Ok(())
}

#[tokio::test]
async fn a_kind_without_a_status_is_ready_when_it_is_copied() -> TestResult {
    let pair = Pair::bare("status-none", "consumer", "provider").await?;
    let mut crd = serde_json::to_value(pair.kind.crd()?)?;
    let version = &mut crd["spec"]["versions"][0];
    version["subresources"] = json!({});
    if let Some(properties) = version["schema"]["openAPIV3Schema"]["properties"].as_object_mut() {
        properties.remove("status");
    }
    for side in [&pair.consumer, &pair.provider] {
        side.cluster.install_crd(&serde_json::from_value(crd.clone())?).await?;
    }
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({"size": 1})).await?.name_any();
    let record = pair.record_name("web");
    until(&pair.records, &record, "all to be well", |it| {
        recorded(it, "Ready") == Some(("True", reason::SYNCED))
            && recorded(it, "Synced") == Some(("True", reason::SYNCED))
    })
    .await;
    pair.consumer.set_spec("web", &json!({"size": 2})).await?;
    until(&pair.provider.widgets(), &copy, "the change", |it| it.data["spec"]["size"] == 2).await;
    pair.consumer.delete("web").await?;
    crate::pair::gone(&pair.consumer.widgets(), "web").await;
    crate::pair::gone(&pair.provider.widgets(), &copy).await;
    Ok(())
}

/// Another controller that keeps something in the status of an order at the consumer, ever as fast as it can, until dropped.
struct Writer(tokio::task::JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Writer {
    /// `change` makes of a status what the writer wants; `None`: it is content.
    fn start(pair: &Pair, name: &'static str, change: impl Fn(&Value) -> Option<Value> + Send + 'static) -> Self {
        let orders = pair.consumer.widgets();
        Self(tokio::spawn(async move {
            let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
            loop {
                pace.tick().await;
                if let Ok(there) = orders.get(name).await
                    && let Some(wanted) = change(&there.data["status"])
                {
                    let unchanged =
                        json!({"op": "test", "path": "/metadata/resourceVersion", "value": there.resource_version()});
                    let put = json!({"op": "add", "path": "/status", "value": wanted});
                    let Ok(patch) = serde_json::from_value(json!([unchanged, put])) else { return };
                    let parameters = PatchParams { field_manager: Some("quotas".into()), ..PatchParams::default() };
                    let _ = orders.patch_status(name, &parameters, &Patch::<Value>::Json(patch)).await;
                }
            }
        }))
    }
}

/// The broker's writes of an order's status since `position`.
async fn status_writes(pair: &Pair, position: u64) -> Result<usize> {
    let of_status = |event: &AuditEvent| event.name == "web" && event.subresource == "status";
    Ok(pair.writes(&pair.consumer.cluster, position, of_status).await?.len())
}

#[tokio::test]
async fn somebody_elses_condition_stays_and_is_no_reason_to_write() -> TestResult {
    let pair = Pair::new("status-guest").await?;
    let mut broker = pair.start().await?;
    let orders = pair.consumer.widgets();
    let copy = pair.placed("web", &json!({})).await?.name_any();
    let issued = reported("Issued", "True", "Issued");
    pair.provider.report(&copy, &json!({"status": "Available", "conditions": [issued]})).await?;
    until(&orders, "web", "to be well", is_well).await;
    let quota = reported("Quota", "True", "WithinQuota");
    let kept = quota.clone();
    let _writer = Writer::start(&pair, "web", move |status| {
        let mut status = status.clone();
        let conditions = status["conditions"].as_array_mut()?;
        if conditions.contains(&kept) {
            return None;
        }
        conditions.push(kept.clone());
        Some(status)
    });
    until(&orders, "web", "the other's condition", |it| *condition(it, "Quota") == quota).await;
    let position = pair.consumer.cluster.audit_position().await?;
    pair.marker().await?;
    assert_eq!(status_writes(&pair, position).await?, 0, "nothing has changed that is the broker's");
    pair.provider.report(&copy, &json!({"status": "Available", "seen": 1, "conditions": [issued]})).await?;
    let shown = until(&orders, "web", "the change", |it| it.data["status"]["seen"] == 1).await;
    assert_eq!(*condition(&shown, "Quota"), quota);
    assert_eq!(*condition(&shown, "Issued"), issued);

    // Whose a condition is survives the process.
    broker.terminate().await?;
    pair.provider.report(&copy, &json!({"status": "Available", "seen": 2})).await?;
    broker.restart().await?;
    let shown = until(&orders, "web", "the change", |it| it.data["status"]["seen"] == 2).await;
    assert_eq!(*condition(&shown, "Quota"), quota, "it is not the provider's");
    assert_eq!(*condition(&shown, "Issued"), Value::Null, "it was the provider's");
    pair.marker().await?;
    let writes = status_writes(&pair, position).await?;
    assert!(writes <= 6, "{writes} writes of a status that changed twice");
    Ok(())
}

#[tokio::test]
async fn a_contest_over_a_status_is_paced_and_reported_once() -> TestResult {
    let pair = Pair::new("status-contest").await?;
    let _broker = pair.start().await?;
    let orders = pair.consumer.widgets();
    let copy = pair.placed("web", &json!({})).await?.name_any();
    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&orders, "web", "to be well", is_well).await;
    let position = pair.consumer.cluster.audit_position().await?;
    let contestant = Writer::start(&pair, "web", |status| {
        let wanted = json!({"status": "Mine", "conditions": []});
        (*status != wanted).then_some(wanted)
    });
    until(&pair.records, &pair.record_name("web"), "the contest", |it| {
        recorded(it, "Synced") == Some(("False", reason::CONTESTED))
    })
    .await;
    let about = pair.consumer.event("web", reason::CONTESTED).await;
    assert!(about.contains(&pair.consumer.id.to_string()) && about.contains("status"), "{about}");
    // As long as other objects take from their order to their end, ten times.
    for _ in 0..10 {
        pair.marker().await?;
    }
    let writes = status_writes(&pair, position).await?;
    // On a quiet machine that is soon over, and few writes are due.
    assert!((2..=14).contains(&writes), "{writes} writes");
    drop(contestant);
    until(&orders, "web", "the broker's word, once it is left alone", is_well).await;
    Ok(())
}

#[tokio::test]
async fn what_a_provider_has_observed_is_said_in_the_orders_generations() -> TestResult {
    let pair = Pair::new("status-generation").await?;
    let _broker = pair.start().await?;
    let orders = pair.consumer.widgets();
    let copy = pair.placed("web", &json!({"size": 1})).await?.name_any();
    let says = |generation: i64| {
        let mut ready = reported("Ready", "True", "Serving");
        ready["observedGeneration"] = json!(generation);
        json!({"status": "Available", "observedGeneration": generation, "conditions": [ready]})
    };
    // What kubectl wait, Argo CD and Flux look at.
    let numbers = |it: &DynamicObject| {
        let number = |value: &Value| value["observedGeneration"].as_i64();
        (number(&it.data["status"]), number(condition(it, "Ready")))
    };
    let is_ready =
        |it: &DynamicObject| is(it, "Ready", "True") && numbers(it) == (it.metadata.generation, it.metadata.generation);
    pair.provider.report(&copy, &says(1)).await?;
    until(&orders, "web", "to be ready", is_ready).await;

    // The provider is behind: whoever waits goes on waiting.
    pair.consumer.set_spec("web", &json!({"size": 2})).await?;
    pair.consumer.set_spec("web", &json!({"size": 3})).await?;
    let there = until(&pair.provider.widgets(), &copy, "the edits", |it| it.data["spec"]["size"] == 3).await;
    let shown = until(&orders, "web", "the edits to be synced", |it| {
        is(it, "Synced", "True") && condition(it, "Synced")["observedGeneration"] == 3
    })
    .await;
    assert_eq!(numbers(&shown), (Some(1), Some(1)));
    pair.provider.report(&copy, &says(there.metadata.generation.unwrap_or_default())).await?;
    until(&orders, "web", "to be ready", is_ready).await;

    // A copy that is made again counts from one.
    pair.provider.delete(&copy).await?;
    let again = until(&pair.provider.widgets(), &copy, "a new copy", |it| it.uid() != there.uid()).await;
    assert_eq!(again.metadata.generation, Some(1));
    pair.provider.report(&copy, &says(1)).await?;
    let object = format!("{}/web", pair.kind.crd_name());
    let waits = ["--for=condition=Ready", "--for=jsonpath={.status.observedGeneration}=3"];
    for wait in waits {
        let args = ["wait", wait, &object, "-n", pair.name, "--timeout=60s"];
        assert!(pair.consumer.cluster.kubectl(&args).await?.contains("condition met"), "{wait}");
    }
    until(&orders, "web", "to be ready", is_ready).await;
    Ok(())
}

#[tokio::test]
async fn a_condition_that_no_schema_takes_keeps_neither_status_nor_record_from_being_written() -> TestResult {
    let pair = Pair::new("status-clipped").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({})).await?;
    let mut ready = reported("Ready", "True", &"no reason at all ".repeat(120));
    ready["message"] = "m".repeat(40_000).into();
    pair.provider.report(&copy.name_any(), &json!({"status": "Available", "conditions": [ready]})).await?;
    let shown = until(&pair.consumer.widgets(), "web", "to be ready", |it| is(it, "Ready", "True")).await;
    assert_eq!(condition(&shown, "Ready")["reason"], reason::REPORTED);
    assert!(is(&shown, "Synced", "True"), "{}", message(&shown, "Synced"));
    let record = until(&pair.records, &pair.record_name("web"), "the same", |it| {
        recorded(it, "Ready") == Some(("True", reason::REPORTED))
    })
    .await;
    let uid = record.status.and_then(|status| status.copy).map(|copy| copy.uid);
    assert_eq!(uid, copy.uid());
    Ok(())
}
