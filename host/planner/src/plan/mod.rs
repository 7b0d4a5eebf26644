//! What is to be done: actions that leave no choice to whoever carries them out.

pub mod check;
pub mod digest;
pub mod findings;
pub mod strangers;
pub mod text;
pub mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use resource_broker_api::{
    broker::{AssignmentSpec, AssignmentStatus, MigrationSpec, MigrationStatus},
    names::{ClusterName, Gvk, Role},
    object::Object,
};
use serde_json::Value;

use crate::model::snapshot::{Part, Target};

/// One write.
#[derive(Clone, Debug)]
pub enum Action {
    /// Create the Assignment. If one of that name exists already, the key is looked at again.
    CreateRecord {
        /// Its name.
        name: String,
        /// What it records.
        spec: Box<AssignmentSpec>,
    },
    /// Replace the Assignment's spec.
    UpdateRecord {
        /// Its name.
        name: String,
        /// The Assignment that is meant.
        uid: String,
        /// The generation of the spec that is replaced, where it is known: another one means that somebody else wrote.
        generation: Option<i64>,
        /// What it records from now on.
        spec: Box<AssignmentSpec>,
        /// An annotation that is carried out with it, and taken off in the same write.
        obeyed: Option<&'static str>,
        /// The move that begins with it, which needs a place among those of its providers.
        budget: Option<Budget>,
        /// What must hold just before.
        guards: Vec<Guard>,
    },
    /// Replace the Assignment's status.
    RecordStatus {
        /// Its name.
        name: String,
        /// The Assignment that is meant.
        uid: String,
        /// What it reports from now on.
        status: Box<AssignmentStatus>,
    },
    /// Delete the Assignment.
    DeleteRecord {
        /// Its name.
        name: String,
        /// The Assignment that is meant.
        uid: String,
        /// What must hold just before.
        guards: Vec<Guard>,
    },
    /// Create a Migration, with the broker's finalizer. If one of that name exists already, the key is looked at again.
    CreateMigration {
        /// Its name.
        name: String,
        /// Between which copies.
        spec: Box<MigrationSpec>,
    },
    /// Replace a Migration's status.
    MigrationStatus {
        /// Its name.
        name: String,
        /// The Migration that is meant.
        uid: String,
        /// The version whose status is known.
        resource_version: String,
        /// What it reports from now on.
        status: Box<MigrationStatus>,
        /// What must hold just before.
        guards: Vec<Guard>,
    },
    /// Take orders off a Migration that were carried out, or cannot be.
    TakeOrders {
        /// Its name.
        name: String,
        /// The Migration that is meant.
        uid: String,
        /// The annotations.
        annotations: Vec<&'static str>,
    },
    /// Take the broker's finalizer off a Migration: nothing of it is in the compute cluster any more.
    ReleaseMigration {
        /// Its name.
        name: String,
        /// The Migration that is meant.
        uid: String,
        /// The version whose finalizers are known.
        resource_version: String,
        /// The finalizers that stay.
        keep: Vec<String>,
    },
    /// Delete a Migration.
    DeleteMigration {
        /// Its name.
        name: String,
        /// The Migration that is meant.
        uid: String,
        /// What must hold just before.
        guards: Vec<Guard>,
    },
    /// Create a stage's resource in the compute cluster. What is there already under the name is left alone: it is another
    /// attempt's or somebody else's, and the key is looked at again, or the failure told.
    Deploy {
        /// The resource.
        target: Target,
        /// The whole object.
        body: Value,
    },
    /// Put the broker's finalizer on what an earlier release deployed for a stage.
    Retain {
        /// The resource.
        target: Target,
        /// The object that is meant.
        uid: String,
        /// The version whose finalizers are known.
        resource_version: String,
        /// All finalizers that it has from now on.
        finalizers: Vec<String>,
    },
    /// Put a finalizer and annotations on an object. The set is whole: one of ours that is not in it goes.
    Decorate {
        /// The object.
        target: Target,
        /// The object that is meant.
        uid: String,
        /// The version that is marked, where no other will do: of two brokers that claim an object one wins.
        resource_version: Option<String>,
        /// The finalizer.
        finalizer: String,
        /// The annotations.
        annotations: BTreeMap<&'static str, String>,
        /// Whether an earlier release's marks, which stand under the content's field manager, are given up there.
        hand_over: bool,
    },
    /// Take an annotation off an object, whoever has put it there.
    Unmark {
        /// The object.
        target: Target,
        /// The object that is meant.
        uid: String,
        /// The annotation.
        annotation: &'static str,
    },
    /// Take our finalizer off an object.
    ReleaseFinalizer {
        /// The object.
        target: Target,
        /// The object that is meant.
        uid: String,
        /// The version whose finalizers are known.
        resource_version: String,
        /// The finalizers that stay.
        keep: Vec<String>,
        /// What must hold just before.
        guards: Vec<Guard>,
    },
    /// Apply a copy at a provider; a namespace that is missing there is made.
    ApplyCopy {
        /// The copy.
        target: Target,
        /// The copy that is meant; `None`: it is to be created, and must not be there.
        uid: Option<String>,
        /// The whole apply document, without `uid` and `resourceVersion`.
        body: Value,
        /// Digest of `body`.
        asked: String,
    },
    /// Replace an object's status.
    PutStatus {
        /// The object.
        target: Target,
        /// The object that is meant.
        uid: String,
        /// The whole status.
        status: Value,
        /// The conditions that must be there just before, where some of them are somebody else's.
        beside: Option<Value>,
        /// Digest of the status without what differs in every write.
        asked: String,
    },
    /// Replace an offer's status, of which other brokers write their own part.
    OfferStatus {
        /// The offer.
        target: Target,
        /// The offer that is meant.
        uid: String,
        /// The version whose status is known: with another one, somebody else has written his part.
        resource_version: String,
        /// The whole status.
        status: Value,
        /// Digest of what this broker says in it.
        asked: String,
    },
    /// Read a related resource at the provider and put its copy beside the consumer object.
    CopyRelated(Box<CopyRelated>),
    /// Delete an object.
    Delete {
        /// The object.
        target: Target,
        /// The object that is meant.
        uid: String,
        /// What must hold just before.
        guards: Vec<Guard>,
    },
    /// Tell people who look at an object.
    Event(Event),
}

impl Action {
    /// The part of a pass that it belongs to.
    pub fn part(&self) -> Part {
        match self {
            Self::CreateRecord { .. }
            | Self::UpdateRecord { .. }
            | Self::RecordStatus { .. }
            | Self::CreateMigration { .. }
            | Self::MigrationStatus { .. }
            | Self::TakeOrders { .. }
            | Self::DeleteMigration { .. } => Part::Record,
            Self::Deploy { .. } | Self::Retain { .. } => Part::Migration,
            Self::Decorate { .. } | Self::Unmark { .. } | Self::Event(_) => Part::Decorate,
            Self::ApplyCopy { .. } => Part::Copy,
            Self::PutStatus { .. } | Self::OfferStatus { .. } => Part::Status,
            Self::CopyRelated(copy) if matches!(copy.marks, Marks::Mirror { .. }) => Part::Migration,
            Self::CopyRelated(_) => Part::Related,
            // What is taken away there is a stage's or a mirror, and its migration tells what is in the way.
            Self::Delete { target, .. } | Self::ReleaseFinalizer { target, .. }
                if target.cluster.role == Role::Compute =>
            {
                Part::Migration
            }
            Self::DeleteRecord { .. }
            | Self::ReleaseFinalizer { .. }
            | Self::ReleaseMigration { .. }
            | Self::Delete { .. } => Part::Delete,
        }
    }
}

/// What must hold just before a write, as an uncached read sees it. Where it does not, the write is left out and the
/// key is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No object of that name is there.
    Gone(Target),
    /// No object of that name and UID is there.
    NotThatOne(Target, String),
    /// There is no Assignment of that name.
    NoRecord(String),
    /// The Assignment of that name, if there is one, does not name this copy.
    NotNamed(String, Target),
    /// The object of that name and UID is there, and nobody has deleted it.
    Lives(Target, String),
}

/// A move that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The provider that is left, and the one that is gone to.
    pub providers: [ClusterName; 2],
    /// How many objects may move at once from or to one of them.
    pub limit: usize,
}

/// A related resource's way to the consumer.
#[derive(Clone, Debug)]
pub struct CopyRelated {
    /// What is read.
    pub source: Target,
    /// What is written.
    pub target: Target,
    /// What is at the target now, as far as a watch shows it.
    pub existing: Existing,
    /// Whether what is there is as the broker wrote it, so that only another version of the source is a reason to write.
    pub untouched: bool,
    /// Whether what is at the target stays where the source is not there.
    pub keep: bool,
    /// The copy that declares it.
    pub by: DeclaredBy,
    /// Whose the copy is.
    pub marks: Marks,
}

/// The copy whose status declares a related resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredBy {
    /// The copy.
    pub copy: Target,
    /// The copy that is meant.
    pub uid: String,
    /// Whether it was made a short while ago: what an earlier one declared stays for now.
    pub is_new: bool,
}

/// Whose a copy of a related resource is.
#[derive(Clone, Debug)]
pub enum Marks {
    /// A consumer object's, beside which it is.
    Consumer {
        /// The consumer object, which owns it.
        owner: OwnerReference,
        /// The name of the Assignment, for the label.
        record: String,
    },
    /// A migration's, in the compute cluster.
    Mirror {
        /// The migration's id, for the label.
        id: String,
        /// What this broker marks its objects with.
        broker: Option<Arc<str>>,
    },
}

/// What is known to be where a related resource's copy goes.
#[derive(Clone, Debug)]
pub enum Existing {
    /// None of our copies; an object of somebody else may be there and is left alone.
    NoneOfOurs,
    /// Our copy.
    Ours(Arc<Object>),
    /// It takes a read to know.
    Unknown,
}

/// An Event for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whom it is about.
    pub about: About,
    /// `Warning`, else `Normal`.
    pub warning: bool,
    /// CamelCase.
    pub reason: String,
    /// What, where, why, what next.
    pub message: String,
}

/// Whom an Event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// An object in a cluster, with its UID.
    Object(Target, String),
    /// An Assignment: name and UID.
    Record(String, String),
    /// A Migration: name and UID.
    Migration(String, String),
}

/// Where an object stands, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Nothing to broker.
    #[default]
    None,
    /// A cache that the decision needs has not synced.
    Waiting,
    /// No provider takes it.
    Unplaced,
    /// A provider has it, and it is not ready.
    Placed,
    /// Ready.
    Ready,
    /// It is on its way to another provider.
    Moving,
    /// Something is in the way.
    Blocked,
    /// It is being taken down.
    Deleting,
}

impl State {
    /// A label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Waiting => "waiting",
            Self::Unplaced => "unplaced",
            Self::Placed => "placed",
            Self::Ready => "ready",
            Self::Moving => "moving",
            Self::Blocked => "blocked",
            Self::Deleting => "deleting",
        }
    }
}

/// What one pass does.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    /// The steps, in order. Actions of one step may run at the same time; where one fails, later steps are left out.
    pub steps: Vec<Vec<Action>>,
    /// Look again after this long, whatever happens.
    pub again: Option<Duration>,
    /// What is being waited for, for the log.
    pub waits: Vec<String>,
    /// Where the object stands.
    pub state: State,
    /// What providers' offers said of the object in this pass: whether they take it.
    pub judged: Vec<(ClusterName, bool)>,
    /// The next copy could take over, but for related resources that the old one declares.
    pub fit: bool,
    /// A move waits for a place among those of this object's providers.
    pub wants_place: bool,
    /// Related resources whose source is not there, by kind and name at the consumer.
    pub missing: BTreeSet<(Gvk, String)>,
    /// The types of conditions that the provider reports, where others keep conditions beside them.
    pub reported: BTreeSet<String>,
    /// The broker that serves the object, where that is another one.
    pub served_by: Option<String>,
}

impl Plan {
    /// Nothing to do until something changes.
    pub fn wait(state: State, why: impl Into<String>) -> Self {
        Self { waits: vec![why.into()], state, ..Self::default() }
    }

    /// Adds a step.
    pub fn then(&mut self, actions: impl IntoIterator<Item = Action>) -> &mut Self {
        let actions: Vec<Action> = actions.into_iter().collect();
        if !actions.is_empty() {
            self.steps.push(actions);
        }
        self
    }

    /// Looks again after `delay` at the latest.
    pub fn again_in(&mut self, delay: Duration) -> &mut Self {
        self.again = Some(self.again.map_or(delay, |other| other.min(delay)));
        self
    }

    /// All actions, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.steps.iter().flatten()
    }
}
