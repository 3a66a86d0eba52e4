//! What a column or a query holds, and the sample that several of them make.

use std::fmt;

use codedance_core::metrics::Sample;

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
}

impl Field {
    pub(super) const ALL: [Self; 4] = [Self::Bad, Self::Total, Self::Value, Self::Count];

    /// The word by which columns and queries name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Total => "total",
            Self::Value => "value",
            Self::Count => "count",
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fields {
    bad: Option<u64>,
    total: Option<u64>,
    value: Option<f64>,
    count: Option<u64>,
}

impl Fields {
    /// Takes in what a cell holds; nothing if it is empty, `NaN` or infinite.
    pub(super) fn read(&mut self, field: Field, cell: &str) -> Result<(), HistoryError> {
        let refused = |expected: &str| {
            HistoryError::new(
                field.name(),
                format!("`{cell}` is no {field}; write {expected}"),
            )
        };
        if cell.is_empty() {
            return Ok(());
        }
        let number: f64 = cell.parse().map_err(|_| match field {
            Field::Value => refused("a number, such as 0.183, or leave the cell empty"),
            _ => refused("a number of requests, such as 120, or leave the cell empty"),
        })?;
        if !number.is_finite() {
            return Ok(());
        }
        if field != Field::Value && !(0.0..=1e15).contains(&number) {
            return Err(refused("a number of requests from 0 to 1e15"));
        }
        self.set(field, number);
        Ok(())
    }

    /// Takes a number in; requests are rounded, because `increase()` extrapolates to fractions.
    fn set(&mut self, field: Field, number: f64) {
        // The cast saturates, and NaN was left out.
        let requests = number.round() as u64;
        match field {
            Field::Bad => self.bad = Some(requests),
            Field::Total => self.total = Some(requests),
            Field::Value => self.value = Some(number),
            Field::Count => self.count = Some(requests),
        }
    }

    /// What they say together.
    pub(super) fn sample(&self) -> Result<Sample, HistoryError> {
        match (self.bad, self.total, self.value, self.count) {
            (None, None, None, None) => Ok(Sample::NoData),
            (Some(bad), Some(total), None, None) if bad <= total => {
                Ok(Sample::Counts { bad, total })
            }
            (Some(bad), Some(total), None, None) => Err(HistoryError::new(
                "bad",
                format!("{bad} requests are bad of only {total}; `total` counts the bad ones too"),
            )),
            (Some(_), None, None, None) => {
                Err(lacks("bad", "total", "how many requests there were"))
            }
            (None, Some(_), None, None) => Err(lacks(
                "total",
                "bad",
                "how many of them ended badly, 0 for none",
            )),
            (None, None, Some(value), None) => Ok(Sample::Gauge(value)),
            (None, None, Some(value), Some(count)) => Ok(Sample::Quantile { value, count }),
            // Nobody was served, so that there is no quantile.
            (None, None, None, Some(0)) => Ok(Sample::NoData),
            (None, None, None, Some(_)) => Err(lacks("count", "value", "the quantile in seconds")),
            _ => Err(HistoryError::new(
                "",
                "is of two kinds at once; write `bad` and `total`, or `value` alone, or `value` and \
                 `count`",
            )),
        }
    }
}

fn lacks(key: &str, other: &str, meaning: &str) -> HistoryError {
    HistoryError::new(
        key,
        format!("is there without `{other}`; write {meaning} beside it"),
    )
}
