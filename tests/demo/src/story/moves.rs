//! The act in which a certificate moves to another provider.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use super::follow::{Follower, Version};
use super::{CERTIFICATE, NAMESPACE, PATIENCE, SECRET, Teller, api};
use crate::scene::BROKER_NAMESPACE;
use crate::verify;

const OBJECT: &str = "web";
const OBJECT_SECRET: &str = "web-tls";
const FQDN: &str = "api.corp.com";

impl Teller<'_> {
    pub(super) async fn moves(&mut self) -> Result<()> {
        self.stage.act("Another provider takes over");
        self.stage.say("web gets a name that only theseus takes, so it moves. What is to be seen of it meanwhile:");
        let scene = self.scene;
        let mut object = Follower::start(api(&scene.homer, CERTIFICATE, NAMESPACE).await?, Some(OBJECT)).await?;
        let secret = Follower::start(api(&scene.homer, SECRET, NAMESPACE).await?, Some(OBJECT_SECRET)).await?;
        let before = self.secret_now().await?;
        self.patch_fqdn(OBJECT, FQDN).await?;
        let target = format!("provider#{}", scene.theseus.cluster.name());
        self.show_until_at(&mut object, &target).await?;

        self.show_certificate(OBJECT, FQDN, &scene.theseus).await?;
        let versions = self.at_every_moment(secret, &before).await?;
        self.stage.good(&format!(
            "homer had the Secret with a valid certificate at every moment: the same object in {versions} versions"
        ));
        self.stage.say("What was at nestor is gone:");
        self.expect_nothing("nestor", NAMESPACE, "certificates,secrets").await?;
        self.run("coordination", &["get", "assignments", "-n", BROKER_NAMESPACE]).await?;
        self.show_events(OBJECT, "Moved").await
    }

    /// Shows what the object says about its place whenever that changes, until it is at `target` and moves no more.
    async fn show_until_at(&mut self, object: &mut Follower, target: &str) -> Result<()> {
        let mut shown = String::new();
        loop {
            let Version::Is(version) = object.next(PATIENCE).await? else {
                bail!("Certificate {OBJECT} is gone, and was only to move");
            };
            let annotation = |name: &str| version.annotations().get(&format!("broker.platform-mesh.io/{name}"));
            let (at, next) = (annotation("provider-cluster"), annotation("new-provider-cluster"));
            let synced = condition(&version.data, "Synced");
            // Annotations and status are two writes: between them the status is of before the switch.
            if next.is_none() && synced["reason"] == "Moving" {
                continue;
            }
            let [at, next] = [at, next].map(|provider| provider.map(String::as_str).unwrap_or_default());
            let [reason, message] = ["reason", "message"].map(|field| synced[field].as_str().unwrap_or_default());
            let arrow = if next.is_empty() { "" } else { " -> " };
            let line = format!("{at}{arrow}{next}  {reason}: {message}");
            if line != shown {
                self.stage.output(&line);
                shown = line;
            }
            if at == target && next.is_empty() && synced["status"] == "True" {
                return Ok(());
            }
        }
    }

    async fn secret_now(&self) -> Result<DynamicObject> {
        let secrets = api(&self.scene.homer, SECRET, NAMESPACE).await?;
        secrets.get(OBJECT_SECRET).await.with_context(|| format!("cannot read Secret {OBJECT_SECRET}"))
    }

    /// How many versions of the Secret there were since `before`; an error if it was away or bad for an instant.
    async fn at_every_moment(&self, mut followed: Follower, before: &DynamicObject) -> Result<usize> {
        let now = self.secret_now().await?;
        ensure!(now.uid() == before.uid(), "Secret {OBJECT_SECRET} is another one now: for a moment there was none");
        let authorities = [self.scene.nestor.authority()?, self.scene.theseus.authority()?];
        let mut versions = 1;
        loop {
            let Version::Is(version) = followed.next(PATIENCE).await? else {
                bail!("Secret {OBJECT_SECRET} was gone for a moment");
            };
            versions += 1;
            let is_last = version.resource_version() == now.resource_version();
            let secret: Secret = version.try_parse().context("not a Secret")?;
            if !authorities.iter().any(|authority| verify::secret(&secret, authority).is_ok()) {
                bail!("Secret {OBJECT_SECRET} held something for a moment that neither provider issued");
            }
            if is_last {
                return Ok(versions);
            }
        }
    }
}

/// A condition of an object; null where there is none.
pub(super) fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}
