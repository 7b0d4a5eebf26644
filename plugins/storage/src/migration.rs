//! How storage is moved, kind by kind.
//!
//! | kind | stages |
//! |---|---|
//! | `Object` | `bulk`, `delta`, `late` with rclone |
//! | `File` | the same with rsync |
//! | `Block` | none: it has no files that another cluster could read |
//!
//! `bulk` copies everything while the old one is in use. `delta` brings the new one up to date, compares both and lets the
//! migration progress: from then on the consumer has the new one. `late` fetches what was still written to the old one.

use resource_broker_plugin_kit::bounds::Size;
use resource_broker_plugin_kit::configuration::{Configuration, KnownStage};
use resource_broker_plugin_kit::pods::{Key, Pod, script};
use resource_broker_plugin_kit::steps::{self, Step};
use resource_broker_sdk::{Deployed, Document, Endpoint, Error, Manifest, MigrationContext, Stage, StageOutcome, warn};

use crate::protocol::Protocol;
use crate::settings::{MigrationSettings, Settings};
use crate::status;

/// Whose images can be set.
pub const IMAGES: &[&str] = &["object", "file"];

/// What the entries of Secrets and `ConfigMap`s are called that hold credentials. Those of `ObjectBucketClaim`s are among
/// them.
pub const KEYS: &[Key] = &[
    ("endpoint", &["endpoint", "AWS_ENDPOINT_URL", "url"]),
    ("host", &["BUCKET_HOST", "host"]),
    ("port", &["BUCKET_PORT", "port"]),
    ("bucket", &["bucket", "BUCKET_NAME", "bucketName"]),
    ("region", &["region", "BUCKET_REGION", "AWS_REGION"]),
    ("accessKey", &["accessKeyID", "AWS_ACCESS_KEY_ID", "accessKey", "access_key"]),
    ("secretKey", &["accessSecretKey", "AWS_SECRET_ACCESS_KEY", "secretKey", "secret_key"]),
    ("server", &["server", "host", "hostname", "endpoint"]),
    ("share", &["path", "share", "export", "exportPath"]),
    ("username", &["username", "user"]),
    ("password", &["password"]),
];

const STAGES: &[KnownStage] = &[("bulk", &["copy"]), ("delta", &["copy"]), ("late", &["copy"])];

const HOUR: u32 = 60 * 60;
const DAY: u32 = 24 * HOUR;

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
    let settings = &settings.migration;
    match (context.old.kind.as_str(), context.new.kind.as_str()) {
        ("Object", "Object") => object_steps(old, settings),
        ("File", "File") => file_steps(context, old, new, settings),
        ("Block", "Block") => Err(Error::unsupported(
            "a block volume is not moved: it holds no files that another cluster could read while it is in use. Restore \
             a backup into the new one, or copy the files of the machine that uses it",
        )),
        (from, to) => Err(Error::unsupported(format!(
            "there is no way to move {from} to {to}; there is from Object to Object and from File to File"
        ))),
    }
}

/// The scripts of one kind.
struct Scripts {
    common: &'static str,
    bulk: &'static str,
    delta: &'static str,
    late: &'static str,
}

const OBJECT: Scripts = Scripts {
    common: include_str!("../scripts/object.sh"),
    bulk: include_str!("../scripts/object-bulk.sh"),
    delta: include_str!("../scripts/object-delta.sh"),
    late: include_str!("../scripts/object-late.sh"),
};

const FILE: Scripts = Scripts {
    common: include_str!("../scripts/file.sh"),
    bulk: include_str!("../scripts/file-bulk.sh"),
    delta: include_str!("../scripts/file-delta.sh"),
    late: include_str!("../scripts/file-late.sh"),
};

/// The three stages; `pod` makes the pod of one from its script. `approval` is of the first.
fn three(scripts: &Scripts, approval: bool, pod: impl Fn(String) -> Pod) -> Vec<Step> {
    let step = |name, part, progress, approval, timeout_seconds| Step {
        name,
        progress,
        approval,
        timeout_seconds,
        retries: 2,
        pods: vec![pod(script(&[scripts.common, part]))],
    };
    vec![
        step("bulk", scripts.bulk, false, approval, 7 * DAY),
        step("delta", scripts.delta, true, false, DAY),
        step("late", scripts.late, false, false, DAY),
    ]
}

fn object_steps(old: &Document<'_>, settings: &MigrationSettings) -> Result<Vec<Step>, Error> {
    let versioned = old.at("spec.versioning").boolean().map_err(|error| error.below("old"))? == Some(true);
    if versioned {
        warn!("former versions of objects are not moved, only the current ones; the stage \"bulk\" waits for approval");
    }
    let image = settings.pods.image("object", "rclone/rclone:1.69");
    let mut variables = settings.pods.key_variables(KEYS);
    variables.push(("TRANSFERS".to_owned(), settings.transfers.to_string()));
    variables.push(("VERIFY".to_owned(), settings.verify.to_string()));
    Ok(three(&OBJECT, versioned, |script| Pod::job("copy", image.clone(), script, variables.clone())))
}

fn file_steps(
    context: &MigrationContext,
    old: &Document<'_>,
    new: &Document<'_>,
    settings: &MigrationSettings,
) -> Result<Vec<Step>, Error> {
    refuse_smaller(old, new)?;
    let image = settings.pods.image("file", "alpine:3.22");
    let mut variables = settings.pods.key_variables(KEYS);
    variables.push(("VERIFY".to_owned(), settings.verify.to_string()));
    let mut claims = Vec::new();
    for (name, endpoint, copy) in [("from", &context.old, old), ("to", &context.new, new)] {
        let claim = claim(endpoint);
        variables.push((format!("CLAIMED_{name}"), claim.is_some().to_string()));
        match claim {
            Some(claim) => claims.push((claim.to_owned(), format!("/mnt/{name}"), name == "from")),
            None => variables.extend(share(name, copy)?),
        }
    }
    // Without a claim the script mounts an end itself.
    let mounts = claims.len() < 2;
    Ok(three(&FILE, false, |script| Pod {
        claims: claims.clone(),
        mounts,
        ..Pod::job("copy", image.clone(), script, variables.clone())
    }))
}

/// The claim by which an end's files can be mounted in the compute cluster.
fn claim(end: &Endpoint) -> Option<&str> {
    end.related.iter().find(|related| related.kind == "PersistentVolumeClaim").map(|related| related.name.as_str())
}

/// How the script mounts an end.
fn share(name: &str, copy: &Document<'_>) -> Result<Vec<(String, String)>, Error> {
    let end = if name == "from" { "old" } else { "new" };
    let text = copy.at("spec.protocol").text().map_err(|error| error.below(end))?.unwrap_or_else(|| "nfs".to_owned());
    let protocol = Protocol::parse(&text)
        .map_err(|message| Error::invalid(format!("{end}.spec.protocol"), format!("{text:?} {message}")))?;
    if !matches!(protocol.name.as_str(), "nfs" | "smb") {
        let message = format!(
            "the {end} file system is shared by {}, which cannot be mounted here; nfs and smb can, and any with a \
             PersistentVolumeClaim among its related resources",
            protocol.name
        );
        return Err(Error::unsupported(message));
    }
    let mut variables = vec![(format!("PROTOCOL_{name}"), protocol.name)];
    if let Some(version) = protocol.version {
        let version = match version.written() {
            1 => version.major().to_string(),
            _ => format!("{}.{}", version.major(), version.minor()),
        };
        variables.push((format!("NFS_VERSION_{name}"), version));
    }
    Ok(variables)
}

fn refuse_smaller(old: &Document<'_>, new: &Document<'_>) -> Result<(), Error> {
    let size = |copy: &Document<'_>, which| copy.at("spec.size").read::<Size>().map_err(|error| error.below(which));
    let (Some(from), Some(to)) = (size(old, "old")?, size(new, "new")?) else { return Ok(()) };
    if to >= from {
        return Ok(());
    }
    let message =
        format!("the new file system ({to}) is smaller than the old one ({from}): set spec.size to {from} or more");
    Err(Error::unsupported(message))
}
