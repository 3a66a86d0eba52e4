//! How healthy the canary looks, from 0 to 100, and how sure that is.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A score from 0 (as bad as can be) to 100 (nothing to see), held in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u16);

impl Score {
    /// As bad as can be.
    pub const WORST: Self = Self(0);
    /// Nothing to see.
    pub const BEST: Self = Self(10_000);

    /// The nearest score to `points`, clamped to 0 and 100; NaN is the worst.
    #[must_use]
    pub fn new(points: f64) -> Self {
        let hundredths = (points.clamp(0.0, 100.0) * 100.0).round();
        // A float-to-integer cast saturates and turns NaN into 0: exactly the clamp wanted.
        Self(hundredths as u16)
    }

    /// From 0 to 100.
    #[must_use]
    pub fn points(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.points(), f)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.points())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let points = f64::deserialize(deserializer)?;
        if !(0.0..=100.0).contains(&points) {
            return Err(serde::de::Error::custom(format!(
                "`{points}` is not a score from 0 to 100"
            )));
        }
        Ok(Self::new(points))
    }
}

/// What the score may be: missing data widens it, they do not lower it.
///
/// Advancing reads the low end, rolling back the high end: so what is not known can neither promote a
/// canary nor condemn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRange {
    /// If everything missing were as bad as can be.
    pub low: Score,
    /// If everything missing were fine. Never below `low`.
    pub high: Score,
}

impl ScoreRange {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        low: Score::WORST,
        high: Score::BEST,
    };

    /// Exactly this score.
    #[must_use]
    pub const fn exactly(score: Score) -> Self {
        Self {
            low: score,
            high: score,
        }
    }
}

impl fmt::Display for ScoreRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}–{}", self.low, self.high)
        }
    }
}
