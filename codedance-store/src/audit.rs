//! A journal as data that can be handed on, and each decision in it seen again.
//!
//! The form is JSON Lines: one [`Entry`] in a line, in order. Nothing but the entries and the code is
//! needed to see the decisions again: the machine is pure, and its inputs are all there.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use codedance_core::Timestamp;
use codedance_core::decision::{Assessment, Judge};
use codedance_core::journal::{ENTRY_VERSION, Entry, Record};
use codedance_core::rollout::{Event, Input, Rejected, RestoreError, Rollout};

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

/// A journal that contradicts itself, or that this version cannot follow.
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

/// What a journal tells when it is told again.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Audit {
    /// Every event of every rollout, in order.
    pub events: Vec<Event>,
    /// The looks of which today's judges think otherwise than those did whose word the journal keeps.
    /// Empty if they are the same judges.
    pub departures: Vec<Departure>,
}

/// A look of which today's judge thinks otherwise than it was judged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Departure {
    /// The entry of the look.
    pub sequence: u64,
    /// When it was.
    pub at: Timestamp,
    /// What the judge said, and what followed.
    pub said: Assessment,
    /// What the judge says today of the same evidence, with the memory that the other had.
    pub today: Assessment,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (said, today) = (self.said.verdict, self.today.verdict);
        let (sequence, at) = (self.sequence, self.at);
        if said == today {
            write!(
                f,
                "entry {sequence}, {at}: today's judge says `{said}` too, but not in the same words or \
                 with the same figures"
            )
        } else {
            write!(
                f,
                "entry {sequence}, {at}: the judge said `{said}`; today's says `{today}`"
            )
        }
    }
}

/// What the journal tells when the machine is told again what it was told, and what the judges said. The
/// state is compared with each snapshot on the way, bit for bit: that it is the same says that every
/// decision was the machine's own. Then today's judges are asked what they think of every look. `own`
/// are those that the policies may appoint beside the built-in ones.
///
/// # Errors
/// The first entry that does not follow from those before it, or that a later version wrote.
pub fn replay(entries: Vec<Entry>, own: &[Arc<dyn Judge>]) -> Result<Audit, Discrepancy> {
    let mut audit = Audit::default();
    let mut rollout: Option<Rollout> = None;
    let first = entries.first().map_or(0, |entry| entry.sequence);
    for (expected, entry) in (first..).zip(entries) {
        let sequence = entry.sequence;
        let found = |problem| Discrepancy { sequence, problem };
        if sequence != expected {
            return Err(found(Problem::OutOfOrder { expected }));
        }
        if !entry.is_known() {
            let found_version = entry.version;
            return Err(found(Problem::Version {
                found: found_version,
            }));
        }
        match (entry.record, &mut rollout) {
            (Record::Began(plan, policy), _) => {
                let begun = Rollout::new(*plan, *policy, entry.at);
                rollout = Some(begun.with_judges(own.iter().cloned()));
            }
            (Record::Told(input), Some(rollout)) => {
                let said = entry.assessment.as_deref();
                let today = said.and_then(|_| asked_again(rollout, entry.at, &input));
                let told = rollout.retell(entry.at, input, said);
                let events = told.map_err(|rejected| found(rejected.into()))?;
                audit.events.extend(events);
                if let (Some(said), Some(today)) = (said, today)
                    && *said != today
                {
                    audit.departures.push(Departure {
                        sequence,
                        at: entry.at,
                        said: said.clone(),
                        today,
                    });
                }
            }
            (Record::Snapshot(snapshot), Some(rollout)) => {
                let shown = Rollout::restore(*snapshot).map_err(|error| found(error.into()))?;
                if shown.snapshot() != rollout.snapshot() {
                    return Err(found(Problem::OtherState));
                }
            }
            (_, None) => return Err(found(Problem::NoBeginning)),
            // A later version's record; the check of its format keeps it from being read by this one.
            (_, Some(_)) => {}
        }
    }
    Ok(audit)
}

/// What today's judge says of this input, if it is asked.
fn asked_again(rollout: &Rollout, at: Timestamp, input: &Input) -> Option<Assessment> {
    let events = rollout.clone().step(at, input.clone()).ok()?;
    events.iter().find_map(Event::assessment).cloned()
}
