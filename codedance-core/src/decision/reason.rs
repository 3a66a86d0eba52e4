//! Why: every reason is typed data first and an English sentence second.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// Why a judge or the machine decided as it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Reason {
    /// A metric lies beyond its limit.
    MetricFailed {
        /// Which metric.
        metric: String,
        /// The canary's value, in the metric's unit.
        value: f64,
        /// The limit that it broke, in the same unit.
        limit: f64,
    },
    /// A metric was bad at several looks in a row, or too often in one stage.
    BadLooks {
        /// Which metric was worst at the last look.
        metric: String,
        /// How many looks in a row were bad.
        in_row: u32,
        /// How many in this stage were.
        in_stage: u32,
    },
    /// A critical metric was as bad as can be, twice.
    CriticalMetric {
        /// Which metric.
        metric: String,
    },
    /// Not enough good looks in a row yet.
    FewGoodLooks {
        /// So many.
        have: u32,
        /// Of so many wanted.
        need: u32,
    },
    /// The score is neither good enough to advance nor bad enough to roll back.
    Undecided {
        /// The low end of the score.
        score: super::ScoreRange,
    },
    /// A required metric has no data.
    NoData {
        /// Which metric.
        metric: String,
    },
    /// A required metric has too few samples.
    FewSamples {
        /// Which metric.
        metric: String,
        /// So many.
        have: u64,
        /// Of so many wanted.
        need: u64,
    },
    /// The metrics could not be read.
    SourceFailed {
        /// How often in a row.
        in_row: u32,
        /// How it failed the last time.
        failure: Failure,
    },
    /// Too many looks in a row could not tell.
    Inconclusive {
        /// How many looks in a row.
        looks: u32,
    },
    /// Replicas of the canary ended or cannot start.
    ReplicasFailed {
        /// How many.
        failed: u32,
    },
    /// Replicas of the canary restart.
    ReplicasRestarted {
        /// How often.
        restarts: u32,
        /// How often is too often.
        limit: u32,
    },
    /// Too few replicas of the canary are ready.
    FewReady {
        /// How many are.
        ready: u32,
        /// How many were wanted.
        desired: u32,
    },
    /// A rule of the user's spoke.
    Rule {
        /// The rule's name.
        name: String,
        /// Its expression.
        expression: String,
    },
    /// A rule of the user's could not be evaluated on this evidence.
    RuleFailed {
        /// The rule's name.
        name: String,
        /// Why.
        message: String,
    },
    /// The policy appoints a judge of the user's own that this process does not have.
    UnknownJudge {
        /// Its name in the policy.
        name: String,
    },
    /// Whatever a judge of the user's own has to say, as a full sentence without a full stop.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MetricFailed {
                metric,
                value,
                limit,
            } => {
                write!(
                    f,
                    "{metric} is {} and its limit is {}",
                    Short(*value),
                    Short(*limit)
                )
            }
            Self::BadLooks {
                metric,
                in_row,
                in_stage,
            } => write!(
                f,
                "{metric} was bad at {in_row} looks in a row and {in_stage} in this stage"
            ),
            Self::CriticalMetric { metric } => {
                write!(
                    f,
                    "the critical metric {metric} was as bad as can be, twice"
                )
            }
            Self::FewGoodLooks { have, need } => {
                write!(f, "{have} of {need} good looks in a row")
            }
            Self::Undecided { score } => {
                write!(
                    f,
                    "the score of {score} is neither good nor bad enough to decide"
                )
            }
            Self::NoData { metric } => write!(f, "{metric} has no data"),
            Self::FewSamples { metric, have, need } => {
                write!(f, "{metric} has {have} of {need} samples")
            }
            Self::SourceFailed { in_row, failure } => {
                write!(
                    f,
                    "the metrics could not be read, {in_row} times in a row: {failure}"
                )
            }
            Self::Inconclusive { looks } => write!(f, "{looks} looks in a row could not tell"),
            Self::ReplicasFailed { failed } => {
                write!(f, "{failed} replicas of the canary ended or cannot start")
            }
            Self::ReplicasRestarted { restarts, limit } => write!(
                f,
                "replicas of the canary restarted {restarts} times and the limit is {limit}"
            ),
            Self::FewReady { ready, desired } => {
                write!(f, "{ready} of {desired} replicas of the canary are ready")
            }
            Self::Rule { name, expression } => write!(f, "the rule {name} holds: {expression}"),
            Self::RuleFailed { name, message } => {
                write!(f, "the rule {name} could not be evaluated: {message}")
            }
            Self::UnknownJudge { name } => {
                write!(
                    f,
                    "the policy appoints the judge {name}, which this process does not have"
                )
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// A number with as many digits as a person needs.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        let decimals = if size >= 100.0 || size == 0.0 {
            0
        } else if size >= 1.0 {
            2
        } else {
            4
        };
        write!(f, "{:.decimals$}", self.0)
    }
}
