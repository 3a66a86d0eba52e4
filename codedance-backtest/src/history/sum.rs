//! What several intervals in a row say together.

use codedance_core::metrics::{Histogram, Sample};

/// Both as one: counts and histograms add up, of gauges the later one holds, and of quantiles the mean by requests is
/// taken, which is an approximation (quantiles do not add up). What is of another shape than what was
/// before it takes its place.
pub(super) fn together(earlier: Sample, later: &Sample) -> Sample {
    match (earlier, later) {
        (earlier, Sample::NoData) => earlier,
        (
            Sample::Counts { bad, total },
            Sample::Counts {
                bad: more_bad,
                total: more,
            },
        ) => Sample::Counts {
            bad: bad.saturating_add(*more_bad),
            total: total.saturating_add(*more),
        },
        (
            Sample::Quantile { value, count },
            Sample::Quantile {
                value: other,
                count: more,
            },
        ) if count > 0 && *more > 0 => {
            let all = count.saturating_add(*more);
            let share = *more as f64 / all as f64;
            Sample::Quantile {
                value: value + (other - value) * share,
                count: all,
            }
        }
        (Sample::Histogram(mine), Sample::Histogram(other)) if mine.bounds() == other.bounds() => {
            Sample::Histogram(add(&mine, other))
        }
        (earlier @ Sample::Quantile { .. }, Sample::Quantile { count: 0, .. }) => earlier,
        (_, later) => later.clone(),
    }
}

fn add(mine: &Histogram, other: &Histogram) -> Histogram {
    let both = mine.counts().iter().zip(other.counts());
    let counts: Vec<u64> = both.map(|(a, b)| a.saturating_add(*b)).collect();
    // Of the same bounds, and so of as many counts, as one that exists.
    Histogram::new(mine.bounds(), counts).unwrap_or_else(|_| mine.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_gauges_last_and_quantiles_are_weighed() {
        let counts = |bad, total| Sample::Counts { bad, total };
        let quantile = |value, count| Sample::Quantile { value, count };
        let histogram = |bounds: &[f64], counts: &[u64]| {
            Sample::Histogram(Histogram::new(bounds, counts).unwrap())
        };
        for (earlier, later, sum) in [
            (Sample::NoData, Sample::NoData, Sample::NoData),
            (counts(1, 10), Sample::NoData, counts(1, 10)),
            (Sample::NoData, counts(1, 10), counts(1, 10)),
            (counts(1, 10), counts(2, 30), counts(3, 40)),
            (counts(0, u64::MAX), counts(0, 1), counts(0, u64::MAX)),
            (Sample::Gauge(1.0), Sample::Gauge(2.0), Sample::Gauge(2.0)),
            (Sample::Gauge(1.0), Sample::NoData, Sample::Gauge(1.0)),
            (quantile(1.0, 30), quantile(2.0, 10), quantile(1.25, 40)),
            (quantile(1.0, 30), quantile(9.0, 0), quantile(1.0, 30)),
            (quantile(9.0, 0), quantile(1.0, 30), quantile(1.0, 30)),
            (
                histogram(&[0.1, 1.0], &[1, 2, 3]),
                histogram(&[0.1, 1.0], &[10, u64::MAX, 0]),
                histogram(&[0.1, 1.0], &[11, u64::MAX, 3]),
            ),
            (
                histogram(&[0.1, 1.0], &[1, 2, 3]),
                histogram(&[0.1], &[4, 5]),
                histogram(&[0.1], &[4, 5]),
            ),
        ] {
            assert_eq!(
                together(earlier.clone(), &later),
                sum,
                "{earlier:?} {later:?}"
            );
        }
    }
}
