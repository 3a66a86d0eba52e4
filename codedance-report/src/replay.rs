//! From a journal to its story: the machine is told again what it was told then.

use codedance_core::journal::{ENTRY_VERSION, Entry, Record};
use codedance_core::rollout::{Rejected, RestoreError, Rollout};

use crate::story::Story;
use crate::telling::Telling;

/// A journal that tells no story. Every fault names the sequence of the entry where it was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoryError {
    /// There is no entry at all.
    #[error("the journal is empty")]
    Empty,
    /// Entries are missing, or not in order.
    #[error("the journal has entry {found} where entry {expected} should be")]
    Gap {
        /// The sequence that should follow.
        expected: u64,
        /// The sequence that follows.
        found: u64,
    },
    /// Written by a version that this one does not know.
    #[error(
        "entry {sequence} of the journal has format {found}; this version reads up to \
         {ENTRY_VERSION}: upgrade it"
    )]
    Version {
        /// The entry.
        sequence: u64,
        /// Its format.
        found: u32,
    },
    /// A record of a kind that this version does not know.
    #[error("entry {sequence} of the journal is of an unknown kind: upgrade this version")]
    UnknownRecord {
        /// The entry.
        sequence: u64,
    },
    /// Something happened before anything began.
    #[error("entry {sequence} of the journal belongs to a rollout whose beginning is missing")]
    NotBegun {
        /// The entry.
        sequence: u64,
    },
    /// A snapshot that cannot be gone on from.
    #[error("entry {sequence} of the journal cannot be restored")]
    Snapshot {
        /// The entry.
        sequence: u64,
        /// Why.
        source: RestoreError,
    },
    /// The machine refuses what the journal says it accepted.
    #[error("entry {sequence} of the journal cannot have happened")]
    Refused {
        /// The entry.
        sequence: u64,
        /// Why.
        source: Rejected,
    },
    /// A snapshot is not where the entries before it lead: the journal was meddled with, or is of format 1,
    /// which does not keep what the judge said, and today's judge decides otherwise.
    #[error(
        "entry {sequence} of the journal is not where the entries before it lead: somebody changed it, or \
         it is of format 1 and today's judge decides otherwise than that of its time"
    )]
    Diverged {
        /// The entry.
        sequence: u64,
    },
}

/// Every rollout of a journal, in order of time.
///
/// The machine is pure and the journal keeps what the judges said, so it decides what it decided then.
pub(crate) fn stories(entries: &[Entry]) -> Result<Vec<Story>, StoryError> {
    let mut stories = Vec::new();
    let mut telling: Option<Telling> = None;
    let mut expected = None;
    for entry in entries {
        let sequence = entry.sequence;
        if !entry.is_known() {
            let found = entry.version;
            return Err(StoryError::Version { sequence, found });
        }
        if let Some(expected) = expected.filter(|expected| *expected != sequence) {
            let found = sequence;
            return Err(StoryError::Gap { expected, found });
        }
        expected = sequence.checked_add(1);
        match (&entry.record, &mut telling) {
            (Record::Began(plan, policy), _) => {
                let rollout = Rollout::new((**plan).clone(), (**policy).clone(), entry.at);
                let begun = Telling::new(rollout, entry.at);
                // A successor that the machine has begun by itself may be announced again.
                stories.extend(
                    telling
                        .replace(begun)
                        .filter(|before| !before.is_blank())
                        .map(Telling::finish),
                );
            }
            (Record::Told(input), Some(telling)) => {
                telling
                    .hear(entry.at, input, entry.assessment.as_deref(), &mut stories)
                    .map_err(|source| StoryError::Refused { sequence, source })?;
            }
            (Record::Snapshot(snapshot), telling) => {
                let rollout = Rollout::restore((**snapshot).clone())
                    .map_err(|source| StoryError::Snapshot { sequence, source })?;
                match telling {
                    Some(telling) if !telling.agrees_with(&rollout) => {
                        return Err(StoryError::Diverged { sequence });
                    }
                    Some(_) => {}
                    None => *telling = Some(Telling::new(rollout, entry.at)),
                }
            }
            (Record::Told(_), None) => return Err(StoryError::NotBegun { sequence }),
            _ => return Err(StoryError::UnknownRecord { sequence }),
        }
    }
    stories.extend(telling.map(Telling::finish));
    Ok(stories)
}
