//! What the machine remembers: all of it is in the snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{Action, EffectId};
use super::input::Alert;
use super::phase::{Cause, Outcome, Phase};
use crate::decision::{Memory, Policy, Reason, ScoreRange, Verdict};
use crate::error::Failure;
use crate::percent::Percent;
use crate::plan::{Plan, Stage};
use crate::time::Timestamp;
use crate::workload::GroupStatus;

/// The whole state of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) plan: Arc<Plan>,
    pub(super) policy: Arc<Policy>,
    /// When this rollout began.
    pub(super) began: Timestamp,
    /// The latest time it was told; it never goes backwards.
    pub(super) now: Timestamp,
    /// The number of the effect wanted now.
    pub(super) effect: EffectId,
    pub(super) course: Course,
    /// Since when an operator holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paused: Option<Timestamp>,
    /// What is there. `None` until the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sight: Option<Sight>,
    pub(super) traffic: Traffic,
    /// Whether something may have been done of which no outcome is known: look before going on.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) in_doubt: bool,
    pub(super) looks: Looks,
    pub(super) progress: Progress,
    /// When to look again at something that is under way.
    pub(super) poll_at: Timestamp,
    /// What failed last, as long as it is still wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<Trouble>,
    /// The alerts that fire, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) alerts: BTreeMap<String, Alert>,
}

/// What it is heading for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Course {
    /// A stage of the plan.
    Stage(Staging),
    /// The canary as the stable revision.
    Promotion(Promotion),
    /// The stable revision alone.
    Rollback(Rollback),
    /// Nothing any more.
    Ended(Outcome),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Staging {
    pub(super) index: usize,
    pub(super) entered: Timestamp,
    /// The share of the last stage that was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) earned: Option<Percent>,
    /// When its capacity and traffic were first in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reached: Option<Timestamp>,
    /// How long it did not move on because people did not want it to or nobody drove it, rather than
    /// because of the metrics.
    #[serde(
        default,
        with = "crate::time::duration",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub(super) idle: Duration,
    /// The gate, once it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gate: Option<GateState>,
    /// An operator wants no more waiting, in this stage and all that follow.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) full: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateState {
    pub(super) opened: Timestamp,
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) granted: bool,
    /// No answer came in time, and an operator must decide.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) lapsed: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promotion {
    pub(super) step: PromotionStep,
    pub(super) since: Timestamp,
    /// What the back end last said it waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) waiting: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PromotionStep {
    /// The back end's books name the canary as stable.
    Booking,
    /// All traffic goes to it in the role of stable.
    Routing,
    /// The old revision goes. From here there is no way back.
    Retiring,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    pub(super) cause: Cause,
    pub(super) since: Timestamp,
    /// What to roll out when it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) successor: Option<Box<Successor>>,
    /// What the back end last said it waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) waiting: String,
    /// Whether the back end may believe that the canary is the stable revision: it was being promoted.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) roles_in_doubt: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Successor {
    pub(super) plan: Arc<Plan>,
    pub(super) policy: Arc<Policy>,
}

/// What is there of the two revisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sight {
    pub(super) stable: GroupStatus,
    pub(super) canary: GroupStatus,
    /// Since when a canary with traffic has no ready replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) none_ready_since: Option<Timestamp>,
}

/// What is known of the traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Traffic {
    /// The canary's share as last read back. `None`: nobody looked yet, or a third revision has traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weight: Option<Percent>,
    /// When the last change is surely in force.
    pub(super) settled_at: Timestamp,
    /// When a revision that lost traffic in the last change may lose replicas.
    pub(super) drained_at: Timestamp,
}

/// The looks at the metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Looks {
    /// Where the next window begins.
    pub(super) from: Timestamp,
    /// Where it ends.
    pub(super) due: Timestamp,
    /// The stage whose traffic is in force.
    pub(super) stage: usize,
    #[serde(default, skip_serializing_if = "Memory::is_empty")]
    pub(super) memory: Memory,
    /// Whether the judge has yet to learn how the stable revision did before.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) past_wanted: bool,
    /// The last look, if it was taken in the stage in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Look>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) verdict: Verdict,
    pub(super) score: ScoreRange,
    /// The most important first, not all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) reasons: Vec<Reason>,
}

/// How far the way to the goal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// When it was last shorter than ever before on this course.
    pub(super) at: Timestamp,
    /// The shortest so far, 0 when the goal is reached.
    pub(super) gap: u64,
}

/// Something that failed and is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trouble {
    pub(super) action: Action,
    pub(super) failure: Failure,
    /// How often in a row.
    pub(super) attempts: u32,
    pub(super) retry_at: Timestamp,
}

impl State {
    pub(super) fn new(
        plan: Arc<Plan>,
        policy: Arc<Policy>,
        at: Timestamp,
        effect: EffectId,
    ) -> Self {
        Self {
            plan,
            policy,
            began: at,
            now: at,
            effect,
            course: Course::Stage(Staging::new(0, at, None)),
            paused: None,
            sight: None,
            traffic: Traffic::default(),
            in_doubt: false,
            looks: Looks::new(at),
            progress: Progress::begun(at),
            poll_at: at,
            trouble: None,
            alerts: BTreeMap::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match &self.course {
            Course::Stage(_) if self.sight.is_none() => Phase::Pending,
            Course::Stage(_) | Course::Promotion(_) if self.paused.is_some() => Phase::Paused,
            Course::Stage(_) => Phase::Progressing,
            Course::Promotion(_) => Phase::Promoting,
            Course::Rollback(_) => Phase::RollingBack,
            Course::Ended(Outcome::Completed) => Phase::Completed,
            Course::Ended(Outcome::RolledBack(_)) => Phase::RolledBack,
            Course::Ended(Outcome::Cancelled(_)) => Phase::Cancelled,
            Course::Ended(Outcome::Failed { .. }) => Phase::Failed,
        }
    }

    pub(super) fn stage(&self, index: usize) -> &Stage {
        // Indices come from this plan or were checked against it when the snapshot was restored.
        &self.plan.stages()[index]
    }
}

impl Staging {
    pub(super) const fn new(index: usize, at: Timestamp, earned: Option<Percent>) -> Self {
        Self {
            index,
            entered: at,
            earned,
            reached: None,
            idle: Duration::ZERO,
            gate: None,
            full: false,
        }
    }
}

impl Looks {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            from: at,
            due: at,
            stage: 0,
            memory: Memory::default(),
            past_wanted: true,
            last: None,
        }
    }
}

impl Progress {
    pub(super) const fn begun(at: Timestamp) -> Self {
        Self { at, gap: u64::MAX }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_no(flag: &bool) -> bool {
    !*flag
}
