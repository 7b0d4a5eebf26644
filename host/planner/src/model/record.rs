//! What the broker has recorded of an object.

use std::collections::BTreeSet;

use resource_broker_api::{
    broker::{AssignmentSpec, AssignmentStatus, CopyRef, PreviousRef, ProviderRef},
    names::{ClusterName, Gvk},
};

use crate::model::key::Target;

/// An Assignment as the planner needs it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The Assignment's name.
    pub name: String,
    /// The Assignment's UID.
    pub uid: String,
    /// Its `metadata.generation`, for `observedGeneration`.
    pub generation: Option<i64>,
    /// Whether somebody deleted the Assignment itself.
    pub deleting: bool,
    /// What an administrator decided about an object that came back with another UID: the annotation `recreated`.
    pub recreated: Option<String>,
    /// What it records.
    pub spec: AssignmentSpec,
    /// What it last reported.
    pub status: AssignmentStatus,
}

impl Record {
    /// The provider that holds the object.
    pub fn provider(&self) -> Option<ClusterName> {
        ClusterName::parse(&self.spec.provider.cluster)
    }

    /// The provider that the object is moving to.
    pub fn next(&self) -> Option<ClusterName> {
        ClusterName::parse(&self.spec.next.as_ref()?.cluster)
    }

    /// The UID that is known of the copy at the provider. Right after a switch the status still tells of the place that was
    /// left: that is not this copy's. Of a copy that was taken over the spec has it too, in case that the status is lost.
    pub fn copy_uid(&self) -> Option<&str> {
        self.not_left(self.status.copy.as_ref()).or(self.spec.provider.uid.as_deref())
    }

    /// The same of the copy at the provider that the object is moving to.
    pub fn next_uid(&self) -> Option<&str> {
        self.not_left(self.status.next.as_ref()).or(self.spec.next.as_ref()?.uid.as_deref())
    }

    /// The UIDs of the copies that it names for use.
    pub fn serving(&self) -> impl Iterator<Item = &str> {
        let next = self.spec.next.as_ref().and_then(|_| self.next_uid());
        self.copy_uid().into_iter().chain(next)
    }

    fn not_left<'a>(&self, copy: Option<&'a CopyRef>) -> Option<&'a str> {
        let uid = copy.map(|copy| copy.uid.as_str());
        uid.filter(|uid| !self.spec.previous.iter().any(|place| place.uid.as_deref() == Some(uid)))
    }

    /// Every copy that it names, those that are to go included.
    pub fn places(&self) -> BTreeSet<Target> {
        let placements = std::iter::once(&self.spec.provider).chain(&self.spec.next).map(Placement::from);
        placements
            .chain(self.spec.previous.iter().map(Placement::from))
            .filter_map(|placement| self.target(&placement))
            .collect()
    }

    /// The copy at a place that the record names; `None` where its cluster's name cannot be read.
    pub fn target(&self, placement: &Placement<'_>) -> Option<Target> {
        let consumer = &self.spec.consumer;
        let version = placement.version.unwrap_or(&consumer.version);
        let gvk = Gvk::new(&consumer.group, version, &consumer.kind);
        let cluster = ClusterName::parse(placement.cluster)?;
        Some(Target::new(cluster, gvk, placement.namespace.map(str::to_owned), placement.name.to_owned()))
    }
}

/// A place at a provider, as a record writes it.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The copy's version, where it is not the object's.
    pub version: Option<&'a str>,
    /// The copy's namespace.
    pub namespace: Option<&'a str>,
    /// The copy's name.
    pub name: &'a str,
}

impl<'a> From<&'a ProviderRef> for Placement<'a> {
    fn from(at: &'a ProviderRef) -> Self {
        let ProviderRef { cluster, version, namespace, name, .. } = at;
        Self { cluster, version: version.as_deref(), namespace: namespace.as_deref(), name }
    }
}

impl<'a> From<&'a PreviousRef> for Placement<'a> {
    fn from(at: &'a PreviousRef) -> Self {
        let PreviousRef { cluster, version, namespace, name, .. } = at;
        Self { cluster, version: version.as_deref(), namespace: namespace.as_deref(), name }
    }
}
