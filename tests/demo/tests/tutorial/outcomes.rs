//! What is true after parts of the tutorial, as seen by somebody else than the page's own commands.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use resource_broker_demo::scene::{BROKER_NAMESPACE, Scene};
use resource_broker_demo::verify;
use resource_broker_harness::{Cluster, poll};
use serde_json::Value;

/// The namespace in which the consumer's people work.
const NAMESPACE: &str = "shop";
const PLUGIN: &str = "certificate-names";
/// The broker and an issuer need a second.
const SOON: Duration = Duration::from_mins(1);

/// All outcomes, so that none is forgotten on the page.
pub(crate) const ALL: [&str; 7] = [
    "the-suffix-takes-it",
    "the-plugin-serves",
    "one-is-routed-and-two-are-refused",
    "the-good-one-goes-on-serving",
    "nobody-noticed",
    "swapped",
    "the-standard-component-is-back",
];

/// Looks at the outcome `name`.
pub(crate) async fn look(scene: &Scene, name: &str) -> Result<()> {
    match name {
        "the-suffix-takes-it" => issued(scene, "evil", "www.evilcorp.com").await,
        "the-plugin-serves" => serves(scene).await.map(drop),
        "one-is-routed-and-two-are-refused" => {
            issued(scene, "web", "www.corp.net").await?;
            refused(scene, "evil", "www.evilcorp.com is not within corp.com or corp.net").await?;
            refused(scene, "loud", "WWW.Corp.com is not within corp.com or corp.net").await
        }
        "the-good-one-goes-on-serving" => {
            let plugin = serves(scene).await?;
            let loaded = condition(&plugin, "Loaded")?;
            ensure!(loaded["reason"] == "InvalidConfiguration", "{loaded}");
            Ok(())
        }
        "nobody-noticed" => {
            let plugin = serves(scene).await?;
            ensure!(condition(&plugin, "Loaded")?["reason"] == "DigestMismatch", "{plugin}");
            issued(scene, "mail", "mail.corp.com").await
        }
        "swapped" => swapped(scene).await,
        "the-standard-component-is-back" => {
            ensure!(plugins(scene).await?.get_opt(PLUGIN).await?.is_none(), "the Plugin is still there");
            issued(scene, "evil", "www.evilcorp.com").await?;
            poll("web to say that it is not accepted any more", SOON, async || {
                let web = certificate(scene, "web").await?;
                let synced = condition(&web, "Synced")?;
                ensure!(synced["reason"] == "NotAccepted", "{synced}");
                Ok(())
            })
            .await?;
            issued(scene, "web", "www.corp.net").await
        }
        other => bail!("nothing is known of an outcome {other:?}; there are {}", ALL.join(", ")),
    }
}

async fn swapped(scene: &Scene) -> Result<()> {
    poll("the new component", SOON, async || {
        let plugin = serves(scene).await?;
        ensure!(condition(&plugin, "Loaded")?["status"] == "True", "{plugin}");
        ensure!(plugin["status"]["digest"] == plugin["spec"]["sha256"], "{plugin}");
        Ok(())
    })
    .await?;
    issued(scene, "loud", "WWW.Corp.com").await?;
    refused(scene, "evil", "www.evilcorp.com is not within corp.com or corp.net").await
}

/// The Plugin, which serves certificates.
async fn serves(scene: &Scene) -> Result<Value> {
    let plugin = serde_json::to_value(plugins(scene).await?.get(PLUGIN).await?)?;
    ensure!(condition(&plugin, "Ready")?["status"] == "True", "{plugin}");
    let apis = &plugin["status"]["apis"];
    ensure!(apis[0] == "certificates.identity.generic.platform-mesh.io", "it serves {apis}");
    Ok(plugin)
}

/// theseus holds the certificate `name`, and what it issued for it has come back to the consumer.
async fn issued(scene: &Scene, name: &str, fqdn: &str) -> Result<()> {
    let object = certificate(scene, name).await?;
    let placed = &object["metadata"]["annotations"]["broker.platform-mesh.io/provider-cluster"];
    ensure!(placed == "provider#theseus", "{name} is at {placed}");
    let secrets = Api::<Secret>::namespaced(scene.homer.client().await?, NAMESPACE);
    poll(&format!("a certificate for {fqdn} from theseus"), SOON, async || {
        let facts = verify::secret(&secrets.get(&format!("{name}-tls")).await?, &scene.theseus.authority()?)?;
        ensure!(facts.names == [fqdn], "it is for {}", facts.names.join(" "));
        Ok(())
    })
    .await
}

/// Nobody takes the certificate `name`, and it says why.
async fn refused(scene: &Scene, name: &str, why: &str) -> Result<()> {
    let object = certificate(scene, name).await?;
    let accepted = condition(&object, "Accepted")?;
    ensure!(accepted["reason"] == "NoMatchingOffer", "{accepted}");
    ensure!(accepted["message"].as_str().is_some_and(|message| message.contains(why)), "{accepted}");
    Ok(())
}

async fn certificate(scene: &Scene, name: &str) -> Result<Value> {
    let certificates = api(&scene.homer, "identity.generic.platform-mesh.io", "Certificate", NAMESPACE).await?;
    Ok(serde_json::to_value(certificates.get(name).await?)?)
}

async fn plugins(scene: &Scene) -> Result<Api<DynamicObject>> {
    api(&scene.coordination, "broker.platform-mesh.io", "Plugin", BROKER_NAMESPACE).await
}

async fn api(cluster: &Cluster, group: &str, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1alpha1", kind));
    Ok(Api::namespaced_with(cluster.client().await?, namespace, &resource))
}

fn condition<'a>(object: &'a Value, type_: &str) -> Result<&'a Value> {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.with_context(|| format!("no condition {type_} in {object}"))
}
