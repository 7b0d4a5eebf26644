//! The acts of the demo. Each shows what it does, and fails if the broker does not do its part.

mod databases;
mod follow;
mod kubectl;
mod moves;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use resource_broker_harness::{Cluster, poll};

use kubectl::Kubectl;

use crate::scene::{BROKER_NAMESPACE, Provider, Scene, kubeconfig};
use crate::stage::Stage;
use crate::verify::{self, Facts};

/// The namespace in which the consumer's people work.
const NAMESPACE: &str = "shop";

/// How long the broker and an operator may take for one step, in all; they need a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// Kinds that are watched, with their group and version.
const CERTIFICATE: (&str, &str, &str) = ("identity.generic.platform-mesh.io", "v1alpha1", "Certificate");
const SECRET: (&str, &str, &str) = ("", "v1", "Secret");
const MIGRATION: (&str, &str, &str) = ("broker.platform-mesh.io", "v1alpha1", "Migration");
const JOB: (&str, &str, &str) = ("batch", "v1", "Job");

/// Tells the whole story.
pub async fn tell(stage: &mut Stage, scene: &Scene, folder: &Path) -> Result<()> {
    let kubectl = Kubectl { program: scene.homer.kubectl_program(), kubeconfig: kubeconfig(folder) };
    let mut teller = Teller { stage, scene, kubectl };
    teller.who_plays().await?;
    teller.offers().await?;
    teller.order().await?;
    teller.refusal().await?;
    teller.changes().await?;
    teller.moves().await?;
    teller.database().await?;
    teller.database_moves().await?;
    teller.deletion().await
}

/// A manifest of a certificate for `fqdn`, for the consumer.
pub fn certificate(name: &str, fqdn: &str) -> String {
    format!(
        "apiVersion: identity.generic.platform-mesh.io/v1alpha1\n\
         kind: Certificate\n\
         metadata:\n  name: {name}\n  namespace: {NAMESPACE}\n\
         spec:\n  fqdn: {fqdn}\n"
    )
}

fn offer(suffix: &str) -> String {
    format!(
        "apiVersion: broker.platform-mesh.io/v1alpha1\n\
         kind: AcceptAPI\n\
         metadata:\n  name: certificates\n  namespace: default\n\
         spec:\n  gvr:\n    group: identity.generic.platform-mesh.io\n    version: v1alpha1\n    \
         resource: certificates\n  filters:\n  - key: fqdn\n    suffix: {suffix}\n"
    )
}

struct Teller<'a> {
    stage: &'a mut Stage,
    scene: &'a Scene,
    kubectl: Kubectl,
}

impl Teller<'_> {
    async fn who_plays(&mut self) -> Result<()> {
        self.stage.act("Who plays");
        let Scene { homer, nestor, theseus, coordination, compute, .. } = self.scene;
        for (role, cluster) in [
            ("consumer, where people ask for certificates and databases", homer),
            ("provider, issues certificates for internal.corp", &nestor.cluster),
            ("provider, issues certificates for corp.com", &theseus.cluster),
            ("coordination, where the broker keeps its records", coordination),
            ("compute, where it has data moved", compute),
        ] {
            self.stage.say(&format!("  {:<13} {}  {role}", cluster.name(), cluster.url()));
        }
        self.stage.say("The broker is ready; it says about itself (/readyz?verbose):");
        let readiness = poll("all clusters to be read", PATIENCE, async || {
            let said = self.scene.readiness().await?;
            ensure!(!said.contains("[-]"), "{said}");
            Ok(said)
        });
        self.stage.output(&readiness.await?);
        Ok(())
    }

    async fn offers(&mut self) -> Result<()> {
        self.stage.act("The providers say what they take");
        for Provider { cluster, suffix, .. } in [&self.scene.nestor, &self.scene.theseus] {
            self.apply(cluster.name(), &offer(suffix)).await?;
        }
        for provider in [&self.scene.nestor, &self.scene.theseus] {
            let name = provider.cluster.name();
            self.run(name, &["wait", "acceptapi/certificates", "--for=condition=Valid", "--timeout=60s"]).await?;
            self.run(name, &["get", "acceptapis"]).await?;
        }
        Ok(())
    }

    async fn order(&mut self) -> Result<()> {
        self.stage.act("Somebody asks for a certificate");
        self.scene.homer.create_namespace(NAMESPACE).await?;
        self.apply("homer", &certificate("web", "www.internal.corp")).await?;
        self.run_in_shop("homer", &["wait", "certificate/web", "--for=condition=Ready", "--timeout=60s"]).await?;
        self.run_in_shop("homer", &["get", "certificate", "web", "-o", "wide"]).await?;
        self.stage.say("nestor's suffix fits the name, so nestor got it. The broker's record of that:");
        self.run("coordination", &["get", "assignments", "-n", BROKER_NAMESPACE]).await?;
        self.stage.say("The copy at nestor, and the Secret that nestor's issuer made for it:");
        self.run_in_shop("nestor", &["get", "certificates,secrets"]).await?;
        self.stage.say("The Secret came back to homer:");
        self.show_certificate("web", "www.internal.corp", &self.scene.nestor).await
    }

    async fn refusal(&mut self) -> Result<()> {
        self.stage.act("A certificate that nobody accepts");
        self.apply("homer", &certificate("stray", "stray.example.org")).await?;
        self.run_in_shop("homer", &["wait", "certificate/stray", "--for=condition=Accepted=False", "--timeout=60s"])
            .await?;
        self.stage.say("The object itself says why:");
        let why = r#"jsonpath={range .status.conditions[?(@.type=="Accepted")]}{.reason}: {.message}{"\n"}{end}"#;
        let reasons = self.run_in_shop("homer", &["get", "certificate", "stray", "-o", why]).await?;
        for provider in [&self.scene.nestor, &self.scene.theseus] {
            let name = provider.cluster.name();
            ensure!(reasons.contains(name), "the reasons do not name {name}: {reasons}");
        }
        self.stage.good("both providers are named, with the rule that failed and the value found");
        Ok(())
    }

    async fn changes(&mut self) -> Result<()> {
        self.stage.act("Changed minds");
        self.stage.say("A name that theseus takes; routing starts again by itself:");
        self.patch_fqdn("stray", "stray.corp.com").await?;
        self.run_in_shop("homer", &["wait", "certificate/stray", "--for=condition=Ready", "--timeout=60s"]).await?;
        self.show_certificate("stray", "stray.corp.com", &self.scene.theseus).await?;
        self.stage
            .say("Another name for the first one; the copy follows, the issuer issues again, the Secret follows:");
        self.patch_fqdn("web", "api.internal.corp").await?;
        self.show_certificate("web", "api.internal.corp", &self.scene.nestor).await
    }

    async fn deletion(&mut self) -> Result<()> {
        self.stage.act("Gone, everywhere");
        self.run_in_shop("homer", &["delete", "certificate/web", "certificate/stray", "sql/orders", "--timeout=60s"])
            .await?;
        for cluster in ["homer", "nestor", "theseus"] {
            self.expect_nothing(cluster, NAMESPACE, "certificates,sqls,secrets").await?;
        }
        self.expect_nothing("coordination", BROKER_NAMESPACE, "assignments").await?;
        self.stage.good("no certificate, no database, no copy, no Secret and no record is left");
        Ok(())
    }

    /// Waits for the Secret in the consumer's cluster and checks what is in it, as its user would.
    async fn show_certificate(&mut self, name: &str, fqdn: &str, provider: &Provider) -> Result<()> {
        let secret = format!("{name}-tls");
        let facts = issued(&self.scene.homer, &secret, fqdn, &provider.authority()?).await?;
        self.run_in_shop("homer", &["get", "secret", &secret]).await?;
        self.stage.output(&format!(
            "subject {}, names {}, issuer {}, valid until {}",
            facts.subject,
            facts.names.join(" "),
            facts.issuer,
            facts.not_after
        ));
        self.stage.good(&format!("verified against the authority of {}", provider.cluster.name()));
        Ok(())
    }

    /// Waits for an Event of `reason` about an object in the consumer's namespace, and shows all about it.
    async fn show_events(&mut self, object: &str, reason: &str) -> Result<()> {
        let selector = format!("involvedObject.name={object}");
        let list = ["get", "events", "-n", NAMESPACE, "--field-selector", &selector];
        poll(&format!("an Event {reason} about {object}"), PATIENCE, async || {
            let events = self.kubectl.run("homer", &list, None).await?;
            ensure!(events.split_whitespace().any(|word| word == reason), "there are:\n{events}");
            Ok(())
        })
        .await?;
        self.run("homer", &list).await.map(drop)
    }

    async fn expect_nothing(&mut self, context: &str, namespace: &str, kinds: &str) -> Result<()> {
        self.expect_none(context, &["get", kinds, "-n", namespace]).await
    }

    async fn expect_no_labelled(&mut self, context: &str, namespace: &str, kinds: &str, selector: &str) -> Result<()> {
        self.expect_none(context, &["get", kinds, "-n", namespace, "-l", selector]).await
    }

    /// Waits until a `kubectl get` finds nothing, and shows that.
    async fn expect_none(&mut self, context: &str, get: &[&str]) -> Result<()> {
        let list = [get, &["-o", "name"]].concat();
        poll(&format!("nothing in {context} for {}", kubectl::words(get)), PATIENCE, async || {
            let left = self.kubectl.run(context, &list, None).await?;
            ensure!(left.is_empty(), "left: {}", left.trim().replace('\n', ", "));
            Ok(())
        })
        .await?;
        self.run(context, get).await.map(drop)
    }

    async fn patch_fqdn(&mut self, name: &str, fqdn: &str) -> Result<()> {
        let patch = format!(r#"{{"spec":{{"fqdn":"{fqdn}"}}}}"#);
        self.run_in_shop("homer", &["patch", "certificate", name, "--type=merge", "-p", &patch]).await.map(drop)
    }

    async fn apply(&mut self, context: &str, manifest: &str) -> Result<()> {
        self.stage.command(&self.kubectl.line(context, &["apply", "-f", "-"]));
        self.stage.output(manifest);
        self.stage.output(&self.kubectl.run(context, &["apply", "-f", "-"], Some(manifest)).await?);
        Ok(())
    }

    async fn run_in_shop(&mut self, context: &str, args: &[&str]) -> Result<String> {
        self.run(context, &[args, &["-n", NAMESPACE]].concat()).await
    }

    async fn run(&mut self, context: &str, args: &[&str]) -> Result<String> {
        self.stage.command(&self.kubectl.line(context, args));
        let output = self.kubectl.run(context, args, None).await?;
        self.stage.output(&output);
        Ok(output)
    }
}

/// Waits until `secret` holds a certificate for `fqdn` alone that `authority` issued.
async fn issued(consumer: &Cluster, secret: &str, fqdn: &str, authority: &str) -> Result<Facts> {
    let secrets = Api::<Secret>::namespaced(consumer.client().await?, NAMESPACE);
    poll(&format!("a certificate for {fqdn} in Secret {secret} of {}", consumer.name()), PATIENCE, async || {
        let facts = verify::secret(&secrets.get(secret).await?, authority)?;
        ensure!(facts.names == [fqdn], "it is for {}", facts.names.join(" "));
        Ok(facts)
    })
    .await
}

/// The objects of a kind, given as group, version and kind, in one namespace of a cluster.
async fn api(cluster: &Cluster, kind: (&str, &str, &str), namespace: &str) -> Result<Api<DynamicObject>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(kind.0, kind.1, kind.2));
    Ok(Api::namespaced_with(cluster.client().await?, namespace, &resource))
}
