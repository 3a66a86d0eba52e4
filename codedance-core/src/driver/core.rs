//! What all rollouts of a driver share, and the place of each among them.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backon::Retryable;
use futures::StreamExt;
use futures::channel::mpsc;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::clock::{self, Clock};
use super::effect::{Effector, Ports, backoff};
use super::error::StartError;
use super::feed::Feed;
use super::handle::{RolloutHandle, View};
use super::lease::Tenure;
use super::lock;
use super::options::Options;
use super::replay::{Replay, replay};
use super::run::{Run, Show};
use crate::decision::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Entry, Journal, Record};
use crate::plan::Plan;
use crate::rollout::{Next, Rollout};
use crate::workload::WorkloadName;

/// How many commands and observations may wait for a rollout that is busy writing its journal.
const LETTERS: usize = 16;

/// How far a listener to one rollout may lag behind.
const EVENTS: usize = 64;

/// How far an observer, or a listener to all rollouts, may lag behind.
const ALL_EVENTS: usize = 1024;

/// What all rollouts of a driver share.
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Arc<dyn Journal>,
    /// Effects that may still begin; first come, first served.
    pub(super) permits: Semaphore,
    pub(super) everyone: Feed,
    /// Begin nothing new.
    pub(super) drain: CancellationToken,
    /// Stop.
    pub(super) halt: CancellationToken,
    pub(super) tasks: TaskTracker,
    places: Mutex<BTreeMap<WorkloadName, Option<Running>>>,
    cut_short: Mutex<Vec<WorkloadName>>,
}

struct Running {
    handle: RolloutHandle,
    task: AbortHandle,
}

/// A workload's place among those that the driver runs, given up when dropped.
pub(super) struct Place {
    core: Arc<Core>,
    workload: WorkloadName,
}

impl Core {
    pub(super) fn new(options: Options, clock: Arc<dyn Clock>, journal: Arc<dyn Journal>) -> Self {
        Self {
            clock,
            journal,
            permits: Semaphore::new(options.concurrency.min(Semaphore::MAX_PERMITS)),
            everyone: Feed::new(ALL_EVENTS),
            drain: CancellationToken::new(),
            halt: CancellationToken::new(),
            tasks: TaskTracker::new(),
            places: Mutex::default(),
            cut_short: Mutex::default(),
            options,
        }
    }

    pub(super) fn handle(&self, workload: &WorkloadName) -> Option<RolloutHandle> {
        let places = lock(&self.places);
        Some(places.get(workload)?.as_ref()?.handle.clone())
    }

    pub(super) fn handles(&self) -> Vec<RolloutHandle> {
        let places = lock(&self.places);
        let running = places.values().flatten();
        running.map(|running| running.handle.clone()).collect()
    }

    /// Stops every task as a crash would.
    pub(super) fn abort(&self) {
        // Not under the lock, which each task takes when it gives up its place.
        let places = lock(&self.places);
        let running: Vec<_> = places.values().flatten().map(|r| r.task.clone()).collect();
        drop(places);
        running.iter().for_each(AbortHandle::abort);
        self.everyone.close();
    }

    pub(super) fn cut_short(&self, place: &Place) {
        lock(&self.cut_short).push(place.workload.clone());
    }

    pub(super) fn were_cut_short(&self) -> Vec<WorkloadName> {
        let mut workloads = std::mem::take(&mut *lock(&self.cut_short));
        workloads.sort();
        workloads
    }

    pub(super) async fn acquire(&self, workload: &WorkloadName) -> Result<Tenure, StartError> {
        let Options { owner, lease, .. } = &self.options;
        // Here a conflict says that somebody else has the lease; that takes longer than our patience.
        let acquired = self
            .patiently(|| Tenure::acquire(&self.journal, &self.clock, workload, owner, *lease))
            .await;
        acquired.map_err(|source| match source.kind() {
            ErrorKind::Conflict => StartError::Busy {
                workload: workload.clone(),
                source,
            },
            _ => StartError::Journal {
                workload: workload.clone(),
                source,
            },
        })
    }

    pub(super) async fn load(&self, workload: &WorkloadName) -> Result<Option<Replay>, StartError> {
        let entries = self.patiently(|| self.journal.load(workload)).await;
        let entries = entries.map_err(|source| StartError::Journal {
            workload: workload.clone(),
            source,
        })?;
        replay(entries, &self.options.judges).map_err(|source| StartError::Replay {
            workload: workload.clone(),
            source,
        })
    }

    /// Writes the beginning of a rollout, after the end of the one before.
    pub(super) async fn begin(
        &self,
        workload: &WorkloadName,
        tenure: &Tenure,
        plan: Plan,
        policy: Policy,
    ) -> Result<Replay, StartError> {
        let before = self.load(workload).await?;
        if let Some(before) = &before
            && !matches!(before.rollout.next(), Next::Finished(_))
        {
            return Err(StartError::Unfinished(workload.clone()));
        }
        let sequence = before.map_or(0, |before| before.sequence);
        let now = self.clock.now();
        let began = Record::Began(Box::new(plan.clone()), Box::new(policy.clone()));
        let entry = Entry::new(sequence, now, began);
        let lease = tenure.lease();
        let written = self.patiently(|| self.journal.append(&lease, &entry)).await;
        written.map_err(|source| StartError::Journal {
            workload: workload.clone(),
            source,
        })?;
        let judges = self.options.judges.iter().cloned();
        let rollout = Rollout::new(plan, policy, now).with_judges(judges);
        Ok(Replay::new(rollout, sequence))
    }

    /// Asks the journal a few times, as long as that may help.
    async fn patiently<T: Send, F>(&self, ask: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        ask.retry(backoff(self.options.attempts.saturating_sub(1)))
            .sleep(clock::sleeper(&self.clock))
            .when(|error: &Error| error.is_retryable() && error.kind() != ErrorKind::Conflict)
            .adjust(|error, wait: Option<Duration>| {
                wait.map(|wait| wait.max(error.retry_after().unwrap_or_default()))
            })
            .await
    }
}

impl Place {
    pub(super) fn take(core: &Arc<Core>, workload: WorkloadName) -> Result<Self, StartError> {
        if core.drain.is_cancelled() {
            return Err(StartError::ShutDown);
        }
        let mut places = lock(&core.places);
        if places.contains_key(&workload) {
            return Err(StartError::Running(workload));
        }
        places.insert(workload.clone(), None);
        let core = Arc::clone(core);
        Ok(Self { core, workload })
    }

    /// Begins the task. `taken_over`: the rollout was begun by an earlier driver.
    pub(super) fn run(
        self,
        replayed: Replay,
        taken_over: bool,
        tenure: Tenure,
        ports: Ports,
    ) -> RolloutHandle {
        let core = Arc::clone(&self.core);
        let workload = self.workload.clone();
        let rollout = Arc::new(replayed.rollout);
        let (letters, inbox) = mpsc::channel(LETTERS);
        let (view, seen) = watch::channel(View {
            rollout: Arc::clone(&rollout),
            end: None,
        });
        let feed = Arc::new(Feed::new(EVENTS));
        let handle = RolloutHandle {
            workload: workload.clone(),
            letters,
            view: seen,
            feed: Arc::clone(&feed),
        };
        let effector = Arc::new(Effector::new(Arc::clone(&core), &ports));
        let changes = ports.changes.map(|changes| {
            // A watch that panics is a watch that ended: the looks go on.
            AssertUnwindSafe(changes)
                .catch_unwind()
                .scan((), |(), seen| std::future::ready(seen.ok()))
                .boxed()
        });
        let task = Run {
            core: Arc::clone(&core),
            rollout,
            sequence: replayed.sequence,
            since_snapshot: replayed.since_snapshot,
            taken_over,
            untold: replayed.last_events,
            tenure: Arc::new(tenure),
            effector,
            letters: inbox,
            changes,
            show: Show { view, feed },
            acting: false,
            place: self,
        };
        let span = tracing::info_span!("rollout", %workload);
        // The task gives up its place when it ends: not before it has it.
        let mut places = lock(&core.places);
        let task = core.tasks.spawn(task.run().instrument(span)).abort_handle();
        let running = Running {
            handle: handle.clone(),
            task,
        };
        places.insert(workload, Some(running));
        handle
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.core.places).remove(&self.workload);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("options", &self.options)
            .field("journal", &self.journal)
            .field("rollouts", &lock(&self.places).len())
            .finish_non_exhaustive()
    }
}
