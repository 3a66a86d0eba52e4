//! The journal's port: what is written before anything is done.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::decision::{Assessment, Policy};
use crate::error::Result;
use crate::plan::Plan;
use crate::rollout::{Event, Input, Snapshot};
use crate::time::Timestamp;
use crate::workload::WorkloadName;

/// The format of [`Entry`] that this version writes. It reads those before, too.
///
/// 2: what the judge said is written down, and a replay takes its word. In format 1 it was not: a replay
/// asks the judge again, and only the judge of that time gives the same answer.
pub const ENTRY_VERSION: u32 = 2;

/// One line of a workload's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entry {
    /// The format, [`ENTRY_VERSION`] when written by this version.
    pub version: u32,
    /// Its place in the workload's journal, from 0, without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub record: Record,
    /// What the judge made of it, with its memory, if it was asked.
    #[serde(
        default,
        with = "crate::decision::with_memory",
        skip_serializing_if = "Option::is_none"
    )]
    pub assessment: Option<Box<Assessment>>,
}

impl Entry {
    /// An entry of today's format.
    #[must_use]
    pub const fn new(sequence: u64, at: Timestamp, record: Record) -> Self {
        Self {
            version: ENTRY_VERSION,
            sequence,
            at,
            record,
            assessment: None,
        }
    }

    /// The same with what the judge said, found among the `events` of the step.
    #[must_use]
    pub fn with_events(mut self, events: &[Event]) -> Self {
        let assessment = events.iter().find_map(Event::assessment);
        self.assessment = assessment.cloned().map(Box::new);
        self
    }

    /// Whether this version can read it.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        matches!(self.version, 1..=ENTRY_VERSION)
    }
}

/// What an entry records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A rollout began with this plan and policy.
    Began(Box<Plan>, Box<Policy>),
    /// The machine was told this, and accepted it.
    Told(Input),
    /// The state after all entries before: replay may start here.
    Snapshot(Box<Snapshot>),
}

/// The right to write to a workload's journal and to act on the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Lease {
    /// Of which workload.
    pub workload: WorkloadName,
    /// Whose.
    pub owner: String,
    /// Grows with each new holder, so that a late writer is recognised.
    pub token: u64,
    /// Until when, unless renewed, on the journal's own clock.
    pub expires: Timestamp,
}

impl Lease {
    /// A lease, as a journal hands it out.
    #[must_use]
    pub const fn new(
        workload: WorkloadName,
        owner: String,
        token: u64,
        expires: Timestamp,
    ) -> Self {
        Self {
            workload,
            owner,
            token,
            expires,
        }
    }
}

/// Keeps what happened, durably, and says who may go on with it.
///
/// # Contract
/// - **Durable first.** [`append`](Self::append) returns when the entry would survive the loss of the
///   process and, where the back end promises that, of the machine.
/// - **In order, without gaps.** An entry whose sequence is not the next is refused with
///   [`Conflict`](crate::ErrorKind::Conflict) and changes nothing. The very entry that is there already
///   is accepted again, so that an append whose answer was lost can be repeated.
/// - **Fenced.** An append under a lease that has expired or passed to another owner is refused with
///   [`LeaseLost`](crate::ErrorKind::LeaseLost) and changes nothing.
/// - **Honest.** An entry that is torn, missing or changed is named with
///   [`Corrupt`](crate::ErrorKind::Corrupt) and its sequence; never skipped. A torn last entry, whose
///   append never returned, is not there.
/// - **Leases.** One holder at a time. The same owner gets its lease again, with the same token; another
///   owner only after it expired or was released, with a greater one. Until then it is refused with
///   [`Conflict`](crate::ErrorKind::Conflict).
/// - **Cancellation.** An append that is dropped has happened or not.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Takes the lease on a workload for `length`.
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease>;

    /// Holds the lease for another `length` from now.
    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease>;

    /// Gives the lease back. A lease that was lost is no error.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Adds an entry.
    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()>;

    /// The entries of a workload, in order, from its last [`Record::Began`] on; empty if there is none.
    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>>;

    /// Every workload that has a journal, in the order of their names.
    async fn list(&self) -> Result<Vec<WorkloadName>>;
}
