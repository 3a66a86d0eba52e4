//! A policy to be, and what it is checked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::appoint::{Bench, JudgeConfig};
use super::metric::{Metric, Watch};
use super::policy::{Policy, Reaction};
use super::what_if::Traffic;
use crate::time;

/// A policy to be, freely made and changed, then checked by [`PolicyBuilder::build`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "Policy")]
#[must_use]
pub struct PolicyBuilder {
    pub(super) metrics: Vec<Metric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) judges: Vec<JudgeConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) onlookers: Vec<JudgeConfig>,
    #[serde(with = "time::duration")]
    pub(super) interval: Duration,
    pub(super) on_bad_metrics: Reaction,
    pub(super) on_crash: Reaction,
    pub(super) on_alert: Reaction,
    pub(super) on_inconclusive: Reaction,
    pub(super) restart_limit: u32,
    #[serde(with = "time::duration")]
    pub(super) grace: Duration,
    pub(super) rollback_while_paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) traffic: Option<Traffic>,
}

impl Default for PolicyBuilder {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            template: None,
            judges: Vec::new(),
            onlookers: Vec::new(),
            interval: Duration::from_secs(30),
            on_bad_metrics: Reaction::Rollback,
            on_crash: Reaction::Rollback,
            on_alert: Reaction::Rollback,
            on_inconclusive: Reaction::Hold,
            restart_limit: 3,
            grace: Duration::from_secs(30),
            rollback_while_paused: true,
            traffic: None,
        }
    }
}

impl PolicyBuilder {
    /// Measures one metric more.
    pub fn with_metric(mut self, metric: Metric) -> Self {
        self.metrics.push(metric);
        self
    }

    /// Sets by which of the source's [templates](Policy::template) the metrics are looked for.
    pub fn with_template(mut self, template: impl Into<String>) -> Self {
        self.template = Some(template.into());
        self
    }

    /// Appoints one judge more. The first replaces the default.
    pub fn with_judge(mut self, judge: JudgeConfig) -> Self {
        self.judges.push(judge);
        self
    }

    /// Lets one judge more [look on](Policy::onlookers).
    pub fn with_onlooker(mut self, judge: JudgeConfig) -> Self {
        self.onlookers.push(judge);
        self
    }

    /// Sets the [time between two looks](Policy::interval).
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets what a [rollback verdict](Policy::on_bad_metrics) leads to.
    pub fn with_on_bad_metrics(mut self, reaction: Reaction) -> Self {
        self.on_bad_metrics = reaction;
        self
    }

    /// Sets what a [crash](Policy::on_crash) leads to.
    pub fn with_on_crash(mut self, reaction: Reaction) -> Self {
        self.on_crash = reaction;
        self
    }

    /// Sets what a firing [alert](Policy::on_alert) leads to.
    pub fn with_on_alert(mut self, reaction: Reaction) -> Self {
        self.on_alert = reaction;
        self
    }

    /// Sets what follows when [nothing could be decided](Policy::on_inconclusive).
    pub fn with_on_inconclusive(mut self, reaction: Reaction) -> Self {
        self.on_inconclusive = reaction;
        self
    }

    /// Sets how many [restarts](Policy::restart_limit) count as a crash.
    pub fn with_restart_limit(mut self, limit: u32) -> Self {
        self.restart_limit = limit;
        self
    }

    /// Sets how long a canary may have [no ready replica](Policy::grace).
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets whether [a pause stops rollbacks](Policy::rollback_while_paused) too.
    pub fn with_rollback_while_paused(mut self, rollback: bool) -> Self {
        self.rollback_while_paused = rollback;
        self
    }

    /// Sets the [traffic](Policy::traffic) to expect.
    pub fn with_traffic(mut self, traffic: Traffic) -> Self {
        self.traffic = Some(traffic);
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// The first key that holds what it cannot, and how to mend it.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let lengths = [
            ("interval", self.interval, Duration::from_secs(3_600), "1h"),
            ("grace", self.grace, Duration::from_secs(86_400), "24h"),
        ];
        for (key, length, longest, written) in lengths {
            if length.is_zero() || length > longest {
                let found = time::display_duration(length);
                return Err(PolicyError::new(
                    key,
                    format!("`{found}` is out of range; write more than 0 and at most {written}"),
                ));
            }
        }
        if self.restart_limit == 0 {
            return Err(PolicyError::new(
                "restart_limit",
                "is 0, which a healthy canary reaches; write 1 or more",
            ));
        }
        if self.on_inconclusive == Reaction::Ignore {
            return Err(PolicyError::new(
                "on_inconclusive",
                "`ignore` would promote what nobody could judge; write `hold` or `rollback`",
            ));
        }
        if let Some(traffic) = &self.traffic {
            traffic.check().map_err(|error| error.under("traffic"))?;
        }
        let watches = watches(&self.metrics)?;
        let bench = Bench::appoint(&self, &watches)?;
        Ok(Policy::of(self, bench))
    }
}

impl TryFrom<PolicyBuilder> for Policy {
    type Error = PolicyError;

    fn try_from(builder: PolicyBuilder) -> Result<Self, PolicyError> {
        builder.build()
    }
}

/// The checked metrics, their weights made into shares of 1.
pub(super) fn watches(metrics: &[Metric]) -> Result<Arc<[Watch]>, PolicyError> {
    let mut names = BTreeSet::new();
    let mut watches = Vec::with_capacity(metrics.len());
    for (index, metric) in metrics.iter().enumerate() {
        let key = format!("metrics[{index}]");
        watches.push(metric.watch().map_err(|error| error.under(&key))?);
        if !names.insert(metric.name()) {
            return Err(PolicyError::new(
                format!("{key}.name"),
                format!(
                    "another metric is called `{}`; give each a name of its own",
                    metric.name()
                ),
            ));
        }
    }
    let total: f64 = watches.iter().map(|watch| watch.share).sum();
    for watch in &mut watches {
        watch.share /= total;
    }
    Ok(watches.into())
}

/// A policy that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
#[non_exhaustive]
pub struct PolicyError {
    /// The key at fault, such as `metrics[1].limits.fail`.
    pub key: String,
    /// What was found there, what was expected, and how to mend it.
    pub problem: String,
}

impl PolicyError {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }

    /// The same, one level further in.
    pub(super) fn under(mut self, parent: &str) -> Self {
        self.key = format!("{parent}.{}", self.key);
        self
    }
}
