//! A provider's operator: answers each copy with a Secret and a status that names it, and takes the Secret down with the
//! copy. What it answers depends on the copy's spec alone, so that two runs of one script end alike.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::pair::Side;

/// What holds a copy until the operator has taken down what it made.
const FINALIZER: &str = "test.example.com/operator";
/// The field manager of what it writes.
const MANAGER: &str = "operator";

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Works until it is dropped.
pub(crate) struct Operator {
    task: JoinHandle<()>,
    rotations: mpsc::UnboundedSender<(String, u64)>,
}

impl Operator {
    /// An operator that answers at once and holds nothing up.
    pub(crate) fn quick(side: &Side) -> Self {
        Self::start(side, false)
    }

    /// An operator with a finalizer of its own on each copy.
    pub(crate) fn careful(side: &Side) -> Self {
        Self::start(side, true)
    }

    /// From now on the Secret of this copy says so, also where the copy comes later.
    pub(crate) fn rotate(&self, copy: &str, rotation: u64) {
        // Only a panicked task has hung up, and then the test fails for lack of answers.
        let _ = self.rotations.send((copy.to_owned(), rotation));
    }

    fn start(side: &Side, holds: bool) -> Self {
        let (rotations, mut asked) = mpsc::unbounded_channel::<(String, u64)>();
        let mut work = Work {
            copies: side.widgets(),
            secrets: side.api(),
            holds,
            seen: BTreeMap::new(),
            rotations: BTreeMap::new(),
        };
        let task = tokio::spawn(async move {
            let events = watcher(work.copies.clone(), watcher::Config::default());
            pin_mut!(events);
            loop {
                tokio::select! {
                    event = events.next() => match event {
                        Some(Ok(event)) => work.on(event).await,
                        // A server that is stopped, or a kind that is not there yet.
                        _ => tokio::time::sleep(PAUSE).await,
                    },
                    Some((copy, rotation)) = asked.recv() => work.rotate(&copy, rotation).await,
                }
            }
        });
        Self { task, rotations }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The Secret that belongs to a copy.
pub(crate) fn secret_of(copy: &str) -> String {
    format!("{copy}-credentials")
}

/// A value as a Secret holds it.
pub(crate) fn bytes(value: &Value) -> ByteString {
    ByteString(value.to_string().into_bytes())
}

struct Work {
    copies: Api<DynamicObject>,
    secrets: Api<Secret>,
    holds: bool,
    seen: BTreeMap<String, DynamicObject>,
    rotations: BTreeMap<String, u64>,
}

impl Work {
    async fn on(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Apply(copy) | Event::InitApply(copy) => {
                self.settle(&copy, false).await;
                self.seen.insert(copy.name_any(), copy);
            }
            Event::Delete(copy) => {
                self.seen.remove(&copy.name_any());
                self.remove_secret(&copy.name_any()).await;
            }
            Event::Init | Event::InitDone => {}
        }
    }

    async fn rotate(&mut self, copy: &str, rotation: u64) {
        self.rotations.insert(copy.to_owned(), rotation);
        if let Some(copy) = self.seen.get(copy) {
            self.settle(copy, true).await;
        }
    }

    /// Tries until it works out or the copy is another one: an API server may be stopped.
    async fn settle(&self, copy: &DynamicObject, rotated: bool) {
        while self.try_settle(copy, rotated).await.is_err() {
            match self.copies.get_opt(&copy.name_any()).await {
                // What changed comes as an event of its own.
                Ok(now) if now.as_ref().and_then(ResourceExt::resource_version) != copy.resource_version() => return,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn try_settle(&self, copy: &DynamicObject, rotated: bool) -> kube::Result<()> {
        let is_held = copy.finalizers().iter().any(|it| it == FINALIZER);
        if copy.metadata.deletion_timestamp.is_some() {
            if is_held {
                self.remove_secret(&copy.name_any()).await;
                self.hold(copy, false).await?;
            }
            return Ok(());
        }
        if self.holds && !is_held {
            // The change comes as an event, and is answered then.
            return self.hold(copy, true).await;
        }
        self.answer(copy, rotated).await
    }

    async fn hold(&self, copy: &DynamicObject, on: bool) -> kube::Result<()> {
        let others = copy.finalizers().iter().filter(|it| *it != FINALIZER).map(String::as_str);
        let finalizers: Vec<&str> = others.chain(on.then_some(FINALIZER)).collect();
        let change = json!({"metadata": {"resourceVersion": copy.resource_version(), "finalizers": finalizers}});
        let changed = self.copies.patch(&copy.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.map(drop)
    }

    async fn answer(&self, copy: &DynamicObject, rotated: bool) -> kube::Result<()> {
        let name = copy.name_any();
        let status = json!({
            "status": "Available",
            "made": copy.data["spec"],
            "relatedResources": {"credentials": {
                "gvk": {"group": "core", "version": "v1", "kind": "Secret"},
                "name": secret_of(&name),
                "namespace": copy.namespace(),
            }},
        });
        let answered = copy.data["status"] == status;
        if !answered || rotated {
            self.put_secret(&name, &copy.data["spec"]).await?;
        }
        if !answered {
            let patch = serde_json::from_value(json!([{"op": "add", "path": "/status", "value": status}]));
            let patch: json_patch::Patch = patch.map_err(kube::Error::SerdeError)?;
            self.copies.patch_status(&name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await?;
        }
        Ok(())
    }

    async fn put_secret(&self, copy: &str, spec: &Value) -> kube::Result<()> {
        let name = secret_of(copy);
        let rotation = self.rotations.get(copy).copied().unwrap_or_default();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "data": {"size": bytes(&spec["size"]), "rotation": bytes(&rotation.into())},
        });
        self.secrets.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&secret)).await.map(drop)
    }

    async fn remove_secret(&self, copy: &str) {
        // It may be gone already.
        let _ = self.secrets.delete(&secret_of(copy), &DeleteParams::default()).await;
    }
}
