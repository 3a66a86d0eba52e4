//! What a regression would look like: how fast the evidence against it grows.

use statrs::function::erf::erfc;

use super::SequentialConfig;
use super::odds::{ALTERNATIVES, Interval};
use super::trial::rates;
use super::wealth::AT_ONCE;

/// How the evidence for each alternative grows, summed over intervals: its mean and its variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::decision) struct Growth {
    mean: [f64; ALTERNATIVES],
    variance: [f64; ALTERNATIVES],
}

impl Growth {
    /// Of one interval in which each side has so many requests, `share` of the stable side's are bad, and
    /// the canary's share is `ratio` times that. The noise is what is assumed at least.
    pub(in crate::decision) fn of_interval(
        config: &SequentialConfig,
        canary: f64,
        stable: f64,
        share: f64,
        ratio: f64,
    ) -> Self {
        let hypotheses = rates(config);
        let noise = super::noise::Noise::least();
        let (ours, theirs) = (whole(canary), whole(stable));
        let mut growth = Self::default();
        for (bad, chance) in counts((canary * share * ratio).min(canary)) {
            for (stable_bad, stable_chance) in counts(stable * share) {
                let sides = ((bad.min(ours), ours), (stable_bad.min(theirs), theirs));
                let Some(interval) = Interval::new(sides.0, sides.1) else {
                    continue;
                };
                let found = interval.factors(noise, hypotheses.null, &hypotheses.alternatives);
                let probability = chance * stable_chance;
                for (index, ln) in found.map(f64::ln).into_iter().enumerate() {
                    growth.mean[index] += probability * ln;
                    growth.variance[index] += probability * ln * ln;
                }
            }
        }
        for (mean, variance) in growth.mean.iter().zip(&mut growth.variance) {
            *variance = (*variance - mean * mean).max(0.0);
        }
        growth
    }

    /// Adds so many intervals like `other`.
    pub(in crate::decision) fn add(&mut self, other: &Self, intervals: f64) {
        for index in 0..ALTERNATIVES {
            self.mean[index] += intervals * other.mean[index];
            self.variance[index] += intervals * other.variance[index];
        }
    }

    /// How likely the evidence has been enough at some time so far, when the metric has this part of the
    /// whole weight.
    ///
    /// The evidence is taken for a Brownian motion with drift, of which the law of the first passage is
    /// known. Of the mixture of alternatives only the best counts, so the truth is rather more.
    pub(in crate::decision) fn power(&self, config: &SequentialConfig, part: f64) -> f64 {
        let prior = rates(config).prior;
        let each = (0..ALTERNATIVES).map(|index| {
            let enough = -(config.alpha * part * AT_ONCE * prior[index]).ln();
            first_passage(self.mean[index], self.variance[index], enough)
        });
        each.fold(0.0, f64::max)
    }
}

/// How likely a Brownian motion that has this mean and variance in the end has reached `barrier`.
fn first_passage(mean: f64, variance: f64, barrier: f64) -> f64 {
    if variance <= 0.0 {
        return if mean >= barrier { 1.0 } else { 0.0 };
    }
    let deviation = variance.sqrt();
    let below = |z: f64| erfc(-z / std::f64::consts::SQRT_2) / 2.0;
    let reflected = below((-barrier - mean) / deviation);
    let image = if reflected > 0.0 {
        (2.0 * mean * barrier / variance + reflected.ln()).exp()
    } else {
        0.0
    };
    (below((mean - barrier) / deviation) + image).clamp(0.0, 1.0)
}

/// Representative counts of a Poisson law with this mean, with their weights.
fn counts(mean: f64) -> Vec<(u64, f64)> {
    const FEW: f64 = 12.0;
    if mean < FEW {
        let mut all = Vec::new();
        let (mut chance, mut sum, mut count) = ((-mean).exp(), 0.0, 0);
        while sum < 1.0 - 1e-9 && count < 60 {
            all.push((count, chance));
            sum += chance;
            count += 1;
            chance *= mean / count as f64;
        }
        return all;
    }
    let points = (-7..=7).map(|step| f64::from(step) * 0.55);
    let weight = |z: f64| (-z * z / 2.0).exp();
    let total: f64 = points.clone().map(weight).sum();
    points
        .map(|z| (whole(mean + z * mean.sqrt()), weight(z) / total))
        .collect()
}

/// The nearest whole number, not below 0.
fn whole(number: f64) -> u64 {
    // A cast saturates and takes NaN for 0.
    number.round() as u64
}
