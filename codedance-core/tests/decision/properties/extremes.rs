//! Numbers at the ends of what numbers can be, and how much room a memory takes.

use codedance_core::decision::{
    JudgeConfig, Limits, Memory, Metric, Policy, PolicyBuilder, SequentialConfig, ThresholdsConfig,
    Verdict,
};
use codedance_core::metrics::{Histogram, Reading, Sample};
use codedance_core::workload::GroupStatus;
use codedance_core::{Percent, Timestamp};
use proptest::prelude::*;

use super::conviction::{lenient, sample};
use super::{NAMES, alike, any_sample, classic, policy, watched_by_all};
use crate::support::{Watcher, errors, p99, rate};

/// The same, waiting for proof: with everything in its memory that can be there.
fn confirmed(policy: PolicyBuilder) -> PolicyBuilder {
    let config = SequentialConfig::default().confirmed();
    let config = ThresholdsConfig::default().with_sequential(config);
    policy.with_judge(JudgeConfig::Thresholds(config))
}

/// JSON has no word for NaN and infinity but null. (Elsewhere it stands for a proof that has not begun.)
fn assert_all_numbers(memory: &Memory) {
    let json = serde_json::to_string(memory).unwrap();
    let json = json.replace("\",null,[", "\",[");
    assert!(!json.contains("null"), "{json}");
}

proptest! {
    /// The watcher looks for numbers that are none in what the judge says.
    #[test]
    fn any_evidence_is_judged(
        looks in prop::collection::vec(
            (prop::collection::vec((any_sample(), any_sample(), any_sample()), 0..6), any::<i64>()),
            1..8,
        ),
        counts in any::<(u32, u32, u32, u32)>(),
        weight in 0..=10_000_u16,
        use_classic in any::<bool>(),
    ) {
        let policy = if use_classic { classic() } else { confirmed(policy()) };
        let mut watcher = Watcher::new(watched_by_all(policy));
        for (samples, age) in looks {
            let mut readings: Vec<_> = NAMES.iter().zip(samples).map(|(name, sides)| {
                let (canary, stable, past) = sides;
                Reading::new(*name, canary, stable).with_history(vec![past; 30])
            }).collect();
            if let Some(first) = readings.first_mut() {
                first.at = Some(Timestamp::from_millis(age % 1_000_000));
            }
            let assessment = watcher.look_with(&readings, |e| {
                e.canary = GroupStatus::new(counts.0, counts.1)
                    .with_failed(counts.2)
                    .with_restarts(counts.3);
                e.weight = Percent::from_basis_points(weight).unwrap();
            });
            prop_assert!(assessment.score.low <= assessment.score.high);
            for metric in &assessment.metrics {
                prop_assert!(metric.score.low <= metric.score.high);
            }
            for onlooker in &assessment.onlookers {
                prop_assert!(onlooker.score.low <= onlooker.score.high);
                prop_assert!(onlooker.verdict == Verdict::Advance || !onlooker.reasons.is_empty());
            }
            if !use_classic {
                assert_all_numbers(&watcher.memory);
            }
        }
    }

    /// A memory of any other shape is as good as none.
    #[test]
    fn any_memory_is_survived(text in "[a-z]{0,5}", number in any::<i32>()) {
        for value in [
            serde_json::json!(text),
            serde_json::json!(number),
            serde_json::json!([{"good": number}]),
            serde_json::json!([{"good": 9, "tallies": [[9, 1, 0.0, 0, 0, 0.0, 0, "k"]]}]),
            serde_json::json!([{"stage": 0, "history": text}]),
            serde_json::json!([{}, {"series": [text]}, {"failed": number}, {"counts": [[number]]}]),
            serde_json::json!([{}, {"series": []}, {"turns": number}, {"counts": [[1, 2, 3], [4, 5, 6]]}]),
        ] {
            let watched = Policy::builder().with_metric(errors());
            let mut watcher = Watcher::new(watched_by_all(watched));
            watcher.memory = Memory::of(&value);
            watcher.look(&[rate(0, 100)]);
        }
    }
}

/// From nothing to all that can be counted, and a canary with one request in 10¹².
#[test]
fn no_counts_are_too_extreme() {
    let extremes = [0, 1, 1_000_000_000_000, 1 << 53, u64::MAX];
    let policy = confirmed(Policy::builder().with_metric(lenient("errors")));
    let policy = policy.build().unwrap();
    let mut looks = 0;
    for canary in extremes {
        for stable in extremes {
            for (canary_bad, stable_bad) in [(0, 0), (0, stable), (canary, 0), (canary, stable)] {
                let mut watcher = Watcher::of(&policy);
                let sides = [(canary_bad, canary), (stable_bad, stable)].map(sample);
                let [canary_side, stable_side] = sides;
                let past = vec![stable_side.clone(); 60];
                let look = Reading::new("errors", canary_side, stable_side).with_history(past);
                for _ in 0..20 {
                    watcher.look(std::slice::from_ref(&look));
                    assert_all_numbers(&watcher.memory);
                    looks += 1;
                }
                if canary_bad == 0 {
                    let last = watcher.look(std::slice::from_ref(&look));
                    assert_ne!(last.verdict, Verdict::Rollback, "{look:?}");
                }
            }
        }
    }
    assert_eq!(looks, 5 * 5 * 4 * 20);
}

/// One request of the canary's against 10¹² of the stable side's: what one tells is little, and it adds up.
#[test]
fn a_canary_with_next_to_no_traffic_is_judged_by_what_it_shows() {
    let stable = (1_000_000_000, 1_000_000_000_000);
    for (bad, most) in [(0, 1_000), (1, 10)] {
        let mut watcher = Watcher::new(Policy::builder().with_metric(lenient("errors")));
        let look = Reading::new("errors", sample((bad, 1)), sample(stable));
        let found = (0..most).find(|_| {
            let assessment = watcher.look(std::slice::from_ref(&look));
            assessment.verdict == Verdict::Rollback
        });
        assert_eq!(found.is_some(), bad == 1, "{bad} {found:?}");
    }
}

/// Four rates and a latency with the default buckets of Prometheus, an hour of past, and some hundred looks at
/// busy traffic.
#[test]
fn a_memory_of_five_metrics_takes_two_kib_at_most() {
    let rates = ["errors", "timeouts", "declined_payments", "cache_misses"];
    let policy = rates.iter().fold(Policy::builder(), |policy, name| {
        policy.with_metric(lenient(name))
    });
    let long = Limits::fail(std::time::Duration::from_secs(60));
    let policy = policy.with_metric(Metric::new("p99", p99(), long));
    takes_at_most(2_048, rates, policy.clone());
    // Proof needs a second wealth.
    takes_at_most(2_048 + 512, rates, confirmed(policy));
}

fn takes_at_most(bytes: usize, rates: [&str; 4], policy: PolicyBuilder) {
    let mut watcher = Watcher::new(policy);
    let bounds = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];
    let latency = |minute: u64, requests: u64| {
        let parts = [31, 112, 248, 153, 39, 11, 4, 1, 1, 1, 0, 0];
        let counts = parts.map(|part| requests * part / 600 + minute % 7);
        Sample::Histogram(Histogram::new(bounds, counts).unwrap())
    };
    let rate =
        |minute: u64, requests: u64| sample((requests / 200 + minute * 7_919 % 31, requests));
    let (few, many) = (123_456, 2_345_678);
    let mut largest = 0;
    for minute in 0..400 {
        let past = |of: &dyn Fn(u64, u64) -> Sample| match minute {
            0 => (0..60).map(|minute| of(minute, many)).collect(),
            _ => Vec::new(),
        };
        let mut readings: Vec<_> = rates
            .iter()
            .map(|name| {
                let (canary, stable) = (rate(minute, few), rate(minute + 3, many));
                Reading::new(*name, canary, stable).with_history(past(&rate))
            })
            .collect();
        let (canary, stable) = (latency(minute, few), latency(minute + 3, many));
        readings.push(Reading::new("p99", canary, stable).with_history(past(&latency)));
        watcher.stage = minute as usize / 70;
        watcher.look(&readings);
        let json = serde_json::to_string(&watcher.memory).unwrap();
        largest = largest.max(json.len());
        assert!(json.len() <= bytes, "{} bytes: {json}", json.len());
    }
    println!("at most {largest} bytes");
}

/// Without anything to compare it with, a canary takes half of that.
#[test]
fn a_memory_without_a_comparison_is_smaller() {
    let mut watcher = Watcher::new(policy());
    let count = sample((123_456, 987_654_321));
    let slow = Sample::Quantile {
        value: 0.123_456_789,
        count: 987_654_321,
    };
    for _ in 0..70 {
        watcher.look(&alike(&[
            count.clone(),
            slow.clone(),
            Sample::Gauge(0.5),
            count.clone(),
            Sample::NoData,
        ]));
    }
    let json = serde_json::to_string(&watcher.memory).unwrap();
    assert!(json.len() < 1_024, "{} bytes: {json}", json.len());
}
