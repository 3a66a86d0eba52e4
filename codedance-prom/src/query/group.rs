//! What is asked of the server at once for the sake of one metric or several.

use std::collections::BTreeMap;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::{Histogram, Sample};
use regex::Regex;

use super::increase::{Grid, newest};
use super::rows::Rows;
use super::selector::Selector;
use crate::client::NativeBuckets;

/// The bounds into which native histograms are counted, in seconds: every second of their own finer ones
/// down to schema 1, so that each of their buckets lies within one of these. From 1 ms to 64 s.
fn native_bounds() -> Vec<f64> {
    (-20..=12)
        .map(|half| 2_f64.powf(f64::from(half) / 2.0))
        .collect()
}

/// How the sides are told apart.
#[derive(Clone, Debug)]
pub(crate) struct Sides {
    pub(crate) label: String,
    pub(crate) stable: Regex,
    pub(crate) canary: Regex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Stable,
    Canary,
}

/// A value for either side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Both<T> {
    pub(crate) stable: T,
    pub(crate) canary: T,
}

impl<T> Both<T> {
    pub(crate) const fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Stable => &mut self.stable,
            Side::Canary => &mut self.canary,
        }
    }

    fn map<U>(self, mut f: impl FnMut(T) -> U) -> Both<U> {
        Both {
            stable: f(self.stable),
            canary: f(self.canary),
        }
    }
}

impl Sides {
    fn of(&self, labels: &BTreeMap<String, String>) -> Option<Side> {
        let value = labels.get(&self.label).map_or("", String::as_str);
        // Where one pattern is wider than the other (`.+`), the stable side's own is the narrower.
        if self.stable.is_match(value) {
            Some(Side::Stable)
        } else if self.canary.is_match(value) {
            Some(Side::Canary)
        } else {
            None
        }
    }
}

/// What is asked of the server at once. The same for all metrics that can be read from its answer.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    /// Requests by status.
    Requests {
        sides: Sides,
        selector: Selector,
        status: String,
    },
    /// Times in the buckets of a histogram.
    Buckets {
        sides: Sides,
        selector: Selector,
        /// How many seconds its unit is.
        unit: f64,
    },
    /// Times in a native histogram.
    Native {
        sides: Sides,
        selector: Selector,
        unit: f64,
    },
    /// A quantile that each replica computed.
    Summary {
        sides: Sides,
        selector: Selector,
        quantile: f64,
        unit: f64,
    },
    /// A query of the user's own, for each side by itself, or for both at once.
    Own(Own),
}

/// A query of the user's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Own {
    /// One expression for each side.
    Each(Both<String>),
    /// One expression for the canary, or for both: then its rows say by a label whose they are.
    Whole(String),
}

/// What was read of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// Requests by status; `None` without fresh series.
    Statuses(Both<Option<BTreeMap<String, u64>>>),
    Samples(Both<Sample>),
}

/// More series than one where one was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found} series where one was expected; aggregate them, for example with `sum(…)`, or put `{{{{revision}}}}` in the query"
)]
pub(crate) struct TooMany {
    pub(crate) found: usize,
}

impl Group {
    /// Whether both ask the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Requests {
                    selector: a,
                    status: x,
                    ..
                },
                Self::Requests {
                    selector: b,
                    status: y,
                    ..
                },
            ) => a == b && x == y,
            (Self::Buckets { selector: a, .. }, Self::Buckets { selector: b, .. })
            | (Self::Native { selector: a, .. }, Self::Native { selector: b, .. }) => a == b,
            (
                Self::Summary {
                    selector: a,
                    quantile: x,
                    ..
                },
                Self::Summary {
                    selector: b,
                    quantile: y,
                    ..
                },
            ) => a == b && x.total_cmp(y).is_eq(),
            (Self::Own(a), Self::Own(b)) => a == b,
            _ => false,
        }
    }

    /// The expressions that are asked, each with the letter that its rows bear.
    pub(crate) fn parts(&self, grid: &Grid) -> Vec<(char, String)> {
        let counted = |sides: &Sides, selector: &Selector, by: &[&str]| {
            vec![
                ('i', grid.increase(selector, by)),
                ('n', newest(selector, &sides.label)),
                ('w', grid.watched(selector)),
            ]
        };
        match self {
            Self::Requests {
                sides,
                selector,
                status,
            } => counted(sides, selector, &[&sides.label, status]),
            Self::Buckets {
                sides, selector, ..
            } => counted(
                sides,
                &selector.with_suffix("_bucket"),
                &[&sides.label, "le"],
            ),
            Self::Native {
                sides, selector, ..
            } => vec![
                ('i', grid.native_increase(selector, &[&sides.label])),
                ('n', newest(selector, &sides.label)),
                ('w', grid.watched(selector)),
            ],
            Self::Summary {
                sides,
                selector,
                quantile,
                ..
            } => {
                let label = &sides.label;
                let mut parts = counted(sides, &selector.with_suffix("_count"), &[label]);
                let quantile = selector.equal("quantile", &quantile.to_string());
                parts.push(('q', format!("avg by ({label}) ({quantile})")));
                parts
            }
            Self::Own(Own::Whole(text)) => vec![('v', own(text))],
            Self::Own(Own::Each(sides)) => {
                vec![('c', own(&sides.canary)), ('s', own(&sides.stable))]
            }
        }
    }

    /// Reads its rows, which bear `index`.
    pub(crate) fn read(
        &self,
        index: usize,
        rows: &Rows<'_>,
        to: Timestamp,
        stale_after: Duration,
    ) -> Result<Found, TooMany> {
        let tag = |letter: char| format!("{index}{letter}");
        let fresh = |sides: &Sides| {
            let mut fresh = Both::default();
            let oldest = to.as_millis() as f64 / 1e3 - stale_after.as_secs_f64();
            let watched = rows.count(&tag('w')) > 0;
            let (newest, increases) = (tag('n'), tag('i'));
            let newest = rows.numbers(&newest).filter(|(_, at)| *at >= oldest);
            // What died in the window is no longer there, but what it counted is.
            let counted = rows.numbers(&increases).filter(|(_, count)| *count > 0.0);
            for (labels, _) in newest.chain(counted) {
                if let Some(side) = sides.of(labels) {
                    *fresh.of(side) = watched;
                }
            }
            fresh
        };
        Ok(match self {
            Self::Requests { sides, status, .. } => {
                let mut found: Both<BTreeMap<String, u64>> = Both::default();
                for (labels, count) in rows.numbers(&tag('i')) {
                    if let Some(side) = sides.of(labels) {
                        let status = labels.get(status).cloned().unwrap_or_default();
                        *found.of(side).entry(status).or_default() += whole(count);
                    }
                }
                let fresh = fresh(sides);
                Found::Statuses(Both {
                    stable: fresh.stable.then_some(found.stable),
                    canary: fresh.canary.then_some(found.canary),
                })
            }
            Self::Buckets { sides, unit, .. } => {
                let mut below: Both<Vec<(f64, f64)>> = Both::default();
                for (labels, count) in rows.numbers(&tag('i')) {
                    let bound = labels.get("le").and_then(|le| le.parse::<f64>().ok());
                    if let (Some(side), Some(bound)) = (sides.of(labels), bound) {
                        below.of(side).push((bound * unit, count));
                    }
                }
                let fresh = fresh(sides);
                Found::Samples(histograms(below, fresh))
            }
            Self::Native { sides, unit, .. } => {
                let bounds = native_bounds();
                let mut counts: Both<Option<Vec<u64>>> = Both::default();
                for (labels, native) in rows.natives(&tag('i')) {
                    if let Some(side) = sides.of(labels) {
                        let empty = || vec![0; bounds.len() + 1];
                        let counts = counts.of(side).get_or_insert_with(empty);
                        count_native(native, *unit, &bounds, counts);
                    }
                }
                let fresh = fresh(sides);
                let bounds: std::sync::Arc<[f64]> = bounds.into();
                let sample = |(counts, fresh): (Option<Vec<u64>>, bool)| match counts {
                    Some(counts) if fresh => histogram(std::sync::Arc::clone(&bounds), counts),
                    Some(_) | None => Sample::NoData,
                };
                Found::Samples(
                    Both {
                        stable: (counts.stable, fresh.stable),
                        canary: (counts.canary, fresh.canary),
                    }
                    .map(sample),
                )
            }
            Self::Summary { sides, unit, .. } => {
                let fresh = fresh(sides);
                let mut counts: Both<u64> = Both::default();
                for (labels, count) in rows.numbers(&tag('i')) {
                    if let Some(side) = sides.of(labels) {
                        *counts.of(side) += whole(count);
                    }
                }
                let mut samples: Both<Sample> = Both::default();
                for (labels, value) in rows.numbers(&tag('q')) {
                    if let Some(side) = sides.of(labels)
                        && *fresh.clone().of(side)
                        && *counts.of(side) > 0
                    {
                        let count = *counts.of(side);
                        *samples.of(side) = Sample::Quantile {
                            value: value * unit,
                            count,
                        };
                    }
                }
                Found::Samples(samples)
            }
            Self::Own(Own::Whole(_)) => Found::Samples(Both {
                stable: Sample::NoData,
                canary: one(rows, &tag('v'))?,
            }),
            Self::Own(Own::Each(_)) => Found::Samples(Both {
                stable: one(rows, &tag('s'))?,
                canary: one(rows, &tag('c'))?,
            }),
        })
    }
}

/// In parentheses of its own; the line's end ends a comment.
fn own(text: &str) -> String {
    format!("(\n{text}\n)")
}

/// The one number that answers a query of the user's own.
fn one(rows: &Rows<'_>, tag: &str) -> Result<Sample, TooMany> {
    let found = rows.count(tag);
    if found > 1 {
        return Err(TooMany { found });
    }
    let number = rows.numbers(tag).next().map(|(_, number)| number);
    Ok(number.map_or(Sample::NoData, Sample::Gauge))
}

/// Counts are whole; what is not is what a server rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded and not negative"
)]
fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

/// Histograms over the bounds that both sides have, so that they can be compared; those of the one side if
/// the other has none.
fn histograms(mut below: Both<Vec<(f64, f64)>>, fresh: Both<bool>) -> Both<Sample> {
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
    let bounds: std::sync::Arc<[f64]> = common.into();
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
        histogram(std::sync::Arc::clone(&bounds), counts)
    })
}

/// No requests are no data.
fn histogram(bounds: std::sync::Arc<[f64]>, counts: Vec<u64>) -> Sample {
    if counts.iter().all(|count| *count == 0) {
        return Sample::NoData;
    }
    Histogram::new(bounds, counts).map_or(Sample::NoData, Sample::Histogram)
}

fn count_native(native: &NativeBuckets, unit: f64, bounds: &[f64], counts: &mut [u64]) {
    for bucket in &native.buckets {
        // The bounds of servers are rounded otherwise than ours.
        let upper = bucket.upper * unit * (1.0 - 1e-9);
        let place = bounds.partition_point(|bound| *bound < upper);
        if let Some(count) = counts.get_mut(place) {
            *count += whole(bucket.count);
        }
    }
}
