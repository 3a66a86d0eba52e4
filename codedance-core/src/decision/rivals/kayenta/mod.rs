//! The judge of Netflix and Google's Kayenta.

mod config;
pub mod mann_whitney;
mod metric;
mod score;
mod series;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::measured;
use super::turns::Turns;
use crate::decision::builder::{PolicyBuilder, PolicyError};
use crate::decision::metric::Watch;
use crate::decision::sample;
use crate::decision::{
    Absence, Assessment, Evidence, Judge, Memory, MetricAssessment, MetricOutcome, Policy, Reason,
    Score, ScoreRange, Unit, Verdict,
};

pub use config::KayentaConfig;
use mann_whitney::{Class, Comparison, compare};
pub use metric::{Direction, Effect, KayentaMetric, Measure, Missing};
use score::{Groups, Mark, too_many_without_data};
use series::Series;

/// Judges as Kayenta's `NetflixACAJudge-v1.0` does (spinnaker/kayenta at `a69573b`).
///
/// At every so many-th look, it compares the values that the canary showed at all looks so far with those
/// of the stable revision, metric by metric, by a Mann–Whitney test
/// ([`mann_whitney::compare`](crate::decision::mann_whitney::compare)). A metric is high, low, or passes.
/// The limits in the policy mean nothing here; whether a metric is critical does.
///
/// The share of metrics that pass, of each group and weighted over the groups, is the score. From
/// [`pass`](KayentaConfig::pass) on it advances, up to [`marginal`](KayentaConfig::marginal) it rolls
/// back, and in between it holds. At the looks between it holds as well: what was judged before a stage
/// began, or before the latest looks, promotes nobody.
///
/// # Quirks that are kept
/// - A metric may fail by being better, unless its [`direction`](KayentaMetric::direction) says which
///   way is bad.
/// - A quarter of the shift is tolerated and the confidence is 98 %, whatever anybody writes.
/// - At how many looks there were errors counts, and not how many there were: one look in ten at which
///   every request fails makes no difference for half an hour.
/// - It looks again and again without a correction for doing so.
/// - A group in which no metric has data counts in full. Where half of all metrics or more have none, the
///   score is 0, and so it is where a critical metric has none: absence rolls back.
/// - With [`Missing::Replace`], absence is a value of 0: it may pass, or be low.
///
/// # What differs
/// - The comparison is exact at any scale, and deterministic; see
///   [`compare`](crate::decision::mann_whitney::compare).
/// - A score between the two marks fails in Kayenta when the time is over. Here the stage's deadline
///   decides, as for every judge that holds.
/// - Of a rollout's looks the latest 240 are compared, with seven digits each.
/// - Looks at which the metrics could not be read are not counted; Kayenta's run fails if its source does.
/// - What is too old counts as missing.
/// - Weights of groups that do not sum up to 100, and groups without metrics, are refused. Metrics without
///   a group form one; in Kayenta they count for nothing.
#[derive(Clone, Debug)]
pub struct Kayenta {
    config: KayentaConfig,
    groups: Groups,
    watches: Arc<[Watch]>,
    oldest: Duration,
}

/// What it remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Record {
    turns: Turns,
    /// One for each metric, in the policy's order.
    series: Vec<Series>,
}

impl Kayenta {
    /// The judge by itself, over the policy's metrics; [`Policy::judge`] appoints it as one of a panel.
    ///
    /// # Errors
    /// When the policy has no metric, or the configuration holds what it cannot.
    pub fn new(config: &KayentaConfig, policy: &Policy) -> Result<Self, PolicyError> {
        let watches = policy.checked()?;
        measured("metrics", &watches)?;
        Self::appoint(config, policy.settings(), watches)
    }

    pub(in crate::decision) fn appoint(
        config: &KayentaConfig,
        policy: &PolicyBuilder,
        watches: Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        config.check(&watches)?;
        Ok(Self {
            groups: Groups::new(config, &watches),
            config: config.clone(),
            watches,
            oldest: sample::oldest(policy.interval),
        })
    }

    /// Compares every metric as of now.
    fn compare(&self, record: &Record) -> Vec<(Comparison, Mark)> {
        let usual = KayentaMetric::default();
        let each = self.watches.iter().zip(&record.series);
        each.map(|(watch, series)| {
            let metric = self.config.metrics.get(&watch.name).unwrap_or(&usual);
            let (canary, stable) = series.latest(self.config.lookback);
            let comparison = compare(&canary, &stable, metric);
            (comparison, mark(watch, metric, &comparison))
        })
        .collect()
    }

    /// The verdict over the comparisons, and why.
    fn decide(&self, compared: &[(Comparison, Mark)]) -> (Verdict, f64, Vec<Reason>) {
        let marks: Vec<Mark> = compared.iter().map(|(_, mark)| *mark).collect();
        let score = self.groups.score(&marks);
        let verdict = if score <= self.config.marginal {
            Verdict::Rollback
        } else if score >= self.config.pass {
            return (Verdict::Advance, score, Vec::new());
        } else {
            Verdict::Hold
        };
        let sparse = too_many_without_data(&marks);
        let mut why: Vec<(Mark, Reason)> = Vec::new();
        for (watch, (comparison, mark)) in self.watches.iter().zip(compared) {
            match mark {
                Mark::Pass => {}
                Mark::NoData if !sparse => {}
                Mark::NoData | Mark::NoDataFails | Mark::NoDataCritical => {
                    let (metric, absence) = (watch.name.clone(), Absence::Nothing);
                    why.push((*mark, Reason::NoData { metric, absence }));
                }
                Mark::Fail | Mark::Critical => why.push((
                    *mark,
                    Reason::Shifted {
                        metric: watch.name.clone(),
                        shift: comparison.shift,
                        unit: Unit::of(&watch.signal),
                        p_value: comparison.p_value,
                    },
                )),
            }
        }
        // The critical ones first: they alone make the score 0.
        why.sort_by_key(|(mark, _)| !matches!(mark, Mark::Critical | Mark::NoDataCritical));
        let mut why: Vec<Reason> = why.into_iter().map(|(_, reason)| reason).collect();
        why.push(Reason::LowScore {
            score: Score::new(score),
            need: Score::new(self.config.pass),
        });
        (verdict, score, why)
    }
}

/// What a comparison is worth.
fn mark(watch: &Watch, metric: &KayentaMetric, comparison: &Comparison) -> Mark {
    let rises = match comparison.class {
        Class::Pass => return Mark::Pass,
        Class::NoData if watch.critical => return Mark::NoDataCritical,
        Class::NoData if metric.must_have_data => return Mark::NoDataFails,
        Class::NoData => return Mark::NoData,
        Class::High => true,
        Class::Low => false,
    };
    if watch.critical && metric.effect.is_critical(rises, comparison.effect) {
        Mark::Critical
    } else {
        Mark::Fail
    }
}

impl Judge for Kayenta {
    fn name(&self) -> &str {
        "kayenta"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let mut record: Record = evidence.memory.recall();
        record
            .series
            .resize_with(self.watches.len(), Series::default);
        record.turns.enter(evidence.stage);
        if let Some(failure) = evidence.failure {
            let (in_row, failure) = (1, failure.clone());
            let why = vec![Reason::SourceFailed { in_row, failure }];
            return Assessment::new(Verdict::Hold, why).with_memory(Memory::of(&record));
        }
        let new = record.turns.count(evidence);
        let each = self.watches.iter().enumerate().zip(&mut record.series);
        let values: Vec<_> = each
            .map(|((index, watch), series)| {
                let reading = sample::reading(evidence, index, watch);
                let seen = sample::canary(evidence, reading, &watch.signal, self.oldest);
                let canary = seen.map(|seen| seen.value(&watch.signal)).ok();
                let fresh = reading.filter(|r| sample::age(evidence, r) <= self.oldest);
                let stable = sample::stable(fresh, &watch.signal);
                if new {
                    series.push(canary, stable);
                }
                (canary, stable)
            })
            .collect();
        if let Some(reason) = record.turns.waiting(self.config.interval) {
            return Assessment::new(Verdict::Hold, vec![reason]).with_memory(Memory::of(&record));
        }
        let compared = self.compare(&record);
        let (verdict, score, why) = self.decide(&compared);
        let each = self.watches.iter().zip(&compared).zip(values);
        let metrics = each.map(|((watch, (_, mark)), (canary, stable))| {
            let (outcome, range) = match mark {
                Mark::Pass => (MetricOutcome::Pass, ScoreRange::exactly(Score::BEST)),
                Mark::Fail | Mark::Critical => {
                    (MetricOutcome::Fail, ScoreRange::exactly(Score::WORST))
                }
                Mark::NoData | Mark::NoDataFails | Mark::NoDataCritical => {
                    (MetricOutcome::Missing, ScoreRange::UNKNOWN)
                }
            };
            MetricAssessment::new(watch.name.as_str(), outcome, range).with_values(canary, stable)
        });
        let metrics = metrics.collect();
        Assessment::new(verdict, why)
            .with_score(ScoreRange::exactly(Score::new(score)))
            .with_metrics(metrics)
            .with_memory(Memory::of(&record))
    }
}
