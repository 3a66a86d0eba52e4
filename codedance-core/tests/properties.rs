//! Generated plans, policies and histories: no invariant is broken on any path.

use std::time::Duration;

use codedance_core::Percent;
use codedance_core::decision::Reaction;
use codedance_core::plan::{
    Amount, Batches, BlueGreen, BuiltIn, Exponential, Gate, Linear, Manual, OnTimeout, Plan,
    Recreate, Rolling, Step, Steps, Strategy as _,
};
use codedance_core::testing::explore::{Explorer, Limits};
use codedance_core::workload::{Revision, Workload, WorkloadName};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn seconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_secs)
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        (0_u32..6).prop_map(Amount::Count),
        (0_u32..=100).prop_map(|percent| Amount::Share(Percent::new(percent).unwrap())),
    ]
}

fn gate() -> impl Strategy<Value = Option<Gate>> {
    let on_timeout = prop_oneof![
        Just(OnTimeout::Advance),
        Just(OnTimeout::Hold),
        Just(OnTimeout::Rollback)
    ];
    let approval = (seconds(1..5), on_timeout).prop_map(|(timeout, on_timeout)| Gate::Approval {
        name: "load test".to_owned(),
        timeout,
        on_timeout,
    });
    prop_oneof![
        Just(None),
        Just(Some(Gate::Operator)),
        approval.prop_map(Some)
    ]
}

fn steps() -> impl Strategy<Value = Steps> {
    let step = (0_u16..=10_000, proptest::option::of(seconds(0..4)));
    proptest::collection::vec(step, 1..5).prop_map(|mut steps| {
        steps.sort();
        Steps::new(
            steps.into_iter().map(|(points, pause)| {
                Step::new(Percent::from_basis_points(points).unwrap(), pause)
            }),
        )
    })
}

fn strategy() -> impl Strategy<Value = BuiltIn> {
    prop_oneof![
        seconds(0..4).prop_map(|bake| BuiltIn::Linear(Linear::new(bake))),
        seconds(0..4).prop_map(|bake| BuiltIn::Exponential(Exponential::new(bake))),
        seconds(0..2).prop_map(|bake| BuiltIn::Manual(Manual::new(bake))),
        steps().prop_map(BuiltIn::Steps),
        (seconds(0..3), seconds(0..3), gate()).prop_map(|(bake, preview, gate)| {
            let strategy = BlueGreen::new(bake).with_preview(preview);
            BuiltIn::BlueGreen(match gate {
                Some(gate) => strategy.with_gate(gate),
                None => strategy,
            })
        }),
        (amount(), amount(), seconds(0..3)).prop_map(|(surge, unavailable, bake)| {
            BuiltIn::Rolling(Rolling::new(surge, unavailable).with_bake(bake))
        }),
        seconds(0..3).prop_map(|bake| BuiltIn::Recreate(Recreate::new(bake))),
        (amount(), seconds(0..3)).prop_map(|(unavailable, bake)| {
            let all = [5, 25, 100].map(|percent| Amount::Share(Percent::new(percent).unwrap()));
            BuiltIn::Batches(Batches::new(all, bake).with_max_unavailable(unavailable))
        }),
    ]
}

/// A plan with short deadlines. Strategies may refuse what was generated, with a reason.
fn plan() -> impl Strategy<Value = Plan> {
    (
        strategy(),
        1_u32..12,
        any::<bool>(),
        seconds(0..2),
        proptest::option::of(seconds(20..60)),
    )
        .prop_filter_map(
            "refused",
            |(strategy, replicas, autoscaled, drain, deadline)| {
                let revision = |name| Revision::new(name).unwrap();
                let name = WorkloadName::new("shop").unwrap();
                let workload = Workload::new(name, revision("v1"), revision("v2"), replicas)
                    .with_autoscaled(autoscaled);
                let mut draft = strategy.plan(&workload).ok()?.into_draft();
                draft.drain = drain;
                draft.progress_deadline = Duration::from_secs(4);
                draft.give_up_after = Duration::from_secs(6);
                draft.deadline = deadline;
                draft.try_into().ok()
            },
        )
}

fn reaction() -> impl Strategy<Value = Reaction> {
    prop_oneof![
        Just(Reaction::Rollback),
        Just(Reaction::Hold),
        Just(Reaction::Ignore)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_path_breaks_an_invariant(
        plan in plan(),
        reactions in [reaction(), reaction(), reaction()],
        roll_back_inconclusive in any::<bool>(),
        while_paused in any::<bool>(),
        limits in (0_u8..6, 0_u8..6, 0_u8..3),
        choices in proptest::collection::vec(any::<usize>(), 1..250),
    ) {
        let [bad, crash, alert] = reactions;
        let inconclusive =
            if roll_back_inconclusive { Reaction::Rollback } else { Reaction::Hold };
        let explorer = Explorer::new(plan)
            .with_limits(Limits::new(limits.0, limits.1, limits.2))
            .with_policy(|policy| {
                policy
                    .into_builder()
                    .with_on_bad_metrics(bad)
                    .with_on_crash(crash)
                    .with_on_alert(alert)
                    .with_on_inconclusive(inconclusive)
                    .with_rollback_while_paused(while_paused)
                    .build()
                    .unwrap()
            });
        if let Err(counterexample) = explorer.walk(choices) {
            prop_assert!(false, "{counterexample}");
        }
    }

    #[test]
    fn every_strategy_makes_a_plan_or_says_why_not(
        strategy in strategy(),
        replicas in 0_u32..2_000,
        autoscaled in any::<bool>(),
    ) {
        let revision = |name| Revision::new(name).unwrap();
        let name = WorkloadName::new("shop").unwrap();
        let workload = Workload::new(name, revision("v1"), revision("v2"), replicas)
            .with_autoscaled(autoscaled);
        match strategy.plan(&workload) {
            Ok(plan) => {
                prop_assert_eq!(strategy.plan(&workload), Ok(plan.clone()));
                let json = serde_json::to_string(&plan).unwrap();
                prop_assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
            }
            Err(error) => prop_assert!(!error.key.is_empty() && !error.problem.is_empty()),
        }
    }
}
