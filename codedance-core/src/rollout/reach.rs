//! The one way to reach a desired state: grow → route → drain → shrink.
//!
//! Each move is computed from what is there, not from what was done before; so a crash, a replica
//! scaled from outside, or a weight changed by hand needs no word of its own. Every move keeps four
//! bounds of the plan:
//!
//! - no more replicas than [`Plan::ceiling`](crate::plan::Plan::ceiling) exist;
//! - no fewer than [`Plan::floor`](crate::plan::Plan::floor) are ready, unless they broke by themselves;
//! - a share rises only on a revision whose ready replicas carry it;
//! - a revision loses replicas only after it lost the traffic that they carried.
//!
//! Where the ceiling leaves no room to grow, replicas are moved a few at a time: traffic off, shrink,
//! grow, and again. So `Rolling`, `Recreate` and hosts that are changed in place need no other way.

use super::effect::Action;
use super::state::{Sight, State};
use crate::percent::Percent;
use crate::time::Timestamp;
use crate::traffic::Split;
use crate::workload::{Fleet, Group, GroupStatus};

/// A desired state of capacity and traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// Replicas of the stable revision; `None` leaves them alone.
    pub(super) stable: Option<u32>,
    pub(super) canary: u32,
    pub(super) weight: Percent,
    /// How soon users should leave the canary.
    pub(super) haste: Haste,
}

/// How soon users should leave the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// When the goal's capacity is there.
    Orderly,
    /// As many as the stable revision carries, before anything else is done.
    Urgent,
    /// All, if the stable revision serves at all: its replicas did not come back in time, and too few
    /// good ones are better than bad ones.
    Desperate,
}

/// The next move towards a goal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Move {
    Do(Action),
    /// Replicas of this revision's role must become ready.
    AwaitReady(Role),
    /// The traffic just routed must come into force.
    AwaitSettled(Timestamp),
    /// A revision that lost traffic must finish what it has.
    AwaitDrained(Timestamp),
    /// The goal is reached.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Stable,
    Canary,
}

impl State {
    /// The next move towards `goal`, from what is there.
    pub(super) fn reach(&self, sight: &Sight, goal: Goal) -> Move {
        let (stable, canary) = (sight.stable, sight.canary);
        if let Some(escape) = self.escape(sight, goal.haste) {
            return Move::Do(self.route(escape));
        }

        // A third revision has traffic, and nobody may be there to answer it.
        if self.traffic.weight.is_none() && stable.ready >= self.enough() {
            return Move::Do(self.route(Percent::ZERO));
        }

        // Grow, as far as there is room.
        let wanted = Counts {
            stable: goal.stable.unwrap_or(stable.desired),
            canary: goal.canary,
        };
        let had = Counts {
            stable: stable.desired,
            canary: canary.desired,
        };
        let room = self.plan.ceiling().map_or(u32::MAX, |ceiling| {
            ceiling.saturating_sub(existing(stable).saturating_add(existing(canary)))
        });
        let grown = had.grown_towards(wanted, room);
        if grown != had {
            return Move::Do(self.scale(goal, grown));
        }
        if canary.ready < canary.desired.min(wanted.canary) {
            return Move::AwaitReady(Role::Canary);
        }
        // A stable revision that is broken already must not block its own mending: it is waited for
        // only where it is to get more.
        let gains = self
            .traffic
            .weight
            .is_none_or(|weight| weight > goal.weight);
        if gains && goal.stable.is_some() && stable.ready < stable.desired.min(wanted.stable) {
            return Move::AwaitReady(Role::Stable);
        }
        if had.stable < wanted.stable || had.canary < wanted.canary {
            return self.make_room(sight, goal, had, wanted);
        }

        // Route.
        if self.traffic.weight != Some(goal.weight) {
            if goal.stable.is_none() && goal.weight < Percent::HUNDRED && stable.ready == 0 && gains
            {
                return Move::AwaitReady(Role::Stable);
            }
            return Move::Do(self.route(goal.weight));
        }
        if self.now < self.traffic.settled_at {
            return Move::AwaitSettled(self.traffic.settled_at);
        }

        // Drain, then shrink.
        if had == wanted {
            return Move::Done;
        }
        if self.now < self.traffic.drained_at {
            return Move::AwaitDrained(self.traffic.drained_at);
        }
        Move::Do(self.scale(goal, wanted))
    }

    /// There is no room to grow: takes away as many replicas of the revision that has too many as the
    /// floor allows, once they carry no traffic.
    fn make_room(&self, sight: &Sight, goal: Goal, had: Counts, wanted: Counts) -> Move {
        let forward = had.stable > wanted.stable;
        let shrinking = if forward { sight.stable } else { sight.canary };
        let excess = if forward {
            had.stable - wanted.stable
        } else {
            had.canary.saturating_sub(wanted.canary)
        };
        let ready = sight.stable.ready.saturating_add(sight.canary.ready);
        let spare = ready.saturating_sub(self.plan.floor());
        // Replicas that are not ready carry nothing: taking them away costs nothing. Executors take
        // them first.
        let idle = shrinking.desired.saturating_sub(shrinking.ready);
        let less = excess.min(spare.saturating_add(idle));
        if less == 0 {
            return Move::AwaitReady(if forward { Role::Canary } else { Role::Stable });
        }
        let left = shrinking.ready.saturating_sub(less.saturating_sub(idle));

        // A plan that declares a gap in service has nowhere to send the traffic meanwhile.
        if self.plan.floor() > 0 {
            match self.relief(sight, forward, left) {
                Some(weight) if self.traffic.weight != Some(weight) => {
                    return Move::Do(self.route(weight));
                }
                Some(_) => {}
                None => return Move::AwaitReady(if forward { Role::Canary } else { Role::Stable }),
            }
        }
        if self.now < self.traffic.settled_at {
            return Move::AwaitSettled(self.traffic.settled_at);
        }
        if self.now < self.traffic.drained_at {
            return Move::AwaitDrained(self.traffic.drained_at);
        }
        let fewer = if forward {
            Counts {
                stable: had.stable - less,
                ..had
            }
        } else {
            Counts {
                canary: had.canary - less,
                ..had
            }
        };
        Move::Do(self.scale(goal, fewer))
    }

    /// The share of the canary, nearest to today's, with which the shrinking revision gets by on `left`
    /// ready replicas. `None` if the other one cannot take over what that moves.
    fn relief(&self, sight: &Sight, forward: bool, left: u32) -> Option<Percent> {
        let weight = self.traffic.weight?;
        let carried = |ready| self.plan.carried_by(ready).basis_points();
        // Shares are rounded down to the basis point, so that two which fill the whole may lack one.
        if forward {
            let relieved = weight.max(self.plan.carried_by(left).complement());
            let most = self.plan.carried_by(sight.canary.ready);
            let moved = relieved > weight;
            let fits = relieved.basis_points() <= most.basis_points() + 1;
            (!moved || fits).then_some(if moved { relieved.min(most) } else { weight })
        } else {
            let relieved = weight.min(self.plan.carried_by(left));
            let rest = relieved.complement().basis_points();
            (relieved == weight || rest <= carried(sight.stable.ready) + 1).then_some(relieved)
        }
    }

    /// The least share of a canary that must go, if that is less than it has: as much as the stable
    /// revision's ready replicas carry leaves it at once; all of it, if nothing of it is ready anyway.
    fn escape(&self, sight: &Sight, haste: Haste) -> Option<Percent> {
        let ready = sight.stable.ready;
        if ready == 0 || haste == Haste::Orderly {
            return None;
        }
        let least =
            if ready >= self.enough() || sight.canary.ready == 0 || haste == Haste::Desperate {
                Percent::ZERO
            } else {
                self.plan.carried_by(ready).complement()
            };
        (self.traffic.weight.unwrap_or(Percent::HUNDRED) > least).then_some(least)
    }

    /// With how many ready replicas the stable revision carries everything.
    fn enough(&self) -> u32 {
        if self.plan.autoscaled() {
            1
        } else {
            self.plan.needed_for(Percent::HUNDRED)
        }
    }

    /// How far it is from what is there to the goal; 0 is there.
    pub(super) fn gap(&self, sight: &Sight, goal: Goal) -> u64 {
        let stable = goal.stable.unwrap_or(sight.stable.desired);
        let missing = |wanted: u32, status: GroupStatus| {
            u64::from(wanted.abs_diff(status.desired))
                + u64::from(wanted.saturating_sub(status.ready))
        };
        // A broken stable revision that is only to keep what it has is no part of the way.
        let waits_for_stable = self
            .traffic
            .weight
            .is_none_or(|weight| weight > goal.weight)
            || sight.stable.desired < stable;
        let stable_gap = if waits_for_stable {
            missing(stable, sight.stable)
        } else {
            u64::from(stable.abs_diff(sight.stable.desired))
        };
        let weight = self.traffic.weight.map_or(10_001, |weight| {
            u64::from(weight.basis_points().abs_diff(goal.weight.basis_points()))
        });
        stable_gap + missing(goal.canary, sight.canary) + weight
    }

    pub(super) fn route(&self, weight: Percent) -> Action {
        let split = Split::new(
            self.plan.stable().clone(),
            self.plan.canary().clone(),
            weight,
        );
        Action::Route(split.with_cohort(self.plan.cohort().cloned()))
    }

    /// Changes no count, but tells the executor which revision is the stable one.
    pub(super) fn assign_roles(&self, sight: &Sight, goal: Goal) -> Action {
        let counts = Counts {
            stable: sight.stable.desired,
            canary: sight.canary.desired,
        };
        self.scale(goal, counts)
    }

    fn scale(&self, goal: Goal, counts: Counts) -> Action {
        Action::Scale(Fleet {
            stable: Group {
                revision: self.plan.stable().clone(),
                replicas: goal.stable.map(|_| counts.stable),
            },
            canary: Group {
                revision: self.plan.canary().clone(),
                replicas: Some(counts.canary),
            },
        })
    }
}

/// Replicas that take up room: those wanted, and those that are still there.
fn existing(status: GroupStatus) -> u32 {
    status
        .desired
        .max(status.ready.saturating_add(status.not_ready))
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Counts {
    stable: u32,
    canary: u32,
}

impl Counts {
    /// Grown towards `wanted` by at most `room` replicas together, never shrunk.
    fn grown_towards(self, wanted: Self, room: u32) -> Self {
        let stable = wanted.stable.saturating_sub(self.stable).min(room);
        let canary = wanted.canary.saturating_sub(self.canary).min(room - stable);
        Self {
            stable: self.stable + stable,
            canary: self.canary + canary,
        }
    }
}
