//! What is watched, who judges it, and what happens when it is not good enough.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::appoint::{Bench, JudgeConfig};
use super::builder::{PolicyBuilder, PolicyError, watches};
use super::metric::{Metric, Watch};
use super::{Judge, Reason, Traffic};
use crate::metrics::MetricQuery;
use crate::workload::GroupStatus;

/// Everything that a rollout is judged by, as plain data that has been checked.
///
/// A policy that exists is a good one: it comes from [`PolicyBuilder::build`], or out of a file through
/// the same checks. In a file, every key may be left out:
///
/// ```
/// use codedance_core::config;
/// use codedance_core::decision::Policy;
///
/// let policy: Policy = config::from_json(
///     r#"{
///         "interval": "30s",
///         "metrics": [
///             {"name": "errors", "signal": "error_rate", "limits": {"fail": "1%"}, "critical": true},
///             {"name": "p99", "signal": {"latency": 0.99}, "limits": {"fail": "500ms"}}
///         ],
///         "judges": [{"thresholds": {"min_requests": 100}}]
///     }"#,
/// )?;
/// assert_eq!(policy.metrics().len(), 2);
/// # Ok::<(), config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolicyBuilder", into = "PolicyBuilder")]
pub struct Policy {
    settings: PolicyBuilder,
    bench: Bench,
}

impl Policy {
    /// A policy to be: nothing is measured yet, and everything else has its default.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// The policy to be changed: [`PolicyBuilder::build`] checks what comes of it.
    pub fn into_builder(self) -> PolicyBuilder {
        self.settings
    }

    /// What is measured, in this order. Empty: nothing is, and stages end when their time has passed.
    pub fn metrics(&self) -> &[Metric] {
        &self.settings.metrics
    }

    /// The judges as appointed. Empty: [`Thresholds`](super::Thresholds) with its defaults, if anything
    /// is measured.
    #[must_use]
    pub fn judges(&self) -> &[JudgeConfig] {
        &self.settings.judges
    }

    /// The judges that only look on: what each would have decided is recorded with every assessment
    /// ([`Assessment::onlookers`](super::Assessment::onlookers)) and counts for nothing. Default: none.
    ///
    /// So a team that comes from Flagger keeps its verdict and sees ours beside it, before it changes
    /// over:
    ///
    /// ```
    /// use codedance_core::config;
    /// use codedance_core::decision::{Evidence, Memory, Policy, Verdict};
    /// use codedance_core::metrics::{Reading, Sample, Window};
    /// use codedance_core::Timestamp;
    ///
    /// let policy: Policy = config::from_json(
    ///     r#"{
    ///         "metrics": [{"name": "errors", "signal": "error_rate", "limits": {"fail": "1%"}}],
    ///         "judges": [{"flagger": {}}],
    ///         "onlookers": [{"thresholds": {}}]
    ///     }"#,
    /// )?;
    ///
    /// // One error in 30 requests.
    /// let window = Window::new(Timestamp::from_millis(0), Timestamp::from_millis(60_000));
    /// let canary = Sample::Counts { bad: 1, total: 30 };
    /// let readings = [Reading::new("errors", canary, Sample::NoData)];
    /// let nothing = Memory::default();
    /// let assessment = policy.judge(&[]).assess(&Evidence::new(window, &readings, &nothing));
    ///
    /// assert_eq!(assessment.verdict, Verdict::Rollback);
    /// let ours = &assessment.onlookers[0];
    /// assert_eq!((ours.judge.as_str(), ours.verdict), ("thresholds", Verdict::Hold));
    /// assert_eq!(ours.reasons[0].to_string(), "errors has 30 of the 50 requests that it needs");
    /// # Ok::<(), config::ConfigError>(())
    /// ```
    #[must_use]
    pub fn onlookers(&self) -> &[JudgeConfig] {
        &self.settings.onlookers
    }

    /// By which of the source's templates the metrics are looked for that name none themselves, such as
    /// `istio`. Default: none, which leaves it to the source.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.settings.template.as_deref()
    }

    /// The time between two looks, above 0 and at most 1 h. Default 30 s.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// What a rollback verdict of the judges leads to. Default: roll back.
    #[must_use]
    pub const fn on_bad_metrics(&self) -> Reaction {
        self.settings.on_bad_metrics
    }

    /// What a canary's replica that ends, cannot start, or restarts too often leads to. Default: roll
    /// back.
    #[must_use]
    pub const fn on_crash(&self) -> Reaction {
        self.settings.on_crash
    }

    /// What a firing alert leads to. Default: roll back.
    #[must_use]
    pub const fn on_alert(&self) -> Reaction {
        self.settings.on_alert
    }

    /// What follows when a stage's deadline passes undecided, or too many looks could not tell: never
    /// [`Reaction::Ignore`]. Default: hold.
    #[must_use]
    pub const fn on_inconclusive(&self) -> Reaction {
        self.settings.on_inconclusive
    }

    /// How many restarts of the canary's replicas, together, count as a crash. At least 1, default 3.
    #[must_use]
    pub const fn restart_limit(&self) -> u32 {
        self.settings.restart_limit
    }

    /// How long a canary with traffic may have no ready replica before that counts as a crash. Above 0
    /// and at most 24 h. Default 30 s.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        self.settings.grace
    }

    /// The traffic to expect, if the policy says so: a hint by which [`Policy::blindness`] tells what a
    /// plan cannot see. Nothing is judged by it.
    #[must_use]
    pub const fn traffic(&self) -> Option<Traffic> {
        self.settings.traffic
    }

    /// Whether a bad canary is rolled back even while an operator has paused the rollout. Default true.
    #[must_use]
    pub const fn rollback_while_paused(&self) -> bool {
        self.settings.rollback_while_paused
    }

    /// Whether there is anything to judge: a metric or a judge. If not, stages end by their time alone.
    #[must_use]
    pub fn watches(&self) -> bool {
        !self.settings.metrics.is_empty() || !self.settings.judges.is_empty()
    }

    /// The questions that a source is to answer at each look, in the order of the metrics.
    #[must_use]
    pub fn queries(&self) -> Vec<MetricQuery> {
        let template = self.template();
        let metrics = self.metrics().iter();
        metrics.map(|metric| metric.query(template)).collect()
    }

    /// What is wrong with the canary's replicas by themselves: any that failed, or too many restarts.
    ///
    /// Whether that leads to a rollback is for [`Policy::on_crash`] to say.
    #[must_use]
    pub fn fault(&self, canary: GroupStatus) -> Option<Reason> {
        fault(canary, self.restart_limit())
    }

    /// All judges that the policy appoints, as one: the worst verdict counts.
    ///
    /// `own` holds the user's judges; those that the policy appoints by their
    /// [name](super::Judge::name) are taken. Of one that is not there, the place is held by a judge that
    /// always holds, with [`Reason::UnknownJudge`].
    #[must_use]
    pub fn judge(&self, own: &[Arc<dyn Judge>]) -> Arc<dyn Judge> {
        self.bench.panel(own)
    }
}

impl Policy {
    pub(super) const fn of(settings: PolicyBuilder, bench: Bench) -> Self {
        Self { settings, bench }
    }

    pub(super) const fn settings(&self) -> &PolicyBuilder {
        &self.settings
    }

    /// The metrics in the form that judges work with.
    pub(super) fn checked(&self) -> Result<Arc<[Watch]>, PolicyError> {
        watches(self.metrics())
    }
}

impl From<Policy> for PolicyBuilder {
    fn from(policy: Policy) -> Self {
        policy.into_builder()
    }
}

/// What is wrong with replicas by themselves.
pub(super) fn fault(canary: GroupStatus, restart_limit: u32) -> Option<Reason> {
    if canary.failed > 0 {
        return Some(Reason::ReplicasFailed {
            failed: canary.failed,
        });
    }
    (canary.restarts >= restart_limit).then_some(Reason::ReplicasRestarted {
        restarts: canary.restarts,
        limit: restart_limit,
    })
}

/// What something bad leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Go back to the stable revision.
    Rollback,
    /// Go no further while it lasts.
    Hold,
    /// Nothing.
    Ignore,
}
