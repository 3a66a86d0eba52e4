//! Where a rollout is, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::effect::Action;
use super::input::Alert;
use crate::decision::Reason;
use crate::error::Failure;
use crate::workload::Revision;

/// Where a rollout is, in the words that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was done yet; the first look at what is there is still to come.
    Pending,
    /// On its way through the stages.
    Progressing,
    /// Held by an operator.
    Paused,
    /// All stages are earned; the canary becomes the stable revision.
    Promoting,
    /// The canary is the stable revision, and nothing of the old one is left.
    Completed,
    /// On its way back to the stable revision.
    RollingBack,
    /// All traffic is on the stable revision, and nothing of the canary is left.
    RolledBack,
    /// Neither could be reached; somebody must look.
    Failed,
    /// Called off: all traffic is on the stable revision, and nothing of the canary is left.
    Cancelled,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::Promoting => "promoting",
            Self::Completed => "completed",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The canary is the stable revision.
    Completed,
    /// The stable revision has everything; this is why.
    RolledBack(Cause),
    /// Called off, not for any fault of the canary.
    Cancelled(Cause),
    /// It could neither go on nor back.
    Failed {
        /// What could not be done.
        action: String,
        /// Why it was to be done, when it was on its way back.
        cause: Option<Cause>,
        /// How it failed the last time, if it failed rather than took for ever.
        failure: Option<Failure>,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::RolledBack(cause) => write!(f, "rolled back because {cause}"),
            Self::Cancelled(cause) => write!(f, "cancelled because {cause}"),
            Self::Failed {
                action,
                failure: Some(failure),
                ..
            } => {
                write!(f, "failed to {action}: {failure}")
            }
            Self::Failed {
                action,
                failure: None,
                ..
            } => {
                write!(f, "failed to {action} in time")
            }
        }
    }
}

/// Why a rollout goes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The judges said so.
    Judged(Vec<Reason>),
    /// The canary's replicas crash or are gone.
    Crashed(Reason),
    /// An alert fires.
    Alerted(Alert),
    /// The stage's metrics stayed undecided until its deadline.
    Inconclusive {
        /// The stage's index, from 0.
        stage: usize,
    },
    /// The whole rollout took too long.
    DeadlinePassed,
    /// A move made no progress for too long.
    Stuck {
        /// What was waited for.
        waiting_for: String,
    },
    /// Something could not be done, and trying again is useless.
    EffectFailed {
        /// What.
        action: Action,
        /// Why.
        failure: Failure,
    },
    /// The gate of this name was refused.
    GateRefused {
        /// The gate.
        name: String,
    },
    /// The gate of this name got no answer in time.
    GateTimedOut {
        /// The gate.
        name: String,
    },
    /// An operator said so.
    Aborted,
    /// A newer revision has arrived.
    Superseded {
        /// Which.
        by: Revision,
    },
    /// The stable revision was asked for again.
    Reverted,
}

impl Cause {
    /// Whether it speaks against the canary itself: such a revision is remembered as bad.
    #[must_use]
    pub const fn blames_canary(&self) -> bool {
        match self {
            Self::Judged(_) | Self::Crashed(_) | Self::Alerted(_) | Self::GateRefused { .. } => {
                true
            }
            Self::Inconclusive { .. }
            | Self::DeadlinePassed
            | Self::Stuck { .. }
            | Self::EffectFailed { .. }
            | Self::GateTimedOut { .. }
            | Self::Aborted
            | Self::Superseded { .. }
            | Self::Reverted => false,
        }
    }

    /// Whether somebody called the rollout off, rather than it going wrong.
    pub(super) const fn calls_off(&self) -> bool {
        matches!(self, Self::Superseded { .. } | Self::Reverted)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judged(reasons) => match reasons.split_first() {
                Some((first, [])) => first.fmt(f),
                Some((first, more)) => write!(f, "{first} (and {} more)", more.len()),
                None => f.write_str("the judges said so"),
            },
            Self::Crashed(reason) => reason.fmt(f),
            Self::Alerted(alert) if alert.message.is_empty() => {
                write!(f, "the alert {} fires", alert.name)
            }
            Self::Alerted(alert) => write!(f, "the alert {} fires: {}", alert.name, alert.message),
            Self::Inconclusive { stage } => {
                write!(f, "the metrics of stage {} stayed undecided", stage + 1)
            }
            Self::DeadlinePassed => f.write_str("the rollout took longer than its deadline"),
            Self::Stuck { waiting_for } => {
                write!(
                    f,
                    "there was no progress for too long while waiting for {waiting_for}"
                )
            }
            Self::EffectFailed { action, failure } => {
                write!(f, "it was impossible to {action}: {failure}")
            }
            Self::GateRefused { name } => write!(f, "{name} refused"),
            Self::GateTimedOut { name } => write!(f, "{name} did not answer in time"),
            Self::Aborted => f.write_str("an operator aborted it"),
            Self::Superseded { by } => write!(f, "{by} supersedes it"),
            Self::Reverted => f.write_str("the stable revision was asked for again"),
        }
    }
}
