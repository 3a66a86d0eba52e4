//! What holds for any evidence.

use codedance_core::decision::{
    Assessment, ClassicConfig, Evidence, JudgeConfig, Limits, Memory, Metric, Policy,
    PolicyBuilder, Score, ThresholdsConfig, Verdict,
};
use codedance_core::metrics::{Histogram, Reading, Sample, Signal, Window};
use codedance_core::workload::GroupStatus;
use codedance_core::{Percent, Timestamp};
use proptest::prelude::*;

use super::support::{Watcher, cpu, errors, p99, percent, slow};

/// Five metrics: the judge's whole repertoire.
fn policy() -> PolicyBuilder {
    // Room between `warn` and `fail`, so that a rate may pass with any score from 50 to 100.
    let limits = Limits::fail(percent(3.0))
        .with_warn(percent(0.1))
        .with_crit(percent(20.0));
    Policy::builder()
        .with_metric(Metric::new("errors", Signal::ErrorRate, limits))
        .with_metric(slow().critical())
        .with_metric(cpu().with_weight(0.5))
        .with_metric(
            Metric::new("good", Signal::SuccessRate, Limits::fail(percent(95.0))).optional(),
        )
        .with_metric(Metric::new(
            "range",
            Signal::Query("range".to_owned()),
            Limits::fail(10.0).with_floor(2.0),
        ))
}

const NAMES: [&str; 5] = ["errors", "p99", "cpu", "good", "range"];

/// Any sample at all, shaped right or wrong.
fn any_sample() -> impl Strategy<Value = Sample> {
    let number = prop_oneof![
        any::<f64>(),
        0.0..2.0,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY)
    ];
    let count = prop_oneof![0..200_u64, any::<u64>(), Just(u64::MAX)];
    prop_oneof![
        Just(Sample::NoData),
        (count.clone(), count.clone()).prop_map(|(bad, total)| Sample::Counts { bad, total }),
        (number.clone(), count).prop_map(|(value, count)| Sample::Quantile { value, count }),
        any::<[u64; 3]>().prop_map(histogram),
        number.prop_map(Sample::Gauge),
    ]
}

fn histogram(counts: [u64; 3]) -> Sample {
    Sample::Histogram(Histogram::new([0.1, 1.0], counts).unwrap())
}

/// A sample of the shape that the metric wants, or none.
fn fitting(index: usize) -> BoxedStrategy<Sample> {
    let rate = (0..4_u64, 1..400_u64).prop_map(|(bad, total)| Sample::Counts {
        bad: bad.min(total),
        total,
    });
    let slow = prop_oneof![
        (0.0..1.5, 0..200_u64).prop_map(|(value, count)| Sample::Quantile { value, count }),
        prop::array::uniform3(0..200_u64).prop_map(histogram),
    ];
    let sample = match index {
        0 | 3 => rate.boxed(),
        1 => slow.boxed(),
        2 => (0.0..1.2).prop_map(Sample::Gauge).boxed(),
        _ => (0.0..15.0).prop_map(Sample::Gauge).boxed(),
    };
    prop_oneof![1 => Just(Sample::NoData), 6 => sample].boxed()
}

fn readings(samples: &[Sample]) -> Vec<Reading> {
    let named = NAMES.iter().zip(samples);
    named
        .map(|(name, sample)| Reading::new(*name, sample.clone(), sample.clone()))
        .collect()
}

fn fitting_look() -> impl Strategy<Value = Vec<Reading>> {
    let samples = [fitting(0), fitting(1), fitting(2), fitting(3), fitting(4)];
    samples.prop_map(|samples| readings(&samples))
}

fn history() -> impl Strategy<Value = Vec<Vec<Reading>>> {
    prop::collection::vec(fitting_look(), 0..12)
}

/// A watcher that has seen this history.
fn after(policy: PolicyBuilder, history: &[Vec<Reading>]) -> Watcher {
    let mut watcher = Watcher::new(policy);
    for readings in history {
        watcher.look(readings);
    }
    watcher
}

fn classic() -> PolicyBuilder {
    policy().with_judge(JudgeConfig::Classic(ClassicConfig::default()))
}

/// One step worse, in the same shape; `None` if nothing was seen.
fn worse(sample: &Sample, by: f64) -> Option<Sample> {
    match *sample {
        Sample::Counts { bad, total } => Some(Sample::Counts {
            bad: (bad + (by * 40.0) as u64).min(total),
            total,
        }),
        Sample::Quantile { value, count } => Some(Sample::Quantile {
            value: value + by,
            count,
        }),
        Sample::Gauge(value) => Some(Sample::Gauge(value + by)),
        _ => None,
    }
}

proptest! {
    /// 1, 10: every score lies in order between 0 and 100, and no number is none.
    #[test]
    fn any_evidence_is_judged(
        looks in prop::collection::vec((prop::collection::vec(any_sample(), 0..6), any::<i64>()), 1..8),
        counts in any::<(u32, u32, u32, u32)>(),
        weight in 0..=10_000_u16,
        use_classic in any::<bool>(),
    ) {
        let policy = if use_classic { classic() } else { policy() };
        let mut watcher = Watcher::new(policy);
        for (samples, age) in looks {
            let mut readings = readings(&samples);
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
        ] {
            let mut watcher = Watcher::new(Policy::builder().with_metric(errors()));
            watcher.memory = Memory::of(&value);
            let counts = Sample::Counts { bad: 0, total: 100 };
            watcher.look(&[Reading::new("errors", counts, Sample::NoData)]);
        }
    }

    /// 2, 3: what is worse never raises the score nor improves the decision.
    #[test]
    fn worse_is_never_better(
        history in history(),
        look in fitting_look(),
        index in 0..4_usize,
        by in 0.0..2.0_f64,
    ) {
        let Some(sample) = worse(&look[index].canary, by) else { return Ok(()) };
        let mut spoiled = look.clone();
        spoiled[index].canary = sample;
        let better = after(policy(), &history).look(&look);
        let worse = after(policy(), &history).look(&spoiled);
        prop_assert!(worse.score.low <= better.score.low, "{} {}", worse.score, better.score);
        prop_assert!(worse.score.high <= better.score.high, "{} {}", worse.score, better.score);
        prop_assert!(worse.verdict >= better.verdict, "{worse:?}\n{better:?}");
    }

    /// 5: the order of the metrics and of the readings means nothing.
    #[test]
    fn order_means_nothing(history in history(), look in fitting_look(), turn in 1..5_usize) {
        let mut metrics = policy().build().unwrap().metrics().to_vec();
        metrics.rotate_left(turn);
        let turned = metrics.into_iter().fold(Policy::builder(), PolicyBuilder::with_metric);
        let mut plain = after(policy(), &history);
        let mut other = after(turned, &history);
        let mut shuffled = look.clone();
        shuffled.reverse();
        let (a, b) = (plain.look(&look), other.look(&shuffled));
        prop_assert_eq!(a.verdict, b.verdict);
        prop_assert!((a.score.low.points() - b.score.low.points()).abs() < 0.011);
        prop_assert!((a.score.high.points() - b.score.high.points()).abs() < 0.011);
    }

    /// 6: only the proportions of weights count.
    #[test]
    fn weights_may_be_scaled(history in history(), look in fitting_look(), factor in 1e-3..1e3_f64) {
        let scaled = policy().build().unwrap().metrics().iter().fold(Policy::builder(), |p, m| {
            p.with_metric(m.clone().with_weight(m.weight() * factor))
        });
        let (a, b) = (after(policy(), &history).look(&look), after(scaled, &history).look(&look));
        prop_assert_eq!(a.verdict, b.verdict);
        prop_assert!((a.score.low.points() - b.score.low.points()).abs() < 0.011);
    }

    /// 7: the unit of a query means nothing.
    #[test]
    fn units_may_be_scaled(value in 0.0..2.0_f64, power in -9..9_i32) {
        let factor = 2.0_f64.powi(power);
        let look = |factor: f64| {
            let limits = Limits::fail(0.8 * factor).with_warn(0.6 * factor).with_crit(factor);
            let metric = Metric::new("cpu", Signal::Query("q".to_owned()), limits);
            let mut watcher = Watcher::new(Policy::builder().with_metric(metric));
            let sample = Sample::Gauge(value * factor);
            watcher.look(&[Reading::new("cpu", sample, Sample::NoData)])
        };
        let (a, b) = (look(1.0), look(factor));
        prop_assert_eq!((a.verdict, a.score), (b.verdict, b.score));
    }

    /// 8: without a required metric there is no advancing, whatever came before.
    #[test]
    fn what_is_required_and_missing_never_advances(
        history in history(),
        look in fitting_look(),
        index in prop::sample::select(vec![0_usize, 1, 2, 4]),
        how in 0..4,
    ) {
        let mut watcher = after(policy(), &history);
        let mut look = look;
        match how {
            0 => look[index].canary = Sample::NoData,
            1 => look[index].canary = Sample::Gauge(f64::NAN),
            2 => look[index].at = Some(Timestamp::EPOCH),
            _ => drop(look.remove(index)),
        }
        watcher.minute += 10;
        prop_assert_ne!(watcher.look(&look).verdict, Verdict::Advance);
    }

    /// 9: what is missing could be anything.
    #[test]
    fn missing_is_an_interval(look in fitting_look(), index in 0..5_usize) {
        let mut without = look.clone();
        without[index].canary = Sample::NoData;
        let known = after(policy(), &[]).look(&look).score;
        let unknown = after(policy(), &[]).look(&without).score;
        prop_assert!(unknown.low <= known.low && known.high <= unknown.high, "{known} {unknown}");
    }

    /// 11: nothing at all never rolls back.
    #[test]
    fn absence_never_rolls_back(kept in prop::collection::vec(any::<bool>(), 1..40)) {
        for policy in [policy(), classic()] {
            let mut watcher = Watcher::new(policy);
            for kept in &kept {
                let look = if *kept { readings(&[const { Sample::NoData }; 5]) } else { Vec::new() };
                prop_assert_eq!(watcher.look(&look).verdict, Verdict::Hold);
            }
        }
    }

    /// 13: what stays the same is not judged now this way, now that way.
    #[test]
    fn constant_evidence_never_flips(look in fitting_look()) {
        let mut watcher = Watcher::new(policy());
        let verdicts: Vec<_> = (0..60).map(|_| watcher.look(&look).verdict).collect();
        let both = verdicts.contains(&Verdict::Advance) && verdicts.contains(&Verdict::Rollback);
        prop_assert!(!both, "{verdicts:?}");
    }

    /// 14: no advancing before so many good looks.
    #[test]
    fn no_haste(looks in prop::collection::vec(fitting_look(), 1..30), need in 1..6_u32) {
        let config = ThresholdsConfig::default().with_good_in_row(need);
        let mut watcher = Watcher::new(policy().with_judge(JudgeConfig::Thresholds(config)));
        for look in &looks[..looks.len().min(need as usize - 1)] {
            prop_assert_ne!(watcher.look(look).verdict, Verdict::Advance);
        }
    }

    /// 23, 24: saving, restoring and hearing everything twice changes nothing.
    #[test]
    fn repeats_and_restarts_change_nothing(looks in history()) {
        let judge = policy().build().unwrap().judge(&[]);
        let mut kept = Memory::default();
        let mut watcher = Watcher::new(policy());
        for (index, look) in looks.iter().enumerate() {
            let at = |minute: usize| Timestamp::from_millis(minute as i64 * 60_000);
            let window = Window::new(at(index + 1), at(index + 2));
            let mut evidence = Evidence::new(window, look, &kept);
            evidence.weight = Percent::new(10).unwrap();
            let straight: Assessment = judge.assess(&evidence);
            // The watcher's memory goes through JSON.
            let first = watcher.look(look);
            prop_assert_eq!(&first, &straight);
            prop_assert_eq!(&watcher.look_again(look, |_| {}), &straight);
            kept = straight.memory;
        }
    }

    /// 25: one critical failure caps the score, whatever the weights.
    #[test]
    fn a_critical_failure_caps_the_score(weights in prop::array::uniform4(1e-6..1e6_f64), seconds in 0.51..9.0_f64) {
        let metrics = [errors(), cpu(), slow().critical(), Metric::new("more", p99(), Limits::fail(std::time::Duration::from_secs(1)))];
        let policy = metrics.into_iter().zip(weights).fold(Policy::builder(), |p, (metric, weight)| {
            p.with_metric(metric.with_weight(weight))
        });
        let quantile = |value| Sample::Quantile { value, count: 100 };
        let assessment = Watcher::new(policy).look(&[
            Reading::new("errors", Sample::Counts { bad: 0, total: 100 }, Sample::NoData),
            Reading::new("cpu", Sample::Gauge(0.0), Sample::NoData),
            Reading::new("p99", quantile(seconds), Sample::NoData),
            Reading::new("more", quantile(0.0), Sample::NoData),
        ]);
        prop_assert!(assessment.score.high <= Score::new(49.0));
        if seconds >= 1.0 {
            prop_assert_eq!(assessment.score.high, Score::WORST);
        }
    }
}

#[test]
fn a_memory_of_five_metrics_is_small() {
    let mut watcher = Watcher::new(policy());
    let count = Sample::Counts {
        bad: 123_456,
        total: 987_654_321,
    };
    let slow = Sample::Quantile {
        value: 0.123_456_789,
        count: 987_654_321,
    };
    for _ in 0..70 {
        watcher.look(&readings(&[
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
