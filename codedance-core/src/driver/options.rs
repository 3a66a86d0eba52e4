//! What can be chosen about a driver.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, SystemClock};
use super::launch::Driver;
use crate::decision::Judge;
use crate::journal::Journal;
use crate::rollout::Observer;

/// A driver in the making.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct DriverBuilder {
    options: Options,
    clock: Option<Arc<dyn Clock>>,
    journal: Arc<dyn Journal>,
    observers: Vec<Arc<dyn Observer>>,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) owner: String,
    pub(super) concurrency: usize,
    pub(super) effect_deadline: Duration,
    pub(super) attempts: u32,
    pub(super) lease: Duration,
    pub(super) snapshot_every: u32,
    pub(super) judges: Vec<Arc<dyn Judge>>,
}

impl DriverBuilder {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            options: Options {
                owner: format!("{}-{:016x}", std::process::id(), fastrand::u64(..)),
                concurrency: 64,
                effect_deadline: Duration::from_secs(30),
                attempts: 5,
                lease: Duration::from_secs(30),
                snapshot_every: 64,
                judges: Vec::new(),
            },
            clock: None,
            journal,
            observers: Vec::new(),
        }
    }

    /// By what it tells the time. Default: a [`SystemClock`] made when the driver is built.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// In whose name it holds leases. Default: a name that no other driver has.
    ///
    /// A driver that comes back under the same name takes up its own rollouts at once, instead of after
    /// the old lease has expired. Only where no two processes ever live under that name, as in a
    /// Kubernetes StatefulSet: the journal cannot tell them apart.
    pub fn with_owner(mut self, owner: impl Into<String>) -> Self {
        self.options.owner = owner.into();
        self
    }

    /// Tells every event of every rollout to `observer`, in order, beside those named before. One that
    /// is slow misses events rather than delay anything, and that is logged.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Judges of your own, which policies can appoint by their names.
    pub fn with_judges(mut self, judges: impl IntoIterator<Item = Arc<dyn Judge>>) -> Self {
        self.options.judges.extend(judges);
        self
    }

    /// How many effects are under way at once, over all rollouts; the others wait for their turn.
    /// Default 64.
    pub fn with_concurrency(mut self, effects: NonZeroUsize) -> Self {
        self.options.concurrency = effects.get();
        self
    }

    /// How long one effect may take, with all its attempts, before it counts as failed. Default 30 s.
    pub fn with_effect_deadline(mut self, deadline: Duration) -> Self {
        self.options.effect_deadline = deadline;
        self
    }

    /// How often a port is asked, before an effect counts as failed, if it says that asking again may
    /// help. The machine then tries again later, in its own time. Default 5.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = attempts;
        self
    }

    /// How long a lease lasts that is not renewed: so long a workload is left alone after its driver
    /// crashed. It is renewed when a third of it has passed. At least 1 s, default 30 s.
    pub fn with_lease(mut self, length: Duration) -> Self {
        self.options.lease = length.max(Duration::from_secs(1));
        self
    }

    /// After how many entries the journal gets a snapshot, so that a resume need not replay more.
    /// At least 1, default 64.
    pub fn with_snapshot_every(mut self, entries: u32) -> Self {
        self.options.snapshot_every = entries.max(1);
        self
    }

    /// The driver.
    #[must_use]
    pub fn build(self) -> Driver {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        Driver::with(self.options, clock, self.journal, self.observers)
    }
}
