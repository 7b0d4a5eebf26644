//! Which provider gets an object, why none does, and what happens when that changes.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use resource_broker_api::{AcceptApi, conditions::reason, keys};
use resource_broker_harness::TestResult;
use serde_json::{Value, json};

use crate::pair::{Pair, condition, event_about, fails, gone, is, is_well, message, until};

#[tokio::test]
async fn filters_are_judged_in_the_sandbox_and_every_broken_rule_is_told() -> TestResult {
    let pair = Pair::new("routing-filters").await?;
    let filters = json!([
        {"key": "fqdn", "suffix": ".corp"},
        {"key": "engine", "valueIn": ["postgres", "16"], "suffix": "s"},
        {"key": "size", "boundary": {"min": 1, "max": 5.5}},
        {"key": "nested.zone.name", "valueIn": ["north"]},
    ]);
    pair.provider.offer(pair.name, &filters).await?;
    let broker = pair.broker(&[]).await?.start().await?;
    let in_zone = |name: &str| json!({"zone": {"name": name}});
    // Each object with what its refusal has to say; nothing: it is taken.
    let cases: [(&str, Value, &[&str]); 9] = [
        ("no-fields", json!({}), &[]),
        ("all", json!({"fqdn": "a.corp", "engine": "postgres", "size": 5, "nested": in_zone("north")}), &[]),
        ("lower-end", json!({"size": 1, "nested": {"zone": {}}}), &[]),
        ("suffix", json!({"fqdn": "a.corp.com"}), &[r#"spec.fqdn is "a.corp.com", which does not end in ".corp""#]),
        ("above", json!({"size": 6}), &["spec.size is 6, which is more than 5.5"]),
        ("below", json!({"size": 0}), &["spec.size is 0, which is less than 1"]),
        ("second-rule", json!({"engine": "16"}), &[r#"spec.engine is "16", which does not end in "s""#]),
        (
            "nested",
            json!({"nested": in_zone("south")}),
            &[r#"spec.nested.zone.name is "south""#, "is not one of north"],
        ),
        (
            "everything",
            json!({"fqdn": "x", "engine": "oracle", "size": 9}),
            &[
                r#"spec.fqdn is "x""#,
                "which is not one of postgres, 16",
                r#"which does not end in "s""#,
                "spec.size is 9",
            ],
        ),
    ];
    for (name, spec, _) in &cases {
        pair.consumer.create(name, spec).await?;
    }
    for (name, spec, reasons) in &cases {
        if reasons.is_empty() {
            assert_eq!(pair.copy(name).await.data["spec"]["size"], spec["size"], "{name}");
            continue;
        }
        let seen =
            until(&pair.consumer.widgets(), name, "its refusal", |it| fails(it, "Accepted", reason::NO_MATCHING_OFFER))
                .await;
        let told = message(&seen, "Accepted");
        for expected in reasons.iter().chain(&["provider#provider", "default/routing-filters"]) {
            assert!(told.contains(expected), "{name}: {told:?} lacks {expected:?}");
        }
        assert!(pair.provider.widgets().get_opt(&pair.copy_name(name)).await?.is_none(), "{name} was copied");
    }
    let calls =
        broker.metric("resource_broker_sandbox_calls_total", &[("role", "accept-filter"), ("outcome", "ok")]).await?;
    assert!(calls >= 9.0, "{calls} calls of the filter component");
    Ok(())
}

#[tokio::test]
async fn two_offers_share_evenly_and_the_choice_is_always_the_same() -> TestResult {
    const OBJECTS: usize = 40;
    let pair = Pair::new("routing-even").await?;
    let other = pair.other_provider().await?;
    for side in [&pair.provider, &other] {
        side.offer(pair.name, &json!([])).await?;
    }
    let mut broker = pair.broker(&[&other]).await?.start().await?;
    let first = placements(&pair, OBJECTS).await?;
    let here = first.values().filter(|at| *at == "provider#provider").count();
    assert!((8..=OBJECTS - 8).contains(&here), "{here} of {OBJECTS} are at one of two providers");

    for name in first.keys() {
        pair.consumer.delete(name).await?;
    }
    for name in first.keys() {
        gone(&pair.consumer.widgets(), name).await;
        gone(&pair.records, &pair.record_name(name)).await;
    }
    broker.restart().await?;
    assert_eq!(placements(&pair, OBJECTS).await?, first);
    Ok(())
}

/// Makes so many objects, and tells where each went.
async fn placements(pair: &Pair, objects: usize) -> Result<BTreeMap<String, String>> {
    let names: Vec<String> = (0..objects).map(|number| format!("object-{number}")).collect();
    for name in &names {
        pair.consumer.create(name, &json!({})).await?;
    }
    let mut placements = BTreeMap::new();
    for name in names {
        let record = until(&pair.records, &pair.record_name(&name), "its record", |_| true).await;
        placements.insert(name, record.spec.provider.cluster);
    }
    Ok(placements)
}

#[tokio::test]
async fn a_refused_object_says_why_and_is_placed_when_an_offer_comes_or_changes() -> TestResult {
    let pair = Pair::new("routing-later").await?;
    let other = pair.other_provider().await?;
    let _broker = pair.broker(&[&other]).await?.start().await?;
    let orders = pair.consumer.widgets();
    let order = pair.consumer.create("web", &json!({"size": 3, "engine": "x"})).await?;
    let seen = until(&orders, "web", "that nobody offers it", |it| fails(it, "Accepted", reason::NO_OFFERS)).await;
    assert!(message(&seen, "Accepted").contains(&pair.kind.watch_kind()), "{}", message(&seen, "Accepted"));
    assert!(!is(&seen, "Synced", "True") && !is(&seen, "Ready", "True"));
    assert_eq!(seen.finalizers(), [""; 0], "nothing holds what nobody has");
    pair.consumer.event("web", reason::NO_OFFERS).await;

    pair.provider.offer(pair.name, &json!([{"key": "size", "boundary": {"max": 2}}])).await?;
    other.offer(pair.name, &json!([{"key": "engine", "valueIn": ["y"]}])).await?;
    let expected = [
        "2 offers",
        "provider#provider (default/routing-later): spec.size is 3, which is more than 2",
        r#"provider#provider-b (default/routing-later): spec.engine is "x", which is not one of y"#,
    ];
    let seen = until(&orders, "web", "both refusals", |it| {
        fails(it, "Accepted", reason::NO_MATCHING_OFFER)
            && expected.iter().all(|part| message(it, "Accepted").contains(part))
    })
    .await;
    assert_eq!(condition(&seen, "Accepted")["observedGeneration"], seen.metadata.generation.unwrap_or_default());
    pair.consumer.event("web", reason::NO_MATCHING_OFFER).await;

    other.offer(pair.name, &json!([{"key": "engine", "valueIn": ["x", "y"]}])).await?;
    let copy = until(&other.widgets(), &pair.copy_name("web"), "the copy", |_| true).await;
    assert_eq!(copy.data["spec"]["size"], 3);
    let seen = until(&orders, "web", "the acceptance", |it| is(it, "Accepted", "True")).await;
    assert_eq!((seen.metadata.generation, seen.uid()), (order.metadata.generation, order.uid()));
    assert_eq!(seen.annotations()[keys::PROVIDER_CLUSTER], "provider#provider-b");
    pair.consumer.event("web", reason::ACCEPTED).await;
    Ok(())
}

#[tokio::test]
async fn an_object_that_changes_is_judged_again() -> TestResult {
    let pair = Pair::new("routing-object").await?;
    pair.provider.offer(pair.name, &json!([{"key": "size", "boundary": {"max": 2}}])).await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    let (orders, copies, copy) = (pair.consumer.widgets(), pair.provider.widgets(), pair.copy_name("web"));
    pair.consumer.create("web", &json!({"size": 3})).await?;
    until(&orders, "web", "its refusal", |it| fails(it, "Accepted", reason::NO_MATCHING_OFFER)).await;
    pair.consumer.set_spec("web", &json!({"size": 2})).await?;
    until(&copies, &copy, "the copy", |it| it.data["spec"]["size"] == 2).await;
    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    until(&orders, "web", "to be well", is_well).await;

    // It goes out of bounds: what is there stays, and what the provider says still comes.
    let changed = pair.consumer.set_spec("web", &json!({"size": 4})).await?;
    let frozen = until(&orders, "web", "that it stays as it was", |it| {
        fails(it, "Accepted", reason::NO_MATCHING_OFFER)
            && fails(it, "Synced", reason::NOT_ACCEPTED)
            && condition(it, "Synced")["observedGeneration"].as_i64() == changed.metadata.generation
    })
    .await;
    let told = message(&frozen, "Accepted");
    assert!(told.contains("provider#provider") && told.contains("spec.size is 4, which is more than 2"), "{told}");
    assert!(is(&frozen, "Ready", "True"), "the copy serves as before");
    pair.consumer.event("web", reason::NO_MATCHING_OFFER).await;
    pair.provider.report(&copy, &json!({"status": "Degraded"})).await?;
    until(&orders, "web", "the report", |it| it.data["status"]["status"] == "Degraded").await;
    pair.marker().await?;
    assert_eq!(copies.get(&copy).await?.data["spec"]["size"], 2, "the copy is frozen");

    pair.provider.report(&copy, &json!({"status": "Available"})).await?;
    pair.consumer.set_spec("web", &json!({"size": 1})).await?;
    until(&copies, &copy, "the change", |it| it.data["spec"]["size"] == 1).await;
    until(&orders, "web", "to be well", is_well).await;
    Ok(())
}

#[tokio::test]
async fn an_offer_that_changes_or_goes_tears_nothing_down() -> TestResult {
    let pair = Pair::new("routing-offer").await?;
    let _broker = pair.start().await?;
    let (orders, copies) = (pair.consumer.widgets(), pair.provider.widgets());
    let copy = pair.placed("web", &json!({"size": 3})).await?;
    let name = copy.name_any();
    pair.provider.report(&name, &json!({"status": "Available"})).await?;
    until(&orders, "web", "to be well", is_well).await;

    let steps = [
        (Some(json!([{"key": "size", "boundary": {"max": 2}}])), reason::NO_MATCHING_OFFER),
        (None, reason::PROVIDER_GONE),
    ];
    for (size, (filters, expected)) in (4..).zip(steps) {
        match &filters {
            Some(filters) => drop(pair.provider.offer(pair.name, filters).await?),
            None => pair.provider.withdraw(pair.name).await?,
        }
        until(&orders, "web", "why it is not accepted", |it| fails(it, "Accepted", expected)).await;
        let changed = pair.consumer.set_spec("web", &json!({"size": size})).await?;
        let frozen = until(&orders, "web", "that its change is not taken", |it| {
            fails(it, "Accepted", expected)
                && fails(it, "Synced", reason::NOT_ACCEPTED)
                && condition(it, "Synced")["observedGeneration"].as_i64() == changed.metadata.generation
        })
        .await;
        assert!(message(&frozen, "Accepted").contains("nothing is torn down"), "{}", message(&frozen, "Accepted"));
        assert!(is(&frozen, "Ready", "True"));
        pair.consumer.event("web", expected).await;
        let there = copies.get(&name).await?;
        assert_eq!((there.uid(), &there.data["spec"]["size"]), (copy.uid(), &json!(size - 1)), "the copy is frozen");

        pair.provider.offer(pair.name, &json!([])).await?;
        until(&copies, &name, "the change", |it| it.data["spec"]["size"] == size).await;
        until(&orders, "web", "to be well", is_well).await;
    }
    assert_eq!(copies.get(&name).await?.uid(), copy.uid(), "it is the same copy all the time");
    Ok(())
}

#[tokio::test]
async fn another_offer_of_the_same_provider_takes_an_object_over() -> TestResult {
    let pair = Pair::new("routing-same").await?;
    let _broker = pair.start().await?;
    let copy = pair.placed("web", &json!({"size": 3})).await?;
    pair.provider.offer("routing-same-next", &json!([{"key": "size", "boundary": {"max": 5}}])).await?;
    pair.provider.withdraw(pair.name).await?;
    until(&pair.records, &pair.record_name("web"), "the other offer", |it| {
        it.spec.provider.accept_api.name == "routing-same-next"
    })
    .await;
    pair.consumer.set_spec("web", &json!({"size": 4})).await?;
    let there =
        until(&pair.provider.widgets(), &copy.name_any(), "the change", |it| it.data["spec"]["size"] == 4).await;
    assert_eq!(there.uid(), copy.uid());
    let seen = until(&pair.consumer.widgets(), "web", "to be in step", |it| is(it, "Synced", "True")).await;
    assert!(is(&seen, "Accepted", "True"));
    Ok(())
}

#[tokio::test]
async fn an_offer_says_whether_it_is_valid_and_how_many_objects_it_holds() -> TestResult {
    let pair = Pair::new("routing-valid").await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    let offers = pair.provider.offers();
    // The API server refuses filters that no component could know; the others are the component's to judge.
    for (name, filters, expected) in [
        ("routing-valid-rule", json!([{"key": "a"}, {"key": "b", "with": {"semver": ">=1"}}]), "1.with"),
        (
            "routing-valid-bounds",
            json!([{"key": "a", "boundary": {"min": 2, "max": 1}}]),
            "min (2) is larger than max (1)",
        ),
    ] {
        pair.provider.offer(name, &filters).await?;
        let invalid = until(&offers, name, "what is wrong", |it| {
            valid(it).is_some_and(|it| it.reason == reason::INVALID_FILTERS)
        })
        .await;
        let told = valid(&invalid).map(|it| it.message.clone()).unwrap_or_default();
        assert!(told.contains(expected), "{told}");
        let events = kube::Api::default_namespaced(pair.provider.client.clone());
        assert_eq!(event_about(&events, name, reason::INVALID_FILTERS).await, told);
    }
    let offer = pair.provider.offer(pair.name, &json!([{"key": "size", "boundary": {"max": 10}}])).await?;
    let well = until(&offers, pair.name, "that it is valid", is_valid).await;
    assert_eq!(well.status.and_then(|status| status.observed_generation), offer.metadata.generation);

    for (name, size) in [("a", 1), ("b", 10), ("refused", 11)] {
        pair.consumer.create(name, &json!({"size": size})).await?;
    }
    for name in ["a", "b"] {
        pair.copy(name).await;
    }
    until(&offers, pair.name, "two objects", |it| objects(it) == Some(2)).await;
    pair.consumer.delete("a").await?;
    gone(&pair.records, &pair.record_name("a")).await;
    // A look at the offer for another reason must not take the place of the one that counts.
    let label = Patch::Merge(json!({"metadata": {"labels": {"looked": "at"}}}));
    offers.patch(pair.name, &PatchParams::default(), &label).await?;
    let last = until(&offers, pair.name, "one object", |it| objects(it) == Some(1)).await;
    assert!(is_valid(&last));
    Ok(())
}

#[tokio::test]
async fn an_offer_of_what_is_not_served_or_not_watched_says_so() -> TestResult {
    let pair = Pair::bare("routing-unserved", "consumer", "provider").await?;
    pair.kind.install(&pair.consumer.cluster).await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    let offers = pair.provider.offers();
    let says = |expected: &'static str| {
        move |it: &AcceptApi| valid(it).is_some_and(|it| it.reason == expected && it.status == "False")
    };

    let gvr = json!({"group": "unwatched.example.com", "version": "v1", "resource": "things"});
    pair.provider.offer_of("routing-unwatched", &gvr, &json!([])).await?;
    let seen = until(&offers, "routing-unwatched", "that it is not watched", says(reason::NOT_WATCHED)).await;
    assert!(valid(&seen).is_some_and(|it| it.message.contains("--watch-kind")), "{seen:?}");

    pair.provider.offer(pair.name, &json!([])).await?;
    let seen = until(&offers, pair.name, "that it is not served", says(reason::NOT_SERVED)).await;
    assert!(valid(&seen).is_some_and(|it| it.message.contains(&pair.kind.watch_kind())), "{seen:?}");
    pair.consumer.create("early", &json!({"size": 1})).await?;
    until(&pair.consumer.widgets(), "early", "that it cannot be placed", |it| {
        is(it, "Accepted", "Unknown") && message(it, "Accepted").contains("provider#provider")
    })
    .await;

    pair.kind.install(&pair.provider.cluster).await?;
    until(&offers, pair.name, "that it is valid now", is_valid).await;
    assert_eq!(pair.copy("early").await.data["spec"]["size"], 1);
    Ok(())
}

#[tokio::test]
async fn withdrawing_an_offer_is_held_up_by_nothing() -> TestResult {
    let pair = Pair::new("routing-withdrawn").await?;
    let mut broker = pair.start().await?;
    let offers = pair.provider.offers();
    let copy = pair.placed("web", &json!({})).await?;
    until(&offers, pair.name, "the broker's word", is_valid).await;
    assert_eq!(offers.get(pair.name).await?.finalizers(), [""; 0]);
    pair.provider.withdraw(pair.name).await?;
    assert_eq!(pair.provider.widgets().get(&copy.name_any()).await?.uid(), copy.uid());

    // Also not by a broker that was away in the meantime.
    pair.provider.offer(pair.name, &json!([])).await?;
    until(&offers, pair.name, "the broker's word", is_valid).await;
    broker.kill9()?;
    pair.provider.withdraw(pair.name).await?;
    broker.restart().await?;
    let orders = pair.consumer.widgets();
    until(&orders, "web", "that its provider withdrew", |it| fails(it, "Accepted", reason::PROVIDER_GONE)).await;
    let there = pair.provider.widgets().get(&copy.name_any()).await?;
    assert_eq!((there.uid(), there.metadata.deletion_timestamp), (copy.uid(), None));
    Ok(())
}

fn valid(offer: &AcceptApi) -> Option<&Condition> {
    offer.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == "Valid")
}

fn is_valid(offer: &AcceptApi) -> bool {
    valid(offer).is_some_and(|condition| condition.status == "True")
}

fn objects(offer: &AcceptApi) -> Option<i64> {
    offer.status.as_ref()?.objects
}
