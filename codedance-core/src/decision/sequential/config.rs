//! What the sequential layer promises, as a policy asks for it.

use serde::{Deserialize, Serialize};

use crate::decision::Reaction;
use crate::decision::builder::PolicyError;

/// How [`Thresholds`](crate::decision::Thresholds) compares the canary with the stable side, over all
/// looks together.
///
/// See [`Thresholds`](crate::decision::Thresholds#the-comparison) for what it promises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct SequentialConfig {
    /// How often a healthy canary may be sent back: the probability over the whole rollout, all looks,
    /// stages and metrics together. From 0.000001 to 0.2, default 0.01.
    pub alpha: f64,
    /// Up to which ratio a canary counts as no worse than stable: of the odds of a bad request, and of
    /// the time that requests take. From 1 to 10, default 1.03.
    pub tolerance: f64,
    /// What follows when a metric of which only a value is known (a query, a quantile without its
    /// histogram) has been worse on the canary's side too often for chance. A single slow node does
    /// that to a healthy canary; so the default is to hold, which keeps the stage from ending.
    pub gauges: Reaction,
    /// Whether a stage ends only when it is proven that the canary does not have twice the odds of a
    /// bad request (and of one slower than each watched bound of a latency), with an error of 5 %.
    /// Default: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
}

impl Default for SequentialConfig {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            tolerance: 1.03,
            gauges: Reaction::Hold,
            confirmed: false,
        }
    }
}

impl SequentialConfig {
    /// Sets how often a [healthy canary](SequentialConfig::alpha) may be sent back.
    pub const fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets up to which [ratio](SequentialConfig::tolerance) a canary counts as no worse.
    pub const fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets what [lasting differences of values](SequentialConfig::gauges) lead to.
    pub const fn with_gauges(mut self, gauges: Reaction) -> Self {
        self.gauges = gauges;
        self
    }

    /// Lets a stage end only on [proof](SequentialConfig::confirmed).
    pub const fn confirmed(mut self) -> Self {
        self.confirmed = true;
        self
    }

    pub(in crate::decision) fn check(&self) -> Result<(), PolicyError> {
        let ranges = [
            ("alpha", self.alpha, 1e-6, 0.2),
            ("tolerance", self.tolerance, 1.0, 10.0),
        ];
        for (key, found, least, most) in ranges {
            if !(least..=most).contains(&found) {
                return Err(PolicyError::new(
                    key,
                    format!("`{found}` is out of range; write a number from {least} to {most}"),
                ));
            }
        }
        Ok(())
    }
}
