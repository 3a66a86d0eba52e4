//! The judge of Argo Rollouts.

mod condition;
mod config;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::measured;
use super::turns::Turns;
use crate::decision::builder::{PolicyBuilder, PolicyError};
use crate::decision::finding::breach;
use crate::decision::metric::Watch;
use crate::decision::sample;
use crate::decision::{
    Absence, Assessment, Evidence, Judge, Memory, MetricAssessment, MetricOutcome, Policy, Reason,
    Score, ScoreRange, Verdict,
};

pub use condition::Measured;
use condition::{Conditions, Value};
pub use config::{ArgoConfig, ArgoMetric};

/// Judges as an analysis of Argo Rollouts does that runs beside the whole rollout
/// (argoproj/argo-rollouts at `9f8d111`, `analysis.go` and `evaluate.go`).
///
/// A run measures every metric of the canary, again and again. A measurement succeeds, fails, cannot
/// tell, or is an error. When a metric has more of one of these than its limits allow, the run ends: it
/// rolls back if the metric failed or had too many errors, and holds if too many measurements could not
/// tell. As long as the run goes on, it advances.
///
/// # Quirks that are kept
/// - Failed measurements within the limit stop nothing, and neither do errors: a canary of which nothing
///   is known advances, until the fifth error in a row rolls it back.
/// - A value that is not a number fails where there is a `success`, and succeeds where there is only a
///   `failure`. Where there are both, it cannot tell. No series at all is an error.
/// - Failed measurements are counted through the whole rollout, errors in a row.
/// - Where several metrics end the run at once, a failed one counts before one with errors, and that
///   before one that could not tell.
/// - When the run ends, the metrics that have not ended it count as successful.
/// - One request is as good as a million.
///
/// # What differs
/// - Conditions are limits instead of expressions, and a metric without any has those of the policy; in
///   Argo it would always succeed.
/// - A run that ended because it could not tell is over when the next stage begins, since somebody went
///   on; the next one begins afresh, as it does in Argo when a rollout is resumed.
/// - Errors are tried again at the next look that is measured, not after ten seconds.
/// - There is no `count` and no `initialDelay`: the stage ends when its time is over.
#[derive(Clone, Debug)]
pub struct Argo {
    interval: u32,
    metrics: Vec<(ArgoMetric, Conditions)>,
    watches: Arc<[Watch]>,
    oldest: Duration,
}

/// What it remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Record {
    turns: Turns,
    /// One for each metric, in the policy's order.
    counts: Vec<Counts>,
}

/// A metric's measurements in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 3]", into = "[u32; 3]")]
struct Counts {
    failed: u32,
    inconclusive: u32,
    errors_in_row: u32,
}

impl From<[u32; 3]> for Counts {
    fn from([failed, inconclusive, errors_in_row]: [u32; 3]) -> Self {
        Self {
            failed,
            inconclusive,
            errors_in_row,
        }
    }
}

impl From<Counts> for [u32; 3] {
    fn from(counts: Counts) -> Self {
        [counts.failed, counts.inconclusive, counts.errors_in_row]
    }
}

impl Counts {
    fn add(&mut self, measured: Option<Measured>) {
        match measured {
            Some(Measured::Failed) => self.failed = self.failed.saturating_add(1),
            Some(Measured::Inconclusive) => {
                self.inconclusive = self.inconclusive.saturating_add(1);
            }
            Some(Measured::Errored) | None => {}
        }
        self.errors_in_row = if measured == Some(Measured::Errored) {
            self.errors_in_row.saturating_add(1)
        } else {
            0
        };
    }

    /// Whether the metric has ended the run. A measurement adds to one count alone and the run ends with
    /// the first that is over its limit, so the order in which Argo looks at them makes no difference.
    fn ended(self, limits: &ArgoMetric) -> Option<Ended> {
        let over = |outcome, count, limit| {
            (count > limit).then_some(Ended {
                outcome,
                count,
                limit,
            })
        };
        let failed = limits.failure_limit;
        let failed = failed.and_then(|limit| over(Measured::Failed, self.failed, limit));
        let unclear = over(
            Measured::Inconclusive,
            self.inconclusive,
            limits.inconclusive_limit,
        );
        let errors = over(
            Measured::Errored,
            self.errors_in_row,
            limits.consecutive_error_limit,
        );
        failed.or(unclear).or(errors)
    }
}

/// How a metric has ended a run.
#[derive(Clone, Copy, Debug)]
struct Ended {
    outcome: Measured,
    /// So many measurements had it, in a row if they were errors.
    count: u32,
    /// More than these were too many.
    limit: u32,
}

impl Argo {
    /// The judge by itself, over the policy's metrics; [`Policy::judge`] appoints it as one of a panel.
    ///
    /// # Errors
    /// When the policy has no metric, or the configuration holds what it cannot.
    pub fn new(config: &ArgoConfig, policy: &Policy) -> Result<Self, PolicyError> {
        let watches = policy.checked()?;
        measured("metrics", &watches)?;
        Self::appoint(config, policy.settings(), watches)
    }

    pub(in crate::decision) fn appoint(
        config: &ArgoConfig,
        policy: &PolicyBuilder,
        watches: Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        Ok(Self {
            interval: config.interval,
            metrics: config.check(&watches)?,
            watches,
            oldest: sample::oldest(policy.interval),
        })
    }

    /// How each metric has ended the run, if it has.
    fn ended(&self, counts: &[Counts]) -> Vec<Option<Ended>> {
        let each = self.metrics.iter().zip(counts);
        each.map(|((limits, _), counts)| counts.ended(limits))
            .collect()
    }

    /// Looks at one metric: what is there, and what a measurement of it is.
    fn measure(&self, evidence: &Evidence<'_>, index: usize) -> (Value, Option<Measured>) {
        let watch = &self.watches[index];
        let value = match sample::reading(evidence, index, watch) {
            None => Value::Nothing(Absence::Nothing),
            Some(reading) => match sample::age(evidence, reading) {
                age if age > self.oldest => Value::Nothing(Absence::Stale(age)),
                _ => Value::of(&watch.signal, &reading.canary),
            },
        };
        let (_, conditions) = &self.metrics[index];
        let measured = conditions.measure(watch, &value);
        (value, measured)
    }

    /// One measurement, for the record.
    fn assessment(
        &self,
        evidence: &Evidence<'_>,
        index: usize,
        value: &Value,
        measured: Option<Measured>,
    ) -> MetricAssessment {
        let watch = &self.watches[index];
        let (outcome, range) = match measured {
            None => (MetricOutcome::Pass, ScoreRange::exactly(Score::BEST)),
            Some(Measured::Failed) => (MetricOutcome::Fail, ScoreRange::exactly(Score::WORST)),
            Some(Measured::Inconclusive) => (MetricOutcome::Inconclusive, ScoreRange::UNKNOWN),
            Some(Measured::Errored) => (MetricOutcome::Missing, ScoreRange::UNKNOWN),
        };
        let canary = match value {
            Value::Number(seen) => Some(seen.value(&watch.signal)),
            Value::NotANumber | Value::Nothing(_) => None,
        };
        let stable = sample::stable(sample::reading(evidence, index, watch), &watch.signal);
        MetricAssessment::new(watch.name.as_str(), outcome, range).with_values(canary, stable)
    }

    /// Why one metric's measurement is no success, in figures.
    fn figures(&self, index: usize, value: &Value, measured: Option<Measured>) -> Option<Reason> {
        let watch = &self.watches[index];
        let missing = |absence: &Absence| {
            let (metric, absence) = (watch.name.clone(), absence.clone());
            Some(Reason::NoData { metric, absence })
        };
        match (value, measured?) {
            (Value::Number(seen), Measured::Failed) => {
                let (_, conditions) = &self.metrics[index];
                let limit = conditions.broken(watch, *seen)?;
                Some(Reason::MetricFailed(breach(watch, *seen, limit)))
            }
            (Value::Nothing(absence), _) => missing(absence),
            (Value::NotANumber, _) => missing(&Absence::Unusable),
            (Value::Number(_), _) => None,
        }
    }

    /// Why the run has ended: of the metrics that ended it, the worst first.
    fn why(&self, ended: &[Option<Ended>], figures: Vec<Option<Reason>>) -> Vec<Reason> {
        let each = self.watches.iter().zip(ended).zip(figures);
        let mut why: Vec<_> = each
            .filter_map(|((watch, ended), figures)| Some((watch, (*ended)?, figures)))
            .collect();
        why.sort_by_key(|(_, ended, _)| std::cmp::Reverse(ended.outcome));
        // The figures first: they are what an operator looks for.
        let reasons = why.into_iter().flat_map(|(watch, ended, figures)| {
            let measurements = Reason::Measurements {
                metric: watch.name.clone(),
                outcome: ended.outcome,
                count: ended.count,
                limit: ended.limit,
            };
            figures.into_iter().chain([measurements])
        });
        reasons.collect()
    }
}

/// In what the run has ended, if a metric has ended it.
fn worst(ended: &[Option<Ended>]) -> Option<Measured> {
    let outcomes = ended.iter().flatten().map(|ended| ended.outcome);
    outcomes.max()
}

impl Judge for Argo {
    fn name(&self) -> &str {
        "argo"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let mut record: Record = evidence.memory.recall();
        record.counts.resize(self.watches.len(), Counts::default());
        let mut over = worst(&self.ended(&record.counts));
        if record.turns.enter(evidence.stage) && over == Some(Measured::Inconclusive) {
            record.counts.fill(Counts::default());
            over = None;
        }
        let new = record.turns.count(evidence);
        let due = new && (record.turns.looks - 1).is_multiple_of(self.interval);

        let mut metrics = Vec::with_capacity(self.watches.len());
        let mut figures = Vec::with_capacity(self.watches.len());
        for (index, counts) in record.counts.iter_mut().enumerate() {
            let (value, measured) = self.measure(evidence, index);
            if due && over.is_none() {
                counts.add(measured);
            }
            metrics.push(self.assessment(evidence, index, &value, measured));
            let told = evidence.failure.is_none();
            figures.push(self.figures(index, &value, measured).filter(|_| told));
        }

        let ended = self.ended(&record.counts);
        let (verdict, score) = match worst(&ended) {
            None => (Verdict::Advance, ScoreRange::exactly(Score::BEST)),
            Some(Measured::Inconclusive) => (Verdict::Hold, ScoreRange::UNKNOWN),
            Some(Measured::Failed | Measured::Errored) => {
                (Verdict::Rollback, ScoreRange::exactly(Score::WORST))
            }
        };
        let mut why = self.why(&ended, figures);
        if let (Some(failure), false) = (evidence.failure, why.is_empty()) {
            let (in_row, failure) = (1, failure.clone());
            why.insert(0, Reason::SourceFailed { in_row, failure });
        }
        Assessment::new(verdict, why)
            .with_score(score)
            .with_metrics(metrics)
            .with_memory(Memory::of(&record))
    }
}
