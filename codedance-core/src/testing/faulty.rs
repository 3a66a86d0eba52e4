//! A port that fails as networks fail.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::random::Random;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Entry, Journal, Lease};
use crate::metrics::{MetricsSource, Question, Reading};
use crate::percent::Percent;
use crate::traffic::{Capability, Endpoints, Split, TrafficRouter};
use crate::workload::{Executor, Fleet, FleetStatus, Progress, Revision, WorkloadName};

/// Any port with faults in front of it, drawn from a seed: the same seed and the same calls fail in the
/// same places.
///
/// | fault | what happens | answer |
/// |---|---|---|
/// | error | nothing | [`Unavailable`](ErrorKind::Unavailable) |
/// | lost reply | it is done | [`Timeout`](ErrorKind::Timeout) |
/// | duplicate | it is done twice | that of the second time |
/// | delay | tokio's clock passes first, virtual or real | the true one |
///
/// Without any `with_…` there are no faults.
///
/// ```
/// use std::time::Duration;
/// use codedance_core::Percent;
/// use codedance_core::memory::MemoryExecutor;
/// use codedance_core::testing::Faulty;
///
/// let executor = Faulty::new(MemoryExecutor::new(), 42)
///     .with_errors(Percent::new(10)?)
///     .with_lost_replies(Percent::new(10)?)
///     .with_duplicates(Percent::new(5)?)
///     .with_delays(Percent::new(50)?, Duration::from_secs(2));
/// // … a rollout …
/// executor.heal();
/// // … now it must come to its end.
/// # Ok::<(), codedance_core::percent::PercentError>(())
/// ```
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    errors: Percent,
    lost_replies: Percent,
    duplicates: Percent,
    delays: Percent,
    longest_delay: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    mood: Mood,
    faults: u64,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Faulty,
    Healed,
    Broken(ErrorKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Error(ErrorKind),
    LostReply,
    Duplicate,
}

impl<T> Faulty<T> {
    /// `inner` with faults drawn from `seed`, none of them likely yet.
    pub const fn new(inner: T, seed: u64) -> Self {
        Self {
            inner,
            errors: Percent::ZERO,
            lost_replies: Percent::ZERO,
            duplicates: Percent::ZERO,
            delays: Percent::ZERO,
            longest_delay: Duration::ZERO,
            state: Mutex::new(State {
                random: Random::new(seed),
                mood: Mood::Faulty,
                faults: 0,
            }),
        }
    }

    /// This share of the calls does nothing and fails.
    #[must_use]
    pub fn with_errors(mut self, share: Percent) -> Self {
        self.errors = share;
        self
    }

    /// This share of the calls that come through is done, but answered with a failure.
    #[must_use]
    pub fn with_lost_replies(mut self, share: Percent) -> Self {
        self.lost_replies = share;
        self
    }

    /// This share of the calls whose answer comes back is done twice.
    #[must_use]
    pub fn with_duplicates(mut self, share: Percent) -> Self {
        self.duplicates = share;
        self
    }

    /// This share of all calls begins up to `longest` later.
    #[must_use]
    pub fn with_delays(mut self, share: Percent, longest: Duration) -> Self {
        self.delays = share;
        self.longest_delay = longest;
        self
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        self.state().mood = Mood::Healed;
    }

    /// From now on every call does nothing and fails with `kind`, until [`heal`](Self::heal).
    pub fn break_with(&self, kind: ErrorKind) {
        self.state().mood = Mood::Broken(kind);
    }

    /// How many calls met an error, a lost reply or a duplicate so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.state().faults
    }

    /// The port itself, without faults.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Drawing is a sequence of plain assignments: nobody leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> (Duration, Fault) {
        let mut state = self.state();
        match state.mood {
            Mood::Healed => return (Duration::ZERO, Fault::None),
            Mood::Broken(kind) => {
                state.faults += 1;
                return (Duration::ZERO, Fault::Error(kind));
            }
            Mood::Faulty => {}
        }
        // Always the same number of draws for a call, so that one share does not shift the others.
        let mut met = |share: Percent| state.random.below(10_000) < u64::from(share.basis_points());
        let (error, lost) = (met(self.errors), met(self.lost_replies));
        let (duplicate, delayed) = (met(self.duplicates), met(self.delays));
        let longest = u64::try_from(self.longest_delay.as_millis()).unwrap_or(u64::MAX - 1);
        let delay = Duration::from_millis(state.random.below(longest + 1));
        let fault = match (error, lost, duplicate) {
            (true, _, _) => Fault::Error(ErrorKind::Unavailable),
            (_, true, _) => Fault::LostReply,
            (_, _, true) => Fault::Duplicate,
            _ => Fault::None,
        };
        state.faults += u64::from(fault != Fault::None);
        (if delayed { delay } else { Duration::ZERO }, fault)
    }

    async fn through<R, F>(&self, operation: &'static str, call: impl Fn() -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        let (delay, fault) = self.draw();
        if delay > Duration::ZERO {
            pass(delay).await;
        }
        match fault {
            Fault::None => call().await,
            Fault::Error(kind) => {
                Err(Error::new(kind, operation).with_source("a fault on purpose"))
            }
            Fault::LostReply => {
                call().await?;
                let source = "the reply was lost on purpose";
                Err(Error::new(ErrorKind::Timeout, operation).with_source(source))
            }
            Fault::Duplicate => {
                call().await?;
                call().await
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a delay is there to pass time, on the clock of the runtime"
)]
async fn pass(delay: Duration) {
    tokio::time::sleep(delay).await;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Executor> Executor for Faulty<T> {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        self.through("scale", || self.inner.scale(fleet)).await
    }

    async fn status(&self) -> Result<FleetStatus> {
        self.through("look at the replicas", || self.inner.status())
            .await
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        self.through("promote", || self.inner.promote(revision))
            .await
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        self.through("retire", || self.inner.retire(revision)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: TrafficRouter> TrafficRouter for Faulty<T> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        self.through("route", || self.inner.apply(split)).await
    }

    async fn observe(&self) -> Result<Split> {
        self.through("read the split", || self.inner.observe())
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Endpoints> Endpoints for Faulty<T> {
    async fn add(&self, revision: &Revision, address: SocketAddr) -> Result<()> {
        self.through("add an address", || self.inner.add(revision, address))
            .await
    }

    async fn drain(
        &self,
        revision: &Revision,
        address: SocketAddr,
        within: Duration,
    ) -> Result<u64> {
        self.through("drain an address", || {
            self.inner.drain(revision, address, within)
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: MetricsSource> MetricsSource for Faulty<T> {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        self.through("measure", || self.inner.measure(question))
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Journal> Journal for Faulty<T> {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        self.through("acquire a lease", || {
            self.inner.acquire(workload, owner, length)
        })
        .await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        self.through("renew a lease", || self.inner.renew(lease, length))
            .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.through("release a lease", || self.inner.release(lease))
            .await
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        self.through("append an entry", || self.inner.append(lease, entry))
            .await
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        self.through("load the entries", || self.inner.load(workload))
            .await
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        self.through("list the workloads", || self.inner.list())
            .await
    }
}
