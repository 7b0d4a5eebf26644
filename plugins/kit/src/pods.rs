//! The pods in which a stage does its work, and what an operator sets about all of them.

use std::collections::BTreeMap;

use resource_broker_sdk::quantity::Quantity;
use resource_broker_sdk::{Endpoint, MigrationContext, Mirrored, Problems};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What every shell script begins with.
const LIBRARY: &str = include_str!("../scripts/lib.sh");

/// The user as whom pods run unless they need to be root.
const NOBODY: u32 = 65_532;

/// A shell script: the library and the parts, one after the other.
pub fn script(parts: &[&str]) -> String {
    let mut script = LIBRARY.to_owned();
    for part in parts {
        script.push('\n');
        script.push_str(part);
    }
    script
}

/// What an operator sets about the pods of all stages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodSettings {
    /// Images by engine or tool, over the default ones.
    pub images: BTreeMap<String, String>,
    /// Requests and limits of the container. Default: 100m of processor time and 256Mi of memory, without limits.
    pub resources: Option<Map<String, Value>>,
    /// The volume for what is on its way.
    pub scratch: Scratch,
    /// The service account; its token is not mounted.
    pub service_account_name: Option<String>,
    /// On which nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Which taints are tolerated.
    pub tolerations: Vec<Map<String, Value>>,
    /// Secrets in the compute cluster's namespace with which images are pulled.
    pub image_pull_secrets: Vec<String>,
    /// How many times a Job starts another pod. Default: 3.
    pub backoff_limit: Option<u32>,
    /// After how many seconds a stage has failed, over each stage's own default.
    pub timeout_seconds: Option<u32>,
    /// How many times a failed stage is tried again, over each stage's own default.
    pub retries: Option<u32>,
    /// Keys of `status.relatedResources` whose Secrets and `ConfigMap`s are mounted, in the order in which they are
    /// searched. Default: all.
    pub related: Vec<String>,
    /// What the entries of those are called that hold a credential, over the default names: `{"host": ["endpoint"]}`.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// The volume for what is on its way from one end to the other.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Scratch {
    /// Its size. Default: 10Gi.
    pub size: Option<Quantity>,
    /// The storage class of a volume of its own; without one it is on the node's disk.
    pub storage_class_name: Option<String>,
}

/// A credential and what its entry is called by default.
pub type Key = (&'static str, &'static [&'static str]);

impl PodSettings {
    /// What is wrong; paths begin with `base`, which is empty or ends in a dot. `images` and `keys` are those that the
    /// plugin knows.
    pub fn check(&self, base: &str, images: &[&str], keys: &[Key], problems: &mut Problems) {
        let images_known: Vec<&str> = images.to_vec();
        for name in self.images.keys().filter(|name| !images_known.contains(&name.as_str())) {
            let known = images_known.join(", ");
            problems.push(format!("{base}images.{name}"), format!("there is no image for {name:?}; known are {known}"));
        }
        for (name, entries) in &self.keys {
            if !keys.iter().any(|(known, _)| known == name) {
                let known = keys.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
                let message = format!("there is no credential {name:?}; known are {known}");
                problems.push(format!("{base}keys.{name}"), message);
            }
            // They become words of a shell script.
            for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| !is_data_key(entry)) {
                let message = format!("{entry:?} cannot be a key of a Secret: letters, digits, '-', '_' and '.' alone");
                problems.push(format!("{base}keys.{name}.{index}"), message);
            }
        }
        if self.timeout_seconds == Some(0) {
            problems.push(format!("{base}timeoutSeconds"), "a stage without any time always fails: write at least 1");
        }
        if let Some(size) = self.scratch.size.filter(|size| *size <= Quantity::ZERO) {
            problems.push(format!("{base}scratch.size"), format!("{size} is not more than 0; write it as 10Gi"));
        }
    }

    /// The image for an engine or tool.
    pub fn image(&self, name: &str, default: &str) -> String {
        self.images.get(name).map_or_else(|| default.to_owned(), Clone::clone)
    }

    /// For the environment of a script: `HOST_KEYS` with the names that the entry with the host may have, and so on.
    pub fn key_variables(&self, keys: &[Key]) -> Vec<(String, String)> {
        let variable = |(name, default): &Key| {
            let entries = self.keys.get(*name).map_or_else(|| default.join(" "), |entries| entries.join(" "));
            (format!("{}_KEYS", snake(name)), entries)
        };
        keys.iter().map(variable).collect()
    }

    /// The related resources of an end that are mounted, in their order.
    pub fn mounted<'e>(&self, end: &'e Endpoint) -> Vec<&'e Mirrored> {
        let with_data =
            |each: &&Mirrored| each.api_version == "v1" && matches!(each.kind.as_str(), "Secret" | "ConfigMap");
        if self.related.is_empty() {
            return end.related.iter().filter(with_data).collect();
        }
        self.related.iter().filter_map(|key| end.related(key)).filter(with_data).collect()
    }
}

/// `ACCESS_KEY` for `accessKey`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}

fn is_data_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// How long a pod runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Until its work is done: a Job.
    Once,
    /// As long as the stage: a Deployment.
    Throughout,
}

/// A pod that works on both ends of a migration.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The template's name.
    pub name: &'static str,
    /// How long it runs.
    pub runs: Runs,
    /// Its image.
    pub image: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub variables: Vec<(String, String)>,
    /// Claims that are mounted, each with its path and whether it is only read.
    pub claims: Vec<(String, String, bool)>,
    /// Whether it mounts file systems itself, for which it has to be root.
    pub mounts: bool,
}

impl Pod {
    /// A Job that runs a shell script.
    pub fn job(name: &'static str, image: String, script: String, variables: Vec<(String, String)>) -> Self {
        let command = vec!["sh".to_owned(), "-c".to_owned(), script];
        Self { name, runs: Runs::Once, image, command, variables, claims: Vec::new(), mounts: false }
    }

    /// The manifest; `deadline` is the stage's in seconds.
    pub fn manifest(&self, context: &MigrationContext, settings: &PodSettings, deadline: u32) -> Value {
        let pod = self.pod(context, settings);
        match self.runs {
            Runs::Once => json!({
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "backoffLimit": settings.backoff_limit.unwrap_or(3),
                    "activeDeadlineSeconds": deadline,
                    "template": {"spec": pod},
                },
            }),
            Runs::Throughout => {
                let labels =
                    json!({"app.kubernetes.io/instance": context.id, "app.kubernetes.io/component": self.name});
                json!({
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "spec": {
                        "replicas": 1,
                        "strategy": {"type": "Recreate"},
                        "selector": {"matchLabels": labels},
                        "template": {"metadata": {"labels": labels}, "spec": pod},
                    },
                })
            }
        }
    }

    fn pod(&self, context: &MigrationContext, settings: &PodSettings) -> Value {
        let mut volumes = vec![scratch(&settings.scratch)];
        let mut mounts = vec![json!({"name": "work", "mountPath": "/work"})];
        for (end, endpoint) in [("from", &context.old), ("to", &context.new)] {
            for (index, related) in settings.mounted(endpoint).into_iter().enumerate() {
                let name = format!("{end}-{index}");
                volumes.push(match related.kind.as_str() {
                    "Secret" => json!({"name": name, "secret": {"secretName": related.name}}),
                    _ => json!({"name": name, "configMap": {"name": related.name}}),
                });
                mounts.push(json!({"name": name, "mountPath": format!("/{end}/{index}"), "readOnly": true}));
            }
        }
        for (index, (claim, path, read_only)) in self.claims.iter().enumerate() {
            let name = format!("claim-{index}");
            let source = json!({"claimName": claim, "readOnly": read_only});
            volumes.push(json!({"name": name, "persistentVolumeClaim": source}));
            mounts.push(json!({"name": name, "mountPath": path, "readOnly": read_only}));
        }
        let restart = if self.runs == Runs::Once { "Never" } else { "Always" };
        let mut pod = json!({
            "restartPolicy": restart,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": self.pod_security(),
            "containers": [self.container(settings, &mounts)],
            "volumes": volumes,
        });
        if let Some(account) = &settings.service_account_name {
            pod["serviceAccountName"] = json!(account);
        }
        if !settings.node_selector.is_empty() {
            pod["nodeSelector"] = json!(settings.node_selector);
        }
        if !settings.tolerations.is_empty() {
            pod["tolerations"] = json!(settings.tolerations);
        }
        if !settings.image_pull_secrets.is_empty() {
            let secrets: Vec<Value> = settings.image_pull_secrets.iter().map(|name| json!({ "name": name })).collect();
            pod["imagePullSecrets"] = json!(secrets);
        }
        pod
    }

    fn container(&self, settings: &PodSettings, mounts: &[Value]) -> Value {
        // The home and temporary folders of clients are on the scratch volume: nothing else can be written to.
        let fixed = [("HOME", "/work"), ("TMPDIR", "/work")].map(|(name, value)| json!({"name": name, "value": value}));
        let variables = self.variables.iter().map(|(name, value)| json!({"name": name, "value": value}));
        let default = || json!({"requests": {"cpu": "100m", "memory": "256Mi"}});
        json!({
            "name": self.name,
            "image": self.image,
            "command": self.command,
            "env": fixed.into_iter().chain(variables).collect::<Vec<_>>(),
            "resources": settings.resources.clone().map_or_else(default, Value::Object),
            "securityContext": self.container_security(),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts,
        })
    }

    fn pod_security(&self) -> Value {
        let profile = json!({"type": "RuntimeDefault"});
        if self.mounts {
            // A profile that allows mount(2).
            return json!({"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}});
        }
        if !self.claims.is_empty() {
            // Owners of files are kept, which root alone can do.
            return json!({"runAsUser": 0, "seccompProfile": profile});
        }
        json!({
            "runAsNonRoot": true,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": profile,
        })
    }

    fn container_security(&self) -> Value {
        if self.mounts {
            return json!({"capabilities": {"add": ["SYS_ADMIN", "DAC_READ_SEARCH"]}});
        }
        if !self.claims.is_empty() {
            let add = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];
            return json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": add}});
        }
        json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        })
    }
}

fn scratch(settings: &Scratch) -> Value {
    let size = settings.size.map_or_else(|| "10Gi".to_owned(), |size| size.to_string());
    let Some(class) = &settings.storage_class_name else {
        return json!({"name": "work", "emptyDir": {"sizeLimit": size}});
    };
    let claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": class,
        "resources": {"requests": {"storage": size}},
    });
    json!({"name": "work", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}})
}
