//! Where the requests of a workload are counted, and how its revisions are told apart.

mod builtin;
mod fill;

use serde::{Deserialize, Serialize};

pub use fill::FillError;
pub(crate) use fill::{Values, fill, fill_pattern, quoted};

/// Where the requests of a workload are counted, and how its revisions are told apart.
///
/// Selectors and patterns may hold placeholders: `{{namespace}}` and `{{workload}}`, which are the two
/// halves of a workload name such as `shop/web`; `{{stable}}` and `{{canary}}`, the revisions; `{{window}}`,
/// the length of the window, such as `60s`; and the [variables](crate::Prometheus::with_variable) of the
/// source. Their values are escaped for where they stand: none can end the string that it stands in.
///
/// ```yaml
/// by: version
/// requests:
///   select: http_requests_total{namespace="{{namespace}}",app="{{workload}}"}
///   status: code
/// latency:
///   select: http_request_duration_seconds{namespace="{{namespace}}",app="{{workload}}"}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Template {
    /// The label whose value tells the revisions apart.
    pub by: String,
    /// What its value looks like for the stable revision: a regular expression (RE2) for the whole value.
    /// Default `{{stable}}`, which matches the revision's name alone.
    #[serde(default = "stable")]
    pub stable: String,
    /// The same for the canary. Default `{{canary}}`.
    #[serde(default = "canary")]
    pub canary: String,
    /// Where requests are counted by their status; `None` if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
    /// Where the times of requests are kept; `None` if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
}

/// Where requests are counted by their status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Requests {
    /// A selector of counters, such as `http_requests_total{app="{{workload}}"}`.
    pub select: String,
    /// The label that holds the status.
    pub status: String,
    /// The statuses that an error rate counts as bad: a regular expression (RE2) for the whole value.
    /// Default `5..`.
    #[serde(default = "bad")]
    pub bad: String,
    /// The statuses that a success rate counts as good, likewise. Default `[23]..`.
    #[serde(default = "good")]
    pub good: String,
}

/// Where the times of requests are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Latency {
    /// A selector of the metric, without `_bucket` or `_count` at the end of its name.
    pub select: String,
    /// What it is. Default: a histogram with buckets.
    #[serde(default)]
    pub kind: LatencyKind,
    /// The unit of its values. Default seconds.
    #[serde(default)]
    pub unit: TimeUnit,
}

/// What kind of metric holds the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LatencyKind {
    /// A histogram whose buckets are series of their own, with the label `le`.
    #[default]
    Classic,
    /// A native histogram, of servers that have them (Prometheus 3). It is counted into buckets from 1 ms
    /// to a minute, two for each power of two: of schema 0 and coarser ones, the upper end of each
    /// bucket is read.
    Native,
    /// A summary: quantiles that each replica computed, with the label `quantile`, and their `_count`.
    /// Quantiles of several replicas cannot be put together; their mean is read, which is the worst
    /// that a judge can be given. Only the quantiles that are kept can be asked for. A replica without
    /// requests is left out, but on VictoriaMetrics its last quantile stays for 5 min.
    Summary,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

impl TimeUnit {
    /// How many seconds it is.
    pub(crate) const fn seconds(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Milliseconds => 1e-3,
        }
    }
}

fn stable() -> String {
    "{{stable}}".to_owned()
}

fn canary() -> String {
    "{{canary}}".to_owned()
}

fn bad() -> String {
    "5..".to_owned()
}

fn good() -> String {
    "[23]..".to_owned()
}

impl Template {
    /// The revisions are told apart by this label, whose value is the revision's name. Nothing is
    /// counted yet.
    pub fn new(by: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            stable: stable(),
            canary: canary(),
            requests: None,
            latency: None,
        }
    }

    /// The same with other values of the label; see [`Template::stable`].
    #[must_use]
    pub fn with_sides(mut self, stable: impl Into<String>, canary: impl Into<String>) -> Self {
        (self.stable, self.canary) = (stable.into(), canary.into());
        self
    }

    /// The same with requests that this selector finds, by the status in this label.
    #[must_use]
    pub fn with_requests(mut self, select: impl Into<String>, status: impl Into<String>) -> Self {
        self.requests = Some(Requests {
            select: select.into(),
            status: status.into(),
            bad: bad(),
            good: good(),
        });
        self
    }

    /// The same with times that this selector finds.
    #[must_use]
    pub fn with_latency(
        mut self,
        select: impl Into<String>,
        kind: LatencyKind,
        unit: TimeUnit,
    ) -> Self {
        self.latency = Some(Latency {
            select: select.into(),
            kind,
            unit,
        });
        self
    }
}
