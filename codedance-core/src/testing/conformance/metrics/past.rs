//! How the stable revision did before.

use std::time::Duration;

use super::{GOOD, Harness, Requests, SOME, measure, near, one, only, readable};
use crate::metrics::{History, Sample, Window};
use crate::testing::conformance::done;

/// Oldest first, the stable side of each interval, as it was measured then; no data before there was any.
pub(super) async fn the_past_is_told_interval_by_interval(harness: &Harness) {
    let other = Requests { total: 50, bad: 10 };
    let first = harness.requests(SOME, GOOD).await;
    harness.requests(GOOD, other).await;
    let last = harness.requests(SOME, SOME).await;
    // Four intervals since the first request, and two before.
    let since = Window::new(first.from, last.from).length();
    let history = History {
        step: since / 4 + Duration::from_millis(1),
        intervals: 6,
    };
    for signal in readable(harness) {
        let mut question = one(harness, signal.clone(), last);
        question.history = Some(history);
        let reading = only(done(harness.source().measure(&question).await, "measure"));
        if !harness.remembers() {
            assert_eq!(reading.history, [], "what is not remembered is not told");
            continue;
        }
        let past = question.past().collect::<Vec<_>>();
        assert_eq!(
            reading.history.len(),
            past.len(),
            "one sample for each interval"
        );
        let mut told = (0, 0);
        for (interval, sample) in past.into_iter().zip(&reading.history) {
            let then = measure(harness, signal.clone(), interval).await.stable;
            same(harness, sample, &then);
            if interval.to <= first.from {
                assert_eq!(*sample, Sample::NoData, "before the first request");
            }
            if let Sample::Counts { bad, total } = sample {
                told = (told.0 + bad, told.1 + total);
            }
        }
        if let Sample::Counts { .. } = reading.stable {
            near(harness, told.0, GOOD.bad + other.bad);
            near(harness, told.1, GOOD.total + other.total);
        }
        let plain = measure(harness, signal, last).await;
        assert_eq!(
            (reading.canary, reading.stable),
            (plain.canary, plain.stable),
            "the past changes nothing about the window"
        );
    }
}

/// Who asks for none need not look through it.
pub(super) async fn a_past_is_told_only_if_it_is_asked_for(harness: &Harness) {
    harness.requests(SOME, GOOD).await;
    let window = harness.requests(SOME, GOOD).await;
    for signal in readable(harness) {
        assert_eq!(measure(harness, signal, window).await.history, []);
    }
}

/// Whether the samples say the same, up to how far counts may be off.
#[track_caller]
fn same(harness: &Harness, told: &Sample, measured: &Sample) {
    if harness.tolerance() == 0.0 {
        assert_eq!(told, measured, "what was measured in the interval");
        return;
    }
    let requests = |sample: &Sample| match sample {
        Sample::Counts { total, .. } => *total,
        Sample::Quantile { count, .. } => *count,
        Sample::Histogram(histogram) => histogram.total(),
        Sample::NoData | Sample::Gauge(_) => 0,
    };
    let silent = |sample: &Sample| *sample == Sample::NoData;
    assert_eq!(silent(told), silent(measured), "{told:?}, not {measured:?}");
    near(harness, requests(told), requests(measured));
}
