//! Rollouts that nobody drove for a while: they look before they act, and lose no time that was not theirs.

use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy};
use codedance_core::metrics::{Reading, Sample, Signal};
use codedance_core::plan::{Draft, Plan, Stage};
use codedance_core::rollout::{
    Action, Event, Happening, Input, Next, Observation, Phase, Report, Rollout,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{FleetStatus, GroupStatus, Revision, Workload, WorkloadName};
use codedance_core::{Percent, Timestamp};

const HOUR: Duration = Duration::from_secs(3_600);

fn v(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// Half of the traffic for a minute, judged every ten seconds; then all of it.
fn rollout() -> Rollout {
    let name = WorkloadName::new("shop").unwrap();
    let mut draft = Draft::new(&Workload::new(name, v("v1"), v("v2"), 2));
    draft.stages = vec![
        Stage::new(Percent::ratio(1, 2), 1, Some(2)).with_bake(Duration::from_secs(60)),
        Stage::new(Percent::HUNDRED, 2, Some(2)),
    ];
    let plan: Plan = draft.try_into().unwrap();
    let errors = Metric::new(
        "errors",
        Signal::ErrorRate,
        Limits::fail(Percent::ratio(1, 10)),
    );
    let policy = Policy::builder()
        .with_metric(errors)
        .with_interval(Duration::from_secs(10))
        .build()
        .unwrap();
    Rollout::new(plan, policy, Timestamp::EPOCH)
}

/// What is there: so many replicas of the canary, with so much of the traffic.
fn there(desired: u32, ready: u32, weight: Percent) -> Observation {
    let fleet = FleetStatus::new().with(v("v1"), GroupStatus::new(2, 2));
    let fleet = fleet.with(v("v2"), GroupStatus::new(desired, ready));
    Observation::new(fleet, Split::new(v("v1"), v("v2"), weight))
}

/// A split that is in force at once.
fn routed(split: &Split) -> Report {
    Report::Routed {
        split: split.clone(),
        propagation: Duration::ZERO,
    }
}

/// A look without an error on either side.
fn healthy(observation: Observation) -> Report {
    let good = Sample::Counts {
        bad: 0,
        total: 1_000,
    };
    Report::Measured {
        readings: vec![Reading::new("errors", good.clone(), good)],
        observation,
    }
}

/// Does what it wants in a world that obeys, until it is about to do what `stop` names, or for good.
fn obey(rollout: &mut Rollout, now: &mut Timestamp, until: Timestamp, stop: &str) {
    let mut seen = there(0, 0, Percent::ZERO);
    loop {
        let (input, at) = match rollout.next() {
            Next::Run(effect) if effect.action.to_string().starts_with(stop) => return,
            Next::Run(effect) => {
                let report = match &effect.action {
                    Action::Observe => Report::Observed(seen.clone()),
                    Action::Scale(fleet) => {
                        let count = fleet.canary.replicas.unwrap_or_default();
                        let split = seen.split.clone().unwrap();
                        seen = there(count, count, split.share_of(&v("v2")));
                        Report::Observed(seen.clone())
                    }
                    Action::Route(split) => {
                        let fleet = seen.fleet.clone().unwrap();
                        seen = Observation::new(fleet, split.clone());
                        routed(split)
                    }
                    Action::Measure(_) => healthy(seen.clone()),
                    other => panic!("{other} is not wanted yet"),
                };
                (Input::Outcome(effect.id, Ok(report)), *now)
            }
            Next::WaitUntil(at) if at <= until => (Input::Tick, at),
            _ => return,
        };
        *now = at;
        rollout.step(*now, input).unwrap();
    }
}

fn take_over(rollout: &mut Rollout, now: Timestamp) -> Vec<Event> {
    let since = rollout.now();
    rollout.step(now, Input::TakenOver { since }).unwrap()
}

#[test]
fn it_looks_before_it_acts_and_says_that_it_was_away() {
    let (mut rollout, mut now) = (rollout(), Timestamp::EPOCH);
    obey(&mut rollout, &mut now, Timestamp::EPOCH, "route");
    assert!(
        matches!(rollout.next(), Next::Run(effect) if matches!(effect.action, Action::Route(_)))
    );
    now = now + HOUR;
    let events = take_over(&mut rollout, now);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].what, Happening::TakenOver { away: HOUR });
    assert!(matches!(rollout.next(), Next::Run(effect) if effect.action == Action::Observe));
}

/// It was waiting for a replica, and nobody looked for longer than the wait may last.
#[test]
fn an_absence_is_not_taken_for_a_lack_of_progress() {
    let (mut rollout, mut now) = (rollout(), Timestamp::EPOCH);
    obey(&mut rollout, &mut now, Timestamp::EPOCH, "scale");
    let Next::Run(effect) = rollout.next() else {
        panic!("it scales first");
    };
    let waiting = Report::Observed(there(1, 0, Percent::ZERO).fleet.unwrap().into());
    rollout
        .step(now, Input::Outcome(effect.id, Ok(waiting)))
        .unwrap();
    let patience = rollout.plan().progress_deadline();

    let mut forgotten = rollout.clone();
    forgotten.step(now + patience, Input::Tick).unwrap();
    assert_eq!(forgotten.phase(), Phase::RollingBack);

    // Half of its time was its own, and the other half still is.
    now = now + patience / 2;
    rollout.step(now, Input::Tick).unwrap();
    now = now + HOUR * 24;
    take_over(&mut rollout, now);
    rollout.step(now + patience / 3, Input::Tick).unwrap();
    assert_eq!(rollout.phase(), Phase::Progressing);
    rollout.step(now + patience / 2, Input::Tick).unwrap();
    assert_eq!(rollout.phase(), Phase::RollingBack);
}

/// Its time was over and the last look was good, but that was then.
#[test]
fn a_stage_is_passed_only_on_what_is_there_and_a_new_look() {
    let (mut rollout, mut now) = (rollout(), Timestamp::EPOCH);
    let nearly = now + Duration::from_secs(59);
    obey(&mut rollout, &mut now, nearly, "never");
    assert_eq!(rollout.explain().stage, Some(0));

    now = now + HOUR;
    take_over(&mut rollout, now);
    let mut looked = Vec::new();
    // The canary was lost meanwhile.
    let mut lost = true;
    while rollout.explain().stage == Some(0) && rollout.phase() == Phase::Progressing {
        let Next::Run(effect) = rollout.next() else {
            let Next::WaitUntil(at) = rollout.next() else {
                panic!("{}", rollout.explain());
            };
            now = at;
            rollout.step(now, Input::Tick).unwrap();
            continue;
        };
        looked.push(effect.action.to_string());
        let report = match &effect.action {
            Action::Observe if lost => Report::Observed(there(0, 0, Percent::ZERO)),
            Action::Observe => Report::Observed(there(1, 1, Percent::ratio(1, 2))),
            Action::Scale(_) => {
                lost = false;
                Report::Observed(there(1, 1, Percent::ZERO).fleet.unwrap().into())
            }
            Action::Route(split) => routed(split),
            Action::Measure(_) if lost => healthy(there(0, 0, Percent::ZERO)),
            Action::Measure(_) => healthy(there(1, 1, Percent::ratio(1, 2))),
            other => panic!("{other}"),
        };
        rollout
            .step(now, Input::Outcome(effect.id, Ok(report)))
            .unwrap();
    }
    let kinds = looked.iter().filter_map(|action| action.split(' ').next());
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds[0], "look", "{looked:?}");
    for kind in ["scale", "route", "measure"] {
        assert!(kinds.contains(&kind), "{looked:?}");
    }
    assert_eq!(rollout.explain().stage, Some(1));
}
