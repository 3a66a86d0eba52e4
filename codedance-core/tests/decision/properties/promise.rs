//! How often healthy canaries are sent back, and bad ones found: rollouts that are drawn at random.

use codedance_core::decision::{Limits, Metric, Policy, PolicyBuilder, Verdict};
use codedance_core::metrics::{Histogram, Reading, Sample};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Binomial, Distribution, Gamma};

use super::conviction::{one_rate, sample};
use crate::support::{Watcher, p99};

/// Four stages of so many looks each.
const LOOKS: usize = 10;

/// The canary's share of the traffic in each stage.
const WEIGHTS: [f64; 4] = [0.05, 0.1, 0.25, 0.5];

const ALPHA: f64 = 0.01;

/// What the world does while a canary is rolled out.
#[derive(Clone, Copy, Debug)]
struct Environment {
    name: &'static str,
    /// Requests at each look, of both sides together.
    traffic: f64,
    /// The stable side's share of bad requests at the beginning.
    share: f64,
    /// How many times as many they are at the end.
    drift: f64,
    /// How much the share of either side wanders by itself from look to look: the coefficient of
    /// variation of a gamma law.
    noise: f64,
}

const STEADY: Environment = Environment {
    name: "steady",
    traffic: 6_000.0,
    share: 0.005,
    drift: 1.0,
    noise: 0.0,
};

/// Each breaks tests that are not made for it.
const ENVIRONMENTS: [Environment; 5] = [
    STEADY,
    Environment {
        name: "little traffic",
        traffic: 600.0,
        ..STEADY
    },
    Environment {
        name: "errors that become three times as many",
        drift: 3.0,
        ..STEADY
    },
    Environment {
        name: "noise",
        noise: 0.2,
        ..STEADY
    },
    Environment {
        name: "noise that no counting hides",
        traffic: 60_000.0,
        noise: 0.35,
        ..STEADY
    },
];

type Random = Xoshiro256PlusPlus;

impl Environment {
    /// A share with this environment's noise.
    fn noisy(&self, share: f64, random: &mut Random) -> f64 {
        if self.noise == 0.0 {
            return share;
        }
        let square = self.noise * self.noise;
        let factor = Gamma::new(square.recip(), square).unwrap().sample(random);
        (share * factor).min(1.0)
    }

    fn errors(&self, requests: f64, share: f64, random: &mut Random) -> Sample {
        let (total, share) = (requests.round() as u64, self.noisy(share, random));
        let bad = Binomial::new(total, share).unwrap().sample(random);
        sample((bad, total))
    }

    /// The looks of one rollout whose canary has so many times the errors of the stable side.
    fn rollout(&self, times: f64, random: &mut Random) -> Vec<Reading> {
        let past = (0..60).map(|_| self.errors(self.traffic, self.share, random));
        let mut past = Some(past.collect());
        let looks = LOOKS * WEIGHTS.len();
        let look = |look: usize| {
            let weight = WEIGHTS[look / LOOKS];
            let grown = (self.drift - 1.0) * look as f64 / looks as f64;
            let share = self.share * (1.0 + grown);
            let canary = self.errors(self.traffic * weight, share * times, random);
            let stable = self.errors(self.traffic * (1.0 - weight), share, random);
            let past = past.take().unwrap_or_default();
            Reading::new("errors", canary, stable).with_history(past)
        };
        (0..looks).map(look).collect()
    }
}

/// Whether the judge sends the canary back at any look.
fn is_sent_back(policy: &Policy, looks: &[Reading]) -> bool {
    let mut watcher = Watcher::of(policy);
    looks.iter().enumerate().any(|(index, look)| {
        watcher.stage = index / LOOKS;
        watcher.glance(std::slice::from_ref(look)) == Verdict::Rollback
    })
}

/// How many of so many rollouts are sent back.
fn sent_back(
    policy: PolicyBuilder,
    rollouts: usize,
    seed: u64,
    draw: impl Fn(&mut Random) -> Vec<Reading>,
) -> usize {
    let policy = policy.build().unwrap();
    let mut random = Random::seed_from_u64(seed);
    let bad = |_: &usize| is_sent_back(&policy, &draw(&mut random));
    (0..rollouts).filter(bad).count()
}

/// As many as alpha allows, and three standard deviations more.
fn allowed(rollouts: usize) -> usize {
    let expected = rollouts as f64 * ALPHA;
    (expected + 3.0 * (expected * (1.0 - ALPHA)).sqrt()) as usize
}

#[test]
fn healthy_canaries_are_left_alone() {
    const ROLLOUTS: usize = 1_000;
    let mut all = 0;
    for (seed, environment) in (4_242..).zip(ENVIRONMENTS) {
        let found = sent_back(one_rate(), ROLLOUTS, seed, |random| {
            environment.rollout(1.0, random)
        });
        let name = environment.name;
        println!("{name}, seed {seed}: {found} of {ROLLOUTS} sent back");
        let allowed = allowed(ROLLOUTS);
        assert!(
            found <= allowed,
            "{name}, seed {seed}: {found} of {ROLLOUTS}"
        );
        all += found;
    }
    let rollouts = ROLLOUTS * ENVIRONMENTS.len();
    assert!(all <= allowed(rollouts), "{all} of {rollouts}");
}

/// Without this, a judge that never convicts would keep the promise best.
#[test]
fn bad_canaries_are_convicted() {
    const ROLLOUTS: usize = 100;
    for (seed, environment) in (777..).zip(ENVIRONMENTS) {
        let found = sent_back(one_rate(), ROLLOUTS, seed, |random| {
            environment.rollout(3.0, random)
        });
        let name = environment.name;
        println!("{name}, seed {seed}: {found} of {ROLLOUTS} sent back");
        assert!(
            found * 100 >= ROLLOUTS * 95,
            "{name}, seed {seed}: {found} of {ROLLOUTS}"
        );
    }
}

/// Latencies of a side that is so many times slower, as a histogram.
fn latencies(requests: u64, slower: f64, random: &mut Random) -> Sample {
    const BOUNDS: [f64; 11] = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];
    // What part of the requests takes longer: a log-logistic law with a median of 80 ms.
    let longer = |bound: f64| (1.0 + (bound / 0.08 / slower).powi(3)).recip();
    let (mut left, mut before) = (requests, 1.0);
    let mut counts: Vec<u64> = Vec::new();
    for bound in BOUNDS {
        let here = 1.0 - longer(bound) / before;
        let inside = Binomial::new(left, here).unwrap().sample(random);
        counts.push(inside);
        (left, before) = (left - inside, longer(bound));
    }
    counts.push(left);
    Sample::Histogram(Histogram::new(BOUNDS, counts).unwrap())
}

#[test]
fn so_it_is_with_latencies() {
    let long = Limits::fail(std::time::Duration::from_secs(60));
    let policy = || Policy::builder().with_metric(Metric::new("p99", p99(), long));
    let rollout = |slower: f64, random: &mut Random| -> Vec<Reading> {
        let mut past: Vec<Sample> = (0..60).map(|_| latencies(6_000, 1.0, random)).collect();
        let look = |look: usize| {
            let requests = (6_000.0 * WEIGHTS[look / LOOKS]) as u64;
            let canary = latencies(requests, slower, random);
            let stable = latencies(6_000 - requests, 1.0, random);
            Reading::new("p99", canary, stable).with_history(std::mem::take(&mut past))
        };
        (0..LOOKS * WEIGHTS.len()).map(look).collect()
    };
    let seed = 4_300;
    for (slower, rollouts, wanted) in [(1.0, 100, 0..=allowed(100)), (1.25, 20, 19..=20)] {
        let found = sent_back(policy(), rollouts, seed, |random| rollout(slower, random));
        println!("{slower} times as slow, seed {seed}: {found} of {rollouts} sent back");
        assert!(
            wanted.contains(&found),
            "seed {seed}: {found} of {rollouts}"
        );
    }
}
