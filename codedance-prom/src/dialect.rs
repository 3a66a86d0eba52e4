//! The two languages that are almost one.

use codedance_core::Timestamp;
use serde::{Deserialize, Serialize};

/// Whose PromQL a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dialect {
    /// Prometheus, and what evaluates queries with its engine: Thanos, Cortex, Mimir.
    Prometheus,
    /// VictoriaMetrics.
    VictoriaMetrics,
}

/// How a server understands queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language {
    pub(crate) dialect: Dialect,
    /// Whether a range holds the point at which it begins, as it does up to Prometheus 2.
    pub(crate) closed_ranges: bool,
}

/// Means something to VictoriaMetrics alone.
pub(crate) const DIALECT: &str = "1 default 2";

/// How many points [`RANGE_AT`] and the second before it have: 2 if a range holds its beginning.
pub(crate) const RANGE: &str = "count_over_time(vector(1)[1s:1s])";
pub(crate) const RANGE_AT: Timestamp = Timestamp::from_millis(10_000);

impl Dialect {
    /// What stands between two expressions of which the second holds wherever the first is silent.
    pub(crate) const fn or(self) -> &'static str {
        match self {
            Self::Prometheus => "or",
            Self::VictoriaMetrics => "default",
        }
    }
}
