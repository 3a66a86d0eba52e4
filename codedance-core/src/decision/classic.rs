//! The score of 40, 30 and 30 points.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::builder::{PolicyBuilder, PolicyError};
use super::finding::breach;
use super::metric::Watch;
use super::sample::{self, Seen};
use super::{
    Assessment, Evidence, Judge, MetricAssessment, MetricOutcome, Policy, Reason, Score,
    ScoreRange, Verdict,
};
use crate::metrics::Signal;

/// Gives points for three metrics, at each look anew.
///
/// | metric, by its signal | within `fail` | otherwise |
/// |---|---|---|
/// | success rate | 40 points | roll back |
/// | latency, P99 | 30 points | up to 1.2 × `fail` 15 points, beyond it hold |
/// | error rate | 30 points | roll back |
///
/// 90 points advance, 70 hold, fewer roll back. Fewer than 80 % of the canary's replicas ready: hold.
/// The worst of these verdicts counts. Of the limits only `fail` is read; weights, and whether a metric
/// is critical or required, mean nothing here.
///
/// What is missing holds: its points count as none at the low end of the score and as all at the high
/// end, which is the one that rolls back.
///
/// It is what many teams' scripts do. It takes any number of requests for proof and remembers nothing;
/// the default, [`Thresholds`](super::Thresholds), does better on both.
#[derive(Clone, Debug)]
pub struct Classic {
    /// In the order of the policy's metrics, with each one's index there.
    watches: Vec<(usize, Watch)>,
    oldest: Duration,
}

/// [`Classic`] has nothing to configure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClassicConfig {}

/// What one metric brings.
struct Points {
    given: f64,
    of: f64,
    /// What its value calls for by itself.
    verdict: Verdict,
}

impl Classic {
    /// The judge by itself, over the policy's metrics; [`Policy::judge`] appoints it as one of a panel.
    ///
    /// # Errors
    /// When the policy does not have all three metrics.
    pub fn new(policy: &Policy) -> Result<Self, PolicyError> {
        let watches = policy.checked()?;
        Self::appoint(policy.settings(), &watches)
            .map_err(|problem| PolicyError::new("metrics", problem))
    }

    pub(super) fn appoint(policy: &PolicyBuilder, watches: &[Watch]) -> Result<Self, String> {
        let success = |signal: &Signal| matches!(signal, Signal::SuccessRate);
        let p99 = |signal: &Signal| matches!(signal, Signal::Latency(q) if q.share() == 0.99);
        let errors = |signal: &Signal| matches!(signal, Signal::ErrorRate);
        let find = |written: &str, fits: &dyn Fn(&Signal) -> bool| {
            let index = watches.iter().position(|watch| fits(&watch.signal));
            let found = index.map(|index| (index, watches[index].clone()));
            found.ok_or_else(|| {
                format!("needs a metric that the policy lacks; add one with `signal: {written}`")
            })
        };
        let mut found = vec![
            find("success_rate", &success)?,
            find("{latency: 0.99}", &p99)?,
            find("error_rate", &errors)?,
        ];
        found.sort_by_key(|(index, _)| *index);
        Ok(Self {
            watches: found,
            oldest: sample::oldest(policy.interval),
        })
    }

    fn points(watch: &Watch, value: f64, limit: f64) -> Points {
        let (of, slack, otherwise) = match watch.signal {
            Signal::SuccessRate => (40.0, 1.0, Verdict::Rollback),
            Signal::ErrorRate => (30.0, 1.0, Verdict::Rollback),
            Signal::Latency(_) | Signal::Query(_) => (30.0, 1.2, Verdict::Hold),
        };
        let (given, verdict) = if value <= limit {
            (of, Verdict::Advance)
        } else if value <= slack * limit {
            // 85 points of 100 hold all the same; see the table.
            (of / 2.0, Verdict::Hold)
        } else {
            (0.0, otherwise)
        };
        Points { given, of, verdict }
    }
}

impl Judge for Classic {
    fn name(&self) -> &str {
        "classic"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let mut objections = Vec::new();
        let mut metrics = Vec::with_capacity(self.watches.len());
        let (mut low, mut high) = (0.0, 0.0);
        for (index, watch) in &self.watches {
            let reading = sample::reading(evidence, *index, watch);
            let limit = watch.curves.upper.map_or(0.0, |curve| curve.fail);
            let (outcome, score, value) =
                match sample::canary(evidence, reading, &watch.signal, self.oldest) {
                    Ok(seen) => {
                        let points = Self::points(watch, badness(seen), limit);
                        low += points.given;
                        high += points.given;
                        let passed = points.verdict == Verdict::Advance;
                        if !passed {
                            objections.push((points.verdict, failed(watch, seen, limit)));
                        }
                        let score = Score::new(100.0 * points.given / points.of);
                        let outcome = if passed {
                            MetricOutcome::Pass
                        } else {
                            MetricOutcome::Fail
                        };
                        (
                            outcome,
                            ScoreRange::exactly(score),
                            Some(seen.value(&watch.signal)),
                        )
                    }
                    Err(absence) => {
                        high += Self::points(watch, 0.0, limit).of;
                        if evidence.failure.is_none() {
                            let metric = watch.name.clone();
                            objections.push((Verdict::Hold, Reason::NoData { metric, absence }));
                        }
                        (MetricOutcome::Missing, ScoreRange::UNKNOWN, None)
                    }
                };
            let stable = sample::stable(reading, &watch.signal);
            let metric = MetricAssessment::new(watch.name.as_str(), outcome, score);
            metrics.push(metric.with_values(value, stable));
        }
        if let Some(failure) = evidence.failure {
            let failure = failure.clone();
            objections.push((Verdict::Hold, Reason::SourceFailed { in_row: 1, failure }));
        }
        let (ready, desired) = (evidence.canary.ready, evidence.canary.desired);
        if u64::from(ready) * 100 < u64::from(desired) * 80 {
            objections.push((Verdict::Hold, Reason::FewReady { ready, desired }));
        }
        // The marks of 90 and 70 points need no lines of their own: only a rate beyond its limit costs
        // more than 30 points, and anything less than all of them is an objection already.
        objections.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        let verdict = objections
            .first()
            .map_or(Verdict::Advance, |(verdict, _)| *verdict);
        let reasons = objections.into_iter().map(|(_, reason)| reason).collect();
        let score = ScoreRange {
            low: Score::new(low),
            high: Score::new(high),
        };
        Assessment::new(verdict, reasons)
            .with_score(score)
            .with_metrics(metrics)
    }
}

fn failed(watch: &Watch, seen: Seen, limit: f64) -> Reason {
    let limit = match watch.signal {
        Signal::SuccessRate => 1.0 - limit,
        Signal::ErrorRate | Signal::Latency(_) | Signal::Query(_) => limit,
    };
    Reason::MetricFailed(breach(watch, seen, limit))
}

/// The value of which more is worse: of both rates, the share of bad requests.
fn badness(seen: Seen) -> f64 {
    match seen {
        Seen::Rate { bad, total } => bad as f64 / total as f64,
        Seen::Latency { seconds: value, .. } | Seen::Gauge(value) => value,
    }
}
