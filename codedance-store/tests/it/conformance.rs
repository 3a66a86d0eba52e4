//! Every clause of the journal's contract, on one of the two databases.

use std::time::Duration;

use async_trait::async_trait;
use codedance_core::journal::Journal;
use codedance_core::testing::{JournalHarness, journal_conformance};
use codedance_core::workload::WorkloadName;

use crate::support::{TERM, World};

struct Harness(World);

#[async_trait]
impl JournalHarness for Harness {
    fn journal(&self) -> &dyn Journal {
        &self.0.store
    }

    /// What ends so much sooner might as well have been looked at so much later.
    async fn pass(&self, length: Duration) {
        let statement = format!(
            "UPDATE journals SET expires = expires - {}",
            length.as_millis()
        );
        self.0.sql(&statement).await;
    }

    fn term(&self) -> Duration {
        TERM
    }

    async fn damage(&self, workload: &WorkloadName, sequence: u64) {
        let statement = format!(
            "UPDATE entries SET body = replace(body, 'well', 'ill!') \
             WHERE workload = '{workload}' AND sequence = {sequence}"
        );
        assert_eq!(self.0.sql(&statement).await, 1);
    }

    /// A transaction is there as a whole or not at all, here as in a loss of power: see `damage.rs`.
    async fn tear_last(&self, workload: &WorkloadName) {
        let of = format!("WHERE workload = '{workload}'");
        let head = format!("UPDATE journals SET next = next - 1 {of}");
        assert_eq!(self.0.sql(&head).await, 1);
        let row = format!(
            "DELETE FROM entries {of} AND sequence = (SELECT MAX(sequence) FROM entries {of})"
        );
        assert_eq!(self.0.sql(&row).await, 1);
    }
}

async fn harness() -> Harness {
    Harness(World::new().await)
}

journal_conformance!(harness);
