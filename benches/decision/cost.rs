//! What a look costs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use codedance::decision::{
    Evidence, Judge, JudgeConfig, Limits, Memory, Metric, Policy, PolicyBuilder, ThresholdsConfig,
};
use codedance::metrics::{Quantile, Reading, Sample, Signal, Window};
use codedance::{Percent, Timestamp};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

use crate::latency::Latency;
use crate::traffic::{Counts, Environment, Errors, Regression, Rollout, Side, World};

/// How many rounds there are, and how many rollouts in each.
const ROUNDS: usize = 20;
const ROLLOUTS: usize = 20;

/// How many of the metrics are error rates; the last one is a latency.
const RATES: usize = 4;

/// How long one look at four error rates and one latency takes, in nanoseconds, in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Look {
    /// By the default judge.
    pub(crate) all: u64,
    /// By the same judge without the comparison over all looks together.
    pub(crate) limits_alone: u64,
}

/// A figure for each round. The first look of a rollout, which brings the past, is not among them.
pub(crate) fn look(seed: u64) -> Vec<Look> {
    let looks = looks(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let limits = ThresholdsConfig::default().with_sequential(None);
    let limits = policy().with_judge(JudgeConfig::Thresholds(limits));
    let [all, limits] = [policy(), limits].map(|policy| {
        let policy = policy.build().expect("a policy in this bench");
        policy.judge(&[])
    });
    let round = |_| Look {
        all: time(&*all, &looks),
        limits_alone: time(&*limits, &looks),
    };
    (0..ROUNDS).map(round).collect()
}

/// The median time of a look, in nanoseconds: what else the machine does falls on few of them.
fn time(judge: &dyn Judge, looks: &[Vec<Reading>]) -> u64 {
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
                times.push(took.as_nanos() as u64);
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
fn looks(rng: &mut Xoshiro256PlusPlus) -> Vec<Vec<Reading>> {
    const TRAFFIC: f64 = 6_000.0;
    let errors = Errors::<RATES> {
        traffic: TRAFFIC,
        base: 0.005,
        environment: Environment::Stationary,
        regression: Regression::NONE,
    };
    let latency = Latency {
        traffic: TRAFFIC,
        noise: 0.0,
        slower: 1.0,
        tail: 0.0,
    };
    let errors: Rollout<[Counts; RATES]> = errors.rollout(rng);
    let latency = latency.rollout(rng);
    let minutes = errors.minutes.iter().zip(&latency.minutes);
    let mut looks: Vec<Vec<Reading>> = minutes
        .map(|(errors, latency)| {
            let canary = errors.canary.samples().chain(latency.canary.samples());
            let stable = errors.stable.samples().chain(latency.stable.samples());
            let sides = canary.zip(stable).enumerate();
            sides
                .map(|(index, (canary, stable))| Reading::new(name(index), canary, stable))
                .collect()
        })
        .collect();
    for (index, reading) in looks.iter_mut().take(1).flatten().enumerate() {
        let past = errors.past.iter().zip(&latency.past);
        let samples = |(errors, latency): (&[Counts; RATES], &_)| -> Option<Sample> {
            errors.samples().chain(Side::samples(latency)).nth(index)
        };
        reading.history = past.filter_map(samples).collect();
    }
    looks
}
