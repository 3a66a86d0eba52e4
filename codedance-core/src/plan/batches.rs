//! Hosts that are changed in place, a growing part of them at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rolling::in_place;
use super::{Amount, Draft, Plan, PlanError, Strategy};
use crate::percent::Percent;
use crate::time;
use crate::workload::Workload;

/// Changes hosts in place, up to these amounts of all: by default 5 %, 25 %, 100 %.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Batches {
    /// How many hosts have changed after each batch, shares rounded up. Growing; the last is all.
    /// Batches that change no further host, because there are few, are left out.
    pub batches: Vec<Amount>,
    /// How many hosts may be out of service at once, a share rounded down, at least 1: a large batch
    /// is changed in several moves. Default `"25%"`.
    pub max_unavailable: Amount,
    /// How long each batch holds before the next. Default 5 min.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

impl Default for Batches {
    fn default() -> Self {
        let share = |percent| Amount::Share(Percent::ratio(percent, 100));
        Self {
            batches: [5, 25, 100].map(share).to_vec(),
            max_unavailable: share(25),
            bake: Duration::from_secs(300),
        }
    }
}

impl Batches {
    /// These batches, each holding for at least `bake`.
    #[must_use]
    pub fn new(batches: impl IntoIterator<Item = Amount>, bake: Duration) -> Self {
        Self {
            batches: batches.into_iter().collect(),
            bake,
            ..Self::default()
        }
    }

    /// The same with so many hosts out of service at once.
    #[must_use]
    pub const fn with_max_unavailable(mut self, max_unavailable: Amount) -> Self {
        self.max_unavailable = max_unavailable;
        self
    }
}

impl Strategy for Batches {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        let mut draft = Draft::new(workload);
        let all = draft.replicas;
        draft.max_surge = Some(0);
        draft.max_unavailable = self
            .max_unavailable
            .of_rounded_down(all)
            .clamp(1, all.max(1));
        draft.drain = Duration::ZERO;
        let mut before = 0;
        for (index, amount) in self.batches.iter().enumerate() {
            let moved = amount.of_rounded_up(all);
            if moved < before || moved > all {
                return Err(PlanError::new(
                    format!("batches[{index}]"),
                    format!("is {amount}, {moved} of {all}; write amounts that grow up to all"),
                ));
            }
            if moved > before {
                draft.stages.push(in_place(all, moved).with_bake(self.bake));
            }
            before = moved;
        }
        if before != all {
            return Err(PlanError::new(
                "batches",
                format!("end with {before} of {all}; let the last be \"100%\""),
            ));
        }
        draft.try_into()
    }
}
