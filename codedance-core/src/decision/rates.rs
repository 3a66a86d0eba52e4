//! Whether a share of bad requests lies above a limit for certain.

use statrs::distribution::{Beta, ContinuousCDF};
use statrs::function::erf::erfc;

/// How unlikely the counts must be, if the true share were at the limit, for it to be broken.
const DOUBT: f64 = 0.05;

/// Whether the lower 95 % bound of Clopper and Pearson for `bad` of `total` lies above `limit`.
///
/// The bound is the quantile 0.05 of Beta(bad, total − bad + 1). It lies above `limit` exactly when that
/// distribution's value at `limit` is below 0.05, so one evaluation tells, and the quantile need not be
/// searched for. `bad` may not exceed `total`.
pub(super) fn surely_above(bad: u64, total: u64, limit: f64) -> bool {
    let (x, n) = (bad as f64, total as f64);
    if bad == 0 || x <= limit * n {
        return false;
    }
    if limit <= 0.0 {
        return true;
    }
    chance(x, n, limit) < DOUBT
}

/// The chance of `x` or more bad ones of `n` when each is bad with the chance `p`, above 0 and below 1.
fn chance(x: f64, n: f64, p: f64) -> f64 {
    let variance = n * p * (1.0 - p);
    // The continued fraction behind the Beta distribution loses its digits for large counts; there the
    // normal approximation, corrected for continuity and skew, is right to five decimals (tested).
    if variance > 10_000.0 {
        let deviation = variance.sqrt();
        let z = (x - 0.5 - n * p) / deviation;
        let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let skew = (1.0 - 2.0 * p) / deviation;
        return 0.5 * erfc(z / std::f64::consts::SQRT_2) + skew * (z * z - 1.0) / 6.0 * density;
    }
    // Both shapes are at least 1, so this never fails; if it did, nothing would be sure.
    Beta::new(x, n - x + 1.0).map_or(1.0, |beta| beta.cdf(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_bound_itself() {
        for total in [1_u64, 5, 50, 203, 1_000, 20_000] {
            for limit in [0.001, 0.01, 0.2, 0.5, 0.95] {
                for bad in (1..=total).step_by((total / 50).max(1) as usize) {
                    let shape = Beta::new(bad as f64, (total - bad) as f64 + 1.0).unwrap();
                    let bound = shape.inverse_cdf(DOUBT);
                    if (bound - limit).abs() > 1e-9 {
                        assert_eq!(
                            surely_above(bad, total, limit),
                            bound > limit,
                            "{bad} of {total}, limit {limit}, bound {bound}"
                        );
                    }
                }
            }
        }
    }

    /// One bad of n gives 1 − 0.95^(1/n), all bad give 0.05^(1/n).
    #[test]
    fn agrees_with_known_bounds() {
        for (bad, total, bound) in [(1, 1, 0.05), (1, 50, 0.001_025_338), (5, 5, 0.549_280_3)] {
            assert!(surely_above(bad, total, bound - 1e-5), "{bad} of {total}");
            assert!(!surely_above(bad, total, bound + 1e-5), "{bad} of {total}");
        }
    }

    #[test]
    fn the_approximation_joins_on() {
        for p in [0.01, 0.1, 0.5, 0.9] {
            let n = (10_001.0 / (p * (1.0_f64 - p))).ceil();
            let deviation = (n * p * (1.0 - p)).sqrt();
            for z in [1.0, 1.5, 1.645, 2.0, 3.0] {
                let x = (n * p + z * deviation).round();
                let exact = Beta::new(x, n - x + 1.0).unwrap().cdf(p);
                assert!((chance(x, n, p) - exact).abs() < 1e-5, "{p} {z}");
            }
        }
    }

    #[test]
    fn more_bad_ones_are_never_less_sure() {
        for (total, limit) in [(60, 0.01), (1_000, 0.3), (3_000_000, 0.01)] {
            let mut sure = false;
            for bad in 0..=total.min(60_000) {
                let now = surely_above(bad, total, limit);
                assert!(now || !sure, "{bad} of {total}");
                sure = now;
            }
        }
    }

    #[test]
    fn extremes_are_judged_without_a_panic() {
        assert!(surely_above(u64::MAX, u64::MAX, 0.5));
        assert!(!surely_above(u64::MAX, u64::MAX, 1.0));
        assert!(surely_above(1, u64::MAX, 0.0));
        assert!(!surely_above(1, u64::MAX, 0.5));
        assert!(!surely_above(0, 0, 0.0));
        assert!(surely_above(u64::MAX, u64::MAX, 1.0 - 1e-15));
        assert!(!surely_above(1, 1, 1.0));
    }
}
