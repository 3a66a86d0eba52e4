//! Why it is where it is: as data, and as one English sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bake::Doubt;
use super::effect::Action;
use super::input::{Command, Input};
use super::machine::{Resting, Rollout, Wanted};
use super::phase::{Cause, Outcome, Phase};
use super::reach::{Move, Role};
use super::state::{Course, PromotionStep, State};
use super::transition::gate_name;
use crate::decision::{Reason, ScoreRange};
use crate::error::Failure;
use crate::percent::Percent;
use crate::time::Timestamp;
use crate::workload::Revision;

/// What a rollout waits for, since when, until when, what it will do then, and what an operator can do.
///
/// Its [`Display`](fmt::Display) is one English sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Where it is.
    pub phase: Phase,
    /// The index of its stage, from 0, if it is at one.
    pub stage: Option<usize>,
    /// How many stages there are.
    pub stages: usize,
    /// The canary's share of the traffic now.
    pub weight: Percent,
    /// The score of the last look in this stage.
    pub score: Option<ScoreRange>,
    /// What it waits for.
    pub waiting_for: Waiting,
    /// Since when it is at this stage, at this gate, paused, promoting, or on its way back.
    pub since: Timestamp,
    /// When something will happen by itself, if ever.
    pub until: Option<Timestamp>,
    /// What it does when it has what it waits for.
    pub then: Then,
    /// What an operator can say now.
    pub commands: Vec<Command>,
}

/// What a rollout waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Waiting {
    /// For this to be carried out.
    Effect(Action),
    /// For this to be tried again.
    Retry {
        /// What failed.
        action: Action,
        /// How.
        failure: Failure,
        /// How often in a row.
        attempts: u32,
    },
    /// For replicas to be ready.
    Replicas {
        /// Of which revision.
        revision: Revision,
        /// How many are.
        ready: u32,
        /// How many are wanted.
        wanted: u32,
    },
    /// For a change of the traffic to be in force everywhere.
    Propagation,
    /// For requests in flight to end on a revision that lost traffic.
    Drain,
    /// For the back end, in its own words.
    BackEnd(String),
    /// For the bake time to pass.
    Bake,
    /// For the first look at the metrics of this stage.
    FirstLook,
    /// For the metrics to be good enough; these are the doubts.
    Evidence(Vec<Reason>),
    /// For this alert to be resolved.
    Alert(String),
    /// For whoever keeps this gate.
    Gate(String),
    /// For the operator who paused it.
    Operator,
    /// For nothing: it is over.
    Nothing(Outcome),
}

/// What a rollout does when it has what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Then {
    /// Goes on on its way to the stage it is at.
    GoOn,
    /// Bakes the stage.
    Bake,
    /// Asks at this gate.
    Ask(String),
    /// Enters the stage of this index, from 0.
    Stage(usize),
    /// Promotes the canary.
    Promote,
    /// Ends completed.
    Complete,
    /// Goes on back to the stable revision.
    GoBack,
    /// Starts the rollout of this revision.
    Start(Revision),
    /// Stays as it is.
    Stay,
}

pub(super) fn explain(rollout: &Rollout) -> Explanation {
    let state = &rollout.state;
    let accepted = |command: &Command| rollout.clone().step(state.now, Input::Command(*command));
    Explanation {
        phase: state.phase(),
        stage: rollout.stage(),
        stages: state.plan.stages().len(),
        weight: rollout.weight(),
        score: state.looks.last.as_ref().map(|look| look.score),
        waiting_for: Waiting::of(state),
        since: since(state),
        until: state.next_alarm(),
        then: then(state),
        commands: Command::ALL
            .into_iter()
            .filter(|command| accepted(command).is_ok())
            .collect(),
    }
}

impl Waiting {
    pub(super) fn of(state: &State) -> Self {
        match state.wanted() {
            Wanted::Do(Action::Observe | Action::Measure(_)) if state.sight.is_some() => {
                Self::at_rest(state)
            }
            Wanted::Do(action) => Self::Effect(action),
            Wanted::Wait(Resting::Retrying) => match &state.trouble {
                Some(trouble) => Self::Retry {
                    action: trouble.action.clone(),
                    failure: trouble.failure.clone(),
                    attempts: trouble.attempts,
                },
                None => Self::at_rest(state),
            },
            Wanted::Wait(_) => Self::at_rest(state),
            Wanted::Ended => match &state.course {
                Course::Ended(outcome) => Self::Nothing(outcome.clone()),
                Course::Stage(_) | Course::Promotion(_) | Course::Rollback(_) => Self::Bake,
            },
        }
    }

    /// What is waited for beside the look that is just being taken.
    fn at_rest(state: &State) -> Self {
        if state.paused.is_some() {
            return Self::Operator;
        }
        if let Some(sight) = &state.sight {
            match state.next_move(sight) {
                Move::Do(action) => return Self::Effect(action),
                Move::AwaitReady(role) => return Self::replicas(state, role),
                Move::AwaitSettled(_) => return Self::Propagation,
                Move::AwaitDrained(_) => return Self::Drain,
                Move::Done => {}
            }
        }
        match &state.course {
            Course::Stage(staging) => {
                let stage = state.stage(staging.index);
                if let (Some(gate), Some(_)) = (&stage.gate, &staging.gate) {
                    return Self::Gate(gate_name(gate).to_owned());
                }
                match state.doubt(staging.index) {
                    Some(Doubt::Alert(name)) => Self::Alert(name),
                    Some(Doubt::Metrics(reasons)) => Self::Evidence(reasons),
                    Some(Doubt::NoLook) if staging.reached.is_some() => Self::FirstLook,
                    Some(Doubt::NoLook) | None => Self::Bake,
                }
            }
            Course::Promotion(promotion) if state.still_routes(promotion) => {
                Self::replicas(state, Role::Canary)
            }
            Course::Promotion(promotion) => match promotion.step {
                PromotionStep::Retiring if state.now < state.traffic.drained_at => Self::Drain,
                PromotionStep::Booking | PromotionStep::Routing | PromotionStep::Retiring => {
                    Self::BackEnd(promotion.waiting.clone())
                }
            },
            Course::Rollback(rollback) => Self::BackEnd(rollback.waiting.clone()),
            Course::Ended(outcome) => Self::Nothing(outcome.clone()),
        }
    }

    fn replicas(state: &State, role: Role) -> Self {
        let (stable, canary) = state
            .sight
            .as_ref()
            .map_or_else(Default::default, |sight| (sight.stable, sight.canary));
        let (revision, status) = match role {
            Role::Stable => (state.plan.stable(), stable),
            Role::Canary => (state.plan.canary(), canary),
        };
        Self::Replicas {
            revision: revision.clone(),
            ready: status.ready,
            wanted: status.desired,
        }
    }
}

fn since(state: &State) -> Timestamp {
    if let Some(paused) = state.paused {
        return paused;
    }
    match &state.course {
        Course::Stage(staging) => staging
            .gate
            .as_ref()
            .map(|gate| gate.opened)
            .or(staging.reached)
            .unwrap_or(staging.entered),
        Course::Promotion(promotion) => promotion.since,
        Course::Rollback(rollback) => rollback.since,
        Course::Ended(_) => state.now,
    }
}

fn then(state: &State) -> Then {
    match &state.course {
        Course::Stage(staging) if staging.reached.is_none() => Then::GoOn,
        Course::Stage(staging) => {
            let stage = state.stage(staging.index);
            match (&stage.gate, &staging.gate) {
                (Some(gate), None) => Then::Ask(gate_name(gate).to_owned()),
                (Some(_), Some(_)) | (None, _) => next_stage(state, staging.index),
            }
        }
        Course::Promotion(promotion) => match promotion.step {
            PromotionStep::Retiring => Then::Complete,
            PromotionStep::Booking | PromotionStep::Routing => Then::Promote,
        },
        Course::Rollback(rollback) => match &rollback.successor {
            Some(successor) => Then::Start(successor.plan.canary().clone()),
            None => Then::GoBack,
        },
        Course::Ended(_) => Then::Stay,
    }
}

fn next_stage(state: &State, index: usize) -> Then {
    let next = index + 1;
    if next < state.plan.stages().len() {
        Then::Stage(next)
    } else {
        Then::Promote
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effect(action) => write!(f, "the back end to {action}"),
            Self::Retry {
                action,
                failure,
                attempts,
            } => {
                write!(
                    f,
                    "another attempt to {action}, which failed {attempts} times: {failure}"
                )
            }
            Self::Replicas {
                revision,
                ready,
                wanted,
            } => {
                write!(
                    f,
                    "replicas of {revision} to be ready ({ready} of {wanted})"
                )
            }
            Self::Propagation => f.write_str("the new weight to be in force everywhere"),
            Self::Drain => f.write_str("requests in flight to end"),
            Self::BackEnd(text) if text.is_empty() => f.write_str("the back end"),
            Self::BackEnd(text) => f.write_str(text),
            Self::Bake => f.write_str("the bake time to pass"),
            Self::FirstLook => f.write_str("the first look at the metrics"),
            Self::Evidence(reasons) => {
                f.write_str("better evidence")?;
                let mut separator = ": ";
                for reason in reasons {
                    write!(f, "{separator}{reason}")?;
                    separator = "; ";
                }
                Ok(())
            }
            Self::Alert(name) => write!(f, "the alert {name} to be resolved"),
            Self::Gate(name) => write!(f, "{name} to agree"),
            Self::Operator => f.write_str("the operator who paused it"),
            Self::Nothing(outcome) => write!(f, "nothing: {outcome}"),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoOn => f.write_str("it goes on towards this stage"),
            Self::Bake => f.write_str("it bakes"),
            Self::Ask(gate) => write!(f, "it asks {gate}"),
            Self::Stage(index) => write!(f, "stage {} begins", index + 1),
            Self::Promote => f.write_str("the canary is promoted"),
            Self::Complete => f.write_str("it is complete"),
            Self::GoBack => f.write_str("the stable revision has everything"),
            Self::Start(revision) => write!(f, "the rollout of {revision} begins"),
            Self::Stay => f.write_str("it stays so"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Waiting::Nothing(outcome) = &self.waiting_for {
            return write!(f, "the rollout is over: {outcome}");
        }
        write!(f, "the rollout is {}", self.phase)?;
        if let Some(stage) = self.stage {
            write!(f, " at stage {} of {}", stage + 1, self.stages)?;
        }
        let (weight, waiting_for, since) = (self.weight, &self.waiting_for, self.since);
        write!(
            f,
            " with {weight} on the canary since {since}, and waits for {waiting_for}"
        )?;
        if let Some(until) = self.until {
            write!(f, ", until {until} at the latest before it looks again")?;
        }
        write!(f, "; then {}", self.then)?;
        let mut separator = "; an operator can ";
        for command in &self.commands {
            write!(f, "{separator}{command}")?;
            separator = " or ";
        }
        Ok(())
    }
}

impl Rollout {
    /// Why it goes or went back, `None` while it does not.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match &self.state.course {
            Course::Rollback(rollback) => Some(&rollback.cause),
            Course::Ended(Outcome::RolledBack(cause) | Outcome::Cancelled(cause)) => Some(cause),
            Course::Ended(Outcome::Failed { cause, .. }) => cause.as_ref(),
            Course::Ended(Outcome::Completed) | Course::Stage(_) | Course::Promotion(_) => None,
        }
    }
}
