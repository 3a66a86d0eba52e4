//! One count of bad requests, canary against stable, interval after interval.

use serde::{Deserialize, Serialize};

use super::noise::Scatter;
use super::odds::{ALTERNATIVES, Interval};
use super::wealth::Wealth;

/// What is held against what: logarithms of the ratio between the canary's odds of a bad request and
/// the stable side's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hypotheses {
    /// Up to here the canary counts as no worse.
    pub(super) null: f64,
    /// How much worse it may be.
    pub(super) alternatives: [f64; ALTERNATIVES],
    /// How likely each alternative is held beforehand; their sum is 1.
    pub(super) prior: [f64; ALTERNATIVES],
    /// The noise is taken to be at least this large (the coefficient of variation of a side's odds).
    pub(super) noise: f64,
}

/// So many bad ones of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) bad: u64,
    pub(super) total: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.bad = self.bad.saturating_add(other.bad);
        self.total = self.total.saturating_add(other.total);
    }
}

/// The memory of one count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub(super) struct Contest {
    scatter: Scatter,
    worse: Wealth,
    /// The bet that the canary is much worse, for whoever wants proof that it is not.
    proof: Proof,
    canary: Count,
    stable: Count,
}

/// Whether the canary has been shown not to be much worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Proof(Option<Wealth>);

type Packed = (Scatter, Wealth, Proof, [u64; 4]);

impl From<Packed> for Contest {
    fn from((scatter, worse, proof, counts): Packed) -> Self {
        let count = |bad: u64, total| Count {
            bad: bad.min(total),
            total,
        };
        Self {
            scatter,
            worse,
            proof,
            canary: count(counts[0], counts[1]),
            stable: count(counts[2], counts[3]),
        }
    }
}

impl From<Contest> for Packed {
    fn from(contest: Contest) -> Self {
        let Contest { canary, stable, .. } = contest;
        (
            contest.scatter,
            contest.worse,
            contest.proof,
            [canary.bad, canary.total, stable.bad, stable.total],
        )
    }
}

impl Contest {
    /// Learns from an interval of the stable side before the rollout.
    pub(super) fn learn(&mut self, stable: Count) {
        self.scatter.add(stable.bad, stable.total);
    }

    /// Prepares for the next look, before anything is known of it.
    pub(super) fn begin(&mut self, new_stage: bool, confirmed: bool) {
        self.worse.stake(new_stage);
        if !confirmed {
            self.proof = Proof(None);
        } else if new_stage || self.proof.0.is_none() {
            // Proof from an earlier stage says nothing about a canary that broke since.
            self.proof = Proof(Some(Wealth::ALL_AT_ONCE));
        }
    }

    /// Takes in one interval of both sides.
    pub(super) fn look(
        &mut self,
        canary: Count,
        stable: Count,
        worse: &Hypotheses,
        much_worse: &Hypotheses,
    ) {
        if let Some(interval) =
            Interval::new((canary.bad, canary.total), (stable.bad, stable.total))
        {
            let noise = self.scatter.noise(worse.noise);
            let weigh = |against: &Hypotheses| {
                interval.evidence(noise, against.null, &against.alternatives)
            };
            self.worse.pay(&weigh(worse));
            if let Proof(Some(proof)) = &mut self.proof {
                proof.pay(&weigh(much_worse));
            }
        }
        self.scatter.add(stable.bad, stable.total);
        self.canary.add(canary);
        self.stable.add(stable);
    }

    /// How much there is against a canary that is no worse.
    pub(super) fn worse(&self, hypotheses: &Hypotheses) -> f64 {
        self.worse.total(&hypotheses.prior)
    }

    /// How much there is against a canary that is much worse.
    pub(super) fn proof(&self, hypotheses: &Hypotheses) -> f64 {
        self.proof
            .0
            .map_or(1.0, |proof| proof.total(&hypotheses.prior))
    }

    /// What was counted since the rollout began, the canary's first.
    pub(super) const fn counts(&self) -> (Count, Count) {
        (self.canary, self.stable)
    }
}
