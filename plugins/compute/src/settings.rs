//! What an operator sets about the plugin; `settings.schema.json` says the same to programs.

use std::collections::BTreeMap;

use resource_broker_plugin_kit::judging::finish_settings;
use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_plugin_kit::pods::PodSettings;
use resource_broker_sdk::{Error, Problems, escape_key, parse_settings};
use serde::Deserialize;

use crate::architecture::Architectures;
use crate::migration;

/// What the value of a key is, and so which rules there are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A version of Kubernetes.
    Version,
    /// A number of nodes.
    Count,
    /// A processor architecture.
    Architecture,
    /// An amount of memory.
    Memory,
}

/// The keys of the generic kinds.
const KEYS: &[(&str, Subject)] = &[
    ("arch", Subject::Architecture),
    ("memory", Subject::Memory),
    ("nodeCount", Subject::Count),
    ("version", Subject::Version),
];

/// The plugin's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// More names of architectures, each with the architecture that it stands for.
    architectures: BTreeMap<String, String>,
    /// What the values of other keys are, for kinds beside the generic ones.
    keys: BTreeMap<String, Subject>,
    /// More phases and conditions.
    pub status: PhaseSettings,
    /// How clusters and machines are moved.
    pub migration: MigrationSettings,
}

/// How clusters and machines are moved.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MigrationSettings {
    /// How clusters are.
    pub cluster: ClusterSettings,
    /// How machines are.
    pub machine: MachineSettings,
    /// The pods of the stages.
    pub pods: PodSettings,
}

/// How a Kubernetes cluster is moved.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// Where Velero is, in both clusters.
    pub velero_namespace: String,
    /// The namespaces that are moved; empty: all but the excluded ones.
    pub included_namespaces: Vec<String>,
    /// The namespaces that are not, because each cluster has its own.
    pub excluded_namespaces: Vec<String>,
    /// Whether volumes are moved through the object storage that both Veleros share.
    pub move_volumes: bool,
    /// Whether a backup or restore that lacks some objects is good enough.
    pub accept_partial: bool,
    /// For how many hours the backup is kept.
    pub keep_hours: u32,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        let excluded = ["kube-node-lease", "kube-public", "kube-system", "velero"];
        Self {
            velero_namespace: "velero".to_owned(),
            included_namespaces: Vec::new(),
            excluded_namespaces: excluded.map(str::to_owned).to_vec(),
            move_volumes: true,
            accept_partial: false,
            keep_hours: 72,
        }
    }
}

/// How a virtual machine is moved.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MachineSettings {
    /// Who stops the old machine.
    pub stop: Stop,
    /// Whether the copied disks are not compared with the old ones, which takes as long as to copy them.
    pub skip_verify: bool,
}

/// Who stops the old machine before its disks are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// The stage `stop`, by the URL that the provider gives for it.
    #[default]
    Call,
    /// A person, who then approves the stage `copy`.
    Person,
}

impl Settings {
    /// Reads settings and looks for what makes no sense.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] with everything that is wrong.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let settings: Self = parse_settings(json)?;
        let mut problems = Problems::new();
        settings.check_architectures(&mut problems);
        settings.migration.cluster.check(&mut problems);
        settings.migration.pods.check("migration.pods.", migration::IMAGES, migration::KEYS, &mut problems);
        finish_settings(problems)?;
        Ok(settings)
    }

    fn check_architectures(&self, problems: &mut Problems) {
        let is_name = |text: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            !text.is_empty() && text.len() <= 63 && text.chars().all(plain)
        };
        for (name, target) in &self.architectures {
            if !is_name(name) || !is_name(target) {
                let message = format!("{name:?} for {target:?}: a name has lower-case letters, digits, - and _ alone");
                problems.push(format!("architectures.{}", escape_key(name)), message);
            }
        }
    }

    /// The architectures that are known.
    pub fn architectures(&self) -> Architectures<'_> {
        Architectures { aliases: &self.architectures }
    }

    /// What the value of a key is; `None` for a key that nobody knows.
    pub fn subject(&self, key: &str) -> Option<Subject> {
        let known = || KEYS.iter().find(|(known, _)| *known == key).map(|(_, subject)| *subject);
        self.keys.get(key).copied().or_else(known)
    }

    /// The keys for which there are rules.
    pub fn known_keys(&self) -> Vec<&str> {
        KEYS.iter().map(|(key, _)| *key).chain(self.keys.keys().map(String::as_str)).collect()
    }
}

impl ClusterSettings {
    fn check(&self, problems: &mut Problems) {
        let base = "migration.cluster";
        // They become words of a shell script.
        let lists = [
            ("includedNamespaces", self.included_namespaces.as_slice()),
            ("excludedNamespaces", self.excluded_namespaces.as_slice()),
            ("veleroNamespace", std::slice::from_ref(&self.velero_namespace)),
        ];
        for (field, names) in lists {
            for (index, name) in names.iter().enumerate().filter(|(_, name)| !is_namespace(name)) {
                let path = if field == "veleroNamespace" {
                    format!("{base}.{field}")
                } else {
                    format!("{base}.{field}.{index}")
                };
                problems.push(path, format!("{name:?} is no namespace: lower-case letters, digits and hyphens alone"));
            }
        }
        if !(1..=8_760).contains(&self.keep_hours) {
            problems.push(format!("{base}.keepHours"), "a backup is kept from 1 hour to 8760 hours");
        }
    }
}

fn is_namespace(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}
