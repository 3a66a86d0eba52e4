//! Latencies, as quantiles and as histograms.

use super::{GOOD, Harness, SOME, latency, measure, must_refuse, near, quantile};
use crate::metrics::{Histogram, Quantile, Sample};

/// It is a number of seconds, over all requests of the window.
pub(super) async fn a_latency_says_over_how_many(harness: &Harness) {
    let median = latency(0.5);
    if !harness.reads(&median) {
        return must_refuse(harness, median).await;
    }
    let window = harness.requests(SOME, GOOD).await;
    let reading = measure(harness, median, window).await;
    for (sample, requests) in [(reading.canary, SOME), (reading.stable, GOOD)] {
        let value = seconds(&sample, quantile(0.5));
        assert!(
            (0.0..60.0).contains(&value),
            "{value} is no latency in seconds"
        );
        let count = match sample {
            Sample::Quantile { count, .. } => count,
            Sample::Histogram(histogram) => histogram.total(),
            Sample::NoData | Sample::Counts { .. } | Sample::Gauge(_) => 0,
        };
        near(harness, count, requests.total);
    }
}

/// The P99 is at least the median.
pub(super) async fn a_greater_quantile_is_not_smaller(harness: &Harness) {
    if !harness.reads(&latency(0.5)) {
        return must_refuse(harness, latency(0.5)).await;
    }
    let window = harness.requests(SOME, GOOD).await;
    let mut last = 0.0;
    for share in [0.01, 0.5, 0.99] {
        let sample = measure(harness, latency(share), window).await.canary;
        let value = seconds(&sample, quantile(share));
        assert!(
            value >= last,
            "{share} of the requests take {value} s, a smaller share {last} s"
        );
        last = value;
    }
}

/// The bounds of both sides are the same, at every look and for every quantile.
pub(super) async fn a_histogram_keeps_its_bounds(harness: &Harness) {
    if !harness.reads(&latency(0.5)) {
        return must_refuse(harness, latency(0.5)).await;
    }
    let mut bounds: Option<Vec<f64>> = None;
    for (share, canary, stable) in [(0.5, SOME, GOOD), (0.5, GOOD, SOME), (0.99, SOME, GOOD)] {
        let window = harness.requests(canary, stable).await;
        let reading = measure(harness, latency(share), window).await;
        for sample in [reading.canary, reading.stable] {
            if let Sample::Histogram(histogram) = sample {
                let first = bounds.get_or_insert_with(|| histogram.bounds().to_vec());
                assert_eq!(histogram.bounds(), first, "the bounds of every histogram");
            }
        }
    }
}

/// Its quantiles lie in the bucket in which they truly lay.
pub(super) async fn a_histogram_counts_in_the_right_bucket(harness: &Harness) {
    if !harness.reads(&latency(0.5)) {
        return must_refuse(harness, latency(0.5)).await;
    }
    let window = harness.requests(SOME, GOOD).await;
    for share in [0.05, 0.5, 0.95] {
        let reading = measure(harness, latency(share), window).await;
        let sides = [
            (harness.canary(), reading.canary),
            (harness.stable(), reading.stable),
        ];
        for (revision, sample) in sides {
            let Sample::Histogram(histogram) = sample else {
                continue;
            };
            let value = histogram.quantile(quantile(share)).unwrap_or(f64::NAN);
            let truth = harness.took(&revision, window, quantile(share));
            let buckets = bucket(&histogram, *truth.start())..=bucket(&histogram, *truth.end());
            assert!(
                buckets.contains(&bucket(&histogram, value)),
                "{share} of {revision}'s requests took {truth:?} s, not {value} s: {histogram:?}"
            );
        }
    }
}

/// What a sample of a latency says about the quantile that was asked for.
#[track_caller]
fn seconds(sample: &Sample, quantile: Quantile) -> f64 {
    match sample {
        Sample::Quantile { value, .. } => *value,
        Sample::Histogram(histogram) => histogram
            .quantile(quantile)
            .unwrap_or_else(|| panic!("a histogram of no requests is no data: {histogram:?}")),
        Sample::NoData | Sample::Counts { .. } | Sample::Gauge(_) => {
            panic!("a latency is a quantile or a histogram, not {sample:?}")
        }
    }
}

/// In which bucket such a latency counts. The highest bound stands for all above it, too.
fn bucket(histogram: &Histogram, seconds: f64) -> usize {
    let bounds = histogram.bounds();
    bounds
        .partition_point(|bound| *bound < seconds)
        .min(bounds.len() - 1)
}
