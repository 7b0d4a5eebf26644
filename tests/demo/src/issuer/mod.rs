//! A stand-in for a provider's operator: issues an X.509 certificate for each `Certificate` object of a cluster.
//!
//! For an object `NAME` it makes the Secret `NAME-tls` of type `kubernetes.io/tls` beside it, and says in the object's
//! status that it is `Available` and which Secret belongs to it. It issues again when the name in the object changes or
//! the Secret is damaged, and removes the Secret with the object.

mod authority;

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

pub use authority::{Authority, AuthorityError, Issued};

use crate::verify::{self, Facts};

/// The API groups whose `Certificate` objects are served, all in version `v1alpha1`.
pub const GROUPS: [&str; 2] = ["identity.generic.platform-mesh.io", "example.platform-mesh.io"];

const MANAGER: &str = "demo-issuer";
const FINALIZER: &str = "demo.platform-mesh.io/issuer";

/// How soon a cluster is asked again for a kind that it does not serve.
const UNSERVED: Duration = Duration::from_secs(2);

/// How soon something that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What can go wrong with one object; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A request to the API server.
    #[error("{what}: {source}")]
    Request {
        /// What was asked for.
        what: String,
        /// What came back.
        source: kube::Error,
    },
    /// The authority.
    #[error("the authority: {0}")]
    Authority(#[from] AuthorityError),
    /// The finalizer, or one of the others on the way to it.
    #[error(transparent)]
    Finalizer(#[from] Box<finalizer::Error<IssuerError>>),
    /// The certificate that was just issued.
    #[error("an issued certificate that cannot be read: {0:#}")]
    Unreadable(anyhow::Error),
}

/// Serves the `Certificate` objects of one cluster until the process ends.
pub async fn run(client: Client, authority: Authority) {
    let authority = Arc::new(authority);
    let groups = GROUPS.map(|group| serve(client.clone(), Arc::clone(&authority), group));
    futures::future::join_all(groups).await;
}

/// Waits until the cluster serves the group's `Certificate`, then serves its objects.
async fn serve(client: Client, authority: Arc<Authority>, group: &str) {
    let gvk = GroupVersionKind::gvk(group, "v1alpha1", "Certificate");
    let resource = loop {
        match pinned_kind(&client, &gvk).await {
            Ok((resource, _)) => break resource,
            Err(_) => tokio::time::sleep(UNSERVED).await,
        }
    };
    println!("serving {} of {}", resource.plural, resource.api_version);
    let objects = Api::<DynamicObject>::all_with(client.clone(), &resource);
    let secrets = Api::<Secret>::all(client.clone());
    let issuer = Arc::new(Issuer { client, authority, resource: resource.clone() });
    Controller::new_with(objects, watcher::Config::default(), resource)
        .owns(secrets, watcher::Config::default())
        .run(reconcile, |_, error, _| retry(error), issuer)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                eprintln!("{error}");
            }
        })
        .await;
}

fn retry(error: &IssuerError) -> Action {
    eprintln!("{error}; trying again in {RETRY:?}");
    Action::requeue(RETRY)
}

async fn reconcile(object: Arc<DynamicObject>, issuer: Arc<Issuer>) -> Result<Action, IssuerError> {
    let objects = issuer.objects(&object);
    let outcome = finalizer::finalizer(&objects, FINALIZER, object, async |event| match event {
        finalizer::Event::Apply(object) => issuer.provide(&object).await,
        finalizer::Event::Cleanup(object) => issuer.revoke(&object).await,
    });
    outcome.await.map_err(|error| IssuerError::Finalizer(Box::new(error)))
}

/// What it takes to serve the objects of one kind.
struct Issuer {
    client: Client,
    authority: Arc<Authority>,
    resource: ApiResource,
}

impl Issuer {
    async fn provide(&self, object: &DynamicObject) -> Result<Action, IssuerError> {
        let outcome = match object.data.pointer("/spec/fqdn").and_then(Value::as_str) {
            None => Err("spec.fqdn says which name to issue a certificate for: set it".to_owned()),
            Some(fqdn) => match self.secret_for(object, fqdn).await {
                // What a person wrote into the object is that person's to mend; trying again would not help.
                Err(IssuerError::Authority(AuthorityError::Certificate(error))) => {
                    Err(format!("no certificate can be issued for {fqdn:?}: {error}"))
                }
                outcome => Ok(outcome?),
            },
        };
        self.write_status(object, outcome.as_ref().map_err(String::as_str)).await?;
        Ok(Action::await_change())
    }

    /// Issues a certificate, unless a good one for the same name is there.
    async fn secret_for(&self, object: &DynamicObject, fqdn: &str) -> Result<Facts, IssuerError> {
        let name = secret_name(object);
        let secrets = self.secrets(object);
        let found = secrets.get_opt(&name).await.map_err(request(|| format!("read Secret {name}")))?;
        if let Some(facts) = found.and_then(|secret| self.facts(&secret).ok()).filter(|facts| facts.names == [fqdn]) {
            return Ok(facts);
        }
        let issued = self.authority.issue(fqdn)?;
        let secret = self.secret(object, &name, &issued);
        let params = PatchParams::apply(MANAGER).force();
        let written = secrets.patch(&name, &params, &Patch::Apply(&secret)).await;
        written.map_err(request(|| format!("write Secret {name}")))?;
        println!("issued {fqdn} for {}", object.name_any());
        self.facts(&secret).map_err(IssuerError::Unreadable)
    }

    fn facts(&self, secret: &Secret) -> anyhow::Result<Facts> {
        verify::secret(secret, self.authority.pem())
    }

    fn secret(&self, object: &DynamicObject, name: &str, issued: &Issued) -> Secret {
        let file = |name: &str, text: &str| (name.to_owned(), ByteString(text.as_bytes().to_vec()));
        let mut secret = Secret {
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(
                [
                    file("tls.crt", &issued.certificate),
                    file("tls.key", &issued.key),
                    file("ca.crt", self.authority.pem()),
                ]
                .into(),
            ),
            ..Secret::default()
        };
        secret.metadata.name = Some(name.to_owned());
        // Makes a change of the Secret an event of the object.
        secret.metadata.owner_references = object.controller_owner_ref(&self.resource).map(|owner| vec![owner]);
        secret
    }

    async fn write_status(&self, object: &DynamicObject, outcome: Result<&Facts, &str>) -> Result<(), IssuerError> {
        let name = object.name_any();
        let status = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": name},
            "status": status(object, outcome),
        });
        let params = PatchParams::apply(MANAGER).force();
        let written = self.objects(object).patch_status(&name, &params, &Patch::Apply(&status)).await;
        written.map(drop).map_err(request(|| format!("write the status of {name}")))
    }

    async fn revoke(&self, object: &DynamicObject) -> Result<Action, IssuerError> {
        let name = secret_name(object);
        match self.secrets(object).delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            outcome => {
                outcome.map_err(request(|| format!("delete Secret {name}")))?;
                println!("removed {name}");
            }
        }
        Ok(Action::await_change())
    }

    fn objects(&self, object: &DynamicObject) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &namespace(object), &self.resource)
    }

    fn secrets(&self, object: &DynamicObject) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &namespace(object))
    }
}

fn request(what: impl FnOnce() -> String) -> impl FnOnce(kube::Error) -> IssuerError {
    move |source| IssuerError::Request { what: what(), source }
}

fn namespace(object: &DynamicObject) -> String {
    object.namespace().unwrap_or_default()
}

fn secret_name(object: &DynamicObject) -> String {
    format!("{}-tls", object.name_any())
}

/// The whole status, as the provider sees the object.
fn status(object: &DynamicObject, outcome: Result<&Facts, &str>) -> Value {
    match outcome {
        Ok(facts) => {
            let message = format!("{} issued {}, valid until {}", facts.issuer, facts.subject, facts.not_after);
            json!({
                "status": "Available",
                "conditions": [condition(object, "True", "Issued", &message)],
                "relatedResources": {"certificate": {
                    "gvk": {"group": "core", "version": "v1", "kind": "Secret"},
                    "name": secret_name(object),
                    "namespace": namespace(object),
                }},
            })
        }
        Err(why) => json!({"status": "Failed", "conditions": [condition(object, "False", "NotIssued", why)]}),
    }
}

/// The condition `Issued`, with its old time unless it changed.
fn condition(object: &DynamicObject, status: &str, reason: &str, message: &str) -> Value {
    let shown = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let before = shown.into_iter().flatten().find(|condition| condition["type"] == "Issued");
    let since = before.filter(|before| before["status"] == status).map(|before| before["lastTransitionTime"].clone());
    let now = || json!(Time(Timestamp::try_from(SystemTime::now()).unwrap_or_default()));
    json!({
        "type": "Issued",
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": object.metadata.generation,
        "lastTransitionTime": since.unwrap_or_else(now),
    })
}
