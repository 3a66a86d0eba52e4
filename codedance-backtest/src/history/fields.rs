//! What a column or a query holds, and the sample that several of them make.

use std::fmt;
use std::sync::Arc;

use codedance_core::metrics::{Histogram, Sample};

use crate::error::HistoryError;

/// What a column of a table, or the result of a query, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Field {
    /// How many requests ended badly.
    Bad,
    /// How many requests there were.
    Total,
    /// A value in the metric's own unit; seconds for a quantile of latencies.
    Value,
    /// Over how many requests the value was taken.
    Count,
    /// How many requests took no longer than each of several bounds, cumulative as Prometheus's `le`
    /// is.
    Le,
}

impl Field {
    const ALL: [Self; 5] = [Self::Bad, Self::Total, Self::Value, Self::Count, Self::Le];

    /// The word by which columns and queries name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Total => "total",
            Self::Value => "value",
            Self::Count => "count",
            Self::Le => "le",
        }
    }

    /// The field of that [name](Self::name).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was found of one side at one time, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    pub(super) bad: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) value: Option<f64>,
    pub(super) count: Option<u64>,
    pub(super) histogram: Option<Histogram>,
}

impl Fields {
    /// What they say together.
    pub(super) fn sample(self) -> Result<Sample, HistoryError> {
        let Self {
            bad,
            total,
            value,
            count,
            histogram,
        } = self;
        match (bad, total, value, count, histogram) {
            (None, None, None, None, None) => Ok(Sample::NoData),
            (Some(bad), Some(total), None, None, None) if bad <= total => {
                Ok(Sample::Counts { bad, total })
            }
            (Some(bad), Some(total), None, None, None) => Err(HistoryError::new(
                "bad",
                format!("{bad} requests are bad of only {total}; `total` counts the bad ones too"),
            )),
            (Some(_), None, None, None, None) => {
                Err(lacks("bad", "total", "how many requests there were"))
            }
            (None, Some(_), None, None, None) => Err(lacks(
                "total",
                "bad",
                "how many of them ended badly, 0 for none",
            )),
            (None, None, Some(value), None, None) => Ok(Sample::Gauge(value)),
            (None, None, Some(value), Some(count), None) => Ok(Sample::Quantile { value, count }),
            // Nobody was served, so that there is no quantile.
            (None, None, None, Some(0), None) => Ok(Sample::NoData),
            (None, None, None, Some(_), None) => {
                Err(lacks("count", "value", "the quantile in seconds"))
            }
            (None, None, None, None, Some(histogram)) => Ok(Sample::Histogram(histogram)),
            _ => Err(HistoryError::new(
                "",
                "is of two kinds at once; write `bad` and `total`, or `value` alone, or `value` and \
                 `count`, or `le:…`",
            )),
        }
    }
}

/// Requests are whole: `increase()` extrapolates to fractions.
pub(super) fn whole(requests: f64) -> u64 {
    // The cast saturates.
    requests.round() as u64
}

/// A histogram of counts up to and including each bound and, last, of all; what falls where it should rise
/// is taken to stand still.
pub(super) fn histogram(
    bounds: &Arc<[f64]>,
    cumulative: &[u64],
) -> Result<Histogram, HistoryError> {
    let mut before = 0;
    let counts: Vec<u64> = cumulative
        .iter()
        .map(|upto| {
            let inside = upto.saturating_sub(before);
            before = before.max(*upto);
            inside
        })
        .collect();
    Histogram::new(Arc::clone(bounds), counts)
        .map_err(|error| HistoryError::new(Field::Le.name(), error.to_string()))
}

fn lacks(key: &str, other: &str, meaning: &str) -> HistoryError {
    HistoryError::new(
        key,
        format!("is there without `{other}`; write {meaning} beside it"),
    )
}
