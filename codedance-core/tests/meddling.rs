//! Rollouts that somebody interferes with: nobody is sent where nobody answers, what is retired has no
//! traffic, and a way back ends where it began, in the back end's books as well.

use std::time::Duration;

use codedance_core::decision::Policy;
use codedance_core::plan::{Draft, Plan, Stage};
use codedance_core::rollout::{
    Action, Cause, Command, Input, Next, Observation, Outcome, Report, Rollout, Waiting,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{
    FleetStatus, GroupStatus, Progress, Revision, Workload, WorkloadName,
};
use codedance_core::{Percent, Timestamp};

fn v(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// Straight to everything, on one replica, without a bake.
fn plan() -> Plan {
    let name = WorkloadName::new("shop").unwrap();
    let mut draft = Draft::new(&Workload::new(name, v("v1"), v("v2"), 1));
    draft.stages = vec![Stage::new(Percent::HUNDRED, 1, Some(1))];
    draft.drain = Duration::from_secs(1);
    draft.try_into().unwrap()
}

/// A rollout, and a back end that obeys it.
struct Shop {
    rollout: Rollout,
    now: Timestamp,
    stable: GroupStatus,
    canary: GroupStatus,
    split: Split,
    /// The stable revision in the back end's books.
    booked: Revision,
    done: Vec<String>,
}

impl Shop {
    fn new() -> Self {
        let now = Timestamp::EPOCH;
        Self {
            rollout: Rollout::new(plan(), Policy::default(), now),
            now,
            stable: GroupStatus::new(1, 1),
            canary: GroupStatus::new(0, 0),
            split: Split::all(v("v1")),
            booked: v("v1"),
            done: Vec::new(),
        }
    }

    fn fleet(&self) -> FleetStatus {
        let fleet = FleetStatus::new().with(v("v1"), self.stable);
        fleet.with(v("v2"), self.canary)
    }

    fn act(&mut self, action: &Action) -> Report {
        self.done.push(action.to_string());
        match action {
            Action::Observe => Report::Observed(Observation::new(self.fleet(), self.split.clone())),
            Action::Scale(fleet) => {
                let scaled = |count: u32| GroupStatus::new(count, count);
                self.stable = fleet.stable.replicas.map_or(self.stable, scaled);
                self.canary = fleet.canary.replicas.map_or(self.canary, scaled);
                self.booked = fleet.stable.revision.clone();
                Report::Observed(self.fleet().into())
            }
            Action::Route(split) => {
                self.split = split.clone();
                Report::Routed {
                    split: split.clone(),
                    propagation: Duration::ZERO,
                }
            }
            Action::Measure(_) => Report::Measured {
                readings: Vec::new(),
                observation: Observation::new(self.fleet(), self.split.clone()),
            },
            Action::Promote(revision) => {
                self.booked = revision.clone();
                Report::Promoted(Progress::Done)
            }
            Action::Retire(revision) => {
                let retired = if *revision == v("v1") {
                    &mut self.stable
                } else {
                    &mut self.canary
                };
                *retired = GroupStatus::new(0, 0);
                Report::Retired(Progress::Done)
            }
        }
    }

    /// Goes on until it is about to do what `stop` names, or for `longest`.
    fn run(&mut self, longest: Duration, stop: &str) -> Option<Outcome> {
        let until = self.now + longest;
        loop {
            match self.rollout.next() {
                Next::Run(effect) if effect.action.to_string().starts_with(stop) => return None,
                Next::Run(effect) => {
                    let report = self.act(&effect.action);
                    self.tell(Input::Outcome(effect.id, Ok(report)));
                }
                Next::WaitUntil(at) if at <= until => {
                    self.now = at;
                    self.tell(Input::Tick);
                }
                Next::WaitUntil(_) | Next::AwaitCommand { .. } => return None,
                Next::Finished(outcome) => return Some(outcome),
            }
        }
    }

    fn run_to(&mut self, stop: &str) {
        let ended = self.run(Duration::from_secs(3_600), stop);
        assert_eq!(ended, None, "it ends before it comes to {stop}");
        assert!(matches!(self.rollout.next(), Next::Run(_)), "never {stop}");
    }

    fn tell(&mut self, input: Input) {
        self.rollout.step(self.now, input).unwrap();
    }

    /// A watch sees what is there.
    fn seen(&mut self) {
        let observation = Observation::new(self.fleet(), self.split.clone());
        self.tell(Input::Observed(observation));
    }
}

const LONG: Duration = Duration::from_secs(3_600);
const NEVER: &str = "never";

/// The promotion was written in the books, and then went back; whoever reads the books would have taken
/// the revision that is gone for the stable one.
#[test]
fn a_promotion_that_is_aborted_leaves_the_stable_revision_in_the_books() {
    let mut shop = Shop::new();
    shop.run_to("promote");
    shop.run_to("route");
    assert_eq!(shop.booked, v("v2"));
    shop.tell(Input::Command(Command::Abort));
    let outcome = shop.run(LONG, NEVER);
    assert_eq!(outcome, Some(Outcome::RolledBack(Cause::Aborted)));
    assert_eq!(shop.booked, v("v1"), "{:?}", shop.done);
}

/// Traffic that somebody took off the canary while the old revision was about to go would have been sent
/// to replicas that are not there.
#[test]
fn traffic_goes_back_to_a_promoted_canary_only_when_it_is_ready() {
    let mut shop = Shop::new();
    shop.run_to("retire");
    shop.canary = GroupStatus::new(1, 0);
    shop.split = Split::all(v("v1"));
    shop.seen();
    assert_eq!(shop.run(Duration::from_secs(10), NEVER), None);
    assert_eq!(shop.split, Split::all(v("v1")), "{:?}", shop.done);
    let waiting_for = shop.rollout.explain().waiting_for;
    let replicas = Waiting::Replicas {
        revision: v("v2"),
        ready: 0,
        wanted: 1,
    };
    assert_eq!(waiting_for, replicas);

    shop.canary = GroupStatus::new(1, 1);
    assert_eq!(shop.run(LONG, NEVER), Some(Outcome::Completed));
    assert_eq!(shop.split, Split::all(v("v2")));
}

/// Replicas that somebody took away never come back by waiting: the promotion would have waited for them
/// until it was given up.
#[test]
fn a_promotion_regains_replicas_that_were_taken_away() {
    for step in ["promote", "route", "retire"] {
        let mut shop = Shop::new();
        shop.run_to("promote");
        shop.run_to(step);
        let done = shop.done.len();
        shop.canary = GroupStatus::new(0, 0);
        shop.split = Split::all(v("v1"));
        shop.seen();
        assert_eq!(shop.run(LONG, NEVER), Some(Outcome::Completed), "{step}");
        assert_eq!(shop.canary, GroupStatus::new(1, 1), "{step}");
        assert_eq!(shop.split, Split::all(v("v2")), "{step}");
        assert_eq!(shop.booked, v("v2"), "{step}: {:?}", &shop.done[done..]);
        assert!(
            shop.now < Timestamp::EPOCH + Duration::from_secs(60),
            "{step}"
        );
    }
}

/// What a stranger sends elsewhere is sent back before anything else: nothing of the rollout's own would
/// ever take it away from there.
#[test]
fn traffic_on_a_third_revision_is_sent_back_at_once() {
    let mut shop = Shop::new();
    let half = Percent::new(50).unwrap();
    shop.split = Split::new(v("v1"), v("v0"), half);
    shop.run_to("scale");
    assert_eq!(shop.split.share_of(&v("v1")), Percent::HUNDRED);

    shop.run_to("promote");
    shop.split = Split::new(v("v1"), v("v0"), Percent::ZERO);
    shop.seen();
    shop.split = Split::new(v("v2"), v("v0"), half);
    shop.seen();
    assert_eq!(shop.run(LONG, NEVER), Some(Outcome::Completed));
    assert_eq!(shop.split, Split::all(v("v2")));
}
