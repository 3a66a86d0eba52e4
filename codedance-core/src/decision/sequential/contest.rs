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
    proof: Option<Wealth>,
    canary: Count,
    stable: Count,
}

type Packed = (Scatter, Wealth, Option<Wealth>, [u64; 4]);

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
            self.proof = None;
        } else if new_stage || self.proof.is_none() {
            // Proof from an earlier stage says nothing about a canary that broke since.
            self.proof = Some(Wealth::ALL_AT_ONCE);
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
            let weigh =
                |against: &Hypotheses| interval.factors(noise, against.null, &against.alternatives);
            self.worse.pay(&weigh(worse));
            if let Some(proof) = &mut self.proof {
                proof.pay(&weigh(much_worse));
            }
        }
        self.scatter.add(stable.bad, stable.total);
        self.canary.add(canary);
        self.stable.add(stable);
    }

    /// How much there is against a canary that is no worse, the alternatives weighing as `prior` says.
    pub(super) fn worse(&self, prior: &[f64; ALTERNATIVES]) -> f64 {
        self.worse.total(prior)
    }

    /// How much there is against a canary that is much worse, likewise.
    pub(super) fn proof(&self, prior: &[f64; ALTERNATIVES]) -> f64 {
        self.proof.map_or(1.0, |proof| proof.total(prior))
    }

    /// What was counted since the rollout began, the canary's first.
    pub(super) const fn counts(&self) -> (Count, Count) {
        (self.canary, self.stable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPOTHESES: Hypotheses = Hypotheses {
        null: 0.024_692_61,
        alternatives: [0.25, 0.64, 1.1, 1.95, 3.7],
        prior: [0.08, 0.53, 0.2, 0.15, 0.04],
        noise: 0.0,
    };

    /// What is left of a wealth after as many intervals as anybody likes, without counting them all: once a
    /// whole round of intervals leaves it as it was, to the last bit, so does every round after it.
    ///
    /// What rounding could add otherwise is at most 6 · 10⁻⁸ of it at each interval, and what keeps a stake alive is
    /// 10⁻³⁰: in ten million intervals a factor of 1.8, and next to nothing.
    fn settled(round: &[(Count, Count)]) -> (f64, usize) {
        let (mut contest, mut most) = (Contest::default(), 0.0_f64);
        for rounds in 1..20_000 {
            let before = contest;
            for (canary, stable) in round {
                contest.begin(false, true);
                contest.look(*canary, *stable, &HYPOTHESES, &HYPOTHESES);
                most = most.max(contest.worse(&HYPOTHESES.prior));
                most = most.max(contest.proof(&HYPOTHESES.prior));
            }
            if (before.worse, before.proof, before.scatter)
                == (contest.worse, contest.proof, contest.scatter)
            {
                return (most, rounds);
            }
        }
        panic!("it never comes to rest: {contest:?}");
    }

    #[test]
    fn a_canary_that_behaves_as_expected_is_never_worse_than_at_the_beginning() {
        let count = |bad, total| Count { bad, total };
        let stable = |bad| count(bad, 19_000);
        for round in [
            vec![(count(5, 1_000), stable(95))],
            // As bad as may be: 1.025 times the odds.
            vec![(count(4_100, 800_000), count(4_000, 800_000))],
            // As scattered as counting makes it.
            vec![
                (count(3, 1_000), stable(95)),
                (count(7, 1_000), stable(105)),
                (count(5, 1_000), stable(85)),
                (count(5, 1_000), stable(95)),
            ],
            // Common errors, and none at all.
            vec![(count(500, 1_000), stable(9_500))],
            vec![(count(0, 1_000), stable(0))],
            // 20 intervals of one request, of which one is bad.
            (0..20)
                .map(|i| (count(u64::from(i == 0), 1), count(950, 19_000)))
                .collect(),
            // More than can be counted.
            vec![(count(1 << 53, u64::MAX), count(1 << 53, u64::MAX))],
        ] {
            let (most, rounds) = settled(&round);
            let (first, _) = round[0];
            println!("{first:?}: {rounds} rounds, at most {most}");
            // One early interval may look bad; that is chance, and far from any suspicion.
            assert!(most < 4.0, "{round:?}: {most}");
        }
    }
}
