//! From a value to its score.

/// The way from a value to its score, for values of which more is worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curve {
    pub(super) warn: f64,
    pub(super) fail: f64,
    pub(super) crit: f64,
}

impl Curve {
    /// From 100 to 0, falling nowhere as `value` falls; `None` for NaN.
    pub(super) fn score(&self, value: f64) -> Option<f64> {
        let between = |from: f64, to: f64| (to - value) / (to - from);
        if value.is_nan() {
            None
        } else if value <= self.warn {
            Some(100.0)
        } else if value <= self.fail {
            Some(50.0 + 50.0 * between(self.warn, self.fail))
        } else if value < self.crit {
            Some(50.0 * between(self.fail, self.crit))
        } else {
            Some(0.0)
        }
    }
}

/// One curve, or one for either side. At least one is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curves {
    /// Over the value (of success rates: over the share of errors).
    pub(super) upper: Option<Curve>,
    /// Over the value with its sign turned.
    pub(super) lower: Option<Curve>,
}

impl Curves {
    /// The lower of both sides' scores, and the limit of that side in the value's own sign.
    pub(super) fn score(&self, value: f64) -> Option<(f64, f64)> {
        let upper = self.upper.map(|c| c.score(value).map(|s| (s, c.fail)));
        let lower = self.lower.map(|c| c.score(-value).map(|s| (s, -c.fail)));
        let worst = |a: (f64, f64), b: (f64, f64)| if b.0 < a.0 { b } else { a };
        match (upper, lower) {
            (Some(a), Some(b)) => Some(worst(a?, b?)),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_falls_in_straight_lines() {
        let curve = Curve {
            warn: 1.0,
            fail: 2.0,
            crit: 4.0,
        };
        for (value, score) in [
            (f64::NEG_INFINITY, 100.0),
            (1.0, 100.0),
            (1.5, 75.0),
            (2.0, 50.0),
            (3.0, 25.0),
            (4.0, 0.0),
            (f64::INFINITY, 0.0),
        ] {
            assert_eq!(curve.score(value), Some(score), "{value}");
        }
        assert_eq!(curve.score(f64::NAN), None);
        let steep = Curve {
            warn: 0.0,
            fail: 0.0,
            crit: 0.0,
        };
        assert_eq!(
            (steep.score(0.0), steep.score(1e-9)),
            (Some(100.0), Some(0.0))
        );
    }

    #[test]
    fn of_two_sides_the_worse_one_counts() {
        let upper = Curve {
            warn: 80.0,
            fail: 80.0,
            crit: 160.0,
        };
        let lower = Curve {
            warn: -20.0,
            fail: -20.0,
            crit: -10.0,
        };
        let curves = Curves {
            upper: Some(upper),
            lower: Some(lower),
        };
        assert_eq!(curves.score(50.0), Some((100.0, 80.0)));
        assert_eq!(curves.score(120.0), Some((25.0, 80.0)));
        assert_eq!(curves.score(15.0), Some((25.0, 20.0)));
        assert_eq!(curves.score(f64::NAN), None);
    }
}
