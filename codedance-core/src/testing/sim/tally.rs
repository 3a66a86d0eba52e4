//! How much happened.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::decision::{JudgeConfig, Policy, Reaction, Verdict};
use crate::percent::Percent;
use crate::plan::{Gate, Plan, Stage};
use crate::rollout::{Cause, Command, Happening, Outcome, Signalled};

/// What must have happened in any thousand runs: faults that no longer occur test nothing.
const EXPECTED: [&str; 72] = [
    // Faults of calls.
    "errors",
    "useless errors",
    "panics",
    "lost replies",
    "duplicates",
    "deaths before a call",
    "deaths after a call",
    "slow calls",
    "slow answers",
    "calls cut short by their deadline",
    // Troubles around them.
    "replicas crashed",
    "counts changed by hand",
    "weights changed by hand",
    "journal outages",
    "clocks off",
    "clocks ahead",
    "clocks back",
    "clocks standing",
    "crashes",
    "shutdowns",
    "drivers left behind",
    "rivals refused",
    "rivals that took over",
    "drivers that left by themselves",
    // Words.
    "pause",
    "resume",
    "promote",
    "promote-full",
    "abort",
    "retry",
    "supersede",
    "amend",
    "alert fires",
    "alert resolved",
    "gate approved",
    "gate refused",
    // Plans and policies.
    "canary plans",
    "plans with a preview",
    "plans with a ceiling",
    "plans with a gap in service",
    "autoscaled plans",
    "plans with a cohort",
    "plans with a deadline",
    "plans with an operator's gate",
    "plans with an approval",
    "policies without a metric",
    "policies that roll back on no decision",
    "policies that respect a pause in danger",
    "policies with an onlooker",
    "thresholds judges",
    "classic judges",
    "own judges",
    // What the metrics said.
    "verdicts to advance",
    "verdicts to hold",
    "verdicts to roll back",
    // Causes to go back, and ends.
    "judged",
    "crashed",
    "alerted",
    "inconclusive",
    "deadline passed",
    "stuck",
    "effect failed",
    "gate was refused",
    "gate timed out",
    "aborted",
    "superseded",
    "reverted",
    "completed",
    "rolled back",
    "cancelled",
    "failed",
    "snapshots",
];

/// What happened in one simulated run, or in many together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Runs, one for each seed.
    pub runs: u64,
    /// Virtual time.
    pub time: Duration,
    /// Entries in the journals: each is a step of the machine.
    pub entries: u64,
    /// Events that the rollouts told.
    pub events: u64,
    /// Changes of the world that were begun, repetitions included.
    pub effects: u64,
    /// How often the live state was compared with the journal's.
    pub compared: u64,
    /// How often everything else happened, by its name: faults, troubles, words, kinds of plans and
    /// policies, causes and ends.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Adds what happened in others.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.time += other.time;
        self.entries += other.entries;
        self.events += other.events;
        self.effects += other.effects;
        self.compared += other.compared;
        for (what, count) in &other.seen {
            *self.seen.entry(what).or_default() += count;
        }
    }

    /// What should have happened by now and has not. Only meaningful after some hundred runs.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let unseen = |what: &&'static str| !self.seen.contains_key(what);
        EXPECTED.into_iter().filter(unseen).collect()
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A rollout begins.
    pub(super) fn planned(&mut self, plan: &Plan, policy: &Policy) {
        let stages = plan.stages();
        let gates =
            |gate: fn(&Gate) -> bool| stages.iter().any(|s| s.gate.as_ref().is_some_and(gate));
        let waits = |stage: &Stage| stage.weight == Percent::ZERO && stage.canary > 0;
        let traits = [
            ("canary plans", stages.len() > 2 && plan.ceiling().is_none()),
            ("plans with a preview", stages.iter().any(waits)),
            ("plans with a ceiling", plan.ceiling().is_some()),
            ("plans with a gap in service", plan.floor() == 0),
            ("autoscaled plans", plan.autoscaled()),
            ("plans with a cohort", plan.cohort().is_some()),
            ("plans with a deadline", plan.deadline().is_some()),
            (
                "plans with an operator's gate",
                gates(|gate| *gate == Gate::Operator),
            ),
            (
                "plans with an approval",
                gates(|gate| *gate != Gate::Operator),
            ),
            ("policies without a metric", policy.metrics().is_empty()),
            (
                "policies that roll back on no decision",
                policy.on_inconclusive() == Reaction::Rollback,
            ),
            (
                "policies that respect a pause in danger",
                !policy.rollback_while_paused(),
            ),
            ("policies with an onlooker", !policy.onlookers().is_empty()),
        ];
        for (what, _) in traits.into_iter().filter(|(_, is_so)| *is_so) {
            self.saw(what);
        }
        let judges = policy.judges();
        if judges.is_empty() && !policy.metrics().is_empty() {
            self.saw("thresholds judges");
        }
        for judge in judges {
            self.saw(match judge {
                JudgeConfig::Thresholds(_) => "thresholds judges",
                JudgeConfig::Classic(_) => "classic judges",
                JudgeConfig::Rules(_) => "rules judges",
                JudgeConfig::Kayenta(_) => "kayenta judges",
                JudgeConfig::Flagger(_) => "flagger judges",
                JudgeConfig::Argo(_) => "argo judges",
                JudgeConfig::Own(_) => "own judges",
            });
        }
    }

    /// A rollout tells an event.
    pub(super) fn told(&mut self, what: &Happening) {
        self.events += 1;
        self.saw(match what {
            Happening::Commanded(command) => match command {
                Command::Pause => "pause",
                Command::Resume => "resume",
                Command::Promote => "promote",
                Command::PromoteFull => "promote-full",
                Command::Abort => "abort",
                Command::Retry => "retry",
            },
            Happening::Alerted(alert) => match alert.signal {
                Signalled::Firing => "alert fires",
                Signalled::Resolved => "alert resolved",
                Signalled::Approved => "gate approved",
                Signalled::Refused => "gate refused",
            },
            Happening::Superseded { .. } => "supersede",
            Happening::Amended { .. } => "amend",
            Happening::Assessed(assessment) => match assessment.verdict {
                Verdict::Advance => "verdicts to advance",
                Verdict::Hold => "verdicts to hold",
                Verdict::Rollback => "verdicts to roll back",
            },
            Happening::RollbackStarted(cause) => name(cause),
            Happening::Finished(outcome) => match outcome {
                Outcome::Completed => "completed",
                Outcome::RolledBack(_) => "rolled back",
                Outcome::Cancelled(_) => "cancelled",
                Outcome::Failed { .. } => "failed",
            },
            Happening::EffectFailed { failure, .. } => {
                if !failure.message.contains("not done within") {
                    return;
                }
                "calls cut short by their deadline"
            }
            _ => return,
        });
    }
}

const fn name(cause: &Cause) -> &'static str {
    match cause {
        Cause::Judged(_) => "judged",
        Cause::Crashed(_) => "crashed",
        Cause::Alerted(_) => "alerted",
        Cause::Inconclusive { .. } => "inconclusive",
        Cause::DeadlinePassed => "deadline passed",
        Cause::Stuck { .. } => "stuck",
        Cause::EffectFailed { .. } => "effect failed",
        Cause::GateRefused { .. } => "gate was refused",
        Cause::GateTimedOut { .. } => "gate timed out",
        Cause::Aborted => "aborted",
        Cause::Superseded { .. } => "superseded",
        Cause::Reverted => "reverted",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time.as_secs_f64() / 3_600.0;
        write!(
            f,
            "{} runs, {hours:.0} virtual hours, {} entries, {} events, {} effects, {} comparisons \
             with the journal;",
            self.runs, self.entries, self.events, self.effects, self.compared,
        )?;
        let mut separator = " ";
        for (what, count) in &self.seen {
            write!(f, "{separator}{what}: {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}
