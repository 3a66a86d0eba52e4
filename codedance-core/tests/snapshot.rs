//! Snapshots stay small, and those of older versions stay readable.

use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy};
use codedance_core::metrics::{Quantile, Reading, Sample, Signal};
use codedance_core::plan::{Exponential, Strategy};
use codedance_core::rollout::{
    Action, Input, Next, Observation, Report, RestoreError, Rollout, Snapshot,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{FleetStatus, GroupStatus, Revision, Workload, WorkloadName};
use codedance_core::{Percent, Timestamp};

const GOLDEN: &str = include_str!("golden/snapshot-v1.json");

/// A rollout of 6 stages and 5 metrics, in the middle of its third stage.
fn half_way() -> Rollout {
    let revision = |name: &str| Revision::new(name).unwrap();
    let (v1, v2) = (revision("shop/web:1.41.0"), revision("shop/web:1.42.0"));
    let workload = Workload::new(
        WorkloadName::new("shop/web").unwrap(),
        v1.clone(),
        v2.clone(),
        10,
    );
    let latency = |share| Signal::Latency(Quantile::new(share).unwrap());
    let time = |ms| Limits::fail(Duration::from_millis(ms));
    let share = |percent| Limits::fail(Percent::new(percent).unwrap());
    let policy = Policy::builder()
        .with_metric(Metric::new("errors", Signal::ErrorRate, share(1)))
        .with_metric(Metric::new("success", Signal::SuccessRate, share(99)))
        .with_metric(Metric::new("p50", latency(0.5), time(50)))
        .with_metric(Metric::new("p90", latency(0.9), time(200)))
        .with_metric(Metric::new("p99", latency(0.99), time(500)))
        .build()
        .unwrap();
    let plan = Exponential::new(Duration::from_secs(300))
        .plan(&workload)
        .unwrap();
    let mut rollout = Rollout::new(plan, policy, Timestamp::from_millis(1_790_000_000_000));
    let mut now = rollout.now();
    let mut fleet = FleetStatus::new().with(v1.clone(), GroupStatus::new(10, 10));
    let mut split = Split::all(v1);
    while rollout.stage() != Some(2) || rollout.weight() != Percent::new(10).unwrap() {
        match rollout.next() {
            Next::Run(effect) => {
                let report = match &effect.action {
                    Action::Observe => {
                        Report::Observed(Observation::new(fleet.clone(), split.clone()))
                    }
                    Action::Scale(wanted) => {
                        for group in [&wanted.stable, &wanted.canary] {
                            let count = group.replicas.unwrap();
                            fleet =
                                fleet.with(group.revision.clone(), GroupStatus::new(count, count));
                        }
                        Report::Observed(fleet.clone().into())
                    }
                    Action::Route(wanted) => {
                        split = wanted.clone();
                        let propagation = Duration::from_millis(100);
                        Report::Routed {
                            split: split.clone(),
                            propagation,
                        }
                    }
                    Action::Measure(_) => {
                        let counts = |total, bad| Sample::Counts { bad, total };
                        let time = |value| Sample::Quantile { value, count: 900 };
                        let reading =
                            |name: &str, canary, stable| Reading::new(name, canary, stable);
                        Report::Measured {
                            readings: vec![
                                reading("errors", counts(900, 2), counts(17_000, 31)),
                                reading("success", counts(900, 3), counts(17_000, 40)),
                                reading("p50", time(0.021_3), time(0.020_9)),
                                reading("p90", time(0.087_1), time(0.085_2)),
                                reading("p99", time(0.213_4), time(0.209_8)),
                            ],
                            observation: Observation::new(fleet.clone(), split.clone()),
                        }
                    }
                    Action::Promote(_) | Action::Retire(_) => unreachable!("half way"),
                };
                rollout
                    .step(now, Input::Outcome(effect.id, Ok(report)))
                    .unwrap();
            }
            Next::WaitUntil(at) => {
                now = at;
                rollout.step(now, Input::Tick).unwrap();
            }
            Next::AwaitCommand { .. } | Next::Finished(_) => panic!("{}", rollout.explain()),
        }
    }
    rollout
}

#[test]
fn six_stages_and_five_metrics_take_less_than_8_kib() {
    let json = serde_json::to_string(&half_way().snapshot()).unwrap();
    println!("{} bytes", json.len());
    assert!(json.len() < 8 * 1024, "{} bytes: {json}", json.len());
}

#[test]
fn the_golden_snapshot_is_what_is_written_and_goes_on() {
    let rollout = half_way();
    let today = serde_json::to_string_pretty(&rollout.snapshot()).unwrap();
    if std::env::var_os("CODEDANCE_BLESS").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/snapshot-v1.json"),
            &today,
        )
        .unwrap();
    }
    assert_eq!(
        today.trim(),
        GOLDEN.trim(),
        "the format has changed: raise its version, keep the file"
    );
    let golden: Snapshot = serde_json::from_str(GOLDEN).unwrap();
    let restored = Rollout::restore(golden).unwrap();
    assert_eq!(restored.next(), rollout.next());
    assert_eq!(restored.explain(), rollout.explain());
}

#[test]
fn a_snapshot_that_cannot_be_gone_on_from_is_refused() {
    let spoil = |from: &str, to: &str| {
        assert!(GOLDEN.contains(from), "{from}");
        let spoiled = GOLDEN.replacen(from, to, 1);
        serde_json::from_str::<Snapshot>(&spoiled).map(Rollout::restore)
    };
    assert_eq!(
        spoil("\"version\": 1", "\"version\": 2")
            .unwrap()
            .unwrap_err(),
        RestoreError::Version { found: 2 }
    );
    let astray = spoil("\"index\": 2", "\"index\": 9").unwrap().unwrap_err();
    assert!(matches!(astray, RestoreError::Inconsistent(_)), "{astray}");
    assert!(
        spoil("\"replicas\": 10", "\"replicas\": 0").is_err(),
        "the plan is checked again"
    );
    assert!(
        spoil("\"traffic\"", "\"trafic\"").is_err(),
        "unknown keys are errors"
    );
}
