//! How much one interval speaks for one ratio between canary and stable rather than for another.

#[cfg(test)]
mod tests;

use super::likelihood::Likelihood;
use super::noise::Noise;

/// One interval cannot raise the evidence by more than this factor, so that no single one convicts.
pub(super) const MOST: f64 = 20.0;

/// How many hypotheses one process weighs at most.
pub(super) const ALTERNATIVES: usize = 5;

/// Both sides of one interval: how many were bad, of how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) canary: Side,
    pub(super) stable: Side,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Side {
    pub(super) bad: f64,
    pub(super) good: f64,
}

impl Side {
    pub(super) const fn total(self) -> f64 {
        self.bad + self.good
    }
}

/// More requests of a side than this tell nothing more: the noise between intervals is far larger than
/// what counting leaves open. Beyond it a side's counts are scaled down, since sums of larger ones lose
/// digits. The other side's are left alone: a canary's few requests are all that it has.
const PLENTY: f64 = 1e7;

impl Interval {
    /// `bad` of `total` on either side, the canary's first. `None` if a side had no requests, since
    /// then there is nothing to compare.
    pub(super) fn new(canary: (u64, u64), stable: (u64, u64)) -> Option<Self> {
        let side = |(bad, total): (u64, u64)| {
            let scale = (PLENTY / total as f64).min(1.0);
            Side {
                bad: bad.min(total) as f64 * scale,
                good: total.saturating_sub(bad) as f64 * scale,
            }
        };
        (canary.1 > 0 && stable.1 > 0).then(|| Self {
            canary: side(canary),
            stable: side(stable),
        })
    }

    /// The likelihood ratios of `alternatives` over `null`, each at most [`MOST`]. Both are logarithms of the
    /// ratio between the canary's odds of a bad request and the stable side's.
    pub(super) fn factors(
        &self,
        noise: Noise,
        null: f64,
        alternatives: &[f64; ALTERNATIVES],
    ) -> [f64; ALTERNATIVES] {
        // Without a bad request nothing tells one ratio from another.
        if self.canary.bad + self.stable.bad == 0.0 {
            return [1.0; ALTERNATIVES];
        }
        let likelihood = Likelihood::of(self);
        let factors = if let Some(deviation) = noise.deviation() {
            let (base, means) = means_around(&likelihood, null, alternatives, deviation);
            means.map(|mean| mean / base)
        } else {
            let base = likelihood.ln_at(null);
            alternatives.map(|alternative| (likelihood.ln_at(alternative) - base).exp())
        };
        // Both means vanish only where no hypothesis comes near the counts: no evidence then.
        factors.map(|factor| {
            if factor > 0.0 && factor.is_finite() {
                factor.min(MOST)
            } else {
                1.0
            }
        })
    }
}

/// The means of a likelihood when the log odds ratio scatters around the null hypothesis and around each
/// alternative, up to a factor that all have in common.
///
/// Summed over an even grid, which converges faster than any power of its spacing for functions as
/// smooth as these; the ratios of these means are right to 3 digits at worst, usually to 6.
fn means_around(
    likelihood: &Likelihood,
    null: f64,
    alternatives: &[f64; ALTERNATIVES],
    deviation: f64,
) -> (f64, [f64; ALTERNATIVES]) {
    let lowest = alternatives.iter().copied().fold(null, f64::min);
    let highest = alternatives.iter().copied().fold(null, f64::max);
    let scale = deviation / STANDARD_DEVIATION;
    let middle = f64::midpoint(lowest, highest);

    // Outside this range the likelihood is negligible, and so is the noise. What lies between the peak and
    // a hypothesis far from it is cut off: such a hypothesis is out of the question anyway.
    let (peak, width) = (likelihood.peak, likelihood.width);
    let (near, far) = (lowest - 7.0 * deviation, highest + 7.0 * deviation);
    let (open_below, open_above) = likelihood.open_ends();
    let reach = width * (8.0 + (width / scale).min(2.0));
    let (below, above) = (peak - reach, peak + reach);
    let from = if open_below { near } else { near.max(below) };
    let to = if open_above { far } else { far.min(above) };
    let (from, to) = if from < to {
        (from, to)
    } else {
        (below, above)
    };
    let narrow = (width.powi(-2) + deviation.powi(-2)).sqrt().recip();
    let step = (SPACING * narrow).clamp((to - from) / POINTS as f64, (to - from) / 8.0);

    let power = |exponent: f64| (exponent / scale).clamp(-300.0, 300.0).exp();
    let mut shifts = [power(middle - null); 1 + ALTERNATIVES];
    for (shift, alternative) in shifts[1..].iter_mut().zip(alternatives) {
        *shift = power(middle - alternative);
    }
    // From the peak, or what is next to it, up and then down; the peak itself counts once.
    let mut means = [0.0; 1 + ALTERNATIVES];
    let mut heights = [1.0; POINTS + 2];
    let start = peak.clamp(from, to);
    let (begin, growth) = (power(start - middle), power(step));
    for (step, range, growth, first) in [
        (step, to - start, growth, 0),
        (-step, start - from, growth.recip(), 1),
    ] {
        let steps = (range / step.abs()).ceil() as usize;
        let walked = likelihood.walk(start, step, &mut heights[1..=steps.min(POINTS + 1)]);
        let mut place = if first == 0 { begin } else { begin * growth };
        for height in &heights[first..=walked] {
            for (mean, shift) in means.iter_mut().zip(&shifts) {
                let y = place * shift;
                let rest = (1.0 + y).recip();
                let logistic = y * rest * rest;
                *mean += height * (logistic * logistic);
            }
            place *= growth;
        }
    }
    let [base, means @ ..] = means;
    (base, means)
}

/// How far the grid's points are apart, in terms of the width of what is summed.
const SPACING: f64 = 1.25;

/// How many points the grid has at most, but for its ends.
const POINTS: usize = 62;

/// The standard deviation of the noise's law at scale 1: √(π²/3 − 2).
const STANDARD_DEVIATION: f64 = 1.135_733_9;
