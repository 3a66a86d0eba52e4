//! From a journal to its story: the machine is told again what it was told then.

use std::sync::Arc;

use codedance_core::decision::Judge;
use codedance_core::journal::{ENTRY_VERSION, Entry, Record};
use codedance_core::rollout::{Rejected, RestoreError, Rollout};

use crate::story::Story;
use crate::telling::Telling;

/// Tells the stories of a journal.
///
/// The machine is pure, so a replay decides what was decided then, if it has the same judges: give it
/// those of your own that the policy appoints.
#[derive(Clone, Debug, Default)]
pub struct Teller {
    judges: Vec<Arc<dyn Judge>>,
}

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
        "entry {sequence} of the journal has format {found}; this version reads {ENTRY_VERSION}: \
         upgrade it"
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
    /// A snapshot is not where the entries before it lead. A judge is missing, or decides otherwise
    /// than it did then.
    #[error(
        "entry {sequence} of the journal is not where the entries before it lead; give the judges \
         that the rollout had"
    )]
    Diverged {
        /// The entry.
        sequence: u64,
    },
}

impl Teller {
    /// Knows the built-in judges.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with judges of your own, as they were given to the rollout.
    #[must_use]
    pub fn with_judges(mut self, judges: impl IntoIterator<Item = Arc<dyn Judge>>) -> Self {
        self.judges = judges.into_iter().collect();
        self
    }

    /// The last rollout of a journal.
    ///
    /// # Errors
    /// When the journal holds no rollout, has a gap, is of an unknown format, or contradicts itself.
    pub fn last(&self, entries: &[Entry]) -> Result<Story, StoryError> {
        self.all(entries)?.pop().ok_or(StoryError::Empty)
    }

    /// Every rollout of a journal, in order of time: one that was superseded by a newer revision is
    /// followed by that one's. Empty if there are no entries.
    ///
    /// # Errors
    /// When the journal has a gap, is of an unknown format, or contradicts itself.
    pub fn all(&self, entries: &[Entry]) -> Result<Vec<Story>, StoryError> {
        let mut stories = Vec::new();
        let mut telling: Option<Telling> = None;
        let mut expected = None;
        for entry in entries {
            let sequence = entry.sequence;
            if entry.version != ENTRY_VERSION {
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
                    let begun = Telling::new(self.judged(rollout), entry.at);
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
                        .hear(entry.at, input, &mut stories)
                        .map_err(|source| StoryError::Refused { sequence, source })?;
                }
                (Record::Snapshot(snapshot), telling) => {
                    let rollout = Rollout::restore((**snapshot).clone())
                        .map_err(|source| StoryError::Snapshot { sequence, source })?;
                    let rollout = self.judged(rollout);
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

    fn judged(&self, rollout: Rollout) -> Rollout {
        rollout.with_judges(self.judges.iter().cloned())
    }
}
