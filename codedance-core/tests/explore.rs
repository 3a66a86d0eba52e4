//! Every state of small rollouts is visited, and no invariant is broken in any.

use std::time::Duration;

use codedance_core::percent::Percent;
use codedance_core::plan::Amount;
use codedance_core::plan::{
    Batches, BlueGreen, Draft, Gate, OnTimeout, Plan, Recreate, Rolling, Stage, Strategy,
};
use codedance_core::testing::explore::{Explorer, Limits};
use codedance_core::workload::{Revision, Workload, WorkloadName};

fn workload(replicas: u32) -> Workload {
    let revision = |name| Revision::new(name).unwrap();
    Workload::new(
        WorkloadName::new("shop").unwrap(),
        revision("v1"),
        revision("v2"),
        replicas,
    )
}

/// The plan with deadlines of a few seconds, so that all of them are reached soon.
fn hurried(plan: Plan, change: impl FnOnce(&mut Draft)) -> Plan {
    let mut draft = plan.into_draft();
    draft.drain = Duration::from_secs(1);
    draft.progress_deadline = Duration::from_secs(3);
    draft.give_up_after = Duration::from_secs(6);
    change(&mut draft);
    draft.try_into().unwrap()
}

fn canary(replicas: u32, gate: Option<Gate>) -> Plan {
    let mut draft = Draft::new(&workload(replicas));
    let half = Stage::new(
        Percent::new(50).unwrap(),
        replicas.div_ceil(2),
        Some(replicas),
    );
    draft.stages = vec![
        half.with_bake(Duration::from_secs(1)).with_gate(gate),
        Stage::new(Percent::HUNDRED, replicas, Some(replicas))
            .with_deadline(Some(Duration::from_secs(3))),
    ];
    hurried(draft.try_into().unwrap(), |_| {})
}

fn explore(name: &str, plan: Plan, limits: Limits) {
    match Explorer::new(plan).with_limits(limits).run() {
        Ok(explored) => println!(
            "{name}: {} states, {} transitions, {} of them final",
            explored.states, explored.transitions, explored.finals
        ),
        Err(counterexample) => panic!("{name}: {counterexample}"),
    }
}

#[test]
fn canary_with_faults_and_a_word() {
    explore("canary", canary(2, None), Limits::new(1, 1, 0));
}

#[test]
fn canary_with_two_words() {
    explore("canary, two words", canary(1, None), Limits::new(0, 2, 0));
}

#[test]
fn canary_meddled_with() {
    explore(
        "canary, meddled with",
        canary(2, None),
        Limits::new(0, 1, 1),
    );
}

/// Whoever takes away the only replica of a canary that is being promoted sends it back, and then the
/// stable revision must be the stable one in the back end's books, too.
#[test]
fn lone_canary_meddled_with() {
    explore(
        "lone canary, meddled with",
        canary(1, None),
        Limits::new(1, 0, 1),
    );
}

#[test]
fn canary_behind_a_gate() {
    for on_timeout in [OnTimeout::Advance, OnTimeout::Hold, OnTimeout::Rollback] {
        let timeout = Duration::from_secs(2);
        let gate = Gate::Approval {
            name: "load test".to_owned(),
            timeout,
            on_timeout,
        };
        explore(
            "canary behind a gate",
            canary(1, Some(gate)),
            Limits::new(1, 1, 0),
        );
    }
}

#[test]
fn blue_green() {
    let plan = BlueGreen::new(Duration::from_secs(1))
        .with_gate(Gate::Operator)
        .plan(&workload(2));
    explore(
        "blue-green",
        hurried(plan.unwrap(), |_| {}),
        Limits::new(1, 1, 0),
    );
}

#[test]
fn rolling() {
    let plan = Rolling::new(Amount::Count(1), Amount::Count(0))
        .plan(&workload(2))
        .unwrap();
    explore("rolling", hurried(plan, |_| {}), Limits::new(1, 1, 0));
    let plan = Rolling::new(Amount::Count(1), Amount::Count(1))
        .plan(&workload(3))
        .unwrap();
    explore("rolling", hurried(plan, |_| {}), Limits::new(1, 0, 0));
}

#[test]
fn recreate() {
    let plan = Recreate::default().plan(&workload(2)).unwrap();
    explore("recreate", hurried(plan, |_| {}), Limits::new(1, 1, 0));
}

#[test]
fn batches_of_hosts() {
    let all = [Amount::Count(1), Amount::Count(3)];
    let plan = Batches::new(all, Duration::ZERO)
        .plan(&workload(3))
        .unwrap();
    explore("batches", hurried(plan, |_| {}), Limits::new(1, 1, 0));
}

#[test]
fn an_autoscaled_workload() {
    let plan = Plan::try_from({
        let mut draft = canary(2, None).into_draft();
        draft.autoscaled = true;
        for stage in &mut draft.stages {
            stage.stable = None;
        }
        draft
    });
    explore("autoscaled", plan.unwrap(), Limits::new(1, 1, 0));
}
