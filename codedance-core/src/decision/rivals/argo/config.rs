//! What a user sets of Argo's judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::Conditions;
use crate::decision::Quantity;
use crate::decision::builder::PolicyError;
use crate::decision::metric::Watch;
use crate::decision::rivals::named_in;

/// How [`Argo`](super::Argo) judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ArgoConfig {
    /// It measures at the first look of a stage and at every so many-th after it. At least 1, default 1.
    pub interval: u32,
    /// What is good enough, by the metrics' names in the policy. Those not named here have the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, ArgoMetric>,
}

impl Default for ArgoConfig {
    fn default() -> Self {
        Self {
            interval: 1,
            metrics: BTreeMap::new(),
        }
    }
}

/// What is good enough for one metric. The names are Argo's.
///
/// Conditions are written as limits, `1%`, `500ms` or `0.8`, as those of a policy are. On the good side of
/// them lie the lower values; for a success rate, and for a query that has no limits but
/// [`below`](crate::decision::Limits::below), the higher ones. A value that is exactly at a limit is still
/// within it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ArgoMetric {
    /// A value within it is a success (`successCondition`). Default: the metric's own `fail` limits, if
    /// `failure` is not given either; otherwise whatever is no failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<Quantity>,
    /// A value beyond it is a failure (`failureCondition`), and not within `success`. Default: whatever
    /// is no success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Quantity>,
    /// More failed measurements than this end the run (`failureLimit`); with none (`null`), no number
    /// does, as with −1 in Argo. Default 0.
    pub failure_limit: Option<u32>,
    /// More measurements than this that could not tell end the run (`inconclusiveLimit`). Default 0.
    pub inconclusive_limit: u32,
    /// More errors in a row than this end the run (`consecutiveErrorLimit`). Default 4.
    pub consecutive_error_limit: u32,
}

impl Default for ArgoMetric {
    fn default() -> Self {
        Self {
            success: None,
            failure: None,
            failure_limit: Some(0),
            inconclusive_limit: 0,
            consecutive_error_limit: 4,
        }
    }
}

impl ArgoConfig {
    /// Sets [how often](ArgoConfig::interval) it measures.
    pub fn with_interval(mut self, looks: u32) -> Self {
        self.interval = looks;
        self
    }

    /// Sets what is good enough for the policy's [metric](ArgoConfig::metrics) of that name.
    pub fn with_metric(mut self, name: impl Into<String>, metric: ArgoMetric) -> Self {
        self.metrics.insert(name.into(), metric);
        self
    }

    /// The metrics' limits and conditions, in the policy's order.
    pub(super) fn check(
        &self,
        watches: &[Watch],
    ) -> Result<Vec<(ArgoMetric, Conditions)>, PolicyError> {
        if self.interval == 0 {
            return Err(PolicyError::new("interval", "is 0; write 1 or more looks"));
        }
        named_in(self.metrics.keys(), watches)?;
        let each = watches.iter().map(|watch| {
            let metric = self.metrics.get(&watch.name).copied().unwrap_or_default();
            let conditions = Conditions::new(&metric, watch)
                .map_err(|error| error.under(&format!("metrics.{}", watch.name)))?;
            Ok((metric, conditions))
        });
        each.collect()
    }
}

impl ArgoMetric {
    /// Sets up to where a value is a [success](ArgoMetric::success).
    pub fn with_success(mut self, limit: impl Into<Quantity>) -> Self {
        self.success = Some(limit.into());
        self
    }

    /// Sets from where on a value is a [failure](ArgoMetric::failure).
    pub fn with_failure(mut self, limit: impl Into<Quantity>) -> Self {
        self.failure = Some(limit.into());
        self
    }

    /// Sets how many measurements may [fail](ArgoMetric::failure_limit); `None`: any number.
    pub fn with_failure_limit(mut self, measurements: Option<u32>) -> Self {
        self.failure_limit = measurements;
        self
    }

    /// Sets how many measurements may be [unable to tell](ArgoMetric::inconclusive_limit).
    pub fn with_inconclusive_limit(mut self, measurements: u32) -> Self {
        self.inconclusive_limit = measurements;
        self
    }

    /// Sets how many measurements in a row may be [errors](ArgoMetric::consecutive_error_limit).
    pub fn with_consecutive_error_limit(mut self, measurements: u32) -> Self {
        self.consecutive_error_limit = measurements;
        self
    }
}
