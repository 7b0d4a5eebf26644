//! How clusters and machines are moved.
//!
//! | kind | stages |
//! |---|---|
//! | `KubernetesCluster` | `backup` and `restore` by Velero, `verify`: objects and workloads are there |
//! | `VirtualMachine`, `VM` | `stop` the old one, `copy` its disks, `verify` them, `start` the new one |
//!
//! The last of them lets the migration progress: from then on the consumer has the new cluster or machine.

use resource_broker_plugin_kit::configuration::{Configuration, KnownStage};
use resource_broker_plugin_kit::pods::{Key, Pod, script};
use resource_broker_plugin_kit::steps::{self, Step};
use resource_broker_sdk::version::Version;
use resource_broker_sdk::{Deployed, Document, Error, Manifest, MigrationContext, Stage, StageOutcome, warn};
use serde_json::{Value, json};

use crate::settings::{ClusterSettings, MigrationSettings, Settings, Stop};
use crate::status;

/// Whose images can be set.
pub const IMAGES: &[&str] = &["kubectl", "machine"];

/// What the entries of Secrets are called that say how to reach a cluster or a machine.
pub const KEYS: &[Key] = &[
    ("kubeconfig", &["kubeconfig", "value", "admin.conf", "config"]),
    ("diskUrl", &["diskURL", "disk-url"]),
    ("diskFormat", &["diskFormat", "disk-format"]),
    ("stopUrl", &["stopURL", "stop-url"]),
    ("startUrl", &["startURL", "start-url"]),
    ("stateUrl", &["stateURL", "state-url"]),
    ("healthUrl", &["healthURL", "health-url"]),
    ("token", &["token"]),
];

const STAGES: &[KnownStage] = &[
    ("backup", &["backup"]),
    ("restore", &["restore"]),
    ("verify", &["verify"]),
    ("stop", &["stop"]),
    ("copy", &["copy"]),
    ("start", &["start"]),
];

/// It has kubectl and a shell.
const KUBECTL_IMAGE: &str = "alpine/k8s:1.34.1";
/// The label by which a migration's backups are found again.
const LABEL: &str = "broker.platform-mesh.io/migration-id";
const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
/// How many minor versions lie between two releases that a cluster's objects usually survive.
const USUAL_SKEW: u64 = 3;

/// Judges a `MigrationConfiguration`.
///
/// # Errors
///
/// [`Error::InvalidInput`] with everything that is wrong.
pub fn check(configuration: &Document<'_>) -> Result<(), Error> {
    Configuration::check(configuration, STAGES)
}

/// The stages of a move.
///
/// # Errors
///
/// [`Error::Unsupported`] if there is no way from one to the other.
pub fn stages(
    context: &MigrationContext,
    old: &Document<'_>,
    new: &Document<'_>,
    settings: &Settings,
) -> Result<Vec<Stage>, Error> {
    let steps = steps(context, old, new, settings)?;
    Ok(steps::stages(&steps, &settings.migration.pods, &Configuration::read(&context.configuration)?))
}

/// What one stage deploys.
///
/// # Errors
///
/// As [`stages`], and for a stage that there is not.
pub fn render(
    context: &MigrationContext,
    old: &Document<'_>,
    new: &Document<'_>,
    stage: &str,
    settings: &Settings,
) -> Result<Vec<Manifest>, Error> {
    let configuration = Configuration::read(&context.configuration)?;
    steps::render(&steps(context, old, new, settings)?, stage, context, &settings.migration.pods, &configuration)
}

/// How a stage stands.
///
/// # Errors
///
/// If a copy or what was deployed cannot be read.
pub fn assess(
    context: &MigrationContext,
    old: &Document<'_>,
    new: &Document<'_>,
    deployed: &[Deployed],
    settings: &Settings,
) -> Result<StageOutcome, Error> {
    steps::assess(context, &settings.migration.pods, &status::phases(&settings.status), (old, new), deployed)
}

fn steps(
    context: &MigrationContext,
    old: &Document<'_>,
    new: &Document<'_>,
    settings: &Settings,
) -> Result<Vec<Step>, Error> {
    let (from, to) = (context.old.kind.as_str(), context.new.kind.as_str());
    match (from, to) {
        ("KubernetesCluster", "KubernetesCluster") => {
            refuse_downgrade(old, new)?;
            Ok(cluster_steps(context, &settings.migration))
        }
        ("VirtualMachine" | "VM", "VirtualMachine" | "VM") => {
            refuse_other_architecture(old, new, settings)?;
            machine_steps(&settings.migration)
        }
        _ => Err(Error::unsupported(format!(
            "there is no way to move a {from} to a {to}; there is from KubernetesCluster to KubernetesCluster and from \
             VirtualMachine to VirtualMachine"
        ))),
    }
}

/// An older API server may not serve what the newer one has stored.
fn refuse_downgrade(old: &Document<'_>, new: &Document<'_>) -> Result<(), Error> {
    let version = |copy: &Document<'_>, which| copy.at("spec.version").version().map_err(|error| error.below(which));
    let (Some(from), Some(to)) = (version(old, "old")?, version(new, "new")?) else {
        warn!("whether the new cluster is older than the old one is not known: one of them has no spec.version");
        return Ok(());
    };
    let minor = |version: &Version| (version.major(), version.minor());
    if minor(&from) > minor(&to) {
        let message = format!(
            "the move from Kubernetes {from} to {to} is a downgrade, and the older API server may not have what is \
             restored: set spec.version to {from} or newer, or move to an offer that has it"
        );
        return Err(Error::unsupported(message));
    }
    if from.major() == to.major() && to.minor() - from.minor() > USUAL_SKEW {
        warn!("from Kubernetes {from} to {to} is far: APIs that were removed in between are not restored");
    }
    Ok(())
}

/// What is installed on a disk runs on the architecture that it was installed for.
fn refuse_other_architecture(old: &Document<'_>, new: &Document<'_>, settings: &Settings) -> Result<(), Error> {
    let architectures = settings.architectures();
    let read = |copy: &Document<'_>| copy.text("spec.arch").and_then(|text| architectures.read(&text));
    match (read(old), read(new)) {
        (Some(from), Some(to)) if !to.runs(&from) => {
            let message = format!(
                "what is installed on {from} does not run on {to}: set spec.arch to {from}, or make a new machine and \
                 install it there"
            );
            Err(Error::unsupported(message))
        }
        _ => Ok(()),
    }
}

fn cluster_steps(context: &MigrationContext, settings: &MigrationSettings) -> Vec<Step> {
    let cluster = &settings.cluster;
    let image = settings.pods.image("kubectl", KUBECTL_IMAGE);
    let common = include_str!("../scripts/cluster.sh");
    let job = |name, part: &str, own: Vec<(&str, String)>| {
        let mut variables = settings.pods.key_variables(&KEYS[..1]);
        variables.push(("VELERO_NAMESPACE".to_owned(), cluster.velero_namespace.clone()));
        variables.push(("ACCEPT_PARTIAL".to_owned(), cluster.accept_partial.to_string()));
        variables.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Pod::job(name, image.clone(), script(&[common, part]), variables)
    };
    let backup = vec![("BACKUP", backup(context, cluster).to_string())];
    let restore =
        vec![("RESTORE", restore(context, cluster).to_string()), ("SELECTOR", format!("{LABEL}={}", context.id))];
    let verify = vec![
        ("INCLUDED", cluster.included_namespaces.join(" ")),
        ("EXCLUDED", cluster.excluded_namespaces.join(" ")),
        ("PATIENCE", (15 * MINUTE).to_string()),
    ];
    vec![
        step("backup", 12 * HOUR, job("backup", include_str!("../scripts/cluster-backup.sh"), backup)),
        step("restore", 12 * HOUR, job("restore", include_str!("../scripts/cluster-restore.sh"), restore)),
        Step {
            progress: true,
            ..step("verify", 2 * HOUR, job("verify", include_str!("../scripts/cluster-verify.sh"), verify))
        },
    ]
}

/// Velero's order to back up the old cluster.
fn backup(context: &MigrationContext, settings: &ClusterSettings) -> Value {
    let mut spec = namespaces(settings);
    spec["ttl"] = json!(format!("{}h0m0s", settings.keep_hours));
    spec["snapshotMoveData"] = json!(settings.move_volumes);
    spec["snapshotVolumes"] = json!(settings.move_volumes);
    velero("Backup", context, &spec)
}

/// Velero's order to restore it; the script knows the backup's name.
fn restore(context: &MigrationContext, settings: &ClusterSettings) -> Value {
    let mut spec = namespaces(settings);
    spec["backupName"] = json!("BACKUP_NAME");
    spec["existingResourcePolicy"] = json!("update");
    spec["restorePVs"] = json!(settings.move_volumes);
    velero("Restore", context, &spec)
}

fn namespaces(settings: &ClusterSettings) -> Value {
    let included = match settings.included_namespaces.as_slice() {
        [] => vec!["*".to_owned()],
        names => names.to_vec(),
    };
    json!({"includedNamespaces": included, "excludedNamespaces": settings.excluded_namespaces})
}

fn velero(kind: &str, context: &MigrationContext, spec: &Value) -> Value {
    json!({
        "apiVersion": "velero.io/v1",
        "kind": kind,
        "metadata": {"generateName": format!("{}-", context.id), "labels": {LABEL: context.id}},
        "spec": spec,
    })
}

fn machine_steps(settings: &MigrationSettings) -> Result<Vec<Step>, Error> {
    let Some(image) = settings.pods.images.get("machine") else {
        let message = "no image is set: name one that has sh, curl, and qemu-img with the drivers for your disks' URLs";
        return Err(Error::settings("migration.pods.images.machine", message));
    };
    let common = include_str!("../scripts/machine.sh");
    let job = |name, part: &str| {
        let variables = settings.pods.key_variables(&KEYS[1..]);
        Pod::job(name, image.clone(), script(&[common, part]), variables)
    };
    let by_person = settings.machine.stop == Stop::Person;
    let mut steps = Vec::with_capacity(4);
    if !by_person {
        steps.push(step("stop", 30 * MINUTE, job("stop", include_str!("../scripts/machine-stop.sh"))));
    }
    let copy = step("copy", 12 * HOUR, job("copy", include_str!("../scripts/machine-copy.sh")));
    steps.push(Step { approval: by_person, ..copy });
    if !settings.machine.skip_verify {
        steps.push(step("verify", 12 * HOUR, job("verify", include_str!("../scripts/machine-verify.sh"))));
    }
    let start = step("start", HOUR, job("start", include_str!("../scripts/machine-start.sh")));
    steps.push(Step { progress: true, ..start });
    Ok(steps)
}

fn step(name: &'static str, timeout_seconds: u32, pod: Pod) -> Step {
    Step { name, progress: false, approval: false, timeout_seconds, retries: 1, pods: vec![pod] }
}
