//! Sees every change of every object of a test, in all clusters.
//!
//! Watches begin before the broker does anything and go on without a gap: a watch that ends is taken up where it ended, and
//! a server that has forgotten that place fails the test. All API servers keep their objects in one etcd, so that
//! `metadata.resourceVersion` tells in which order changes were made across clusters: see [`StatusWriter`].

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, pin_mut};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use resource_broker_harness::eventually;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::world::World;
use crate::pair::{PATIENCE, Side};

/// Seconds after which a watch is taken up anew.
const WATCH_SECONDS: u32 = 290;
/// Between two tries of a watch.
const PAUSE: Duration = Duration::from_millis(100);

/// How the coordination cluster is called in what was seen.
pub(crate) const COORDINATION: &str = "coordination";
/// How the compute cluster is called in what was seen.
pub(crate) const COMPUTE: &str = "compute";

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// When, among the changes of all clusters.
    pub(crate) revision: u64,
    /// `provider#NAME`, `consumer#NAME`, [`COORDINATION`] or [`COMPUTE`].
    pub(crate) cluster: String,
    pub(crate) kind: String,
    /// Whether the object ceased to be.
    pub(crate) gone: bool,
    /// As it is since then, or as it was before it went.
    pub(crate) object: DynamicObject,
}

/// Tells one object from all others of a test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) cluster: String,
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Sight {
    /// The object that changed.
    pub(crate) fn place(&self) -> Place {
        Place { cluster: self.cluster.clone(), kind: self.kind.clone(), name: self.object.name_any() }
    }

    /// Whether the object is there and not being deleted.
    pub(crate) fn lives(&self) -> bool {
        !self.gone && self.object.metadata.deletion_timestamp.is_none()
    }
}

impl Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, cluster, kind, gone, object } = self;
        let life = match (gone, &object.metadata.deletion_timestamp) {
            (true, _) => "GONE",
            (false, Some(_)) => "ending",
            (false, None) => "",
        };
        let name = object.name_any();
        write!(f, "{revision:>7} {cluster:<20} {kind:<12} {name} {life:<6} ")?;
        // A Secret's data is made up by the test, and is what one wants to see.
        let mut data = object.data.clone();
        if let (Some(status), "Event") = (data.as_object_mut(), kind.as_str()) {
            status.retain(|key, _| ["reason", "message"].contains(&key.as_str()));
        }
        write!(f, "{data}")
    }
}

/// What is watched.
struct Source {
    cluster: String,
    kind: String,
    api: Api<DynamicObject>,
}

/// Watches until it is dropped or asked for its [`StatusWriter`].
pub(crate) struct Witness {
    sources: Vec<Source>,
    seen: Arc<Mutex<Seen>>,
    watching: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    sights: Vec<Sight>,
    /// Why it cannot be told what happened.
    gaps: Vec<String>,
}

impl Witness {
    /// Of a world, with further consumers. What is there already counts as made now.
    pub(crate) async fn of(world: &World, consumers: &[&Side]) -> Result<Self> {
        let name = world.pair.name;
        let widget = world.pair.kind.api_resource();
        let mut sources = Vec::new();
        let mut add = |cluster: &str, client: &Client, kinds: &[ApiResource]| {
            for kind in kinds {
                let api = Api::namespaced_with(client.clone(), name, kind);
                sources.push(Source { cluster: cluster.to_owned(), kind: kind.kind.clone(), api });
            }
        };
        for side in world.providers() {
            add(&side.id.to_string(), &side.client, &[widget.clone(), core("Secret")]);
        }
        for side in [&world.pair.consumer].into_iter().chain(consumers.iter().copied()) {
            add(&side.id.to_string(), &side.client, &[widget.clone(), core("Secret"), core("Event")]);
        }
        let ours = ["Assignment", "Migration"]
            .map(|kind| ApiResource::from_gvk(&GroupVersionKind::gvk("broker.platform-mesh.io", "v1alpha1", kind)));
        let coordination = world.pair.records.clone().into_client();
        add(COORDINATION, &coordination, &[ours.as_slice(), &[core("Event")]].concat());
        let job = ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "Job"));
        add(COMPUTE, &world.compute.client().await?, &[core("ConfigMap"), core("Secret"), job]);
        Self::begin(sources).await
    }

    async fn begin(sources: Vec<Source>) -> Result<Self> {
        let mut witness = Self { sources: Vec::new(), seen: Arc::default(), watching: Vec::new() };
        for source in sources {
            let there = list(&source).await?;
            let version = there.metadata.resource_version.unwrap_or_default();
            for object in there.items {
                note(&witness.seen, &source.cluster, &source.kind, object, false);
            }
            let (cluster, kind, api) = (source.cluster.clone(), source.kind.clone(), source.api.clone());
            witness.watching.push(tokio::spawn(follow(Arc::clone(&witness.seen), cluster, kind, api, version)));
            witness.sources.push(source);
        }
        Ok(witness)
    }

    /// What has been seen, once everything has that happened before this call. Watching goes on.
    ///
    /// # Panics
    ///
    /// When something may have been missed.
    pub(crate) async fn chronicle(&self) -> Chronicle {
        eventually("the witness to have seen everything", PATIENCE, || async {
            for source in &self.sources {
                self.is_level(source).await?;
            }
            anyhow::Ok(())
        })
        .await;
        let seen = lock(&self.seen);
        assert!(seen.gaps.is_empty(), "the witness was not able to watch without a gap: {:?}", seen.gaps);
        let mut sights = seen.sights.clone();
        drop(seen);
        sights.sort_by_key(|sight| sight.revision);
        Chronicle { sights }
    }

    /// Whether what is there is what was last seen.
    async fn is_level(&self, source: &Source) -> Result<()> {
        let there: BTreeMap<String, Option<String>> =
            list(source).await?.into_iter().map(|it| (it.name_any(), it.resource_version())).collect();
        let mut last = BTreeMap::new();
        let seen = lock(&self.seen);
        ensure!(seen.gaps.is_empty() || there.is_empty(), "gaps: {:?}", seen.gaps);
        for sight in &seen.sights {
            if (&sight.cluster, &sight.kind) == (&source.cluster, &source.kind) {
                last.insert(sight.object.name_any(), sight);
            }
        }
        last.retain(|_, sight| !sight.gone);
        let last = last.into_iter().map(|(name, sight)| (name, sight.object.resource_version())).collect();
        ensure!(there == last, "{} {}: there is {there:?}, and seen was {last:?}", source.cluster, source.kind);
        Ok(())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}

/// All that was seen, in the order in which it happened.
pub(crate) struct Chronicle {
    pub(crate) sights: Vec<Sight>,
}

impl Chronicle {
    /// The last state of each object, and whether it is gone.
    pub(crate) fn last(&self) -> BTreeMap<Place, &Sight> {
        self.sights.iter().map(|sight| (sight.place(), sight)).collect()
    }

    /// The most objects that were moving at one moment to or from a provider.
    pub(crate) fn most_moving(&self, provider: &str) -> usize {
        let mut moving = BTreeMap::new();
        let mut most = 0;
        for sight in self.sights.iter().filter(|sight| sight.kind == "Assignment") {
            let spec = &sight.object.data["spec"];
            let concerned = [&spec["provider"]["cluster"], &spec["next"]["cluster"]].contains(&&Value::from(provider));
            moving.insert(sight.object.name_any(), !sight.gone && spec["next"].is_object() && concerned);
            most = most.max(moving.values().filter(|moves| **moves).count());
        }
        most
    }

    /// The states of a Migration in the order in which they were seen, each once.
    pub(crate) fn states(&self, migration: &str) -> Vec<String> {
        let of = |sight: &&Sight| sight.kind == "Migration" && !sight.gone && sight.object.name_any() == migration;
        let states = self.sights.iter().filter(of).map(|sight| &sight.object.data["status"]["state"]);
        let mut states: Vec<String> = states.map(|state| state.as_str().unwrap_or_default().to_owned()).collect();
        states.dedup();
        states
    }

    /// The last changes up to a revision, a line each.
    pub(crate) fn up_to(&self, revision: u64, most: usize) -> String {
        let before = self.sights.iter().filter(|sight| sight.revision <= revision);
        let mut lines: Vec<String> = before.rev().take(most).map(ToString::to_string).collect();
        lines.reverse();
        lines.join("\n")
    }
}

/// A kind of the core group.
fn core(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind))
}

async fn list(source: &Source) -> Result<kube::api::ObjectList<DynamicObject>> {
    let listed = source.api.list(&ListParams::default()).await;
    listed.with_context(|| format!("cannot list {} in {}", source.kind, source.cluster))
}

/// Takes note of every change after `version`.
async fn follow(seen: Arc<Mutex<Seen>>, cluster: String, kind: String, api: Api<DynamicObject>, mut version: String) {
    let params = WatchParams::default().timeout(WATCH_SECONDS);
    loop {
        let stream = match api.watch(&params, &version).await {
            Ok(stream) => stream,
            Err(kube::Error::Api(status)) if status.code == 410 => {
                return lost(&seen, &cluster, &kind, &status.message);
            }
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        pin_mut!(stream);
        while let Some(event) = stream.next().await {
            let (object, gone) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                Ok(WatchEvent::Deleted(object)) => (object, true),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(WatchEvent::Error(status)) if status.code == 410 => {
                    return lost(&seen, &cluster, &kind, &status.message);
                }
                // The next one begins where this one ended.
                Ok(WatchEvent::Error(_)) | Err(_) => break,
            };
            version = object.resource_version().unwrap_or(version);
            note(&seen, &cluster, &kind, object, gone);
        }
    }
}

fn note(seen: &Mutex<Seen>, cluster: &str, kind: &str, mut object: DynamicObject, gone: bool) {
    let revision = object.resource_version().and_then(|version| version.parse().ok());
    let Some(revision) = revision else {
        return lost(seen, cluster, kind, &format!("{} has no number as resourceVersion", object.name_any()));
    };
    object.metadata.managed_fields = None;
    lock(seen).sights.push(Sight { revision, cluster: cluster.to_owned(), kind: kind.to_owned(), gone, object });
}

fn lost(seen: &Mutex<Seen>, cluster: &str, kind: &str, why: &str) {
    lock(seen).gaps.push(format!("{cluster} {kind}: {why}"));
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
