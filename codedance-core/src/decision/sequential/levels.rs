//! Latencies as counts: how many requests took longer than a few bounds.

use serde::{Deserialize, Serialize};

use super::contest::{Contest, Count, Hypotheses};
use super::odds::ALTERNATIVES;
use crate::metrics::Histogram;

/// How many bounds are watched at most.
const BOUNDS: usize = 4;

/// Which quantiles of the stable side the bounds are to be near, as shares of slower requests.
const SLOWER: [f64; 3] = [0.5, 0.1, 0.01];

/// How far beyond the bound near the P99 the last one lies, for faults that hit few requests hard.
const FAR: f64 = 2.0;

/// How much slower than stable the canary may be, as a factor on every latency, beside the tolerance.
const SLOWDOWNS: [f64; 3] = [1.06, 1.2, 1.66];

/// How many times more requests may be slower than a bound when only some are hit.
const JUMPS: [f64; 2] = [6.0, 40.0];

pub(super) const PRIOR: [f64; ALTERNATIVES] = [0.25, 0.35, 0.15, 0.15, 0.1];

/// A latency that wanders by so little from interval to interval counts as steady (the coefficient of
/// variation of a side's scale).
const STEADY: f64 = 0.03;

/// One bound, and who was slower.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub(super) struct Level {
    /// In seconds.
    bound: f64,
    /// By how many percent the odds of a request slower than the bound grow when all requests become one
    /// percent slower.
    elasticity: f32,
    pub(super) contest: Contest,
}

type Packed = (f64, f32, Contest);

impl From<Packed> for Level {
    fn from((bound, elasticity, contest): Packed) -> Self {
        let elasticity = if elasticity.is_finite() {
            elasticity
        } else {
            1.0
        };
        Self {
            bound,
            elasticity: elasticity.clamp(1.0, STEEPEST),
            contest,
        }
    }
}

impl From<Level> for Packed {
    fn from(level: Level) -> Self {
        (level.bound, level.elasticity, level.contest)
    }
}

/// Where buckets are narrow the estimate of an elasticity may be anything.
const STEEPEST: f32 = 8.0;

impl Level {
    /// In seconds.
    pub(super) const fn bound(&self) -> f64 {
        self.bound
    }

    /// What its contest is about.
    pub(super) fn hypotheses(&self, tolerance: f64) -> Hypotheses {
        let elasticity = f64::from(self.elasticity);
        let null = elasticity * tolerance.ln();
        let mut alternatives = [0.0; ALTERNATIVES];
        let slower = SLOWDOWNS.map(|factor| elasticity * (tolerance * factor).ln());
        let jumps = JUMPS.map(|factor| null + factor.ln());
        for (alternative, ratio) in alternatives.iter_mut().zip(slower.into_iter().chain(jumps)) {
            *alternative = ratio;
        }
        Hypotheses {
            null,
            alternatives,
            prior: PRIOR,
            noise: elasticity * STEADY,
        }
    }

    /// How many requests were slower than the bound. `None` if the histogram does not have it.
    pub(super) fn count(&self, histogram: &Histogram) -> Option<Count> {
        let bounds = histogram.bounds();
        let index = bounds.iter().position(|bound| *bound == self.bound)?;
        Some(Count {
            bad: histogram.above(index),
            total: histogram.total(),
        })
    }

    /// The bounds to watch, from what is known of the stable side: near its P50, its P90 and its P99, and
    /// one far beyond. None of them if nothing is known yet.
    pub(super) fn choose(past: &[&Histogram]) -> Vec<Self> {
        let Some(shares) = Shares::of(past) else {
            return Vec::new();
        };
        let mut indices: Vec<usize> = SLOWER.iter().filter_map(|s| shares.nearest(*s)).collect();
        let tail = indices.last().copied();
        let far = tail.and_then(|tail| shares.beyond(tail));
        indices.extend(far);
        indices.sort_unstable();
        indices.dedup();
        indices.truncate(BOUNDS);
        indices
            .into_iter()
            .map(|index| Self {
                bound: shares.bounds[index],
                elasticity: shares.elasticity(index).clamp(1.0, f64::from(STEEPEST)) as f32,
                contest: Contest::default(),
            })
            .collect()
    }
}

/// What share of requests was slower than each bound.
struct Shares<'a> {
    bounds: &'a [f64],
    /// In log odds; both ends are kept off certainty.
    log_odds: Vec<f64>,
}

impl<'a> Shares<'a> {
    /// Of all histograms that have the last one's bounds.
    fn of(past: &[&'a Histogram]) -> Option<Self> {
        let bounds = past.last()?.bounds();
        let same = || past.iter().filter(|histogram| histogram.bounds() == bounds);
        let total: f64 = same().map(|histogram| histogram.total() as f64).sum();
        let log_odds = (0..bounds.len()).map(|index| {
            let slower: f64 = same().map(|histogram| histogram.above(index) as f64).sum();
            ((slower + 0.5) / (total - slower + 0.5)).ln()
        });
        (total > 0.0).then(|| Self {
            bounds,
            log_odds: log_odds.collect(),
        })
    }

    /// The bound that a share nearest to this one is slower than.
    fn nearest(&self, share: f64) -> Option<usize> {
        let wanted = (share / (1.0 - share)).ln();
        let distance = |index: &usize| (self.log_odds[*index] - wanted).abs();
        (0..self.bounds.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }

    /// The first bound far beyond that one.
    fn beyond(&self, index: usize) -> Option<usize> {
        let far = FAR * self.bounds[index];
        self.bounds.iter().position(|bound| *bound >= far)
    }

    /// The slope of the log odds over the logarithm of the bound, between its neighbours.
    fn elasticity(&self, index: usize) -> f64 {
        let below = index.saturating_sub(1);
        let above = (index + 1).min(self.bounds.len() - 1);
        let run = (self.bounds[above] / self.bounds[below]).ln();
        if run > 0.0 {
            (self.log_odds[below] - self.log_odds[above]) / run
        } else {
            1.0
        }
    }
}
