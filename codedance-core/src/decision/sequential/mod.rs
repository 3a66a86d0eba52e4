//! Whether the canary is worse than stable: evidence that may be looked at as often as one likes.
//!
//! # The promise
//! Testing again at every look breaks ordinary tests: at a 1 % level and one look a minute, a z-test sends
//! back 12 to 18 % of healthy canaries within an hour. Here each metric has a *wealth* instead, a bet
//! against the canary's health. It begins at 1, and while the canary is no worse it is a nonnegative
//! supermartingale: on average it never grows. By Ville's inequality (J. Ville, *Étude critique de la
//! notion de collectif*, 1939) the probability that such a wealth **ever** reaches 1/α is at most α. So
//! all looks of a rollout together cost α once, and 1 ∕ wealth can be read as the odds that a healthy
//! canary would ever have looked this bad. An average of wealths is a wealth, however the metrics hang
//! together: so all metrics together cost α once, too. (On such *e-processes*: A. Ramdas et al.,
//! *Game-theoretic statistics and safe anytime-valid inference*, Statistical Science 38, 2023.)
//!
//! # One interval
//! In an interval the canary had x of n bad requests, stable y of k, together m of n + k; w = n ∕ (n + k) is the
//! canary's part of the traffic and r the ratio of its odds of a bad request to the stable side's.
//!
//! *Where bad requests are rare* the likelihood of r is θ^x (1 − θ)^y with θ = wr ∕ (1 − w + wr): given that m
//! were bad in all, each was the canary's with the chance θ. The base rate has cancelled, so it may drift at
//! will, and so may the traffic and its split. Given m, the true law of x is the noncentral hypergeometric one, over
//! which the mean of the ratio of two such likelihoods, a convex function of x, is at most what it is over
//! the binomial one, which is 1 (W. Hoeffding, *Probability inequalities for sums of bounded random variables*, JASA
//! 58, 1963, for r = 1; for other r a test enumerates it).
//!
//! *Where they are common* (5 % and more: requests slower than the median) that form wastes up to half of
//! what was counted, since it forgets that a request that was bad once cannot be bad twice. There the noncentral
//! hypergeometric law itself is used: the product of both sides' binomial laws, divided by the probability of m, for which the
//! saddlepoint approximation is taken at the base rate that makes m the expected number (O. Barndorff-Nielsen and D. Cox,
//! *Edgeworth and saddle-point approximations with statistical applications*, JRSS B 41, 1979). A test enumerates the mean
//! of the ratio under the null hypothesis: at most 1.0001 in each interval.
//!
//! # Noise
//! Real shares of errors scatter more than counting explains: one replica of five has a cold cache. What holds
//! for independent requests alone sends back healthy canaries then, most of them at high traffic. So the ratio of an
//! interval is r e^ε, where ε follows the generalized logistic law of type III and shape 2, with density proportional to
//! (e^(ε∕s) ∕ (1 + e^(ε∕s))²)², and each likelihood is averaged over it. That law is symmetric, as the difference of
//! two sides with the same noise is. Its tails are exponential, as those of the logarithms of gamma shares are. And its logarithm is
//! concave, so more errors never speak *for* the canary. Its width comes from how the stable side scattered before the
//! rollout (see `noise.rs`), with a least value that keeps small constant differences from adding up.
//!
//! Here the promise is no longer a theorem about any requests whatever, but about noise of this kind. How far it
//! holds in simulation, and where not, is in the project's `docs/decisions.md`.
//!
//! # Alternatives and late beginnings
//! r is not known, and neither is when a regression begins. A wealth is therefore divided among five
//! alternatives, and part of it is held back and staked little by little (see `wealth.rs`). Both are mixtures with
//! weights fixed in advance or by earlier intervals alone, which keeps the promise: the mean of a mixture is
//! the mixture of the means. An alternative close to the tolerance is among them because a true ratio below the lowest
//! alternative would count as evidence for health.

mod config;
mod contest;
mod levels;
mod likelihood;
mod noise;
mod odds;
mod power;
mod sign;
mod trial;
mod wealth;

use serde::{Deserialize, Serialize};

use super::Comparison;
use super::metric::Watch;
use crate::metrics::{Reading, Signal};

pub use config::SequentialConfig;
pub(super) use power::Growth;
use trial::Trial;

/// From which evidence on a canary is worth waiting for: 1 in 10 healthy ones ever look so.
pub(super) const SUSPICION: f64 = 10.0;

/// How sure a proof must be that a canary is not much worse: 1 in 20 that are get one.
pub(super) const PROOF: f64 = 20.0;

/// What all looks so far say together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Evidence {
    /// The mean wealth of all metrics that are counted; 1 if there is none.
    pub(super) worse: f64,
    /// The metric that says the most, and the mean wealth again; `None` unless that is a suspicion, or enough.
    pub(super) comparison: Option<Comparison>,
    /// The mean wealth of all metrics of which only a value is known.
    pub(super) values: f64,
    /// Which of them is worst, as an index into the metrics.
    pub(super) worst_value: Option<usize>,
    /// The metrics of which it is not proven yet that the canary is not much worse, and how far it is.
    pub(super) unproven: Vec<(usize, f64)>,
}

/// What is remembered of all metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Trials {
    /// The stage of the last look.
    stage: usize,
    /// The evidence was enough once. It stays as it was: nothing that comes later takes it back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    closed: bool,
    /// One for each metric, in the policy's order.
    each: Vec<Trial>,
}

impl Trials {
    /// Takes in one look at `stage`: one reading for each metric, `None` where it cannot be used.
    pub(super) fn look(
        &mut self,
        config: &SequentialConfig,
        watches: &[Watch],
        readings: &[Option<&Reading>],
        stage: usize,
    ) -> Evidence {
        let fits = |(watch, trial): (&Watch, &Trial)| trial.fits(&watch.signal);
        if self.each.len() != watches.len() || !watches.iter().zip(&self.each).all(fits) {
            // The policy was edited.
            *self = Self::default();
            self.each.resize_with(watches.len(), Trial::default);
            self.stage = stage;
        }
        if !self.closed {
            let new_stage = stage != self.stage;
            self.stage = stage;
            let rates = trial::rates(config);
            for ((watch, trial), reading) in watches.iter().zip(&mut self.each).zip(readings) {
                trial.look(config, &rates, watch, *reading, new_stage);
            }
        }
        let evidence = self.evidence(config, watches);
        self.closed = evidence.worse >= config.alpha.recip();
        evidence
    }

    /// What the trials say together.
    pub(super) fn evidence(&self, config: &SequentialConfig, watches: &[Watch]) -> Evidence {
        let mut evidence = Evidence {
            worse: 0.0,
            comparison: None,
            values: 0.0,
            worst_value: None,
            unproven: Vec::new(),
        };
        let (mut counted, mut valued) = (0.0, 0.0);
        let (mut most, mut most_value) = (0.0, 0.0);
        let mut comparison = None;
        for (index, (watch, trial)) in watches.iter().zip(&self.each).enumerate() {
            let share = watch.share;
            if let Trial::Value(signs) = trial {
                let wealth = signs.total();
                valued += share;
                evidence.values += share * wealth;
                if share * wealth > most_value {
                    most_value = share * wealth;
                    evidence.worst_value = Some(index);
                }
                continue;
            }
            // What has not been read yet counts as neither good nor bad: weights that changed under way
            // would break the promise.
            if *trial == Trial::Nothing && !matches!(watch.signal, Signal::Query(_)) {
                counted += share;
                evidence.worse += share;
                continue;
            }
            let part = share / trial.strands().count().max(1) as f64;
            let mut least_proof = f64::INFINITY;
            for strand in trial.strands() {
                counted += part;
                evidence.worse += part * strand.wealth;
                least_proof = least_proof.min(strand.proof);
                if part * strand.wealth > most {
                    most = part * strand.wealth;
                    comparison = Some((watch, strand));
                }
            }
            if config.confirmed && watch.required && least_proof < PROOF {
                evidence.unproven.push((index, least_proof));
            }
        }
        evidence.worse = if counted > 0.0 {
            evidence.worse / counted
        } else {
            1.0
        };
        evidence.values = if valued > 0.0 {
            evidence.values / valued
        } else {
            1.0
        };
        let telling = evidence.worse >= SUSPICION.min(config.alpha.recip());
        let comparison = comparison.filter(|_| telling);
        evidence.comparison = comparison.map(|(watch, strand)| Comparison {
            metric: watch.name.clone(),
            canary_bad: strand.canary.bad,
            canary_total: strand.canary.total,
            stable_bad: strand.stable.bad,
            stable_total: strand.stable.total,
            slower_than: strand.bound,
            one_in: odds(evidence.worse),
        });
        evidence
    }
}

/// What a wealth means to people: one in so many healthy canaries, to two digits.
pub(super) fn odds(wealth: f64) -> u64 {
    let wealth = wealth.clamp(1.0, 1e15);
    let unit = 10_f64.powf((wealth.log10().floor() - 1.0).max(0.0));
    ((wealth / unit).floor() * unit) as u64
}
