//! What is asked of the server at once for the sake of one metric or several.

use std::collections::BTreeMap;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::Sample;

use super::histogram::{Natives, histograms, whole};
use super::increase::{Grid, newest};
use super::rows::Rows;
use super::selector::Selector;
use super::sides::{Both, Sides};

/// What is asked of the server at once. The same for all metrics that can be read from its answer.
#[derive(Clone, Debug, PartialEq)]
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
    /// The expressions that are asked, each with the letter that its rows bear.
    pub(crate) fn parts(&self, grid: &Grid) -> Vec<(char, String)> {
        let beside = |increase: String, sides: &Sides, selector: &Selector| {
            vec![
                ('i', increase),
                ('n', newest(selector, &sides.label)),
                ('w', grid.watched(selector)),
            ]
        };
        let counted = |sides: &Sides, selector: &Selector, by: &[&str]| {
            beside(grid.increase(selector, by), sides, selector)
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
            } => {
                let increase = grid.native_increase(selector, &[&sides.label]);
                beside(increase, sides, selector)
            }
            Self::Summary {
                sides,
                selector,
                quantile,
                ..
            } => {
                let label = &sides.label;
                let mut parts = counted(sides, &selector.with_suffix("_count"), &[label]);
                let quantile = selector.equal("quantile", &quantile.to_string());
                // A replica without requests shows NaN.
                parts.push(('q', format!("avg by ({label}) ({quantile} >= 0)")));
                parts
            }
            Self::Own(Own::Whole(text)) => own('v', text),
            Self::Own(Own::Each(sides)) => {
                [own('c', &sides.canary), own('s', &sides.stable)].concat()
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
        let oldest = to.as_millis() as f64 / 1e3 - stale_after.as_secs_f64();
        let fresh = |sides: &Sides| {
            let mut fresh = Both::default();
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
                let mut natives = Natives::new(*unit);
                for (labels, native) in rows.natives(&tag('i')) {
                    if let Some(side) = sides.of(labels) {
                        natives.add(side, native);
                    }
                }
                Found::Samples(natives.samples(fresh(sides)))
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
                canary: one(rows, [&tag('v'), &tag('V')], oldest)?,
            }),
            Self::Own(Own::Each(_)) => Found::Samples(Both {
                stable: one(rows, [&tag('s'), &tag('S')], oldest)?,
                canary: one(rows, [&tag('c'), &tag('C')], oldest)?,
            }),
        })
    }
}

/// In parentheses of its own, where the line's end ends a comment. Of a plain selector it is asked, under the
/// letter in its capital form, when the value was taken: servers go on showing one for five minutes.
fn own(letter: char, text: &str) -> Vec<(char, String)> {
    let mut parts = vec![(letter, format!("(\n{text}\n)"))];
    if let Ok(selector) = Selector::parse(text) {
        parts.push((
            letter.to_ascii_uppercase(),
            format!("timestamp({selector})"),
        ));
    }
    parts
}

/// The one number that answers a query of the user's own.
fn one(rows: &Rows<'_>, [tag, taken]: [&str; 2], oldest: f64) -> Result<Sample, TooMany> {
    let found = rows.count(tag);
    if found > 1 {
        return Err(TooMany { found });
    }
    let taken = rows.numbers(taken).next();
    if taken.is_some_and(|(_, at)| at < oldest) {
        return Ok(Sample::NoData);
    }
    let number = rows.numbers(tag).next().map(|(_, number)| number);
    Ok(number.map_or(Sample::NoData, Sample::Gauge))
}
