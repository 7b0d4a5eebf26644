//! How objects end: the copy first, the consumer's object when nothing of it is left, and nothing before its time.

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use resource_broker_api::{conditions::reason, keys};
use resource_broker_harness::TestResult;
use serde_json::json;

use crate::pair::{Pair, fails, gone, is, is_well, message, until};

/// The finalizer of a provider's operator.
const SLOW: &str = "example.com/slow";

/// An object `web` that is ready, with a Secret `web-tls`; returns its copy.
async fn ready(pair: &Pair) -> Result<DynamicObject> {
    let copy = pair.placed("web", &json!({"size": 1})).await?;
    report(pair).await?;
    Ok(copy)
}

/// What a provider's operator says of the copy of `web`.
async fn report(pair: &Pair) -> Result<()> {
    let source = pair.copy_name("web-tls");
    let secrets = pair.provider.api::<Secret>();
    if secrets.get_opt(&source).await?.is_none() {
        let secret = json!({"metadata": {"name": source}, "stringData": {"key": "one"}});
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    }
    let gvk = json!({"group": "core", "version": "v1", "kind": "Secret"});
    let related = json!({"tls": {"gvk": gvk, "name": source}});
    pair.provider.report(&pair.copy_name("web"), &json!({"status": "Available", "relatedResources": related})).await?;
    until(&pair.consumer.widgets(), "web", "to be well", is_well).await;
    until(&pair.consumer.api::<Secret>(), "web-tls", "to come", |_| true).await;
    Ok(())
}

/// Waits until nothing is left of `web` anywhere, but what the provider made itself.
async fn all_gone(pair: &Pair) -> Result<()> {
    gone(&pair.consumer.widgets(), "web").await;
    gone(&pair.provider.widgets(), &pair.copy_name("web")).await;
    gone(&pair.records, &pair.record_name("web")).await;
    gone(&pair.consumer.api::<Secret>(), "web-tls").await;
    assert!(pair.provider.api::<Secret>().get_opt(&pair.copy_name("web-tls")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_object_stays_until_its_copy_is_gone() -> TestResult {
    let pair = Pair::new("delete-slow").await?;
    let _broker = pair.start().await?;
    let copy = ready(&pair).await?.name_any();
    let (orders, copies) = (pair.consumer.widgets(), pair.provider.widgets());
    let held = json!({"metadata": {"finalizers": [keys::GENERIC_FINALIZER, SLOW]}});
    pair.provider.edit(&copy, &held).await?;

    pair.consumer.delete("web").await?;
    let deleting = until(&copies, &copy, "to be deleted", |it| it.metadata.deletion_timestamp.is_some()).await;
    assert!(deleting.finalizers().contains(&SLOW.to_owned()));
    let waiting = until(&orders, "web", "what holds it", |it| fails(it, "Synced", reason::DELETING)).await;
    let told = message(&waiting, "Synced");
    assert!(told.contains(SLOW) && told.contains("provider#provider") && told.contains(&copy), "{told}");
    assert_eq!(waiting.finalizers(), [keys::GENERIC_FINALIZER]);
    pair.marker().await?;
    // All that hangs on it is there as long as the provider serves it.
    assert!(copies.get_opt(&copy).await?.is_some() && orders.get_opt("web").await?.is_some());
    assert!(pair.records.get_opt(&pair.record_name("web")).await?.is_some());
    assert!(pair.consumer.api::<Secret>().get_opt("web-tls").await?.is_some());

    // The provider's side is done; what else it writes on the way out does not matter.
    pair.provider.report(&copy, &json!({"status": "Deleting"})).await?;
    let left: Vec<String> = copies.get(&copy).await?.finalizers().iter().filter(|it| *it != SLOW).cloned().collect();
    pair.provider.edit(&copy, &json!({"metadata": {"finalizers": left}})).await?;
    all_gone(&pair).await?;
    Ok(())
}

#[tokio::test]
async fn a_copy_that_others_delete_is_made_again() -> TestResult {
    let pair = Pair::new("delete-copy").await?;
    let _broker = pair.start().await?;
    let first = ready(&pair).await?;
    let (copies, copy) = (pair.provider.widgets(), first.name_any());
    let secret = pair.consumer.api::<Secret>().get("web-tls").await?.uid();

    pair.provider.delete(&copy).await?;
    let second = until(&copies, &copy, "another copy", |it| it.uid() != first.uid()).await;
    assert_eq!((&second.data["spec"], second.finalizers()), (&first.data["spec"], first.finalizers()));
    until(&pair.records, &pair.record_name("web"), "the new copy's UID", |it| {
        it.status.as_ref().and_then(|status| status.copy.as_ref()).map(|copy| &copy.uid) == second.metadata.uid.as_ref()
    })
    .await;
    // With a finalizer of the provider's in the way, it is made again once that is gone.
    pair.provider.edit(&copy, &json!({"metadata": {"finalizers": [keys::GENERIC_FINALIZER, SLOW]}})).await?;
    pair.provider.delete(&copy).await?;
    until(&pair.consumer.widgets(), "web", "what is going on", |it| fails(it, "Synced", reason::PENDING)).await;
    pair.provider.edit(&copy, &json!({"metadata": {"finalizers": [keys::GENERIC_FINALIZER]}})).await?;
    let third = until(&copies, &copy, "another copy", |it| it.uid() != second.uid()).await;
    assert_eq!(third.data["spec"], first.data["spec"]);
    report(&pair).await?;
    assert_eq!(
        pair.consumer.api::<Secret>().get("web-tls").await?.uid(),
        secret,
        "the consumer had its Secret all the time"
    );

    pair.consumer.delete("web").await?;
    all_gone(&pair).await?;
    Ok(())
}

#[tokio::test]
async fn a_copy_without_its_finalizer_is_mended_or_made_again() -> TestResult {
    let pair = Pair::new("delete-finalizer").await?;
    let mut broker = pair.start().await?;
    let first = ready(&pair).await?;
    let (copies, copy) = (pair.provider.widgets(), first.name_any());
    let bare = json!({"metadata": {"finalizers": null}});
    pair.provider.edit(&copy, &bare).await?;
    let mended = until(&copies, &copy, "its finalizer", |it| it.finalizers() == [keys::GENERIC_FINALIZER]).await;
    assert_eq!(mended.uid(), first.uid());

    // The same at the consumer.
    pair.consumer.edit("web", &bare).await?;
    until(&pair.consumer.widgets(), "web", "its finalizer", |it| it.finalizers() == [keys::GENERIC_FINALIZER]).await;

    // Without it nothing holds the copy, and nobody sees it go.
    broker.kill9()?;
    pair.provider.edit(&copy, &bare).await?;
    pair.provider.delete(&copy).await?;
    gone(&copies, &copy).await;
    broker.restart().await?;
    let second = until(&copies, &copy, "another copy", |_| true).await;
    assert_eq!(second.data["spec"], first.data["spec"]);
    until(&pair.consumer.widgets(), "web", "to be in step", |it| is(it, "Synced", "True")).await;
    Ok(())
}

#[tokio::test]
async fn what_is_deleted_while_the_broker_is_away_goes_when_it_is_back() -> TestResult {
    let pair = Pair::new("delete-away").await?;
    let mut broker = pair.start().await?;
    ready(&pair).await?;
    broker.kill9()?;
    pair.consumer.delete("web").await?;
    broker.restart().await?;
    all_gone(&pair).await?;

    // The same with the finalizer taken off by hand, so that the object itself is gone at once.
    ready(&pair).await?;
    broker.kill9()?;
    pair.consumer.edit("web", &json!({"metadata": {"finalizers": null}})).await?;
    pair.consumer.delete("web").await?;
    gone(&pair.consumer.widgets(), "web").await;
    broker.restart().await?;
    all_gone(&pair).await?;

    // And with a broker that is there.
    ready(&pair).await?;
    pair.consumer.delete("web").await?;
    all_gone(&pair).await?;
    Ok(())
}

#[tokio::test]
async fn another_object_under_the_same_name_is_another_object() -> TestResult {
    let pair = Pair::new("delete-recreate").await?;
    let mut broker = pair.start().await?;
    let first = ready(&pair).await?;
    let (orders, copies, copy) = (pair.consumer.widgets(), pair.provider.widgets(), first.name_any());
    let old = orders.get("web").await?;

    broker.kill9()?;
    pair.consumer.edit("web", &json!({"metadata": {"finalizers": null}})).await?;
    pair.consumer.delete("web").await?;
    gone(&orders, "web").await;
    let new = pair.consumer.create("web", &json!({"size": 2, "engine": "new"})).await?;
    assert_ne!(new.uid(), old.uid());
    broker.restart().await?;

    let seen = until(&orders, "web", "what can be done", |it| fails(it, "Synced", "Recreated")).await;
    let record = pair.record_name("web");
    for decision in ["take-over", "start-anew"] {
        let command = format!("kubectl annotate assignment {record} -n {} {}={decision}", pair.name, keys::RECREATED);
        assert!(message(&seen, "Synced").contains(&command), "{}", message(&seen, "Synced"));
    }
    pair.marker().await?;
    let kept = copies.get(&copy).await?;
    assert_eq!(
        (kept.uid(), &kept.data["spec"]["size"]),
        (first.uid(), &json!(1)),
        "the old one's copy stays as it was"
    );

    let decide = json!({"metadata": {"annotations": {keys::RECREATED: "start-anew"}}});
    pair.records.patch(&record, &PatchParams::default(), &Patch::Merge(&decide)).await?;
    let second = until(&copies, &copy, "the copy of the new one", |it| it.data["spec"]["size"] == 2).await;
    assert_ne!(second.uid(), first.uid(), "the old one's copy is not handed on");
    let record = until(&pair.records, &record, "the new one's record", |it| {
        Some(&it.spec.consumer.uid) == new.metadata.uid.as_ref()
    })
    .await;
    assert_eq!(record.spec.provider.name, copy);
    let seen = until(&orders, "web", "to be in step", |it| is(it, "Synced", "True")).await;
    assert_ne!(seen.data["status"]["status"], "Available", "nothing of the old one's status is left");
    report(&pair).await?;
    let secret = until(&pair.consumer.api::<Secret>(), "web-tls", "its new owner", |it| {
        it.owner_references().first().map(|owner| &owner.uid) == new.metadata.uid.as_ref()
    })
    .await;
    assert_eq!(secret.owner_references().len(), 1);

    // One that goes through its finalizer leaves nothing that the next one could be given.
    pair.consumer.delete("web").await?;
    gone(&orders, "web").await;
    pair.consumer.create("web", &json!({"size": 3})).await?;
    let third = until(&copies, &copy, "the copy of the third", |it| it.data["spec"]["size"] == 3).await;
    assert_ne!(third.uid(), second.uid());
    report(&pair).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_nobody_has_goes_at_once() -> TestResult {
    let pair = Pair::new("delete-unplaced").await?;
    let _broker = pair.broker(&[]).await?.start().await?;
    pair.consumer.create("web", &json!({})).await?;
    until(&pair.consumer.widgets(), "web", "that nobody takes it", |it| fails(it, "Accepted", reason::NO_OFFERS)).await;
    pair.consumer.delete("web").await?;
    gone(&pair.consumer.widgets(), "web").await;
    Ok(())
}
