//! A provider's operator: answers each copy with a Secret and a status that names it, and takes the Secret down with the
//! copy. What it answers depends on the copy's spec and its manner alone, so that two runs of one script end alike.

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

/// Whether an operator has a finalizer of its own on its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It has none.
    Never,
    /// Until it has taken down the Secret of a copy that is deleted.
    UntilTidied,
    /// It lets go of none.
    ForEver,
}

/// How an operator treats its copies.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Whether it holds each copy by a finalizer of its own.
    pub(crate) holds: Hold,
    /// What it says in `status.status`. `None`: it says nothing at all, and makes no Secret.
    pub(crate) says: Option<&'static str>,
    /// Whether it says `Ready` in its conditions. `None`: it has no conditions.
    pub(crate) ready: Option<bool>,
    /// Whether its status names the Secret.
    pub(crate) declares: bool,
    /// Whether it makes the Secret.
    pub(crate) provides: bool,
    /// What follows the copy's name in the Secret's.
    pub(crate) suffix: &'static str,
    /// Whether the Secret says whose it is, and holds a token that must not be seen anywhere else.
    pub(crate) signs: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            holds: Hold::Never,
            says: Some("Available"),
            ready: None,
            declares: true,
            provides: true,
            suffix: "credentials",
            signs: false,
        }
    }
}

impl Manner {
    /// Answers at once, and signs its Secrets.
    pub(crate) fn signing() -> Self {
        Self { signs: true, ..Self::default() }
    }
}

/// What each signed Secret's token begins with.
pub(crate) const TOKEN: &str = "topsecret-";

/// Works until it is dropped.
pub(crate) struct Operator {
    task: JoinHandle<()>,
    orders: mpsc::UnboundedSender<Order>,
}

/// What a test tells an operator.
enum Order {
    Rotate(String, u64),
    Behave(Manner),
    Treat(String, Manner),
}

impl Operator {
    /// An operator that answers at once and holds nothing up.
    pub(crate) fn quick(side: &Side) -> Self {
        Self::with(side, Manner::default())
    }

    /// An operator with a finalizer of its own on each copy.
    pub(crate) fn careful(side: &Side) -> Self {
        Self::with(side, Manner { holds: Hold::UntilTidied, ..Manner::default() })
    }

    /// An operator of this manner.
    pub(crate) fn with(side: &Side, manner: Manner) -> Self {
        let (orders, mut asked) = mpsc::unbounded_channel();
        let mut work = Work {
            provider: side.id.name.clone(),
            copies: side.widgets(),
            secrets: side.api(),
            manner,
            exceptions: BTreeMap::new(),
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
                    Some(order) = asked.recv() => work.obey(order).await,
                }
            }
        });
        Self { task, orders }
    }

    /// From now on the Secret of this copy says so, also where the copy comes later.
    pub(crate) fn rotate(&self, copy: &str, rotation: u64) {
        self.order(Order::Rotate(copy.to_owned(), rotation));
    }

    /// From now on it treats all copies so, also those that it has answered already.
    pub(crate) fn behave(&self, manner: Manner) {
        self.order(Order::Behave(manner));
    }

    /// From now on it treats this copy so, whatever it does with the others.
    pub(crate) fn treat(&self, copy: &str, manner: Manner) {
        self.order(Order::Treat(copy.to_owned(), manner));
    }

    fn order(&self, order: Order) {
        // Only a panicked task has hung up, and then the test fails for lack of answers.
        let _ = self.orders.send(order);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The Secret that belongs to a copy, where the operator's manner does not say otherwise.
pub(crate) fn secret_of(copy: &str) -> String {
    format!("{copy}-{}", Manner::default().suffix)
}

/// A value as a Secret holds it.
pub(crate) fn bytes(value: &Value) -> ByteString {
    ByteString(value.to_string().into_bytes())
}

struct Work {
    /// What the provider is called.
    provider: String,
    copies: Api<DynamicObject>,
    secrets: Api<Secret>,
    manner: Manner,
    /// For copies that are treated otherwise.
    exceptions: BTreeMap<String, Manner>,
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

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Rotate(copy, rotation) => {
                self.rotations.insert(copy.clone(), rotation);
                if let Some(copy) = self.seen.get(&copy) {
                    self.settle(copy, true).await;
                }
            }
            Order::Behave(manner) => {
                self.manner = manner;
                for copy in self.seen.values() {
                    self.settle(copy, true).await;
                }
            }
            Order::Treat(copy, manner) => {
                self.exceptions.insert(copy.clone(), manner);
                if let Some(copy) = self.seen.get(&copy) {
                    self.settle(copy, true).await;
                }
            }
        }
    }

    fn manner(&self, copy: &str) -> &Manner {
        self.exceptions.get(copy).unwrap_or(&self.manner)
    }

    /// Tries until it works out or the copy is another one: an API server may be stopped.
    async fn settle(&self, copy: &DynamicObject, again: bool) {
        while self.try_settle(copy, again).await.is_err() {
            match self.copies.get_opt(&copy.name_any()).await {
                // What changed comes as an event of its own.
                Ok(now) if now.as_ref().and_then(ResourceExt::resource_version) != copy.resource_version() => return,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn try_settle(&self, copy: &DynamicObject, again: bool) -> kube::Result<()> {
        let holds = self.manner(&copy.name_any()).holds;
        let is_held = copy.finalizers().iter().any(|it| it == FINALIZER);
        if copy.metadata.deletion_timestamp.is_some() {
            if is_held && holds != Hold::ForEver {
                self.remove_secret(&copy.name_any()).await;
                self.hold(copy, false).await?;
            }
            return Ok(());
        }
        if holds != Hold::Never && !is_held {
            // The change comes as an event, and is answered then.
            return self.hold(copy, true).await;
        }
        self.answer(copy, again).await
    }

    async fn hold(&self, copy: &DynamicObject, on: bool) -> kube::Result<()> {
        let others = copy.finalizers().iter().filter(|it| *it != FINALIZER).map(String::as_str);
        let finalizers: Vec<&str> = others.chain(on.then_some(FINALIZER)).collect();
        let change = json!({"metadata": {"resourceVersion": copy.resource_version(), "finalizers": finalizers}});
        let changed = self.copies.patch(&copy.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.map(drop)
    }

    async fn answer(&self, copy: &DynamicObject, again: bool) -> kube::Result<()> {
        let Some(status) = self.status(copy) else { return Ok(()) };
        let name = copy.name_any();
        let answered = copy.data["status"] == status;
        if self.manner(&name).provides && (!answered || again) {
            self.put_secret(&name, &copy.data["spec"]).await?;
        }
        if !answered {
            let patch = serde_json::from_value(json!([{"op": "add", "path": "/status", "value": status}]));
            let patch: json_patch::Patch = patch.map_err(kube::Error::SerdeError)?;
            self.copies.patch_status(&name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await?;
        }
        Ok(())
    }

    fn status(&self, copy: &DynamicObject) -> Option<Value> {
        let manner = self.manner(&copy.name_any());
        let mut status = json!({"made": copy.data["spec"]});
        match (manner.says, manner.ready) {
            (None, None) => return None,
            (says, ready) => {
                if let Some(says) = says {
                    status["status"] = says.into();
                }
                if let Some(ready) = ready {
                    status["conditions"] = ready_condition(copy, ready);
                }
            }
        }
        if manner.declares {
            status["relatedResources"] = json!({"credentials": {
                "gvk": {"group": "core", "version": "v1", "kind": "Secret"},
                "name": self.secret(&copy.name_any()),
                "namespace": copy.namespace(),
            }});
        }
        Some(status)
    }

    fn secret(&self, copy: &str) -> String {
        format!("{copy}-{}", self.manner(copy).suffix)
    }

    async fn put_secret(&self, copy: &str, spec: &Value) -> kube::Result<()> {
        let name = self.secret(copy);
        let rotation = self.rotations.get(copy).copied().unwrap_or_default();
        let mut data = json!({"size": bytes(&spec["size"]), "rotation": bytes(&rotation.into())});
        if self.manner(copy).signs {
            data["provider"] = json!(bytes(&self.provider.as_str().into()));
            data["copy"] = json!(bytes(&copy.into()));
            data["tenant"] = json!(bytes(&spec["tenant"]));
            data["token"] = json!(bytes(&format!("{TOKEN}{}-{copy}", self.provider).into()));
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
        self.secrets.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&secret)).await.map(drop)
    }

    async fn remove_secret(&self, copy: &str) {
        // It may be gone already.
        let _ = self.secrets.delete(&self.secret(copy), &DeleteParams::default()).await;
    }
}

/// The conditions of a provider that says so. The time is the copy's own: the same answer is given twice.
fn ready_condition(copy: &DynamicObject, ready: bool) -> Value {
    let (status, reason) = if ready { ("True", "Made") } else { ("False", "Making") };
    let since = copy.metadata.creation_timestamp.clone();
    json!([{"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since}])
}
