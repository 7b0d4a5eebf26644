//! A stand-in for a provider's operator: issues an X.509 certificate for each `Certificate` object of a cluster.
//!
//! For an object `NAME` it makes the Secret `NAME-tls` of type `kubernetes.io/tls` beside it, and says in the object's
//! status that it is `Available` and which Secret belongs to it. It issues again when the name in the object changes or
//! the Secret is damaged, and removes the Secret with the object.

mod authority;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

pub use authority::{Authority, AuthorityError, Issued};

use crate::operator::{self, Operator, OperatorError, Order};
use crate::verify::{self, Facts};

/// The API groups whose `Certificate` objects are served, all in version `v1alpha1`.
pub const GROUPS: [&str; 2] = ["identity.generic.platform-mesh.io", "example.platform-mesh.io"];

/// Serves the `Certificate` objects of one cluster until the process ends.
pub async fn run(client: Client, authority: Authority) {
    let issuer = Arc::new(Issuer { authority });
    let groups = GROUPS.map(|group| GroupVersionKind::gvk(group, "v1alpha1", "Certificate"));
    let served = groups.iter().map(|gvk| operator::serve(client.clone(), Arc::clone(&issuer), gvk));
    futures::future::join_all(served).await;
}

struct Issuer {
    authority: Authority,
}

impl Operator for Issuer {
    const NAME: &'static str = "demo-issuer";

    async fn provide(&self, order: &Order) -> Result<Value, OperatorError> {
        let Some(fqdn) = order.text("/spec/fqdn") else {
            return Ok(not_issued(order, "spec.fqdn says which name to issue a certificate for: set it"));
        };
        let name = secret_name(order);
        let found = order.secret(&name).await?.and_then(|secret| self.facts(&secret).ok());
        if let Some(facts) = found.filter(|facts| facts.names == [fqdn]) {
            return Ok(issued(order, &facts));
        }
        match self.authority.issue(fqdn) {
            Ok(pair) => {
                let secret = self.write(order, &name, &pair).await?;
                println!("issued {fqdn} for {}", order.name());
                Ok(issued(order, &self.facts(&secret).map_err(OperatorError::work)?))
            }
            // What a person wrote into the object is that person's to mend; trying again would not help.
            Err(AuthorityError::Certificate(error)) => {
                Ok(not_issued(order, &format!("no certificate can be issued for {fqdn:?}: {error}")))
            }
            Err(error) => Err(OperatorError::work(error)),
        }
    }

    async fn revoke(&self, order: &Order) -> Result<(), OperatorError> {
        order.remove_secret(&secret_name(order)).await
    }
}

impl Issuer {
    async fn write(&self, order: &Order, name: &str, issued: &Issued) -> Result<Secret, OperatorError> {
        let files =
            [("tls.crt", issued.certificate.as_str()), ("tls.key", &issued.key), ("ca.crt", self.authority.pem())];
        order.write_secret(name, "kubernetes.io/tls", files).await
    }

    fn facts(&self, secret: &Secret) -> anyhow::Result<Facts> {
        verify::secret(secret, self.authority.pem())
    }
}

fn secret_name(order: &Order) -> String {
    format!("{}-tls", order.name())
}

fn issued(order: &Order, facts: &Facts) -> Value {
    let message = format!("{} issued {}, valid until {}", facts.issuer, facts.subject, facts.not_after);
    json!({
        "status": "Available",
        "conditions": [order.condition("Issued", true, "Issued", &message)],
        "relatedResources": {"certificate": order.related_secret(&secret_name(order))},
    })
}

fn not_issued(order: &Order, why: &str) -> Value {
    json!({"status": "Failed", "conditions": [order.condition("Issued", false, "NotIssued", why)]})
}
