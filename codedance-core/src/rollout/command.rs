//! What people want: operators' commands, newer revisions, edited plans.

use std::sync::Arc;

use super::event::Happening;
use super::input::{Command, Rejected};
use super::machine::Events;
use super::phase::Cause;
use super::reach::Move;
use super::state::{Course, PromotionStep, Staging, State, Successor};
use crate::decision::{Memory, Policy};
use crate::plan::Plan;

impl Successor {
    pub(super) fn new(plan: Plan, policy: Policy) -> Self {
        Self {
            plan: Arc::new(plan),
            policy: Arc::new(policy),
        }
    }
}

impl State {
    pub(super) fn command(
        &mut self,
        command: Command,
        events: &mut Events,
    ) -> Result<(), Rejected> {
        let said = Happening::Commanded(command);
        match (&self.course, command) {
            (Course::Ended(_), _) => return Err(Rejected::Finished),
            (Course::Rollback(_), Command::Retry) | (_, Command::Retry) => {
                self.retry()?;
                events.push(said);
            }
            (Course::Rollback(rollback), Command::Abort) if rollback.successor.is_some() => {
                events.push(said);
                self.forget_successor(Cause::Aborted);
            }
            (Course::Rollback(_), _) => return Err(Rejected::RollingBack),
            (_, Command::Pause) => {
                if self.paused.is_some() {
                    return Err(Rejected::AlreadyPaused);
                }
                self.paused = Some(self.now);
                events.push(said);
            }
            (_, Command::Resume) => {
                if self.paused.is_none() {
                    return Err(Rejected::NotPaused);
                }
                self.resume();
                events.push(said);
            }
            (Course::Stage(_), Command::Promote) => {
                self.skip_wait(said, events)?;
            }
            (Course::Stage(staging), Command::PromoteFull) => {
                if staging.full && self.paused.is_none() {
                    return Err(Rejected::NothingToSkip);
                }
                let last = self.plan.stages().len() - 1;
                let full = if staging.index == last {
                    Staging {
                        full: true,
                        ..staging.clone()
                    }
                } else {
                    Staging {
                        full: true,
                        ..Staging::new(last, self.now, staging.earned)
                    }
                };
                let there = staging.index == last;
                self.resume();
                events.push(said);
                if there {
                    self.course = Course::Stage(full);
                } else {
                    self.enter(full, events);
                }
            }
            (Course::Promotion(_), Command::Promote | Command::PromoteFull) => {
                if self.paused.is_none() {
                    return Err(Rejected::NothingToSkip);
                }
                self.resume();
                events.push(said);
            }
            (Course::Promotion(promotion), Command::Abort)
                if promotion.step == PromotionStep::Retiring =>
            {
                return Err(Rejected::TooLate);
            }
            (Course::Stage(_) | Course::Promotion(_), Command::Abort) => {
                events.push(said);
                self.roll_back(Cause::Aborted, None, events);
            }
        }
        Ok(())
    }

    /// Time begins to run again where the pause had stopped it.
    fn resume(&mut self) {
        let Some(since) = self.paused.take() else {
            return;
        };
        self.progress.at = self.now;
        if let Course::Stage(staging) = &mut self.course {
            staging.idle += self.now.since(since);
        }
    }

    fn skip_wait(&mut self, said: Happening, events: &mut Events) -> Result<(), Rejected> {
        let Course::Stage(staging) = self.course.clone() else {
            return Ok(());
        };
        let arrived = staging.reached.is_some()
            && self
                .sight
                .as_ref()
                .is_some_and(|sight| self.next_move(sight) == Move::Done);
        if !arrived && self.paused.is_none() {
            return Err(Rejected::NothingToSkip);
        }
        self.resume();
        events.push(said);
        if arrived {
            self.earn(&staging, events);
        }
        Ok(())
    }

    fn retry(&mut self) -> Result<(), Rejected> {
        if self.trouble.take().is_some() {
            self.progress.at = self.now;
            return Ok(());
        }
        let Course::Stage(staging) = self.course.clone() else {
            return Err(Rejected::NothingToRetry);
        };
        if let Some(asked) = staging.gate.as_ref().filter(|gate| gate.lapsed) {
            let mut asked = asked.clone();
            (asked.opened, asked.lapsed) = (self.now, false);
            self.course = Course::Stage(Staging {
                gate: Some(asked),
                ..staging
            });
            return Ok(());
        }
        if self
            .undecided_until(&staging)
            .is_some_and(|end| self.now >= end)
            && self.doubt(staging.index).is_some()
        {
            self.forget_looks();
            self.course = Course::Stage(Staging {
                reached: Some(self.now),
                idle: std::time::Duration::ZERO,
                ..staging
            });
            return Ok(());
        }
        Err(Rejected::NothingToRetry)
    }

    fn forget_looks(&mut self) {
        self.restart_looks(self.looks.stage);
        self.looks.memory = Memory::default();
        // What the judge had made of the past is forgotten with the rest.
        self.looks.past_wanted = true;
    }

    fn forget_successor(&mut self, cause: Cause) {
        if let Course::Rollback(rollback) = &mut self.course {
            rollback.successor = None;
            if rollback.cause.calls_off() {
                rollback.cause = cause;
            }
        }
    }

    pub(super) fn supersede(
        &mut self,
        successor: Successor,
        events: &mut Events,
    ) -> Result<(), Rejected> {
        let (plan, by) = (&successor.plan, successor.plan.canary().clone());
        if let Course::Ended(_) = self.course {
            return Err(Rejected::Finished);
        }
        if let Course::Promotion(_) = self.course {
            return Err(Rejected::Promoting);
        }
        if plan.workload() != self.plan.workload() {
            return Err(Rejected::OtherStable);
        }
        let reverts = by == *self.plan.stable();
        if by == *self.plan.canary() {
            return Err(Rejected::SameRevision);
        }
        if !reverts && plan.stable() != self.plan.stable() {
            return Err(Rejected::OtherStable);
        }
        if reverts {
            if let Course::Rollback(_) = self.course {
                self.forget_successor(Cause::Reverted);
            } else {
                self.roll_back(Cause::Reverted, None, events);
            }
            return Ok(());
        }
        let successor = Box::new(successor);
        match &mut self.course {
            Course::Rollback(rollback) if rollback.successor.as_ref() == Some(&successor) => {}
            Course::Rollback(rollback) => {
                rollback.successor = Some(successor);
                events.push(Happening::Superseded { by });
            }
            Course::Stage(_) | Course::Promotion(_) | Course::Ended(_) => {
                events.push(Happening::Superseded { by: by.clone() });
                self.roll_back(Cause::Superseded { by }, Some(successor), events);
            }
        }
        Ok(())
    }

    pub(super) fn amend(
        &mut self,
        plan: Plan,
        policy: Policy,
        events: &mut Events,
    ) -> Result<(), Rejected> {
        let staging = match &self.course {
            Course::Ended(_) => return Err(Rejected::Finished),
            Course::Rollback(_) => return Err(Rejected::RollingBack),
            Course::Promotion(_) => return Err(Rejected::Promoting),
            Course::Stage(staging) => staging.clone(),
        };
        let revisions = |plan: &Plan| {
            (
                plan.workload().clone(),
                plan.stable().clone(),
                plan.canary().clone(),
            )
        };
        if revisions(&plan) != revisions(&self.plan) {
            return Err(Rejected::OtherRevision);
        }
        if plan == *self.plan && policy == *self.policy {
            return Ok(());
        }
        let same_stages = plan.stages() == self.plan.stages();
        let earned = plan
            .stages()
            .iter()
            .rposition(|stage| staging.earned.is_some_and(|earned| stage.weight <= earned))
            .unwrap_or(0);
        let last = plan.stages().len() - 1;
        self.plan = Arc::new(plan);
        let other_policy = policy != *self.policy;
        self.policy = Arc::new(policy);

        let stage = if staging.full {
            last
        } else if same_stages {
            staging.index
        } else {
            earned
        };
        events.push(Happening::Amended { stage });
        if !same_stages {
            self.looks.stage = stage;
            let full = staging.full;
            self.enter(
                Staging {
                    full,
                    ..Staging::new(stage, self.now, staging.earned)
                },
                events,
            );
        }
        if other_policy || !same_stages {
            self.forget_looks();
        }
        Ok(())
    }
}
