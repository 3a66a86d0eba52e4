//! What is watched, what is good enough, and what happens when it is not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metrics::{MetricQuery, Signal};
use crate::time;

/// Everything that a rollout is judged by, as plain data that has been checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    /// What is measured, in this order. Empty: nothing is, and stages end when their time has passed.
    pub metrics: Vec<Metric>,
    /// The time between two looks. Default 30 s.
    #[serde(with = "time::duration")]
    pub interval: Duration,
    /// What a rollback verdict of the judges leads to. Default: roll back.
    pub on_bad_metrics: Reaction,
    /// What a canary's replica that ends, cannot start, or restarts too often leads to. Default: roll
    /// back.
    pub on_crash: Reaction,
    /// What a firing alert leads to. Default: roll back.
    pub on_alert: Reaction,
    /// What follows when a stage's deadline passes undecided. Default: hold.
    pub on_inconclusive: Reaction,
    /// How many restarts of the canary's replicas, together, count as a crash. Default 3.
    pub restart_limit: u32,
    /// How long a canary with traffic may have no ready replica before that counts as a crash. Default
    /// 30 s.
    #[serde(with = "time::duration")]
    pub grace: Duration,
    /// Whether a bad canary is rolled back even while an operator has paused the rollout. Default true.
    pub rollback_while_paused: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            interval: Duration::from_secs(30),
            on_bad_metrics: Reaction::Rollback,
            on_crash: Reaction::Rollback,
            on_alert: Reaction::Rollback,
            on_inconclusive: Reaction::Hold,
            restart_limit: 3,
            grace: Duration::from_secs(30),
            rollback_while_paused: true,
        }
    }
}

/// What something bad leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Go back to the stable revision.
    Rollback,
    /// Go no further while it lasts.
    Hold,
    /// Nothing.
    Ignore,
}

/// One metric: what it measures and what is good enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, unique in the policy.
    pub name: String,
    /// What it measures.
    pub signal: Signal,
    /// What is good enough.
    pub limits: Limits,
    /// How much it counts in the score, relative to the others. Above 0, default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether its failure alone makes the whole score bad. Default false.
    #[serde(default)]
    pub critical: bool,
    /// Whether a stage may not end without it. Default true.
    #[serde(default = "yes")]
    pub required: bool,
}

/// The limits of a metric, in its unit: shares for rates, seconds for latencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Up to here all is well.
    pub warn: f64,
    /// From here on it has failed.
    pub fail: f64,
    /// From here on it is as bad as can be.
    pub crit: f64,
}

/// A policy that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A key holds what it cannot.
    #[error("{key}: {problem}")]
    Invalid {
        /// The key, such as `metrics[1].limits.fail`.
        key: String,
        /// What was found, what was expected, and how to mend it.
        problem: String,
    },
}

impl Policy {
    /// The questions that a source is to answer at each look, in the order of the metrics.
    #[must_use]
    pub fn queries(&self) -> Vec<MetricQuery> {
        let query = |m: &Metric| MetricQuery {
            name: m.name.clone(),
            signal: m.signal.clone(),
        };
        self.metrics.iter().map(query).collect()
    }
}

const fn one() -> f64 {
    1.0
}

const fn yes() -> bool {
    true
}
