//! Latencies as Prometheus clients count them: how many requests took how long, by buckets.
//!
//! A request takes 80 ms in the median, spread lognormally with σ 0.6.

use std::f64::consts::SQRT_2;
use std::sync::{Arc, LazyLock};

use codedance::metrics::{Histogram, Quantile, Sample, Signal};
use rand::Rng;
use rand_distr::LogNormal;
use statrs::function::erf::erfc;

use crate::judges::Judge;
use crate::traffic::{Counts, Side, World, among, draw, requests};
use crate::wealth::Bets;

/// The upper bounds of the buckets that the Prometheus clients have by default, in seconds.
pub(crate) const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The bounds that the references count requests above: near the P50, the P90 and the P99, and beyond.
const WATCHED: [usize; 4] = [4, 5, 6, 7];

/// The quantiles that tests on series compare, minute by minute.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// The bounds, once for all histograms.
static SHARED: LazyLock<Arc<[f64]>> = LazyLock::new(|| BOUNDS.into());

const MEDIAN: f64 = 0.08;
const SIGMA: f64 = 0.6;

/// By how much the slow requests of a slow tail are slower, in seconds.
const TAIL: f64 = 1.2;

/// Latencies of both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Requests a minute, of both sides together.
    pub(crate) traffic: f64,
    /// How much minutes differ, in each arm for itself: σ of the logarithm of a factor on every latency.
    pub(crate) noise: f64,
    /// A factor on the canary's latencies.
    pub(crate) slower: f64,
    /// The share of the canary's requests that take 1.2 s more.
    pub(crate) tail: f64,
}

/// The latencies of one side in a minute.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram);

impl World for Latency {
    type Side = Latencies;

    const JUDGES: &[Judge] = Judge::OF_LATENCY;
    const ROBUST: Bets = Bets::LATENCY;

    fn signals() -> Vec<Signal> {
        vec![Signal::Latency(quantile(0.99))]
    }

    fn before(&self, rng: &mut impl Rng) -> Latencies {
        self.side(self.traffic, 1.0, 0.0, rng)
    }

    fn minute(&self, _: usize, share: f64, rng: &mut impl Rng) -> (Latencies, Latencies) {
        let canary = self.side(self.traffic * share, self.slower, self.tail, rng);
        let stable = self.side(self.traffic * (1.0 - share), 1.0, 0.0, rng);
        (canary, stable)
    }
}

impl Latency {
    fn side(&self, traffic: f64, slower: f64, tail: f64, rng: &mut impl Rng) -> Latencies {
        let total = requests(traffic, rng);
        let mut median = MEDIAN * slower;
        if self.noise > 0.0 {
            median *= draw(LogNormal::new(0.0, self.noise), rng);
        }
        let (mut left, mut share) = (total, 1.0);
        let mut counts = Vec::with_capacity(BOUNDS.len() + 1);
        for bound in BOUNDS {
            let (fast, slow) = (
                slower_than(bound, median),
                slower_than(bound - TAIL, median),
            );
            let beyond = (1.0 - tail) * fast + tail * slow;
            // Of those above the bound before; where there are none the share may be 0 by 0.
            let above = if left == 0 {
                0
            } else {
                among(left, beyond / share, rng)
            };
            counts.push(left - above);
            (left, share) = (above, beyond);
        }
        counts.push(left);
        let histogram = Histogram::new(Arc::clone(&SHARED), counts);
        Latencies(histogram.expect("a count for each bound, and one more"))
    }
}

/// The share of requests that take longer than `bound`, in seconds.
fn slower_than(bound: f64, median: f64) -> f64 {
    if bound <= 0.0 {
        return 1.0;
    }
    0.5 * erfc((bound / median).ln() / (SIGMA * SQRT_2))
}

impl Side for Latencies {
    fn requests(&self) -> u64 {
        self.0.total()
    }

    fn counts(&self) -> impl Iterator<Item = Counts> {
        WATCHED.iter().map(|bound| Counts {
            bad: self.0.above(*bound),
            total: self.0.total(),
        })
    }

    fn series(&self) -> impl Iterator<Item = f64> {
        QUANTILES
            .iter()
            .map(|share| self.0.quantile(quantile(*share)).unwrap_or(f64::NAN))
    }

    fn samples(&self) -> impl Iterator<Item = Sample> {
        std::iter::once(Sample::Histogram(self.0.clone()))
    }
}

fn quantile(share: f64) -> Quantile {
    Quantile::new(share).expect("a share in this file")
}
