//! Strategies that grow the canary's share beside a stable revision at full strength.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Draft, Gate, Plan, PlanError, Stage, Strategy};
use crate::percent::Percent;
use crate::time;
use crate::workload::Workload;

/// The users' lists, in percent.
const LINEAR: [u16; 6] = [5, 10, 25, 50, 75, 100];
const EXPONENTIAL: [u16; 6] = [1, 5, 10, 25, 50, 100];

/// Grows the share by like steps: 5, 10, 25, 50, 75, 100 %.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Linear {
    /// How long each stage holds, at least. Default 5 min.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

/// Begins with few users and grows fast: 1, 5, 10, 25, 50, 100 %.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Exponential {
    /// How long each stage holds, at least. Default 5 min.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

/// The stages of [`Linear`], each left only when an operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Manual {
    /// How long each stage holds, at least, before the operator is asked. Default none.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

/// Stages of your own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Steps {
    /// In order, at least one. A last step below 100 % is followed by one at 100 %.
    pub steps: Vec<Step>,
}

/// One stage of [`Steps`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Step {
    /// The canary's share of the traffic.
    pub weight: Percent,
    /// How long the stage holds, at least. `None`: until an operator promotes it.
    #[serde(
        default,
        with = "time::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub pause: Option<Duration>,
    /// Replicas of the canary. `None`: its share of all, rounded up, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How long the metrics may stay undecided. `None`: for ever.
    #[serde(
        default,
        with = "time::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// Who must agree before the next stage, besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

impl Default for Linear {
    fn default() -> Self {
        Self::new(Duration::from_secs(300))
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self::new(Duration::from_secs(300))
    }
}

impl Linear {
    /// Each stage holds for at least `bake`.
    #[must_use]
    pub const fn new(bake: Duration) -> Self {
        Self { bake }
    }
}

impl Exponential {
    /// Each stage holds for at least `bake`.
    #[must_use]
    pub const fn new(bake: Duration) -> Self {
        Self { bake }
    }
}

impl Manual {
    /// Each stage holds for at least `bake` before the operator is asked.
    #[must_use]
    pub const fn new(bake: Duration) -> Self {
        Self { bake }
    }
}

impl Steps {
    /// These steps, in order.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
        }
    }
}

impl Step {
    /// `weight` for at least `pause`.
    #[must_use]
    pub const fn new(weight: Percent, pause: Option<Duration>) -> Self {
        Self {
            weight,
            pause,
            replicas: None,
            deadline: None,
            gate: None,
        }
    }

    /// The same on so many replicas of the canary.
    #[must_use]
    pub const fn with_replicas(mut self, replicas: u32) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// The same behind a gate.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The same, undecided for at most `deadline`.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl Strategy for Linear {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        listed(workload, LINEAR, self.bake, None)
    }
}

impl Strategy for Exponential {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        listed(workload, EXPONENTIAL, self.bake, None)
    }
}

impl Strategy for Manual {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        listed(workload, LINEAR, self.bake, Some(Gate::Operator))
    }
}

impl Strategy for Steps {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        let mut draft = Draft::new(workload);
        for (index, step) in self.steps.iter().enumerate() {
            if step.pause.is_none()
                && step
                    .gate
                    .as_ref()
                    .is_some_and(|gate| *gate != Gate::Operator)
            {
                return Err(PlanError::new(
                    format!("steps[{index}].pause"),
                    "is missing, which asks for an operator, but the gate asks for somebody else; \
                     write a pause, such as `0s`",
                ));
            }
            let asked = step.pause.is_none().then_some(Gate::Operator);
            let stage = beside_stable(&draft, step.weight, step.replicas)
                .with_bake(step.pause.unwrap_or_default())
                .with_deadline(step.deadline)
                .with_gate(step.gate.clone().or(asked))
                // A canary without users has no metrics.
                .with_analysis(step.weight > Percent::ZERO);
            draft.stages.push(stage);
        }
        if draft
            .stages
            .last()
            .is_some_and(|last| last.weight != Percent::HUNDRED)
        {
            draft
                .stages
                .push(beside_stable(&draft, Percent::HUNDRED, None));
        }
        draft.try_into()
    }
}

fn listed(
    workload: &Workload,
    weights: [u16; 6],
    bake: Duration,
    gate: Option<Gate>,
) -> Result<Plan, PlanError> {
    let mut draft = Draft::new(workload);
    for weight in weights
        .iter()
        .filter_map(|percent| Percent::new(u32::from(*percent)).ok())
    {
        let stage = beside_stable(&draft, weight, None)
            .with_bake(bake)
            .with_gate(gate.clone());
        draft.stages.push(stage);
    }
    draft.try_into()
}

/// A stage whose stable revision stays at full strength, so that going back is only a matter of
/// routing.
pub(super) fn beside_stable(draft: &Draft, weight: Percent, replicas: Option<u32>) -> Stage {
    let canary = match replicas {
        Some(replicas) => replicas,
        None if weight == Percent::ZERO => 0,
        None => weight.of_rounded_up(draft.replicas).max(1),
    };
    Stage::new(weight, canary, draft.stable_replicas(draft.replicas))
}
