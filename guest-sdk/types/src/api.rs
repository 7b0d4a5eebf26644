//! Which API a question is about, and in which role a plugin answers it.

use std::fmt;

/// An API whose objects are brokered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiName {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its resource, plural and in lower case.
    pub resource: String,
}

impl fmt::Display for ApiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

/// What a plugin can do for an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Decides whether a provider takes an object.
    AcceptFilter,
    /// Shows a provider's status to the consumer.
    StatusTransformer,
    /// Moves an object between providers.
    MigrationTemplate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::AcceptFilter, Self::StatusTransformer, Self::MigrationTemplate];

    /// The role's name, which is its WIT interface's.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptFilter => "accept-filter",
            Self::StatusTransformer => "status-transformer",
            Self::MigrationTemplate => "migration-template",
        }
    }
}
