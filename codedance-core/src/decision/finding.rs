//! What each metric says at one look, and the score of all of them.

use super::breach::Breach;
use super::judge::{MetricAssessment, MetricOutcome};
use super::metric::Watch;
use super::quantity::Unit;
use super::rates::surely_above;
use super::reason::{Absence, Reason};
use super::sample::Seen;
use super::score::{Score, ScoreRange};
use crate::metrics::Signal;

/// What one metric says.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) outcome: MetricOutcome,
    /// The low and the high end of its score, in points.
    pub(super) low: f64,
    pub(super) high: f64,
    /// The value that was judged, and the limit that it is held against.
    seen: Result<(Seen, f64), Absence>,
    /// How many samples are there, if fewer than needed.
    pub(super) few: Option<u64>,
}

impl Finding {
    /// Judges one metric.
    ///
    /// What is not known is an interval. Nothing known: from 0 to 100. A rate that is beyond its limit,
    /// but not for certain, may be as good as one exactly at the limit: up to 50. With too few samples,
    /// anything may come yet, except that what is broken for certain stays broken.
    pub(super) fn of(watch: &Watch, seen: Result<Seen, Absence>, enough: u64) -> Self {
        let seen = match seen {
            Ok(seen) => seen,
            Err(absence) => return Self::missing(absence),
        };
        let (value, count) = match seen {
            // Success rates are judged by their share of errors, as their curve is.
            Seen::Rate { bad, total } => (bad as f64 / total as f64, Some(total)),
            Seen::Latency { seconds, count } => (seconds, Some(count)),
            Seen::Gauge(value) => (value, None),
        };
        let Some((score, limit)) = watch.curves.score(value) else {
            return Self::missing(Absence::Unusable);
        };
        let few = count.filter(|count| *count < enough);
        // Below 50 points means beyond the limit; see `Curve::score`.
        let beyond = score < 50.0;
        let failed = match seen {
            Seen::Rate { bad, total } => beyond && surely_above(bad, total, limit),
            Seen::Latency { .. } => beyond && few.is_none(),
            Seen::Gauge(_) => beyond,
        };
        let low = if few.is_some() { 0.0 } else { score };
        let (outcome, high) = match (failed, few) {
            (true, _) => (MetricOutcome::Fail, score),
            (false, Some(_)) => (MetricOutcome::Inconclusive, 100.0),
            (false, None) if beyond => (MetricOutcome::Inconclusive, 50.0),
            (false, None) => (MetricOutcome::Pass, score),
        };
        let limit = if matches!(watch.signal, Signal::SuccessRate) {
            1.0 - limit
        } else {
            limit
        };
        Self {
            outcome,
            low,
            high,
            seen: Ok((seen, limit)),
            few,
        }
    }

    const fn missing(absence: Absence) -> Self {
        Self {
            outcome: MetricOutcome::Missing,
            low: 0.0,
            high: 100.0,
            seen: Err(absence),
            few: None,
        }
    }

    /// Whether what there is lies beyond the limit, for certain or not.
    pub(super) fn is_beyond(&self, watch: &Watch) -> bool {
        let value = match self.seen {
            Ok((Seen::Rate { bad, total }, _)) => bad as f64 / total as f64,
            Ok((Seen::Latency { seconds, .. }, _)) => seconds,
            Ok((Seen::Gauge(value), _)) => value,
            Err(_) => return false,
        };
        watch
            .curves
            .score(value)
            .is_some_and(|(score, _)| score < 50.0)
    }

    /// Why it is not a pass.
    pub(super) fn reason(&self, watch: &Watch, enough: u64) -> Option<Reason> {
        let metric = || watch.name.clone();
        match (&self.seen, self.outcome, self.few) {
            (Err(absence), _, _) => Some(Reason::NoData {
                metric: metric(),
                absence: absence.clone(),
            }),
            (Ok((seen, limit)), MetricOutcome::Fail, _) => {
                Some(Reason::MetricFailed(breach(watch, *seen, *limit)))
            }
            (Ok(_), _, Some(have)) => Some(Reason::FewSamples {
                metric: metric(),
                have,
                need: enough,
            }),
            (Ok((seen, limit)), MetricOutcome::Inconclusive, None) => {
                Some(Reason::MetricDoubtful(breach(watch, *seen, *limit)))
            }
            (Ok(_), MetricOutcome::Pass | MetricOutcome::Missing, None) => None,
        }
    }

    /// For the record.
    pub(super) fn assessment(&self, watch: &Watch, stable: Option<f64>) -> MetricAssessment {
        let range = ScoreRange {
            low: Score::new(self.low),
            high: Score::new(self.high),
        };
        let canary = self.seen.as_ref().ok();
        MetricAssessment::new(watch.name.as_str(), self.outcome, range)
            .with_values(canary.map(|(seen, _)| seen.value(&watch.signal)), stable)
    }
}

/// A value beyond its limit, with the requests that it is made of.
pub(super) fn breach(watch: &Watch, seen: Seen, limit: f64) -> Breach {
    let (part, of) = match seen {
        Seen::Rate { bad, total } if matches!(watch.signal, Signal::SuccessRate) => {
            (Some(total - bad), Some(total))
        }
        Seen::Rate { bad, total } => (Some(bad), Some(total)),
        Seen::Latency { count, .. } => (None, Some(count)),
        Seen::Gauge(_) => (None, None),
    };
    let value = seen.value(&watch.signal);
    Breach::new(watch.name.as_str(), value, limit, Unit::of(&watch.signal)).with_requests(part, of)
}

/// The score of all metrics: the mean by weight of the low ends and of the high ends. A critical metric
/// caps it: at 49 when it has failed, at 0 when it is as bad as can be.
pub(super) fn health(watches: &[Watch], findings: &[Finding]) -> ScoreRange {
    let end = |points: fn(&Finding) -> f64| {
        let (mut sum, mut cap) = (0.0, 100.0_f64);
        for (watch, finding) in watches.iter().zip(findings) {
            let points = points(finding);
            sum += watch.share * points;
            if watch.critical && points < 50.0 {
                cap = cap.min(if points > 0.0 { 49.0 } else { 0.0 });
            }
        }
        Score::new(if watches.is_empty() {
            cap
        } else {
            sum.min(cap)
        })
    };
    ScoreRange {
        low: end(|finding| finding.low),
        high: end(|finding| finding.high),
    }
}
