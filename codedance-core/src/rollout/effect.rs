//! What the machine wants done, and what it is told when it was.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::input::Observation;
use super::phase::Outcome;
use crate::metrics::{History, Reading, Window};
use crate::plan::Gate;
use crate::time::{Timestamp, display_duration};
use crate::traffic::Split;
use crate::workload::{Fleet, Progress, Revision};
use std::time::Duration;

/// The one thing to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Carry out the effect and tell the outcome.
    Run(Effect),
    /// Nothing until then, unless something happens; then step with [`Input::Tick`](super::Input::Tick).
    WaitUntil(Timestamp),
    /// Somebody must decide.
    AwaitCommand {
        /// Who. `None`: the operator who paused it.
        gate: Option<Gate>,
        /// When to step with [`Input::Tick`](super::Input::Tick) all the same, because the canary is
        /// watched meanwhile or the gate has a deadline. `None`: never.
        until: Option<Timestamp>,
    },
    /// It is over, and stays so.
    Finished(Outcome),
}

/// The number of an effect within its rollout. It grows; an outcome that bears another number than the
/// effect wanted now is stale and changes nothing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EffectId(u64);

impl EffectId {
    pub(super) const fn following(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Something to be done outside, with the number that its outcome must bear.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Its number.
    pub id: EffectId,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done outside: always a desired end, so doing it twice is the same as once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Look at what is there.
    Observe,
    /// Bring the capacity to this.
    Scale(Fleet),
    /// Bring the traffic to this, and read it back.
    Route(Split),
    /// Read the metrics, and look at what is there.
    Measure(Measurement),
    /// Make this revision the stable one in the back end's own books.
    Promote(Revision),
    /// Remove this revision and what existed for its sake.
    Retire(Revision),
}

/// Which metrics are to be read: those of the policy, over this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Of both revisions.
    pub window: Window,
    /// Of the stable revision besides, before the window: at the first look of a rollout, and at those
    /// that follow until one of them succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observe => f.write_str("look at what is there"),
            Self::Scale(fleet) => write!(f, "scale to {fleet}"),
            Self::Route(split) => write!(f, "route {split}"),
            Self::Measure(Measurement { window, history }) => {
                write!(f, "measure from {} to {}", window.from, window.to)?;
                match history {
                    Some(History { step, intervals }) => {
                        let step = display_duration(*step);
                        write!(f, ", and the {intervals} intervals of {step} before")
                    }
                    None => Ok(()),
                }
            }
            Self::Promote(revision) => write!(f, "promote {revision}"),
            Self::Retire(revision) => write!(f, "retire {revision}"),
        }
    }
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Of [`Action::Observe`] and [`Action::Scale`]: what is there.
    Observed(Observation),
    /// Of [`Action::Route`]: the split read back, and how long until it is surely in force.
    Routed {
        /// What the router says it does now.
        split: Split,
        /// The router's [`Capability::propagation`](crate::traffic::Capability::propagation).
        #[serde(with = "crate::time::duration")]
        propagation: Duration,
    },
    /// Of [`Action::Measure`].
    Measured {
        /// One for each metric of the policy, in its order.
        readings: Vec<Reading>,
        /// What is there.
        observation: Observation,
    },
    /// Of [`Action::Promote`].
    Promoted(Progress),
    /// Of [`Action::Retire`].
    Retired(Progress),
}

impl Action {
    /// Whether carrying it out changes the world.
    pub(super) const fn changes_world(&self) -> bool {
        match self {
            Self::Observe | Self::Measure(_) => false,
            Self::Scale(_) | Self::Route(_) | Self::Promote(_) | Self::Retire(_) => true,
        }
    }

    /// Whether the report is one that this action can have.
    pub(super) const fn fits(&self, report: &Report) -> bool {
        matches!(
            (self, report),
            (Self::Observe | Self::Scale(_), Report::Observed(_))
                | (Self::Route(_), Report::Routed { .. })
                | (Self::Measure(_), Report::Measured { .. })
                | (Self::Promote(_), Report::Promoted(_))
                | (Self::Retire(_), Report::Retired(_))
        )
    }
}
