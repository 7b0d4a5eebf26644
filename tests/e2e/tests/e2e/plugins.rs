//! Plugins: loaded from config maps, swapped while the broker works, and no harm done by bad ones.

use std::io::Write as _;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::ByteString;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use resource_broker_api::conditions::reason;
use resource_broker_harness::{AuditEvent, TestKind, TestResult, eventually};
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, Side, condition, is, is_well, message, until};
use crate::plugged::{Plugins, is as plugin_is, probe, variant};

/// A name that says what it is for, and a number.
fn order(number: usize) -> String {
    format!("order-{number:03}")
}

/// Two providers that take everything by the standard component.
async fn two_providers(pair: &Pair) -> Result<Side> {
    let other = pair.other_provider().await?;
    for side in [&pair.provider, &other] {
        side.offer(pair.name, &json!([])).await?;
    }
    Ok(other)
}

/// Waits until the object `name` has a copy at a provider.
async fn placed_at(pair: &Pair, side: &Side, name: &str) {
    until(&side.widgets(), &pair.copy_name(name), "the copy to be made", |_| true).await;
}

async fn copies(side: &Side) -> Result<Vec<String>> {
    let copies = side.widgets().list_metadata(&ListParams::default()).await?;
    Ok(copies.items.iter().map(kube::ResourceExt::name_any).collect())
}

#[tokio::test]
async fn a_plugin_decides_in_place_of_the_standard_component_until_it_is_removed() -> TestResult {
    let pair = Pair::new("plugin-routes").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    plugins.behave("probe", &json!({"accept": other.id.to_string(), "mark": "one"})).await?;

    let plugin = until(&plugins.api, "probe", "to serve", |it| plugin_is(it, "Ready", "True")).await;
    let status = plugin.status.clone().unwrap_or_default();
    let columns = status.columns.unwrap_or_default();
    assert_eq!(columns.roles, "accept-filter,status-transformer");
    assert_eq!((columns.apis, status.apis.len()), (format!("widgets.{}", pair.kind.group()), 1));
    assert_eq!(status.size, i64::try_from(probe().await?.len()).ok());
    assert!(status.digest.is_some_and(|digest| digest.starts_with(&columns.digest) && columns.digest.len() == 12));
    let table = pair.coordination.kubectl(&["get", "rbplugin", "-n", pair.name]).await?;
    assert!(table.contains("accept-filter,status-transformer") && !table.contains('['), "{table}");
    plugins.event("probe", reason::LOADED).await?;

    for number in 0..6 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    for number in 0..6 {
        placed_at(&pair, &other, &order(number)).await;
    }
    let copy = pair.copy_name(&order(0));
    other.report(&copy, &json!({"status": "Available"})).await?;
    let orders = pair.consumer.widgets();
    until(&orders, &order(0), "the plugin's mark", |it| it.data["status"]["probe"] == "one").await;

    // Another version has its objects and offers looked at again, although neither changed.
    let settings = json!({"accept": other.id.to_string(), "mark": "two", "badFilters": "no such rule"});
    other.offer(pair.name, &json!([{"key": "size", "with": {"any": "thing"}}])).await?;
    plugins.behave("probe", &settings).await?;
    until(&orders, &order(0), "the new mark", |it| it.data["status"]["probe"] == "two").await;
    until(&other.offers(), pair.name, "the plugin's word on its filters", |it| {
        let conditions = it.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|it| it.reason == reason::INVALID_FILTERS && it.message.contains("no such rule"))
    })
    .await;
    plugins.event("probe", reason::SWAPPED).await?;

    plugins.remove("probe").await?;
    until(&orders, &order(0), "the standard component's status", |it| {
        it.data["status"]["status"] == "Available" && it.data["status"]["probe"].is_null()
    })
    .await;
    until(&other.offers(), pair.name, "the standard component's word on its filters", |it| {
        let conditions = it.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|it| it.reason == reason::INVALID_FILTERS && !it.message.contains("no such rule"))
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn of_providers_that_accept_the_one_with_the_highest_score_gets_the_object_and_keeps_it() -> TestResult {
    let pair = Pair::new("plugin-scores").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    let (first, second) = (pair.provider.id.to_string(), other.id.to_string());
    plugins.behave("probe", &json!({"scores": {first.as_str(): 20, second.as_str(): 70}, "mark": "one"})).await?;
    until(&plugins.api, "probe", "to serve", |it| plugin_is(it, "Ready", "True")).await;
    for number in 0..6 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    for number in 0..6 {
        placed_at(&pair, &other, &order(number)).await;
    }

    let copy = pair.copy_name(&order(0));
    other.report(&copy, &json!({"status": "Available"})).await?;
    plugins.behave("probe", &json!({"scores": {first.as_str(): 90}, "mark": "two"})).await?;
    let orders = pair.consumer.widgets();
    until(&orders, &order(0), "the new settings to count", |it| it.data["status"]["probe"] == "two").await;
    pair.consumer.create(&order(6), &json!({})).await?;
    placed_at(&pair, &pair.provider, &order(6)).await;
    assert_eq!(copies(&other).await?.len(), 6, "what is served stays");

    // No such score exists: such an answer counts as none, and says so.
    let scores = json!({first.as_str(): 101, second.as_str(): 102});
    plugins.behave("probe", &json!({"scores": scores, "mark": "three"})).await?;
    until(&orders, &order(0), "the newest settings to count", |it| it.data["status"]["probe"] == "three").await;
    pair.consumer.create(&order(7), &json!({})).await?;
    let refused = until(&orders, &order(7), "the score to be refused", |it| {
        condition(it, "Accepted")["reason"] == reason::PLUGIN_FAILED
    })
    .await;
    let said = message(&refused, "Accepted");
    assert!(said.contains("an acceptance with score 10") && said.contains(", more than 100"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_plugin_is_said_exactly() -> TestResult {
    let pair = Pair::new("plugin-wrong").await?;
    let plugins = Plugins::new(&pair).await?;
    let component = probe().await?;
    plugins.store("text", "text.wasm", b"hello").await?;
    plugins.store("module", "module.wasm", b"\0asm\x01\0\0\0").await?;
    plugins.store("cut", "cut.wasm", &component[..component.len() / 2]).await?;
    plugins.store("gzip", "gzip.wasm", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]).await?;
    plugins.store_all("data", &json!({"data": {"data.wasm": "text"}})).await?;
    let _broker = pair.start().await?;
    let part = |map: &str, key: &str| json!({"component": [{"configMap": map, "key": key}]});
    let wrong = "0".repeat(64);
    let cases = [
        ("no-map", part("missing", "x"), reason::CONFIG_MAP_MISSING, "ConfigMap missing is not there"),
        ("no-key", part("text", "x"), reason::KEY_MISSING, "it has text.wasm"),
        ("data", part("data", "data.wasm"), reason::KEY_MISSING, "put it under binaryData"),
        ("text", part("text", "text.wasm"), reason::NOT_A_COMPONENT, "not a WebAssembly component"),
        ("module", part("module", "module.wasm"), reason::NOT_A_COMPONENT, "wasm32-wasip2"),
        ("cut", part("cut", "cut.wasm"), reason::NOT_A_COMPONENT, "does not compile"),
        ("gzip", part("gzip", "gzip.wasm"), reason::NOT_UNPACKABLE, "looks like gzip"),
        ("digest", json!({"sha256": wrong}), reason::DIGEST_MISMATCH, "spec.sha256 is 0000"),
        ("limits", json!({"limits": {"memory": "64Gi"}}), reason::INVALID_LIMITS, "memory"),
        (
            "settings",
            json!({"configuration": {"badSettings": "the moon is wrong"}}),
            reason::INVALID_CONFIGURATION,
            "the moon is wrong",
        ),
    ];
    for (name, spec, ..) in &cases {
        let mut spec = spec.clone();
        // Each has an API of its own, so that none stands in another's way.
        spec["apis"] = json!([{"group": "wrong.example.com", "resource": name}]);
        plugins.apply(name, &spec).await?;
    }
    for (name, _, reason, message) in &cases {
        for type_ in ["Loaded", "Ready"] {
            let said = plugins.says(name, type_, "False", reason).await;
            assert!(said.contains(message) && said.contains("stay as they are"), "{name}: {said}");
        }
    }
    plugins.event("digest", reason::DIGEST_MISMATCH).await?;

    let spec = json!({"roles": ["accept-filter", "migration-template"], "apis": [{"group": "x", "resource": "y"}]});
    plugins.apply("roles", &spec).await?;
    let said = plugins.says("roles", "Ready", "False", reason::ROLE_MISSING).await;
    for part in ["serves accept-filter of y.x", "migration-template", "watches no kind of y.x"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_version_leaves_the_good_one_serving_and_a_bad_start_serves_nobody() -> TestResult {
    let pair = Pair::new("plugin-bad").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    let mut broker = pair.broker(&[&other]).await?.start().await?;
    let settings = json!({"accept": other.id.to_string(), "mark": "good"});
    plugins.behave("probe", &settings).await?;
    pair.consumer.create("first", &json!({})).await?;
    placed_at(&pair, &other, "first").await;
    other.report(&pair.copy_name("first"), &json!({"status": "Available"})).await?;
    let orders = pair.consumer.widgets();
    until(&orders, "first", "to be well", is_well).await;

    // Bad by its Plugin, then by its config map, then without one.
    let bad = json!({"configuration": settings, "sha256": "0".repeat(64)});
    plugins.apply("probe", &bad).await?;
    let said = plugins.says("probe", "Loaded", "False", reason::DIGEST_MISMATCH).await;
    assert!(said.contains("goes on serving"), "{said}");
    plugins.apply("probe", &json!({"configuration": settings})).await?;
    plugins.says("probe", "Loaded", "True", reason::LOADED).await;
    plugins.store("probe", "component.wasm", b"nonsense").await?;
    plugins.says("probe", "Loaded", "False", reason::NOT_A_COMPONENT).await;
    plugins.maps.delete("probe", &DeleteParams::default()).await?;
    let said = plugins.says("probe", "Loaded", "False", reason::CONFIG_MAP_MISSING).await;
    assert!(said.contains("goes on serving"), "{said}");
    plugins.says("probe", "Ready", "True", reason::SERVING).await;
    for number in 0..4 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    for number in 0..4 {
        placed_at(&pair, &other, &order(number)).await;
    }

    // A broker that starts anew has nothing to fall back on: what is there stays, and what is new waits and says why.
    broker.restart().await?;
    plugins.says("probe", "Ready", "False", reason::CONFIG_MAP_MISSING).await;
    pair.consumer.create("later", &json!({})).await?;
    let waiting =
        until(&orders, "later", "why it waits", |it| condition(it, "Accepted")["reason"] == reason::PLUGIN_FAILED)
            .await;
    assert!(is(&waiting, "Accepted", "Unknown"), "{waiting:?}");
    let said = message(&waiting, "Accepted");
    assert!(said.contains("plugin probe cannot serve: ConfigMap probe is not there"), "{said}");
    let first = orders.get("first").await?;
    assert_eq!(
        (&first.data["status"]["probe"], &first.data["status"]["status"]),
        (&json!("good"), &json!("Available"))
    );
    plugins.store("probe", "component.wasm", &probe().await?).await?;
    placed_at(&pair, &other, "later").await;
    until(&orders, "first", "to be well again", is_well).await;
    assert_eq!(copies(&pair.provider).await?, [""; 0], "the standard component would have sent some there");
    Ok(())
}

#[tokio::test]
async fn an_api_that_comes_with_another_component_is_not_answered_by_the_one_before() -> TestResult {
    let pair = Pair::new("plugin-moved").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    let settings = json!({"accept": other.id.to_string()});
    let gadgets = json!([{"group": pair.kind.group(), "resource": "gadgets"}]);
    plugins.apply("probe", &json!({"configuration": settings, "apis": gadgets})).await?;
    plugins.says("probe", "Loaded", "True", reason::LOADED).await;

    // Another API and another component in one change, and the component cannot be loaded.
    plugins.apply("probe", &json!({"configuration": settings, "sha256": "0".repeat(64)})).await?;
    let said = plugins.says("probe", "Ready", "False", reason::DIGEST_MISMATCH).await;
    assert!(said.contains(&format!("widgets.{} waits for the newest version", pair.kind.group())), "{said}");
    pair.consumer.create("first", &json!({})).await?;
    let waits = |it: &DynamicObject| condition(it, "Accepted")["reason"] == reason::PLUGIN_FAILED;
    until(&pair.consumer.widgets(), "first", "why it waits", waits).await;

    plugins.apply("probe", &json!({"configuration": settings})).await?;
    plugins.says("probe", "Ready", "True", reason::SERVING).await;
    placed_at(&pair, &other, "first").await;
    Ok(())
}

#[tokio::test]
async fn a_broker_that_starts_never_lets_the_standard_component_decide_for_a_plugin() -> TestResult {
    let pair = Pair::new("plugin-start").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    plugins.apply("probe", &json!({"configuration": {"accept": other.id.to_string()}})).await?;
    for number in 0..10 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    let mut broker = pair.broker(&[&other]).await?.start().await?;
    for number in 0..10 {
        placed_at(&pair, &other, &order(number)).await;
    }
    broker.kill9()?;
    for number in 10..20 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    broker.restart().await?;
    for number in 10..20 {
        placed_at(&pair, &other, &order(number)).await;
    }
    assert_eq!(copies(&pair.provider).await?, [""; 0], "the standard component would have sent half of them there");
    Ok(())
}

#[tokio::test]
async fn the_older_of_two_serves_and_the_younger_says_why_it_does_not() -> TestResult {
    let pair = Pair::new("plugin-younger").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    let accept = |side: &Side| json!({"accept": side.id.to_string()});
    plugins.behave("older", &accept(&pair.provider)).await?;
    let older = plugins.api.get("older").await?.metadata.creation_timestamp;
    eventually("another second to begin, so that one is older", PATIENCE, || async {
        plugins.apply("younger", &json!({"configuration": accept(&other)})).await?;
        let made = plugins.api.get("younger").await?.metadata.creation_timestamp;
        if made == older {
            plugins.remove("younger").await?;
        }
        ensure!(made > older, "they are equally old");
        anyhow::Ok(())
    })
    .await;
    let said = plugins.says("younger", "Ready", "False", reason::SHADOWED).await;
    assert!(said.contains("Plugin older, which is older, serves accept-filter and status-transformer"), "{said}");
    for number in 0..4 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    for number in 0..4 {
        placed_at(&pair, &pair.provider, &order(number)).await;
    }
    plugins.remove("older").await?;
    plugins.says("younger", "Ready", "True", reason::SERVING).await;
    for number in 4..8 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    for number in 4..8 {
        placed_at(&pair, &other, &order(number)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_always_fails_harms_nobody_else_and_recovers_when_it_is_mended() -> TestResult {
    let pair = Pair::new("plugin-trap").await?;
    pair.provider.offer(pair.name, &json!([])).await?;
    let bystander = TestKind::installed(&[&*pair.consumer.cluster, &*pair.provider.cluster]).await?;
    pair.provider.offer_of("plugin-trap-bystander", &bystander.gvr(), &json!([])).await?;
    let plugins = Plugins::new(&pair).await?;
    let broker = pair.broker(&[]).await?.watch_kind(&bystander.watch_kind()).start().await?;
    plugins.behave("probe", &json!({"mark": "good"})).await?;
    let orders = pair.consumer.widgets();
    pair.placed("first", &json!({})).await?;
    pair.provider.report(&pair.copy_name("first"), &json!({"status": "Available"})).await?;
    until(&orders, "first", "to be well", is_well).await;

    plugins.behave("probe", &json!({"fail": "trap"})).await?;
    for number in 0..8 {
        pair.consumer.create(&order(number), &json!({})).await?;
    }
    for number in 0..8 {
        let failed = until(&orders, &order(number), "the failure", |it| {
            condition(it, "Accepted")["reason"] == reason::PLUGIN_FAILED
        })
        .await;
        let said = message(&failed, "Accepted");
        assert!(said.contains("plugin probe crashed") && said.contains("told to trap"), "{said}");
    }
    let said = plugins.says("probe", "Healthy", "False", reason::SUSPENDED).await;
    assert!(said.contains("told to trap"), "{said}");
    plugins.says("probe", "Ready", "True", reason::SERVING).await;
    plugins.event("probe", reason::SUSPENDED).await?;
    let suspended = broker.metric("resource_broker_plugin_suspended", &[("plugin", "probe")]).await?;
    assert!((suspended - 1.0).abs() < 0.1, "{suspended}");

    // What was there is held as it was, and others go on.
    let first = until(&orders, "first", "the failure", |it| {
        condition(it, "Synced")["reason"] == reason::PLUGIN_FAILED
            || condition(it, "Accepted")["reason"] == reason::PLUGIN_FAILED
    })
    .await;
    assert_eq!(
        (&first.data["status"]["probe"], &first.data["status"]["status"]),
        (&json!("good"), &json!("Available"))
    );
    let others = bystander.api(pair.consumer.client.clone(), pair.name);
    others.create(&kube::api::PostParams::default(), &bystander.object(pair.name, "other", &json!({}))).await?;
    let copies = bystander.api(pair.provider.client.clone(), pair.name);
    until(&copies, &pair.copy_name("other"), "the bystander's copy", |_| true).await;

    plugins.behave("probe", &json!({"mark": "mended"})).await?;
    for number in 0..8 {
        placed_at(&pair, &pair.provider, &order(number)).await;
    }
    until(&orders, "first", "the mended plugin's status", |it| it.data["status"]["probe"] == "mended").await;
    until(&plugins.api, "probe", "to be healthy", |it| plugin_is(it, "Healthy", "True")).await;
    Ok(())
}

#[tokio::test]
async fn a_call_is_stopped_at_the_deadline_that_its_plugin_asked_for() -> TestResult {
    let pair = Pair::new("plugin-deadline").await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.start().await?;
    let settings = json!({"fail": "loop", "failIf": "spec.nested"});
    plugins.apply("probe", &json!({"configuration": settings, "limits": {"timeoutMilliseconds": 2345}})).await?;
    plugins.says("probe", "Ready", "True", reason::SERVING).await;
    pair.consumer.create("endless", &json!({"nested": {}})).await?;
    let orders = pair.consumer.widgets();
    let failed =
        until(&orders, "endless", "the failure", |it| condition(it, "Accepted")["reason"] == reason::PLUGIN_FAILED)
            .await;
    let said = message(&failed, "Accepted");
    assert!(said.contains("did not answer within 2345 ms"), "{said}");
    pair.placed("quick", &json!({})).await?;
    Ok(())
}

#[tokio::test]
async fn a_component_may_be_packed_and_in_several_config_maps() -> TestResult {
    let pair = Pair::new("plugin-packed").await?;
    let plugins = Plugins::new(&pair).await?;
    let component = probe().await?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&component)?;
    let gzip = gzip.finish()?;
    let (head, tail) = gzip.split_at(gzip.len() / 2);
    plugins.store("head", "part", head).await?;
    plugins.store("tail", "part", tail).await?;
    plugins.store("gzip", "whole", &gzip).await?;
    plugins.store("zstd", "whole", &zstd::encode_all(component.as_slice(), 3)?).await?;
    let _broker = pair.start().await?;
    let part = |map: &str, key: &str| json!({"configMap": map, "key": key});
    let cases = [
        ("gzip", json!([part("gzip", "whole")])),
        ("zstd", json!([part("zstd", "whole")])),
        ("parts", json!([part("head", "part"), part("tail", "part")])),
        ("plain", Plugins::probe_parts()),
    ];
    for (name, parts) in &cases {
        let apis = json!([{"group": "packed.example.com", "resource": name}]);
        plugins.apply(name, &json!({"component": parts, "apis": apis})).await?;
    }
    let mut digests = Vec::new();
    for (name, _) in &cases {
        let plugin = until(&plugins.api, name, "to be loaded", |it| plugin_is(it, "Loaded", "True")).await;
        digests.push(plugin.status.and_then(|status| status.digest));
    }
    assert!(digests[0].is_some() && digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    Ok(())
}

#[tokio::test]
async fn the_same_bytes_written_anew_change_nothing() -> TestResult {
    let pair = Pair::new("plugin-same").await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.start().await?;
    plugins.behave("probe", &json!({"mark": "one"})).await?;
    pair.marker().await?;
    // Calls are told of a moment after they were made.
    plugins.says("probe", "Healthy", "True", reason::HEALTHY).await;
    let before = plugins.api.get("probe").await?.status.unwrap_or_default();
    let position = pair.coordination.audit_position().await?;
    let bytes = ByteString(probe().await?.to_vec());
    plugins.store_all("probe", &json!({"binaryData": {"component.wasm": bytes, "more": ByteString(vec![1])}})).await?;
    let is_read = |event: &AuditEvent| event.user == pair.name && event.verb == "get" && event.resource == "configmaps";
    eventually("the config map to be read again", PATIENCE, || async {
        ensure!(!pair.coordination.audit_since(position, is_read).await?.is_empty(), "it was not");
        anyhow::Ok(())
    })
    .await;
    // By then a swap would have been told.
    pair.marker().await?;
    let after = plugins.api.get("probe").await?.status.unwrap_or_default();
    let still = |mut status: resource_broker_api::broker::PluginStatus| {
        (status.calls, status.failures) = (None, None);
        status
    };
    assert!(after.calls >= before.calls, "counted from the first load on: {before:?} {after:?}");
    assert_eq!(still(after), still(before));
    Ok(())
}

const ORDERS: usize = 200;

/// Whatever was decided by one version stands under the next.
#[tokio::test]
async fn swapping_under_load_loses_no_object_and_places_none_twice() -> TestResult {
    let pair = Pair::new("plugin-swap").await?;
    let other = two_providers(&pair).await?;
    let plugins = Plugins::new(&pair).await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    let accept = |side: &Side| json!({"accept": side.id.to_string()});
    plugins.behave("probe", &accept(&pair.provider)).await?;

    let make = async {
        let names: Vec<String> = (0..ORDERS).map(order).collect();
        let spec = json!({"size": 1});
        let all = stream::iter(&names).map(|name| pair.consumer.create(name, &spec));
        all.buffer_unordered(8).try_for_each(async |_| Ok(())).await
    };
    let swap = async {
        for round in 0..6_u8 {
            // By settings and by bytes in turns.
            let component = variant(&probe().await?, round);
            plugins.store("probe", "component.wasm", &component).await?;
            let side = if round % 2 == 0 { &other } else { &pair.provider };
            plugins.behave("probe", &accept(side)).await?;
        }
        plugins.behave("probe", &accept(&other)).await.map(drop)
    };
    tokio::try_join!(make, swap)?;
    pair.consumer.create("last", &json!({})).await?;
    placed_at(&pair, &other, "last").await;

    let expected: Vec<String> = {
        let mut names: Vec<String> = (0..ORDERS).map(order).chain(["last".to_owned()]).collect();
        names = names.iter().map(|name| pair.copy_name(name)).collect();
        names.sort();
        names
    };
    let shares = eventually("each object to have one copy", PATIENCE, || async {
        let (one, two) = (copies(&pair.provider).await?, copies(&other).await?);
        let mut all = [one.clone(), two.clone()].concat();
        all.sort();
        ensure!(all == expected, "{} and {} copies, for {} objects", one.len(), two.len(), expected.len());
        anyhow::Ok([one.len(), two.len()])
    })
    .await;
    println!("the providers hold {shares:?}");
    let records = pair.records.list(&ListParams::default()).await?.items;
    assert_eq!(records.len(), expected.len(), "each object has one record");
    let stray = |object: &Value| object["spec"]["provider"]["cluster"].is_null();
    assert!(!records.iter().any(|record| serde_json::to_value(record).is_ok_and(|it| stray(&it))));
    assert!(records.iter().all(|record| record.metadata.deletion_timestamp.is_none() && !record.name_any().is_empty()));
    Ok(())
}
