//! How a rollout would have gone.

use std::fmt;
use std::time::Duration;

use codedance_core::decision::{Assessment, Reason};
use codedance_core::journal::Entry;
use codedance_core::metrics::{Reading, Window};
use codedance_core::rollout::{Cause, Outcome};
use codedance_core::time::{self, display_duration};
use codedance_core::{Percent, Timestamp};
use serde::Serialize;

/// How a rollout would have gone; its [`Display`](fmt::Display) is one English sentence without a full stop.
///
/// Written as JSON, every field bears the name it has here; the journal is not part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Backtest {
    /// When it began.
    pub began: Timestamp,
    /// When it was decided: the promotion or the way back began, or the recording ended.
    pub decided: Timestamp,
    /// How it ended.
    pub ending: Ending,
    /// The stages that it came to, in order.
    pub stages: Vec<StageRun>,
    /// Every look at the metrics, in order.
    pub looks: Vec<Look>,
    /// The requests that the canary got from the beginning until it was decided, as recorded: of the
    /// policy's error rate, else of its success rate. `None` if it watches neither.
    pub canary: Option<Requests>,
    /// Those that the stable revision got.
    pub stable: Option<Requests>,
    /// The journal.
    #[serde(skip)]
    pub(crate) journal: Vec<Entry>,
}

impl Backtest {
    /// The rollout's journal as the driver would have written it: whatever tells of a journal, such as
    /// `codedance-report`, tells of a backtest too.
    #[must_use]
    pub fn journal(&self) -> &[Entry] {
        &self.journal
    }

    /// From the beginning to the decision.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        self.decided.since(self.began)
    }
}

impl fmt::Display for Backtest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = display_duration(self.lasted());
        match &self.ending {
            Ending::Promoted => {
                write!(
                    f,
                    "promoted after {lasted}, past all {} stages",
                    self.stages.len()
                )
            }
            Ending::RolledBack {
                stage,
                weight,
                cause,
            } => write!(
                f,
                "rolled back after {lasted}, at stage {} with {weight} of the traffic, because {cause}",
                stage + 1
            ),
            Ending::Held {
                stage,
                weight,
                since,
                reasons,
            } => {
                let held = display_duration(self.decided.since(*since));
                write!(
                    f,
                    "held for {held} at stage {} with {weight} of the traffic when the recording ended",
                    stage + 1
                )?;
                let mut separator = ", because ";
                for reason in reasons {
                    write!(f, "{separator}{reason}")?;
                    separator = "; ";
                }
                Ok(())
            }
            Ending::RecordingEnded { stage, weight } => write!(
                f,
                "still at stage {} with {weight} of the traffic when the recording ended after {lasted}",
                stage + 1
            ),
            Ending::Other(outcome) => write!(f, "{outcome} after {lasted}"),
        }?;
        match self.canary {
            Some(requests) => write!(f, "; the canary had got {requests}"),
            None => Ok(()),
        }
    }
}

/// How a backtest ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// Every stage was passed.
    Promoted,
    /// It went back.
    RolledBack {
        /// From which stage, from 0.
        stage: usize,
        /// The canary's share of the traffic then, by the plan.
        weight: Percent,
        /// Why.
        cause: Cause,
    },
    /// A stage's time was over and its metrics were not good enough to go on, until the recording ended.
    Held {
        /// Which stage, from 0.
        stage: usize,
        /// The canary's share of the traffic, by the plan.
        weight: Percent,
        /// Since when the stage's time was over.
        since: Timestamp,
        /// What was missing at the last look, the most important first.
        reasons: Vec<Reason>,
    },
    /// The recording ended before a stage's time did.
    RecordingEnded {
        /// Which stage, from 0.
        stage: usize,
        /// The canary's share of the traffic, by the plan.
        weight: Percent,
    },
    /// The machine ended in a way that an obedient world does not bring about.
    Other(Outcome),
}

/// One stage, as it would have gone.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageRun {
    /// Its index in the plan, from 0.
    pub index: usize,
    /// The canary's share of the traffic, by the plan.
    pub weight: Percent,
    /// When it began.
    pub reached: Timestamp,
    /// When it was passed; `None` if it never was.
    pub earned: Option<Timestamp>,
    /// How long the metrics held it after its time was over.
    #[serde(with = "time::duration")]
    pub held: Duration,
}

/// One look at the metrics, and what was decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Look {
    /// What it looked at; it was taken at its end.
    pub window: Window,
    /// The index of the stage, from 0.
    pub stage: usize,
    /// The canary's share of the traffic, by the plan.
    pub weight: Percent,
    /// What the recording says, in the policy's order; empty if the source failed then.
    pub readings: Vec<Reading>,
    /// The verdict, the score, the reasons, and what each metric contributed.
    pub assessment: Assessment,
}

/// Requests, and how many of them ended badly; its [`Display`](fmt::Display) is `450 requests, 36 of them
/// bad`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Requests {
    /// All of them.
    pub total: u64,
    /// Those that ended badly.
    pub bad: u64,
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.total == 1 { "" } else { "s" };
        write!(f, "{} request{plural}, ", self.total)?;
        match self.bad {
            0 => f.write_str("none of them bad"),
            bad => write!(f, "{bad} of them bad"),
        }
    }
}
