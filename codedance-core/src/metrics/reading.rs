//! What a source answers.

use serde::{Deserialize, Serialize};

use super::Histogram;
use crate::time::Timestamp;

/// What was read of one side in a window.
///
/// `NoData` is a value of its own: neither an error nor a zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sample {
    /// There was nothing to read: no series, no traffic, too old.
    #[default]
    NoData,
    /// So many bad ones of so many, within the window. `bad` never exceeds `total`.
    Counts {
        /// Those that ended badly.
        bad: u64,
        /// All of them.
        total: u64,
    },
    /// A quantile over the requests of the window.
    Quantile {
        /// The value, in the metric's unit (seconds for latencies).
        value: f64,
        /// Over how many requests.
        count: u64,
    },
    /// How many requests of the window took how long: any quantile can be read from it.
    Histogram(Histogram),
    /// A value as of the window's end, in the metric's own unit.
    Gauge(f64),
}

/// What was read of one metric, of both sides, in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The name in the query.
    pub name: String,
    /// The canary's side.
    pub canary: Sample,
    /// The stable side, over the same window.
    pub stable: Sample,
    /// The stable side before the window, if it was asked for: one sample for each interval, oldest
    /// first. Empty if it was not, and of a source that keeps no past.
    #[serde(default, with = "super::past", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Sample>,
    /// When the newest sample was taken, if that is not the window's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Reading {
    /// A reading as fresh as its window.
    pub fn new(name: impl Into<String>, canary: Sample, stable: Sample) -> Self {
        Self {
            name: name.into(),
            canary,
            stable,
            history: Vec::new(),
            at: None,
        }
    }

    /// The same with the stable side's past; see [`Reading::history`].
    #[must_use]
    pub fn with_history(mut self, samples: Vec<Sample>) -> Self {
        self.history = samples;
        self
    }

    /// The same, taken at `at`.
    #[must_use]
    pub fn taken_at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }
}
