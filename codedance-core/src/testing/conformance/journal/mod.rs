//! What every journal must do.

mod entries;
mod leases;

use std::time::Duration;

use async_trait::async_trait;
use entries::{
    a_damaged_entry_is_named, a_dropped_append_has_happened_or_not, a_gap_is_a_conflict,
    a_torn_last_entry_is_not_there, an_unknown_workload_has_no_entries,
    another_entry_in_its_place_is_a_conflict, any_text_is_kept,
    appended_entries_are_loaded_in_order, loading_begins_at_the_last_rollout,
    numbers_are_kept_exactly, the_list_is_sorted, the_same_entry_again_is_accepted,
    what_judges_said_is_kept, workloads_are_kept_apart,
};
use leases::{
    a_lease_that_passed_on_cannot_append, a_lost_lease_cannot_be_renewed,
    a_released_lease_can_be_taken, a_renewed_lease_lives_on, an_expired_lease_can_be_taken,
    an_expired_lease_cannot_append, leases_of_workloads_are_apart, one_owner_holds_at_a_time,
    releasing_a_lost_lease_is_no_error, the_same_owner_gets_the_same_token, tokens_never_come_back,
};

use super::{Clause, done};
use crate::journal::{Entry, Journal, Lease, Record};
use crate::rollout::{Alert, Input, Signalled};
use crate::time::Timestamp;
use crate::workload::WorkloadName;

/// The world of a journal under test, new and empty for each test.
#[async_trait]
pub trait JournalHarness: Send + Sync {
    /// What is tested.
    fn journal(&self) -> &dyn Journal;

    /// Lets this much time pass on the journal's own clock: sleeps, or moves the clock.
    async fn pass(&self, length: Duration);

    /// How long a lease of the suite lasts. Long enough for a few calls, short enough to
    /// [`pass`](Self::pass). Default 1 s.
    fn term(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Changes the stored entry behind the journal's back: flips a byte in the file, in the row.
    async fn damage(&self, workload: &WorkloadName, sequence: u64);

    /// Leaves the last entry as a loss of power in the middle of its append leaves it: half a line in a
    /// file, no row in a table.
    async fn tear_last(&self, workload: &WorkloadName);
}

/// One test for each clause of the contract of [`Journal`]: `journal_conformance!(harness)`, where
/// `harness` is the path of an `async fn() -> impl JournalHarness`.
#[doc(hidden)]
#[macro_export]
macro_rules! __journal_conformance {
    ($(#[$attribute:meta])* $harness:path) => {
        $crate::__journal_clauses! {
            __clause_tests ($(#[$attribute])*) JOURNAL JournalHarness $harness,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __journal_clauses {
    ($then:ident $($given:tt)*) => {
        $crate::$then! { $($given)* [
            appended_entries_are_loaded_in_order
            an_unknown_workload_has_no_entries
            a_gap_is_a_conflict
            the_same_entry_again_is_accepted
            another_entry_in_its_place_is_a_conflict
            loading_begins_at_the_last_rollout
            workloads_are_kept_apart
            the_list_is_sorted
            any_text_is_kept
            what_judges_said_is_kept
            numbers_are_kept_exactly
            a_damaged_entry_is_named
            a_torn_last_entry_is_not_there
            a_dropped_append_has_happened_or_not
            one_owner_holds_at_a_time
            the_same_owner_gets_the_same_token
            a_released_lease_can_be_taken
            an_expired_lease_can_be_taken
            a_renewed_lease_lives_on
            tokens_never_come_back
            an_expired_lease_cannot_append
            a_lease_that_passed_on_cannot_append
            a_lost_lease_cannot_be_renewed
            releasing_a_lost_lease_is_no_error
            leases_of_workloads_are_apart
        ] }
    };
}

/// The clauses of [`Journal`].
pub static JOURNAL: &[Clause<dyn JournalHarness>] = crate::__journal_clauses!(__clause_table);

type Harness = dyn JournalHarness;

fn workload(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// An entry that says something, at a time of its own.
fn entry(sequence: u64, says: &str) -> Entry {
    let millis = i64::try_from(sequence).unwrap_or(i64::MAX);
    let alert = Alert::new("gate", Signalled::Approved).with_message(says);
    let record = Record::Told(Input::Alert(alert));
    Entry::new(
        sequence,
        Timestamp::from_millis(1_763_719_200_001 + millis),
        record,
    )
}

async fn acquire(harness: &Harness, workload: &WorkloadName, owner: &str) -> Lease {
    done(
        harness
            .journal()
            .acquire(workload, owner, harness.term())
            .await,
        "acquire",
    )
}

/// A lease that does not expire while a test runs.
async fn hold(harness: &Harness, workload: &WorkloadName) -> Lease {
    let long = Duration::from_secs(3_600);
    done(
        harness.journal().acquire(workload, "owner", long).await,
        "acquire",
    )
}

async fn append(harness: &Harness, lease: &Lease, entry: &Entry) {
    done(harness.journal().append(lease, entry).await, "append");
}

async fn load(harness: &Harness, workload: &WorkloadName) -> Vec<Entry> {
    done(harness.journal().load(workload).await, "load")
}
