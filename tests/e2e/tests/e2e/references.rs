//! Brokered objects that name each other: a Peering and its networks.

use anyhow::Result;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use resource_broker_api::names::assignment_name;
use resource_broker_api::{all_crds, conditions::reason};
use resource_broker_harness::TestResult;
use serde_json::{Value, json};

use crate::pair::{Pair, Side, fails, gone, is, message, until};

const GROUP: &str = "networking.generic.platform-mesh.io";
const NETWORK: &str = "VirtualNetwork";
const PEERING: &str = "Peering";

fn plural(kind: &str) -> &'static str {
    if kind == PEERING { "peerings" } else { "virtualnetworks" }
}

fn api(pair: &Pair, side: &Side, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(GROUP, "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural(kind));
    Api::namespaced_with(side.client.clone(), pair.name, &resource)
}

async fn make(pair: &Pair, kind: &str, name: &str, spec: &Value) -> Result<()> {
    let object =
        json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": kind, "metadata": {"name": name}, "spec": spec});
    api(pair, &pair.consumer, kind).create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

/// An offer for networks of some regions.
async fn offer_networks(pair: &Pair, side: &Side, regions: &[&str]) -> Result<()> {
    let gvr = json!({"group": GROUP, "version": "v1alpha1", "resource": "virtualnetworks"});
    let name = format!("{}-networks", pair.name);
    side.offer_of(&name, &gvr, &json!([{"key": "region", "valueIn": regions}])).await?;
    Ok(())
}

async fn provider_of(pair: &Pair, kind: &str, name: &str) -> Result<String> {
    let record = assignment_name(&pair.consumer.id, GROUP, kind, Some(pair.name), name);
    Ok(pair.records.get(&record).await?.spec.provider.cluster)
}

#[tokio::test]
async fn a_peering_goes_where_its_networks_are_and_they_stay() -> TestResult {
    let pair = Pair::new("references").await?;
    let other = pair.other_provider().await?;
    for side in [&pair.consumer, &pair.provider, &other] {
        for file in all_crds().into_iter().filter(|file| file.crd.spec.group == GROUP) {
            side.cluster.install_crd(&file.crd).await?;
        }
    }
    let gvr = json!({"group": GROUP, "version": "v1alpha1", "resource": "peerings"});
    for side in [&pair.provider, &other] {
        side.offer_of(&format!("{}-peerings", pair.name), &gvr, &json!([])).await?;
    }
    offer_networks(&pair, &pair.provider, &["north"]).await?;
    offer_networks(&pair, &other, &["south"]).await?;
    let kinds = [NETWORK, PEERING].map(|kind| format!("{kind}.v1alpha1.{GROUP}"));
    let builder = pair.broker(&[&other]).await?.watch_kind(&kinds[0]).watch_kind(&kinds[1]).arg("settle", "1s");
    let _broker = builder.start().await?;

    // Ordered before its networks: it waits, and goes on when they are there.
    let (peerings, networks) = (api(&pair, &pair.consumer, PEERING), api(&pair, &pair.consumer, NETWORK));
    make(&pair, PEERING, "link", &json!({"localNetworkRef": "net-a", "remoteNetworkRef": "net-b"})).await?;
    let waits = until(&peerings, "link", "to wait", |it| fails(it, "Accepted", reason::REFERENCE_ELSEWHERE)).await;
    assert!(
        message(&waits, "Accepted").contains("VirtualNetwork net-a does not exist"),
        "{}",
        message(&waits, "Accepted")
    );
    make(&pair, NETWORK, "net-a", &json!({"region": "north"})).await?;
    make(&pair, NETWORK, "net-b", &json!({"region": "south"})).await?;
    let waits = until(&peerings, "link", "to name both places", |it| {
        fails(it, "Accepted", reason::REFERENCE_ELSEWHERE) && message(it, "Accepted").contains("one provider")
    })
    .await;
    let told = message(&waits, "Accepted");
    for text in ["net-a is at provider#provider", "net-b is at provider#provider-b"] {
        assert!(told.contains(text), "{told}");
    }

    make(&pair, NETWORK, "net-c", &json!({"region": "north"})).await?;
    let change = json!({"spec": {"remoteNetworkRef": "net-c"}});
    peerings.patch("link", &PatchParams::default(), &Patch::Merge(&change)).await?;
    let copies = api(&pair, &pair.provider, PEERING);
    let copy = until(&copies, &pair.copy_name("link"), "the copy", |_| true).await;
    for (field, name) in [("localNetworkRef", "net-a"), ("remoteNetworkRef", "net-c")] {
        assert_eq!(copy.data["spec"][field], pair.copy_name(name), "{field}");
    }
    until(&peerings, "link", "to be in step", |it| is(it, "Synced", "True")).await;
    let there = api(&pair, &pair.provider, NETWORK);
    assert!(there.get_opt(&pair.copy_name("net-c")).await?.is_some(), "the copy names what is there");

    // Its provider does not take a network any more, and another one does.
    offer_networks(&pair, &pair.provider, &["east"]).await?;
    offer_networks(&pair, &other, &["south", "north"]).await?;
    let held = until(&networks, "net-a", "to be held", |it| fails(it, "Accepted", reason::HELD_BY_REFERENCE)).await;
    assert!(message(&held, "Accepted").contains("Peering link"), "{}", message(&held, "Accepted"));
    assert_eq!(provider_of(&pair, NETWORK, "net-a").await?, "provider#provider");
    assert_eq!(copies.get(&pair.copy_name("link")).await?.uid(), copy.uid());

    // The network moves once nothing refers to it any more.
    peerings.delete("link", &DeleteParams::default()).await?;
    gone(&peerings, "link").await;
    until(&api(&pair, &other, NETWORK), &pair.copy_name("net-a"), "to move", |_| true).await;
    gone(&there, &pair.copy_name("net-a")).await;
    Ok(())
}
