//! What holds for any evidence, property by property, and the tests that show it.
//!
//! | in words | test |
//! |---|---|
//! | scores lie between 0 and 100, and their ends in order | `extremes::any_evidence_is_judged` |
//! | what is worse never has a better score | `score::worse_never_has_a_better_score` |
//! | what is worse never has a better verdict, in the same state | `decision::worse_never_has_a_better_verdict` |
//! | the same evidence gives the same assessment | asserted at every look of every test, by `Watcher` |
//! | the order of metrics and readings means nothing | `decision::order_means_nothing` |
//! | only the proportions of weights count | `score::weights_may_be_scaled` |
//! | the unit of a value means nothing | `score::units_may_be_scaled` |
//! | without a required metric there is no advancing | `decision::what_is_required_and_missing_never_advances` |
//! | what is missing could be anything | `score::missing_is_an_interval` |
//! | no number in any output is none | `extremes::any_evidence_is_judged`, `extremes::no_counts_are_too_extreme` |
//! | nothing at all never rolls back | `decision::absence_never_rolls_back` |
//! | once convicted, always convicted | `conviction::once_convicted_always_convicted` |
//! | what stays the same never goes from one verdict to its opposite and back | `decision::constant_evidence_never_flips`, `decision::constant_evidence_is_never_forgiven` |
//! | no advancing before so many good looks | `decision::no_haste` |
//! | one bad request more of a side speaks against it | `conviction::one_bad_request_more_speaks_against_its_side`; `sequential::odds` has the likelihood's |
//! | without noise an interval may be split | unit test of `sequential::odds` |
//! | looks without a bad request change nothing | `evidence::quiet_looks_change_nothing` |
//! | noise that vanishes is no noise | unit test of `sequential::odds` |
//! | one look raises the evidence by 20 at most | `conviction::no_single_look_convicts` |
//! | a metric that says nothing draws the evidence towards 1 | `evidence::a_metric_that_says_nothing_draws_the_evidence_to_one` |
//! | on average a healthy canary gains nothing | unit test of `sequential::odds` |
//! | so many healthy canaries are sent back, and no more | `promise::healthy_canaries_are_left_alone`, `promise::bad_canaries_are_convicted` |
//! | saving and restoring change nothing | `decision::restarts_change_nothing` |
//! | hearing everything twice changes nothing | `decision::repeats_change_nothing`, `evidence::what_cannot_be_counted_tells_nothing` |
//! | one critical failure caps the score | `score::a_critical_failure_caps_the_score` |

mod conviction;
mod decision;
mod evidence;
mod extremes;
mod promise;
mod score;

use codedance_core::decision::{
    ArgoConfig, ClassicConfig, FlaggerConfig, JudgeConfig, KayentaConfig, Limits, Metric, Policy,
    PolicyBuilder,
};
use codedance_core::metrics::{Histogram, Reading, Sample, Signal};
use proptest::prelude::*;

use super::support::{Watcher, cpu, percent, slow};

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

/// The same with the judges of other tools looking on, at every look.
fn watched_by_all(policy: PolicyBuilder) -> PolicyBuilder {
    policy
        .with_onlooker(JudgeConfig::Kayenta(
            KayentaConfig::default().with_interval(1),
        ))
        .with_onlooker(JudgeConfig::Flagger(
            FlaggerConfig::default().with_threshold(3),
        ))
        .with_onlooker(JudgeConfig::Argo(ArgoConfig::default()))
}

fn classic() -> PolicyBuilder {
    policy().with_judge(JudgeConfig::Classic(ClassicConfig::default()))
}

/// Any sample at all, shaped right or wrong.
fn any_sample() -> impl Strategy<Value = Sample> {
    let number = prop_oneof![
        any::<f64>(),
        0.0..2.0,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY)
    ];
    let count = prop_oneof![0..200_u64, any::<u64>(), Just(1 << 53), Just(u64::MAX)];
    prop_oneof![
        Just(Sample::NoData),
        (count.clone(), count.clone()).prop_map(|(bad, total)| Sample::Counts { bad, total }),
        (number.clone(), count.clone())
            .prop_map(|(value, count)| Sample::Quantile { value, count }),
        prop::array::uniform3(count).prop_map(histogram),
        number.prop_map(Sample::Gauge),
    ]
}

fn histogram(counts: [u64; 3]) -> Sample {
    Sample::Histogram(Histogram::new([0.1, 1.0], counts).unwrap())
}

/// A sample of the shape that the metric wants, or none, from a side with at most `most` requests.
fn fitting(index: usize, most: u64) -> BoxedStrategy<Sample> {
    let rate = (0..=most / 20, 1..most).prop_map(|(bad, total)| Sample::Counts {
        bad: bad.min(total),
        total,
    });
    let slow = prop_oneof![
        (0.0..1.5, 0..most).prop_map(|(value, count)| Sample::Quantile { value, count }),
        prop::array::uniform3(0..most).prop_map(histogram),
    ];
    let sample = match index {
        0 | 3 => rate.boxed(),
        1 => slow.boxed(),
        2 => (0.0..1.2).prop_map(Sample::Gauge).boxed(),
        _ => (0.0..15.0).prop_map(Sample::Gauge).boxed(),
    };
    prop_oneof![1 => Just(Sample::NoData), 6 => sample].boxed()
}

/// Both sides of a metric, and sometimes the stable one's past.
fn fitting_reading(index: usize) -> impl Strategy<Value = Reading> {
    let past = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(fitting(index, 2_000), 1..4)
            .prop_map(|some| some.into_iter().cycle().take(30).collect()),
    ];
    let sides = (fitting(index, 100), fitting(index, 2_000), past);
    sides.prop_map(move |(canary, stable, past)| {
        Reading::new(NAMES[index], canary, stable).with_history(past)
    })
}

fn fitting_look() -> impl Strategy<Value = Vec<Reading>> {
    let all = (
        fitting_reading(0),
        fitting_reading(1),
        fitting_reading(2),
        fitting_reading(3),
        fitting_reading(4),
    );
    all.prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

/// What was seen so far, look by look, and whether a stage began with the look.
fn history() -> impl Strategy<Value = Vec<(bool, Vec<Reading>)>> {
    prop::collection::vec((prop::bool::weighted(0.2), fitting_look()), 0..12)
}

/// A watcher that has seen this history.
fn after(policy: PolicyBuilder, history: &[(bool, Vec<Reading>)]) -> Watcher {
    let mut watcher = Watcher::new(policy);
    for (new_stage, readings) in history {
        watcher.stage += usize::from(*new_stage);
        watcher.look(readings);
    }
    watcher
}

/// Both sides show the same.
fn alike(samples: &[Sample]) -> Vec<Reading> {
    let named = NAMES.iter().zip(samples);
    named
        .map(|(name, sample)| Reading::new(*name, sample.clone(), sample.clone()))
        .collect()
}

/// One step worse, in the same shape; `None` if nothing was seen.
fn worse(sample: &Sample, by: f64) -> Option<Sample> {
    let requests = (by * 40.0) as u64;
    match sample {
        Sample::Counts { bad, total } => Some(Sample::Counts {
            bad: (bad + requests).min(*total),
            total: *total,
        }),
        Sample::Quantile { value, count } => Some(Sample::Quantile {
            value: value + by,
            count: *count,
        }),
        Sample::Histogram(before) => {
            let [fast, fair, slow] = before.counts().try_into().ok()?;
            let moved = requests.min(fast);
            Some(histogram([fast - moved, fair, slow + moved]))
        }
        Sample::Gauge(value) => Some(Sample::Gauge(value + by)),
        _ => None,
    }
}
