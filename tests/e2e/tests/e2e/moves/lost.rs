//! Records that are lost while their objects move: the copy that no record names any more may be the one with the data.

use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams};
use resource_broker_harness::TestResult;

use super::world::World;
use crate::operator::Manner;
use crate::pair::{event_about, until};

#[tokio::test]
async fn the_old_copy_stays_until_the_new_one_is_as_ready() -> TestResult {
    let world = World::new("lost-record").await?;
    let broker = world.start().await?;
    let (first, second) = (world.first(), world.second());
    world.place("order", first).await?;
    let old = world.copied("order", first).await;
    world.operators[1].behave(Manner { says: Some("Provisioning"), ..Manner::signing() });
    world.send("order", second).await?;
    world.copied("order", second).await;

    let name = world.pair.record_name("order");
    world.pair.records.delete(&name, &DeleteParams::default()).await?;
    until(&world.pair.records, &name, "to be made again, for the provider that takes it", |record| {
        record.spec.provider.cluster == second.id.to_string() && record.spec.next.is_none()
    })
    .await;
    let events: Api<Event> = Api::namespaced(world.pair.records.clone().into_client(), world.pair.name);
    let told = event_about(&events, &name, "CopyKept").await;
    assert!([first, second].iter().all(|side| told.contains(&side.id.to_string())), "{told}");
    // An object made later is served by then.
    world.place("marker", first).await?;
    let now = world.copied("order", first).await;
    assert_eq!((now.uid(), now.metadata.deletion_timestamp), (old.uid(), None), "it is the only one that is ready");

    world.operators[1].behave(Manner::signing());
    world.arrived("order", second).await;
    let kept = broker.logs()?.lines().filter(|line| line.contains("CopyKept")).count();
    assert_eq!(kept, 1, "it is told once");
    Ok(())
}
