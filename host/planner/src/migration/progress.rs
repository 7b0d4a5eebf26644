//! How a migration stands for its object's move: in full for whoever runs the broker, and in short for whoever has the object,
//! who can neither see nor mend what is in the compute cluster.

use std::time::Duration;

use crate::{
    model::{question::Answers, snapshot::MigrationRecord},
    plan::Action,
};

/// How a migration stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It is over, and so is the move: why.
    RollBack(String),
    /// The move waits for it.
    Wait {
        /// What is awaited.
        why: String,
        /// The same as the consumer object shows it.
        stand: Stand,
        /// What is done now.
        steps: Vec<Vec<Action>>,
        /// Look again after this long.
        again: Option<Duration>,
    },
    /// It does not hold the move up: the new copy takes over when it is fit to.
    Switch,
}

/// What a migration waits for, as far as its object's owner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Something that comes by itself.
    Waits,
    /// A person's approval.
    AwaitsApproval,
    /// Something that the broker cannot mend.
    Blocked,
    /// An order: it failed.
    Failed,
}

impl Progress {
    /// Something is awaited, and nothing to be done.
    pub(crate) fn wait(why: impl Into<String>) -> Self {
        Self::act(why, Vec::new())
    }

    /// Something is to be done, and what comes of it awaited.
    pub(crate) fn act(why: impl Into<String>, actions: Vec<Action>) -> Self {
        Self::steps(why, vec![actions])
    }

    /// The same in several steps.
    pub(crate) fn steps(why: impl Into<String>, steps: Vec<Vec<Action>>) -> Self {
        Self::Wait { why: why.into(), stand: Stand::Waits, steps, again: None }
    }

    /// The same, shown to the object's owner as this.
    pub(crate) fn shown_as(self, as_: Stand) -> Self {
        match self {
            Self::Wait { why, steps, again, .. } => Self::Wait { why, stand: as_, steps, again },
            other => other,
        }
    }

    /// The same, with further actions in a step after all others.
    pub(crate) fn then(self, actions: Vec<Action>) -> Self {
        match self {
            Self::Wait { why, stand, mut steps, again } => {
                steps.push(actions);
                Self::Wait { why, stand, steps, again }
            }
            other => other,
        }
    }

    /// The same, looked at again after `delay` at the latest.
    pub(crate) fn again_in(self, delay: Option<Duration>) -> Self {
        match self {
            Self::Wait { why, stand, steps, again } => {
                Self::Wait { why, stand, steps, again: [again, delay].into_iter().flatten().min() }
            }
            other => other,
        }
    }
}

/// What the consumer object shows of its migration: where it stands, who serves meanwhile, and where the rest is written.
pub(crate) fn told(migration: Option<&MigrationRecord>, answers: &Answers, stand: Stand) -> String {
    let Some(migration) = migration else { return "its migration begins".into() };
    let place = match &migration.status.stage {
        None => "its migration is before its first stage".to_owned(),
        Some(stage) => {
            let stages = answers.stages.as_ref().and_then(|stages| stages.as_ref().ok());
            let of = stages.and_then(|stages| {
                let index = stages.iter().position(|it| it.name == *stage)?;
                Some(format!(" ({} of {})", index + 1, stages.len()))
            });
            format!("its migration is at stage {stage}{}", of.unwrap_or_default())
        }
    };
    let stands = match stand {
        Stand::Waits => "it waits for its conditions",
        Stand::AwaitsApproval => "it waits for approval",
        Stand::Blocked => "it is blocked, and an administrator has to mend it",
        Stand::Failed => "it failed, and an administrator has to try it again or call it off",
    };
    let (from, name) = (&migration.spec.from.cluster_name, &migration.name);
    format!("{place}: {stands}; {from} serves on; Migration {name} has the details")
}
