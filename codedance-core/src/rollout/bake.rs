//! Looking at the metrics of what is in force, and what follows from it.

use super::effect::Measurement;
use super::event::Happening;
use super::machine::Events;
use super::phase::Cause;
use super::state::{Course, Look, Looks, PromotionStep, Sight, State};
use crate::decision::{Evidence, Judge, Reaction, Reason, Verdict};
use crate::error::Failure;
use crate::metrics::{History, Reading, Window};
use crate::percent::Percent;
use crate::time::Timestamp;

/// How many reasons of a look are kept: the snapshot must stay small; the events have all of them.
const KEPT_REASONS: usize = 3;

/// How many intervals of the past are asked for: enough to know what is usual for the stable revision.
const PAST_INTERVALS: u32 = 60;

impl State {
    /// What to measure now, if a look is due.
    pub(super) fn due_look(&self) -> Option<Measurement> {
        (self.looks_on() && self.now >= self.looks.due).then(|| Measurement {
            window: Window::new(self.looks.from, self.looks.due),
            history: self.looks.past_wanted.then(|| History {
                step: self.policy.interval(),
                intervals: PAST_INTERVALS,
            }),
        })
    }

    /// Whether the metrics are looked at: in a stage that is analysed, and wherever else the canary has
    /// users, because safety does not wait for the next stage.
    pub(super) fn looks_on(&self) -> bool {
        if !self.policy.watches() {
            return false;
        }
        let has_users = self
            .traffic
            .weight
            .is_some_and(|weight| weight > Percent::ZERO);
        match &self.course {
            Course::Stage(staging) if staging.full => false,
            Course::Stage(staging) if staging.reached.is_some() => {
                self.stage(staging.index).analysis
            }
            Course::Stage(_) => has_users,
            Course::Promotion(promotion) => {
                promotion.step != PromotionStep::Retiring && self.stage(self.looks.stage).analysis
            }
            Course::Rollback(_) | Course::Ended(_) => false,
        }
    }

    /// Looks begin anew, with fresh readings only: another stage is in force, or users came to a canary
    /// that had none.
    pub(super) fn restart_looks(&mut self, stage: usize) {
        self.looks = Looks {
            from: self.now,
            due: self.now + self.policy.interval(),
            stage,
            memory: std::mem::take(&mut self.looks.memory),
            past_wanted: self.looks.past_wanted,
            last: None,
        };
    }

    /// Judges what was read, or that nothing could be.
    pub(super) fn judge(
        &mut self,
        judge: &dyn Judge,
        Measurement { window, history }: Measurement,
        read: Result<&[Reading], &Failure>,
        events: &mut Events,
    ) {
        let Some(Sight { stable, canary, .. }) = self.sight else {
            return;
        };
        let baked = match &self.course {
            Course::Stage(staging) => staging.reached.map(|at| self.now.since(at)),
            Course::Promotion(_) | Course::Rollback(_) | Course::Ended(_) => None,
        };
        let mut evidence = Evidence::new(window, read.unwrap_or_default(), &self.looks.memory);
        evidence.failure = read.err();
        (evidence.stable, evidence.canary) = (stable, canary);
        evidence.stage = self.looks.stage;
        evidence.weight = self.traffic.weight.unwrap_or_default();
        evidence.baked = baked.unwrap_or_default();
        let assessment = judge.assess(&evidence);

        self.looks.memory = assessment.memory.clone();
        self.looks.last = Some(Look {
            at: self.now,
            verdict: assessment.verdict,
            score: assessment.score,
            reasons: assessment
                .reasons
                .iter()
                .take(KEPT_REASONS)
                .cloned()
                .collect(),
        });
        // A source that lags is not asked for every window that it missed: the next one is longer.
        if read.is_ok() {
            self.looks.from = window.to;
            // The judge has it now, or the source has none.
            self.looks.past_wanted &= history.is_none();
        }
        let next = window.to + self.policy.interval();
        self.looks.due = if next > self.now {
            next
        } else {
            self.now + self.policy.interval()
        };
        events.push(Happening::Assessed(assessment));
    }

    /// What speaks against leaving users on the canary.
    pub(super) fn danger(&self) -> Option<Cause> {
        let sight = self.sight.as_ref()?;
        let policy = &self.policy;
        if policy.on_crash() == Reaction::Rollback {
            if let Some(reason) = policy.fault(sight.canary) {
                return Some(Cause::Crashed(reason));
            }
            if self.grace_ends().is_some_and(|end| self.now >= end) {
                let (ready, desired) = (sight.canary.ready, sight.canary.desired);
                return Some(Cause::Crashed(Reason::FewReady { ready, desired }));
            }
        }
        if policy.on_alert() == Reaction::Rollback
            && let Some(alert) = self.alerts.values().next()
        {
            return Some(Cause::Alerted(alert.clone()));
        }
        let full = matches!(&self.course, Course::Stage(staging) if staging.full);
        if policy.on_bad_metrics() == Reaction::Rollback
            && !full
            && let Some(look) = &self.looks.last
            && look.verdict == Verdict::Rollback
        {
            return Some(Cause::Judged(look.reasons.clone()));
        }
        None
    }

    /// What keeps a stage from ending although its time has passed; `None` if nothing does.
    pub(super) fn doubt(&self, stage: usize) -> Option<Doubt> {
        let policy = &self.policy;
        if policy.on_alert() == Reaction::Hold
            && let Some(alert) = self.alerts.values().next()
        {
            return Some(Doubt::Alert(alert.name.clone()));
        }
        if policy.on_crash() == Reaction::Hold
            && let Some(reason) = self
                .sight
                .as_ref()
                .and_then(|sight| policy.fault(sight.canary))
        {
            return Some(Doubt::Metrics(vec![reason]));
        }
        if !self.stage(stage).analysis
            || !policy.watches()
            || policy.on_bad_metrics() == Reaction::Ignore
        {
            return None;
        }
        match &self.looks.last {
            None => Some(Doubt::NoLook),
            Some(look) if look.verdict == Verdict::Advance => None,
            Some(look) => Some(Doubt::Metrics(look.reasons.clone())),
        }
    }

    /// When a canary that serves nobody counts as crashed.
    pub(super) fn grace_ends(&self) -> Option<Timestamp> {
        let since = self.sight.as_ref()?.none_ready_since?;
        Some(since + self.policy.grace())
    }
}

/// What keeps a stage from ending.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doubt {
    /// The first look is still to come.
    NoLook,
    /// The metrics or the replicas, for these reasons.
    Metrics(Vec<Reason>),
    /// This alert fires.
    Alert(String),
}
