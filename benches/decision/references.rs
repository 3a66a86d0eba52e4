//! Tests from the literature, and the mistake that everybody makes.

use statrs::function::gamma::ln_gamma;

use crate::judges::Detector;
use crate::traffic::{Counts, MINUTES, Minute, Side};

/// How often each of them may be wrong.
pub(crate) const ALPHA: f64 = 0.01;

/// The z-test of two proportions, pooled and one-sided at 1 %, over all that was counted so far.
///
/// Looked at once it keeps its promise; looked at each minute it does not.
#[derive(Debug)]
pub(crate) struct Z {
    once: bool,
    canary: Counts,
    stable: Counts,
}

impl Z {
    /// The quantile of the standard normal distribution that 1 % lies above.
    const CRITICAL: f64 = 2.326_347_874_040_841;

    pub(crate) const fn each_minute() -> Self {
        Self::new(false)
    }

    /// Looked at when the hour is over.
    pub(crate) const fn once() -> Self {
        Self::new(true)
    }

    const fn new(once: bool) -> Self {
        let none = Counts { bad: 0, total: 0 };
        Self {
            once,
            canary: none,
            stable: none,
        }
    }
}

impl<S: Side> Detector<S> for Z {
    fn begin(&mut self, _: &[S]) {
        *self = Self::new(self.once);
    }

    fn look(&mut self, minute: &Minute<S>) -> bool {
        let sides = minute.canary.counts().zip(minute.stable.counts());
        for (canary, stable) in sides {
            self.canary.bad += canary.bad;
            self.canary.total += canary.total;
            self.stable.bad += stable.bad;
            self.stable.total += stable.total;
        }
        if self.once && minute.index + 1 < MINUTES {
            return false;
        }
        let (canary, stable) = (self.canary.total as f64, self.stable.total as f64);
        let pooled = (self.canary.bad + self.stable.bad) as f64 / (canary + stable);
        let spread = pooled * (1.0 - pooled) * (1.0 / canary + 1.0 / stable);
        // No errors at all give 0 by 0, which is above nothing.
        (self.canary.share() - self.stable.share()) / spread.sqrt() > Self::CRITICAL
    }
}

/// The sequential test of counts by Lindon and Malek (NeurIPS 2022): does the canary get a share of the
/// errors other than its share of the traffic?
///
/// A Dirichlet-multinomial Bayes factor, with the prior that their package has by default (100 times the
/// expected shares), for each stage by itself since the shares have to be known constants; the stages'
/// factors multiply. The test is of two sides; it counts here where the canary has more than its share.
#[derive(Debug, Default)]
pub(crate) struct LindonMalek {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    share: f64,
    canary: u64,
    stable: u64,
}

impl Stage {
    /// The logarithm of the Bayes factor.
    fn factor(&self) -> f64 {
        const PRIOR: f64 = 100.0;
        let (a, b) = (PRIOR * self.share, PRIOR * (1.0 - self.share));
        let (x, y) = (self.canary as f64, self.stable as f64);
        ln_beta(a + x, b + y) - ln_beta(a, b) - x * self.share.ln() - y * (1.0 - self.share).ln()
    }

    /// How many errors more the canary has than its share.
    fn surplus(&self) -> f64 {
        self.canary as f64 - self.share * (self.canary + self.stable) as f64
    }
}

impl<S: Side> Detector<S> for LindonMalek {
    fn begin(&mut self, _: &[S]) {
        self.stages.clear();
    }

    fn look(&mut self, minute: &Minute<S>) -> bool {
        if self.stages.len() <= minute.stage() {
            self.stages.push(Stage {
                share: minute.share(),
                canary: 0,
                stable: 0,
            });
        }
        let sides = minute.canary.counts().zip(minute.stable.counts());
        if let Some(stage) = self.stages.last_mut() {
            for (canary, stable) in sides {
                stage.canary += canary.bad;
                stage.stable += stable.bad;
            }
        }
        let evidence: f64 = self.stages.iter().map(Stage::factor).sum();
        let surplus: f64 = self.stages.iter().map(Stage::surplus).sum();
        evidence >= -ALPHA.ln() && surplus > 0.0
    }
}

/// The logarithm of the beta function; statrs refuses none of the arguments that occur here.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}
