//! A bet against the canary's health that is fair as long as it is healthy.

mod text;

use super::odds::ALTERNATIVES;

/// What is staked before the first interval; the rest waits for regressions that begin later.
pub(super) const AT_ONCE: f64 = 0.85;

/// What part of the rest is staked at every look.
const EACH_LOOK: f64 = 0.015;

/// What part of the rest is staked when a stage begins: new traffic is when new faults show.
const NEW_STAGE: f64 = 0.25;

/// So little is kept alive that it can grow again when a regression begins after a long time.
const LEAST: f64 = 1e-30;

/// So much is proof enough of anything that a policy can ask for, and short to write.
const MOST: f64 = 1e9;

/// The wealth of one process: 1 at the beginning, and on average never more while the null hypothesis
/// holds.
///
/// Part of it is staked on each alternative and multiplied by that alternative's likelihood ratio at
/// each interval. What is not staked yet is cash. Stakes are decided before an interval is seen, so the
/// wealth stays a supermartingale whatever the schedule. One number for each alternative is enough
/// for all the times at which it was staked, since all of them are multiplied by the same ratios from
/// then on.
///
/// Kept in single precision: 7 digits of a wealth are more than a verdict needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wealth {
    staked: [f32; ALTERNATIVES],
    cash: f32,
}

impl Default for Wealth {
    fn default() -> Self {
        Self {
            staked: [AT_ONCE as f32; ALTERNATIVES],
            cash: (1.0 - AT_ONCE) as f32,
        }
    }
}

impl Wealth {
    /// A snapshot may have been written by anybody: what cannot be is brought back into range.
    fn from_bits(staked: [u32; ALTERNATIVES], cash: u32) -> Self {
        let cash = f32::from_bits(cash);
        Self {
            staked: staked.map(|bits| kept(f64::from(f32::from_bits(bits)))),
            cash: if cash.is_finite() {
                cash.clamp(0.0, 1.0)
            } else {
                0.0
            },
        }
    }

    /// Everything staked at once, for hypotheses that cannot begin late.
    pub(super) const ALL_AT_ONCE: Self = Self {
        staked: [1.0; ALTERNATIVES],
        cash: 0.0,
    };

    /// Stakes part of what is left. Called before an interval is looked at.
    pub(super) fn stake(&mut self, new_stage: bool) {
        let part = if new_stage { NEW_STAGE } else { EACH_LOOK };
        let more = f64::from(self.cash) * part;
        for stake in &mut self.staked {
            *stake = kept(f64::from(*stake) + more);
        }
        self.cash = (f64::from(self.cash) - more) as f32;
    }

    /// Multiplies each stake by the likelihood ratio of its alternative.
    pub(super) fn pay(&mut self, factors: &[f64; ALTERNATIVES]) {
        for (stake, factor) in self.staked.iter_mut().zip(factors) {
            *stake = kept(f64::from(*stake) * factor);
        }
    }

    /// What it comes to, the alternatives weighing as their prior says. The priors' sum is 1.
    pub(super) fn total(&self, prior: &[f64]) -> f64 {
        let staked = self.staked.iter().zip(prior);
        let staked: f64 = staked.map(|(stake, prior)| f64::from(*stake) * prior).sum();
        staked + f64::from(self.cash)
    }
}

fn kept(stake: f64) -> f32 {
    // NaN, which only a forged snapshot can hold, is worth the least.
    if stake.is_nan() {
        return LEAST as f32;
    }
    stake.clamp(LEAST, MOST) as f32
}
