//! Annotation, label and finalizer keys. Each is public API: objects in people's clusters carry them.

/// The broker's API group, and the prefix of every key.
pub const GROUP: &str = "broker.platform-mesh.io";

/// On a provider copy: the consumer cluster that it comes from, as `consumer#NAME`.
pub const CONSUMER_CLUSTER: &str = "broker.platform-mesh.io/consumer-cluster";
/// On a provider copy: the consumer object's name.
pub const CONSUMER_NAME: &str = "broker.platform-mesh.io/consumer-name";
/// On a provider copy that is in another namespace than its object: the object's namespace.
pub const CONSUMER_NAMESPACE: &str = "broker.platform-mesh.io/consumer-namespace";
/// Label on a namespace that the broker made for copies: the broker's id. The broker never deletes it.
pub const MADE_BY: &str = "broker.platform-mesh.io/made-by";
/// On a provider copy: the broker that made it, as the UID of that broker's namespace in its coordination cluster. Another
/// broker may know a consumer by the same name: it leaves such a copy alone.
pub const BROKER: &str = "broker.platform-mesh.io/broker";
/// On a consumer object: the id of the broker that serves it. Another broker leaves it alone.
pub const SERVED_BY: &str = "broker.platform-mesh.io/served-by";
/// On a consumer object: the random text that its record knows it by. An object that comes back under its name with a new UID
/// and this token is the same order.
pub const TOKEN: &str = "broker.platform-mesh.io/token";
/// On a consumer object: `true` stops the copying of its spec while it stands. Nothing else of what a consumer writes is obeyed.
pub const PAUSED: &str = "broker.platform-mesh.io/paused";
/// Label on a provider copy: the name of its Assignment.
pub const ASSIGNMENT: &str = "broker.platform-mesh.io/assignment";
/// Label on a provider copy: a number from 0 to 1023 that is derived from the Assignment's name.
pub const BUCKET: &str = "broker.platform-mesh.io/bucket";
/// On a related resource at a provider: `true` says that copies of several consumers may be given it.
pub const SHARED: &str = "broker.platform-mesh.io/shared";
/// On an Assignment whose object came back with another UID: `take-over` gives the copy to the new object, `start-anew` has the
/// copy deleted and a new one made. An administrator writes it.
pub const RECREATED: &str = "broker.platform-mesh.io/recreated";
/// On a consumer object: its provider now, as `provider#NAME`. For show: the Assignment decides.
pub const PROVIDER_CLUSTER: &str = "broker.platform-mesh.io/provider-cluster";
/// On a consumer object: the provider that it is migrating to.
pub const NEW_PROVIDER_CLUSTER: &str = "broker.platform-mesh.io/new-provider-cluster";
/// Finalizer on consumer objects and provider copies.
pub const GENERIC_FINALIZER: &str = "broker.platform-mesh.io/generic-finalizer";
/// Finalizer on AcceptAPIs of earlier releases and of the Go broker: taken off, never set.
pub const ACCEPT_API_FINALIZER: &str = "broker.platform-mesh.io/acceptapi-finalizer";
/// Finalizer on `MigrationConfiguration`s of earlier releases and of the Go broker: taken off, never set.
pub const MIGRATION_CONFIGURATION_FINALIZER: &str = "broker.platform-mesh.io/migrationconfiguration-finalizer";
/// Finalizer on Migrations, from their creation until nothing of them is left in the compute cluster.
pub const MIGRATION_FINALIZER: &str = "broker.platform-mesh.io/migration-finalizer";
/// Finalizer on stage resources in the compute cluster, from their creation until the stage's end is in the Migration's status.
pub const STAGE_FINALIZER: &str = "broker.platform-mesh.io/stage-finalizer";
/// Label on stage resources in the compute cluster: the stage.
pub const MIGRATION_STAGE: &str = "broker.platform-mesh.io/migration-stage";
/// Label on stage resources in the compute cluster: the migration.
pub const MIGRATION_ID: &str = "broker.platform-mesh.io/migration-id";

/// Annotation on a Migration: the stage that a person approves.
pub const MIGRATION_APPROVE: &str = "broker.platform-mesh.io/migration-approve";
/// Annotation on a Migration: `true` orders that what failed, or was rolled back, is tried again.
pub const MIGRATION_RETRY: &str = "broker.platform-mesh.io/migration-retry";
/// Annotation on a Migration: `true` orders that the object stays where it is.
pub const MIGRATION_ROLLBACK: &str = "broker.platform-mesh.io/migration-rollback";

/// Label on a related resource that the broker copied to a consumer: the owning object's Assignment name.
/// It selects the broker's own copies for the metadata watch, and keeps them from being brokered in turn.
pub const RELATED_TO: &str = "broker.platform-mesh.io/related-to";
/// Annotation on a copied related resource: what it is a copy of, as `UID/RESOURCE_VERSION` at the provider. Equal
/// means that nothing has to be read or written.
pub const RELATED_SOURCE: &str = "broker.platform-mesh.io/related-source";

/// The field manager of a copy's content, and the reporter of Events.
pub const FIELD_MANAGER: &str = "resource-broker";
/// The field manager of the marks (finalizer and annotations) on a consumer object. It is another one than the content's, so that
/// an object which is a copy itself keeps its content where it is marked.
pub const MARKS_MANAGER: &str = "resource-broker-marks";
