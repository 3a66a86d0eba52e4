//! Plans of every strategy and policies of every temper, at random.

use std::time::Duration;

use super::judge;
use crate::decision::{
    ArgoConfig, ClassicConfig, FlaggerConfig, JudgeConfig, KayentaConfig, Limits, Metric, Policy,
    Quantity, Reaction, RuleAction, RuleConfig, ThresholdsConfig,
};
use crate::metrics::{Quantile, Signal};
use crate::percent::Percent;
use crate::plan::{
    Amount, Batches, BlueGreen, Draft, Exponential, Gate, Linear, Manual, OnTimeout, Plan,
    PlanError, Recreate, Rolling, Step, Steps, Strategy,
};
use crate::testing::random::Random;
use crate::traffic::CohortKey;
use crate::workload::{Revision, Workload, WorkloadName};

/// The name that a gate asks in.
pub(super) const APPROVER: &str = "load test";

pub(super) fn workload() -> WorkloadName {
    name(WorkloadName::new("shop"))
}

pub(super) fn revision(text: &str) -> Revision {
    name(Revision::new(text))
}

fn name<T>(checked: Result<T, crate::workload::NameError>) -> T {
    match checked {
        Ok(name) => name,
        Err(error) => unreachable!("every name here is a plain word: {error}"),
    }
}

/// A plan whose stages bake for about half an hour together.
pub(super) fn plan(random: &mut Random, stable: &str, canary: &str) -> Plan {
    let replicas = count(random.pick(&[1, 2, 3, 4, 5, 7, 10, 20]));
    let autoscaled = random.one_in(8);
    of(random, stable, canary, replicas, autoscaled)
}

/// The same for a workload of so many replicas.
pub(super) fn of(
    random: &mut Random,
    stable: &str,
    canary: &str,
    replicas: u32,
    autoscaled: bool,
) -> Plan {
    let workload = Workload::new(workload(), revision(stable), revision(canary), replicas)
        .with_autoscaled(autoscaled);
    // Not every strategy fits every workload: some cannot leave a count alone, for instance.
    loop {
        let planned = by_some_strategy(random, &workload)
            .and_then(|plan| edited(random, plan.into_draft()).try_into());
        if let Ok(plan) = planned {
            return plan;
        }
    }
}

fn by_some_strategy(random: &mut Random, workload: &Workload) -> Result<Plan, PlanError> {
    let all = u64::from(workload.replicas);
    let minutes =
        |random: &mut Random, most: u64| Duration::from_secs(random.between(30, 60 * most));
    match random.below(8) {
        0 => Linear::new(minutes(random, 8)).plan(workload),
        1 => Exponential::new(minutes(random, 8)).plan(workload),
        2 => Manual::new(minutes(random, 4)).plan(workload),
        3 => {
            let mut weights: Vec<_> = (0..random.between(1, 5))
                .map(|_| random.between(0, 99))
                .collect();
            weights.sort_unstable();
            weights.dedup();
            weights.push(100);
            let steps = weights.into_iter().map(|weight| {
                let pause = Some(minutes(random, 10));
                Step::new(Percent::ratio(count(weight), 100), pause)
            });
            Steps::new(steps.collect::<Vec<_>>()).plan(workload)
        }
        4 => BlueGreen::new(minutes(random, 20))
            .with_preview(minutes(random, 10))
            .plan(workload),
        5 => {
            let amount = |random: &mut Random, least| match random.below(2) {
                0 => Amount::Count(count(random.between(least, all))),
                _ => Amount::Share(Percent::ratio(count(random.between(least, 4)), 4)),
            };
            let (surge, unavailable) = (amount(random, 0), amount(random, 0));
            Rolling::new(surge, unavailable)
                .with_bake(minutes(random, 8))
                .plan(workload)
        }
        6 => Recreate::new(minutes(random, 20)).plan(workload),
        _ => {
            let batches = [5, 25, 50, 100].map(|share| Amount::Share(Percent::ratio(share, 100)));
            Batches::new(batches, minutes(random, 8))
                .with_max_unavailable(Amount::Count(count(random.between(1, all))))
                .plan(workload)
        }
    }
}

/// With times, deadlines and gates of its own.
fn edited(random: &mut Random, mut draft: Draft) -> Draft {
    draft.drain = Duration::from_secs(random.pick(&[0, 1, 10, 60]));
    draft.progress_deadline = Duration::from_secs(random.between(90, 600));
    draft.give_up_after = Duration::from_secs(random.between(120, 1_200));
    if random.one_in(4) {
        draft.deadline = Some(Duration::from_secs(random.between(600, 3_600)));
    }
    if random.one_in(8) {
        draft.cohort = Some(CohortKey::ClientAddress);
    }
    for stage in &mut draft.stages {
        if random.one_in(6) {
            let timeout = Duration::from_secs(random.between(10, 600));
            stage.gate = Some(match random.below(2) {
                0 => Gate::Operator,
                _ => Gate::Approval {
                    name: APPROVER.to_owned(),
                    timeout,
                    on_timeout: random.pick(&[
                        OnTimeout::Advance,
                        OnTimeout::Hold,
                        OnTimeout::Rollback,
                    ]),
                },
            });
        }
        if random.one_in(6) {
            stage.deadline = Some(stage.bake + Duration::from_secs(random.between(60, 900)));
        }
        stage.analysis &= !random.one_in(12);
    }
    draft
}

/// An edited plan for the same revisions and as many replicas.
pub(super) fn amended(random: &mut Random, plan: Plan) -> Option<Plan> {
    let mut draft = plan.into_draft();
    if draft.stages.len() > 1 && random.one_in(2) {
        draft.stages.remove(0);
    }
    let draft = edited(random, draft);
    draft.try_into().ok()
}

/// A policy that asks for up to three metrics.
pub(super) fn policy(random: &mut Random) -> Policy {
    let reaction = |random: &mut Random| {
        random.pick(&[
            Reaction::Rollback,
            Reaction::Rollback,
            Reaction::Hold,
            Reaction::Ignore,
        ])
    };
    loop {
        let mut policy = Policy::builder()
            .with_interval(Duration::from_secs(random.between(10, 60)))
            .with_grace(Duration::from_secs(random.between(10, 120)))
            .with_on_bad_metrics(reaction(random))
            .with_on_crash(reaction(random))
            .with_on_alert(reaction(random))
            .with_on_inconclusive(random.pick(&[Reaction::Hold, Reaction::Rollback]))
            .with_rollback_while_paused(!random.one_in(4));
        // All three are what the classic judge asks for.
        let all = random.one_in(3);
        if all || !random.one_in(8) {
            let limits = Limits::fail(Quantity::Percent(5.0)).with_crit(Quantity::Percent(20.0));
            policy = policy.with_metric(Metric::new("errors", Signal::ErrorRate, limits));
        }
        if let (true, Ok(p99)) = (all || random.one_in(3), Quantile::new(0.99)) {
            let limits = Limits::fail(Duration::from_millis(500));
            policy = policy.with_metric(Metric::new("latency", Signal::Latency(p99), limits));
        }
        if all {
            let limits = Limits::fail(Quantity::Percent(95.0));
            policy = policy.with_metric(Metric::new("success", Signal::SuccessRate, limits));
        }
        for _ in 0..random.pick(&[0, 0, 1, 1, 2]) {
            policy = policy.with_judge(match random.below(4) {
                0 => JudgeConfig::Classic(ClassicConfig::default()),
                1 => JudgeConfig::Own(judge::NAME.to_owned()),
                2 if cfg!(feature = "rules") => JudgeConfig::Rules(vec![rule()]),
                _ => JudgeConfig::Thresholds(ThresholdsConfig::default()),
            });
        }
        if random.one_in(4) {
            policy = policy.with_restart_limit(count(random.between(1, 3)));
        }
        if random.one_in(4) {
            policy = policy.with_onlooker(match random.below(3) {
                0 => JudgeConfig::Kayenta(KayentaConfig::default().with_interval(2)),
                1 => JudgeConfig::Flagger(FlaggerConfig::default().with_threshold(2)),
                _ => JudgeConfig::Argo(ArgoConfig::default()),
            });
        }
        if let Ok(policy) = policy.build() {
            return policy;
        }
    }
}

fn rule() -> RuleConfig {
    RuleConfig {
        name: "worse than stable".to_owned(),
        when: "canary.error_rate > 2.0 * stable.error_rate + 0.01".to_owned(),
        then: RuleAction::Rollback,
    }
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
