//! Why a rollout could not be started, why its driver left it, why a command did not reach it.

use crate::error::{Error, Failure};
use crate::rollout::Rejected;
use crate::workload::WorkloadName;

use super::replay::ReplayError;

/// Why a rollout was not started or resumed. Nothing was done to the workload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The driver takes nothing on any more.
    #[error("the driver is shut down")]
    ShutDown,
    /// This driver has a rollout of that workload; get it by [`Driver::handle`](super::Driver::handle).
    #[error("a rollout of {0} runs in this driver already")]
    Running(WorkloadName),
    /// Another process drives a rollout of that workload, or did until a moment ago.
    #[error("another owner holds the lease on {workload}")]
    Busy {
        /// Which workload.
        workload: WorkloadName,
        /// What the journal said.
        source: Error,
    },
    /// The last rollout of the workload was left before its end: a new one would forget where its
    /// traffic is. Resume it, then supersede it.
    #[error("the last rollout of {0} has not ended; resume it, then supersede it")]
    Unfinished(WorkloadName),
    /// The journal has no rollout of that workload.
    #[error("{0} has no rollout that could be resumed")]
    NothingToResume(WorkloadName),
    /// The journal could not be read or written.
    #[error("the journal of {workload} cannot be used")]
    Journal {
        /// Which workload.
        workload: WorkloadName,
        /// What the journal said.
        source: Error,
    },
    /// The journal contradicts itself.
    #[error("the journal of {workload} cannot be replayed")]
    Replay {
        /// Which workload.
        workload: WorkloadName,
        /// Where and how.
        source: ReplayError,
    },
}

/// Why a driver left a rollout before its end. The rollout can be resumed, by this process or another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The lease on the workload expired or passed to another owner; acting was stopped at once.
    #[error("the lease on the workload was lost: {0}")]
    LeaseLost(Failure),
    /// The journal refused an entry for good. Nothing is done that it does not have.
    #[error("the journal cannot be written: {0}")]
    Journal(Failure),
    /// The driver was shut down.
    #[error("the driver was shut down")]
    ShutDown,
    /// A judge or the journal panicked; this is what it said.
    #[error("the rollout's task panicked: {0}")]
    Panicked(String),
    /// The driver was dropped.
    #[error("the driver is gone")]
    Gone,
}

/// Why a command was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The rollout cannot do that now. Nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Nobody drives the rollout any more: it has ended, or its driver has left it. A command that was
    /// being written to the journal just then may be in force after the next resume.
    #[error("nobody drives this rollout any more")]
    Gone,
}

/// How many events a subscriber was too slow for. They are in the journal; the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were missed")]
pub struct Missed(pub u64);
