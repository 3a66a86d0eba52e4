//! How likely an interval's counts are, given how many requests were bad in all.

use super::odds::{Interval, Side};

/// From which share of bad requests on they count as common, and from which share of bad ones up
/// to which share of good ones the approximation of the common form is right to 3 digits.
pub(super) const COMMON: f64 = 0.05;
pub(super) const ENOUGH: f64 = 25.0;

/// The likelihood of an interval's counts, given how many were bad in all, as a function of the log odds
/// ratio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likelihood {
    canary: Side,
    stable: Side,
    pub(super) form: Form,
    /// Where it is highest, and how wide it is there, roughly.
    pub(super) peak: f64,
    pub(super) width: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// Each bad request is the canary's with the same chance.
    Rare,
    /// Each request is bad with its side's own chance.
    Common,
}

/// A likelihood, as e^`ln` times the root of `square`.
#[derive(Clone, Copy, Debug)]
struct Height {
    ln: f64,
    square: f64,
}

impl Likelihood {
    pub(super) fn of(interval: &Interval) -> Self {
        let Interval { canary, stable } = *interval;
        let (bad, good) = (canary.bad + stable.bad, canary.good + stable.good);
        let share = bad / (bad + good);
        let ratio = |a: f64, b: f64| ((a + 0.5) / (b + 0.5)).ln();
        let variance = |a: f64, b: f64| (a + 0.5).recip() + (b + 0.5).recip();
        let bad_ones = variance(canary.bad, stable.bad);
        if share >= COMMON && share * good >= ENOUGH {
            return Self {
                canary,
                stable,
                form: Form::Common,
                peak: ratio(canary.bad, canary.good) - ratio(stable.bad, stable.good),
                width: (bad_ones + variance(canary.good, stable.good)).sqrt(),
            };
        }
        Self {
            canary,
            stable,
            form: Form::Rare,
            peak: ratio(canary.bad, stable.bad) - (canary.total() / stable.total()).ln(),
            width: bad_ones.sqrt(),
        }
    }

    /// Whether it does not vanish for small ratios, and for large ones: nothing seen rules them out.
    pub(super) fn open_ends(&self) -> (bool, bool) {
        let none = |count: f64| self.form == Form::Common && count < 1.0;
        (
            self.canary.bad < 1.0 || none(self.stable.good),
            self.stable.bad < 1.0 || none(self.canary.good),
        )
    }

    fn bad(&self) -> f64 {
        self.canary.bad + self.stable.bad
    }

    /// The logarithm at a log odds ratio.
    pub(super) fn ln_at(&self, ratio: f64) -> f64 {
        if self.form == Form::Rare {
            return self.canary.bad * ratio - self.bad() * self.mixed(ratio.exp()).ln();
        }
        let Height { ln, square } = self.common(ratio, ratio.exp());
        ln + square.ln() / 2.0
    }

    /// Of the rare form: how many requests there would be if each of the canary's counted as so many.
    fn mixed(&self, odds: f64) -> f64 {
        self.stable.total() + self.canary.total() * odds
    }

    /// The common form at a log odds ratio, and at the same as odds.
    fn common(&self, ratio: f64, odds: f64) -> Height {
        let bad = self.bad();
        let (ours, theirs) = (self.canary.total(), self.stable.total());
        // The stable side's odds of a bad request, and the canary's, for which `bad` are bad on average.
        let square = odds * (ours + theirs - bad);
        let linear = odds * (ours - bad) + (theirs - bad);
        let root = (linear * linear + 4.0 * square * bad).sqrt();
        let base = if linear > 0.0 {
            2.0 * bad / (linear + root)
        } else {
            (root - linear) / (2.0 * square)
        };
        let own = base * odds;
        let (good, own_good) = ((1.0 + base).recip(), (1.0 + own).recip());
        // Both sides' binomial laws: own ∕ base is the ratio, so the bad ones need one logarithm.
        let ln =
            self.canary.bad * ratio + bad * base.ln() + ours * own_good.ln() + theirs * good.ln();
        Height {
            ln,
            square: ours * own * own_good * own_good + theirs * base * good * good,
        }
    }

    /// Walks from a log odds ratio as many steps as there are places in `heights`, and writes down the likelihood
    /// at each in terms of what it was at the beginning; how many steps, if it becomes [`NEGLIGIBLE`] before.
    pub(super) fn walk(&self, start: f64, step: f64, heights: &mut [f64]) -> usize {
        let (begin, growth) = (start.exp(), step.exp());
        match self.form {
            // From one step to the next it changes by a number close to 1, to the power of all bad requests: that
            // takes neither a logarithm nor an exponential function.
            Form::Rare => {
                let (bad, tilt) = (self.bad(), (step * self.canary.bad / self.bad()).exp());
                let (mut odds, mut mixed, mut height) = (begin, self.mixed(begin), 1.0);
                descend(heights, || {
                    odds *= growth;
                    let before = std::mem::replace(&mut mixed, self.mixed(odds));
                    height *= power(tilt * before / mixed, bad);
                    height
                })
            }
            Form::Common => {
                let first = self.common(start, begin);
                let (mut odds, mut ratio) = (begin, start);
                descend(heights, || {
                    odds *= growth;
                    ratio += step;
                    let now = self.common(ratio, odds);
                    (now.ln - first.ln).exp() * (now.square / first.square).sqrt()
                })
            }
        }
    }
}

/// A likelihood so far below its peak is out of the question.
const NEGLIGIBLE: f64 = 1e-20;

fn descend(heights: &mut [f64], mut next: impl FnMut() -> f64) -> usize {
    let mut most = 1.0_f64;
    for (index, height) in heights.iter_mut().enumerate() {
        *height = next();
        most = most.max(*height);
        if *height < most * NEGLIGIBLE {
            return index;
        }
    }
    heights.len()
}

/// Counts are whole numbers, but where they were [scaled down](Interval::new).
fn power(base: f64, exponent: f64) -> f64 {
    let whole = exponent as i32;
    if f64::from(whole) == exponent {
        base.powi(whole)
    } else {
        base.powf(exponent)
    }
}
