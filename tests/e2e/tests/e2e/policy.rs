//! Admission policies of a test's own: what an API server refuses, or makes another thing of, whoever asks.

use anyhow::{Result, ensure};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use resource_broker_harness::{Cluster, eventually};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::pair::PATIENCE;

/// The group of policies.
const GROUP: &str = "admissionregistration.k8s.io";

/// Writes of one kind in one namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writes<'a> {
    /// What the policy is called, which no other test's in that cluster is.
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) group: &'a str,
    /// As `widgets` or `widgets/status`.
    pub(crate) resource: &'a str,
    /// `CREATE`, `UPDATE`, `DELETE`.
    pub(crate) operations: &'a [&'a str],
}

impl Writes<'_> {
    fn matched(&self) -> Value {
        json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "resourceRules": [{
                "apiGroups": [self.group], "apiVersions": ["*"], "resources": [self.resource],
                "operations": self.operations,
            }],
        })
    }

    /// Has a cluster refuse them with these words, but those of which the expression holds.
    pub(crate) async fn refuse(&self, cluster: &Cluster, but: &str, words: &str) -> Result<()> {
        let spec = json!({
            "failurePolicy": "Fail", "matchConstraints": self.matched(),
            "validations": [{"expression": but, "message": words}],
        });
        self.put(cluster, "ValidatingAdmissionPolicy", spec, json!({"validationActions": ["Deny"]})).await
    }

    /// Has a cluster merge this into them, which is an expression as `Object{spec: Object.spec{size: 1}}`.
    pub(crate) async fn rewrite(&self, cluster: &Cluster, merged: &str) -> Result<()> {
        let spec = json!({
            "failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": self.matched(),
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": merged}}],
        });
        self.put(cluster, "MutatingAdmissionPolicy", spec, json!({})).await
    }

    /// Has a cluster take all annotations off them.
    pub(crate) async fn strip_annotations(&self, cluster: &Cluster) -> Result<()> {
        let strip = r#"[JSONPatch{op: "remove", path: "/metadata/annotations"}]"#;
        let spec = json!({
            "failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": self.matched(),
            "matchConditions": [{"name": "has-annotations", "expression": "has(object.metadata.annotations)"}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": strip}}],
        });
        self.put(cluster, "MutatingAdmissionPolicy", spec, json!({})).await
    }

    async fn put(&self, cluster: &Cluster, kind: &str, spec: Value, mut binding: Value) -> Result<()> {
        binding["policyName"] = self.name.into();
        for (kind, spec) in [(kind.to_owned(), spec), (format!("{kind}Binding"), binding)] {
            let object = json!({
                "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": self.name}, "spec": spec,
            });
            cluster.apply_yaml(&object.to_string()).await?;
        }
        Ok(())
    }

    /// Has a cluster take them again.
    pub(crate) async fn allow(&self, cluster: &Cluster) -> Result<()> {
        let gvk = GroupVersionKind::gvk(GROUP, "v1", "ValidatingAdmissionPolicyBinding");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "validatingadmissionpolicybindings");
        let bindings: Api<DynamicObject> = Api::all_with(cluster.client().await?, &resource);
        bindings.delete(self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Waits until a policy is at work, which is a moment after it was made: what became of a `probe`, which is never made.
pub(crate) async fn at_work<K>(objects: &Api<K>, probe: &K, is: impl Fn(&kube::Result<K>) -> bool)
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy to be at work", PATIENCE, || async {
        let made = objects.create(&dry_run, probe).await;
        ensure!(is(&made), "{made:?}");
        Ok(())
    })
    .await;
}
