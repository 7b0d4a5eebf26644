//! How an object is named: the unit of work, and one object in one cluster.

use std::fmt;

use resource_broker_api::{
    broker::Copies,
    names::{ClusterName, Gvk, assignment_name, copy_name},
};

/// One consumer object: the unit of work. At most one pass runs for a key at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The consumer cluster.
    pub consumer: ClusterName,
    /// The object's kind, in the version in which it is watched.
    pub gvk: Gvk,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The name of this object's Assignment.
    pub fn record_name(&self) -> String {
        assignment_name(&self.consumer, &self.gvk.group, &self.gvk.kind, self.namespace.as_deref(), &self.name)
    }

    /// The name of this object's copy where no offer asks for another one.
    pub fn copy_name(&self) -> String {
        copy_name(&self.consumer, &self.name)
    }

    /// Where a copy of this object that is made under an offer is put: its namespace and name.
    pub fn copy_location(&self, copies: Copies) -> (Option<String>, String) {
        let namespace = self.namespace.as_ref().map(|namespace| copies.namespace(&self.consumer, namespace));
        (namespace, copies.name(&self.consumer, &self.name))
    }

    /// Every namespace and name that a copy of this object may have been given, the default first.
    pub fn copy_locations(&self) -> Vec<(Option<String>, String)> {
        // The first two stay in the object's namespace: for a kind without namespaces there are no others.
        let count = if self.namespace.is_none() { 2 } else { Copies::ALL.len() };
        Copies::ALL[..count].iter().map(|copies| self.copy_location(*copies)).collect()
    }

    /// The consumer object itself.
    pub fn target(&self) -> Target {
        Target::new(self.consumer.clone(), self.gvk.clone(), self.namespace.clone(), self.name.clone())
    }

    /// This object's copy at `provider` where no offer asks for anything else.
    pub fn copy_at(&self, provider: &ClusterName) -> Target {
        Target::new(provider.clone(), self.gvk.clone(), self.namespace.clone(), self.copy_name())
    }

    /// Every place at `provider` where a copy of this object may be, the default first.
    pub fn copies_at(&self, provider: &ClusterName) -> Vec<Target> {
        let at = |(namespace, name)| Target::new(provider.clone(), self.gvk.clone(), namespace, name);
        self.copy_locations().into_iter().map(at).collect()
    }

    /// The same object in another version of its kind.
    #[must_use]
    pub fn in_version(&self, version: &str) -> Self {
        let gvk = Gvk { version: version.to_owned(), ..self.gvk.clone() };
        Self { gvk, ..self.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target().fmt(f)
    }
}

/// One object in one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Where it is.
    pub cluster: ClusterName,
    /// Its kind.
    pub gvk: Gvk,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Target {
    /// An object in a cluster.
    pub fn new(cluster: ClusterName, gvk: Gvk, namespace: Option<String>, name: String) -> Self {
        Self { cluster, gvk, namespace, name }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.gvk.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{} in {}", self.name, self.cluster)
    }
}

/// Where a copy is within one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The version in which it is watched.
    pub version: String,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}
