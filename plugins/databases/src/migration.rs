//! How a database is moved, engine by engine.
//!
//! | engine | stages |
//! |---|---|
//! | postgres, mysql, mariadb, mongodb, qdrant | `copy`: dump and restore; `verify`: compare the numbers of rows |
//! | redis, valkey | `replicate`: the new one follows the old one; `promote`: it stands on its own |
//!
//! The last of them lets the migration progress: from then on the consumer has the new database.

use resource_broker_plugin_kit::configuration::{Configuration, KnownStage};
use resource_broker_plugin_kit::engines::Catalogue;
use resource_broker_plugin_kit::pods::{Key, Pod, script};
use resource_broker_plugin_kit::steps::{self, Step};
use resource_broker_sdk::version::Version;
use resource_broker_sdk::{Deployed, Document, Error, Manifest, MigrationContext, Stage, StageOutcome, warn};

use crate::settings::{MigrationSettings, Settings, Tls};
use crate::status;

/// Whose images can be set.
pub const IMAGES: &[&str] = &["postgres", "mysql", "mariadb", "mongodb", "redis", "valkey", "qdrant"];

/// What the entries of Secrets are called that hold credentials.
pub const KEYS: &[Key] = &[
    ("host", &["host", "hostname", "endpoint"]),
    ("port", &["port"]),
    ("username", &["username", "user"]),
    ("password", &["password"]),
    ("database", &["database", "dbname", "db"]),
    ("uri", &["uri", "url", "connectionString.standardSrv", "connectionString.standard"]),
    ("apiKey", &["api-key", "apiKey", "apikey"]),
];

const STAGES: &[KnownStage] =
    &[("copy", &["copy"]), ("verify", &["verify"]), ("replicate", &["replicate"]), ("promote", &["promote"])];

const HOUR: u32 = 60 * 60;

/// The scripts of an engine that is dumped and restored.
struct Dump {
    /// What both begin with.
    common: &'static str,
    copy: &'static str,
    verify: &'static str,
    /// Client and dump program, where several engines share the scripts.
    programs: Option<(&'static str, &'static str)>,
    /// Whether the engine can make a database read-only for as long as it takes.
    freezes: bool,
}

const POSTGRES: Dump = Dump {
    common: include_str!("../scripts/postgres.sh"),
    copy: include_str!("../scripts/postgres-copy.sh"),
    verify: include_str!("../scripts/postgres-verify.sh"),
    programs: None,
    freezes: true,
};

const MYSQL: Dump = Dump {
    common: include_str!("../scripts/mysql.sh"),
    copy: include_str!("../scripts/mysql-copy.sh"),
    verify: include_str!("../scripts/mysql-verify.sh"),
    programs: Some(("mysql", "mysqldump")),
    freezes: true,
};

const MARIADB: Dump = Dump { programs: Some(("mariadb", "mariadb-dump")), freezes: false, ..MYSQL };

const MONGODB: Dump = Dump {
    common: include_str!("../scripts/mongodb.sh"),
    copy: include_str!("../scripts/mongodb-copy.sh"),
    verify: include_str!("../scripts/mongodb-verify.sh"),
    programs: None,
    freezes: false,
};

const QDRANT: Dump = Dump {
    common: include_str!("../scripts/qdrant.sh"),
    copy: include_str!("../scripts/qdrant-copy.sh"),
    verify: include_str!("../scripts/qdrant-verify.sh"),
    programs: None,
    freezes: false,
};

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
/// [`Error::Unsupported`] if there is no way from one engine or version to the other.
pub fn stages(
    context: &MigrationContext,
    old: &Document<'_>,
    new: &Document<'_>,
    settings: &Settings,
) -> Result<Vec<Stage>, Error> {
    let steps = steps(old, new, settings)?;
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
    steps::render(&steps(old, new, settings)?, stage, context, &settings.migration.pods, &configuration)
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

/// One of the two databases.
struct End {
    engine: String,
    version: Option<Version>,
}

fn end(copy: &Document<'_>, which: &str, catalogue: Catalogue<'_>) -> Result<End, Error> {
    let engine = copy.at("spec.engine").required().text().map_err(|error| error.below(which))?;
    let version = copy.at("spec.version").version().map_err(|error| error.below(which))?;
    Ok(End { engine: catalogue.resolve(&engine), version })
}

fn steps(old: &Document<'_>, new: &Document<'_>, settings: &Settings) -> Result<Vec<Step>, Error> {
    let catalogue = settings.catalogue();
    let (old, new) = (end(old, "old", catalogue)?, end(new, "new", catalogue)?);
    refuse_other_engine(&old, &new)?;
    refuse_downgrade(&old, &new)?;
    let settings = &settings.migration;
    match new.engine.as_str() {
        "postgres" => Ok(dump_steps(&POSTGRES, &new, "postgres", "17", 1, settings)),
        "mysql" => Ok(dump_steps(&MYSQL, &new, "mysql", "8.4", 2, settings)),
        "mariadb" => Ok(dump_steps(&MARIADB, &new, "mariadb", "11.4", 2, settings)),
        "mongodb" => Ok(dump_steps(&MONGODB, &new, "mongo", "8.0", 2, settings)),
        "qdrant" => Ok(steps_of(&QDRANT, settings.pods.image("qdrant", "curlimages/curl:8.11.1"), "qdrant", settings)),
        "redis" => Ok(replication_steps("redis", "redis:8", "redis-cli", settings)),
        "valkey" => Ok(replication_steps("valkey", "valkey/valkey:8", "valkey-cli", settings)),
        other => {
            let known = IMAGES.join(", ");
            Err(Error::unsupported(format!("there is no way to move a database of {other:?}; there is for {known}")))
        }
    }
}

fn refuse_other_engine(old: &End, new: &End) -> Result<(), Error> {
    if old.engine == new.engine {
        return Ok(());
    }
    match (old.engine.as_str(), new.engine.as_str()) {
        ("redis", "valkey") | ("valkey", "redis") => refuse_other_format(old, new),
        (from, to) => {
            let message = format!("a dump of {from} cannot be restored into {to}: move to an offer of {from}");
            Err(Error::unsupported(message))
        }
    }
}

/// Redis and Valkey replicate to each other as long as they write the same file format: up to Redis 7.2 and Valkey 8.
fn refuse_other_format(old: &End, new: &End) -> Result<(), Error> {
    let common = |end: &End| {
        let last = if end.engine == "redis" { (7, 2) } else { (8, u64::MAX) };
        end.version.as_ref().is_some_and(|version| (version.major(), version.minor()) <= last && version.written() > 1)
    };
    let reads = |end: &End| end.version.as_ref().is_some_and(|version| (version.major(), version.minor()) >= (7, 2));
    if common(old) && reads(new) {
        return Ok(());
    }
    let (from, to) = (&old.engine, &new.engine);
    let message = format!(
        "{from} {} cannot be replicated to {to} {}: that works from Redis up to 7.2, or Valkey up to 8, to 7.2 or newer, \
         and both spec.version have to say so with two numbers",
        shown(old.version.as_ref()),
        shown(new.version.as_ref()),
    );
    Err(Error::unsupported(message))
}

/// How many numbers of a version make a series, between which data is upgraded and not downgraded.
fn numbers_of_series(engine: &str) -> u8 {
    match engine {
        "postgres" => 1,
        _ => 2,
    }
}

fn refuse_downgrade(old: &End, new: &End) -> Result<(), Error> {
    let (Some(from), Some(to)) = (&old.version, &new.version) else {
        warn!(
            "whether the move from {} to {} is a downgrade is not known",
            shown(old.version.as_ref()),
            shown(new.version.as_ref())
        );
        return Ok(());
    };
    if old.engine != new.engine {
        return Ok(());
    }
    let written = from.written().min(to.written()).min(numbers_of_series(&new.engine));
    let series = |version: &Version| (version.major(), if written > 1 { version.minor() } else { 0 });
    if series(from) <= series(to) {
        return Ok(());
    }
    let engine = &new.engine;
    let message = format!(
        "the move from {engine} {from} to {to} is a downgrade, which the older version cannot read: \
         set spec.version to {from} or newer, or move to an offer that has it"
    );
    Err(Error::unsupported(message))
}

fn shown(version: Option<&Version>) -> String {
    version.map_or_else(|| "(no version)".to_owned(), ToString::to_string)
}

/// The steps of an engine whose image is tagged by its version, of which `numbers` make the tag.
fn dump_steps(
    dump: &Dump,
    new: &End,
    repository: &str,
    default_tag: &str,
    numbers: u8,
    settings: &MigrationSettings,
) -> Vec<Step> {
    let tag = new.version.as_ref().map_or_else(
        || default_tag.to_owned(),
        |version| match version.written().min(numbers) {
            1 => version.major().to_string(),
            _ => format!("{}.{}", version.major(), version.minor()),
        },
    );
    let image = settings.pods.image(&new.engine, &format!("{repository}:{tag}"));
    steps_of(dump, image, &new.engine, settings)
}

fn steps_of(dump: &Dump, image: String, engine: &str, settings: &MigrationSettings) -> Vec<Step> {
    let freezes = dump.freezes && settings.freeze;
    let mut variables = variables(settings);
    variables.push(("FREEZE".to_owned(), freezes.to_string()));
    if let Some((client, dump)) = dump.programs {
        variables.push(("CLIENT".to_owned(), client.to_owned()));
        variables.push(("DUMP".to_owned(), dump.to_owned()));
    }
    if !freezes {
        warn!(
            "{engine}: writers of the old database have to be stopped by hand; the stage \"copy\" waits for approval"
        );
    }
    let copy = Pod::job("copy", image.clone(), script(&[dump.common, dump.copy]), variables.clone());
    let verify = Pod::job("verify", image, script(&[dump.common, dump.verify]), variables);
    vec![
        Step {
            name: "copy",
            progress: false,
            approval: !freezes,
            timeout_seconds: 12 * HOUR,
            retries: 1,
            pods: vec![copy],
        },
        Step { name: "verify", progress: true, approval: false, timeout_seconds: HOUR, retries: 1, pods: vec![verify] },
    ]
}

fn replication_steps(engine: &str, default_image: &str, client: &str, settings: &MigrationSettings) -> Vec<Step> {
    let image = settings.pods.image(engine, default_image);
    let mut variables = variables(settings);
    variables.push(("CLIENT".to_owned(), client.to_owned()));
    variables.push(("PAUSE_MS".to_owned(), (u64::from(settings.pause_seconds) * 1000).to_string()));
    let common = include_str!("../scripts/redis.sh");
    let follow = include_str!("../scripts/redis-replicate.sh");
    let replicate = script(&[common, follow]);
    // What restarted since then, or was promoted by a try that failed later, follows no more; the old end went on.
    let promote = script(&[common, follow, include_str!("../scripts/redis-promote.sh")]);
    vec![
        Step {
            name: "replicate",
            progress: false,
            approval: false,
            timeout_seconds: 12 * HOUR,
            retries: 2,
            pods: vec![Pod::job("replicate", image.clone(), replicate, variables.clone())],
        },
        Step {
            name: "promote",
            progress: true,
            approval: false,
            timeout_seconds: HOUR,
            retries: 2,
            pods: vec![Pod::job("promote", image, promote, variables)],
        },
    ]
}

fn variables(settings: &MigrationSettings) -> Vec<(String, String)> {
    let mut variables = settings.pods.key_variables(KEYS);
    let tls = if settings.tls == Tls::Require { "require" } else { "prefer" };
    variables.push(("TLS".to_owned(), tls.to_owned()));
    variables
}
