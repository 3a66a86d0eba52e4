//! An entry as a row, and back, with its checksum.

use codedance_core::journal::{Entry, Record};
use codedance_core::workload::WorkloadName;
use codedance_core::{Error, ErrorKind, Result};

/// A row of the table `entries`, without the workload.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) sequence: i64,
    pub(crate) written: i64,
    pub(crate) kind: i64,
    pub(crate) body: String,
    pub(crate) checksum: i64,
}

impl Row {
    pub(crate) fn encode(workload: &WorkloadName, entry: &Entry) -> Result<Self> {
        let operation = || format!("write entry {} of {workload}", entry.sequence);
        let invalid =
            |source: String| Error::new(ErrorKind::Invalid, operation()).with_source(source);
        let sequence = i64::try_from(entry.sequence);
        let sequence = sequence.map_err(|_| invalid("its sequence is beyond 2^63".to_owned()))?;
        let body = serde_json::to_string(entry).map_err(|error| invalid(error.to_string()))?;
        let mut row = Self {
            sequence,
            written: entry.at.as_millis(),
            kind: match entry.record {
                // The queries and an index know this one.
                Record::Began(..) => 0,
                Record::Snapshot(_) => 2,
                // What a later version records is something that it told.
                _ => 1,
            },
            body,
            checksum: 0,
        };
        row.checksum = row.sum(workload);
        Ok(row)
    }

    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is not what was written.
    pub(crate) fn decode(&self, workload: &WorkloadName) -> Result<Entry> {
        let corrupt = |source: String| {
            let operation = format!("read entry {} of {workload}", self.sequence);
            Error::new(ErrorKind::Corrupt, operation).with_source(source)
        };
        if self.checksum != self.sum(workload) {
            return Err(corrupt("it is not what was written there".to_owned()));
        }
        let entry: Entry = serde_json::from_str(&self.body)
            .map_err(|error| corrupt(format!("this version cannot read it: {error}")))?;
        Ok(entry)
    }

    fn sum(&self, workload: &WorkloadName) -> i64 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(workload.as_str().as_bytes());
        for number in [self.sequence, self.written, self.kind] {
            sum.update(&number.to_le_bytes());
        }
        sum.update(self.body.as_bytes());
        sum.finalize().into()
    }
}
