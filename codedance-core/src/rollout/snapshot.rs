//! The whole state of a rollout as data that outlives the process and the version.

use serde::{Deserialize, Serialize};

use super::machine::Rollout;
use super::state::{Course, State};

/// The format that this version writes.
const VERSION: u32 = 1;

/// A rollout's state, with the version of its format. Small: a rollout of 6 stages and 5 metrics takes
/// less than 8 KiB of JSON, so that it fits a Kubernetes status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    version: u32,
    state: State,
}

/// A snapshot that cannot be gone on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Written by a version that this one does not know.
    #[error("the snapshot has format {found}; this version reads up to {VERSION}: upgrade it")]
    Version {
        /// The snapshot's format.
        found: u32,
    },
    /// It contradicts itself; it was changed by hand or is damaged.
    #[error("the snapshot contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl Rollout {
    /// The whole state. Judges of your own are not part of it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: VERSION,
            state: self.state.clone(),
        }
    }

    /// Goes on where the snapshot was taken. Judges of your own must be given again:
    /// [`Rollout::with_judges`].
    ///
    /// # Errors
    /// When the snapshot's format is not known, or it contradicts itself.
    pub fn restore(snapshot: Snapshot) -> Result<Self, RestoreError> {
        if snapshot.version != VERSION {
            return Err(RestoreError::Version {
                found: snapshot.version,
            });
        }
        let state = snapshot.state;
        let stages = state.plan.stages();
        if state.looks.stage >= stages.len() {
            return Err(RestoreError::Inconsistent(
                "it looks at a stage that the plan does not have",
            ));
        }
        if let Course::Stage(staging) = &state.course {
            let Some(stage) = stages.get(staging.index) else {
                return Err(RestoreError::Inconsistent(
                    "it is at a stage that the plan does not have",
                ));
            };
            if staging.gate.is_some() && stage.gate.is_none() {
                return Err(RestoreError::Inconsistent(
                    "it is at a gate that the stage does not have",
                ));
            }
        }
        Ok(Self::of(state))
    }
}
