//! How the stable revision did before is asked for once, and the answer is not kept.

mod driven;

use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy};
use codedance_core::error::Failure;
use codedance_core::metrics::{Histogram, History, Quantile, Reading, Sample, Signal};
use codedance_core::plan::{Draft, Plan, Stage};
use codedance_core::rollout::{Input, Next, Outcome, Rollout};
use codedance_core::workload::{Revision, Workload, WorkloadName};
use codedance_core::{ErrorKind, Percent, Timestamp};

use driven::Driven;

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

fn driven() -> Driven {
    Driven::new(rollout(), &v("v1"), 2)
}

/// The look that is wanted finds both sides fast, and tells the past that it is asked for.
fn look(driven: &mut Driven) {
    driven.look(|intervals| {
        let past = vec![fast(); intervals];
        vec![Reading::new("p99", fast(), fast()).with_history(past)]
    });
}

fn fail_to_look(driven: &mut Driven) {
    let failure = Failure::new(ErrorKind::Unavailable, "nobody answers");
    let (effect, _) = driven.wanted();
    driven.tell(Input::Outcome(effect.id, Err(failure)));
}

#[test]
fn the_past_is_asked_for_until_one_look_succeeds_and_never_again() {
    let mut driven = driven();
    for _ in 0..3 {
        assert_eq!(driven.next_look().unwrap().history, ASKED);
        fail_to_look(&mut driven);
        driven.restore();
    }
    assert_eq!(driven.next_look().unwrap().history, ASKED);
    look(&mut driven);
    let (mut later, mut stages) = (0, Vec::new());
    while let Some(measurement) = driven.next_look() {
        assert_eq!(measurement.history, None);
        stages.push(driven.rollout.stage());
        look(&mut driven);
        driven.restore();
        later += 1;
    }
    assert_eq!(driven.rollout.next(), Next::Finished(Outcome::Completed));
    assert!(later > 5, "{later}");
    assert!(stages.contains(&Some(1)), "{stages:?}");
}

#[test]
fn who_takes_over_asks_again_only_if_nobody_had_the_past() {
    for had in [false, true] {
        let mut driven = driven();
        driven.next_look().unwrap();
        if had {
            look(&mut driven);
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
    let mut driven = driven();
    driven.next_look().unwrap();
    look(&mut driven);
    assert_eq!(driven.next_look().unwrap().history, None);
    let other = policy(Duration::from_secs(2));
    driven.tell(Input::Amend(Box::new(plan()), Box::new(other)));
    assert_eq!(driven.next_look().unwrap().history, ASKED);
}

#[test]
fn the_samples_of_the_past_are_not_in_the_snapshot() {
    let mut driven = driven();
    driven.next_look().unwrap();
    let json = |driven: &Driven| serde_json::to_string(&driven.rollout.snapshot()).unwrap();
    let before = json(&driven);
    look(&mut driven);
    let after = json(&driven);
    let sixty = serde_json::to_string(&vec![fast(); 60]).unwrap();
    assert!(after.len() < before.len() + sixty.len() / 4, "{after}");
}
