//! A rollout in a world that obeys at once; what it measures, each test says.

use std::time::Duration;

use codedance_core::metrics::Reading;
use codedance_core::rollout::{
    Action, Effect, Input, Measurement, Next, Observation, Report, Rollout,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{FleetStatus, GroupStatus, Progress, Revision};

pub(crate) struct Driven {
    pub(crate) rollout: Rollout,
    seen: Observation,
}

impl Driven {
    /// Of `replicas` of the stable revision, which has all of the traffic.
    pub(crate) fn new(rollout: Rollout, stable: &Revision, replicas: u32) -> Self {
        let fleet = FleetStatus::new().with(stable.clone(), GroupStatus::new(replicas, replicas));
        Self {
            rollout,
            seen: Observation::new(fleet, Split::all(stable.clone())),
        }
    }

    /// Goes on to the next look; `None` if the rollout ends.
    pub(crate) fn next_look(&mut self) -> Option<Measurement> {
        loop {
            let (mut fleet, mut split) = self.there();
            let (id, report) = match self.rollout.next() {
                Next::WaitUntil(at) => {
                    self.rollout.step(at, Input::Tick).unwrap();
                    continue;
                }
                Next::Finished(_) => return None,
                Next::AwaitCommand { .. } => panic!("{}", self.rollout.explain()),
                Next::Run(effect) => match effect.action {
                    Action::Measure(measurement) => return Some(measurement),
                    Action::Observe => (effect.id, Report::Observed(self.seen.clone())),
                    Action::Scale(wanted) => {
                        for group in [&wanted.stable, &wanted.canary] {
                            let count = group.replicas.unwrap_or_default();
                            let status = GroupStatus::new(count, count);
                            fleet = fleet.with(group.revision.clone(), status);
                        }
                        (effect.id, Report::Observed(fleet.clone().into()))
                    }
                    Action::Route(wanted) => {
                        split = wanted.clone();
                        let propagation = Duration::ZERO;
                        let split = wanted;
                        (effect.id, Report::Routed { split, propagation })
                    }
                    Action::Promote(_) => (effect.id, Report::Promoted(Progress::Done)),
                    Action::Retire(_) => (effect.id, Report::Retired(Progress::Done)),
                },
            };
            self.seen = Observation::new(fleet, split);
            self.tell(Input::Outcome(id, Ok(report)));
        }
    }

    fn there(&self) -> (FleetStatus, Split) {
        let Observation { fleet, split, .. } = self.seen.clone();
        (fleet.unwrap(), split.unwrap())
    }

    /// The look that is wanted now.
    pub(crate) fn wanted(&self) -> (Effect, Measurement) {
        let Next::Run(effect) = self.rollout.next() else {
            panic!("no look is wanted");
        };
        let Action::Measure(measurement) = effect.action.clone() else {
            panic!("{} is wanted", effect.action);
        };
        (effect, measurement)
    }

    /// The look that is wanted sees these; they may depend on how many intervals of the past it asks for.
    pub(crate) fn look(&mut self, see: impl FnOnce(usize) -> Vec<Reading>) {
        let (effect, measurement) = self.wanted();
        let intervals = measurement.history.map_or(0, |history| history.intervals);
        let report = Report::Measured {
            readings: see(intervals as usize),
            observation: self.seen.clone(),
        };
        self.tell(Input::Outcome(effect.id, Ok(report)));
    }

    pub(crate) fn tell(&mut self, input: Input) {
        let now = self.rollout.now();
        self.rollout.step(now, input).unwrap();
    }

    /// As another process would find it.
    pub(crate) fn restore(&mut self) {
        let json = serde_json::to_string(&self.rollout.snapshot()).unwrap();
        self.rollout = Rollout::restore(serde_json::from_str(&json).unwrap()).unwrap();
    }
}
