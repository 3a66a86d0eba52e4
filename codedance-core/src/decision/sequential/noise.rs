//! How much the share of bad requests wanders from interval to interval by itself.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

    /// What is reckoned with at least.
    pub(super) fn least() -> Self {
        Self::of_shares(LEAST)
    }

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

/// What is known of how the stable side scatters.
///
/// Once [`ENOUGH`] intervals are known it is settled: what the rollout itself does to the stable side must not
/// become its yardstick. One number is kept then, which is what a snapshot has room for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Scatter {
    /// The coefficient of variation of the odds of a bad request; 0 if counting explains all of it.
    Known(f32),
    /// What was seen so far.
    Gathering(Past),
}

impl Default for Scatter {
    fn default() -> Self {
        Self::Gathering(Past::default())
    }
}

/// A number is [`Scatter::Known`], a list [`Scatter::Gathering`]. Each look reads many of them, and a derived
/// implementation would put all of them aside before it knows which.
impl<'de> Deserialize<'de> for Scatter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Scatter;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a coefficient of variation, or what was seen so far")
            }

            fn visit_f64<E: de::Error>(self, variation: f64) -> Result<Scatter, E> {
                Ok(Scatter::Known(variation as f32))
            }

            fn visit_u64<E: de::Error>(self, variation: u64) -> Result<Scatter, E> {
                Ok(Scatter::Known(variation as f32))
            }

            fn visit_i64<E: de::Error>(self, variation: i64) -> Result<Scatter, E> {
                Ok(Scatter::Known(variation as f32))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, past: A) -> Result<Scatter, A::Error> {
                Past::deserialize(de::value::SeqAccessDeserializer::new(past))
                    .map(Scatter::Gathering)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Scatter {
    /// Adds an interval of the stable side.
    pub(super) fn add(&mut self, bad: u64, total: u64) {
        if let Self::Gathering(past) = self {
            past.add(bad, total);
            if past.intervals >= ENOUGH {
                *self = Self::Known(past.variation() as f32);
            }
        }
    }

    /// The noise to reckon with, whose coefficient of variation is taken to be at least `least`.
    pub(super) fn noise(&self, least: f64) -> Noise {
        let variation = match self {
            Self::Known(variation) => f64::from(*variation),
            Self::Gathering(past) if past.intervals >= FEW => past.variation(),
            Self::Gathering(_) => UNKNOWN,
        };
        // NaN, which only a forged snapshot can hold, is as good as nothing known.
        let variation = if variation.is_nan() {
            UNKNOWN
        } else {
            variation
        };
        Noise::of_shares(variation.max(least.max(LEAST)).min(MOST))
    }
}

/// The stable side's intervals so far.
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
    fn add(&mut self, bad: u64, total: u64) {
        if total == 0 {
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

    /// The coefficient of variation of the odds of a bad request, of which counting is no part.
    ///
    /// From the mean of the squares is taken what counting explains, and as much more as counting alone
    /// shows by chance (one standard error): at low traffic, what is left would be chance and not noise.
    fn variation(&self) -> f64 {
        let intervals = f64::from(self.intervals);
        let share = f64::from(self.bad) / f64::from(self.total);
        let spread = share * (1.0 - share);
        if self.intervals < 2 || spread.is_nan() || spread <= 0.0 {
            return 0.0;
        }
        let squares = f64::from(self.squares) / (intervals - 1.0);
        let counting = spread * f64::from(self.counting) / intervals;
        let chance = counting * (3.0 / intervals).sqrt();
        (squares - counting - chance).max(0.0).sqrt() / spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(shares: impl IntoIterator<Item = u64>, total: u64) -> f64 {
        let mut scatter = Scatter::default();
        for bad in shares {
            scatter.add(bad, total);
        }
        scatter.noise(0.0).deviation().unwrap()
    }

    fn of(variation: f64) -> f64 {
        Noise::of_shares(variation).deviation().unwrap()
    }

    #[test]
    fn what_scatters_is_noise_and_what_drifts_is_not() {
        // ±40 % around 5 of 1,000, of a million requests: counting explains next to nothing of it.
        let scattered = (0..60).map(|i| if i % 2 == 0 { 3_000 } else { 7_000 });
        // Half the mean square of successive differences is (0.8)² / 2, and its root 0.57.
        let found = deviation(scattered, 1_000_000);
        assert!((found - of(0.57)).abs() < 0.02, "{found}");
        let drifting = (0..60).map(|i| 3_000 + i * 100);
        assert_eq!(deviation(drifting, 1_000_000), of(LEAST));
    }

    #[test]
    fn what_counting_explains_is_no_noise() {
        // 3 of 600 on average, and 0, 3 or 6 in turn: what dice do.
        let few = (0..60).map(|i| [3, 5, 2, 1, 4, 3][i % 6]);
        assert_eq!(deviation(few, 600), of(LEAST));
    }

    #[test]
    fn as_long_as_little_is_known_much_is_assumed() {
        assert_eq!(deviation([], 600), of(UNKNOWN));
        assert_eq!(deviation((0..19).map(|_| 50), 10_000), of(UNKNOWN));
        assert_eq!(deviation((0..20).map(|_| 50), 10_000), of(LEAST));
    }

    #[test]
    fn once_it_is_known_it_stays() {
        let mut scatter = Scatter::default();
        for _ in 0..60 {
            scatter.add(50, 10_000);
        }
        let before = scatter;
        for bad in [0, 9_000, 1] {
            scatter.add(bad, 10_000);
        }
        assert_eq!(
            (before, scatter),
            (Scatter::Known(0.0), Scatter::Known(0.0))
        );
        let json = serde_json::to_string(&scatter).unwrap();
        assert_eq!(serde_json::from_str::<Scatter>(&json).unwrap(), scatter);
        let young = Scatter::default();
        let json = serde_json::to_string(&young).unwrap();
        assert_eq!(serde_json::from_str::<Scatter>(&json).unwrap(), young);
    }
}
