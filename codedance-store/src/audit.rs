//! A journal as data that can be handed on, and each decision in it seen again.
//!
//! The form is JSON Lines: one [`Entry`] in a line, in order. Nothing but the entries and the code is
//! needed to see the decisions again: the machine is pure, and its inputs are all there.

use std::fmt::Write as _;
use std::sync::Arc;

use codedance_core::decision::Judge;
use codedance_core::journal::{Entry, Record};
use codedance_core::rollout::{Event, Rejected, RestoreError, Rollout};

/// The entries as JSON Lines.
#[must_use]
pub fn to_json_lines(entries: &[Entry]) -> String {
    let mut lines = String::new();
    for entry in entries {
        match serde_json::to_string(entry) {
            Ok(line) => {
                // Writing to a string cannot fail.
                let _ = writeln!(lines, "{line}");
            }
            Err(error) => panic!("an entry must be plain data: {error}"),
        }
    }
    lines
}

/// The entries that these lines hold; empty lines are passed over.
///
/// # Errors
/// When a line is no entry: its number, from 1, and what is wrong with it.
pub fn from_json_lines(lines: &str) -> Result<Vec<Entry>, LineError> {
    let lines = (1..).zip(lines.lines());
    let entries = lines.filter(|(_, line)| !line.trim().is_empty());
    let entries = entries.map(|(number, line)| {
        serde_json::from_str(line).map_err(|source| LineError { number, source })
    });
    entries.collect()
}

/// A line that holds no entry.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {source}")]
#[non_exhaustive]
pub struct LineError {
    /// Which line, from 1.
    pub number: usize,
    /// What is wrong with it.
    #[source]
    pub source: serde_json::Error,
}

/// A journal that contradicts itself, or whose decisions this version or these judges would not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence}: {problem}")]
#[non_exhaustive]
pub struct Discrepancy {
    /// The first entry that does not follow from those before it.
    pub sequence: u64,
    /// In what way.
    pub problem: Problem,
}

/// In what way an entry does not follow from those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Entries are missing or in disorder.
    #[error("stands where entry {expected} should")]
    OutOfOrder {
        /// The sequence that was expected.
        expected: u64,
    },
    /// No rollout has begun.
    #[error("belongs to no rollout: the beginning is missing")]
    NoBeginning,
    /// The rollout rejects what it is said to have accepted.
    #[error("was rejected in the replay: {0}")]
    Rejected(#[from] Rejected),
    /// The snapshot is of a format that cannot be read.
    #[error(transparent)]
    Snapshot(#[from] RestoreError),
    /// The snapshot shows another state than the inputs before it lead to.
    #[error("shows another state than the entries before it lead to")]
    OtherState,
}

/// Every event of every rollout in the journal, in order, found by telling the machine again what it was
/// told. The state is compared with each snapshot on the way, bit for bit: that it is the same says that
/// every decision was the machine's own. `own` are the judges that the policies may appoint beside the
/// built-in ones.
///
/// # Errors
/// The first entry that does not follow from those before it.
pub fn replay(entries: Vec<Entry>, own: &[Arc<dyn Judge>]) -> Result<Vec<Event>, Discrepancy> {
    let mut events = Vec::new();
    let mut rollout: Option<Rollout> = None;
    let first = entries.first().map_or(0, |entry| entry.sequence);
    for (expected, entry) in (first..).zip(entries) {
        let sequence = entry.sequence;
        let found = |problem| Discrepancy { sequence, problem };
        if sequence != expected {
            return Err(found(Problem::OutOfOrder { expected }));
        }
        match (entry.record, &mut rollout) {
            (Record::Began(plan, policy), _) => {
                let begun = Rollout::new(*plan, *policy, entry.at);
                rollout = Some(begun.with_judges(own.iter().cloned()));
            }
            (Record::Told(input), Some(rollout)) => {
                let told = rollout.step(entry.at, input);
                events.extend(told.map_err(|rejected| found(rejected.into()))?);
            }
            (Record::Snapshot(snapshot), Some(rollout)) => {
                let shown = Rollout::restore(*snapshot).map_err(|error| found(error.into()))?;
                if shown.snapshot() != rollout.snapshot() {
                    return Err(found(Problem::OtherState));
                }
            }
            (_, None) => return Err(found(Problem::NoBeginning)),
            // A later version's record; `version` in the entry keeps it from being read by this one.
            (_, Some(_)) => {}
        }
    }
    Ok(events)
}
