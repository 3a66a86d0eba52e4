//! How many requests took how long.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Quantile;

/// The most bounds that a histogram has.
const MOST_BOUNDS: usize = 200;

/// How many requests took how long, counted in buckets.
///
/// A bucket holds what took longer than the bound before it, and no longer than its own; the first
/// begins at 0, and the last, which has no bound, holds all that took longer than the highest one.
///
/// Clones share one copy of the bounds and the counts.
///
/// ```
/// use codedance_core::metrics::{Histogram, Quantile};
///
/// // 4 requests within half a second, 4 more within a second, none slower.
/// let histogram = Histogram::new(vec![0.5, 1.0], vec![4, 4, 0])?;
/// assert_eq!((histogram.total(), histogram.above(0)), (8, 4));
/// assert_eq!(histogram.quantile(Quantile::new(0.75)?), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Histogram {
    pub(super) bounds: Arc<[f64]>,
    pub(super) counts: Arc<[u64]>,
}

#[derive(Deserialize)]
#[serde(rename = "Histogram", deny_unknown_fields)]
struct Unchecked {
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl Histogram {
    /// Counts by upper bounds in seconds: one count for each bound, and one last for what is above
    /// them all. Histograms that are given the same `Arc` share their bounds.
    ///
    /// # Errors
    /// Unless the bounds are 1 to 200, finite, greater than 0 and strictly ascending, and there is one
    /// more count than bounds.
    pub fn new(
        bounds: impl Into<Arc<[f64]>>,
        counts: impl Into<Arc<[u64]>>,
    ) -> Result<Self, HistogramError> {
        let (bounds, counts) = (bounds.into(), counts.into());
        if !(1..=MOST_BOUNDS).contains(&bounds.len()) {
            let found = bounds.len();
            return Err(HistogramError::Bounds { found });
        }
        let mut before = 0.0;
        for (index, bound) in bounds.iter().copied().enumerate() {
            if !bound.is_finite() || bound <= 0.0 {
                return Err(HistogramError::Bound { index, bound });
            }
            if bound <= before {
                return Err(HistogramError::Order {
                    index,
                    bound,
                    before,
                });
            }
            before = bound;
        }
        if counts.len() != bounds.len() + 1 {
            return Err(HistogramError::Counts {
                found: counts.len(),
                expected: bounds.len() + 1,
            });
        }
        Ok(Self { bounds, counts })
    }

    /// The upper bounds of the buckets but the last, in seconds, ascending.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// How many requests each bucket holds: one count for each bound, and one for those above them all.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many requests there are; `u64::MAX` if there are more.
    #[must_use]
    pub fn total(&self) -> u64 {
        sum(&self.counts)
    }

    /// How many requests took longer than the bound with this index; `u64::MAX` if there are more, and
    /// 0 if there is no such bound.
    #[must_use]
    pub fn above(&self, index: usize) -> u64 {
        sum(self.counts.get(index.saturating_add(1)..).unwrap_or(&[]))
    }

    /// The time within which this share of the requests was answered, in seconds; `None` if there are
    /// none.
    ///
    /// Estimated as `histogram_quantile` of Prometheus does it: the requests of a bucket are taken to be
    /// spread evenly over it. Of a quantile above the highest bound nothing is known but that: it is
    /// the highest bound.
    #[must_use]
    pub fn quantile(&self, quantile: Quantile) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = quantile.share() * total as f64;
        let (mut below, mut lower) = (0_u64, 0.0);
        for (bound, inside) in self.bounds.iter().zip(self.counts.iter()) {
            let within = below.saturating_add(*inside);
            if within as f64 >= rank {
                // Above the rank of what is below, so the bucket is not empty. Rounding must not leave it.
                let share = (rank - below as f64) / *inside as f64;
                return Some(lower + (bound - lower) * share.min(1.0));
            }
            (below, lower) = (within, *bound);
        }
        Some(lower)
    }
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().copied().fold(0, u64::saturating_add)
}

impl TryFrom<Unchecked> for Histogram {
    type Error = HistogramError;

    fn try_from(unchecked: Unchecked) -> Result<Self, HistogramError> {
        Self::new(unchecked.bounds, unchecked.counts)
    }
}

/// Not a histogram.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// No bound, or too many.
    #[error("a histogram has 1 to {MOST_BOUNDS} bounds, not {found}")]
    Bounds {
        /// How many there are.
        found: usize,
    },
    /// A bound that no time can be compared with.
    #[error("`bounds[{index}]` is {bound}; write a finite number of seconds above 0, such as 0.25")]
    Bound {
        /// Its index, from 0.
        index: usize,
        /// The bound.
        bound: f64,
    },
    /// A bound that is not above the one before it.
    #[error(
        "`bounds[{index}]` is {bound}, not above the bound before it, {before}; sort the bounds, \
         each once"
    )]
    Order {
        /// Its index, from 0.
        index: usize,
        /// The bound.
        bound: f64,
        /// The bound before it.
        before: f64,
    },
    /// Not one count for each bucket.
    #[error(
        "a histogram of these bounds has {expected} counts, not {found}: one for each bound, and \
         one for what is above them all"
    )]
    Counts {
        /// How many counts there are.
        found: usize,
        /// How many there have to be.
        expected: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[u64]) -> Histogram {
        Histogram::new([1.0, 2.0, 4.0], counts).unwrap()
    }

    fn quantile(share: f64, counts: &[u64]) -> Option<f64> {
        histogram(counts).quantile(Quantile::new(share).unwrap())
    }

    #[test]
    fn what_is_no_histogram_is_refused_where_it_is_wrong() {
        let refused = |bounds: &[f64], counts: &[u64]| {
            let error = Histogram::new(bounds, counts).unwrap_err();
            error.to_string()
        };
        let many: Vec<f64> = (1..=201).map(f64::from).collect();
        assert!(refused(&[], &[1]).contains("not 0"));
        assert!(refused(&many, &[0; 202]).contains("not 201"));
        for bound in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let text = refused(&[0.5, bound], &[0; 3]);
            assert!(
                text.starts_with(&format!("`bounds[1]` is {bound};")),
                "{text}"
            );
        }
        for bound in [0.5, 0.25] {
            let text = refused(&[0.5, bound], &[0; 3]);
            let expected = format!("`bounds[1]` is {bound}, not above the bound before it, 0.5");
            assert!(text.starts_with(&expected), "{text}");
        }
        for counts in [&[1][..], &[1; 3]] {
            assert!(refused(&[0.5], counts).contains("has 2 counts"));
        }
        assert!(Histogram::new(&many[..200], vec![0; 201]).is_ok());
    }

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        assert_eq!(quantile(0.5, &[10, 0, 0, 0]), Some(0.5));
        assert_eq!(quantile(0.75, &[2, 0, 2, 0]), Some(3.0));
        assert_eq!(quantile(0.5, &[2, 0, 2, 0]), Some(1.0));
        assert_eq!(quantile(0.99, &[0, 0, 0, 7]), Some(4.0));
        assert_eq!(quantile(0.5, &[0, 0, 0, 0]), None);
    }

    #[test]
    fn counts_that_exceed_all_numbers_are_the_greatest() {
        let huge = histogram(&[u64::MAX, 5, u64::MAX, 1]);
        assert_eq!((huge.total(), huge.above(0)), (u64::MAX, u64::MAX));
        assert_eq!((huge.above(2), huge.above(3)), (1, 0));
        assert_eq!(huge.above(usize::MAX), 0);
        for share in [f64::MIN_POSITIVE, 0.5, 1.0 - f64::EPSILON / 2.0] {
            let value = quantile(share, &[u64::MAX, 5, u64::MAX, 1]).unwrap();
            assert!((0.0..=4.0).contains(&value), "{value}");
        }
    }

    #[test]
    fn it_is_written_and_read_with_the_same_checks() {
        let json = r#"{"bounds":[0.005,0.1],"counts":[3,0,1]}"#;
        let read: Histogram = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        for wrong in [
            r#"{"bounds":[0.1,0.005],"counts":[3,0,1]}"#,
            r#"{"bounds":[0.005,0.1],"counts":[3,0]}"#,
            r#"{"bounds":[0.1],"counts":[3,0],"sum":4}"#,
            r#"{"bounds":[0.1],"counts":[3,-1]}"#,
        ] {
            assert!(serde_json::from_str::<Histogram>(wrong).is_err(), "{wrong}");
        }
    }
}
