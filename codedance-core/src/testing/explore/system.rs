//! A rollout and its world as one system, and every move that it can make.

use std::sync::Arc;
use std::time::Duration;

use super::Limits;
use super::invariant::{self, View};
use super::world::{Oracle, World};
use crate::decision::{JudgeConfig, Policy, Verdict};
use crate::error::{ErrorKind, Failure};
use crate::percent::Percent;
use crate::plan::{Gate, Plan};
use crate::rollout::{
    Action, Alert, Command, Effect, Event, Input, Next, Observation, Report, Rollout, Signalled,
};
use crate::time::Timestamp;
use crate::traffic::Split;
use crate::workload::{Progress, Revision};

/// Where the clock of a model starts: late enough to look back from.
const START: Timestamp = Timestamp::from_millis(1_000_000_000);

#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) rollout: Rollout,
    pub(super) world: World,
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
    /// What the rollout was last told of the replicas: what it may rely on.
    pub(super) told: World,
    /// The last verdict of the stage in force, if it was looked at.
    pub(super) verdict: Option<Verdict>,
    /// What the rollout was told, if somebody wants to replay it.
    pub(super) told_so_far: Option<Vec<(Timestamp, Input)>>,
}

/// One move, told in words, with the system after it or the invariant that it breaks.
pub(super) struct Move {
    pub(super) step: String,
    /// Whether nothing goes wrong in it and nobody interferes: what would happen anyway.
    pub(super) calm: bool,
    pub(super) after: Result<System, String>,
}

fn calm(step: String, after: Result<System, String>) -> Move {
    Move {
        step,
        calm: true,
        after,
    }
}

fn rough(step: String, after: Result<System, String>) -> Move {
    Move {
        step,
        calm: false,
        after,
    }
}

impl System {
    pub(super) fn new(plan: Plan, policy: Policy, limits: Limits) -> Self {
        let world = World::new(plan.stable(), plan.replicas());
        let rollout = Rollout::new(plan, policy, START).with_judges([Arc::new(Oracle) as _]);
        Self {
            rollout,
            told: world.clone(),
            world,
            limits,
            now: START,
            verdict: None,
            told_so_far: None,
        }
    }

    /// Whether it rests until people decide.
    pub(super) fn awaits_people(&self) -> bool {
        matches!(self.rollout.next(), Next::AwaitCommand { .. })
    }

    pub(super) fn is_final(&self) -> bool {
        matches!(self.rollout.next(), Next::Finished(_))
    }

    /// What makes two systems the same.
    pub(super) fn key(&self) -> String {
        let mut state = match serde_json::to_value(self.rollout.snapshot()) {
            Ok(state) => state,
            Err(error) => panic!("a snapshot is plain data: {error}"),
        };
        rebase(&mut state, "", self.now, horizon(self.rollout.plan()));
        let began = self
            .rollout
            .plan()
            .deadline()
            .is_none()
            .then_some("/state/began");
        for forgotten in ["/state/effect", "/state/looks/last/at"]
            .into_iter()
            .chain(began)
        {
            if let Some(value) = state.pointer_mut(forgotten) {
                *value = serde_json::Value::Null;
            }
        }
        format!("{state}{:?}{:?}{:?}", self.world, self.limits, self.verdict)
    }

    /// Every move that is possible now.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        match self.rollout.next() {
            Next::Run(effect) => self.effect_moves(&effect, &mut moves),
            Next::WaitUntil(at) => self.tick(at, &mut moves),
            Next::AwaitCommand { until, .. } => {
                if let Some(at) = until {
                    self.tick(at, &mut moves);
                }
            }
            Next::Finished(_) => {}
        }
        self.world_moves(&mut moves);
        if self.limits.faults > 0 && !self.is_final() {
            let mut after = self.clone();
            after.limits.faults -= 1;
            let told = after.take_over().map(|_| after);
            moves.push(rough("crash; taken over".to_owned(), told));
        }
        if self.limits.words > 0 {
            self.word_moves(&mut moves);
        }
        moves
    }

    fn tick(&self, at: Timestamp, moves: &mut Vec<Move>) {
        let mut after = self.clone();
        after.now = at;
        let told = after.tell(Input::Tick).map(|_| after);
        moves.push(calm(format!("time passes to {}", clock(at)), told));
    }

    fn effect_moves(&self, effect: &Effect, moves: &mut Vec<Move>) {
        if let Err(broken) = invariant::of_effect(self.view(), &effect.action) {
            moves.push(rough(format!("about to {}", effect.action), Err(broken)));
            return;
        }
        let verdicts: &[Verdict] = match effect.action {
            Action::Measure(_) => &[Verdict::Advance, Verdict::Hold, Verdict::Rollback],
            _ => &[Verdict::Advance],
        };
        for verdict in verdicts {
            let mut after = self.clone();
            let report = after.world.act(&effect.action, *verdict);
            let step = match effect.action {
                Action::Measure(_) => format!("{}: {verdict}", effect.action),
                _ => effect.action.to_string(),
            };
            let told = after
                .conclude(effect, Ok(report), Some(*verdict))
                .map(|()| after);
            let good = *verdict == Verdict::Advance;
            moves.push(if good {
                calm(step, told)
            } else {
                rough(step, told)
            });
        }
        if self.limits.faults == 0 {
            return;
        }
        let fault = |after: &mut Self| after.limits.faults -= 1;

        let mut crashed = self.clone();
        fault(&mut crashed);
        crashed.world.act(&effect.action, Verdict::Hold);
        let mut taken_over = crashed.clone();
        let told = taken_over.take_over().map(|_| taken_over);
        moves.push(rough(
            format!(
                "{}, but crash before the outcome is told; taken over",
                effect.action
            ),
            told,
        ));
        moves.push(rough(
            format!("{}, but crash before the outcome is told", effect.action),
            Ok(crashed),
        ));

        for (kind, done) in [
            (ErrorKind::Timeout, true),
            (ErrorKind::Unavailable, false),
            (ErrorKind::Invalid, false),
        ] {
            let mut after = self.clone();
            fault(&mut after);
            if done {
                after.world.act(&effect.action, Verdict::Hold);
            }
            let failure = Failure::new(kind, "the model's fault");
            let step = if done { "done, but" } else { "not done:" };
            let told = after.conclude(effect, Err(failure), None).map(|()| after);
            moves.push(rough(format!("{}, {step} {kind}", effect.action), told));
        }
        if let Action::Promote(_) | Action::Retire(_) = effect.action {
            let mut after = self.clone();
            fault(&mut after);
            let pending = Progress::Pending("the back end to finish".to_owned());
            let report = match effect.action {
                Action::Promote(_) => Report::Promoted(pending),
                _ => Report::Retired(pending),
            };
            let told = after.conclude(effect, Ok(report), None).map(|()| after);
            moves.push(rough(format!("{}: not finished yet", effect.action), told));
        }
    }

    fn world_moves(&self, moves: &mut Vec<Move>) {
        let revisions: Vec<Revision> = self.world.pods.keys().cloned().collect();
        for revision in &revisions {
            let pods = self.world.of(revision);
            if pods.ready < pods.desired {
                let mut after = self.clone();
                after.world.become_ready(revision);
                let told = after.watch().map(|()| after);
                moves.push(calm(
                    format!("{revision} becomes ready, and a watch tells"),
                    told,
                ));
                let mut unseen = self.clone();
                unseen.world.become_ready(revision);
                moves.push(rough(
                    format!("{revision} becomes ready, unseen"),
                    Ok(unseen),
                ));
            }
            if self.limits.faults > 0 && pods.ready > 0 {
                let mut after = self.clone();
                after.limits.faults -= 1;
                after.world.crash_one(revision);
                let told = after.watch().map(|()| after);
                moves.push(rough(
                    format!("a replica of {revision} crashes, and a watch tells"),
                    told,
                ));
            }
            if self.limits.meddling > 0 {
                for count in [pods.desired + 1, pods.desired.saturating_sub(1)] {
                    let mut after = self.clone();
                    after.limits.meddling -= 1;
                    if let Some(pods) = after.world.pods.get_mut(revision) {
                        pods.scale(count);
                    }
                    let told = after.watch().map(|()| after);
                    moves.push(rough(
                        format!("somebody scales {revision} to {count}"),
                        told,
                    ));
                }
            }
        }
        if self.limits.meddling > 0 {
            let (stable, canary) = (
                self.rollout.plan().stable().clone(),
                self.rollout.plan().canary().clone(),
            );
            for weight in [Percent::ZERO, Percent::ratio(1, 2), Percent::HUNDRED] {
                let mut after = self.clone();
                after.limits.meddling -= 1;
                after.world.split = Split::new(stable.clone(), canary.clone(), weight);
                let told = after.watch().map(|()| after);
                moves.push(rough(
                    format!("somebody routes {weight} to the canary"),
                    told,
                ));
            }
        }
    }

    fn word_moves(&self, moves: &mut Vec<Move>) {
        let plan = self.rollout.plan();
        let policy = self.rollout.policy();
        let mut words: Vec<(String, Input)> = Command::ALL
            .into_iter()
            .map(|command| {
                (
                    format!("an operator says {command}"),
                    Input::Command(command),
                )
            })
            .collect();
        let firing = Alert::new("pager", Signalled::Firing);
        words.push(("an alert fires".to_owned(), Input::Alert(firing)));
        let resolved = Alert::new("pager", Signalled::Resolved);
        words.push(("the alert is resolved".to_owned(), Input::Alert(resolved)));
        for gate in plan.stages().iter().filter_map(|stage| stage.gate.as_ref()) {
            if let Gate::Approval { name, .. } = gate {
                for signal in [Signalled::Approved, Signalled::Refused] {
                    let answer = Alert::new(name.clone(), signal);
                    words.push((format!("{name}: {signal:?}"), Input::Alert(answer)));
                }
            }
        }
        for (stable, canary) in [("v1", "v3"), ("v2", "v1")] {
            if let (Ok(stable), Ok(canary)) = (Revision::new(stable), Revision::new(canary)) {
                let mut draft = plan.clone().into_draft();
                (draft.stable, draft.canary) = (stable, canary.clone());
                if let Ok(newer) = Plan::try_from(draft) {
                    let input = Input::Supersede(Box::new(newer), Box::new(policy.clone()));
                    words.push((format!("{canary} supersedes"), input));
                }
            }
        }
        let mut draft = plan.clone().into_draft();
        if draft.stages.len() > 1 {
            draft.stages.remove(0);
        }
        if let Ok(edited) = Plan::try_from(draft) {
            let input = Input::Amend(Box::new(edited), Box::new(policy.clone()));
            words.push(("the plan is edited: one stage less".to_owned(), input));
        }
        for (step, input) in words {
            let mut after = self.clone();
            after.limits.words -= 1;
            let before = after.rollout.snapshot();
            match after.rollout.step(after.now, input.clone()) {
                Ok(events) => {
                    if let Some(told) = &mut after.told_so_far {
                        told.push((after.now, input));
                    }
                    let told = after.note(plan, &events).map(|()| after);
                    moves.push(rough(step, told));
                }
                Err(rejected) => {
                    if after.rollout.snapshot() != before {
                        let broken = format!("a rejected input changed something: {rejected}");
                        moves.push(rough(step, Err(broken)));
                    }
                }
            }
        }
    }

    /// Somebody else goes on with it.
    fn take_over(&mut self) -> Result<Vec<Event>, String> {
        let since = self.rollout.now();
        self.tell(Input::TakenOver { since })
    }

    /// The outcome of an effect is told: once, and once more, which must change nothing.
    pub(super) fn conclude(
        &mut self,
        effect: &Effect,
        outcome: Result<Report, Failure>,
        verdict: Option<Verdict>,
    ) -> Result<(), String> {
        if outcome.is_ok() {
            match &effect.action {
                Action::Route(_) => self.told.split = self.world.split.clone(),
                Action::Scale(_) => self.told.pods = self.world.pods.clone(),
                Action::Observe | Action::Measure(_) => self.told = self.world.clone(),
                Action::Promote(_) | Action::Retire(_) => {}
            }
        }
        if let (Action::Measure(_), Some(verdict)) = (&effect.action, verdict) {
            self.verdict = Some(verdict);
        }
        let input = Input::Outcome(effect.id, outcome);
        self.tell(input.clone())?;
        let mut again = self.clone();
        again.told_so_far = None;
        again.tell(input)?;
        if again.rollout.snapshot() != self.rollout.snapshot() {
            return Err(format!(
                "the outcome of `{}`, told twice, counted twice",
                effect.action
            ));
        }
        Ok(())
    }

    fn watch(&mut self) -> Result<(), String> {
        self.told = self.world.clone();
        let observation: Observation = self.world.observation();
        self.tell(Input::Observed(observation)).map(|_| ())
    }

    /// Tells an input that cannot be rejected.
    pub(super) fn tell(&mut self, input: Input) -> Result<Vec<Event>, String> {
        let plan = self.rollout.plan().clone();
        if let Some(told) = &mut self.told_so_far {
            told.push((self.now, input.clone()));
        }
        let events = self
            .rollout
            .step(self.now, input)
            .map_err(|rejected| rejected.to_string())?;
        self.note(&plan, &events)?;
        Ok(events)
    }

    fn note(&mut self, plan: &Plan, events: &[Event]) -> Result<(), String> {
        self.verdict = invariant::of_events(self.view(), plan, self.rollout.policy(), events)?;
        Ok(())
    }

    const fn view(&self) -> View<'_> {
        View {
            rollout: &self.rollout,
            world: &self.world,
            told: &self.told,
            now: self.now,
            verdict: self.verdict,
        }
    }
}

/// A policy by which the world chooses the verdict.
pub(super) fn oracle_policy() -> Policy {
    let policy = Policy::builder()
        .with_judge(JudgeConfig::Own("oracle".to_owned()))
        .with_interval(Duration::from_secs(1))
        .with_grace(Duration::from_secs(2))
        .build();
    match policy {
        Ok(policy) => policy,
        Err(error) => unreachable!("every value above is in its range: {error}"),
    }
}

/// Points of time that lie further back than this many milliseconds are all the same to the plan: each of
/// its deadlines has passed since.
fn horizon(plan: &Plan) -> i64 {
    let of_gate = |gate: &Gate| match gate {
        Gate::Operator => Duration::ZERO,
        Gate::Approval { timeout, .. } => *timeout,
    };
    let longest = plan
        .stages()
        .iter()
        .flat_map(|stage| {
            [
                Some(stage.bake),
                stage.deadline,
                stage.gate.as_ref().map(of_gate),
            ]
        })
        .chain([
            Some(plan.progress_deadline()),
            Some(plan.give_up_after()),
            plan.deadline(),
        ])
        .flatten()
        .max();
    i64::try_from(longest.unwrap_or_default().as_millis())
        .unwrap_or(i64::MAX)
        .saturating_add(1_000)
}

/// Shifts every point of time so that `now` is the same in all systems, and forgets what no longer makes
/// a difference: when a wait began that has no deadline, how long ago an alarm rang.
fn rebase(value: &mut serde_json::Value, key: &str, now: Timestamp, horizon: i64) {
    match value {
        serde_json::Value::String(text) => {
            let Ok(at) = text.parse::<Timestamp>() else {
                return;
            };
            let away = at.as_millis() - now.as_millis();
            *text = match key {
                "entered" | "since" | "from" | "now" => String::new(),
                "settled_at" | "drained_at" | "poll_at" | "retry_at" | "due" => {
                    away.max(0).to_string()
                }
                _ => away.max(-horizon).to_string(),
            };
        }
        serde_json::Value::Array(values) => {
            values
                .iter_mut()
                .for_each(|value| rebase(value, key, now, horizon));
        }
        serde_json::Value::Object(map) => {
            map.iter_mut()
                .for_each(|(key, value)| rebase(value, key, now, horizon));
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

/// Seconds since the model's start.
pub(super) fn clock(at: Timestamp) -> String {
    format!("{:.1} s", at.since(START).as_secs_f64())
}
