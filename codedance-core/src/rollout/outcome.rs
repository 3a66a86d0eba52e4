//! What the ports report, asked and unasked.

use std::time::Duration;

use super::effect::{Action, Report};
use super::event::Happening;
use super::input::{Alert, Observation, Signalled};
use super::machine::{Events, Wanted};
use super::phase::Cause;
use super::state::{Course, Progress, PromotionStep, Sight, State, Trouble};
use crate::decision::Judge;
use crate::error::{ErrorKind, Failure};
use crate::percent::Percent;
use crate::plan::Gate;
use crate::time::Timestamp;
use crate::traffic::Split;
use crate::workload::{FleetStatus, Progress as Done};

/// How soon to look again at what is under way, where no watch reports it earlier.
const POLL: Duration = Duration::from_secs(1);

/// How long to wait after the first, the second … failure in a row; the last holds for all that follow.
const BACKOFF: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
];

/// How often a rollback tries again what is said to be useless to try again, before it gives up.
const USELESS_ATTEMPTS: u32 = 3;

impl State {
    /// Takes in the outcome of the effect that was wanted.
    pub(super) fn conclude(
        &mut self,
        action: &Action,
        outcome: Result<Report, Failure>,
        judge: &dyn Judge,
        events: &mut Events,
    ) {
        let report = match outcome {
            Ok(report) if action.fits(&report) => report,
            Ok(_) => {
                let message = format!("the report does not fit the effect: {action}");
                return self.failed(
                    action,
                    Failure::new(ErrorKind::Internal, message),
                    judge,
                    events,
                );
            }
            Err(failure) => return self.failed(action, failure, judge, events),
        };
        self.trouble.take_if(|trouble| trouble.action == *action);
        self.poll_at = self.now + POLL;
        match report {
            Report::Observed(observation) => {
                self.in_doubt &= *action != Action::Observe;
                if let (Action::Scale(_), Course::Rollback(rollback)) = (action, &mut self.course) {
                    rollback.roles_in_doubt = false;
                }
                self.take_sight(&observation, events);
            }
            Report::Routed { split, propagation } => {
                self.routed(action, &split, propagation, judge, events);
            }
            Report::Measured {
                readings,
                observation,
            } => {
                self.take_sight(&observation, events);
                if let Action::Measure(measurement) = action {
                    self.judge(judge, *measurement, Ok(&readings), events);
                }
            }
            Report::Promoted(done) => {
                let Course::Promotion(promotion) = &mut self.course else {
                    return;
                };
                match done {
                    Done::Done => {
                        promotion.step = PromotionStep::Routing;
                        promotion.waiting.clear();
                        self.progress = Progress::begun(self.now);
                    }
                    Done::Pending(text) => self.note_pending(text),
                }
            }
            Report::Retired(Done::Pending(text)) => self.note_pending(text),
            Report::Retired(Done::Done) => match &self.course {
                Course::Promotion(_) => self.finish(super::phase::Outcome::Completed, events),
                Course::Rollback(_) => self.finish_rollback(events),
                Course::Stage(_) | Course::Ended(_) => {}
            },
        }
    }

    /// The back end is still at it; another text is a sign of progress.
    fn note_pending(&mut self, text: String) {
        let text = if text.is_empty() {
            "the back end".to_owned()
        } else {
            text
        };
        let waiting = match &mut self.course {
            Course::Promotion(promotion) => &mut promotion.waiting,
            Course::Rollback(rollback) => &mut rollback.waiting,
            Course::Stage(_) | Course::Ended(_) => return,
        };
        if *waiting != text {
            *waiting = text;
            self.progress.at = self.now;
        }
    }

    fn routed(
        &mut self,
        action: &Action,
        split: &Split,
        propagation: Duration,
        judge: &dyn Judge,
        events: &mut Events,
    ) {
        let Action::Route(wanted) = action else {
            return;
        };
        let canary = self.plan.canary();
        let (wanted, found) = (wanted.share_of(canary), split.share_of(canary));
        let changed = self.set_weight(found, propagation);
        if changed {
            events.push(Happening::Routed { weight: found });
        }
        if found != wanted {
            let message =
                format!("the router was told {wanted} for the canary and reads back {found}");
            return self.failed(
                action,
                Failure::new(ErrorKind::Conflict, message),
                judge,
                events,
            );
        }
        if let Course::Promotion(promotion) = &mut self.course
            && promotion.step == PromotionStep::Routing
        {
            promotion.step = PromotionStep::Retiring;
            self.progress = Progress::begun(self.now);
        }
    }

    /// Notes the canary's share; true if it is another than before.
    fn set_weight(&mut self, weight: Percent, propagation: Duration) -> bool {
        let before = self.traffic.weight.replace(weight);
        self.traffic.settled_at = self.now + propagation;
        self.traffic.drained_at = self.traffic.settled_at + self.plan.drain();
        self.note_none_ready();
        let newcomers = before.unwrap_or_default() == Percent::ZERO && weight > Percent::ZERO;
        if newcomers && matches!(&self.course, Course::Stage(staging) if staging.reached.is_none())
        {
            self.restart_looks(self.looks.stage);
        }
        before != Some(weight)
    }

    fn note_none_ready(&mut self) {
        let has_users = self
            .traffic
            .weight
            .is_some_and(|weight| weight > Percent::ZERO);
        if let Some(sight) = &mut self.sight {
            sight.none_ready_since = if has_users && sight.canary.ready == 0 {
                sight.none_ready_since.or(Some(self.now))
            } else {
                None
            };
        }
    }

    /// Begins where somebody left off. Much may have happened that nobody saw.
    pub(super) fn taken_over(&mut self, since: Timestamp, events: &mut Events) {
        if let Course::Ended(_) = self.course {
            return;
        }
        let away = self.now.since(since);
        events.push(Happening::TakenOver { away });
        self.in_doubt = true;
        self.looks.last = None;
        self.progress.at = self.progress.at + away;
        if let (Course::Stage(staging), None) = (&mut self.course, self.paused) {
            staging.idle += away;
        }
    }

    /// Takes in what a watch saw, unasked.
    pub(super) fn observe(&mut self, observation: &Observation, events: &mut Events) {
        if let Course::Ended(_) = self.course {
            return;
        }
        let before = self.sight.clone();
        // A route that is under way is seen before its outcome arrives. The outcome says how long it
        // takes to be in force; the mere sight of it does not.
        let expected = match self.wanted() {
            Wanted::Do(Action::Route(split)) => Some(split.share_of(self.plan.canary())),
            Wanted::Do(_) | Wanted::Wait(_) | Wanted::Ended => None,
        };
        let share = observation
            .split
            .as_ref()
            .map(|split| split.share_of(self.plan.canary()));
        if share.is_some() && share == expected {
            if let Some(fleet) = &observation.fleet {
                self.take_sight(&fleet.clone().into(), events);
            }
        } else {
            self.take_sight(observation, events);
        }
        // What the back end works on may be done with this: ask it again, rather than wait for the poll.
        if observation.fleet.is_some() && before != self.sight {
            self.poll_at = self.poll_at.min(self.now);
        }
    }

    fn take_sight(&mut self, observation: &Observation, events: &mut Events) {
        if let Some(fleet) = &observation.fleet {
            self.see_fleet(fleet, events);
        }
        if let Some(split) = &observation.split {
            let found = split.share_of(self.plan.canary());
            let astray = found.complement() != split.share_of(self.plan.stable());
            match self.traffic.weight {
                Some(wanted) if wanted != found || astray => {
                    events.push(Happening::Drifted { wanted, found });
                    self.set_weight(found, Duration::ZERO);
                }
                Some(_) => {}
                None if !astray => {
                    self.set_weight(found, Duration::ZERO);
                }
                None => {}
            }
            if astray {
                // Whatever the canary has, the rest is not where it belongs.
                self.traffic.weight = None;
                self.note_none_ready();
            }
        }
    }

    fn see_fleet(&mut self, fleet: &FleetStatus, events: &mut Events) {
        let (stable, canary) = (fleet.of(self.plan.stable()), fleet.of(self.plan.canary()));
        let first = self.sight.is_none();
        let since = self.sight.as_ref().and_then(|sight| sight.none_ready_since);
        let changed = self
            .sight
            .as_ref()
            .is_none_or(|sight| sight.stable != stable || sight.canary != canary);
        if !changed {
            return;
        }
        self.sight = Some(Sight {
            stable,
            canary,
            none_ready_since: since,
        });
        self.note_none_ready();
        if first && let Course::Stage(staging) = &self.course {
            let (stable, canary) = (self.plan.stable().clone(), self.plan.canary().clone());
            events.push(Happening::Started { stable, canary });
            let weight = self.stage(staging.index).weight;
            events.push(Happening::StageEntered {
                stage: staging.index,
                weight,
            });
        }
        events.push(Happening::FleetChanged(fleet.clone()));
    }

    fn failed(
        &mut self,
        action: &Action,
        failure: Failure,
        judge: &dyn Judge,
        events: &mut Events,
    ) {
        if let Action::Measure(measurement) = action {
            return self.judge(judge, *measurement, Err(&failure), events);
        }
        self.in_doubt |= action.changes_world();
        let before = self
            .trouble
            .as_ref()
            .filter(|trouble| trouble.action == *action);
        let attempts = before
            .map_or(0, |trouble| trouble.attempts)
            .saturating_add(1);
        let wait = BACKOFF[BACKOFF.len().min(attempts as usize) - 1];
        let retry_at: Timestamp = self.now + wait;
        events.push(Happening::EffectFailed {
            action: action.clone(),
            failure: failure.clone(),
            attempts,
            retry_at,
        });
        let useless = !failure.is_retryable();
        self.trouble = Some(Trouble {
            action: action.clone(),
            failure: failure.clone(),
            attempts,
            retry_at,
        });
        match &self.course {
            Course::Stage(_) if useless => {
                let cause = Cause::EffectFailed {
                    action: action.clone(),
                    failure,
                };
                self.roll_back(cause, None, events);
            }
            Course::Rollback(_) if useless && attempts >= USELESS_ATTEMPTS => self.fail(events),
            // A promotion is tried again until it is given up: the canary serves everybody meanwhile,
            // and going back would take a healthy revision away.
            Course::Stage(_) | Course::Promotion(_) | Course::Rollback(_) | Course::Ended(_) => {}
        }
    }

    /// Takes in a word from outside.
    pub(super) fn alert(&mut self, alert: Alert, events: &mut Events) {
        match &self.course {
            Course::Stage(_) | Course::Promotion(_) => {}
            Course::Rollback(_) | Course::Ended(_) => return,
        }
        match alert.signal {
            Signalled::Firing => {
                if self.alerts.get(&alert.name) != Some(&alert) {
                    events.push(Happening::Alerted(alert.clone()));
                    self.alerts.insert(alert.name.clone(), alert);
                }
            }
            Signalled::Resolved => {
                if self.alerts.remove(&alert.name).is_some() {
                    events.push(Happening::Alerted(alert));
                }
            }
            Signalled::Approved | Signalled::Refused => self.answer(alert, events),
        }
    }

    /// The answer at a gate, if that gate asks.
    fn answer(&mut self, alert: Alert, events: &mut Events) {
        let Course::Stage(staging) = &mut self.course else {
            return;
        };
        let gate = self.plan.stages()[staging.index].gate.as_ref();
        let (Some(Gate::Approval { name, .. }), Some(asked)) = (gate, &mut staging.gate) else {
            return;
        };
        if *name != alert.name || asked.granted {
            return;
        }
        let name = name.clone();
        let refused = alert.signal == Signalled::Refused;
        asked.granted = !refused;
        events.push(Happening::Alerted(alert));
        if refused {
            self.roll_back(Cause::GateRefused { name }, None, events);
        }
    }
}
