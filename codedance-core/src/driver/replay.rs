//! From a journal back to the state it tells of.

use std::sync::Arc;

use crate::decision::Judge;
use crate::journal::{ENTRY_VERSION, Entry, Record};
use crate::rollout::{Event, Rejected, RestoreError, Rollout};

/// A rollout as its journal tells it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay {
    /// The rollout, in the state after the last entry.
    pub rollout: Rollout,
    /// The sequence that the next entry must have.
    pub sequence: u64,
    /// How many entries follow the last beginning or snapshot.
    pub since_snapshot: u32,
    /// What the last entry caused. Whoever crashed right after writing it may not have told anybody.
    pub last_events: Vec<Event>,
}

/// An entry that cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence}: {problem}")]
#[non_exhaustive]
pub struct ReplayError {
    /// Which entry.
    pub sequence: u64,
    /// What is wrong with it.
    pub problem: ReplayProblem,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayProblem {
    /// Written by a version that this one does not know.
    #[error("has format {found}; this version reads up to {ENTRY_VERSION}: upgrade it")]
    Version {
        /// The entry's format.
        found: u32,
    },
    /// Entries are missing or in disorder.
    #[error("stands where entry {expected} should")]
    OutOfOrder {
        /// The sequence that was expected.
        expected: u64,
    },
    /// The first entry does not begin a rollout.
    #[error("is the first, but begins no rollout")]
    NoBeginning,
    /// Its snapshot cannot be gone on from.
    #[error(transparent)]
    Snapshot(#[from] RestoreError),
    /// The rollout rejects what it is said to have accepted.
    #[error("was rejected in the replay: {0}")]
    Rejected(#[from] Rejected),
}

/// The rollout that these entries tell of, `None` if there are none: from the last beginning or snapshot
/// on, each input told again at the time it was told first, with what the judges said of it then. The
/// state is the same as it was then, bit for bit, whatever today's judges would say. `own` are the judges
/// that the policy may appoint beside the built-in ones: they judge what comes next.
///
/// # Errors
/// When the entries have a gap, contradict each other, or were written by a later version; the first
/// such entry is named.
pub fn replay(entries: Vec<Entry>, own: &[Arc<dyn Judge>]) -> Result<Option<Replay>, ReplayError> {
    let Some(first) = entries.first() else {
        return Ok(None);
    };
    for (expected, entry) in (first.sequence..).zip(&entries) {
        check(entry, expected).map_err(|problem| ReplayError {
            sequence: entry.sequence,
            problem,
        })?;
    }
    if !matches!(first.record, Record::Began(..)) {
        return Err(ReplayError {
            sequence: first.sequence,
            problem: ReplayProblem::NoBeginning,
        });
    }
    let starts = |entry: &Entry| !matches!(entry.record, Record::Told(_));
    let start = entries.iter().rposition(starts).unwrap_or_default();

    let mut replayed: Option<Replay> = None;
    for entry in entries.into_iter().skip(start) {
        let sequence = entry.sequence;
        let problem = |problem| ReplayError { sequence, problem };
        replayed = Some(match (replayed, entry.record) {
            (Some(mut replay), Record::Told(input)) => {
                let said = entry.assessment.as_deref();
                let told = replay.rollout.retell(entry.at, input, said);
                replay.last_events = told.map_err(|rejected| problem(rejected.into()))?;
                replay.sequence = sequence + 1;
                replay.since_snapshot += 1;
                replay
            }
            (_, Record::Began(plan, policy)) => {
                let rollout = Rollout::new(*plan, *policy, entry.at);
                Replay::new(rollout.with_judges(own.iter().cloned()), sequence)
            }
            (_, Record::Snapshot(snapshot)) => {
                let rollout = Rollout::restore(*snapshot).map_err(|e| problem(e.into()))?;
                Replay::new(rollout.with_judges(own.iter().cloned()), sequence)
            }
            (None, Record::Told(_)) => return Err(problem(ReplayProblem::NoBeginning)),
        });
    }
    Ok(replayed)
}

impl Replay {
    /// Right after the entry `sequence`, which began it or is its snapshot.
    pub(super) const fn new(rollout: Rollout, sequence: u64) -> Self {
        Self {
            rollout,
            sequence: sequence + 1,
            since_snapshot: 0,
            last_events: Vec::new(),
        }
    }
}

const fn check(entry: &Entry, expected: u64) -> Result<(), ReplayProblem> {
    if !entry.is_known() {
        let found = entry.version;
        return Err(ReplayProblem::Version { found });
    }
    if entry.sequence != expected {
        return Err(ReplayProblem::OutOfOrder { expected });
    }
    Ok(())
}
