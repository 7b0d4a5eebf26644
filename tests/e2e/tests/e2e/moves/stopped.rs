//! API servers that are stopped while objects stand at every point of a move. Whatever the objects wait for happens while the
//! server is away; when it is back, each of them comes to the same end.

use anyhow::{Result, ensure};
use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use resource_broker_harness::{Proxy, TestResult};
use serde_json::json;

use super::law::Terms;
use super::world::{Proxies, World, signed};
use crate::operator::{Hold, Manner, secret_of};
use crate::pair::{fails, gone, is_well, message, until};
use crate::policy::{Writes, at_work};

/// What both providers take at one time or another; offers decide where the objects are that ask for it.
const DRIFTING: &str = "drifting";
/// A refusal that comes of offers has to last so long.
const SETTLE: &str = "8s";
/// What the new provider's cluster says of a copy that it does not take.
const REFUSAL: &str = "not in this house";
/// What the consumer's cluster says of a Secret that it does not take.
const NO_PLACE: &str = "no place for that";
/// What follows the copy's name in that of this Secret.
const OTHER_SUFFIX: &str = "login";

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Its provider's offer has just changed, and refuses it.
    Settling,
    /// The move is recorded, and the new provider's cluster refuses the copy.
    Recorded,
    /// The new copy is being made.
    Made,
    /// The new copy is available, and its Secret is not there yet.
    Promised,
    /// The object is handed over, and its new Secret cannot be brought to the consumer: the old copy stays.
    Switched,
    /// The old copy is being deleted, and its operator holds it.
    Left,
}

impl Point {
    const ALL: [Self; 6] = [Self::Settling, Self::Recorded, Self::Made, Self::Promised, Self::Switched, Self::Left];

    /// The object that stands here.
    fn object(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Recorded => "recorded",
            Self::Made => "made",
            Self::Promised => "promised",
            Self::Switched => "switched",
            Self::Left => "left",
        }
    }

    /// How the new provider's operator treats its copy until it is released.
    fn held_at_second(self) -> Manner {
        let usual = Manner::signing();
        match self {
            Self::Made => Manner { says: Some("Provisioning"), ..usual },
            Self::Promised => Manner { provides: false, ..usual },
            Self::Settling | Self::Recorded | Self::Switched | Self::Left => self.released_at_second(),
        }
    }

    /// And from then on.
    fn released_at_second(self) -> Manner {
        let suffix = if self == Self::Switched { OTHER_SUFFIX } else { Manner::default().suffix };
        Manner { suffix, ..Manner::signing() }
    }

    /// How the old provider's operator treats its copy until it is released.
    fn held_at_first(self) -> Manner {
        let holds = if self == Self::Left { Hold::ForEver } else { Hold::Never };
        Manner { holds, ..Manner::signing() }
    }
}

/// A server that is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Old,
    New,
    Compute,
    Consumer,
    Coordination,
}

impl Server {
    fn of(self, proxies: &Proxies) -> &Proxy {
        match self {
            Self::Old => &proxies.providers[0],
            Self::New => &proxies.providers[1],
            Self::Compute => &proxies.compute,
            Self::Consumer => &proxies.consumer,
            Self::Coordination => &proxies.coordination,
        }
    }
}

#[tokio::test]
async fn the_old_providers_in_every_state() -> TestResult {
    survives("stopped-old", Server::Old).await?;
    Ok(())
}

#[tokio::test]
async fn the_new_providers_in_every_state() -> TestResult {
    survives("stopped-new", Server::New).await?;
    Ok(())
}

#[tokio::test]
async fn computes_in_every_state() -> TestResult {
    survives("stopped-compute", Server::Compute).await?;
    Ok(())
}

#[tokio::test]
async fn the_consumers_in_every_state() -> TestResult {
    survives("stopped-consumer", Server::Consumer).await?;
    Ok(())
}

#[tokio::test]
async fn the_record_keepers_in_every_state() -> TestResult {
    survives("stopped-records", Server::Coordination).await?;
    Ok(())
}

async fn survives(name: &'static str, server: Server) -> Result<()> {
    let world = World::new(name).await?;
    let witness = world.witness().await?;
    let (proxies, broker) = world.proxied().await?;
    let mut broker = broker.arg("settle", SETTLE).start().await?;
    embark(&world).await?;
    let stopped = server.of(&proxies);
    stopped.stop().await?;
    release(&world).await?;
    meanwhile(&world, server, "marker").await?;
    // One that starts now has forgotten what it saw there. Without its records it does not start.
    if server != Server::Coordination {
        broker.restart().await?;
        meanwhile(&world, server, "another").await?;
    }
    stopped.resume();
    land(&world).await;
    world.judge(&witness, &broker, &Terms { renames: true, ..Terms::default() }).await?;
    Ok(())
}

/// Places one object for each point, and takes each there. The one whose time is short comes last.
async fn embark(world: &World) -> Result<()> {
    let (first, second) = (world.first(), world.second());
    world.offer_for(first, &[&first.id.name, DRIFTING]).await?;
    second.cluster.create_namespace(world.pair.name).await?;
    let refused = world.pair.copy_name(Point::Recorded.object());
    copies(world).refuse(&second.cluster, &format!("object.metadata.name != '{refused}'"), REFUSAL).await?;
    at_work(&second.widgets(), &world.pair.kind.object(world.pair.name, &refused, &json!({})), Result::is_err).await;
    try_join_all(Point::ALL.map(|point| place(world, point))).await?;
    let (settling, others) = Point::ALL.split_first().unwrap_or((&Point::Settling, &[]));
    try_join_all(others.iter().map(|point| take(world, *point))).await?;
    take(world, *settling).await
}

/// Which writes a policy of the new provider's cluster is about.
fn copies(world: &World) -> Writes<'_> {
    let (name, group) = (world.pair.name, world.pair.kind.group());
    Writes { name, namespace: name, group, resource: "widgets", operations: &["CREATE"] }
}

/// Which writes a policy of the consumer's cluster is about.
fn secrets(world: &World) -> Writes<'_> {
    let name = world.pair.name;
    Writes { name, namespace: name, group: "", resource: "secrets", operations: &["CREATE"] }
}

async fn place(world: &World, point: Point) -> Result<()> {
    let (object, copy) = (point.object(), world.pair.copy_name(point.object()));
    world.operators[0].treat(&copy, point.held_at_first());
    world.operators[1].treat(&copy, point.held_at_second());
    let mut spec = world.spec(world.first());
    if point == Point::Settling {
        spec["engine"] = DRIFTING.into();
    }
    world.pair.consumer.create(object, &spec).await?;
    world.arrived(object, world.first()).await;
    if point == Point::Left {
        until(&world.first().widgets(), &copy, "to be held", |it| it.finalizers().len() == 2).await;
    }
    Ok(())
}

async fn take(world: &World, point: Point) -> Result<()> {
    let (first, second, object) = (world.first(), world.second(), point.object());
    let (orders, copy) = (world.pair.consumer.widgets(), world.pair.copy_name(object));
    let says = async |part: &str| {
        until(&orders, object, &format!("to say {part:?}"), |it| message(it, "Synced").contains(part)).await;
    };
    if point == Point::Settling {
        world.offer_for(second, &[&second.id.name, DRIFTING]).await?;
        world.offer(first).await?;
        until(&orders, object, "to say that it may move", |it| {
            fails(it, "Accepted", "NoMatchingOffer") && message(it, "Accepted").contains("if that lasts")
        })
        .await;
        return Ok(());
    }
    if point == Point::Switched {
        let secret = format!("{object}-{OTHER_SUFFIX}");
        let consumer = &world.pair.consumer;
        secrets(world).refuse(&consumer.cluster, &format!("object.metadata.name != '{secret}'"), NO_PLACE).await?;
        let probe = serde_json::from_value(json!({"metadata": {"name": secret}}))?;
        at_work(&consumer.api::<Secret>(), &probe, Result::is_err).await;
    }
    world.send(object, second).await?;
    match point {
        Point::Settling => {}
        Point::Recorded => {
            world.moving(object, second).await;
            says(REFUSAL).await;
        }
        Point::Made => says("reports status Provisioning").await,
        Point::Promised => says(&secret_of(&copy)).await,
        Point::Switched => {
            handed_over(world, object).await?;
            says(NO_PLACE).await;
            let old = world.copied(object, first).await;
            ensure!(old.metadata.deletion_timestamp.is_none(), "the old copy went before the new Secret came");
        }
        Point::Left => {
            handed_over(world, object).await?;
            until(&first.widgets(), &copy, "to be deleted", |it| it.metadata.deletion_timestamp.is_some()).await;
        }
    }
    Ok(())
}

/// Waits until an object is at its new provider, with the old place on its record.
async fn handed_over(world: &World, object: &str) -> Result<()> {
    let place = world.second().id.to_string();
    let record = until(&world.pair.records, &world.pair.record_name(object), "to be handed over", |it| {
        it.spec.provider.cluster == place
    })
    .await;
    ensure!(record.spec.previous.len() == 1, "{object}: {:?}", record.spec);
    Ok(())
}

/// What each of them waits for happens.
async fn release(world: &World) -> Result<()> {
    for point in Point::ALL {
        world.operators[1].treat(&world.pair.copy_name(point.object()), point.released_at_second());
    }
    let tidy = Manner { holds: Hold::UntilTidied, ..Manner::signing() };
    world.operators[0].treat(&world.pair.copy_name(Point::Left.object()), tidy);
    copies(world).allow(&world.second().cluster).await?;
    secrets(world).allow(&world.pair.consumer.cluster).await?;
    Ok(())
}

/// What can be done without the server is done.
async fn meanwhile(world: &World, server: Server, marker: &str) -> Result<()> {
    match server {
        Server::Old => world.place(marker, world.second()).await?,
        Server::New => world.place(marker, world.first()).await?,
        // Nothing is asked of it where there are no stages.
        Server::Compute => land(world).await,
        Server::Consumer | Server::Coordination => available(world).await,
    }
    Ok(())
}

/// Waits until the copies that were held are available, which the broker cannot follow up now.
async fn available(world: &World) {
    join_all([Point::Made, Point::Promised].map(async |point| {
        let copies = world.second().widgets();
        until(&copies, &world.pair.copy_name(point.object()), "to be available", |copy| {
            copy.data["status"]["status"] == "Available"
        })
        .await;
    }))
    .await;
}

/// Waits until every object is at its new provider, with nothing left of the old one.
async fn land(world: &World) {
    join_all(Point::ALL.map(async |point| {
        let object = point.object();
        if point != Point::Switched {
            return world.arrived(object, world.second()).await;
        }
        world.moved(object, world.second()).await;
        until(&world.pair.consumer.widgets(), object, "to be well", is_well).await;
        let secrets = world.pair.consumer.api::<Secret>();
        until(&secrets, &format!("{object}-{OTHER_SUFFIX}"), "to be the new provider's", |secret| {
            signed(secret, "provider").as_deref() == Some(world.second().id.name.as_str())
        })
        .await;
        gone(&secrets, &secret_of(object)).await;
    }))
    .await;
}
