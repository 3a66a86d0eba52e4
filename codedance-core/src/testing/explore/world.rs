//! The world around the rollout: replicas, traffic, and the back end's books.

use std::collections::BTreeMap;

use crate::decision::{Assessment, Evidence, Judge, Reason, Verdict};
use crate::metrics::{Reading, Sample};
use crate::percent::Percent;
use crate::rollout::{Action, Observation, Report};
use crate::traffic::Split;
use crate::workload::{Fleet, FleetStatus, GroupStatus, Progress, Revision};

/// Replicas, traffic, books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::testing) struct World {
    pub(in crate::testing) pods: BTreeMap<Revision, Pods>,
    pub(in crate::testing) split: Split,
    /// The stable revision in the back end's own books.
    pub(in crate::testing) booked: Revision,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::testing) struct Pods {
    pub(in crate::testing) desired: u32,
    pub(in crate::testing) ready: u32,
    pub(in crate::testing) failed: u32,
}

impl World {
    pub(super) fn new(stable: &Revision, replicas: u32) -> Self {
        let pods = Pods {
            desired: replicas,
            ready: replicas,
            failed: 0,
        };
        Self {
            pods: BTreeMap::from([(stable.clone(), pods)]),
            split: Split::all(stable.clone()),
            booked: stable.clone(),
        }
    }

    pub(in crate::testing) fn of(&self, revision: &Revision) -> Pods {
        self.pods.get(revision).copied().unwrap_or_default()
    }

    pub(super) fn fleet(&self) -> FleetStatus {
        let status =
            |pods: &Pods| GroupStatus::new(pods.desired, pods.ready).with_failed(pods.failed);
        let pods = self.pods.iter();
        pods.map(|(r, pods)| (r.clone(), status(pods))).collect()
    }

    pub(super) fn observation(&self) -> Observation {
        Observation::new(self.fleet(), self.split.clone())
    }

    /// Does what an effect wants, and reports it.
    pub(super) fn act(&mut self, action: &Action, verdict: Verdict) -> Report {
        match action {
            Action::Observe => Report::Observed(self.observation()),
            Action::Scale(Fleet { stable, canary }) => {
                for group in [stable, canary] {
                    if let Some(count) = group.replicas {
                        self.pods
                            .entry(group.revision.clone())
                            .or_default()
                            .scale(count);
                    }
                }
                self.booked = stable.revision.clone();
                Report::Observed(self.fleet().into())
            }
            Action::Route(split) => {
                self.split = split.clone();
                let propagation = std::time::Duration::from_secs(1);
                Report::Routed {
                    split: split.clone(),
                    propagation,
                }
            }
            Action::Measure(_) => {
                let gauge = match verdict {
                    Verdict::Advance => 0.0,
                    Verdict::Hold => 1.0,
                    Verdict::Rollback => 2.0,
                };
                let sample = Sample::Gauge(gauge);
                Report::Measured {
                    readings: vec![Reading::new("oracle", sample.clone(), sample)],
                    observation: self.observation(),
                }
            }
            Action::Promote(revision) => {
                self.booked = revision.clone();
                Report::Promoted(Progress::Done)
            }
            Action::Retire(revision) => {
                self.pods.remove(revision);
                Report::Retired(Progress::Done)
            }
        }
    }

    /// All replicas of a revision that can become ready do.
    pub(super) fn become_ready(&mut self, revision: &Revision) {
        if let Some(pods) = self.pods.get_mut(revision) {
            pods.ready = pods.desired;
            pods.failed = 0;
        }
    }

    /// A ready replica breaks.
    pub(super) fn crash_one(&mut self, revision: &Revision) {
        if let Some(pods) = self.pods.get_mut(revision) {
            pods.ready = pods.ready.saturating_sub(1);
            pods.failed = (pods.failed + 1).min(pods.desired);
        }
    }

    pub(in crate::testing) fn share_of(&self, revision: &Revision) -> Percent {
        self.split.share_of(revision)
    }
}

impl Pods {
    /// Replicas that are not ready go first.
    pub(super) fn scale(&mut self, desired: u32) {
        self.desired = desired;
        self.ready = self.ready.min(desired);
        self.failed = self.failed.min(desired - self.ready);
    }
}

/// A judge whose verdict the world chooses, through the gauge that it reads.
#[derive(Debug)]
pub(super) struct Oracle;

impl Judge for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let verdict = match evidence.reading("oracle").map(|reading| &reading.canary) {
            Some(&Sample::Gauge(gauge)) if gauge < 0.5 => Verdict::Advance,
            Some(&Sample::Gauge(gauge)) if gauge > 1.5 => Verdict::Rollback,
            Some(_) | None => Verdict::Hold,
        };
        Assessment::new(verdict, vec![Reason::Other("the oracle spoke".to_owned())])
    }
}
