//! What an operator sets about the plugin; `settings.schema.json` says the same to programs.

use resource_broker_plugin_kit::engines::{Catalogue, EngineSettings};
use resource_broker_plugin_kit::judging::finish_settings;
use resource_broker_plugin_kit::phases::PhaseSettings;
use resource_broker_plugin_kit::pods::PodSettings;
use resource_broker_sdk::{Error, Problems, parse_settings};
use serde::Deserialize;

use crate::estimate::Workload;
use crate::{catalogue, migration};

/// The plugin's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// More engines, families and ends of life.
    pub engines: EngineSettings,
    /// What is assumed to come in, where an offer assumes nothing.
    pub workload: Workload,
    /// More phases and conditions.
    pub status: PhaseSettings,
    /// How messages are moved.
    pub migration: MigrationSettings,
}

/// How messages are moved.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MigrationSettings {
    /// How many messages the new end may lack when the consumer is given it.
    pub max_lag: u32,
    /// For how long nobody may have written to the old end before it counts as drained.
    pub quiet_seconds: u32,
    /// How often both ends are looked at.
    pub poll_seconds: u32,
    /// Kafka alone.
    pub kafka: Kafka,
    /// `RabbitMQ` alone.
    pub rabbitmq: Rabbitmq,
    /// NATS alone.
    pub nats: Nats,
    /// The pods of the stages.
    pub pods: PodSettings,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self {
            max_lag: 1000,
            quiet_seconds: 300,
            poll_seconds: 15,
            kafka: Kafka::default(),
            rabbitmq: Rabbitmq::default(),
            nats: Nats::default(),
            pods: PodSettings::default(),
        }
    }
}

/// How Kafka's topics are mirrored.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Kafka {
    /// A regular expression for the topics.
    pub topics: String,
    /// A regular expression for the consumer groups whose positions are brought along.
    pub groups: String,
    /// Copies of `MirrorMaker`'s own topics and of those that it makes.
    pub replication: u32,
    /// Tasks that mirror at the same time.
    pub tasks: u32,
}

impl Default for Kafka {
    fn default() -> Self {
        Self { topics: ".*".to_owned(), groups: ".*".to_owned(), replication: 3, tasks: 4 }
    }
}

/// How `RabbitMQ`'s queues are emptied.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rabbitmq {
    /// The virtual host at both ends.
    pub vhost: String,
    /// The port of the management interface, where the credentials name no address for it.
    pub management_port: u16,
    /// How many messages a shovel holds at most that are not confirmed.
    pub prefetch: u32,
}

impl Default for Rabbitmq {
    fn default() -> Self {
        Self { vhost: "/".to_owned(), management_port: 15_672, prefetch: 1000 }
    }
}

/// How the streams of NATS are mirrored.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nats {
    /// Under which subject the new end reaches the `JetStream` interface of the old one, over a leaf node or an import.
    pub api_prefix: String,
}

impl Default for Nats {
    fn default() -> Self {
        Self { api_prefix: "$JS.from.API".to_owned() }
    }
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
        settings.engines.check("engines.", &mut problems);
        settings.workload.check("workload.", &mut problems);
        let migration = &settings.migration;
        migration.pods.check("migration.pods.", migration::IMAGES, migration::KEYS, &mut problems);
        if !(1..=3600).contains(&migration.poll_seconds) {
            problems.push("migration.pollSeconds", "both ends are looked at every 1 to 3600 seconds");
        }
        for (path, text) in [("kafka.topics", &migration.kafka.topics), ("kafka.groups", &migration.kafka.groups)] {
            // It becomes a line of a properties file.
            if text.is_empty() || text.chars().any(char::is_control) {
                problems
                    .push(format!("migration.{path}"), "write a regular expression on one line, such as orders\\..*");
            }
        }
        for (path, number) in [
            ("kafka.replication", migration.kafka.replication),
            ("kafka.tasks", migration.kafka.tasks),
            ("rabbitmq.prefetch", migration.rabbitmq.prefetch),
        ] {
            if number == 0 {
                problems.push(format!("migration.{path}"), "0 is too few: write at least 1");
            }
        }
        finish_settings(problems)?;
        Ok(settings)
    }

    /// The engines that are known.
    pub fn catalogue(&self) -> Catalogue<'_> {
        Catalogue { engines: catalogue::ENGINES, settings: &self.engines }
    }
}

impl Workload {
    /// What is wrong; paths begin with `base`, which is empty or ends in a dot.
    pub fn check(&self, base: &str, problems: &mut Problems) {
        for (name, quantity) in [("bytesPerSecond", self.bytes_per_second), ("messageBytes", self.message_bytes)] {
            if let Some(quantity) = quantity.filter(|quantity| quantity.is_negative()) {
                problems.push(format!("{base}{name}"), format!("{quantity} is negative; write it as 500Ki"));
            }
        }
        if self.replicas == Some(0) {
            problems.push(format!("{base}replicas"), "without a replica nothing is kept: write at least 1");
        }
    }
}
