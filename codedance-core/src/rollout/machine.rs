//! The machine itself: [`Rollout::step`] and [`Rollout::next`].
//!
//! `step` takes one thing in and then lets the state settle: as long as a transition is possible it is
//! taken. `next` reads off the settled state what is wanted. What is told is taken in by `outcome` (from
//! the ports) and `command` (from people); what follows by itself is in `transition`. There is no
//! arithmetic here: it lies in `reach` (moves), `bake` (metrics) and in the plan.

use std::sync::Arc;

use super::effect::{Action, Effect, EffectId, Next};
use super::event::{Event, Happening};
use super::explain::Explanation;
use super::input::{Input, Rejected};
use super::phase::Phase;
use super::reach::{Goal, Haste, Move, Role};
use super::state::{Course, Promotion, PromotionStep, Sight, State, Successor};
use crate::decision::{Assessment, Evidence, Judge, Policy};
use crate::percent::Percent;
use crate::plan::{Gate, Plan};
use crate::time::Timestamp;
use crate::traffic::Split;
use crate::workload::WorkloadName;

/// A rollout of one workload from one revision to the next.
///
/// ```
/// use codedance_core::decision::Policy;
/// use codedance_core::plan::{Linear, Strategy};
/// use codedance_core::rollout::{Action, Input, Next, Observation, Phase, Report, Rollout};
/// use codedance_core::traffic::Split;
/// use codedance_core::workload::{FleetStatus, GroupStatus, Revision, Workload, WorkloadName};
/// use codedance_core::Timestamp;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (v1, v2) = (Revision::new("v1")?, Revision::new("v2")?);
/// let workload = Workload::new(WorkloadName::new("shop")?, v1.clone(), v2, 3);
/// let plan = Linear::default().plan(&workload)?;
/// let mut rollout = Rollout::new(plan, Policy::default(), Timestamp::EPOCH);
///
/// // First it wants to know what is there …
/// let Next::Run(look) = rollout.next() else { panic!("nothing was seen yet") };
/// assert_eq!(look.action, Action::Observe);
/// let there = FleetStatus::new().with(v1.clone(), GroupStatus::new(3, 3));
/// let report = Report::Observed(Observation::new(there, Split::all(v1)));
/// rollout.step(Timestamp::EPOCH, Input::Outcome(look.id, Ok(report)))?;
///
/// // … then a replica of the canary, before any traffic.
/// let Next::Run(grow) = rollout.next() else { panic!("the canary has no replica") };
/// assert_eq!(grow.action.to_string(), "scale to v1 × 3, v2 × 1");
/// assert_eq!(rollout.phase(), Phase::Progressing);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rollout {
    pub(super) state: State,
    own_judges: Vec<Arc<dyn Judge>>,
    judge: Arc<dyn Judge>,
}

/// A judge that repeats what was said once.
#[derive(Debug)]
struct Said<'a>(&'a Assessment);

impl Judge for Said<'_> {
    fn name(&self) -> &'static str {
        "said"
    }

    fn assess(&self, _: &Evidence<'_>) -> Assessment {
        self.0.clone()
    }
}

/// The events of one step.
pub(super) struct Events {
    workload: WorkloadName,
    at: Timestamp,
    list: Vec<Event>,
}

impl Events {
    pub(super) fn push(&mut self, what: Happening) {
        self.list
            .push(Event::new(self.workload.clone(), self.at, what));
    }
}

/// What is wanted, before it is given a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Do(Action),
    /// Something under way, or at rest, until the next alarm.
    Wait(Resting),
    Ended,
}

/// Why nothing is to be done now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Resting {
    /// A move is under way.
    Moving(Move),
    /// The back end works on a promotion or a retirement.
    BackEnd,
    /// What failed is tried again later.
    Retrying,
    /// The goal is reached; time, evidence or people decide.
    AtGoal,
    /// An operator holds it.
    Paused,
}

impl Rollout {
    /// A rollout that begins at `at`. Nothing is done yet.
    #[must_use]
    pub fn new(plan: Plan, policy: Policy, at: Timestamp) -> Self {
        Self::of(State::new(
            Arc::new(plan),
            Arc::new(policy),
            at,
            EffectId::default(),
        ))
    }

    pub(super) fn of(state: State) -> Self {
        let judge = state.policy.judge(&[]);
        Self {
            state,
            own_judges: Vec::new(),
            judge,
        }
    }

    /// The same with judges of your own, by whose names the policy can appoint them. Give them again
    /// after a restore: a judge that the policy appoints and that is not there holds the rollout.
    #[must_use]
    pub fn with_judges(mut self, judges: impl IntoIterator<Item = Arc<dyn Judge>>) -> Self {
        self.own_judges = judges.into_iter().collect();
        self.judge = self.state.policy.judge(&self.own_judges);
        self
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// The plan that it follows now.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.state.plan
    }

    /// The policy that it is judged by now.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.state.policy
    }

    /// The index of the stage that it heads for or holds, from 0; `None` when it is past the stages or on
    /// its way back.
    #[must_use]
    pub fn stage(&self) -> Option<usize> {
        match &self.state.course {
            Course::Stage(staging) => Some(staging.index),
            Course::Promotion(_) | Course::Rollback(_) | Course::Ended(_) => None,
        }
    }

    /// The canary's share of the traffic as last read back; 0 % before the first look.
    #[must_use]
    pub fn weight(&self) -> Percent {
        self.state.traffic.weight.unwrap_or_default()
    }

    /// The latest time that it was told.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.state.now
    }

    /// Why it is where it is, what it waits for and until when, and what an operator can do.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        super::explain::explain(self)
    }

    /// The one thing to do now. Pure: asking twice gives the same answer.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.state.wanted() {
            Wanted::Do(action) => Next::Run(Effect {
                id: self.state.effect,
                action,
            }),
            Wanted::Ended => match &self.state.course {
                Course::Ended(outcome) => Next::Finished(outcome.clone()),
                Course::Stage(_) | Course::Promotion(_) | Course::Rollback(_) => {
                    unreachable!("only an ended course wants nothing for ever")
                }
            },
            Wanted::Wait(_) => {
                let alarm = self.state.next_alarm();
                match self.state.decider() {
                    Some(gate) => Next::AwaitCommand { gate, until: alarm },
                    None => match alarm {
                        Some(at) => Next::WaitUntil(at),
                        // Nothing will come by itself: an alert holds it, or evidence that never comes.
                        None => Next::AwaitCommand {
                            gate: Some(Gate::Operator),
                            until: None,
                        },
                    },
                }
            }
        }
    }

    /// Tells it one thing that happened, at the time `now`; a clock that went backwards is read as
    /// standing still.
    ///
    /// Total over outcomes, observations, alerts and time.
    ///
    /// # Errors
    /// Only commands and new or edited plans can be rejected, and a rejected one changes nothing.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Result<Vec<Event>, Rejected> {
        self.told(now, input, None)
    }

    /// Tells it again what it was told once, as [`Rollout::step`] does, but takes the word of a judge
    /// that was asked then: an [`Assessment`] as the journal kept it. So a journal can be gone on from
    /// although the judges have become better since. `None`: nobody was asked, or nobody wrote it down,
    /// and a judge that is needed is asked now.
    ///
    /// # Errors
    /// As [`Rollout::step`].
    pub fn retell(
        &mut self,
        now: Timestamp,
        input: Input,
        said: Option<&Assessment>,
    ) -> Result<Vec<Event>, Rejected> {
        match said {
            Some(said) => self.told(now, input, Some(&Said(said))),
            None => self.told(now, input, None),
        }
    }

    fn told(
        &mut self,
        now: Timestamp,
        input: Input,
        judge: Option<&dyn Judge>,
    ) -> Result<Vec<Event>, Rejected> {
        if let Input::Command(_) | Input::Supersede(..) | Input::Amend(..) = &input {
            // A command is weighed after time has had its say, but a rejected one must leave no trace.
            let mut changed = self.clone();
            let events = changed.take(now, input, judge)?;
            *self = changed;
            return Ok(events);
        }
        self.take(now, input, judge)
    }

    /// Whether the input would change anything but the time: what would not needs no journal entry, and
    /// no step.
    #[must_use]
    pub fn would_change(&self, now: Timestamp, input: &Input) -> bool {
        let mut told = self.clone();
        if told.take(now, input.clone(), None).is_err() {
            return false;
        }
        told.state.now = self.state.now;
        told.state != self.state
    }

    /// `judge`: who judges instead of those that the policy appoints.
    fn take(
        &mut self,
        now: Timestamp,
        input: Input,
        judge: Option<&dyn Judge>,
    ) -> Result<Vec<Event>, Rejected> {
        let before = self.state.wanted();
        let policy = Arc::clone(&self.state.policy);
        let state = &mut self.state;
        state.now = state.now.max(now);
        let workload = state.plan.workload().clone();
        let mut events = Events {
            workload,
            at: state.now,
            list: Vec::new(),
        };

        let mut answered = false;
        match input {
            Input::Outcome(id, outcome) => {
                if id == state.effect
                    && let Wanted::Do(action) = &before
                {
                    let judge = judge.unwrap_or_else(|| self.judge.as_ref());
                    state.conclude(action, outcome, judge, &mut events);
                    answered = true;
                }
            }
            Input::Command(command) => {
                while state.advance(&mut events) {}
                state.command(command, &mut events)?;
            }
            Input::Observed(observation) => state.observe(&observation, &mut events),
            Input::Alert(alert) => state.alert(alert, &mut events),
            Input::Supersede(plan, policy) => {
                while state.advance(&mut events) {}
                state.supersede(Successor::new(*plan, *policy), &mut events)?;
            }
            Input::Amend(plan, policy) => {
                while state.advance(&mut events) {}
                state.amend(*plan, *policy, &mut events)?;
            }
            Input::TakenOver { since } => state.taken_over(since, &mut events),
            Input::Tick => {}
        }
        while state.advance(&mut events) {}

        state.forget_old_trouble();
        let after = state.wanted();
        if answered || before != after {
            state.effect = state.effect.following();
        }
        if let Wanted::Do(action) = before
            && !answered
            && action.changes_world()
            && after != Wanted::Do(action)
        {
            // It may be done, half done or not: its outcome will be stale.
            state.in_doubt = true;
        }
        if !Arc::ptr_eq(&policy, &self.state.policy) {
            self.judge = self.state.policy.judge(&self.own_judges);
        }
        Ok(events.list)
    }
}

impl State {
    /// What is wanted now.
    pub(super) fn wanted(&self) -> Wanted {
        match self.intended() {
            Wanted::Do(action) => match &self.trouble {
                Some(trouble) if trouble.action == action && self.now < trouble.retry_at => {
                    Wanted::Wait(Resting::Retrying)
                }
                Some(_) | None => Wanted::Do(action),
            },
            other => other,
        }
    }

    /// What would be wanted if nothing had just failed: first of all, to know what is there.
    fn intended(&self) -> Wanted {
        match self.aimed_at() {
            Wanted::Ended => Wanted::Ended,
            Wanted::Do(_) | Wanted::Wait(_) if self.in_doubt => Wanted::Do(Action::Observe),
            wanted => wanted,
        }
    }

    /// What would be wanted if nothing had failed and what is known were certain.
    fn aimed_at(&self) -> Wanted {
        if let Course::Ended(_) = self.course {
            return Wanted::Ended;
        }
        let Some(sight) = &self.sight else {
            return Wanted::Do(Action::Observe);
        };
        if let Some(measurement) = self.due_look() {
            return Wanted::Do(Action::Measure(measurement));
        }
        match &self.course {
            Course::Stage(staging) if self.paused.is_some() && staging.reached.is_none() => {
                Wanted::Wait(Resting::Paused)
            }
            Course::Promotion(_) if self.paused.is_some() => Wanted::Wait(Resting::Paused),
            Course::Promotion(promotion) if !self.lost_ground(promotion) => {
                self.promote(sight, promotion)
            }
            Course::Stage(_) | Course::Promotion(_) | Course::Rollback(_) => {
                match self.next_move(sight) {
                    Move::Do(action) => Wanted::Do(action),
                    Move::AwaitReady(_) if self.now >= self.poll_at => Wanted::Do(Action::Observe),
                    Move::Done => self.at_goal(sight),
                    under_way => Wanted::Wait(Resting::Moving(under_way)),
                }
            }
            Course::Ended(_) => Wanted::Ended,
        }
    }

    /// The next move towards the stage, or back.
    pub(super) fn next_move(&self, sight: &Sight) -> Move {
        self.goal()
            .map_or(Move::Done, |goal| self.reach(sight, goal))
    }

    /// The state of capacity and traffic that it heads for, where that is what it heads for.
    pub(super) fn goal(&self) -> Option<Goal> {
        match &self.course {
            Course::Stage(staging) => {
                let stage = self.stage(staging.index);
                Some(Goal {
                    stable: stage.stable,
                    canary: stage.canary,
                    weight: stage.weight,
                    haste: Haste::Orderly,
                })
            }
            Course::Rollback(_) => Some(Goal {
                stable: (!self.plan.autoscaled()).then_some(self.plan.replicas()),
                canary: 0,
                weight: Percent::ZERO,
                haste: if self.now >= self.despairs_at() {
                    Haste::Desperate
                } else {
                    Haste::Urgent
                },
            }),
            Course::Promotion(promotion) if self.lost_ground(promotion) => {
                let last = self.plan.stages().len() - 1;
                let (stage, sight) = (self.stage(last), self.sight.as_ref()?);
                Some(Goal {
                    // It is about to go: what is gone already need not come back.
                    stable: stage.stable.map(|count| count.min(sight.stable.desired)),
                    canary: stage.canary,
                    weight: stage.weight,
                    haste: Haste::Orderly,
                })
            }
            Course::Promotion(_) | Course::Ended(_) => None,
        }
    }

    fn at_goal(&self, sight: &Sight) -> Wanted {
        match &self.course {
            Course::Rollback(rollback) => {
                if let (true, Some(goal)) = (rollback.roles_in_doubt, self.goal()) {
                    return Wanted::Do(self.assign_roles(sight, goal));
                }
                if rollback.waiting.is_empty() || self.now >= self.poll_at {
                    Wanted::Do(Action::Retire(self.plan.canary().clone()))
                } else {
                    Wanted::Wait(Resting::BackEnd)
                }
            }
            Course::Stage(_) | Course::Promotion(_) | Course::Ended(_) => {
                let paused = self.paused.is_some();
                Wanted::Wait(if paused {
                    Resting::Paused
                } else {
                    Resting::AtGoal
                })
            }
        }
    }

    fn promote(&self, sight: &Sight, promotion: &Promotion) -> Wanted {
        let canary = self.plan.canary();
        let polls = self.now >= self.poll_at;
        match promotion.step {
            PromotionStep::Booking if promotion.waiting.is_empty() || polls => {
                Wanted::Do(Action::Promote(canary.clone()))
            }
            PromotionStep::Routing | PromotionStep::Retiring if self.still_routes(promotion) => {
                if sight.canary.ready >= self.plan.needed_for(Percent::HUNDRED) {
                    Wanted::Do(Action::Route(Split::all(canary.clone())))
                } else if polls {
                    Wanted::Do(Action::Observe)
                } else {
                    Wanted::Wait(Resting::Moving(Move::AwaitReady(Role::Canary)))
                }
            }
            PromotionStep::Retiring if self.now < self.traffic.drained_at => {
                Wanted::Wait(Resting::Moving(Move::AwaitDrained(self.traffic.drained_at)))
            }
            PromotionStep::Retiring if promotion.waiting.is_empty() || polls => {
                Wanted::Do(Action::Retire(self.plan.stable().clone()))
            }
            PromotionStep::Booking | PromotionStep::Routing | PromotionStep::Retiring => {
                Wanted::Wait(Resting::BackEnd)
            }
        }
    }

    /// Whether what the last stage had reached is there no more, and must be reached again before the
    /// promotion is booked.
    pub(super) fn lost_ground(&self, promotion: &Promotion) -> bool {
        promotion.step == PromotionStep::Booking
            && (self.lacks_capacity() || self.traffic.weight != Some(Percent::HUNDRED))
    }

    /// Whether somebody took replicas away without which the canary cannot serve everybody. No waiting
    /// brings them back.
    pub(super) fn lacks_capacity(&self) -> bool {
        let needed = self.plan.needed_for(Percent::HUNDRED);
        self.sight
            .as_ref()
            .is_some_and(|sight| sight.canary.desired < needed)
    }

    /// Whether a promotion that is booked must still send all traffic to the canary. Once more where
    /// somebody meddled: what is about to be retired must have none.
    pub(super) fn still_routes(&self, promotion: &Promotion) -> bool {
        match promotion.step {
            PromotionStep::Booking => false,
            PromotionStep::Routing => true,
            PromotionStep::Retiring => self.traffic.weight != Some(Percent::HUNDRED),
        }
    }

    /// Who must decide before it goes on: `Some(None)` is the operator who paused it.
    fn decider(&self) -> Option<Option<Gate>> {
        if self.paused.is_some() {
            return Some(None);
        }
        match &self.course {
            Course::Stage(staging) if staging.gate.as_ref().is_some_and(|gate| !gate.granted) => {
                Some(self.stage(staging.index).gate.clone())
            }
            Course::Stage(_) | Course::Promotion(_) | Course::Rollback(_) | Course::Ended(_) => {
                None
            }
        }
    }

    /// Forgets a failure once something else is wanted: that must not wait for it.
    fn forget_old_trouble(&mut self) {
        if let Some(trouble) = &self.trouble {
            let troubled = Wanted::Do(trouble.action.clone());
            if self.intended() != troubled && self.aimed_at() != troubled {
                self.trouble = None;
            }
        }
    }

    /// When time alone may change something, if ever. Always later than now.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        let resting = match self.wanted() {
            Wanted::Wait(resting) => resting,
            Wanted::Do(_) | Wanted::Ended => return None,
        };
        let move_ends = match &resting {
            Resting::Moving(Move::AwaitReady(_)) | Resting::BackEnd => Some(self.poll_at),
            Resting::Moving(Move::AwaitSettled(at) | Move::AwaitDrained(at)) => Some(*at),
            Resting::Moving(Move::Do(_) | Move::Done) | Resting::AtGoal | Resting::Paused => None,
            Resting::Retrying => self.trouble.as_ref().map(|trouble| trouble.retry_at),
        };
        let look = self.looks_on().then_some(self.looks.due);
        [move_ends, look]
            .into_iter()
            .chain(self.deadlines())
            .flatten()
            .filter(|at| *at > self.now)
            .min()
    }
}
