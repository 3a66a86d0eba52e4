//! The columns of a table that make one sample.

use std::sync::Arc;

use codedance_core::metrics::{Histogram, Sample};

use super::fields::{Field, Fields, histogram, whole};
use crate::error::HistoryError;

/// The columns of a sample, by their places in a line.
#[derive(Debug, Default)]
pub(super) struct Columns {
    fields: Vec<(usize, Field)>,
    /// The columns of the buckets in the order of their bounds, of which the last is infinite.
    buckets: Vec<(usize, f64)>,
    bounds: Arc<[f64]>,
}

impl Columns {
    /// Takes a column in; false if it is none of a sample.
    pub(super) fn take(&mut self, place: usize, name: &str) -> Result<bool, HistoryError> {
        if let Some(bound) = name.strip_prefix("le:") {
            let bound: f64 = bound
                .parse()
                .ok()
                .filter(|bound| *bound > 0.0)
                .ok_or_else(|| {
                    HistoryError::new(
                        name,
                        "is no bucket; write its bound in seconds, such as `le:0.25`, and last \
                         `le:+Inf`",
                    )
                })?;
            self.buckets.push((place, bound));
            return Ok(true);
        }
        // Buckets have a column each.
        let field = Field::named(name).filter(|field| *field != Field::Le);
        self.fields.extend(field.map(|field| (place, field)));
        Ok(field.is_some())
    }

    /// The same, when all columns were taken in.
    pub(super) fn checked(mut self) -> Result<Self, HistoryError> {
        self.buckets.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let bounds = self.buckets.iter().map(|(_, bound)| *bound);
        self.bounds = bounds.filter(|bound| bound.is_finite()).collect();
        match self.buckets.last() {
            Some((_, last)) if last.is_finite() => Err(HistoryError::new(
                "le:+Inf",
                "there is no such column beside the other buckets; write all requests there, \
                 however long they took",
            )),
            Some(_) => histogram(&self.bounds, &vec![0; self.buckets.len()]).map(|_| self),
            None => Ok(self),
        }
    }

    /// What the cells of a line say.
    pub(super) fn sample<'a>(
        &self,
        cell: &impl Fn(usize) -> &'a str,
    ) -> Result<Sample, HistoryError> {
        let mut fields = Fields::default();
        for (place, field) in &self.fields {
            let cell = cell(*place);
            match field {
                Field::Bad => fields.bad = requests("bad", cell)?,
                Field::Total => fields.total = requests("total", cell)?,
                Field::Value => fields.value = value(cell)?,
                Field::Count => fields.count = requests("count", cell)?,
                // Never taken in.
                Field::Le => {}
            }
        }
        fields.histogram = self.histogram(cell)?;
        fields.sample()
    }

    /// `None` if all buckets are empty.
    fn histogram<'a>(
        &self,
        cell: &impl Fn(usize) -> &'a str,
    ) -> Result<Option<Histogram>, HistoryError> {
        let mut cumulative: Vec<u64> = Vec::with_capacity(self.buckets.len());
        let mut empty = None;
        for (place, bound) in &self.buckets {
            let key = || match bound.is_finite() {
                true => format!("le:{bound}"),
                false => "le:+Inf".to_owned(),
            };
            let Some(upto) = requests(&key(), cell(*place))? else {
                empty.get_or_insert_with(key);
                continue;
            };
            if let Some(before) = cumulative.last().filter(|before| upto < **before) {
                let message = format!(
                    "{upto} is less than the {before} of the bucket before; each bucket counts all \
                     requests that took no longer, as Prometheus's do"
                );
                return Err(HistoryError::new(key(), message));
            }
            cumulative.push(upto);
        }
        match empty {
            Some(key) if !cumulative.is_empty() => Err(HistoryError::new(
                key,
                "is empty beside buckets that are not; write all of them, or none",
            )),
            Some(_) => Ok(None),
            None if cumulative.is_empty() => Ok(None),
            None => histogram(&self.bounds, &cumulative).map(Some),
        }
    }
}

/// The number in a cell; `None` if it is empty, `NaN` or infinite.
fn number(key: &str, cell: &str, expected: &str) -> Result<Option<f64>, HistoryError> {
    if cell.is_empty() {
        return Ok(None);
    }
    let number: f64 = cell.parse().map_err(|_| {
        let message = format!("`{cell}` is no {expected}, or leave the cell empty");
        HistoryError::new(key, message)
    })?;
    Ok(Some(number).filter(|number| number.is_finite()))
}

fn value(cell: &str) -> Result<Option<f64>, HistoryError> {
    number("value", cell, "number; write one such as 0.183")
}

fn requests(key: &str, cell: &str) -> Result<Option<u64>, HistoryError> {
    let found = number(key, cell, "number of requests; write one such as 120")?;
    match found {
        Some(found) if !(0.0..=1e15).contains(&found) => Err(HistoryError::new(
            key,
            format!("`{cell}` is no number of requests; write one from 0 to 1e15"),
        )),
        found => Ok(found.map(whole)),
    }
}
