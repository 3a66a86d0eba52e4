//! What must hold of everything that a process does to the world.

use super::Audit;
use crate::percent::Percent;
use crate::plan::Plan;
use crate::rollout::{Action, Next, Phase};
use crate::testing::explore::invariant::{self, View};
use crate::testing::explore::world::World as Model;
use crate::time::Timestamp;
use crate::workload::Revision;

/// Who acts, as far as the audit must know.
#[derive(Clone, Copy, Debug)]
pub(in crate::testing::sim) struct Actor {
    pub(in crate::testing::sim) holds_lease: bool,
    /// Its clock has stood still: it cannot know that its lease has ended.
    pub(in crate::testing::sim) astray: bool,
    /// No clock was ever wrong in this run.
    pub(in crate::testing::sim) punctual: bool,
}

impl Audit {
    /// A process is about to change the world.
    pub(in crate::testing::sim) fn acts(
        &mut self,
        now: Timestamp,
        actor: Actor,
        action: &Action,
        world: &Model,
    ) -> Result<(), String> {
        self.note(now, || action.to_string());
        self.tally.effects += 1;
        if !actor.holds_lease {
            if actor.astray {
                self.spoil();
                return Ok(());
            }
            return Err(format!("{action}, without the lease"));
        }
        let (Some(rollout), Some(told)) = (&self.rollout, &self.told) else {
            return Err(format!("{action}, before the rollout is written down"));
        };
        match rollout.next() {
            Next::Run(effect) if effect.action == *action => {}
            next => {
                return Err(format!("{action}, while the journal wants {next:?}"));
            }
        }
        let view = View {
            rollout,
            world,
            told,
            now: rollout.now(),
            verdict: self.verdict,
        };
        invariant::of_effect(view, action)?;
        self.of_history(now, actor, action, world)
    }

    /// What must hold as long as nothing but the rollout itself changes the world.
    fn of_history(
        &mut self,
        now: Timestamp,
        actor: Actor,
        action: &Action,
        world: &Model,
    ) -> Result<(), String> {
        let Some(rollout) = &self.rollout else {
            return Ok(());
        };
        let plan = rollout.plan();
        let loses: Vec<&Revision> = match action {
            Action::Route(split) => {
                let back = split.share_of(plan.canary()) < world.share_of(plan.canary());
                let paused_at = self
                    .weight_at_pause
                    .filter(|_| rollout.phase() == Phase::Paused);
                if paused_at.is_some_and(|weight| split.share_of(plan.canary()) > weight)
                    && !self.spoiled
                    && !self.amended
                {
                    return Err(format!("{action}, although it is paused"));
                }
                let may_fall = rollout.phase() == Phase::RollingBack || self.amended;
                if back && !may_fall && !self.spoiled {
                    return Err(format!("{action}, although nothing sends it back"));
                }
                for revision in [plan.stable(), plan.canary()] {
                    if split.share_of(revision) < world.share_of(revision) {
                        self.lowered.insert(revision.clone(), now);
                    }
                }
                Vec::new()
            }
            Action::Scale(fleet) => [&fleet.stable, &fleet.canary]
                .into_iter()
                .filter(|group| {
                    let ready = world.of(&group.revision).ready;
                    group.replicas.is_some_and(|count| count < ready)
                })
                .map(|group| &group.revision)
                .collect(),
            Action::Retire(revision) => vec![revision],
            Action::Observe | Action::Measure(_) | Action::Promote(_) => Vec::new(),
        };
        let drains = plan.floor() > 0 && actor.punctual && !self.spoiled && !self.amended;
        for revision in loses.into_iter().filter(|_| drains) {
            let lowered = self.lowered.get(revision);
            if lowered.is_some_and(|at| now < *at + plan.drain()) && world.of(revision).ready > 0 {
                return Err(format!(
                    "{action}, before the requests on {revision} could end"
                ));
            }
        }
        Ok(())
    }

    /// The world has changed by what the rollout did: nobody lost the capacity for the traffic it has, or
    /// got traffic without the capacity for it.
    pub(in crate::testing::sim) fn changed(
        &self,
        before: &Model,
        world: &Model,
    ) -> Result<(), String> {
        let Some(rollout) = &self.rollout else {
            return Ok(());
        };
        let plan = rollout.plan();
        let despairs = rollout.phase() == Phase::RollingBack
            && rollout.now() >= rollout.explain().since + plan.progress_deadline();
        if self.spoiled || self.amended || despairs || plan.floor() == 0 {
            return Ok(());
        }
        for revision in [plan.stable(), plan.canary()] {
            let (had, has) = (before.of(revision).ready, world.of(revision).ready);
            let worse = has < had || world.share_of(revision) > before.share_of(revision);
            if worse {
                carries(plan, revision, world)?;
            }
        }
        Ok(())
    }
}

pub(super) fn carries(plan: &Plan, revision: &Revision, world: &Model) -> Result<(), String> {
    let share = world.share_of(revision);
    let ready = world.of(revision).ready;
    let autoscaled = plan.autoscaled() && revision == plan.stable();
    let needed = if autoscaled {
        u32::from(share > Percent::ZERO)
    } else {
        plan.needed_for(share)
    };
    if ready >= needed {
        return Ok(());
    }
    Err(format!(
        "{revision} has {share} of the traffic and {ready} ready replicas, and needs {needed}"
    ))
}
