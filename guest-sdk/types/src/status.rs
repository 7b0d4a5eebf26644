//! The role `status-transformer`: how the consumer sees the status of a copy.

/// What one object is called on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
pub struct NamePair {
    /// Its name at the consumer.
    pub consumer: String,
    /// Its name at the provider.
    pub copy: String,
}

/// Where a copy and its origin live, and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyContext {
    /// The object itself, then each related resource that the copy's status names, in the order of their keys; each pair
    /// once.
    pub names: Vec<NamePair>,
    /// The namespace of the consumer's object.
    pub consumer_namespace: String,
    /// The provider's cluster.
    pub provider: String,
}

impl CopyContext {
    /// What the consumer calls the object that has this name at the provider; `None` where it is none of the pairs'.
    pub fn consumer_name(&self, copy: &str) -> Option<&str> {
        self.names.iter().find(|pair| pair.copy == copy).map(|pair| pair.consumer.as_str())
    }
}
