//! A little world that a rollout is driven in, and the journal that this leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::decision::{
    Assessment, Breach, Evidence, Judge, MetricAssessment, MetricOutcome, Policy, Reason, Score,
    ScoreRange, Unit, Verdict,
};
use codedance_core::error::ErrorKind;
use codedance_core::journal::{Entry, Record};
use codedance_core::metrics::{Reading, Sample, Window};
use codedance_core::plan::{Plan, Steps, Strategy};
use codedance_core::rollout::{Action, Effect, Input, Next, Observation, Report, Rollout};
use codedance_core::traffic::Split;
use codedance_core::workload::{
    FleetStatus, GroupStatus, Progress, Revision, Workload, WorkloadName,
};
use codedance_core::{Failure, Percent, Timestamp};

/// 21 November 2026, 10:00 UTC.
pub(crate) const BEGAN: i64 = 1_795_255_200_000;

/// Everything that is outside of the machine, and what the journal has of it.
pub(crate) struct World {
    pub(crate) rollout: Rollout,
    pub(crate) now: Timestamp,
    pub(crate) entries: Vec<Entry>,
    /// The share of the canary's requests that end badly, in percent.
    pub(crate) bad: u64,
    /// Whether the source of the metrics is down.
    pub(crate) blind: bool,
    fleet: BTreeMap<Revision, GroupStatus>,
    split: Split,
    looks: u64,
}

pub(crate) fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// Steps of 10, 50 and 100 %, a minute each.
pub(crate) fn plan(canary: &str) -> Plan {
    let name = WorkloadName::new("shop/web").unwrap();
    let workload = Workload::new(name, revision("v1"), revision(canary), 4);
    let steps = r#"{"steps": [
        {"weight": 10, "pause": "1m"}, {"weight": 50, "pause": "1m"}, {"weight": 100, "pause": "1m"}
    ]}"#;
    let steps: Steps = serde_json::from_str(steps).unwrap();
    steps.plan(&workload).unwrap()
}

/// Looks every 10 s at the error rate and the P99.
pub(crate) fn policy() -> Policy {
    let text = r#"{
        "interval": "10s",
        "metrics": [
            {"name": "error-rate", "signal": "error_rate", "limits": {"fail": "2%"}},
            {"name": "success-rate", "signal": "success_rate", "limits": {"fail": "98%"}},
            {"name": "latency-p99", "signal": {"latency": 0.99}, "limits": {"fail": "200ms"}}
        ],
        "judges": [{"own": "strict"}]
    }"#;
    serde_json::from_str(text).unwrap()
}

/// Goes back after two bad looks in a row, and advances after two good ones.
#[derive(Debug)]
pub(crate) struct Strict;

impl Judge for Strict {
    fn name(&self) -> &str {
        "strict"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let (good, bad): (u32, u32) = evidence.memory.recall();
        let rate = match evidence
            .reading("error-rate")
            .map(|reading| &reading.canary)
        {
            Some(&Sample::Counts { bad, total }) if total > 0 => Some(bad as f64 / total as f64),
            _ => None,
        };
        let (good, bad) = match rate {
            Some(rate) if rate > 0.02 => (0, bad + 1),
            Some(_) => (good + 1, 0),
            None => (0, bad),
        };
        let metric = || "error-rate".to_owned();
        let (verdict, reasons) = match rate {
            Some(value) if bad >= 2 => {
                let breach = Breach::new(metric(), value, 0.02, Unit::Share);
                let (in_row, in_stage) = (bad, bad);
                let again = Reason::BadLooks { in_row, in_stage };
                let failed = Reason::MetricFailed(breach);
                (Verdict::Rollback, vec![failed, again])
            }
            None => (
                Verdict::Hold,
                vec![Reason::FewSamples {
                    metric: metric(),
                    have: 0,
                    need: 1,
                }],
            ),
            Some(_) if good < 2 => {
                let reason = Reason::FewGoodLooks {
                    have: good,
                    need: 2,
                };
                (Verdict::Hold, vec![reason])
            }
            Some(_) => (Verdict::Advance, vec![]),
        };
        let score = rate.map_or(ScoreRange::UNKNOWN, |rate| {
            ScoreRange::exactly(Score::new(100.0 - rate * 1_000.0))
        });
        let outcome = match rate {
            None => MetricOutcome::Missing,
            Some(rate) if rate > 0.02 => MetricOutcome::Fail,
            Some(_) => MetricOutcome::Pass,
        };
        Assessment::new(verdict, reasons)
            .with_score(score)
            .with_metrics(vec![MetricAssessment::new("error-rate", outcome, score)])
            .with_memory(codedance_core::decision::Memory::of(&(good, bad)))
    }
}

impl World {
    pub(crate) fn new(canary: &str) -> Self {
        let now = Timestamp::from_millis(BEGAN);
        let (plan, policy) = (plan(canary), policy());
        let began = Record::Began(Box::new(plan.clone()), Box::new(policy.clone()));
        let stable = revision("v1");
        Self {
            rollout: Rollout::new(plan, policy, now)
                .with_judges([Arc::new(Strict) as Arc<dyn Judge>]),
            now,
            entries: vec![Entry::new(0, now, began)],
            bad: 0,
            blind: false,
            fleet: [(stable.clone(), GroupStatus::new(4, 4))].into(),
            split: Split::all(stable),
            looks: 0,
        }
    }

    pub(crate) fn tell(&mut self, input: Input) {
        if self.rollout.would_change(self.now, &input) {
            let record = Record::Told(input.clone());
            let entry = Entry::new(self.entries.len() as u64, self.now, record);
            let events = self.rollout.step(self.now, input).unwrap();
            self.entries.push(entry.with_events(&events));
        }
    }

    pub(crate) fn snapshot(&mut self) {
        let record = Record::Snapshot(Box::new(self.rollout.snapshot()));
        let entry = Entry::new(self.entries.len() as u64, self.now, record);
        self.entries.push(entry);
    }

    /// Lets so many seconds pass, or until it is over or waits for people.
    pub(crate) fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            match self.rollout.next() {
                Next::Run(Effect { id, action }) => {
                    self.now = self.now + Duration::from_millis(250);
                    let report = self.carry_out(&action);
                    self.tell(Input::Outcome(id, report));
                }
                Next::WaitUntil(at)
                | Next::AwaitCommand {
                    until: Some(at), ..
                } => {
                    self.now = at.max(self.now + Duration::from_millis(1)).min(end);
                    self.tell(Input::Tick);
                }
                Next::AwaitCommand { until: None, .. } | Next::Finished(_) => return,
            }
        }
    }

    /// Kills replicas of the canary.
    pub(crate) fn crash(&mut self, failed: u32) {
        let canary = self.rollout.plan().canary().clone();
        let status = self.fleet.get_mut(&canary).unwrap();
        *status = GroupStatus::new(status.desired, status.desired - failed).with_failed(failed);
        let seen = self.seen();
        self.tell(Input::Observed(seen));
    }

    fn seen(&self) -> Observation {
        let mut fleet = FleetStatus::new();
        for (revision, status) in &self.fleet {
            fleet = fleet.with(revision.clone(), *status);
        }
        Observation::new(fleet, self.split.clone())
    }

    fn carry_out(&mut self, action: &Action) -> Result<Report, Failure> {
        Ok(match action {
            Action::Observe => {
                // What was started a while ago is ready now.
                for status in self.fleet.values_mut().filter(|status| status.failed == 0) {
                    *status = GroupStatus::new(status.desired, status.desired);
                }
                Report::Observed(self.seen())
            }
            Action::Scale(fleet) => {
                for group in [&fleet.stable, &fleet.canary] {
                    let Some(wanted) = group.replicas else {
                        continue;
                    };
                    let before = self.fleet.get(&group.revision).map_or(0, |s| s.ready);
                    let ready = before.min(wanted);
                    let status = GroupStatus::new(wanted, ready);
                    self.fleet.insert(group.revision.clone(), status);
                }
                Report::Observed(self.seen())
            }
            Action::Route(split) => {
                self.split = split.clone();
                let (split, propagation) = (split.clone(), Duration::from_millis(500));
                Report::Routed { split, propagation }
            }
            Action::Measure(_) if self.blind => {
                let message = "failed to read the metrics (unavailable): connection refused";
                return Err(Failure::new(ErrorKind::Unavailable, message));
            }
            Action::Measure(measurement) => Report::Measured {
                readings: self.measure(measurement.window),
                observation: self.seen(),
            },
            Action::Promote(_) => Report::Promoted(Progress::Done),
            Action::Retire(revision) => {
                self.fleet.remove(revision);
                Report::Retired(Progress::Done)
            }
        })
    }

    fn measure(&mut self, window: Window) -> Vec<Reading> {
        self.looks += 1;
        let canary = self.rollout.plan().canary().clone();
        let share =
            |weight: Percent| window.length().as_secs() * u64::from(weight.basis_points()) / 100;
        let weight = self.split.share_of(&canary);
        let (canary, stable) = (share(weight), share(weight.complement()));
        let counts = |total: u64, bad: u64| match total {
            0 => Sample::NoData,
            total => Sample::Counts { bad, total },
        };
        let quantile = |count: u64, value: f64| match count {
            0 => Sample::NoData,
            count => Sample::Quantile { value, count },
        };
        let wave = (self.looks % 5) as f64;
        vec![
            Reading::new(
                "error-rate",
                counts(canary, canary * self.bad / 100),
                counts(stable, stable / 500 + self.looks % 2),
            ),
            Reading::new(
                "success-rate",
                counts(canary, canary * self.bad / 100),
                counts(stable, stable / 500 + self.looks % 2),
            ),
            Reading::new(
                "latency-p99",
                quantile(canary, 0.042 + 0.003 * wave + 0.01 * self.bad as f64),
                quantile(stable, 0.040 + 0.002 * (4.0 - wave)),
            ),
        ]
    }
}
