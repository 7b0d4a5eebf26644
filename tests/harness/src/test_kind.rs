//! A custom resource of a test's own, so that the brokers of other tests never see its objects.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::Api;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use crate::cluster::Cluster;

const VERSION: &str = "v1alpha1";
const VERSIONS: &[&str] = &[VERSION, "v1beta1"];
const KIND: &str = "Widget";
const PLURAL: &str = "widgets";

/// The kind `Widget` in an API group that nothing else uses.
///
/// Its spec has `size` (integer), `engine`, `fqdn` (text), `replicas` (integer, 1 by default), `tags` (a list) and
/// `nested` (any object), and keeps what else it is given. Its status is a subresource with `status`,
/// `conditions` and `relatedResources`.
#[derive(Clone, Debug)]
pub struct TestKind {
    group: String,
    /// The version in which this value speaks of it.
    version: &'static str,
    /// The versions that are served; the first is stored.
    served: &'static [&'static str],
}

impl TestKind {
    /// A new kind, which no cluster knows yet.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let group = format!("t{:03}.test.example.com", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { group, version: VERSION, served: &VERSIONS[..1] }
    }

    /// A new kind that is served as `v1alpha1` and as `v1beta1`, with the same fields. This value speaks of the first.
    pub fn in_two_versions() -> Self {
        Self { served: VERSIONS, ..Self::new() }
    }

    /// The same kind, spoken of in its other version where it has two.
    #[must_use]
    pub fn other_version(&self) -> Self {
        let other = self.served.iter().find(|version| **version != self.version);
        Self { version: other.copied().unwrap_or(self.version), ..self.clone() }
    }

    /// A new kind, installed in `clusters` and served there.
    pub async fn installed(clusters: &[&Cluster]) -> Result<Self> {
        let kind = Self::new();
        try_join_all(clusters.iter().map(|cluster| kind.install(cluster))).await?;
        Ok(kind)
    }

    /// Installs it in one more cluster.
    pub async fn install(&self, cluster: &Cluster) -> Result<()> {
        cluster.install_crd(&self.crd()?).await
    }

    /// `tNNN.test.example.com`.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// `v1alpha1`, unless this value speaks of the other version.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// `tNNN.test.example.com/v1alpha1`.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// The value of `--watch-kind`: `Widget.v1alpha1.tNNN.test.example.com`.
    pub fn watch_kind(&self) -> String {
        format!("{KIND}.{}.{}", self.version, self.group)
    }

    /// What an offer says in `spec.gvr`.
    pub fn gvr(&self) -> Value {
        json!({"group": self.group, "version": self.version, "resource": PLURAL})
    }

    /// `widgets.tNNN.test.example.com`: the name of the definition, and what `kubectl get` takes.
    pub fn crd_name(&self) -> String {
        format!("{PLURAL}.{}", self.group)
    }

    /// How kube reaches it.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&self.group, self.version, KIND), PLURAL)
    }

    /// Its objects in one namespace.
    pub fn api(&self, client: Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client, namespace, &self.api_resource())
    }

    /// An object with this `spec`, which no cluster has yet.
    pub fn object(&self, namespace: &str, name: &str, spec: &Value) -> DynamicObject {
        DynamicObject::new(name, &self.api_resource()).within(namespace).data(json!({"spec": spec}))
    }

    /// Its definition.
    pub fn crd(&self) -> Result<CustomResourceDefinition> {
        let versions: Vec<Value> = self.served.iter().map(|version| definition(version, *version == VERSION)).collect();
        serde_json::from_value(json!({
            "metadata": {"name": self.crd_name()},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"kind": KIND, "listKind": "WidgetList", "plural": PLURAL, "singular": "widget"},
                "versions": versions,
            },
        }))
        .context("the definition of Widget")
    }
}

impl Default for TestKind {
    fn default() -> Self {
        Self::new()
    }
}

fn definition(version: &str, stored: bool) -> Value {
    json!({
        "name": version,
        "served": true,
        "storage": stored,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema()},
    })
}

fn schema() -> Value {
    let text = json!({"type": "string"});
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "size": {"type": "integer"},
                    "engine": text,
                    "fqdn": text,
                    "replicas": {"type": "integer", "default": 1},
                    "tags": {"type": "array", "items": text},
                    "nested": anything,
                },
            },
            "status": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "status": text,
                    "conditions": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["type"],
                        "items": condition(),
                    },
                    "relatedResources": {"type": "object", "additionalProperties": anything},
                },
            },
        },
    })
}

fn condition() -> Value {
    json!({
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": {"type": "string"},
            "status": {"type": "string"},
            "observedGeneration": {"type": "integer", "format": "int64"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "reason": {"type": "string"},
            "message": {"type": "string"},
        },
    })
}
