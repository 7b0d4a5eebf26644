//! Condition types and reasons, in one place: people and programs wait for them by name.
//!
//! A type says what is looked at, its status whether it holds, its reason why (one word for programs), its message
//! the same as a sentence for people.

/// A provider takes the object. On consumer objects and Assignments.
pub const ACCEPTED: &str = "Accepted";
/// The copy at the provider shows the object's present generation. On consumer objects and Assignments.
pub const SYNCED: &str = "Synced";
/// The object can be used: what the provider says, or else that its `status.status` is `Available`. On consumer
/// objects, Assignments and Plugins; a Plugin is ready when it serves what it claims.
pub const READY: &str = "Ready";
/// The newest version of a component, as its Plugin and its config maps have it, is loaded. On Plugins.
pub const LOADED: &str = "Loaded";
/// Calls of a component succeed. On Plugins.
pub const HEALTHY: &str = "Healthy";
/// An offer makes sense: its API is served and watched, its filters can be judged. On offers.
pub const VALID: &str = "Valid";
/// A migration goes on; the message says what is waited for or in the way. On Migrations, beside one condition for each state
/// that was reached, called as the state.
pub const PROGRESSING: &str = "Progressing";
/// A migration came to an end before its cutover. On Migrations.
pub const FAILED: &str = "Failed";
/// A cluster is read and written. On BrokerClusters.
pub const ATTACHED: &str = "Attached";
/// Another cluster stands under a known name. On BrokerClusters.
pub const CLUSTER_CHANGED: &str = "ClusterChanged";
/// A cluster takes the broker's credentials. On BrokerClusters.
pub const CREDENTIALS_VALID: &str = "CredentialsValid";

/// Reasons, each with the conditions that give it.
pub mod reason {
    /// `Accepted` is true: the provider named in the message takes the object.
    pub const ACCEPTED: &str = "Accepted";
    /// `Accepted` is false: no provider offers this API at all.
    pub const NO_OFFERS: &str = "NoOffers";
    /// `Accepted` is false: there are offers, and each refuses the object; the message lists every rule that it breaks.
    pub const NO_MATCHING_OFFER: &str = "NoMatchingOffer";
    /// `Accepted`, `Synced` or `Valid` is unknown or false: the API's plugin failed to answer. Nothing is decided by
    /// guess.
    pub const PLUGIN_FAILED: &str = "PluginFailed";
    /// `Accepted` is false: the provider that holds the object does not take it any more, another one does, and as many objects
    /// move from or to one of the two as may at once. The message names some of them.
    pub const WAITS_FOR_TURN: &str = "WaitsForTurn";
    /// `Accepted` is false: the provider that holds the object is attached no longer, or has withdrawn its offer.
    pub const PROVIDER_GONE: &str = "ProviderGone";
    /// `Attached`, `Accepted` or `Synced` is false: another cluster stands under the name of one that records name. Nothing is
    /// written there, and nothing is deleted because of it, until an administrator decides.
    pub const CLUSTER_CHANGED: &str = "ClusterChanged";
    /// `Attached` is true.
    pub const ATTACHED: &str = "Attached";
    /// `Attached` is false: no kubeconfig names the cluster now.
    pub const DETACHED: &str = "Detached";
    /// `Attached` is false: the same cluster is attached under another name in this role.
    pub const DUPLICATE: &str = "Duplicate";
    /// `Attached` is true: the cluster is attached by a kubeconfig that calls it something else.
    pub const RENAMED: &str = "Renamed";
    /// `Attached` is false: an administrator had the cluster removed.
    pub const REMOVED: &str = "Removed";
    /// `Synced` is false: the object came back under its name with another UID, and nothing says that it is the same order. Its
    /// copy is neither deleted nor given to it; the message names both ways out.
    pub const RECREATED: &str = "Recreated";
    /// `Synced` is false: another broker serves the object, and this one has a record of it too.
    pub const SERVED_BY_OTHER: &str = "ServedByOther";
    /// `Accepted` or `Synced` is false: an object that this one refers to is not at the same provider.
    pub const REFERENCE_ELSEWHERE: &str = "ReferenceElsewhere";
    /// `Accepted` is false: the object does not move, since another one at its provider refers to it.
    pub const HELD_BY_REFERENCE: &str = "HeldByReference";
    /// `Synced` is false: several copies declare one related resource at the provider, and it is nobody's for certain.
    pub const RELATED_AMBIGUOUS: &str = "RelatedResourceAmbiguous";
    /// `Synced` is false: the object asks not to have its spec copied (annotation `broker.platform-mesh.io/paused`).
    pub const PAUSED: &str = "Paused";
    /// `Synced` is false: the object is on its way to another provider; the message says what is waited for. Also an Event.
    pub const MOVING: &str = "Moving";
    /// An Event: the object is at its new provider.
    pub const MOVED: &str = "Moved";
    /// An Event: the object stays where it is, or goes to yet another provider.
    pub const MOVE_ABANDONED: &str = "MoveAbandoned";
    /// An Event on an Assignment: there is a copy that it does not name, and it is kept for now.
    pub const COPY_KEPT: &str = "CopyKept";
    /// `Accepted` is false: a person ordered that the object stays at a provider that does not accept it.
    pub const MOVE_ROLLED_BACK: &str = "MoveRolledBack";
    /// `Valid` is true.
    pub const VALID: &str = "Valid";
    /// `Valid` is false: a filter makes no sense to the API's filter component; the message says which and why.
    pub const INVALID_FILTERS: &str = "InvalidFilters";
    /// `Valid` is false: the provider does not serve the resource that is offered.
    pub const NOT_SERVED: &str = "NotServed";
    /// `Valid` is false: the broker was not told to watch the resource that is offered.
    pub const NOT_WATCHED: &str = "NotWatched";
    /// `Synced` is true.
    pub const SYNCED: &str = "Synced";
    /// Nothing is wrong: the provider's side has not got that far yet.
    pub const PENDING: &str = "Pending";
    /// The broker has not read a cluster yet.
    pub const WAITING: &str = "Waiting";
    /// `Ready` carries what the provider reports, which gave no reason.
    pub const REPORTED: &str = "Reported";
    /// `Synced` is false: at the provider the copy's name is taken by an object that the broker did not make.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// `Synced` is false: somebody at the provider keeps changing fields that come from the consumer's object.
    pub const CONTESTED: &str = "Contested";
    /// `Synced` is false: the provider does not accept the object as it is now, so its copy stays as it was.
    pub const NOT_ACCEPTED: &str = "NotAccepted";
    /// `Synced` is false: the provider cannot be reached, or does not serve the API now.
    pub const PROVIDER_UNAVAILABLE: &str = "ProviderUnavailable";
    /// `Synced` is false: the object is being deleted, and something holds it.
    pub const DELETING: &str = "Deleting";
    /// `Synced` is false: an API server refused a write as invalid; the message says which and why.
    pub const INVALID: &str = "Invalid";
    /// `Synced` is false: the broker may not do at a cluster what it has to; the message says what.
    pub const FORBIDDEN: &str = "Forbidden";
    /// `Synced` is false: a cluster does not know the broker's credentials (401); the message says how to mend that.
    pub const CREDENTIALS_REFUSED: &str = "CredentialsRefused";
    /// `Synced` is false: a cluster did not answer, or not well.
    pub const CLUSTER_UNAVAILABLE: &str = "ClusterUnavailable";
    /// `Synced` is false: a write did not succeed; the message says which and why. It is tried again.
    pub const WRITE_FAILED: &str = "WriteFailed";
    /// `Synced` is false: a related resource's place at the consumer is taken by an object that the broker did not make.
    pub const RELATED_CONFLICT: &str = "RelatedResourceConflict";
    /// `Synced` is false: a related resource is of a kind that is not copied.
    pub const RELATED_NOT_ALLOWED: &str = "RelatedResourceNotAllowed";
    /// `Synced` is false: the status declares a related resource that the provider does not have.
    pub const RELATED_MISSING: &str = "RelatedResourceMissing";
    /// `Synced` is false: a related resource, or its copy, cannot be read.
    pub const RELATED_UNREADABLE: &str = "RelatedResourceUnreadable";

    /// `Loaded` is true.
    pub const LOADED: &str = "Loaded";
    /// `Loaded` is unknown: the component is being compiled, or waits for its turn.
    pub const LOADING: &str = "Loading";
    /// `Loaded` is false: the Plugin itself cannot be read.
    pub const INVALID_PLUGIN: &str = "InvalidPlugin";
    /// `Loaded` is false: a config map that the Plugin names is not there.
    pub const CONFIG_MAP_MISSING: &str = "ConfigMapMissing";
    /// `Loaded` is false: a config map lacks the key, or has it under `data`; the message says which keys it has.
    pub const KEY_MISSING: &str = "KeyMissing";
    /// `Loaded` is false: a config map cannot be read now, or the broker may not read it. It is tried again.
    pub const CONFIG_MAP_UNREADABLE: &str = "ConfigMapUnreadable";
    /// `Loaded` is false: the parts, joined, cannot be unpacked.
    pub const NOT_UNPACKABLE: &str = "NotUnpackable";
    /// `Loaded` is false: the component is larger than the broker takes.
    pub const TOO_LARGE: &str = "TooLarge";
    /// `Loaded` is false: the component is another one than `spec.sha256` says; the message has both digests.
    pub const DIGEST_MISMATCH: &str = "DigestMismatch";
    /// `Loaded` is false: a limit of the Plugin's is above what the broker allows, or cannot be read.
    pub const INVALID_LIMITS: &str = "InvalidLimits";
    /// `Loaded` is false: the bytes are no WebAssembly component.
    pub const NOT_A_COMPONENT: &str = "NotAComponent";
    /// `Loaded` is false: the component wants something of the broker that plugins are not given; the message names it.
    pub const UNKNOWN_IMPORT: &str = "UnknownImport";
    /// `Loaded` is false: the component was built against an interface of another version, or lacks one.
    pub const WRONG_INTERFACE: &str = "WrongInterface";
    /// `Loaded` is false: compiling the component took too long.
    pub const COMPILE_TIME: &str = "CompileTime";
    /// `Loaded` is false: the component refuses its configuration; the message has its own words. `Valid` is false: a
    /// `MigrationConfiguration` makes no sense to the API's template component; the message says which stage, field and
    /// expression.
    pub const INVALID_CONFIGURATION: &str = "InvalidConfiguration";
    /// `Loaded` is false: the component failed when it was asked to introduce itself or to check its configuration.
    pub const FAILED_TO_START: &str = "FailedToStart";
    /// `Loaded` is false: the broker could not load the component. It is tried again.
    pub const LOAD_FAILED: &str = "LoadFailed";
    /// `Healthy` is true: the last calls succeeded.
    pub const HEALTHY: &str = "Healthy";
    /// `Healthy` is true: there was no call yet. It is unknown where nothing is loaded.
    pub const NOT_CALLED: &str = "NotCalled";
    /// `Healthy` is false: the last calls failed; the message has the last error.
    pub const FAILING: &str = "Failing";
    /// `Healthy` is false: so many calls failed in a row that the plugin is asked only now and then.
    pub const SUSPENDED: &str = "Suspended";
    /// `Ready` is true: the plugin serves what it claims. The message names what an older Plugin serves instead.
    pub const SERVING: &str = "Serving";
    /// `Ready` is false: older Plugins serve all that this one claims; the message names them.
    pub const SHADOWED: &str = "Shadowed";
    /// `Ready` is false: the component does not export a role that the Plugin names. What it exports is served.
    pub const ROLE_MISSING: &str = "RoleMissing";
    /// `Valid` is false: another migration configuration is for the same pair; none of them is used.
    pub const CONFLICT: &str = "Conflict";
    /// `Valid` is false: a migration configuration is for moves from one kind to another, and an object keeps its kind.
    pub const DIFFERENT_KINDS: &str = "DifferentKinds";
    /// A state of a migration was reached.
    pub const REACHED: &str = "Reached";
    /// `Progressing` is true: the copies, their related resources or preconditions are waited for.
    pub const STAGE_WAITING: &str = "StageWaiting";
    /// `Progressing` is false: a person has to approve the stage.
    pub const AWAITING_APPROVAL: &str = "AwaitingApproval";
    /// `Progressing` is true: a stage's success is waited for.
    pub const STAGE_RUNNING: &str = "StageRunning";
    /// `Progressing` is true: what a stage deployed is taken away.
    pub const CLEANING: &str = "Cleaning";
    /// `Progressing` is true: the new provider's copy is waited for.
    pub const CUTOVER: &str = "Cutover";
    /// `Progressing` is false: something has to be mended before the migration goes on; the message says what.
    pub const BLOCKED: &str = "Blocked";
    /// `Progressing` is false: the migration is over.
    pub const OVER: &str = "Over";
    /// `Failed` is true: a stage took longer than its timeout.
    pub const STAGE_TIMED_OUT: &str = "StageTimedOut";
    /// `Failed` is true: a stage cannot succeed any more.
    pub const STAGE_FAILED: &str = "StageFailed";
    /// `Failed` is true: what a stage deployed is gone, and whether it did its work is not recorded.
    pub const STAGE_RESOURCE_LOST: &str = "StageResourceLost";
    /// `Failed` is true: a person ordered the object to stay with its old provider.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// `Failed` is true: the object was deleted, changed back, or goes elsewhere.
    pub const ABANDONED: &str = "Abandoned";
    /// An Event: an order on a Migration cannot be carried out; the message says why.
    pub const ORDER_REFUSED: &str = "OrderRefused";
    /// An Event: another version of the component serves from now on.
    pub const SWAPPED: &str = "Swapped";
    /// An Event: calls succeed again.
    pub const RECOVERED: &str = "Recovered";
}
