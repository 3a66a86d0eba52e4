//! How much the share of bad requests wanders from interval to interval by itself.

use serde::{Deserialize, Serialize};

/// How many intervals are enough to know the noise.
pub(super) const ENOUGH: u16 = 60;

/// From how many intervals on it is estimated at all.
const FEW: u16 = 20;

/// How large the noise is taken to be as long as too little is known: the coefficient of variation of
/// one side's share of bad requests.
const UNKNOWN: f64 = 0.3;

/// The noise is never taken to be smaller than this, so that a benign difference of a few percent stays
/// benign at any traffic.
const LEAST: f64 = 0.1;

/// The noise is never taken to be larger than this: shares that vary so much tell nothing anyway.
const MOST: f64 = 2.0;

/// How far the logarithm of the ratio between both sides scatters from one interval to the next, beyond
/// what counting leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise(Option<f64>);

impl Noise {
    /// None at all: requests are bad independently of each other.
    #[cfg(test)]
    pub(super) const NONE: Self = Self(None);

    /// Both sides' shares have this coefficient of variation, independently of each other.
    ///
    /// For shares that follow a gamma distribution of shape 1 ∕ cv², the difference of their logarithms
    /// has the variance 2 ψ′(1 ∕ cv²), of which these are the first terms.
    pub(super) fn of_shares(variation: f64) -> Self {
        let square = variation * variation;
        let variance = 2.0 * square * (1.0 + square / 2.0 + square * square / 6.0);
        Self(Some(variance.sqrt()))
    }

    /// The standard deviation of the log odds ratio.
    pub(super) const fn deviation(self) -> Option<f64> {
        self.0
    }
}

/// What the stable side's past tells about the noise.
///
/// Differences of successive shares are used, so that a slow drift of the traffic is not taken for noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub(super) struct Past {
    intervals: u16,
    /// The last share.
    last: f32,
    /// Half the squares of the differences.
    squares: f32,
    /// What part of them counting alone explains, up to the factor p (1 − p).
    counting: f32,
    bad: f32,
    total: f32,
}

type Packed = (u16, f32, f32, f32, f32, f32);

impl From<Packed> for Past {
    fn from((intervals, last, squares, counting, bad, total): Packed) -> Self {
        Self {
            intervals,
            last,
            squares,
            counting,
            bad,
            total,
        }
    }
}

impl From<Past> for Packed {
    fn from(past: Past) -> Self {
        (
            past.intervals,
            past.last,
            past.squares,
            past.counting,
            past.bad,
            past.total,
        )
    }
}

impl Past {
    /// Adds an interval of the stable side. Once [`ENOUGH`] are known, no more are taken: what the rollout
    /// itself does to the stable side must not become its yardstick.
    pub(super) fn add(&mut self, bad: u64, total: u64) {
        if total == 0 || self.intervals >= ENOUGH {
            return;
        }
        let share = bad.min(total) as f32 / total as f32;
        if self.intervals > 0 {
            let step = share - self.last;
            self.squares += step * step / 2.0;
        }
        self.counting += (total as f32).recip();
        self.last = share;
        self.bad += bad.min(total) as f32;
        self.total += total as f32;
        self.intervals += 1;
    }

    /// The share of bad requests, if there were any requests.
    fn share(&self) -> Option<f64> {
        (self.total > 0.0).then(|| f64::from(self.bad) / f64::from(self.total))
    }

    /// The coefficient of variation of the odds of a bad request, from [`LEAST`] up.
    ///
    /// From the mean of the squares is taken what counting explains, and as much more as counting alone
    /// shows by chance (one standard error): at low traffic, what is left would be chance and not noise.
    pub(super) fn variation(&self, least: f64) -> f64 {
        let least = least.max(LEAST);
        if self.intervals < FEW {
            return least.max(UNKNOWN);
        }
        let (Some(share), intervals) = (self.share(), f64::from(self.intervals)) else {
            return least.max(UNKNOWN);
        };
        let spread = share * (1.0 - share);
        if spread <= 0.0 {
            return least;
        }
        let squares = f64::from(self.squares) / (intervals - 1.0);
        let counting = spread * f64::from(self.counting) / intervals;
        let chance = counting * (3.0 / intervals).sqrt();
        let variance = (squares - counting - chance).max(0.0) / (spread * spread);
        variance.sqrt().clamp(least, MOST.max(least))
    }
}
