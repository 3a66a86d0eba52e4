//! A world in which everything is done at once, and measured as it was recorded.

use std::time::Duration;

use codedance_core::decision::Policy;
use codedance_core::error::Failure;
use codedance_core::metrics::{MetricQuery, Question, Reading, Sample};
use codedance_core::plan::Plan;
use codedance_core::rollout::{Action, Measurement, Observation, Report};
use codedance_core::traffic::Split;
use codedance_core::workload::{FleetStatus, GroupStatus, Progress, Revision};

use crate::history::History;

/// Replicas that are ready as soon as they are wanted, and traffic that moves at once.
pub(crate) struct ObedientWorld<'a> {
    history: &'a History,
    stable: Revision,
    canary: Revision,
    metrics: Vec<MetricQuery>,
    fleet: FleetStatus,
    split: Split,
}

impl<'a> ObedientWorld<'a> {
    /// Before the rollout: the stable revision alone.
    pub(crate) fn new(plan: &Plan, policy: &Policy, history: &'a History) -> Self {
        let replicas = plan.replicas();
        Self {
            history,
            stable: plan.stable().clone(),
            canary: plan.canary().clone(),
            metrics: policy.queries(),
            fleet: FleetStatus::new()
                .with(plan.stable().clone(), GroupStatus::new(replicas, replicas)),
            split: Split::all(plan.stable().clone()),
        }
    }

    /// Does what is wanted, and reports it.
    pub(crate) fn carry_out(&mut self, action: &Action) -> Result<Report, Failure> {
        Ok(match action {
            Action::Observe => Report::Observed(self.observation()),
            Action::Scale(fleet) => {
                for group in [&fleet.stable, &fleet.canary] {
                    if let Some(count) = group.replicas {
                        self.scale(&group.revision, count);
                    }
                }
                Report::Observed(self.observation())
            }
            Action::Route(split) => {
                self.split = split.clone();
                Report::Routed {
                    split: split.clone(),
                    propagation: Duration::ZERO,
                }
            }
            Action::Measure(measurement) => Report::Measured {
                readings: self.measure(measurement)?,
                observation: self.observation(),
            },
            Action::Promote(_) => Report::Promoted(Progress::Done),
            Action::Retire(revision) => {
                self.scale(revision, 0);
                Report::Retired(Progress::Done)
            }
        })
    }

    fn scale(&mut self, revision: &Revision, count: u32) {
        let fleet = std::mem::take(&mut self.fleet);
        self.fleet = fleet.with(revision.clone(), GroupStatus::new(count, count));
    }

    fn observation(&self) -> Observation {
        Observation::new(self.fleet.clone(), self.split.clone())
    }

    fn measure(&self, measurement: &Measurement) -> Result<Vec<Reading>, Failure> {
        let question = Question {
            stable: self.stable.clone(),
            canary: self.canary.clone(),
            metrics: self.metrics.clone(),
            window: measurement.window,
            history: measurement.history,
        };
        if let Some(failure) = self.history.failure(question.window) {
            return Err(failure.clone());
        }
        let read = |query: &MetricQuery| self.read(query, &question);
        Ok(self.metrics.iter().map(read).collect())
    }

    fn read(&self, query: &MetricQuery, question: &Question) -> Reading {
        let past = question.past();
        let past: Vec<Sample> = past
            .map(|window| self.history.reading(&query.name, window).stable)
            .collect();
        // A recording that has nothing before the start keeps no past.
        let known = past.iter().any(|sample| *sample != Sample::NoData);
        let reading = self.history.reading(&query.name, question.window);
        reading.with_history(if known { past } else { Vec::new() })
    }
}
