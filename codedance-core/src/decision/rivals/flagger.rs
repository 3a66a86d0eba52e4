//! The judge of Flagger.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::measured;
use super::turns::Turns;
use crate::decision::builder::{PolicyBuilder, PolicyError};
use crate::decision::finding::breach;
use crate::decision::metric::Watch;
use crate::decision::sample::{self, Seen};
use crate::decision::{
    Assessment, Evidence, Judge, Memory, MetricAssessment, MetricOutcome, Policy, Reason, Score,
    ScoreRange, Verdict,
};
use crate::metrics::Signal;

/// Judges as Flagger does (fluxcd/flagger at `15bd6ad`, `pkg/controller/scheduler.go`).
///
/// A check passes when every metric of the canary lies within its `fail` limit. Then it advances.
/// Otherwise the check has failed: it holds, and after [`threshold`](FlaggerConfig::threshold) failed
/// checks it rolls back. Of the policy's metrics nothing but signal and `fail` is read; what the stable
/// revision shows plays no part.
///
/// # Quirks that are kept
/// - Failed checks are counted through the whole rollout, and no success resets them.
/// - No value, one that is not a number, and a source that cannot be read are failed checks too: absence
///   rolls back.
/// - One request is as good as a million: 1 error of 50 requests is a rate of 2 %.
/// - A check fails as a whole: three metrics beyond their limits are one failed check.
///
/// # What differs
/// - It rolls back with the check that reaches the threshold. Flagger does so an interval later, when it
///   begins its next one.
/// - All metrics are looked at. Flagger stops at the first that fails.
/// - What is too old counts as no value.
/// - Webhooks, which count as checks in Flagger, are gates and alerts here.
#[derive(Clone, Debug)]
pub struct Flagger {
    config: FlaggerConfig,
    watches: Arc<[Watch]>,
    oldest: Duration,
}

/// How [`Flagger`] judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct FlaggerConfig {
    /// After so many failed checks it rolls back. At least 1, default 1; Flagger's examples have 10 or 5.
    pub threshold: u32,
    /// It checks at every so many-th look of a stage, and holds in between. At least 1, default 1.
    pub interval: u32,
}

impl Default for FlaggerConfig {
    fn default() -> Self {
        Self {
            threshold: 1,
            interval: 1,
        }
    }
}

impl FlaggerConfig {
    /// Sets how many [failed checks](FlaggerConfig::threshold) it takes to roll back.
    pub fn with_threshold(mut self, checks: u32) -> Self {
        self.threshold = checks;
        self
    }

    /// Sets [how often](FlaggerConfig::interval) it checks.
    pub fn with_interval(mut self, looks: u32) -> Self {
        self.interval = looks;
        self
    }

    fn check(self) -> Result<(), PolicyError> {
        for (key, value, unit) in [
            ("threshold", self.threshold, "failed checks"),
            ("interval", self.interval, "looks"),
        ] {
            if value == 0 {
                return Err(PolicyError::new(
                    key,
                    format!("is 0; write 1 or more {unit}"),
                ));
            }
        }
        Ok(())
    }
}

/// What it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Record {
    turns: Turns,
    /// How many checks of the rollout failed.
    failed: u32,
}

impl Flagger {
    /// The judge by itself, over the policy's metrics; [`Policy::judge`] appoints it as one of a panel.
    ///
    /// # Errors
    /// When the policy has no metric, or the configuration a 0 where at least 1 is needed.
    pub fn new(config: &FlaggerConfig, policy: &Policy) -> Result<Self, PolicyError> {
        let watches = policy.checked()?;
        measured("metrics", &watches)?;
        Self::appoint(config, policy.settings(), watches)
    }

    pub(in crate::decision) fn appoint(
        config: &FlaggerConfig,
        policy: &PolicyBuilder,
        watches: Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        config.check()?;
        Ok(Self {
            config: *config,
            watches,
            oldest: sample::oldest(policy.interval),
        })
    }

    /// Looks at one metric: what becomes of it, and why it does not pass.
    fn check(
        &self,
        evidence: &Evidence<'_>,
        index: usize,
        watch: &Watch,
    ) -> (MetricAssessment, Option<Reason>) {
        let reading = sample::reading(evidence, index, watch);
        let stable = sample::stable(reading, &watch.signal);
        let seen = sample::canary(evidence, reading, &watch.signal, self.oldest);
        let (outcome, score, canary, reason) = match seen {
            Ok(seen) => {
                let (outcome, score, reason) = match beyond(watch, seen) {
                    None => (MetricOutcome::Pass, Score::BEST, None),
                    Some(limit) => {
                        let reason = Reason::MetricFailed(breach(watch, seen, limit));
                        (MetricOutcome::Fail, Score::WORST, Some(reason))
                    }
                };
                let score = ScoreRange::exactly(score);
                (outcome, score, Some(seen.value(&watch.signal)), reason)
            }
            Err(absence) => {
                let metric = watch.name.clone();
                let reason = Reason::NoData { metric, absence };
                let missing = MetricOutcome::Missing;
                (missing, ScoreRange::UNKNOWN, None, Some(reason))
            }
        };
        let metric = MetricAssessment::new(watch.name.as_str(), outcome, score);
        (metric.with_values(canary, stable), reason)
    }
}

/// The limit that a value lies beyond, in the metric's own sense. A value at the limit is within it.
pub(super) fn beyond(watch: &Watch, seen: Seen) -> Option<f64> {
    // Both rates have their limit on the share of bad requests.
    let value = match seen {
        Seen::Rate { bad, total } => bad as f64 / total as f64,
        Seen::Latency { seconds: value, .. } | Seen::Gauge(value) => value,
    };
    let upper = watch.curves.upper.map(|curve| curve.fail);
    let lower = watch.curves.lower.map(|curve| -curve.fail);
    let limit = upper
        .filter(|limit| value > *limit)
        .or_else(|| lower.filter(|limit| value < *limit))?;
    Some(match watch.signal {
        Signal::SuccessRate => 1.0 - limit,
        Signal::ErrorRate | Signal::Latency(_) | Signal::Query(_) => limit,
    })
}

impl Judge for Flagger {
    fn name(&self) -> &str {
        "flagger"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let mut record: Record = evidence.memory.recall();
        record.turns.enter(evidence.stage);
        let new = record.turns.count(evidence);
        let rolls_back = |record: &Record| record.failed >= self.config.threshold;
        if let (Some(reason), false) = (
            record.turns.waiting(self.config.interval),
            rolls_back(&record),
        ) {
            return Assessment::new(Verdict::Hold, vec![reason]).with_memory(Memory::of(&record));
        }
        let each = self.watches.iter().enumerate();
        let checks = each.map(|(index, watch)| self.check(evidence, index, watch));
        let (metrics, reasons): (Vec<_>, Vec<_>) = checks.unzip();
        let mut why: Vec<Reason> = match evidence.failure {
            Some(failure) => vec![Reason::SourceFailed {
                in_row: 1,
                failure: failure.clone(),
            }],
            None => reasons.into_iter().flatten().collect(),
        };
        let passed = why.is_empty();
        if new && !passed && !rolls_back(&record) {
            record.failed += 1;
        }
        let (verdict, score) = if rolls_back(&record) {
            (Verdict::Rollback, ScoreRange::exactly(Score::WORST))
        } else if passed {
            (Verdict::Advance, ScoreRange::exactly(Score::BEST))
        } else {
            (Verdict::Hold, ScoreRange::UNKNOWN)
        };
        if verdict != Verdict::Advance {
            why.push(Reason::FailedChecks {
                failed: record.failed,
                threshold: self.config.threshold,
            });
        }
        Assessment::new(verdict, why)
            .with_score(score)
            .with_metrics(metrics)
            .with_memory(Memory::of(&record))
    }
}
