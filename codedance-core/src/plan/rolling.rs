//! Strategies whose traffic follows a capacity that moves in place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Amount, Draft, Plan, PlanError, Stage, Strategy};
use crate::percent::Percent;
use crate::time;
use crate::workload::Workload;

/// The most stages that a rolling plan is cut into; within a stage the bounds hold just as well.
const MOST_BATCHES: u32 = 20;

/// Replaces a few replicas at a time, bounded as Kubernetes bounds a rolling update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Rolling {
    /// How many replicas may exist beyond the wanted, a share rounded up. Default `"25%"`.
    pub max_surge: Amount,
    /// How many of the wanted may be missing, a share rounded down. Default `"25%"`.
    pub max_unavailable: Amount,
    /// How long each batch holds before the next. Default none.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

impl Default for Rolling {
    fn default() -> Self {
        let quarter = Amount::Share(Percent::ratio(1, 4));
        Self {
            max_surge: quarter,
            max_unavailable: quarter,
            bake: Duration::ZERO,
        }
    }
}

impl Rolling {
    /// Bounded by `max_surge` and `max_unavailable`.
    #[must_use]
    pub const fn new(max_surge: Amount, max_unavailable: Amount) -> Self {
        Self {
            max_surge,
            max_unavailable,
            bake: Duration::ZERO,
        }
    }

    /// The same, each batch holding for at least `bake`.
    #[must_use]
    pub const fn with_bake(mut self, bake: Duration) -> Self {
        self.bake = bake;
        self
    }
}

impl Strategy for Rolling {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        if self.max_surge.is_zero() && self.max_unavailable.is_zero() {
            return Err(PlanError::new(
                "max_surge",
                "is 0, as is max_unavailable, so that nothing can move; raise one of them",
            ));
        }
        let mut draft = Draft::new(workload);
        let all = draft.replicas;
        let surge = self.max_surge.of_rounded_up(all).min(all);
        let unavailable = self.max_unavailable.of_rounded_down(all).min(all);
        draft.max_surge = Some(surge);
        // Shares that round to nothing must still let something move: Kubernetes takes 1 then.
        draft.max_unavailable = if surge == 0 && unavailable == 0 {
            1
        } else {
            unavailable
        };
        draft.drain = Duration::ZERO;
        let batch = (surge + draft.max_unavailable)
            .max(all.div_ceil(MOST_BATCHES))
            .max(1);
        draft.stages = (1..=all.div_ceil(batch))
            .map(|n| in_place(all, (n * batch).min(all)).with_bake(self.bake))
            .collect();
        draft.try_into()
    }
}

/// Takes the old revision away, then brings the new one: a declared gap in service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Recreate {
    /// How long the new revision must hold. Default none.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

impl Recreate {
    /// The new revision must hold for at least `bake`.
    #[must_use]
    pub const fn new(bake: Duration) -> Self {
        Self { bake }
    }
}

impl Strategy for Recreate {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        let mut draft = Draft::new(workload);
        draft.max_surge = Some(0);
        draft.max_unavailable = draft.replicas;
        draft.drain = Duration::ZERO;
        draft.stages = vec![in_place(draft.replicas, draft.replicas).with_bake(self.bake)];
        draft.try_into()
    }
}

/// `moved` of `all` replicas are the canary's, and so is that share of the traffic.
pub(super) fn in_place(all: u32, moved: u32) -> Stage {
    Stage::new(Percent::ratio(moved, all), moved, Some(all - moved))
}
