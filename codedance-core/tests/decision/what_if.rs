//! What a plan could see: held against the judge itself.

use std::time::Duration;

use codedance_core::decision::{
    Evidence, Limits, Memory, Metric, Policy, Quantity, Traffic, Verdict,
};
use codedance_core::metrics::{Reading, Sample, Signal, Window};
use codedance_core::plan::{Draft, Plan, Stage};
use codedance_core::workload::{Revision, Workload, WorkloadName};
use codedance_core::{Percent, Timestamp};

fn percent(share: u32) -> Percent {
    Percent::new(share).unwrap()
}

fn policy() -> Policy {
    // A limit so loose that only the comparison decides.
    let errors = Metric::new("errors", Signal::ErrorRate, Limits::fail(percent(100)));
    let policy = Policy::builder().with_metric(errors);
    policy
        .with_interval(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// 5, 10, 25 and 50 %, each for so many minutes.
fn plan(minutes: u64) -> Plan {
    let bake = Duration::from_secs(minutes * 60);
    let stages =
        [5, 10, 25, 50].map(|weight| Stage::new(percent(weight), 1, Some(1)).with_bake(bake));
    let workload = Workload::new(
        WorkloadName::new("shop").unwrap(),
        Revision::new("v1").unwrap(),
        Revision::new("v2").unwrap(),
        1,
    );
    let mut draft = Draft::new(&workload);
    draft.stages.extend(stages);
    draft.stages.push(Stage::new(Percent::HUNDRED, 1, Some(0)));
    Plan::try_from(draft).unwrap()
}

fn traffic(requests: f64, share: f64) -> Traffic {
    Traffic::new(requests, Quantity::Percent(share))
}

/// A generator of its own, so that the figures never change.
struct Dice(u64);

impl Dice {
    /// Evenly from 0 to 1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A count with this mean, by the gaps between its events.
    fn count(&mut self, mean: f64) -> u64 {
        let (mut sum, mut count) = (0.0, 0);
        loop {
            sum -= (1.0 - self.throw()).ln();
            if sum > mean {
                return count;
            }
            count += 1;
        }
    }
}

/// How often the judge itself sends back a canary with `ratio` times the errors.
fn power_of_the_judge(minutes: u64, requests: f64, share: f64, ratio: f64) -> f64 {
    const TRIES: u32 = 300;
    let policy = policy();
    let judge = policy.judge(&[]);
    let mut dice = Dice(11);
    let mut found = 0;
    for _ in 0..TRIES {
        let mut memory = Memory::default();
        let stable = |dice: &mut Dice, part: f64, ratio: f64| Sample::Counts {
            bad: dice.count(requests * part * share * ratio),
            total: (requests * part) as u64,
        };
        let past: Vec<Sample> = (0..60).map(|_| stable(&mut dice, 1.0, 1.0)).collect();
        'rollout: for (stage, weight) in [0.05, 0.1, 0.25, 0.5].into_iter().enumerate() {
            for minute in 0..minutes {
                let at = (stage as u64 * minutes + minute) as i64;
                let from = Timestamp::from_millis(at * 60_000);
                let window = Window::new(from, from + Duration::from_secs(60));
                let canary = stable(&mut dice, weight, ratio);
                let mut reading =
                    Reading::new("errors", canary, stable(&mut dice, 1.0 - weight, 1.0));
                if stage == 0 && minute == 0 {
                    reading = reading.with_history(past.clone());
                }
                let readings = [reading];
                let mut evidence = Evidence::new(window, &readings, &memory);
                evidence.stage = stage;
                let assessment = judge.assess(&evidence);
                if assessment.verdict == Verdict::Rollback {
                    found += 1;
                    break 'rollout;
                }
                memory = assessment.memory;
            }
        }
    }
    f64::from(found) / f64::from(TRIES)
}

#[test]
fn the_power_foretold_is_the_power_there_is() {
    for (minutes, requests, share) in [(15, 600.0, 0.5), (15, 6_000.0, 0.1), (3, 6_000.0, 0.5)] {
        let foretold = policy()
            .what_if(&plan(minutes), traffic(requests, share))
            .unwrap();
        for regression in foretold.regressions {
            let there = power_of_the_judge(minutes, requests, share / 100.0, regression.ratio);
            println!(
                "{minutes} min, {requests}/min, {share} %, ×{}: {:.2} foretold, {there:.2} there",
                regression.ratio, regression.power
            );
            assert!(
                (regression.power - there).abs() < 0.15,
                "×{}",
                regression.ratio
            );
        }
    }
}

#[test]
fn a_plan_that_sees_nothing_is_told_so() {
    let blind = policy().what_if(&plan(1), traffic(20.0, 0.5)).unwrap();
    assert!(blind.is_blind());
    let text = blind.to_string();
    assert!(
        text.starts_with("4 stages that bake for 4m at 20 requests a minute find "),
        "{text}"
    );
    let seeing = policy().what_if(&plan(15), traffic(6_000.0, 0.5)).unwrap();
    assert!(!seeing.is_blind());
    let twice = &seeing.regressions[1];
    // More traffic needs less time, and the stages together see at least what each sees alone.
    let needed: Vec<_> = twice
        .stages
        .iter()
        .filter_map(|stage| stage.needed)
        .collect();
    // At 100 % there is nothing left to compare with.
    assert_eq!((needed.len(), twice.stages.len()), (4, 5));
    assert!(needed.is_sorted_by(|a, b| a >= b), "{needed:?}");
    assert!(twice.stages.iter().map(|stage| stage.power).is_sorted());
    let first = twice.stages[0];
    let requests = first.requests.unwrap() as f64;
    assert_eq!(requests, first.needed.unwrap().as_secs_f64() / 60.0 * 300.0);
}

#[test]
fn a_policy_says_what_traffic_to_expect() {
    let policy = |traffic: &str| {
        let text = format!(
            r#"{{"metrics": [{{"name": "errors", "signal": "error_rate", "limits": {{"fail": "1%"}}}}], "traffic": {traffic}}}"#
        );
        codedance_core::config::from_json::<Policy>(&text)
    };
    let good = policy(r#"{"requests_per_minute": 20, "error_rate": "0.5%"}"#).unwrap();
    assert!(good.blindness(&plan(1)).is_some());
    let much = policy(r#"{"requests_per_minute": 1e9, "error_rate": "0.5%"}"#).unwrap();
    assert_eq!(much.blindness(&plan(15)), None);
    for (traffic, message) in [
        (
            r#"{"requests_per_minute": 0, "error_rate": "0.5%"}"#,
            "traffic.requests_per_minute: `0` is out of range",
        ),
        (
            r#"{"requests_per_minute": 20, "error_rate": "0%"}"#,
            "traffic.error_rate: `0%` is no error rate",
        ),
        (
            r#"{"requests_per_minute": 20, "error_rate": "5s"}"#,
            "traffic.error_rate: `5s` is no error rate",
        ),
    ] {
        let error = policy(traffic).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
