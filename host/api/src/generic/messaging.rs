//! `messaging.generic.platform-mesh.io/v1alpha1`: ways to pass messages on.

use super::generic_kind;

generic_kind! {
    "A publish-and-subscribe queue.",
    #[kube(
        group = "messaging.generic.platform-mesh.io",
        kind = "PubSub",
        plural = "pubsubs",
        singular = "pubsub",
        shortname = "gpubsub"
    )]
    pub struct PubSubSpec {
        /// How many messages it holds at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        pub max_size: Option<i64>,
        /// How long a message is kept, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        pub retention_seconds: Option<i64>,
    }
}

generic_kind! {
    "A stream of events.",
    #[kube(
        group = "messaging.generic.platform-mesh.io",
        kind = "EventStreaming",
        plural = "eventstreamings",
        singular = "eventstreaming",
        shortname = "gstream"
    )]
    pub struct EventStreamingSpec {
        /// Which streaming engine: `kafka`, `kinesis`, ….
        #[schemars(length(min = 1))]
        pub engine: String,
        /// How many partitions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        pub partitions: Option<i64>,
        /// How long an event is kept, in hours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        pub retention_hours: Option<i64>,
    }
}

generic_kind! {
    "A message broker.",
    #[kube(
        group = "messaging.generic.platform-mesh.io",
        kind = "MessageBroker",
        plural = "messagebrokers",
        singular = "messagebroker",
        shortname = "gmq"
    )]
    pub struct MessageBrokerSpec {
        /// Which broker: `rabbitmq`, `activemq`, ….
        #[schemars(length(min = 1))]
        pub engine: String,
        /// The engine's version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
        /// The size of its machines, in the provider's terms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub instance_type: Option<String>,
    }
}
