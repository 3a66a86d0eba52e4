//! One stage: a desired state, and what must happen before the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::percent::Percent;
use crate::time;

/// A desired state of capacity and traffic, and what must be seen in it before the next stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stage {
    /// The canary's share of the traffic.
    pub weight: Percent,
    /// Replicas of the canary.
    pub canary: u32,
    /// Replicas of the stable revision; `None` exactly where an autoscaler owns that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<u32>,
    /// How long the state must hold, at least, before the next stage. The policy may ask for more
    /// evidence than that.
    #[serde(
        default,
        with = "time::duration",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub bake: Duration,
    /// How long the metrics may stay undecided, counted from when the state is reached without the
    /// time in which the rollout was paused or at a gate. `None`: for ever.
    #[serde(
        default,
        with = "time::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// Who must agree before the next stage. `None`: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Whether the metrics are judged in this stage. Default true; a stage whose canary has no users
    /// yet has nothing to judge.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub analysis: bool,
}

impl Stage {
    /// `weight` of the traffic on `canary` replicas beside `stable` replicas, without a bake time.
    #[must_use]
    pub fn new(weight: Percent, canary: u32, stable: Option<u32>) -> Self {
        Self {
            weight,
            canary,
            stable,
            bake: Duration::ZERO,
            deadline: None,
            gate: None,
            analysis: true,
        }
    }

    /// The same, to hold for at least `bake`.
    #[must_use]
    pub fn with_bake(mut self, bake: Duration) -> Self {
        self.bake = bake;
        self
    }

    /// The same, undecided for at most `deadline`.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same behind a gate.
    #[must_use]
    pub fn with_gate(mut self, gate: Option<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// The same with or without its metrics being judged.
    #[must_use]
    pub fn with_analysis(mut self, analysis: bool) -> Self {
        self.analysis = analysis;
        self
    }
}

/// Who must agree before the next stage. The metrics are watched meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Gate {
    /// An operator, by the command `promote`.
    Operator,
    /// Somebody outside (a load test, a change board), by an alert that bears this name.
    Approval {
        /// The name that the answer must bear.
        name: String,
        /// How long to wait for the answer, more than nothing.
        #[serde(with = "time::duration")]
        timeout: Duration,
        /// What happens when none came.
        on_timeout: OnTimeout,
    },
}

/// What happens when an approval does not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// Go on as if it had been given.
    Advance,
    /// Wait for an operator.
    Hold,
    /// Go back to the stable revision.
    Rollback,
}

const fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_yes(flag: &bool) -> bool {
    *flag
}
