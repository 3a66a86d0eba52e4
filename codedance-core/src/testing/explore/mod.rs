//! Every state of a small model: a rollout and the world around it, with every input in every state, a
//! crash between any two steps, and outcomes that are lost, late or delivered twice.
//!
//! The search is breadth-first, so the history that is printed for a broken invariant is a shortest
//! one. Two states that differ only by a shift in time, or by the number of the next effect, are the
//! same; that makes the space finite although time is not.
//!
//! ```
//! use std::time::Duration;
//!
//! use codedance_core::plan::{Recreate, Strategy};
//! use codedance_core::testing::explore::{Explorer, Limits};
//! use codedance_core::workload::{Revision, Workload, WorkloadName};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let workload = Workload::new(
//!     WorkloadName::new("shop")?,
//!     Revision::new("v1")?,
//!     Revision::new("v2")?,
//!     1,
//! );
//! let mut draft = Recreate::default().plan(&workload)?.into_draft();
//! draft.progress_deadline = Duration::from_secs(3);
//! draft.give_up_after = Duration::from_secs(6);
//! let plan = draft.try_into()?;
//! let explored = Explorer::new(plan).with_limits(Limits::new(1, 0, 0)).run()?;
//! assert!(explored.states > 50);
//! # Ok(())
//! # }
//! ```

pub(super) mod invariant;
mod system;
pub(super) mod world;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use self::system::{Move, System, oracle_policy};
use crate::decision::Policy;
use crate::plan::Plan;

/// How much may go wrong, and how often people interfere, on one path. The space grows fast with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Failed effects, lost outcomes, crashed replicas, failed measurements, back ends that take longer.
    pub faults: u8,
    /// Commands, newer revisions, edited plans, alerts, answers at gates.
    pub words: u8,
    /// Replicas and weights changed from outside.
    pub meddling: u8,
}

impl Limits {
    /// At most so many faults, words and changes from outside on one path.
    #[must_use]
    pub const fn new(faults: u8, words: u8, meddling: u8) -> Self {
        Self {
            faults,
            words,
            meddling,
        }
    }
}

/// Visits every state that a rollout of one plan can reach.
#[derive(Debug)]
pub struct Explorer {
    plan: Plan,
    policy: Policy,
    limits: Limits,
}

/// What was visited, all of it without a broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// How many different states.
    pub states: usize,
    /// How many steps between them.
    pub transitions: usize,
    /// How many of the states are final.
    pub finals: usize,
}

/// A broken invariant, with a shortest history that leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counterexample {
    /// What was broken.
    pub broken: String,
    /// What happened, in order.
    pub history: Vec<String>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, after:", self.broken)?;
        for (number, step) in self.history.iter().enumerate() {
            writeln!(f, "{:>4}. {step}", number + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Counterexample {}

impl Explorer {
    /// All states of rollouts by this plan, with two faults, one word and no meddling on a path. Let the
    /// plan be small: 2 or 3 stages, 1 to 3 replicas, times of a few seconds.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            policy: oracle_policy(),
            limits: Limits::new(2, 1, 0),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with the explorer's policy changed. Its judge, which gives every verdict in every state,
    /// must stay appointed.
    #[must_use]
    pub fn with_policy(mut self, change: impl FnOnce(Policy) -> Policy) -> Self {
        self.policy = change(self.policy);
        self
    }

    /// Visits them all.
    ///
    /// # Errors
    /// The first broken invariant, with a shortest history.
    pub fn run(&self) -> Result<Explored, Counterexample> {
        let start = System::new(self.plan.clone(), self.policy.clone(), self.limits);
        let mut seen = BTreeMap::from([(fingerprint(&start), 0)]);
        let mut trail: Vec<(usize, String)> = vec![(0, String::new())];
        let mut queue = VecDeque::from([(0, start)]);
        let mut explored = Explored {
            states: 1,
            transitions: 0,
            finals: 0,
        };

        let broken = |trail: &[(usize, String)], at: usize, last: Option<String>, broken| {
            let mut history: Vec<String> = last.into_iter().collect();
            let mut at = at;
            while at != 0 {
                history.push(trail[at].1.clone());
                at = trail[at].0;
            }
            history.reverse();
            Counterexample { broken, history }
        };
        let mut calm_ways = Vec::new();
        let mut goals = Vec::new();
        while let Some((at, system)) = queue.pop_front() {
            if let Err(what) = invariant::of_state(&system) {
                return Err(broken(&trail, at, None, what));
            }
            if system.is_final() {
                explored.finals += 1;
                goals.push(at);
            } else if system.awaits_people() {
                goals.push(at);
            }
            for Move { step, calm, after } in system.moves() {
                explored.transitions += 1;
                let after = match after {
                    Ok(after) => after,
                    Err(what) => return Err(broken(&trail, at, Some(step), what)),
                };
                let next = trail.len();
                let to = *seen.entry(fingerprint(&after)).or_insert(next);
                if calm {
                    calm_ways.push((to, at));
                }
                if to == next {
                    trail.push((at, step));
                    explored.states += 1;
                    queue.push_back((to, after));
                }
            }
        }
        match first_stranded(trail.len(), &mut calm_ways, goals) {
            None => Ok(explored),
            Some(at) => {
                let what = "nothing goes wrong any more, and yet it never ends".to_owned();
                Err(broken(&trail, at, None, what))
            }
        }
    }
}

impl Explorer {
    /// Takes one path through plans that are too large to visit whole: each choice picks one of the moves
    /// that are possible then, modulo their number. Returns how many were taken until the rollout ended or
    /// the choices did.
    ///
    /// Besides what [`run`](Self::run) checks in every state, the whole path is replayed from what the
    /// rollout was told, which must lead to the same state bit for bit; and what
    /// [`Rollout::would_change`](crate::rollout::Rollout::would_change) calls idle is left out of it.
    ///
    /// # Errors
    /// The first broken invariant, with the path that leads there.
    pub fn walk(&self, choices: impl IntoIterator<Item = usize>) -> Result<usize, Counterexample> {
        let mut system = System::new(self.plan.clone(), self.policy.clone(), self.limits);
        let first = system.rollout.snapshot();
        system.told_so_far = Some(Vec::new());
        let mut history = Vec::new();
        let broken = |history: &[String], broken| Counterexample {
            broken,
            history: history.to_vec(),
        };
        for choice in choices {
            invariant::of_state(&system).map_err(|what| broken(&history, what))?;
            let mut moves = system.moves();
            if moves.is_empty() {
                break;
            }
            let Move { step, after, .. } = moves.swap_remove(choice % moves.len());
            history.push(step);
            system = after.map_err(|what| broken(&history, what))?;
        }
        invariant::of_replay(&system, first).map_err(|what| broken(&history, what))?;
        Ok(history.len())
    }
}

/// The first of `states` from which no calm way leads to any of `goals`; `ways` are (to, from).
fn first_stranded(
    states: usize,
    ways: &mut [(usize, usize)],
    mut goals: Vec<usize>,
) -> Option<usize> {
    ways.sort_unstable();
    let mut saved = vec![false; states];
    while let Some(to) = goals.pop() {
        if std::mem::replace(&mut saved[to], true) {
            continue;
        }
        let first = ways.partition_point(|way| way.0 < to);
        goals.extend(
            ways[first..]
                .iter()
                .take_while(|way| way.0 == to)
                .map(|way| way.1),
        );
    }
    saved.iter().position(|saved| !saved)
}

/// 128 bits of the system up to a shift in time: among ten million states the odds of one collision are
/// below 10⁻²⁴.
fn fingerprint(system: &System) -> u128 {
    let key = system.key();
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        key.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
