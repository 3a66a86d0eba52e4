//! The driver itself: starts, resumes and shuts down.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use tokio::task::JoinSet;

use super::clock::{Clock, within};
use super::core::{Core, Place};
use super::effect::Ports;
use super::error::{Missed, StartError};
use super::feed;
use super::handle::RolloutHandle;
use super::lock;
use super::options::{DriverBuilder, Options};
use crate::decision::Policy;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::rollout::{Event, Observer};
use crate::workload::WorkloadName;

/// Runs rollouts. See the [module](super) for what it promises.
///
/// Cheap to clone; the clones are one driver. When the last of them is dropped without a
/// [`shutdown`](Self::shutdown), its rollouts stop at once, as in a crash, and can be resumed.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    observers: Mutex<Observers>,
}

/// Observers are told in tasks of their own, which need a runtime: they are begun with the first rollout.
enum Observers {
    Idle(Vec<Arc<dyn Observer>>),
    Told(JoinSet<()>),
}

/// How a driver was shut down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// The workloads whose effect was still under way at the deadline and was cut short, by name. They
    /// can be resumed like all others: the effect will be carried out again.
    pub cut_short: Vec<WorkloadName>,
}

impl Driver {
    /// A driver that keeps its books in `journal`, with everything else at its default.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        Self::builder(journal).build()
    }

    /// A driver that keeps its books in `journal`, with options.
    pub fn builder(journal: Arc<dyn Journal>) -> DriverBuilder {
        DriverBuilder::new(journal)
    }

    pub(super) fn with(
        options: Options,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn Journal>,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        let inner = Inner {
            core: Arc::new(Core::new(options, clock, journal)),
            observers: Mutex::new(Observers::Idle(observers)),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Starts a rollout. When this returns, its beginning is in the journal and a task drives it.
    ///
    /// If the policy says what traffic to expect, and the plan could not see twice the errors in it, that
    /// is logged as a warning; see [`Policy::blindness`].
    ///
    /// If the future is dropped, the rollout was begun or not; [`resume`](Self::resume) finds out.
    ///
    /// # Errors
    /// When the workload has a rollout already, here, elsewhere, or left unfinished; when the journal
    /// fails; when the driver is shut down. Nothing was done to the workload.
    ///
    /// # Panics
    /// Outside a tokio runtime with its time enabled.
    pub async fn start(
        &self,
        plan: Plan,
        policy: Policy,
        ports: Ports,
    ) -> Result<RolloutHandle, StartError> {
        let workload = plan.workload().clone();
        if let Some(foreseen) = policy.blindness(&plan) {
            tracing::warn!(%workload, %foreseen, "the plan cannot see twice the errors");
        }
        self.launch(workload, ports, Some((plan, policy))).await
    }

    /// Goes on with the last rollout of a workload where its journal ends: after a crash, a shutdown, a
    /// lost lease. It looks at what is there before it does anything else, and the time in which nobody
    /// drove it is no lack of progress; see [`Input::TakenOver`](crate::rollout::Input::TakenOver). One
    /// that has ended already ends again, at once and without any effect.
    ///
    /// # Errors
    /// When there is nothing to resume; when another driver holds the workload, also one that crashed
    /// less than the length of its lease ago; when the journal fails or contradicts itself; when the
    /// driver is shut down.
    ///
    /// # Panics
    /// Outside a tokio runtime with its time enabled.
    pub async fn resume(
        &self,
        workload: &WorkloadName,
        ports: Ports,
    ) -> Result<RolloutHandle, StartError> {
        self.launch(workload.clone(), ports, None).await
    }

    /// The handle of the rollout of a workload, while this driver runs it.
    #[must_use]
    pub fn handle(&self, workload: &WorkloadName) -> Option<RolloutHandle> {
        self.inner.core.handle(workload)
    }

    /// The handles of all rollouts that it runs now, in the order of their workloads' names.
    #[must_use]
    pub fn handles(&self) -> Vec<RolloutHandle> {
        self.inner.core.handles()
    }

    /// What happens in any rollout from now on, until the shutdown.
    pub fn events(&self) -> impl Stream<Item = Result<Event, Missed>> + Send + Unpin + use<> {
        self.inner.core.everyone.subscribe()
    }

    /// Stops acting, and leaves every rollout so that it can be resumed at once, by anybody: no effect
    /// begins any more, those under way may finish and are written down, leases are released. What is
    /// not done after `deadline` is cut short; then a few seconds more at most are spent on releasing
    /// leases.
    ///
    /// Nothing can be started afterwards. Cancellation: the shutdown goes on, but what is slow is not
    /// cut short; call it again for that.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        let core = &self.inner.core;
        core.drain.cancel();
        core.permits.close();
        core.tasks.close();
        let until = core.clock.now() + deadline;
        if within(core.clock.as_ref(), deadline, core.tasks.wait())
            .await
            .is_none()
        {
            core.halt.cancel();
            core.tasks.wait().await;
        }
        core.everyone.close();
        let observers = std::mem::replace(
            &mut *lock(&self.inner.observers),
            Observers::Told(JoinSet::new()),
        );
        if let Observers::Told(tasks) = observers {
            // Those that hang are dropped with the set.
            let left = until.since(core.clock.now());
            within(core.clock.as_ref(), left, tasks.join_all()).await;
        }
        Shutdown {
            cut_short: core.were_cut_short(),
        }
    }

    async fn launch(
        &self,
        workload: WorkloadName,
        ports: Ports,
        begin: Option<(Plan, Policy)>,
    ) -> Result<RolloutHandle, StartError> {
        let core = &self.inner.core;
        let place = Place::take(core, workload.clone())?;
        let tenure = core.acquire(&workload).await?;
        let taken_over = begin.is_none();
        let replayed = match begin {
            Some((plan, policy)) => core.begin(&workload, &tenure, plan, policy).await,
            None => core.load(&workload).await.and_then(|replayed| {
                replayed.ok_or_else(|| StartError::NothingToResume(workload.clone()))
            }),
        };
        match replayed {
            Ok(replayed) if !core.drain.is_cancelled() => {
                self.tell_observers();
                Ok(place.run(replayed, taken_over, tenure, ports))
            }
            refused => {
                tenure.release().await;
                Err(refused.err().unwrap_or(StartError::ShutDown))
            }
        }
    }

    fn tell_observers(&self) {
        let mut observers = lock(&self.inner.observers);
        if let Observers::Idle(idle) = &mut *observers {
            let everyone = &self.inner.core.everyone;
            let told = std::mem::take(idle)
                .into_iter()
                .map(|observer| feed::tell(observer, everyone.subscribe()));
            *observers = Observers::Told(told.collect());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.abort();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.core.fmt(f)
    }
}
