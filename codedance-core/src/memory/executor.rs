//! Replicas that exist in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::open;
use crate::error::{Error, ErrorKind, Result};
use crate::rollout::Action;
use crate::workload::{Executor, Fleet, FleetStatus, Group, GroupStatus, Progress, Revision};

/// An [`Executor`] whose replicas are numbers.
///
/// Replicas become ready at once, after a number of looks ([`ready_after`](Self::ready_after)), or on
/// command ([`hold_ready`](Self::hold_ready)). A look is a call of `scale` or `status`, so a rollout
/// that waits for readiness makes it come. Clones share one world.
#[derive(Clone, Debug, Default)]
pub struct MemoryExecutor {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    groups: BTreeMap<Revision, Replicas>,
    readiness: Readiness,
    cannot_start: BTreeSet<Revision>,
    unknown: BTreeSet<Revision>,
    stable: Option<Revision>,
    promotion: Slow,
    retirement: Slow,
    effects: Vec<Action>,
}

#[derive(Debug, Default)]
struct Replicas {
    desired: u32,
    each: Vec<Replica>,
    restarts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replica {
    /// Ready after so many looks, or when told to be.
    Starting(Option<u32>),
    Ready,
    Failed,
}

#[derive(Clone, Copy, Debug)]
enum Readiness {
    AfterLooks(u32),
    OnCommand,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::AfterLooks(0)
    }
}

/// Something that takes several calls for one revision.
#[derive(Debug, Default)]
struct Slow {
    pending: u32,
    of: Option<Revision>,
    calls: u32,
}

impl MemoryExecutor {
    /// A world without replicas, in which replicas are ready at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with `count` ready replicas of `revision`, which becomes the stable one.
    #[must_use]
    pub fn with_running(self, revision: &Revision, count: u32) -> Self {
        let mut world = open(&self.world);
        let ready = vec![Replica::Ready; count as usize];
        let replicas = Replicas {
            desired: count,
            each: ready,
            restarts: 0,
        };
        world.groups.insert(revision.clone(), replicas);
        world.stable = Some(revision.clone());
        drop(world);
        self
    }

    /// Replicas started from now on are ready after so many looks; 0 is at once.
    pub fn ready_after(&self, looks: u32) {
        open(&self.world).readiness = Readiness::AfterLooks(looks);
    }

    /// Replicas started from now on wait for [`make_ready`](Self::make_ready).
    pub fn hold_ready(&self) {
        open(&self.world).readiness = Readiness::OnCommand;
    }

    /// Makes up to `count` replicas of `revision` that start or have failed ready.
    pub fn make_ready(&self, revision: &Revision, count: u32) {
        let mut world = open(&self.world);
        let waiting = |replica: &&mut Replica| **replica != Replica::Ready;
        for replica in world.each(revision).filter(waiting).take(count as usize) {
            *replica = Replica::Ready;
        }
    }

    /// Up to `count` ready replicas of `revision` fail, and stay failed until
    /// [`make_ready`](Self::make_ready).
    pub fn crash(&self, revision: &Revision, count: u32) {
        let mut world = open(&self.world);
        let ready = |replica: &&mut Replica| **replica == Replica::Ready;
        for replica in world.each(revision).filter(ready).take(count as usize) {
            *replica = Replica::Failed;
        }
    }

    /// Up to `count` replicas of `revision` are gone without a trace; the next `scale` starts others.
    pub fn lose(&self, revision: &Revision, count: u32) {
        if let Some(replicas) = open(&self.world).groups.get_mut(revision) {
            let left = replicas.each.len().saturating_sub(count as usize);
            replicas.each.truncate(left);
        }
    }

    /// Says how often the replicas of `revision` were restarted, together.
    pub fn set_restarts(&self, revision: &Revision, restarts: u32) {
        if let Some(replicas) = open(&self.world).groups.get_mut(revision) {
            replicas.restarts = restarts;
        }
    }

    /// Somebody else scales `revision`. Not among the [`effects`](Self::effects).
    pub fn scale_outside(&self, revision: &Revision, count: u32) {
        open(&self.world).resize(revision, count);
    }

    /// Replicas of `revision` started from now on fail, as when its image does not exist.
    pub fn cannot_start(&self, revision: &Revision) {
        open(&self.world).cannot_start.insert(revision.clone());
    }

    /// There is no template for `revision`: to scale it is refused with [`ErrorKind::NotFound`].
    pub fn set_unknown(&self, revision: &Revision) {
        open(&self.world).unknown.insert(revision.clone());
    }

    /// Promotions answer [`Progress::Pending`] so many times before they are done. Default 0.
    pub fn promotion_takes(&self, calls: u32) {
        open(&self.world).promotion.pending = calls;
    }

    /// Retirements answer [`Progress::Pending`] so many times before they are done. Default 0.
    pub fn retirement_takes(&self, calls: u32) {
        open(&self.world).retirement.pending = calls;
    }

    /// The revision that was promoted last, or was running from the beginning.
    #[must_use]
    pub fn stable(&self) -> Option<Revision> {
        open(&self.world).stable.clone()
    }

    /// Every `scale`, `promote` and `retire` that was accepted, in order, repetitions included.
    #[must_use]
    pub fn effects(&self) -> Vec<Action> {
        open(&self.world).effects.clone()
    }
}

impl World {
    fn each(&mut self, revision: &Revision) -> impl Iterator<Item = &mut Replica> {
        self.groups
            .get_mut(revision)
            .into_iter()
            .flat_map(|group| &mut group.each)
    }

    fn look(&mut self) {
        for replica in self.groups.values_mut().flat_map(|group| &mut group.each) {
            match replica {
                Replica::Starting(Some(0 | 1)) => *replica = Replica::Ready,
                Replica::Starting(Some(looks)) => *looks -= 1,
                Replica::Starting(None) | Replica::Ready | Replica::Failed => {}
            }
        }
    }

    fn resize(&mut self, revision: &Revision, count: u32) {
        let started = match self.readiness {
            _ if self.cannot_start.contains(revision) => Replica::Failed,
            Readiness::AfterLooks(0) => Replica::Ready,
            Readiness::AfterLooks(looks) => Replica::Starting(Some(looks)),
            Readiness::OnCommand => Replica::Starting(None),
        };
        if count == 0 && !self.groups.contains_key(revision) {
            return;
        }
        let group = self.groups.entry(revision.clone()).or_default();
        group.desired = count;
        // What serves is the last to go.
        group.each.sort_by_key(|replica| *replica != Replica::Ready);
        group.each.resize(count as usize, started);
        if count == 0 {
            group.restarts = 0;
        }
    }

    fn status(&self) -> FleetStatus {
        let count = |group: &Replicas, which: fn(&Replica) -> bool| {
            let count = group.each.iter().filter(|replica| which(replica)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let status = |group: &Replicas| {
            let mut of = GroupStatus::new(group.desired, count(group, |r| *r == Replica::Ready));
            of.not_ready = count(group, |r| matches!(r, Replica::Starting(_)));
            let failed = count(group, |r| *r == Replica::Failed);
            of.with_failed(failed).with_restarts(group.restarts)
        };
        let groups = self.groups.iter();
        groups
            .map(|(r, group)| (r.clone(), status(group)))
            .collect()
    }
}

impl Slow {
    fn call(&mut self, revision: &Revision, what: &str) -> Progress {
        if self.of.as_ref() != Some(revision) {
            self.of = Some(revision.clone());
            self.calls = 0;
        }
        if self.calls >= self.pending {
            return Progress::Done;
        }
        self.calls += 1;
        Progress::Pending(format!(
            "{} of {} steps to {what} {revision}",
            self.calls, self.pending
        ))
    }
}

#[async_trait]
impl Executor for MemoryExecutor {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        let mut world = open(&self.world);
        let wanted = |group: &Group| group.replicas.map(|count| (group.revision.clone(), count));
        let wanted = [&fleet.stable, &fleet.canary]
            .into_iter()
            .filter_map(wanted);
        let wanted = wanted.collect::<Vec<_>>();
        if let Some((revision, _)) = wanted
            .iter()
            .find(|(r, n)| *n > 0 && world.unknown.contains(r))
        {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("find a template for {revision}"),
            ));
        }
        world.look();
        for (revision, count) in &wanted {
            world.resize(revision, *count);
        }
        world.effects.push(Action::Scale(fleet.clone()));
        Ok(world.status())
    }

    async fn status(&self) -> Result<FleetStatus> {
        let mut world = open(&self.world);
        world.look();
        Ok(world.status())
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        let mut world = open(&self.world);
        world.effects.push(Action::Promote(revision.clone()));
        let progress = world.promotion.call(revision, "promote");
        if progress == Progress::Done {
            world.stable = Some(revision.clone());
        }
        Ok(progress)
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        let mut world = open(&self.world);
        world.effects.push(Action::Retire(revision.clone()));
        if !world.groups.contains_key(revision) {
            return Ok(Progress::Done);
        }
        world.resize(revision, 0);
        let progress = world.retirement.call(revision, "retire");
        if progress == Progress::Done {
            world.groups.remove(revision);
        }
        Ok(progress)
    }
}
