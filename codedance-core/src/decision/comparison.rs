//! Canary against stable, in numbers that people read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::breach::Grouped;
use super::quantity::Unit;

/// How many requests were bad on either side since the rollout began, and what that is worth: `errors:
/// canary 41 of 5,210 bad, stable 38 of 98,900; odds that a healthy canary would look this bad at any
/// time during this rollout: below 1 in 100`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Comparison {
    /// Which metric; of several, the one that says the most.
    pub metric: String,
    /// The canary's bad requests.
    pub canary_bad: u64,
    /// All of the canary's requests.
    pub canary_total: u64,
    /// The stable side's bad requests.
    pub stable_bad: u64,
    /// All of the stable side's requests.
    pub stable_total: u64,
    /// Of a latency: a request counts as bad if it takes longer than this, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<f64>,
    /// At most one in so many healthy canaries would ever look this bad during a rollout, all metrics
    /// taken together.
    pub one_in: u64,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: canary {} of {}",
            self.metric,
            Grouped(self.canary_bad),
            Grouped(self.canary_total)
        )?;
        match self.slower_than {
            Some(bound) => write!(f, " slower than {}", Unit::Seconds.show(bound))?,
            None => f.write_str(" bad")?,
        }
        write!(
            f,
            ", stable {} of {}; odds that a healthy canary would look this bad at any time during this \
             rollout: below 1 in {}",
            Grouped(self.stable_bad),
            Grouped(self.stable_total),
            Grouped(self.one_in)
        )
    }
}
