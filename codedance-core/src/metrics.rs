//! What was measured, and the port that measures it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::time::Timestamp;
use crate::workload::Revision;

/// What a metric is a measure of, in terms that a source translates into its own language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signal {
    /// The share of requests that ended badly: HTTP 5xx, or no answer at all. Read as counts.
    ErrorRate,
    /// The share of requests that ended well: HTTP 2xx or 3xx. Read as counts, of which `bad` are
    /// the others.
    SuccessRate,
    /// The time within which this share of requests was answered, in seconds; 0.99 is the P99.
    Latency(Quantile),
    /// A query in the source's own language (PromQL, SQL), giving a gauge for either side.
    Query(String),
}

/// A quantile strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Quantile(f64);

impl Quantile {
    /// The share of requests below the value: 0.99 for the P99.
    ///
    /// # Errors
    /// Unless strictly between 0 and 1.
    pub fn new(share: f64) -> Result<Self, QuantileError> {
        if share > 0.0 && share < 1.0 {
            Ok(Self(share))
        } else {
            Err(QuantileError(share))
        }
    }

    /// The share of requests below the value.
    #[must_use]
    pub const fn share(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Quantile {
    type Error = QuantileError;

    fn try_from(share: f64) -> Result<Self, QuantileError> {
        Self::new(share)
    }
}

impl From<Quantile> for f64 {
    fn from(quantile: Quantile) -> Self {
        quantile.0
    }
}

/// Not a quantile.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{0}` is not a quantile; write a number between 0 and 1, such as 0.99 for the P99")]
pub struct QuantileError(f64);

/// One question to a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricQuery {
    /// The metric's name in the policy, unique there; the reading bears the same name.
    pub name: String,
    /// What is asked.
    pub signal: Signal,
}

/// A length of time, `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The beginning.
    pub from: Timestamp,
    /// The end, never before the beginning.
    pub to: Timestamp,
}

impl Window {
    /// From `from` to `to`, or empty at `from` if `to` is earlier.
    #[must_use]
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to: to.max(from),
        }
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// What was read of one side in a window.
///
/// `NoData` is a value of its own: neither an error nor a zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
            at: None,
        }
    }

    /// The same, taken at `at`.
    #[must_use]
    pub fn taken_at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }
}

/// Between which revisions, about what, and over which time a source is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The revision in service.
    pub stable: Revision,
    /// The revision coming.
    pub canary: Revision,
    /// What is asked, in the policy's order. May be empty.
    pub metrics: Vec<MetricQuery>,
    /// Over which time.
    pub window: Window,
}

/// Measures both sides of a rollout.
///
/// # Contract
/// - **One answer each.** One [`Reading`] for each query, in the order of the queries, with its name.
/// - **No data is a value.** What cannot be read for want of series, samples or traffic is
///   [`Sample::NoData`]; only what went wrong is an error. Never is an absence read as zero.
/// - **Of the window.** Counts are those of the window alone, differenced from counters where need be;
///   a counter that went backwards gives [`Sample::NoData`], not a negative count.
/// - **Repeatable.** Asked twice for the same window, a source gives the same answer, up to samples
///   that arrived late.
/// - **Bad queries are [`Invalid`](crate::ErrorKind::Invalid)**, with the server's message and the
///   metric's name; signals that the source cannot read are
///   [`Unsupported`](crate::ErrorKind::Unsupported).
/// - **Cancellation** is safe: measuring changes nothing.
#[async_trait]
pub trait MetricsSource: fmt::Debug + Send + Sync {
    /// Reads every metric of the question, of both sides, over its window.
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_never_ends_before_it_begins() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(3_000));
        assert_eq!(Window::new(early, late).length(), Duration::from_secs(2));
        assert_eq!(Window::new(late, early).length(), Duration::ZERO);
    }

    #[test]
    fn quantiles_lie_strictly_between_nought_and_one() {
        for share in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Quantile::new(share).is_err());
        }
        assert!(serde_json::from_str::<Quantile>("0.99").is_ok());
    }
}
