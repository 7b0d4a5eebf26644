//! Putting objects into a cluster, and waiting until it serves them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::{DynamicObject, GroupVersionKind, TypeMeta};
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use tokio::process::Command;

use crate::cluster::Cluster;

/// The field manager of everything that the harness applies.
const MANAGER: &str = "harness";

/// How long a new custom resource may take to be served.
const SERVED: Duration = Duration::from_secs(150);

impl Cluster {
    /// Applies every document of `text` in order, and returns what the server made of them.
    ///
    /// Objects without a namespace go to `default`. A `CustomResourceDefinition` is waited for until it is served.
    pub async fn apply_yaml(&self, text: &str) -> Result<Vec<DynamicObject>> {
        let client = self.client().await?;
        let mut applied = Vec::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            let value = serde_json::Value::deserialize(document).context("not YAML")?;
            if value.is_null() {
                continue;
            }
            applied.push(self.apply(&client, serde_json::from_value(value).context("not a Kubernetes object")?).await?);
        }
        Ok(applied)
    }

    /// Applies every YAML file below `folder`, in the order of their paths.
    pub async fn apply_folder(&self, folder: &Path) -> Result<()> {
        let mut files = Vec::new();
        collect_yaml(folder, &mut files).with_context(|| format!("cannot read {}", folder.display()))?;
        files.sort();
        if files.is_empty() {
            bail!("no YAML file below {}", folder.display());
        }
        for file in files {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            self.apply_yaml(&text).await.with_context(|| format!("cannot apply {}", file.display()))?;
        }
        Ok(())
    }

    /// Applies a definition and waits until its objects can be listed.
    pub async fn install_crd(&self, crd: &CustomResourceDefinition) -> Result<()> {
        let client = self.client().await?;
        let params = PatchParams::apply(MANAGER).force();
        let api = Api::<CustomResourceDefinition>::all(client.clone());
        let applied = api.patch(&crd.name_any(), &params, &Patch::Apply(with_type(crd)?)).await;
        applied.with_context(|| format!("{}: cannot apply the definition {}", self.name(), crd.name_any()))?;
        self.wait_served(&client, &crd.name_any()).await
    }

    /// Makes a namespace, or finds it there.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let api = Api::<Namespace>::all(self.client().await?);
        let namespace: Namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": name}}))?;
        match api.create(&kube::api::PostParams::default(), &namespace).await {
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
            outcome => outcome.map(drop).with_context(|| format!("{}: cannot make namespace {name}", self.name())),
        }
    }

    /// Runs `kubectl` as the administrator; what it prints, or an error with what it complains about.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(self.kubectl_program());
        command.arg("--kubeconfig").arg(self.kubeconfig()).arg("--cache-dir").arg(self.folder().join("kubectl"));
        let output = command.args(args).output().await.context("cannot run kubectl: install it, or add it to PATH")?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("{}: kubectl {}: {}", self.name(), args.join(" "), complaint.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn apply(&self, client: &Client, object: DynamicObject) -> Result<DynamicObject> {
        let types = object.types.as_ref().context("an object without apiVersion and kind")?;
        let what = format!("{} {}", types.kind, object.name_any());
        let gvk = GroupVersionKind::try_from(types).with_context(|| format!("{what}: not an apiVersion"))?;
        let (resource, capabilities) = pinned_kind(client, &gvk)
            .await
            .with_context(|| format!("{}: {what}: {} is not served", self.name(), types.api_version))?;
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => {
                Api::namespaced_with(client.clone(), object.namespace().as_deref().unwrap_or("default"), &resource)
            }
        };
        let params = PatchParams::apply(MANAGER).force();
        let applied = api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await;
        let applied = applied.with_context(|| format!("{}: cannot apply {what}", self.name()))?;
        if resource.kind == "CustomResourceDefinition" {
            self.wait_served(client, &applied.name_any()).await?;
        }
        Ok(applied)
    }

    /// A definition is `Established` a little before lists and watches of it work.
    async fn wait_served(&self, client: &Client, name: &str) -> Result<()> {
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        let deadline = tokio::time::Instant::now() + SERVED;
        loop {
            let seen = match definitions.get(name).await.map(|crd| (is_established(&crd), crd)) {
                Ok((true, crd)) => match list_all(client, &crd).await {
                    Ok(()) => return Ok(()),
                    Err(error) => format!("{error:#}"),
                },
                Ok((false, crd)) => format!("its conditions are {:?}", crd.status.and_then(|status| status.conditions)),
                Err(error) => error.to_string(),
            };
            if tokio::time::Instant::now() > deadline {
                bail!("{}: {name} is not served after {SERVED:?}: {seen}", self.name());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

/// The definition as it must be sent: server-side apply wants to know what it gets.
fn with_type(crd: &CustomResourceDefinition) -> Result<DynamicObject> {
    let value = serde_json::to_value(crd).context("not a definition")?;
    let mut object: DynamicObject = serde_json::from_value(value).context("not a definition")?;
    object.types = Some(TypeMeta::resource::<CustomResourceDefinition>());
    Ok(object)
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// Lists each served version.
async fn list_all(client: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let gvk = GroupVersionKind::gvk(&crd.spec.group, &version.name, &crd.spec.names.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural);
        Api::<DynamicObject>::all_with(client.clone(), &resource).list(&ListParams::default().limit(1)).await?;
    }
    Ok(())
}

fn collect_yaml(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_yaml(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}
