//! The engines that are known: their names and the protocols that they speak. Their makers name no ends of life for good,
//! so that those come from the settings.

use resource_broker_plugin_kit::engines::Engine;

const fn engine(name: &'static str, aliases: &'static [&'static str], families: &'static [&'static str]) -> Engine {
    Engine { name, aliases, families, maintained: &[] }
}

/// All of them.
pub const ENGINES: &[Engine] = &[
    engine("kafka", &["apache-kafka", "strimzi"], &["kafka"]),
    engine("redpanda", &[], &["kafka"]),
    engine("warpstream", &[], &["kafka"]),
    engine("automq", &[], &["kafka"]),
    engine("eventhubs", &["event-hubs", "azure-event-hubs"], &["kafka", "amqp-1.0"]),
    engine("kinesis", &["aws-kinesis", "kinesis-data-streams"], &["kinesis"]),
    engine("pulsar", &["apache-pulsar"], &["pulsar"]),
    engine("nats", &["jetstream", "nats-jetstream"], &["nats"]),
    engine("rabbitmq", &["rabbit", "rabbit-mq"], &["amqp-0-9-1"]),
    engine("lavinmq", &[], &["amqp-0-9-1"]),
    engine("activemq", &["activemq-classic", "apache-activemq"], &["jms", "amqp-1.0"]),
    engine("artemis", &["activemq-artemis", "apache-artemis"], &["jms", "amqp-1.0"]),
    engine("ibmmq", &["ibm-mq", "websphere-mq"], &["jms"]),
    engine("solace", &["pubsub-plus"], &["jms", "amqp-1.0"]),
    engine("servicebus", &["service-bus", "azure-service-bus"], &["jms", "amqp-1.0"]),
    engine("emqx", &[], &["mqtt"]),
    engine("mosquitto", &["eclipse-mosquitto"], &["mqtt"]),
    engine("vernemq", &[], &["mqtt"]),
    engine("hivemq", &[], &["mqtt"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_means_one_engine() {
        let mut seen = BTreeSet::new();
        for engine in ENGINES {
            for name in engine.aliases.iter().chain([&engine.name]) {
                assert!(seen.insert(*name), "{name} is there twice");
                assert_eq!(*name, name.to_ascii_lowercase());
            }
        }
    }
}
