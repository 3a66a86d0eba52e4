//! The machine driven as a reconcile loop drives it: restore the JSON, tell what is observed, save, do
//! one effect, save its outcome. Saves are lost, reads are stale, and two loops overlap.
//!
//! The rules that such a loop keeps: it saves before it acts, a save that is based on a stale read is
//! refused (a resource version), and so is a change of the traffic that is based on a stale look at it.

use std::time::Duration;

use codedance_core::decision::{Assessment, Evidence, Judge, Reason, Verdict};
use codedance_core::decision::{JudgeConfig, Policy};
use codedance_core::plan::{Draft, Exponential, Plan, Strategy};
use codedance_core::rollout::{
    Action, Effect, Input, Next, Observation, Outcome, Report, Rollout, Snapshot,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{
    FleetStatus, GroupStatus, Progress, Revision, Workload, WorkloadName,
};
use codedance_core::{ErrorKind, Failure, Percent, Timestamp};

/// Condemns the canary from a weight on, or never.
#[derive(Debug)]
struct From(Option<u16>);

impl Judge for From {
    fn name(&self) -> &'static str {
        "from"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        match self.0 {
            Some(points) if evidence.weight.basis_points() >= points => Assessment::new(
                Verdict::Rollback,
                vec![Reason::Other("it is bad".to_owned())],
            ),
            _ => Assessment::new(Verdict::Advance, Vec::new()),
        }
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What an API server keeps: the status as JSON, and the world, each with a version.
struct Server {
    saved: Vec<String>,
    stable: GroupStatus,
    canary: GroupStatus,
    split: Split,
    split_version: u64,
    weights: Vec<Percent>,
    going_back: bool,
}

fn v(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

fn plan() -> Plan {
    let workload = Workload::new(WorkloadName::new("shop").unwrap(), v("v1"), v("v2"), 4);
    let mut draft: Draft = Exponential::new(Duration::from_secs(2))
        .plan(&workload)
        .unwrap()
        .into_draft();
    draft.drain = Duration::from_secs(1);
    draft.try_into().unwrap()
}

impl Server {
    fn new(rollout: &Rollout) -> Self {
        Self {
            saved: vec![serde_json::to_string(&rollout.snapshot()).unwrap()],
            stable: GroupStatus::new(4, 4),
            canary: GroupStatus::default(),
            split: Split::all(v("v1")),
            split_version: 0,
            weights: vec![Percent::ZERO],
            going_back: false,
        }
    }

    fn observation(&self) -> Observation {
        let fleet = FleetStatus::new()
            .with(v("v1"), self.stable)
            .with(v("v2"), self.canary);
        Observation::new(fleet, self.split.clone())
    }

    /// Saves what was made of the status of that version, unless there is a newer one.
    fn save(&mut self, version: usize, snapshot: &Snapshot) -> Option<usize> {
        if version + 1 != self.saved.len() {
            return None;
        }
        self.saved.push(serde_json::to_string(snapshot).unwrap());
        Some(version + 1)
    }

    /// Carries an effect out, unless the traffic was changed since it was looked at.
    fn act(&mut self, action: &Action, seen: u64) -> Result<Report, Failure> {
        Ok(match action {
            Action::Observe => Report::Observed(self.observation()),
            Action::Scale(fleet) => {
                // Replicas become ready at once; the machine is told so by the report.
                let count = |group: &codedance_core::workload::Group| group.replicas.unwrap();
                self.stable = GroupStatus::new(count(&fleet.stable), count(&fleet.stable));
                self.canary = GroupStatus::new(count(&fleet.canary), count(&fleet.canary));
                Report::Observed(self.observation().fleet.unwrap().into())
            }
            Action::Route(split) => {
                if seen != self.split_version {
                    return Err(Failure::new(ErrorKind::Conflict, "the route has changed"));
                }
                let (before, after) = (
                    self.weights[self.weights.len() - 1],
                    split.share_of(&v("v2")),
                );
                let backwards = if self.going_back {
                    after > before
                } else {
                    after < before
                };
                self.going_back |= backwards && after == Percent::ZERO;
                assert!(
                    !backwards || after == Percent::ZERO,
                    "{before} → {after}: {:?}",
                    self.weights
                );
                self.weights.push(after);
                self.split = split.clone();
                self.split_version += 1;
                let propagation = Duration::from_millis(100);
                Report::Routed {
                    split: split.clone(),
                    propagation,
                }
            }
            Action::Measure(_) => Report::Measured {
                readings: Vec::new(),
                observation: self.observation(),
            },
            Action::Promote(_) => Report::Promoted(Progress::Done),
            Action::Retire(revision) => {
                if *revision == v("v1") {
                    self.stable = GroupStatus::default();
                } else {
                    self.canary = GroupStatus::default();
                }
                Report::Retired(Progress::Done)
            }
        })
    }
}

/// A loop that was preempted between its save and its effect.
struct Preempted {
    effect: Effect,
    seen: u64,
}

fn judged(snapshot: &str, bad_from: Option<u16>) -> Rollout {
    Rollout::restore(serde_json::from_str(snapshot).unwrap())
        .unwrap()
        .with_judges([std::sync::Arc::new(From(bad_from)) as _])
}

/// Runs loops until one of them finds the rollout finished; returns how it ended and the weights on the
/// way.
fn reconcile(seed: u64, bad_from: Option<u16>, trouble: bool) -> (Outcome, Vec<Percent>) {
    let policy = Policy::builder()
        .with_judge(JudgeConfig::Own("from".to_owned()))
        .with_interval(Duration::from_secs(1))
        .build()
        .unwrap();
    let mut now = Timestamp::from_millis(1_000);
    let mut server = Server::new(&Rollout::new(plan(), policy, now));
    let mut dice = Dice(seed);
    let mut preempted: Vec<Preempted> = Vec::new();
    let mut goes_wrong = |one_in: u64| trouble && dice.roll(one_in) == 0;

    for _ in 0..3_000 {
        // A loop that slept wakes up and does what it meant to do.
        if goes_wrong(3)
            && let Some(late) = preempted.pop()
        {
            let _lost = server.act(&late.effect.action, late.seen);
        }
        let seen = server.split_version;
        let observation = server.observation();
        let stale = usize::from(goes_wrong(5));
        let version = (server.saved.len() - 1).saturating_sub(stale);
        let mut rollout = judged(&server.saved[version], bad_from);
        rollout.step(now, Input::Observed(observation)).unwrap();
        rollout.step(now, Input::Tick).unwrap();

        let Some(version) = server.save(version, &rollout.snapshot()) else {
            continue;
        };
        match rollout.next() {
            Next::Finished(outcome) => return (outcome, server.weights),
            Next::WaitUntil(at) => now = at,
            Next::AwaitCommand { .. } => panic!("seed {seed}: {}", rollout.explain()),
            Next::Run(effect) => {
                if goes_wrong(8) {
                    preempted.push(Preempted { effect, seen });
                    continue;
                }
                let outcome = server.act(&effect.action, seen);
                rollout
                    .step(now, Input::Outcome(effect.id, outcome))
                    .unwrap();
                // One save in six never arrives.
                if !goes_wrong(6) {
                    server.save(version, &rollout.snapshot());
                }
            }
        }
    }
    panic!(
        "seed {seed}: it does not end: {}",
        judged(&server.saved[server.saved.len() - 1], None).explain()
    );
}

#[test]
fn an_undisturbed_loop_goes_through_every_stage() {
    let (outcome, weights) = reconcile(0, None, false);
    assert_eq!(outcome, Outcome::Completed);
    let percents: Vec<u16> = weights
        .iter()
        .map(|weight| weight.basis_points() / 100)
        .collect();
    assert_eq!(percents, [0, 1, 5, 10, 25, 50, 100, 100]);
}

#[test]
fn lost_saves_stale_reads_and_overlapping_loops_lead_to_the_same_end() {
    for seed in 0..300 {
        let (outcome, weights) = reconcile(seed, None, true);
        assert_eq!(outcome, Outcome::Completed, "seed {seed}");
        let mut distinct = weights;
        distinct.dedup();
        let percents: Vec<u16> = distinct
            .iter()
            .map(|weight| weight.basis_points() / 100)
            .collect();
        assert_eq!(percents, [0, 1, 5, 10, 25, 50, 100], "seed {seed}");
    }
}

#[test]
fn so_does_a_rollback() {
    for seed in 0..300 {
        let (outcome, weights) = reconcile(seed, Some(1_000), true);
        assert!(
            matches!(outcome, Outcome::RolledBack(_)),
            "seed {seed}: {outcome}"
        );
        let mut distinct = weights;
        distinct.dedup();
        let percents: Vec<u16> = distinct
            .iter()
            .map(|weight| weight.basis_points() / 100)
            .collect();
        assert_eq!(percents, [0, 1, 5, 10, 0], "seed {seed}");
    }
}
