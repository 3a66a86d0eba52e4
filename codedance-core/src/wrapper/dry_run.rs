//! What would be done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::Result;
use crate::rollout::Action;
use crate::traffic::{Capability, Split, TrafficRouter};
use crate::workload::{Executor, Fleet, FleetStatus, GroupStatus, Progress, Revision};

/// An executor or a router that only pretends: what it is asked to do is written down and answered as if
/// done, at once and in full. The real port is read, never changed.
///
/// What is there is the real world with the pretended one on top: a revision that was never touched shows
/// its real replicas, one that was scaled shows as many ready replicas as were asked for. Refusals by
/// [`Capability`] are real; others, which only the real port knows, do not happen.
///
/// ```
/// use codedance_core::memory::{MemoryExecutor, MemoryRouter};
/// use codedance_core::traffic::Split;
/// use codedance_core::workload::Revision;
/// use codedance_core::wrapper::DryRun;
///
/// let v1 = Revision::new("v1")?;
/// let executor = DryRun::new(MemoryExecutor::new().with_running(&v1, 3));
/// let router = DryRun::beside(&executor, MemoryRouter::new(Split::all(v1)));
/// // … a rollout …
/// for action in executor.planned() {
///     println!("would {action}");
/// }
/// # drop(router);
/// # Ok::<(), codedance_core::workload::NameError>(())
/// ```
#[derive(Debug)]
pub struct DryRun<P> {
    inner: P,
    pretended: Mutex<Pretended>,
    planned: Arc<Mutex<Vec<Action>>>,
}

#[derive(Debug, Default)]
struct Pretended {
    counts: BTreeMap<Revision, u32>,
    split: Option<Split>,
}

impl<P> DryRun<P> {
    /// Pretends on top of `inner`.
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            pretended: Mutex::default(),
            planned: Arc::default(),
        }
    }

    /// The same, with one list of what would be done together with `other`, in one order.
    pub fn beside<Q>(other: &DryRun<Q>, inner: P) -> Self {
        Self {
            planned: Arc::clone(&other.planned),
            ..Self::new(inner)
        }
    }

    /// Everything that would have been done, in order. What asks for what is pretended already is left
    /// out.
    #[must_use]
    pub fn planned(&self) -> Vec<Action> {
        self.planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn plan(&self, action: Action) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if planned.last() != Some(&action) {
            planned.push(action);
        }
    }

    fn pretended(&self) -> MutexGuard<'_, Pretended> {
        // What is pretended is replaced value by value: nobody leaves it half changed.
        self.pretended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: Executor> Executor for DryRun<P> {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        self.plan(Action::Scale(fleet.clone()));
        for group in [&fleet.stable, &fleet.canary] {
            if let Some(count) = group.replicas {
                self.pretended()
                    .counts
                    .insert(group.revision.clone(), count);
            }
        }
        self.status().await
    }

    async fn status(&self) -> Result<FleetStatus> {
        let real = self.inner.status().await?;
        let pretended = self.pretended();
        Ok(pretended
            .counts
            .iter()
            .fold(real, |status, (revision, count)| {
                status.with(revision.clone(), GroupStatus::new(*count, *count))
            }))
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        self.plan(Action::Promote(revision.clone()));
        Ok(Progress::Done)
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        self.plan(Action::Retire(revision.clone()));
        self.pretended().counts.insert(revision.clone(), 0);
        Ok(Progress::Done)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: TrafficRouter> TrafficRouter for DryRun<P> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        self.capability().check(split)?;
        self.plan(Action::Route(split.clone()));
        self.pretended().split = Some(split.clone());
        Ok(())
    }

    async fn observe(&self) -> Result<Split> {
        if let Some(split) = self.pretended().split.clone() {
            return Ok(split);
        }
        self.inner.observe().await
    }
}
