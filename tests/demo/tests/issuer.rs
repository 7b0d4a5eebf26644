//! The issuer does what a provider's operator would, on a real API server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt};
use resource_broker_demo::issuer::{self, Authority};
use resource_broker_demo::verify::{self, Facts};
use resource_broker_harness::{Planes, TestResult, eventually, poll};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// The `Certificate` objects of one namespace, and the authority that serves them.
struct Provider {
    certificates: Api<DynamicObject>,
    secrets: Api<Secret>,
    resource: ApiResource,
    authority: String,
    /// Ends with the test's runtime.
    _issuer: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Provider {
    /// A provider with a cluster of its own, since an issuer serves all namespaces.
    async fn start(name: &str) -> Result<Self> {
        let cluster = Planes::shared().await.cluster(name).await;
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/identity.generic.platform-mesh.io");
        let client: Client = cluster.client().await?;
        let folder = tempfile::tempdir()?;
        let authority = Authority::open(folder.path(), "Test CA")?;
        let pem = authority.pem().to_owned();
        // Before its CRD is there, as in a cluster that is being set up.
        let issuer = tokio::spawn(issuer::run(client.clone(), authority));
        cluster.apply_folder(Path::new(crds)).await?;
        let gvk = GroupVersionKind::gvk("identity.generic.platform-mesh.io", "v1alpha1", "Certificate");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "certificates");
        Ok(Self {
            certificates: Api::namespaced_with(client.clone(), "default", &resource),
            secrets: Api::namespaced(client, "default"),
            resource,
            authority: pem,
            _issuer: issuer,
            _folder: folder,
        })
    }

    async fn apply(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        let object = DynamicObject::new(name, &self.resource).data(json!({"spec": spec}));
        Ok(self.certificates.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await?)
    }

    /// Waits for the certificate in `NAME-tls` to be for `fqdn`.
    async fn issued(&self, name: &str, fqdn: &str) -> Result<(Secret, Facts)> {
        poll(&format!("a certificate for {fqdn}"), SOON, async || {
            let secret = self.secrets.get(&format!("{name}-tls")).await?;
            let facts = verify::secret(&secret, &self.authority)?;
            ensure!(facts.names == [fqdn], "{facts:?}");
            Ok((secret, facts))
        })
        .await
    }

    async fn status(&self, name: &str, wanted: &str) -> Result<Value> {
        poll(&format!("status {wanted} of {name}"), SOON, async || {
            let status = self.certificates.get_status(name).await?.data["status"].clone();
            ensure!(status["status"] == wanted, "{status}");
            Ok(status)
        })
        .await
    }
}

#[tokio::test]
async fn a_certificate_lives_from_its_first_name_to_its_deletion() -> TestResult {
    let provider = Provider::start("issuer-life").await?;
    provider.apply("web", json!({"fqdn": "www.internal.corp"})).await?;
    let (first, facts) = provider.issued("web", "www.internal.corp").await?;
    assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("CN=www.internal.corp", "CN=Test CA"));
    assert_eq!(first.type_.as_deref(), Some("kubernetes.io/tls"));
    let status = provider.status("web", "Available").await?;
    let secret = json!({
        "gvk": {"group": "core", "version": "v1", "kind": "Secret"}, "name": "web-tls", "namespace": "default",
    });
    assert_eq!(status["relatedResources"], json!({"certificate": secret}));

    provider.apply("web", json!({"fqdn": "api.internal.corp"})).await?;
    provider.issued("web", "api.internal.corp").await?;

    provider.secrets.delete("web-tls", &DeleteParams::default()).await?;
    let (again, _) = provider.issued("web", "api.internal.corp").await?;
    assert_ne!(again.uid(), first.uid(), "a deleted Secret is made again");

    provider.certificates.delete("web", &DeleteParams::default()).await?;
    eventually("the end of certificate and Secret", SOON, async || {
        let left = (provider.certificates.get_opt("web").await?, provider.secrets.get_opt("web-tls").await?);
        ensure!(left.0.is_none() && left.1.is_none(), "left: {:?}, {:?}", left.0.is_some(), left.1.is_some());
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_without_a_usable_name_says_so_until_it_has_one() -> TestResult {
    let provider = Provider::start("issuer-names").await?;
    for (spec, complaint) in [(json!({}), "spec.fqdn"), (json!({"fqdn": "straße.corp"}), "straße.corp")] {
        provider.apply("nameless", spec).await?;
        eventually("a reason", SOON, async || {
            let status = provider.status("nameless", "Failed").await?;
            let message = status["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
            ensure!(message.contains(complaint), "{message}");
            Ok(())
        })
        .await;
        assert!(provider.secrets.get_opt("nameless-tls").await?.is_none());
    }
    provider.apply("nameless", json!({"fqdn": "named.corp"})).await?;
    provider.issued("nameless", "named.corp").await?;
    let status = provider.status("nameless", "Available").await?;
    assert_eq!(status["conditions"].as_array().map(Vec::len), Some(1), "{status}");
    Ok(())
}

#[test]
fn an_authority_is_kept_in_its_folder_and_vouches_for_its_own_certificates_alone() -> TestResult {
    let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let first = Authority::open(folder.path(), "One CA")?;
    let issued = first.issue("www.corp.com")?;
    let reopened = Authority::open(folder.path(), "ignored: it is there already")?;
    assert_eq!(first.pem(), reopened.pem());

    let mut secret = tls(&issued.certificate, &issued.key);
    assert_eq!(verify::secret(&secret, reopened.pem())?.issuer, "CN=One CA");
    let later = reopened.issue("later.corp.com")?;
    assert_eq!(verify::secret(&tls(&later.certificate, &later.key), first.pem())?.names, ["later.corp.com"]);

    // The same name over another key.
    let stranger = Authority::open(other.path(), "One CA")?;
    let error = verify::secret(&secret, stranger.pem()).expect_err("signed by another authority");
    assert!(error.to_string().contains("not signed with the key of CN=One CA"), "{error:#}");

    secret = tls(&issued.certificate, &stranger.issue("www.corp.com")?.key);
    let error = verify::secret(&secret, first.pem()).expect_err("the key of another certificate");
    assert!(error.to_string().contains("tls.key is not the key of CN=www.corp.com"), "{error:#}");
    Ok(())
}

fn tls(certificate: &str, key: &str) -> Secret {
    let file = |name: &str, text: &str| (name.to_owned(), k8s_openapi::ByteString(text.as_bytes().to_vec()));
    Secret { data: Some([file("tls.crt", certificate), file("tls.key", key)].into()), ..Secret::default() }
}
