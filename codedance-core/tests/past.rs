//! How the stable revision did before is asked for once, and the answer is not kept.

use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy};
use codedance_core::error::Failure;
use codedance_core::metrics::{Histogram, History, Quantile, Reading, Sample, Signal};
use codedance_core::plan::{Draft, Plan, Stage};
use codedance_core::rollout::{
    Action, Input, Measurement, Next, Observation, Outcome, Report, Rollout,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{
    FleetStatus, GroupStatus, Progress, Revision, Workload, WorkloadName,
};
use codedance_core::{ErrorKind, Percent, Timestamp};

const INTERVAL: Duration = Duration::from_secs(10);
const ASKED: Option<History> = Some(History {
    step: INTERVAL,
    intervals: 60,
});

fn v(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// Half of the traffic for a minute, then all of it for another.
fn plan() -> Plan {
    let name = WorkloadName::new("shop").unwrap();
    let mut draft = Draft::new(&Workload::new(name, v("v1"), v("v2"), 2));
    let minute = Duration::from_secs(60);
    draft.stages = vec![
        Stage::new(Percent::ratio(1, 2), 1, Some(2)).with_bake(minute),
        Stage::new(Percent::HUNDRED, 2, Some(2)).with_bake(minute),
    ];
    draft.try_into().unwrap()
}

fn policy(slow: Duration) -> Policy {
    let p99 = Signal::Latency(Quantile::new(0.99).unwrap());
    Policy::builder()
        .with_metric(Metric::new("p99", p99, Limits::fail(slow)))
        .with_interval(INTERVAL)
        .build()
        .unwrap()
}

fn rollout() -> Rollout {
    let at = Timestamp::from_millis(1_790_000_000_000);
    Rollout::new(plan(), policy(Duration::from_secs(1)), at)
}

/// Fast, as ever.
fn fast() -> Sample {
    let counts: [u64; 3] = [1_234_567, 0, 0];
    Sample::Histogram(Histogram::new([0.1, 1.0], counts).unwrap())
}

/// A rollout in a world that obeys at once, and what it measures.
struct Driven {
    rollout: Rollout,
    seen: Observation,
}

impl Driven {
    fn new() -> Self {
        let fleet = FleetStatus::new().with(v("v1"), GroupStatus::new(2, 2));
        Self {
            rollout: rollout(),
            seen: Observation::new(fleet, Split::all(v("v1"))),
        }
    }

    /// Goes on to the next look; `None` if there is none any more.
    fn next_look(&mut self) -> Option<Measurement> {
        loop {
            let (mut fleet, mut split) = self.there();
            let (id, report) = match self.rollout.next() {
                Next::WaitUntil(at) => {
                    self.rollout.step(at, Input::Tick).unwrap();
                    continue;
                }
                Next::Finished(outcome) => {
                    assert_eq!(outcome, Outcome::Completed);
                    return None;
                }
                Next::AwaitCommand { .. } => panic!("{}", self.rollout.explain()),
                Next::Run(effect) => match effect.action {
                    Action::Measure(measurement) => return Some(measurement),
                    Action::Observe => (effect.id, Report::Observed(self.seen.clone())),
                    Action::Scale(wanted) => {
                        for group in [&wanted.stable, &wanted.canary] {
                            let count = group.replicas.unwrap_or_default();
                            let status = GroupStatus::new(count, count);
                            fleet = fleet.with(group.revision.clone(), status);
                        }
                        (effect.id, Report::Observed(fleet.clone().into()))
                    }
                    Action::Route(wanted) => {
                        split = wanted.clone();
                        let propagation = Duration::ZERO;
                        let split = wanted;
                        (effect.id, Report::Routed { split, propagation })
                    }
                    Action::Promote(_) => (effect.id, Report::Promoted(Progress::Done)),
                    Action::Retire(_) => (effect.id, Report::Retired(Progress::Done)),
                },
            };
            self.seen = Observation::new(fleet, split);
            self.tell(Input::Outcome(id, Ok(report)));
        }
    }

    fn there(&self) -> (FleetStatus, Split) {
        let Observation { fleet, split, .. } = self.seen.clone();
        (fleet.unwrap(), split.unwrap())
    }

    /// The look that is wanted finds both sides fast, and tells the past that it is asked for.
    fn look(&mut self) {
        let Next::Run(effect) = self.rollout.next() else {
            panic!("no look is wanted");
        };
        let Action::Measure(measurement) = effect.action else {
            panic!("{} is wanted", effect.action);
        };
        let intervals = measurement.history.map_or(0, |history| history.intervals);
        let past = vec![fast(); intervals as usize];
        let report = Report::Measured {
            readings: vec![Reading::new("p99", fast(), fast()).with_history(past)],
            observation: self.seen.clone(),
        };
        self.tell(Input::Outcome(effect.id, Ok(report)));
    }

    fn fail_to_look(&mut self) {
        let Next::Run(effect) = self.rollout.next() else {
            panic!("no look is wanted");
        };
        let failure = Failure::new(ErrorKind::Unavailable, "nobody answers");
        self.tell(Input::Outcome(effect.id, Err(failure)));
    }

    fn tell(&mut self, input: Input) {
        let now = self.rollout.now();
        self.rollout.step(now, input).unwrap();
    }

    /// As another process would find it.
    fn restore(&mut self) {
        let json = serde_json::to_string(&self.rollout.snapshot()).unwrap();
        self.rollout = Rollout::restore(serde_json::from_str(&json).unwrap()).unwrap();
    }
}

#[test]
fn the_past_is_asked_for_until_one_look_succeeds_and_never_again() {
    let mut driven = Driven::new();
    for _ in 0..3 {
        assert_eq!(driven.next_look().unwrap().history, ASKED);
        driven.fail_to_look();
        driven.restore();
    }
    assert_eq!(driven.next_look().unwrap().history, ASKED);
    driven.look();
    let (mut later, mut stages) = (0, Vec::new());
    while let Some(measurement) = driven.next_look() {
        assert_eq!(measurement.history, None);
        stages.push(driven.rollout.stage());
        driven.look();
        driven.restore();
        later += 1;
    }
    assert!(later > 5, "{later}");
    assert!(stages.contains(&Some(1)), "{stages:?}");
}

#[test]
fn who_takes_over_asks_again_only_if_nobody_had_the_past() {
    for had in [false, true] {
        let mut driven = Driven::new();
        driven.next_look().unwrap();
        if had {
            driven.look();
        }
        driven.restore();
        let since = driven.rollout.now();
        let now = since + Duration::from_secs(3_600);
        driven
            .rollout
            .step(now, Input::TakenOver { since })
            .unwrap();
        let asked = driven.next_look().unwrap().history;
        assert_eq!(asked, if had { None } else { ASKED });
    }
}

#[test]
fn another_policy_forgets_what_was_learnt_and_asks_again() {
    let mut driven = Driven::new();
    driven.next_look().unwrap();
    driven.look();
    assert_eq!(driven.next_look().unwrap().history, None);
    let other = policy(Duration::from_secs(2));
    driven.tell(Input::Amend(Box::new(plan()), Box::new(other)));
    assert_eq!(driven.next_look().unwrap().history, ASKED);
}

#[test]
fn the_samples_of_the_past_are_not_in_the_snapshot() {
    let mut driven = Driven::new();
    driven.next_look().unwrap();
    let json = |driven: &Driven| serde_json::to_string(&driven.rollout.snapshot()).unwrap();
    let before = json(&driven);
    driven.look();
    let after = json(&driven);
    let sixty = serde_json::to_string(&vec![fast(); 60]).unwrap();
    assert!(after.len() < before.len() + sixty.len() / 4, "{after}");
}
