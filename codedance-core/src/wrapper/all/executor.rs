//! Executors that move as one.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{All, Asked};
use crate::error::Result;
use crate::workload::{Executor, Fleet, FleetStatus, GroupStatus, Progress, Revision};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Executor> Executor for All<T> {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        for group in [&fleet.stable, &fleet.canary] {
            let counts = &mut self.asked().counts;
            match group.replicas {
                Some(count) => counts.insert(group.revision.clone(), count),
                None => counts.remove(&group.revision),
            };
        }
        let members = self
            .each("scale every member", |member| member.scale(fleet))
            .await?;
        Ok(worst(&members, &self.asked()))
    }

    async fn status(&self) -> Result<FleetStatus> {
        let members = self
            .each("look at every member", |member| member.status())
            .await?;
        Ok(worst(&members, &self.asked()))
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        let members = self
            .each("promote in every member", |member| member.promote(revision))
            .await?;
        Ok(slowest(members))
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        self.asked().counts.remove(revision);
        let members = self
            .each("retire in every member", |member| member.retire(revision))
            .await?;
        Ok(slowest(members))
    }
}

fn worst(members: &[(&str, FleetStatus)], asked: &Asked) -> FleetStatus {
    let listed = members
        .iter()
        .flat_map(|(_, status)| status.iter().map(|(revision, _)| revision));
    let listed = listed.collect::<BTreeSet<_>>();
    listed
        .into_iter()
        .fold(FleetStatus::new(), |combined, revision| {
            let each = members
                .iter()
                .map(|(_, status)| status.of(revision))
                .collect::<Vec<_>>();
            combined.with(
                revision.clone(),
                worst_group(&each, asked.counts.get(revision).copied()),
            )
        })
}

fn worst_group(each: &[GroupStatus], asked: Option<u32>) -> GroupStatus {
    let least = |field: fn(&GroupStatus) -> u32| each.iter().map(field).min().unwrap_or(0);
    let sum = |field: fn(&GroupStatus) -> u32| each.iter().map(field).fold(0, u32::saturating_add);
    let astray = each
        .iter()
        .map(|status| status.desired)
        .find(|desired| Some(*desired) != asked);
    let desired = match (asked, astray) {
        (Some(_), Some(astray)) => astray,
        _ => least(|status| status.desired),
    };
    let present = each
        .iter()
        .map(|status| status.ready.saturating_add(status.not_ready))
        .max();
    let mut worst = GroupStatus::new(desired, least(|status| status.ready))
        .with_failed(sum(|status| status.failed))
        .with_restarts(sum(|status| status.restarts));
    worst.not_ready = present.unwrap_or(0).saturating_sub(worst.ready);
    worst
}

fn slowest(members: Vec<(&str, Progress)>) -> Progress {
    let waiting = members
        .into_iter()
        .filter_map(|(name, progress)| match progress {
            Progress::Done => None,
            Progress::Pending(what) => Some(format!("{name}: {what}")),
        });
    let waiting = waiting.collect::<Vec<_>>();
    if waiting.is_empty() {
        Progress::Done
    } else {
        Progress::Pending(waiting.join("; "))
    }
}
