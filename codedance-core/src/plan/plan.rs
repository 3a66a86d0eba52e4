//! A checked list of stages with the bounds that every move between them keeps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Gate, Stage};
use crate::percent::Percent;
use crate::time;
use crate::traffic::CohortKey;
use crate::workload::{Revision, Workload, WorkloadName};

/// How many stages a plan may have: more would not fit where snapshots are kept.
const MOST_STAGES: usize = 100;

/// What is to become a plan: freely made and changed, then checked by [`Plan::try_from`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Draft {
    /// What is rolled out.
    pub workload: WorkloadName,
    /// The revision in service.
    pub stable: Revision,
    /// The revision coming, another one.
    pub canary: Revision,
    /// How many replicas serve the whole traffic, at least 1.
    pub replicas: u32,
    /// Whether an autoscaler owns the count of stable replicas.
    #[serde(default, skip_serializing_if = "is_no")]
    pub autoscaled: bool,
    /// How many replicas beyond `replicas` may exist at any time, both revisions together. `None`: as
    /// many as the stages ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<u32>,
    /// How many of `replicas` may be missing at any time. All of them: the plan declares a gap in
    /// service.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_unavailable: u32,
    /// What keeps a user with one revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortKey>,
    /// How long a revision that lost traffic keeps its replicas, beyond the router's own propagation
    /// time. Default 30 s.
    #[serde(with = "time::duration", default = "drain")]
    pub drain: Duration,
    /// How long a move may go without progress before the rollout goes back. Default 10 min.
    #[serde(with = "time::duration", default = "progress_deadline")]
    pub progress_deadline: Duration,
    /// How long a rollback or a promotion may go without progress before the rollout is given up as
    /// failed. Default 1 h.
    #[serde(with = "time::duration", default = "give_up_after")]
    pub give_up_after: Duration,
    /// How long the whole rollout may take, pauses and gates included, until its promotion begins.
    /// `None`: for ever.
    #[serde(
        default,
        with = "time::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// The stages in order, 1 to 100. Weights never fall, stable replicas never grow, and the last gives
    /// everything to the canary.
    pub stages: Vec<Stage>,
}

impl Draft {
    /// No stages yet, everything else at its default.
    #[must_use]
    pub fn new(workload: &Workload) -> Self {
        Self {
            workload: workload.name.clone(),
            stable: workload.stable.clone(),
            canary: workload.canary.clone(),
            replicas: workload.replicas,
            autoscaled: workload.autoscaled,
            max_surge: None,
            max_unavailable: 0,
            cohort: None,
            drain: drain(),
            progress_deadline: progress_deadline(),
            give_up_after: give_up_after(),
            deadline: None,
            stages: Vec::new(),
        }
    }

    /// The replicas of the stable revision that a stage wants: `count`, or none of our business.
    #[must_use]
    pub fn stable_replicas(&self, count: u32) -> Option<u32> {
        (!self.autoscaled).then_some(count)
    }
}

const fn drain() -> Duration {
    Duration::from_secs(30)
}

const fn progress_deadline() -> Duration {
    Duration::from_secs(10 * 60)
}

const fn give_up_after() -> Duration {
    Duration::from_secs(60 * 60)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_no(flag: &bool) -> bool {
    !*flag
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The way of a workload from one revision to the next, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Draft", into = "Draft")]
pub struct Plan(Draft);

/// A draft that is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
#[non_exhaustive]
pub struct PlanError {
    /// The key at fault, such as `stages[2].weight`.
    pub key: String,
    /// What was found there, what was expected, and how to mend it.
    pub problem: String,
}

impl PlanError {
    /// A problem at `key`, for strategies of your own.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

impl Plan {
    /// What is rolled out.
    #[must_use]
    pub const fn workload(&self) -> &WorkloadName {
        &self.0.workload
    }

    /// The revision in service.
    #[must_use]
    pub const fn stable(&self) -> &Revision {
        &self.0.stable
    }

    /// The revision coming.
    #[must_use]
    pub const fn canary(&self) -> &Revision {
        &self.0.canary
    }

    /// How many replicas serve the whole traffic.
    #[must_use]
    pub const fn replicas(&self) -> u32 {
        self.0.replicas
    }

    /// Whether an autoscaler owns the count of stable replicas.
    #[must_use]
    pub const fn autoscaled(&self) -> bool {
        self.0.autoscaled
    }

    /// What keeps a user with one revision.
    #[must_use]
    pub const fn cohort(&self) -> Option<&CohortKey> {
        self.0.cohort.as_ref()
    }

    /// How long a revision that lost traffic keeps its replicas.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        self.0.drain
    }

    /// How long a move may go without progress.
    #[must_use]
    pub const fn progress_deadline(&self) -> Duration {
        self.0.progress_deadline
    }

    /// How long a rollback or a promotion may go without progress.
    #[must_use]
    pub const fn give_up_after(&self) -> Duration {
        self.0.give_up_after
    }

    /// How long the whole rollout may take.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.0.deadline
    }

    /// The stages in order, at least one.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.0.stages
    }

    /// The fewest ready replicas, of both revisions together, that the plan serves with.
    #[must_use]
    pub const fn floor(&self) -> u32 {
        self.0.replicas - self.0.max_unavailable
    }

    /// The most replicas, of both revisions together, that may exist.
    #[must_use]
    pub fn ceiling(&self) -> Option<u32> {
        self.0
            .max_surge
            .map(|surge| self.0.replicas.saturating_add(surge))
    }

    /// How many ready replicas a revision needs to carry `share` of the traffic: its part of
    /// [`Plan::floor`], rounded up, at least 1 for any share at all.
    ///
    /// A basis point is forgiven, because shares themselves are rounded to it.
    #[must_use]
    pub fn needed_for(&self, share: Percent) -> u32 {
        if share == Percent::ZERO {
            return 0;
        }
        let forgiven = u64::from(share.basis_points() - 1);
        let part = (u64::from(self.floor()) * forgiven).div_ceil(10_000);
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }

    /// The greatest share that `ready` replicas carry.
    #[must_use]
    pub fn carried_by(&self, ready: u32) -> Percent {
        if ready == 0 {
            return Percent::ZERO;
        }
        Percent::ratio(ready, self.floor())
    }

    /// The plan as a draft, to change and check again.
    #[must_use]
    pub fn into_draft(self) -> Draft {
        self.0
    }
}

impl From<Plan> for Draft {
    fn from(plan: Plan) -> Self {
        plan.0
    }
}

impl TryFrom<Draft> for Plan {
    type Error = PlanError;

    fn try_from(mut draft: Draft) -> Result<Self, PlanError> {
        if draft.replicas == 0 {
            return Err(PlanError::new(
                "replicas",
                "is 0; write how many serve the whole traffic",
            ));
        }
        if draft.stable == draft.canary {
            return Err(PlanError::new(
                "canary",
                format!(
                    "is `{}`, the stable revision; name another one",
                    draft.canary
                ),
            ));
        }
        if draft.max_unavailable > draft.replicas {
            return Err(PlanError::new(
                "max_unavailable",
                format!(
                    "is {} of {} replicas",
                    draft.max_unavailable, draft.replicas
                ),
            ));
        }
        if draft.max_surge == Some(0) && draft.max_unavailable == 0 {
            return Err(PlanError::new(
                "max_surge",
                "is 0, as is max_unavailable, so that nothing can move; raise one of them",
            ));
        }
        if draft.autoscaled && (draft.max_surge.is_some() || draft.max_unavailable > 0) {
            return Err(PlanError::new(
                "autoscaled",
                "cannot be combined with max_surge or max_unavailable, which bound a count that the \
                 autoscaler owns; drop one of them",
            ));
        }
        for (key, length) in [
            ("progress_deadline", draft.progress_deadline),
            ("give_up_after", draft.give_up_after),
        ] {
            if length.is_zero() {
                return Err(PlanError::new(
                    key,
                    "is 0s; write how long to wait, such as `10m`",
                ));
            }
        }
        if draft.deadline.is_some_and(|length| length.is_zero()) {
            return Err(PlanError::new(
                "deadline",
                "is 0s; leave it out for no deadline",
            ));
        }
        if draft.stages.is_empty() || draft.stages.len() > MOST_STAGES {
            return Err(PlanError::new(
                "stages",
                format!("are {}; write 1 to {MOST_STAGES}", draft.stages.len()),
            ));
        }
        // It will not grow any more, and a process may hold ten thousand.
        draft.stages.shrink_to_fit();
        let plan = Self(draft);
        let mut before = None;
        for (index, stage) in plan.stages().iter().enumerate() {
            plan.check_stage(index, stage, before)?;
            before = Some(stage);
        }
        let (index, last) = (
            plan.stages().len() - 1,
            &plan.stages()[plan.stages().len() - 1],
        );
        if last.weight != Percent::HUNDRED {
            return Err(PlanError::new(
                format!("stages[{index}].weight"),
                format!(
                    "is {}; the last stage must give 100 % to the canary",
                    last.weight
                ),
            ));
        }
        if last.canary < plan.replicas() {
            return Err(PlanError::new(
                format!("stages[{index}].canary"),
                format!(
                    "is {}; the last stage needs all {}",
                    last.canary,
                    plan.replicas()
                ),
            ));
        }
        Ok(plan)
    }
}

impl Plan {
    fn check_stage(
        &self,
        index: usize,
        stage: &Stage,
        before: Option<&Stage>,
    ) -> Result<(), PlanError> {
        let at = |key: &str, problem: String| {
            Err(PlanError::new(format!("stages[{index}].{key}"), problem))
        };
        if let Some(before) = before.filter(|before| stage.weight < before.weight) {
            return at(
                "weight",
                format!(
                    "is {}, less than {} before; weights never fall",
                    stage.weight, before.weight
                ),
            );
        }
        if let Some(before) = before.filter(|before| stage.stable > before.stable) {
            let was = before.stable.unwrap_or_default();
            return at(
                "stable",
                format!("is more than the {was} before; it never grows"),
            );
        }
        let needed = self.needed_for(stage.weight);
        if stage.canary < needed {
            let weight = stage.weight;
            return at(
                "canary",
                format!(
                    "is {}; {weight} of the traffic needs {needed}",
                    stage.canary
                ),
            );
        }
        match stage.stable {
            Some(_) if self.autoscaled() => {
                return at(
                    "stable",
                    "is set, but an autoscaler owns it; leave it out".to_owned(),
                );
            }
            None if !self.autoscaled() => {
                return at(
                    "stable",
                    "is missing; write how many replicas stay".to_owned(),
                );
            }
            Some(stable) => {
                let share = stage.weight.complement();
                let needed = self.needed_for(share);
                if stable < needed && !(self.floor() == 0 && stable == 0) {
                    return at(
                        "stable",
                        format!("is {stable}; {share} of the traffic needs {needed}"),
                    );
                }
                let total = stable.saturating_add(stage.canary);
                if let Some(ceiling) = self.ceiling()
                    && total > ceiling
                {
                    return at(
                        "canary",
                        format!(
                            "makes {total} replicas with the stable ones; max_surge allows {ceiling}"
                        ),
                    );
                }
            }
            None => {}
        }
        if stage
            .deadline
            .is_some_and(|deadline| deadline <= stage.bake)
        {
            return at(
                "deadline",
                "is not after the bake time; nothing could ever pass".to_owned(),
            );
        }
        if let Some(Gate::Approval { name, timeout, .. }) = &stage.gate {
            if name.trim().is_empty() {
                return at(
                    "gate.approval.name",
                    "is empty; name who approves".to_owned(),
                );
            }
            if timeout.is_zero() {
                return at(
                    "gate.approval.timeout",
                    "is 0s; write how long to wait".to_owned(),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::OnTimeout;

    fn draft() -> Draft {
        let name = |text: &str| Revision::new(text).unwrap();
        let workload = Workload::new(
            WorkloadName::new("shop").unwrap(),
            name("v1"),
            name("v2"),
            10,
        );
        let mut draft = Draft::new(&workload);
        draft.stages = vec![
            Stage::new(Percent::new(10).unwrap(), 1, Some(10)),
            Stage::new(Percent::HUNDRED, 10, Some(10)),
        ];
        draft
    }

    #[test]
    fn a_malformed_draft_is_refused_at_its_key() {
        type Spoil = fn(&mut Draft);
        let table: &[(&str, Spoil)] = &[
            ("replicas", |d| d.replicas = 0),
            ("canary", |d| d.canary = d.stable.clone()),
            ("max_unavailable", |d| d.max_unavailable = 11),
            ("max_surge", |d| d.max_surge = Some(0)),
            ("autoscaled", |d| {
                d.autoscaled = true;
                d.max_surge = Some(1);
            }),
            ("stages[0].stable", |d| d.autoscaled = true),
            ("stages[0].stable", |d| d.stages[0].stable = None),
            ("stages[0].stable", |d| d.stages[0].stable = Some(8)),
            ("stages[1].stable", |d| d.stages[1].stable = Some(11)),
            ("stages[0].canary", |d| d.stages[0].canary = 0),
            ("stages[0].canary", |d| {
                d.max_surge = Some(1);
                d.stages[0].canary = 2;
            }),
            ("stages", |d| d.stages.clear()),
            ("stages", |d| d.stages = vec![d.stages[0].clone(); 101]),
            ("stages[1].weight", |d| d.stages.truncate(1)),
            ("stages[1].weight", |d| {
                d.stages[1].weight = Percent::new(99).unwrap();
            }),
            ("stages[1].weight", |d| {
                d.stages[0] = d.stages[1].clone();
                d.stages[1].weight = Percent::new(50).unwrap();
            }),
            ("stages[1].canary", |d| d.stages[1].canary = 9),
            ("stages[0].deadline", |d| {
                d.stages[0].deadline = Some(Duration::ZERO);
            }),
            ("stages[0].gate.approval.name", |d| {
                d.stages[0].gate = Some(Gate::Approval {
                    name: " ".to_owned(),
                    timeout: Duration::from_secs(1),
                    on_timeout: OnTimeout::Hold,
                });
            }),
            ("stages[0].gate.approval.timeout", |d| {
                d.stages[0].gate = Some(Gate::Approval {
                    name: "load test".to_owned(),
                    timeout: Duration::ZERO,
                    on_timeout: OnTimeout::Hold,
                });
            }),
            ("progress_deadline", |d| {
                d.progress_deadline = Duration::ZERO;
            }),
            ("give_up_after", |d| d.give_up_after = Duration::ZERO),
            ("deadline", |d| d.deadline = Some(Duration::ZERO)),
        ];
        assert!(Plan::try_from(draft()).is_ok());
        for (key, spoil) in table {
            let mut draft = draft();
            spoil(&mut draft);
            let error = Plan::try_from(draft).expect_err(key);
            // The stage whose weight is wrong moves with the spoiling; its key is what counts.
            assert_eq!(
                error.key.replace("[0].weight", "[1].weight"),
                *key,
                "{error}"
            );
        }
    }

    #[test]
    fn needs_and_carrying_are_each_others_inverse() {
        for (replicas, unavailable) in [(1, 0), (3, 0), (3, 1), (7, 2), (100, 25), (1_000, 0)] {
            let mut draft = draft();
            draft.replicas = replicas;
            draft.max_unavailable = unavailable;
            draft.stages = vec![Stage::new(Percent::HUNDRED, replicas, Some(replicas))];
            let plan = Plan::try_from(draft).unwrap();
            for ready in 0..=replicas {
                let share = plan.carried_by(ready);
                assert!(
                    plan.needed_for(share) <= ready,
                    "{ready} of {replicas} carry {share}"
                );
            }
            for points in 0..=10_000 {
                let share = Percent::from_basis_points(points).unwrap();
                let carried = plan.carried_by(plan.needed_for(share));
                assert!(carried.basis_points() + 1 >= points, "{share} {carried}");
            }
        }
    }

    #[test]
    fn a_plan_survives_json() {
        let plan = Plan::try_from(draft()).unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        let spoiled = json.replace("\"replicas\":10", "\"replicas\":0");
        assert!(serde_json::from_str::<Plan>(&spoiled).is_err());
    }
}
