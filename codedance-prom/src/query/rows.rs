//! The rows of one answer, sorted by what asked for them.

use std::collections::BTreeMap;

use codedance_core::Timestamp;

use crate::client::{NativeBuckets, Row, Track, Value};

/// The label that says which part of a joined query a row answers.
pub(crate) const TAG: &str = "codedance";

/// The values of one part of a query at one point in time.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    parts: BTreeMap<&'a str, Vec<(&'a Labels, &'a Value)>>,
}

type Labels = BTreeMap<String, String>;

impl<'a> Rows<'a> {
    pub(crate) fn of(rows: &'a [Row]) -> Self {
        let mut sorted = Self::default();
        for row in rows {
            sorted.add(&row.labels, &row.value);
        }
        sorted
    }

    /// The rows of each point in time.
    pub(crate) fn over_time(tracks: &'a [Track]) -> BTreeMap<Timestamp, Self> {
        let mut times: BTreeMap<Timestamp, Self> = BTreeMap::new();
        for track in tracks {
            for (at, value) in &track.points {
                times.entry(*at).or_default().add(&track.labels, value);
            }
        }
        times
    }

    fn add(&mut self, labels: &'a Labels, value: &'a Value) {
        let tag = labels.get(TAG).map_or("", String::as_str);
        self.parts.entry(tag).or_default().push((labels, value));
    }

    /// What answers the part of that tag, labels and number: natives are left out, and what is not a
    /// number, too.
    pub(crate) fn numbers(&self, tag: &str) -> impl Iterator<Item = (&'a Labels, f64)> {
        let rows = self.parts.get(tag).into_iter().flatten();
        rows.filter_map(|(labels, value)| match value {
            Value::Float(number) if !number.is_nan() => Some((*labels, *number)),
            Value::Float(_) | Value::Native(_) => None,
        })
    }

    /// The native histograms among what answers the part of that tag.
    pub(crate) fn natives(
        &self,
        tag: &str,
    ) -> impl Iterator<Item = (&'a Labels, &'a NativeBuckets)> {
        let rows = self.parts.get(tag).into_iter().flatten();
        rows.filter_map(|(labels, value)| match value {
            Value::Native(buckets) => Some((*labels, buckets)),
            Value::Float(_) => None,
        })
    }

    /// How many series answer the part of that tag.
    pub(crate) fn count(&self, tag: &str) -> usize {
        self.parts.get(tag).map_or(0, Vec::len)
    }
}
