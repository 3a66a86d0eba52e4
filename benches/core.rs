//! What the pure core costs: a step of the machine, an assessment, a snapshot.

use std::hint::black_box;
use std::time::Duration;

use codedance::decision::{Evidence, Limits, Memory, Metric, Policy};
use codedance::metrics::{Quantile, Reading, Sample, Signal, Window};
use codedance::plan::{Exponential, Strategy};
use codedance::rollout::{Action, Input, Next, Observation, Report, Rollout};
use codedance::traffic::Split;
use codedance::workload::{FleetStatus, GroupStatus, Revision, Workload, WorkloadName};
use codedance::{Percent, Timestamp};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

fn revision(name: &str) -> Revision {
    Revision::new(name).expect("a name in this file")
}

fn policy() -> Policy {
    let latency = |share| Signal::Latency(Quantile::new(share).expect("a share in this file"));
    let time = |ms| Limits::fail(Duration::from_millis(ms));
    let share = |percent| Limits::fail(Percent::new(percent).expect("a share in this file"));
    Policy::builder()
        .with_metric(Metric::new("errors", Signal::ErrorRate, share(1)))
        .with_metric(Metric::new("success", Signal::SuccessRate, share(99)))
        .with_metric(Metric::new("p50", latency(0.5), time(50)))
        .with_metric(Metric::new("p90", latency(0.9), time(200)))
        .with_metric(Metric::new("p99", latency(0.99), time(500)))
        .build()
        .expect("a policy in this file")
}

fn readings() -> Vec<Reading> {
    let counts = |total, bad| Sample::Counts { bad, total };
    let time = |value| Sample::Quantile { value, count: 900 };
    vec![
        Reading::new("errors", counts(900, 4), counts(17_000, 31)),
        Reading::new("success", counts(900, 5), counts(17_000, 40)),
        Reading::new("p50", time(0.0213), time(0.0209)),
        Reading::new("p90", time(0.0871), time(0.0852)),
        Reading::new("p99", time(0.2134), time(0.2098)),
    ]
}

/// A rollout whose world obeys at once; without a judge where `policy` has no metrics.
struct Obeyed {
    rollout: Rollout,
    now: Timestamp,
    fleet: FleetStatus,
    split: Split,
}

impl Obeyed {
    fn new(policy: Policy) -> Self {
        let (v1, v2) = (revision("v1"), revision("v2"));
        let name = WorkloadName::new("shop").expect("a name in this file");
        let workload = Workload::new(name, v1.clone(), v2, 10);
        let plan = Exponential::default()
            .plan(&workload)
            .expect("a plan of this workload");
        Self {
            rollout: Rollout::new(plan, policy, Timestamp::EPOCH),
            now: Timestamp::EPOCH,
            fleet: FleetStatus::new().with(v1.clone(), GroupStatus::new(10, 10)),
            split: Split::all(v1),
        }
    }

    /// The input that the world has for what the rollout wants; `None` when it is over.
    fn input(&mut self) -> Option<Input> {
        match self.rollout.next() {
            Next::Run(effect) => {
                let report = match effect.action {
                    Action::Observe => Report::Observed(self.observation()),
                    Action::Scale(wanted) => {
                        for group in [wanted.stable, wanted.canary] {
                            let count = group.replicas.unwrap_or_default();
                            let status = GroupStatus::new(count, count);
                            self.fleet =
                                std::mem::take(&mut self.fleet).with(group.revision, status);
                        }
                        Report::Observed(self.fleet.clone().into())
                    }
                    Action::Route(split) => {
                        self.split = split.clone();
                        Report::Routed {
                            split,
                            propagation: Duration::ZERO,
                        }
                    }
                    Action::Measure(_) => Report::Measured {
                        readings: readings(),
                        observation: self.observation(),
                    },
                    Action::Promote(_) => Report::Promoted(codedance::workload::Progress::Done),
                    Action::Retire(_) => Report::Retired(codedance::workload::Progress::Done),
                };
                Some(Input::Outcome(effect.id, Ok(report)))
            }
            Next::WaitUntil(at) => {
                self.now = at;
                Some(Input::Tick)
            }
            Next::AwaitCommand { .. } | Next::Finished(_) => None,
        }
    }

    fn observation(&self) -> Observation {
        Observation::new(self.fleet.clone(), self.split.clone())
    }
}

/// Every state and input of a rollout from its first look to its promotion, without a judge.
fn path() -> Vec<(Rollout, Timestamp, Input)> {
    let mut obeyed = Obeyed::new(Policy::default());
    let mut path = Vec::new();
    while let Some(input) = obeyed.input() {
        path.push((obeyed.rollout.clone(), obeyed.now, input.clone()));
        obeyed
            .rollout
            .step(obeyed.now, input)
            .expect("no command among them");
    }
    path
}

fn step_next(criterion: &mut Criterion) {
    let path = path();
    let mut at = 0;
    criterion.bench_function("step_next", |bencher| {
        bencher.iter_batched(
            || {
                at = (at + 1) % path.len();
                path[at].clone()
            },
            |(mut rollout, now, input)| {
                let events = rollout.step(now, input).expect("no command among them");
                (rollout.next(), events, rollout)
            },
            BatchSize::SmallInput,
        );
    });
}

fn thresholds(criterion: &mut Criterion) {
    let judge = policy().judge(&[]);
    let readings = readings();
    let mut memory = Memory::default();
    let mut minute = 0;
    criterion.bench_function("thresholds_5_metrics", |bencher| {
        bencher.iter(|| {
            minute += 1;
            let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
            let window = Window::new(at(minute - 1), at(minute));
            let assessment = judge.assess(black_box(&Evidence::new(window, &readings, &memory)));
            memory = assessment.memory.clone();
            assessment
        });
    });
}

fn snapshot_restore(criterion: &mut Criterion) {
    let mut obeyed = Obeyed::new(policy());
    while obeyed.rollout.stage() != Some(3) {
        let input = obeyed.input().expect("it is not over yet");
        obeyed
            .rollout
            .step(obeyed.now, input)
            .expect("no command among them");
    }
    criterion.bench_function("snapshot_restore", |bencher| {
        bencher.iter(|| {
            let json = serde_json::to_vec(&obeyed.rollout.snapshot()).expect("plain data");
            let snapshot = serde_json::from_slice(black_box(&json)).expect("just written");
            Rollout::restore(snapshot).expect("just taken")
        });
    });
}

criterion_group!(benches, step_next, thresholds, snapshot_restore);
criterion_main!(benches);
