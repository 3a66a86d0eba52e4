//! What both revisions get to do, minute by minute, and what the stable one did in the hour before.
//!
//! The weight goes from 5 to 10, 25 and 50 %, a quarter of an hour each. How many requests a side gets is
//! drawn from a Poisson distribution, and how many of them end badly from a binomial one, so a judge sees
//! the noise that counts have by nature, beside whatever the environment adds.

use std::f64::consts::PI;

use codedance::Percent;
use codedance::metrics::{Sample, Signal};
use rand::Rng;
use rand_distr::{Binomial, Distribution, Gamma, LogNormal, Poisson};

use crate::judges::Judge;
use crate::wealth::Bets;

/// How long a rollout is watched, in minutes; the past is as long.
pub(crate) const MINUTES: usize = 60;

/// How long each weight lasts, in minutes.
const STAGE: usize = 15;

/// The canary's share of the traffic in each stage, in percent.
const WEIGHTS: [u32; 4] = [5, 10, 25, 50];

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) bad: u64,
    pub(crate) total: u64,
}

impl Counts {
    /// The share that is bad; NaN of none.
    pub(crate) fn share(self) -> f64 {
        self.bad as f64 / self.total as f64
    }
}

/// What one side showed in a minute, in the terms of every kind of judge.
pub(crate) trait Side: Clone + 'static {
    /// How many requests there were.
    fn requests(&self) -> u64;

    /// What tests on counts compare: bad requests of all.
    fn counts(&self) -> impl Iterator<Item = Counts>;

    /// What tests on series compare: a value a minute each, NaN without traffic.
    fn series(&self) -> impl Iterator<Item = f64>;

    /// What Codedance's judges read, in the order of the policy's metrics.
    fn samples(&self) -> impl Iterator<Item = Sample>;
}

/// One minute of a rollout.
#[derive(Clone, Debug)]
pub(crate) struct Minute<S> {
    /// From 0.
    pub(crate) index: usize,
    /// What the canary is given of the traffic.
    pub(crate) weight: Percent,
    pub(crate) canary: S,
    pub(crate) stable: S,
}

impl<S> Minute<S> {
    /// The share of the traffic that the canary is given, as a number from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        f64::from(self.weight.basis_points()) / 1e4
    }

    /// The stage that it belongs to, from 0.
    pub(crate) const fn stage(&self) -> usize {
        self.index / STAGE
    }

    /// Whether a stage begins with it, other than the first.
    pub(crate) const fn begins_later_stage(&self) -> bool {
        self.index > 0 && self.index.is_multiple_of(STAGE)
    }
}

impl<S: Side> Rollout<S> {
    /// How many requests the canary has got when this minute is over.
    pub(crate) fn canary_requests(&self, index: usize) -> u64 {
        let minutes = self.minutes.iter().take(index + 1);
        minutes.map(|minute| minute.canary.requests()).sum()
    }
}

/// A rollout as it would go if nobody stopped it.
#[derive(Clone, Debug)]
pub(crate) struct Rollout<S> {
    /// The stable revision's minutes before it, the oldest first.
    pub(crate) past: Vec<S>,
    pub(crate) minutes: Vec<Minute<S>>,
}

/// Something that rollouts can be drawn from.
pub(crate) trait World: Sync {
    type Side: Side;

    /// Who judges it.
    const JUDGES: &[Judge];

    /// The bets of the e-process that expects noise.
    const ROBUST: Bets;

    /// What a policy measures of it, in the order of [`Side::samples`].
    fn signals() -> Vec<Signal>;

    /// One minute of the stable revision before the rollout.
    fn before(&self, rng: &mut impl Rng) -> Self::Side;

    /// Both sides' minute of a rollout: the canary's and the stable one's, in this order.
    fn minute(&self, index: usize, share: f64, rng: &mut impl Rng) -> (Self::Side, Self::Side);

    /// Draws a rollout.
    fn rollout(&self, rng: &mut impl Rng) -> Rollout<Self::Side> {
        let past = (0..MINUTES).map(|_| self.before(rng)).collect();
        let minutes = (0..MINUTES).map(|index| {
            let percent = WEIGHTS[index / STAGE];
            let (canary, stable) = self.minute(index, f64::from(percent) / 100.0, rng);
            let weight = Percent::new(percent).expect("a share of 100 %");
            Minute {
                index,
                weight,
                canary,
                stable,
            }
        });
        Rollout {
            past,
            minutes: minutes.collect(),
        }
    }
}

/// What is not the canary's fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Environment {
    /// Nothing changes.
    Stationary,
    /// Errors rise to three times as many in both arms, while traffic swells by half and ebbs again.
    Drift,
    /// Minutes differ, in both arms alike: lognormal, σ 0.5.
    SharedNoise,
    /// Twenty times the errors in both arms, from minute 20 to 25.
    Incident,
    /// Minutes differ, in each arm for itself: gamma with this coefficient of variation.
    ArmNoise(f64),
    /// The canary has this many times the errors, which nobody minds.
    Offset(f64),
}

/// Error rates: of `N` metrics of the same traffic, whose errors come independently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errors<const N: usize> {
    /// Requests a minute, of both sides together.
    pub(crate) traffic: f64,
    /// The share of them that ends badly.
    pub(crate) base: f64,
    pub(crate) environment: Environment,
    pub(crate) regression: Regression,
}

/// How much worse the canary is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Regression {
    /// By how much its errors are multiplied.
    pub(crate) ratio: f64,
    /// From which minute on.
    pub(crate) from: usize,
    /// In how many of the metrics.
    pub(crate) metrics: usize,
}

impl Regression {
    /// A healthy canary.
    pub(crate) const NONE: Self = Self::of(1.0);

    /// In one metric, from the beginning.
    pub(crate) const fn of(ratio: f64) -> Self {
        Self {
            ratio,
            from: 0,
            metrics: 1,
        }
    }
}

impl<const N: usize> World for Errors<N> {
    type Side = [Counts; N];

    const JUDGES: &[Judge] = if N == 1 {
        Judge::OF_ERRORS
    } else {
        Judge::OF_METRICS
    };
    const ROBUST: Bets = Bets::ROBUST;

    fn signals() -> Vec<Signal> {
        vec![Signal::ErrorRate; N]
    }

    fn before(&self, rng: &mut impl Rng) -> Self::Side {
        let total = requests(self.traffic, rng);
        let level = self.base * self.shared(rng);
        std::array::from_fn(|_| bad(total, level * self.own(rng), rng))
    }

    fn minute(&self, index: usize, share: f64, rng: &mut impl Rng) -> (Self::Side, Self::Side) {
        let (mut traffic, mut level) = (self.traffic, self.base * self.shared(rng));
        if self.environment == Environment::Drift {
            let gone = index as f64 / (MINUTES - 1) as f64;
            level *= 1.0 + 2.0 * gone;
            traffic *= 1.0 + 0.5 * (PI * gone).sin();
        }
        if self.environment == Environment::Incident && (20..25).contains(&index) {
            level *= 20.0;
        }
        let mut worse = 1.0;
        if let Environment::Offset(offset) = self.environment {
            worse = offset;
        }
        let canary = requests(traffic * share, rng);
        let stable = requests(traffic * (1.0 - share), rng);
        let sick = self.regression;
        let canary = std::array::from_fn(|metric| {
            let is_sick = metric < sick.metrics && index >= sick.from;
            let ratio = if is_sick { sick.ratio } else { 1.0 };
            bad(canary, level * worse * ratio * self.own(rng), rng)
        });
        let stable = std::array::from_fn(|_| bad(stable, level * self.own(rng), rng));
        (canary, stable)
    }
}

impl<const N: usize> Errors<N> {
    /// What this minute does to both arms.
    fn shared(&self, rng: &mut impl Rng) -> f64 {
        match self.environment {
            Environment::SharedNoise => lognormal_of_mean_one(0.5, rng),
            _ => 1.0,
        }
    }

    /// What this minute does to one arm.
    fn own(&self, rng: &mut impl Rng) -> f64 {
        match self.environment {
            Environment::ArmNoise(cv) => gamma_of_mean_one(cv, rng),
            _ => 1.0,
        }
    }
}

impl<const N: usize> Side for [Counts; N] {
    fn requests(&self) -> u64 {
        self.first().map_or(0, |counts| counts.total)
    }

    fn counts(&self) -> impl Iterator<Item = Counts> {
        self.iter().copied()
    }

    fn series(&self) -> impl Iterator<Item = f64> {
        self.iter().map(|counts| counts.share())
    }

    fn samples(&self) -> impl Iterator<Item = Sample> {
        self.iter().map(|counts| match counts.total {
            0 => Sample::NoData,
            total => Sample::Counts {
                bad: counts.bad,
                total,
            },
        })
    }
}

/// How many requests come where so many are expected.
pub(crate) fn requests(expected: f64, rng: &mut impl Rng) -> u64 {
    draw(Poisson::new(expected), rng) as u64
}

/// How many of `total` it is, where each is one with chance `share`.
pub(crate) fn among(total: u64, share: f64, rng: &mut impl Rng) -> u64 {
    draw(Binomial::new(total, share.clamp(0.0, 1.0)), rng)
}

/// A factor that is 1 on average, and whose logarithm spreads by `sigma`.
fn lognormal_of_mean_one(sigma: f64, rng: &mut impl Rng) -> f64 {
    draw(LogNormal::new(-sigma * sigma / 2.0, sigma), rng)
}

/// A factor that is 1 on average and spreads by `cv`.
fn gamma_of_mean_one(cv: f64, rng: &mut impl Rng) -> f64 {
    let shape = 1.0 / (cv * cv);
    draw(Gamma::new(shape, 1.0 / shape), rng)
}

fn bad(total: u64, share: f64, rng: &mut impl Rng) -> Counts {
    Counts {
        bad: among(total, share, rng),
        total,
    }
}

/// Draws from a distribution whose parameters are in this bench.
pub(crate) fn draw<T, E: std::fmt::Debug>(
    distribution: Result<impl Distribution<T>, E>,
    rng: &mut impl Rng,
) -> T {
    distribution
        .expect("every parameter in this bench is in range")
        .sample(rng)
}
