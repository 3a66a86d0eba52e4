//! What is asked of a source.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// The time within which this share of requests was answered, in seconds; 0.99 is the P99. Read
    /// as a histogram, from which every quantile follows, or as a quantile by sources that know no
    /// more.
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
#[non_exhaustive]
pub struct MetricQuery {
    /// The metric's name in the policy, unique there; the reading bears the same name.
    pub name: String,
    /// What is asked.
    pub signal: Signal,
    /// Where a source that knows several places is to look: the name of a template, such as `istio`.
    /// `None`: where it looks unless told otherwise. Sources that know one place pay no heed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

impl MetricQuery {
    /// A query of that name.
    pub fn new(name: impl Into<String>, signal: Signal) -> Self {
        Self {
            name: name.into(),
            signal,
            template: None,
        }
    }

    /// The same, looked for by this template.
    #[must_use]
    pub fn with_template(mut self, template: impl Into<String>) -> Self {
        self.template = Some(template.into());
        self
    }
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

/// The time before a window, cut into intervals of the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How long an interval is.
    #[serde(with = "crate::time::duration")]
    pub step: Duration,
    /// How many there are. The last one ends where the window begins.
    pub intervals: u32,
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
    /// What is asked of the stable revision besides: how it did before the window. `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

impl Question {
    /// The intervals of the history that is asked, oldest first; none if it is not. Those that would
    /// lie before the epoch are empty.
    pub fn past(&self) -> impl Iterator<Item = Window> + use<> {
        let end = self.window.from;
        let (step, intervals) = self.history.map_or_else(Default::default, |history| {
            (history.step, history.intervals)
        });
        let before = move |steps: u32| end - step.saturating_mul(steps);
        (0..intervals)
            .rev()
            .map(move |steps| Window::new(before(steps.saturating_add(1)), before(steps)))
    }
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
    fn the_past_ends_where_the_window_begins() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let revision = |name| Revision::new(name).unwrap();
        let mut question = Question {
            stable: revision("v1"),
            canary: revision("v2"),
            metrics: Vec::new(),
            window: Window::new(at(25), at(99)),
            history: None,
        };
        assert_eq!(question.past().count(), 0);
        question.history = Some(History {
            step: Duration::from_secs(10),
            intervals: 4,
        });
        let past: Vec<_> = question.past().collect();
        let window = |from, to| Window::new(at(from), at(to));
        let before_time = window(0, 0);
        let expected = [before_time, window(0, 5), window(5, 15), window(15, 25)];
        assert_eq!(past, expected);
    }

    #[test]
    fn quantiles_lie_strictly_between_nought_and_one() {
        for share in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Quantile::new(share).is_err());
        }
        assert!(serde_json::from_str::<Quantile>("0.99").is_ok());
    }
}
