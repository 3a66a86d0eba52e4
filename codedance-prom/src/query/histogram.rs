//! Histograms out of what servers count in buckets.

use std::sync::Arc;

use codedance_core::metrics::{Histogram, Sample};

use super::sides::{Both, Side};
use crate::client::NativeBuckets;

/// Counts are whole; what is not is what a server rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded and not negative"
)]
pub(super) fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

/// Histograms over the bounds that both sides have, so that they can be compared; those of the one side if
/// the other has none.
pub(super) fn histograms(mut below: Both<Vec<(f64, f64)>>, fresh: Both<bool>) -> Both<Sample> {
    for side in [&mut below.stable, &mut below.canary] {
        side.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let bounds_of = |side: &[(f64, f64)]| -> Vec<f64> {
        let bounds = side.iter().map(|(bound, _)| *bound);
        let mut bounds: Vec<_> = bounds
            .filter(|bound| bound.is_finite() && *bound > 0.0)
            .collect();
        bounds.dedup();
        bounds
    };
    let (stable, canary) = (bounds_of(&below.stable), bounds_of(&below.canary));
    let common: Vec<f64> = match (stable.is_empty(), canary.is_empty()) {
        (true, _) => canary,
        (_, true) => stable,
        (false, false) => {
            let has = |bound: &f64| canary.iter().any(|other| other.total_cmp(bound).is_eq());
            stable.into_iter().filter(has).collect()
        }
    };
    let bounds: Arc<[f64]> = common.into();
    Both {
        stable: (below.stable, fresh.stable),
        canary: (below.canary, fresh.canary),
    }
    .map(|(below, fresh)| {
        if !fresh || below.is_empty() {
            return Sample::NoData;
        }
        let at = |bound: f64| {
            let of = below.iter().filter(|(at, _)| at.total_cmp(&bound).is_eq());
            of.map(|(_, count)| count).sum::<f64>()
        };
        let mut counts = Vec::with_capacity(bounds.len() + 1);
        let mut before = 0;
        for bound in bounds.iter().copied().chain([f64::INFINITY]) {
            // Replicas with other buckets can make the sums step back; a bucket is never negative.
            let up_to = whole(at(bound)).max(before);
            counts.push(up_to - before);
            before = up_to;
        }
        histogram(Arc::clone(&bounds), counts)
    })
}

/// No requests are no data.
fn histogram(bounds: Arc<[f64]>, counts: Vec<u64>) -> Sample {
    if counts.iter().all(|count| *count == 0) {
        return Sample::NoData;
    }
    Histogram::new(bounds, counts).map_or(Sample::NoData, Sample::Histogram)
}

/// Native histograms, counted into bounds that are the same in all windows.
pub(super) struct Natives {
    unit: f64,
    /// In seconds.
    bounds: Vec<f64>,
    counts: Both<Option<Vec<u64>>>,
}

impl Natives {
    /// Those whose values are in a unit of so many seconds.
    ///
    /// The bounds are those of schema 1, which all finer ones have, too: each of their buckets lies within
    /// one of these. They go from 1 ms to about a minute.
    pub(super) fn new(unit: f64) -> Self {
        let first = ((1e-3 / unit).log2() * 2.0).round();
        let bound = |step: i32| 2_f64.powf((first + f64::from(step)) / 2.0) * unit;
        Self {
            unit,
            bounds: (0..=32).map(bound).collect(),
            counts: Both::default(),
        }
    }

    pub(super) fn add(&mut self, side: Side, native: &NativeBuckets) {
        let empty = || vec![0; self.bounds.len() + 1];
        let counts = self.counts.of(side).get_or_insert_with(empty);
        for bucket in &native.buckets {
            // The bounds of servers are rounded otherwise than ours.
            let upper = bucket.upper * self.unit * (1.0 - 1e-9);
            let place = self.bounds.partition_point(|bound| *bound < upper);
            if let Some(count) = counts.get_mut(place) {
                *count += whole(bucket.count);
            }
        }
    }

    pub(super) fn samples(self, fresh: Both<bool>) -> Both<Sample> {
        let bounds: Arc<[f64]> = self.bounds.into();
        Both {
            stable: (self.counts.stable, fresh.stable),
            canary: (self.counts.canary, fresh.canary),
        }
        .map(|(counts, fresh)| match counts {
            Some(counts) if fresh => histogram(Arc::clone(&bounds), counts),
            Some(_) | None => Sample::NoData,
        })
    }
}
