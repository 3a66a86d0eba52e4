//! Which looks count, for judges that do not judge at every look.

use serde::{Deserialize, Serialize};

use crate::decision::{Evidence, Reason};

/// Counts the looks of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Turns {
    /// The end of the last window that was counted, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    stage: usize,
    /// How many looks of the stage were counted.
    pub(super) looks: u32,
}

impl Turns {
    /// Begins to count anew if the stage is another; whether it is.
    pub(super) fn enter(&mut self, stage: usize) -> bool {
        let other = self.stage != stage;
        if other {
            (self.stage, self.looks) = (stage, 0);
        }
        other
    }

    /// Counts a look, unless its window was counted before; whether it was not.
    pub(super) fn count(&mut self, evidence: &Evidence<'_>) -> bool {
        let until = Some(evidence.window.to.as_millis());
        // None is less than any time.
        let new = until > self.until;
        if new {
            self.until = until;
            self.looks = self.looks.saturating_add(1);
        }
        new
    }

    /// Why it is not judged now, if only every so many-th look is.
    pub(super) fn waiting(&self, interval: u32) -> Option<Reason> {
        let looks = self.looks % interval.max(1);
        (looks != 0 || self.looks == 0).then_some(Reason::NotDue {
            looks,
            interval: interval.max(1),
        })
    }
}
