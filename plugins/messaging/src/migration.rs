//! How messages are moved, engine by engine.
//!
//! | engine | stages |
//! |---|---|
//! | kafka and others of its family | `mirror`: `MirrorMaker` 2 until the new end has caught up; `drain`: until the old end is quiet |
//! | rabbitmq | `prepare`: queues and exchanges; `drain`: shovels until the old queues are empty and quiet |
//! | nats | `mirror`: streams that take from the old ones; `switch`: once writers have stopped, they stand on their own |
//!
//! When `mirror` or `prepare`, and with NATS `switch`, is done, the migration progresses: from then on the consumer has the
//! new end.

use resource_broker_plugin_kit::configuration::{Configuration, KnownStage};
use resource_broker_plugin_kit::engines::Catalogue;
use resource_broker_plugin_kit::pods::{Key, Pod, Runs, script};
use resource_broker_plugin_kit::steps::{self, Step};
use resource_broker_sdk::{Deployed, Document, Error, Manifest, MigrationContext, Stage, StageOutcome};

use crate::settings::{MigrationSettings, Settings};
use crate::status;

/// Whose images can be set.
pub const IMAGES: &[&str] = &["kafka", "rabbitmq", "nats"];

/// What the entries of Secrets are called that hold credentials.
pub const KEYS: &[Key] = &[
    ("bootstrap", &["bootstrap", "bootstrapServers", "bootstrap.servers", "brokers"]),
    ("protocol", &["securityProtocol", "security.protocol"]),
    ("mechanism", &["saslMechanism", "sasl.mechanism"]),
    ("host", &["host", "hostname", "endpoint"]),
    ("port", &["port"]),
    ("username", &["username", "user"]),
    ("password", &["password"]),
    ("uri", &["uri", "connection_string", "url"]),
    ("management", &["managementUri", "management_uri"]),
    ("credentials", &["credentials", "nats.creds", "user.creds"]),
];

const STAGES: &[KnownStage] = &[
    ("mirror", &["mirror", "caught-up"]),
    ("prepare", &["prepare"]),
    ("drain", &["mirror", "drained"]),
    ("switch", &["switch"]),
];

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
/// [`Error::Unsupported`] if there is no way from one engine to the other.
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

/// How a stage stands. What runs throughout a stage counts for nothing: the Job beside it says when the stage is done.
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
    if let Some(end) = [&context.old, &context.new].into_iter().find(|end| end.kind == "PubSub") {
        let message = format!(
            "{} {}/{} at {} names no engine, and how messages are moved depends on it: have its subscribers read it to \
             the end before they turn to the new one",
            end.kind, end.namespace, end.name, end.provider
        );
        return Err(Error::unsupported(message));
    }
    let catalogue = settings.catalogue();
    let (from, to) = (engine(old, "old", catalogue)?, engine(new, "new", catalogue)?);
    let settings = &settings.migration;
    if catalogue.is_in_family(&from, "kafka") && catalogue.is_in_family(&to, "kafka") {
        return Ok(kafka_steps(settings));
    }
    match (from.as_str(), to.as_str()) {
        ("rabbitmq", "rabbitmq") => Ok(rabbitmq_steps(settings)),
        ("nats", "nats") => Ok(nats_steps(settings)),
        (from, to) if from == to => {
            let message = format!(
                "there is no way to move messages of {from:?}; there is for kafka and others of its family, rabbitmq and nats"
            );
            Err(Error::unsupported(message))
        }
        (from, to) => {
            let message = format!("messages of {from} cannot be brought to {to}: move to an offer of {from}");
            Err(Error::unsupported(message))
        }
    }
}

fn engine(copy: &Document<'_>, which: &str, catalogue: Catalogue<'_>) -> Result<String, Error> {
    let engine = copy.at("spec.engine").required().text().map_err(|error| error.below(which))?;
    Ok(catalogue.resolve(&engine))
}

fn variables(settings: &MigrationSettings, more: &[(&str, String)]) -> Vec<(String, String)> {
    let mut variables = settings.pods.key_variables(KEYS);
    variables.push(("POLL_SECONDS".to_owned(), settings.poll_seconds.to_string()));
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    variables
}

fn kafka_steps(settings: &MigrationSettings) -> Vec<Step> {
    let image = settings.pods.image("kafka", "apache/kafka:4.0.0");
    let common = include_str!("../scripts/kafka.sh");
    let of_mirror = [
        ("TOPICS", settings.kafka.topics.clone()),
        ("GROUPS_PATTERN", settings.kafka.groups.clone()),
        ("REPLICATION", settings.kafka.replication.to_string()),
        ("TASKS", settings.kafka.tasks.to_string()),
        // Its own logs would go to its program folder, which cannot be written to.
        ("LOG_DIR", "/work/logs".to_owned()),
    ];
    let mirror = || Pod {
        runs: Runs::Throughout,
        ..Pod::job(
            "mirror",
            image.clone(),
            script(&[common, include_str!("../scripts/kafka-mirror.sh")]),
            variables(settings, &of_mirror),
        )
    };
    let watch = |name, max_lag: u32, quiet: u32| {
        let of_watch = [
            ("TOPICS", settings.kafka.topics.clone()),
            ("MAX_LAG", max_lag.to_string()),
            ("QUIET_SECONDS", quiet.to_string()),
            ("LOG_DIR", "/work/logs".to_owned()),
        ];
        let script = script(&[common, include_str!("../scripts/kafka-lag.sh")]);
        Pod::job(name, image.clone(), script, variables(settings, &of_watch))
    };
    vec![
        Step {
            name: "mirror",
            progress: true,
            approval: false,
            timeout_seconds: 7 * DAY,
            retries: 2,
            pods: vec![mirror(), watch("caught-up", settings.max_lag, 0)],
        },
        Step {
            name: "drain",
            progress: false,
            approval: false,
            timeout_seconds: 7 * DAY,
            retries: 2,
            pods: vec![mirror(), watch("drained", 0, settings.quiet_seconds)],
        },
    ]
}

fn rabbitmq_steps(settings: &MigrationSettings) -> Vec<Step> {
    let image = settings.pods.image("rabbitmq", "python:3.13-alpine");
    let pod = |name, stage: &str| {
        let more = [
            ("STAGE", stage.to_owned()),
            ("VHOST", settings.rabbitmq.vhost.clone()),
            ("MANAGEMENT_PORT", settings.rabbitmq.management_port.to_string()),
            ("PREFETCH", settings.rabbitmq.prefetch.to_string()),
            ("QUIET_SECONDS", settings.quiet_seconds.to_string()),
        ];
        let command = ["python3", "-c", include_str!("../scripts/rabbitmq.py")].map(str::to_owned).to_vec();
        Pod { command, ..Pod::job(name, image.clone(), String::new(), variables(settings, &more)) }
    };
    vec![
        Step {
            name: "prepare",
            progress: true,
            approval: false,
            timeout_seconds: HOUR,
            retries: 3,
            pods: vec![pod("prepare", "prepare")],
        },
        Step {
            name: "drain",
            progress: false,
            approval: false,
            timeout_seconds: 7 * DAY,
            retries: 2,
            pods: vec![pod("drained", "drain")],
        },
    ]
}

fn nats_steps(settings: &MigrationSettings) -> Vec<Step> {
    let image = settings.pods.image("nats", "natsio/nats-box:0.18.0");
    let common = include_str!("../scripts/nats.sh");
    let pod = |name, part: &str| {
        let more = [
            ("API_PREFIX", settings.nats.api_prefix.clone()),
            ("MAX_LAG", settings.max_lag.to_string()),
            ("QUIET_SECONDS", settings.quiet_seconds.to_string()),
        ];
        Pod::job(name, image.clone(), script(&[common, part]), variables(settings, &more))
    };
    vec![
        Step {
            name: "mirror",
            progress: false,
            approval: false,
            timeout_seconds: 7 * DAY,
            retries: 2,
            pods: vec![pod("caught-up", include_str!("../scripts/nats-mirror.sh"))],
        },
        Step {
            name: "switch",
            progress: true,
            // Nobody else can stop those who write to the old end.
            approval: true,
            timeout_seconds: DAY,
            retries: 2,
            pods: vec![pod("switch", include_str!("../scripts/nats-switch.sh"))],
        },
    ]
}
