//! What the machine can be told.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::effect::{EffectId, Report};
use crate::decision::Policy;
use crate::error::Failure;
use crate::plan::Plan;
use crate::time::Timestamp;
use crate::traffic::Split;
use crate::workload::FleetStatus;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An effect came to its end, or could not be carried out. A stale number changes nothing.
    Outcome(EffectId, Result<Report, Failure>),
    /// An operator wants something. The only input that can be rejected, with the two below.
    Command(Command),
    /// Seen without being asked for: a watch saw a replica crash, a weight changed by hand.
    Observed(Observation),
    /// Pushed from outside: an alert, the answer at a gate.
    Alert(Alert),
    /// A newer revision has arrived: go back, then start its rollout. If it is the stable revision, go
    /// back and that is all.
    Supersede(Box<Plan>, Box<Policy>),
    /// The same revisions by an edited plan or policy: go on at the last stage already earned.
    Amend(Box<Plan>, Box<Policy>),
    /// Whoever says this drives it from now on: a process was started again, another one took over. What
    /// is there is looked at before anything else is done, what was judged must be judged once more, and
    /// the time in which nobody drove it counts for no deadline but the plan's own and those of gates.
    TakenOver {
        /// When it was last driven: [`Rollout::now`](super::Rollout::now), before.
        since: Timestamp,
    },
    /// The time asked for has come.
    Tick,
}

/// What an operator can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Go no further; keep watching.
    Pause,
    /// Go on.
    Resume,
    /// End this wait: the bake time, the gate, the want of evidence, a pause.
    Promote,
    /// End all waits: to everything on the canary by the shortest safe way, then promotion. The metrics
    /// are no longer asked; replicas that crash still are.
    PromoteFull,
    /// Go back to the stable revision.
    Abort,
    /// Try again at once what fails or is stuck, with its deadlines begun anew.
    Retry,
}

impl Command {
    /// Every command.
    pub const ALL: [Self; 6] = [
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::PromoteFull,
        Self::Abort,
        Self::Retry,
    ];
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::PromoteFull => "promote-full",
            Self::Abort => "abort",
            Self::Retry => "retry",
        })
    }
}

/// What is there, as far as somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Observation {
    /// The replicas, if they were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// The traffic, if it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

impl Observation {
    /// Both were looked at.
    #[must_use]
    pub const fn new(fleet: FleetStatus, split: Split) -> Self {
        Self {
            fleet: Some(fleet),
            split: Some(split),
        }
    }
}

impl From<FleetStatus> for Observation {
    fn from(fleet: FleetStatus) -> Self {
        Self {
            fleet: Some(fleet),
            split: None,
        }
    }
}

impl From<Split> for Observation {
    fn from(split: Split) -> Self {
        Self {
            fleet: None,
            split: Some(split),
        }
    }
}

/// A word from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Alert {
    /// Which alert, or which gate.
    pub name: String,
    /// What it says.
    pub signal: Signalled,
    /// In words, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Alert {
    /// `name` says `signal`.
    pub fn new(name: impl Into<String>, signal: Signalled) -> Self {
        Self {
            name: name.into(),
            signal,
            message: String::new(),
        }
    }

    /// The same with words for people.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

/// What a word from outside says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signalled {
    /// The alert fires.
    Firing,
    /// The alert no longer fires.
    Resolved,
    /// The gate of that name may open.
    Approved,
    /// The gate of that name must not open.
    Refused,
}

/// Why a command was rejected. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The rollout is over.
    #[error("the rollout is over; start a new one")]
    Finished,
    /// It is paused already.
    #[error("the rollout is paused already")]
    AlreadyPaused,
    /// It is not paused.
    #[error("the rollout is not paused")]
    NotPaused,
    /// What it waits for cannot be skipped safely.
    #[error("it waits for replicas or traffic to move, which cannot be skipped")]
    NothingToSkip,
    /// Nothing fails and nothing is stuck.
    #[error("nothing has failed; there is nothing to retry")]
    NothingToRetry,
    /// It is on its way back, and nothing stops it.
    #[error("the rollout is going back to the stable revision")]
    RollingBack,
    /// It is being promoted.
    #[error("the canary is being promoted; start a new rollout when that is done")]
    Promoting,
    /// The old revision is being retired: there is nothing to go back to.
    #[error("the canary is the stable revision now; start a rollout to go back")]
    TooLate,
    /// It is this very revision that is being rolled out.
    #[error("this revision is being rolled out already; amend the plan instead")]
    SameRevision,
    /// An edited plan must be for the same two revisions.
    #[error("the plan is for other revisions; supersede instead")]
    OtherRevision,
    /// The plan starts from another stable revision or workload.
    #[error("the plan does not start from this workload's stable revision; make it anew")]
    OtherStable,
}
