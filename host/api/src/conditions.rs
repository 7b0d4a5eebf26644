//! Condition types and reasons, in one place: people and programs wait for them by name.
//!
//! A type says what is looked at, its status whether it holds, its reason why (one word for programs), its message
//! the same as a sentence for people.

/// A provider takes the object. On consumer objects and Assignments.
pub const ACCEPTED: &str = "Accepted";
/// The copy at the provider shows the object's present generation. On consumer objects and Assignments.
pub const SYNCED: &str = "Synced";
/// The object can be used: what the provider says, or else that its `status.status` is `Available`. On consumer
/// objects, Assignments and Plugins.
pub const READY: &str = "Ready";
/// An offer makes sense: its API is served and watched, its filters can be judged. On offers.
pub const VALID: &str = "Valid";

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
    /// `Accepted` is false: the provider that holds the object is attached no longer, or has withdrawn its offer.
    pub const PROVIDER_GONE: &str = "ProviderGone";
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
}
