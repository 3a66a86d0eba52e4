//! What follows by itself from what is known and what time it is.

use super::event::Happening;
use super::explain::Waiting;
use super::machine::Events;
use super::phase::{Cause, Outcome};
use super::reach::Move;
use super::state::{
    Course, GateState, Progress, Promotion, PromotionStep, Rollback, Staging, State, Successor,
};
use crate::decision::Reaction;
use crate::plan::{Gate, OnTimeout};
use crate::time::Timestamp;

impl State {
    /// Takes one transition that is possible now; false if there is none.
    pub(super) fn advance(&mut self, events: &mut Events) -> bool {
        self.note_progress();
        match &self.course {
            Course::Stage(_) => self.advance_stage(events),
            Course::Promotion(promotion) => {
                if promotion.step != PromotionStep::Retiring
                    && let Some(cause) = self.heeded_danger()
                {
                    self.roll_back(cause, None, events);
                    return true;
                }
                if self.still_routes(promotion) && self.lacks_capacity() {
                    // To be booked once more: giving it replicas says which revision is the stable one.
                    self.set_out(Course::Promotion(Promotion {
                        step: PromotionStep::Booking,
                        since: promotion.since,
                        waiting: String::new(),
                    }));
                    return true;
                }
                self.give_up_in_time(events)
            }
            Course::Rollback(_) => self.give_up_in_time(events),
            Course::Ended(_) => false,
        }
    }

    fn advance_stage(&mut self, events: &mut Events) -> bool {
        let Course::Stage(staging) = self.course.clone() else {
            return false;
        };
        if let Some(cause) = self.broken_off(&staging) {
            self.roll_back(cause, None, events);
            return true;
        }
        let Some(sight) = &self.sight else {
            return false;
        };
        // Nothing is reached or passed on what may not be there any more.
        if self.paused.is_some() || self.in_doubt || self.next_move(sight) != Move::Done {
            return false;
        }
        let stage = self.stage(staging.index).clone();
        let Some(reached) = staging.reached else {
            events.push(Happening::StageReached {
                stage: staging.index,
            });
            self.restart_looks(staging.index);
            self.course = Course::Stage(Staging {
                reached: Some(self.now),
                ..staging
            });
            return true;
        };
        if staging.full {
            self.earn(&staging, events);
            return true;
        }
        if self.now < reached + stage.bake || self.doubt(staging.index).is_some() {
            return false;
        }
        match (&stage.gate, &staging.gate) {
            (None, _) => {
                self.earn(&staging, events);
                true
            }
            (Some(gate), None) => {
                let until = match gate {
                    Gate::Operator => None,
                    Gate::Approval { timeout, .. } => Some(self.now + *timeout),
                };
                events.push(Happening::GateOpened {
                    gate: gate_name(gate).to_owned(),
                    until,
                });
                let asked = GateState {
                    opened: self.now,
                    granted: false,
                    lapsed: false,
                };
                self.course = Course::Stage(Staging {
                    gate: Some(asked),
                    ..staging
                });
                true
            }
            (Some(_), Some(GateState { granted: true, .. })) => {
                self.earn(&staging, events);
                true
            }
            (Some(_), Some(GateState { lapsed: true, .. })) => false,
            (Some(gate), Some(asked)) => match gate {
                Gate::Operator => false,
                Gate::Approval {
                    name,
                    timeout,
                    on_timeout,
                } => {
                    if self.now < asked.opened + *timeout {
                        return false;
                    }
                    match on_timeout {
                        OnTimeout::Advance => self.earn(&staging, events),
                        OnTimeout::Rollback => {
                            let name = name.clone();
                            self.roll_back(Cause::GateTimedOut { name }, None, events);
                        }
                        OnTimeout::Hold => {
                            let lapsed = GateState {
                                lapsed: true,
                                ..asked.clone()
                            };
                            self.course = Course::Stage(Staging {
                                gate: Some(lapsed),
                                ..staging.clone()
                            });
                        }
                    }
                    true
                }
            },
        }
    }

    /// Why the way through the stages must be broken off now, if it must.
    fn broken_off(&self, staging: &Staging) -> Option<Cause> {
        if let Some(cause) = self.heeded_danger() {
            return Some(cause);
        }
        if self
            .plan
            .deadline()
            .is_some_and(|length| self.now >= self.began + length)
        {
            return Some(Cause::DeadlinePassed);
        }
        if self.paused.is_some() {
            return None;
        }
        if self.progress.gap > 0 && self.now >= self.progress.at + self.plan.progress_deadline() {
            let waiting_for = Waiting::of(self).to_string();
            return Some(Cause::Stuck { waiting_for });
        }
        if self.policy.on_inconclusive() == Reaction::Rollback
            && self
                .undecided_until(staging)
                .is_some_and(|end| self.now >= end)
            && self.doubt(staging.index).is_some()
        {
            return Some(Cause::Inconclusive {
                stage: staging.index,
            });
        }
        None
    }

    /// The danger to users, unless an operator's pause is to be respected even then.
    fn heeded_danger(&self) -> Option<Cause> {
        if self.paused.is_some() && !self.policy.rollback_while_paused() {
            return None;
        }
        self.danger()
    }

    pub(super) fn earn(&mut self, staging: &Staging, events: &mut Events) {
        events.push(Happening::StageEarned {
            stage: staging.index,
        });
        let earned = Some(self.stage(staging.index).weight);
        let next = staging.index + 1;
        if next < self.plan.stages().len() {
            self.enter(
                Staging {
                    full: staging.full,
                    ..Staging::new(next, self.now, earned)
                },
                events,
            );
        } else {
            events.push(Happening::PromotionStarted);
            self.set_out(Course::Promotion(Promotion {
                step: PromotionStep::Booking,
                since: self.now,
                waiting: String::new(),
            }));
        }
    }

    /// Makes a stage the goal.
    pub(super) fn enter(&mut self, staging: Staging, events: &mut Events) {
        let weight = self.stage(staging.index).weight;
        events.push(Happening::StageEntered {
            stage: staging.index,
            weight,
        });
        self.set_out(Course::Stage(staging));
    }

    /// Goes back, and then on to the successor if there is one. What has touched nothing yet is simply
    /// called off.
    pub(super) fn roll_back(
        &mut self,
        cause: Cause,
        successor: Option<Box<Successor>>,
        events: &mut Events,
    ) {
        let untouched = matches!(self.course, Course::Stage(_)) && self.sight.is_none();
        let roles_in_doubt = matches!(self.course, Course::Promotion(_));
        events.push(Happening::RollbackStarted(cause.clone()));
        self.paused = None;
        self.set_out(Course::Rollback(Rollback {
            cause: cause.clone(),
            since: self.now,
            successor,
            waiting: String::new(),
            roles_in_doubt,
        }));
        if untouched {
            self.finish(Outcome::Cancelled(cause), events);
        }
    }

    /// Ends this rollout, and begins its successor's.
    pub(super) fn finish(&mut self, outcome: Outcome, events: &mut Events) {
        events.push(Happening::Finished(outcome.clone()));
        let before = std::mem::replace(&mut self.course, Course::Ended(outcome.clone()));
        self.paused = None;
        self.trouble = None;
        let failed = matches!(outcome, Outcome::Failed { .. });
        if let Course::Rollback(Rollback {
            successor: Some(successor),
            ..
        }) = before
            && !failed
        {
            *self = Self::new(successor.plan, successor.policy, self.now, self.effect);
        }
    }

    /// Ends a rollback that is done.
    pub(super) fn finish_rollback(&mut self, events: &mut Events) {
        if let Course::Rollback(rollback) = &self.course {
            let cause = rollback.cause.clone();
            let outcome = if cause.calls_off() {
                Outcome::Cancelled(cause)
            } else {
                Outcome::RolledBack(cause)
            };
            self.finish(outcome, events);
        }
    }

    /// Fails for good: what is wanted cannot be had.
    pub(super) fn fail(&mut self, events: &mut Events) {
        let cause = match &self.course {
            Course::Rollback(rollback) => Some(rollback.cause.clone()),
            Course::Stage(_) | Course::Promotion(_) | Course::Ended(_) => None,
        };
        let (action, failure) = match self.trouble.take() {
            Some(trouble) => (trouble.action.to_string(), Some(trouble.failure)),
            None => (format!("wait for {}", Waiting::of(self)), None),
        };
        self.finish(
            Outcome::Failed {
                action,
                cause,
                failure,
            },
            events,
        );
    }

    /// A promotion or a rollback that goes nowhere is given up at last. What serves keeps serving.
    fn give_up_in_time(&mut self, events: &mut Events) -> bool {
        if self.paused.is_some() || self.now < self.gives_up_at() {
            return false;
        }
        self.fail(events);
        true
    }

    fn set_out(&mut self, course: Course) {
        self.course = course;
        self.progress = Progress::begun(self.now);
        self.poll_at = self.now;
        self.trouble = None;
        self.note_progress();
    }

    /// Notes when the way to the goal became shorter than ever before.
    fn note_progress(&mut self) {
        let (Some(sight), Some(goal)) = (&self.sight, self.goal()) else {
            return;
        };
        let gap = self.gap(sight, goal);
        let best = self.progress.gap;
        if gap < best || (best == 0 && gap > 0) {
            self.progress = Progress { at: self.now, gap };
        }
    }

    /// Until when the metrics of a reached stage may stay undecided.
    pub(super) fn undecided_until(&self, staging: &Staging) -> Option<Timestamp> {
        let (reached, deadline) = (staging.reached?, self.stage(staging.index).deadline?);
        staging
            .gate
            .is_none()
            .then_some(reached + deadline + staging.idle)
    }

    /// When a rollback no longer spares an overloaded stable revision.
    pub(super) fn despairs_at(&self) -> Timestamp {
        self.progress.at + self.plan.progress_deadline()
    }

    fn gives_up_at(&self) -> Timestamp {
        self.progress.at + self.plan.give_up_after()
    }

    /// The deadlines that run now, past ones included.
    pub(super) fn deadlines(&self) -> [Option<Timestamp>; 6] {
        let runs = self.paused.is_none();
        let grace = self.grace_ends();
        match &self.course {
            Course::Stage(staging) => {
                let stage = self.stage(staging.index);
                let gate = match (&stage.gate, &staging.gate) {
                    (Some(Gate::Approval { timeout, .. }), Some(asked)) => {
                        Some(asked.opened + *timeout)
                    }
                    (Some(_) | None, _) => None,
                };
                [
                    grace,
                    self.plan.deadline().map(|length| self.began + length),
                    gate.filter(|_| runs),
                    staging.reached.map(|at| at + stage.bake).filter(|_| runs),
                    self.undecided_until(staging).filter(|_| runs),
                    (runs && self.progress.gap > 0)
                        .then(|| self.progress.at + self.plan.progress_deadline()),
                ]
            }
            Course::Promotion(_) => [
                grace,
                runs.then(|| self.gives_up_at()),
                None,
                None,
                None,
                None,
            ],
            Course::Rollback(_) => [
                Some(self.despairs_at()),
                Some(self.gives_up_at()),
                None,
                None,
                None,
                None,
            ],
            Course::Ended(_) => [None; 6],
        }
    }
}

/// The name by which a gate is known to people.
pub(super) fn gate_name(gate: &Gate) -> &str {
    match gate {
        Gate::Operator => "operator",
        Gate::Approval { name, .. } => name,
    }
}
