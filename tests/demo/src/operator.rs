//! What the stand-ins for providers' operators share: each object of a kind is provided for until it is deleted, and its
//! status says what came of it.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::{ApiResource, pinned_kind};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::{finalizer, watcher};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

/// How soon a cluster is asked again for a kind that it does not serve.
const UNSERVED: Duration = Duration::from_secs(2);

/// How soon something that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What can go wrong with one object; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// A request to the API server.
    #[error("{what}: {source}")]
    Request {
        /// What was asked for.
        what: String,
        /// What came back.
        source: kube::Error,
    },
    /// The operator's own work.
    #[error("{0}")]
    Work(#[source] Box<dyn Error + Send + Sync>),
    /// The finalizer, or one of the others on the way to it.
    #[error(transparent)]
    Finalizer(#[from] Box<finalizer::Error<OperatorError>>),
}

impl OperatorError {
    /// A failure of the operator's own work.
    pub fn work(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Work(error.into())
    }
}

/// One sort of operator.
pub trait Operator: Send + Sync + 'static {
    /// Its field manager, and the last part of its finalizer.
    const NAME: &'static str;

    /// Does what the object asks for, or does it again; answers with the object's whole status.
    fn provide(&self, order: &Order) -> impl Future<Output = Result<Value, OperatorError>> + Send;

    /// Takes away what was made for an object that is being deleted.
    fn revoke(&self, order: &Order) -> impl Future<Output = Result<(), OperatorError>> + Send;
}

/// Waits until the cluster serves the kind, then provides for its objects until the process ends.
pub async fn serve<O: Operator>(client: Client, operator: Arc<O>, gvk: &GroupVersionKind) {
    let resource = loop {
        match pinned_kind(&client, gvk).await {
            Ok((resource, _)) => break resource,
            Err(_) => tokio::time::sleep(UNSERVED).await,
        }
    };
    println!("serving {} of {}", resource.plural, resource.api_version);
    let objects = Api::<DynamicObject>::all_with(client.clone(), &resource);
    let secrets = Api::<Secret>::all(client.clone());
    let context = Arc::new(Context { client, operator, resource: resource.clone() });
    Controller::new_with(objects, watcher::Config::default(), resource)
        .owns(secrets, watcher::Config::default())
        .run(reconcile, |_, error, _| retry(error), context)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                eprintln!("{error}");
            }
        })
        .await;
}

struct Context<O> {
    client: Client,
    operator: Arc<O>,
    resource: ApiResource,
}

fn retry(error: &OperatorError) -> Action {
    eprintln!("{error}; trying again in {RETRY:?}");
    Action::requeue(RETRY)
}

async fn reconcile<O: Operator>(object: Arc<DynamicObject>, context: Arc<Context<O>>) -> Result<Action, OperatorError> {
    let order = Order {
        client: context.client.clone(),
        resource: context.resource.clone(),
        object: Arc::clone(&object),
        manager: O::NAME,
    };
    let finalizer = format!("demo.platform-mesh.io/{}", O::NAME);
    let objects = order.objects();
    let outcome = finalizer::finalizer(&objects, &finalizer, object, async |event| {
        match event {
            finalizer::Event::Apply(_) => order.write_status(context.operator.provide(&order).await?).await?,
            finalizer::Event::Cleanup(_) => context.operator.revoke(&order).await?,
        }
        Ok(Action::await_change())
    });
    outcome.await.map_err(|error| OperatorError::Finalizer(Box::new(error)))
}

/// An object that an operator provides for.
pub struct Order {
    client: Client,
    resource: ApiResource,
    object: Arc<DynamicObject>,
    manager: &'static str,
}

impl Order {
    /// The object's name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// The object's namespace.
    pub fn namespace(&self) -> String {
        self.object.namespace().unwrap_or_default()
    }

    /// The object's UID.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// A text in the object, by its JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.object.data.pointer(pointer).and_then(Value::as_str)
    }

    /// A Secret beside the object.
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, OperatorError> {
        self.secrets().get_opt(name).await.map_err(request(|| format!("read Secret {name}")))
    }

    /// Makes a Secret beside the object, or gives it this content. Another change of it is a change of the object.
    pub async fn write_secret(
        &self,
        name: &str,
        type_: &str,
        data: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<Secret, OperatorError> {
        let data = data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())));
        let mut secret = Secret { type_: Some(type_.to_owned()), data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.owner_references = self.object.controller_owner_ref(&self.resource).map(|owner| vec![owner]);
        let params = PatchParams::apply(self.manager).force();
        let written = self.secrets().patch(name, &params, &Patch::Apply(&secret)).await;
        written.map_err(request(|| format!("write Secret {name}")))
    }

    /// Removes a Secret beside the object, if it is there.
    pub async fn remove_secret(&self, name: &str) -> Result<(), OperatorError> {
        match self.secrets().delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            outcome => {
                outcome.map_err(request(|| format!("delete Secret {name}")))?;
                println!("removed {name}");
            }
        }
        Ok(())
    }

    /// How a Secret beside the object is named in its status.
    pub fn related_secret(&self, name: &str) -> Value {
        json!({
            "gvk": {"group": "core", "version": "v1", "kind": "Secret"},
            "name": name,
            "namespace": self.namespace(),
        })
    }

    /// A condition of the object, with its old time unless it changed.
    pub fn condition(&self, type_: &str, status: bool, reason: &str, message: &str) -> Value {
        let status = if status { "True" } else { "False" };
        let shown = self.object.data.pointer("/status/conditions").and_then(Value::as_array);
        let before = shown.into_iter().flatten().find(|condition| condition["type"] == type_);
        let since =
            before.filter(|before| before["status"] == status).map(|before| before["lastTransitionTime"].clone());
        json!({
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": self.object.metadata.generation,
            "lastTransitionTime": since.unwrap_or_else(|| json!(now())),
        })
    }

    async fn write_status(&self, status: Value) -> Result<(), OperatorError> {
        let name = self.name();
        let status = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": name},
            "status": status,
        });
        let params = PatchParams::apply(self.manager).force();
        let written = self.objects().patch_status(&name, &params, &Patch::Apply(&status)).await;
        written.map(drop).map_err(request(|| format!("write the status of {name}")))
    }

    fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace(), &self.resource)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }
}

/// The time as Kubernetes writes it.
pub(crate) fn now() -> Time {
    Time(Timestamp::try_from(SystemTime::now()).unwrap_or_default())
}

fn request(what: impl FnOnce() -> String) -> impl FnOnce(kube::Error) -> OperatorError {
    move |source| OperatorError::Request { what: what(), source }
}
