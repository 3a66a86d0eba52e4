//! The world that rollouts act on: a file to which each effect adds a line, and nothing else.
//!
//! A line is written by one call, so that a killed process leaves it whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::metrics::{MetricsSource, Question, Reading, Sample};
use codedance_core::rollout::Action;
use codedance_core::traffic::{Capability, Split, TrafficRouter};
use codedance_core::workload::{Executor, Fleet, FleetStatus, GroupStatus, Progress, Revision};
use codedance_core::{Percent, Result};

/// From this share of the traffic on a bad canary fails.
const BREAKS_AT: u16 = 2_500;

#[derive(Clone, Debug)]
pub(crate) struct World {
    file: PathBuf,
    pub(crate) bad: bool,
}

impl World {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        let file = directory.join("effects.jsonl");
        Self { file, bad: false }
    }

    /// Everything that was ever done, in order.
    pub(crate) fn effects(&self) -> Vec<Action> {
        let lines = fs::read_to_string(&self.file).unwrap_or_default();
        let effects = lines.lines().map(serde_json::from_str);
        effects.collect::<serde_json::Result<_>>().unwrap()
    }

    fn add(&self, effect: &Action) {
        let line = serde_json::to_string(effect).unwrap() + "\n";
        let mut file = OpenOptions::new();
        let mut file = file.append(true).create(true).open(&self.file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    fn split(&self) -> Split {
        let routed = |effect| match effect {
            Action::Route(split) => Some(split),
            _ => None,
        };
        let last = self.effects().into_iter().rev().find_map(routed);
        last.unwrap_or_else(|| Split::all(stable()))
    }

    fn fleet(&self) -> FleetStatus {
        let mut counts = BTreeMap::from([(stable(), 4)]);
        for effect in self.effects() {
            match effect {
                Action::Scale(fleet) => {
                    for group in [fleet.stable, fleet.canary] {
                        counts.extend(group.replicas.map(|count| (group.revision, count)));
                    }
                }
                Action::Retire(revision) => {
                    counts.remove(&revision);
                }
                _ => {}
            }
        }
        let ready = |count| GroupStatus::new(count, count);
        counts
            .into_iter()
            .map(|(r, count)| (r, ready(count)))
            .collect()
    }
}

fn stable() -> Revision {
    "v1".parse().unwrap()
}

#[async_trait]
impl Executor for World {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        self.add(&Action::Scale(fleet.clone()));
        self.status().await
    }

    async fn status(&self) -> Result<FleetStatus> {
        Ok(self.fleet())
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        self.add(&Action::Promote(revision.clone()));
        Ok(Progress::Done)
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        self.add(&Action::Retire(revision.clone()));
        Ok(Progress::Done)
    }
}

#[async_trait]
impl TrafficRouter for World {
    fn capability(&self) -> Capability {
        Capability::new(Percent::ratio(1, 10_000), Duration::ZERO)
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        self.add(&Action::Route(split.clone()));
        Ok(())
    }

    async fn observe(&self) -> Result<Split> {
        Ok(self.split())
    }
}

#[async_trait]
impl MetricsSource for World {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let weight = self.split().share_of(&question.canary).basis_points();
        let bad = if self.bad && weight >= BREAKS_AT {
            900
        } else {
            0
        };
        let counts = |bad| Sample::Counts { bad, total: 1_000 };
        let read = |name: &String| Reading::new(name, counts(bad), counts(0));
        Ok(question
            .metrics
            .iter()
            .map(|query| read(&query.name))
            .collect())
    }
}
