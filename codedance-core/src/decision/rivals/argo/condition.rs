//! What one measurement is: a success, a failure, neither, or an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ArgoMetric;
use crate::decision::builder::PolicyError;
use crate::decision::metric::Watch;
use crate::decision::rivals::flagger::beyond;
use crate::decision::sample::{self, Seen};
use crate::decision::{Absence, Limits, Quantity};
use crate::metrics::{Sample, Signal};

/// In what way a measurement did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measured {
    /// It was neither a success nor a failure.
    Inconclusive,
    /// There was nothing to measure.
    Errored,
    /// Its value was not good enough.
    Failed,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inconclusive => "could not tell",
            Self::Errored => "in a row ended in an error",
            Self::Failed => "failed",
        })
    }
}

/// What was there to measure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(Seen),
    /// There is a series, and its value is not a number: 0 of 0 requests, a quantile of none.
    NotANumber,
    /// There is nothing, which an expression that asks for the first element cannot be evaluated on.
    Nothing(Absence),
}

impl Value {
    pub(super) fn of(signal: &Signal, sample: &Sample) -> Self {
        match (sample::seen(signal, sample), sample) {
            (Ok(seen), _) => Self::Number(seen),
            (
                Err(Absence::Nothing),
                Sample::Counts { .. } | Sample::Quantile { .. } | Sample::Histogram(_),
            ) => Self::NotANumber,
            (Err(_), Sample::Gauge(value) | Sample::Quantile { value, .. }) if value.is_nan() => {
                Self::NotANumber
            }
            (Err(absence), _) => Self::Nothing(absence),
        }
    }
}

/// When a measurement of one metric is a success, and when a failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    success: Option<f64>,
    failure: Option<f64>,
    higher_is_better: bool,
}

impl Conditions {
    pub(super) fn new(metric: &ArgoMetric, watch: &Watch) -> Result<Self, PolicyError> {
        let higher_is_better = match watch.signal {
            Signal::SuccessRate => true,
            Signal::Query(_) => watch.curves.upper.is_none(),
            Signal::ErrorRate | Signal::Latency(_) => false,
        };
        let read = |key: &str, limit: Option<Quantity>| {
            let value = limit.map(|limit| in_range(key, limit, &watch.signal));
            value.transpose()
        };
        let success = read("success", metric.success)?;
        let failure = read("failure", metric.failure)?;
        if let (Some(good), Some(bad)) = (success, failure)
            && if higher_is_better {
                bad > good
            } else {
                bad < good
            }
        {
            return Err(PolicyError::new(
                "failure",
                "lies within `success`, and a value cannot be both; write it at `success` or beyond",
            ));
        }
        Ok(Self {
            success,
            failure,
            higher_is_better,
        })
    }

    /// What a measurement is; `None` for a success.
    pub(super) fn measure(&self, watch: &Watch, value: &Value) -> Option<Measured> {
        let number = match value {
            Value::Number(seen) => seen.value(&watch.signal),
            Value::NotANumber => f64::NAN,
            Value::Nothing(_) => return Some(Measured::Errored),
        };
        // Of NaN neither is ever true.
        let within = |limit: f64| {
            if self.higher_is_better {
                number >= limit
            } else {
                number <= limit
            }
        };
        let beyond_it = |limit: f64| {
            if self.higher_is_better {
                number < limit
            } else {
                number > limit
            }
        };
        match (self.success, self.failure) {
            (Some(success), Some(failure)) => {
                if beyond_it(failure) {
                    Some(Measured::Failed)
                } else {
                    (!within(success)).then_some(Measured::Inconclusive)
                }
            }
            (Some(success), None) => (!within(success)).then_some(Measured::Failed),
            (None, Some(failure)) => beyond_it(failure).then_some(Measured::Failed),
            (None, None) => match value {
                Value::Number(seen) => beyond(watch, *seen).map(|_| Measured::Failed),
                Value::NotANumber | Value::Nothing(_) => Some(Measured::Failed),
            },
        }
    }

    /// The limit that a failed value broke.
    pub(super) fn broken(&self, watch: &Watch, seen: Seen) -> Option<f64> {
        self.failure
            .or(self.success)
            .or_else(|| beyond(watch, seen))
    }
}

/// The limit as a number, if it could be one of the metric's own.
fn in_range(key: &str, limit: Quantity, signal: &Signal) -> Result<f64, PolicyError> {
    Limits::fail(limit)
        .with_crit(limit)
        .curves(signal)
        // 99.9 / 100 is a little more than 0.999, which 1 error of 1000 would fall short of.
        .map(|_| match limit {
            Quantity::Percent(_) => (limit.value() * 1e12).round() / 1e12,
            Quantity::Time(_) | Quantity::Number(_) => limit.value(),
        })
        .map_err(|error| PolicyError::new(key, error.problem))
}
