//! What a look costs: `assess` by the default judge, its memory read and written.
//!
//! Four error rates and one latency, whose histogram is watched at four bounds, for an hour at 6,000 requests a
//! minute. `cargo bench -p codedance-core --bench look` prints the nanoseconds of a look, round by round; behind
//! `--`, a part of a figure's name leaves out the other one. The numbers that are judged are the same in every run,
//! so the instructions can be counted, too (`valgrind --tool=callgrind`).

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codedance_core::decision::{
    Evidence, Judge, JudgeConfig, Limits, Memory, Metric, Policy, PolicyBuilder, ThresholdsConfig,
};
use codedance_core::metrics::{Histogram, Quantile, Reading, Sample, Signal, Window};
use codedance_core::{Percent, Timestamp};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as Random;
use rand_distr::{Binomial, Distribution, LogNormal, Poisson};

/// How many rounds there are, and how many rollouts in each.
const ROUNDS: usize = 20;
const ROLLOUTS: usize = 20;

/// How many of the metrics are error rates; the last one is a latency.
const RATES: usize = 4;

/// The canary's share of the traffic, a quarter of an hour each.
const SHARES: [f64; 4] = [0.05, 0.1, 0.25, 0.5];
const MINUTES: usize = 60;

/// Requests a minute, of both sides together, and how many of them are bad.
const TRAFFIC: f64 = 6_000.0;
const ERRORS: f64 = 0.005;

/// The upper bounds of the buckets that the Prometheus clients have by default, in seconds.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The median of all latencies, and how far their logarithms spread.
const MEDIAN: f64 = 0.08;
const SIGMA: f64 = 0.6;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let looks = looks(&mut Random::seed_from_u64(4_242));
    let limits = ThresholdsConfig::default().with_sequential(None);
    let limits = policy().with_judge(JudgeConfig::Thresholds(limits));
    let judges = [("all", policy()), ("limits_alone", limits)];
    let judges: Vec<(&str, Arc<dyn Judge>)> = judges
        .into_iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)))
        .map(|(name, policy)| (name, policy.build().expect("a policy in this bench")))
        .map(|(name, policy)| (name, policy.judge(&[])))
        .collect();
    let rounds = (0..ROUNDS).map(|_| {
        let figures = judges.iter().map(|(name, judge)| {
            let nanoseconds = time(&**judge, &looks);
            format!("\"{name}\":{nanoseconds}")
        });
        format!("{{{}}}", figures.collect::<Vec<_>>().join(","))
    });
    let rounds = rounds.collect::<Vec<_>>().join(",");
    println!("{{\"look_ns\":[{rounds}]}}");
}

/// The median time of a look, in nanoseconds: what else the machine does falls on few of them. The first look of a
/// rollout, which brings the past, is not among them.
#[expect(
    clippy::disallowed_methods,
    reason = "the library has no clock; what it costs takes one to tell"
)]
fn time(judge: &dyn Judge, looks: &[Vec<Reading>]) -> u128 {
    let mut times = Vec::with_capacity(ROLLOUTS * looks.len());
    for _ in 0..ROLLOUTS {
        let mut memory = Memory::default();
        for (minute, readings) in looks.iter().enumerate() {
            let at = |minute: usize| Timestamp::from_millis(minute as i64 * 60_000);
            let window = Window::new(at(minute), at(minute + 1));
            let begun = Instant::now();
            let evidence = Evidence::new(window, readings, &memory);
            let assessment = black_box(judge.assess(black_box(&evidence)));
            let took = begun.elapsed();
            if minute > 0 {
                times.push(took.as_nanos());
            }
            memory = assessment.memory;
        }
    }
    let middle = times.len() / 2;
    *times.select_nth_unstable(middle).1
}

fn policy() -> PolicyBuilder {
    let errors = Limits::fail(Percent::new(1).expect("a share of 100 %"));
    let quantile = Quantile::new(0.99).expect("a share below 1");
    let time = Limits::fail(Duration::from_millis(500));
    let rates = (0..RATES).map(|index| Metric::new(name(index), Signal::ErrorRate, errors));
    let latency = Metric::new(name(RATES), Signal::Latency(quantile), time);
    let builder = Policy::builder().with_interval(Duration::from_secs(60));
    let metrics = rates.chain([latency]);
    metrics.fold(builder, PolicyBuilder::with_metric)
}

fn name(index: usize) -> String {
    format!("metric-{index}")
}

/// What a rollout's looks bring, the past with the first of them.
fn looks(random: &mut Random) -> Vec<Vec<Reading>> {
    let bounds: Arc<[f64]> = BOUNDS.into();
    let mut past: Vec<Vec<Sample>> = (0..=RATES)
        .map(|index| {
            let samples = (0..MINUTES).map(|_| sample(index, 1.0, &bounds, random));
            samples.collect()
        })
        .collect();
    (0..MINUTES)
        .map(|minute| {
            let share = SHARES[minute * SHARES.len() / MINUTES];
            let readings = (0..=RATES).map(|index| {
                let canary = sample(index, share, &bounds, random);
                let stable = sample(index, 1.0 - share, &bounds, random);
                let past = std::mem::take(&mut past[index]);
                Reading::new(name(index), canary, stable).with_history(past)
            });
            readings.collect()
        })
        .collect()
}

/// What a side with this share of the traffic shows of a metric in a minute.
fn sample(index: usize, share: f64, bounds: &Arc<[f64]>, random: &mut Random) -> Sample {
    let requests = Poisson::new(TRAFFIC * share).expect("a rate above 0");
    let total = requests.sample(random) as u64;
    if index < RATES {
        let errors = Binomial::new(total, ERRORS).expect("a share of 100 %");
        let bad = errors.sample(random);
        return Sample::Counts { bad, total };
    }
    let latencies = LogNormal::new(MEDIAN.ln(), SIGMA).expect("a spread above 0");
    let mut counts = vec![0; bounds.len() + 1];
    for _ in 0..total {
        let seconds = latencies.sample(random);
        counts[bounds.partition_point(|bound| *bound < seconds)] += 1;
    }
    let histogram = Histogram::new(Arc::clone(bounds), counts);
    Sample::Histogram(histogram.expect("a count for each bound, and one more"))
}
