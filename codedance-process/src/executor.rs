//! The executor: what is wanted goes into the books, and a task per replica sees to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::Result;
use codedance_core::traffic::Endpoints;
use codedance_core::workload::{Executor, Fleet, FleetStatus, Progress, Revision};
use tokio::sync::watch;

use crate::books::{Books, Ledger, Newcomer, Order};
use crate::config::{Config, Template};
use crate::error::ProcessError;
use crate::replica::Replica;
use crate::status::{ReplicaFailure, ReplicaStatus};

/// An [`Executor`] whose replicas are processes on this machine; see the [crate] for the whole.
///
/// It must be used within a tokio runtime with time and I/O enabled: replicas are tasks of the runtime
/// that calls [`scale`](Executor::scale), and their processes end with it. Dropping the executor
/// kills every process at once; [`shutdown`](Self::shutdown) first lets them finish.
#[derive(Debug)]
pub struct ProcessExecutor {
    config: Arc<Config>,
    endpoints: Option<Arc<dyn Endpoints>>,
    books: Arc<Books>,
}

impl ProcessExecutor {
    /// An executor that runs nothing yet and knows no revision.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            endpoints: None,
            books: Arc::default(),
        }
    }

    /// Tells `endpoints` of every replica that is ready, and drains it there before it is stopped.
    #[must_use]
    pub fn with_endpoints(mut self, endpoints: Arc<dyn Endpoints>) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// Starts replicas of `revision` from `template`; as [`define`](Self::define), in a chain.
    #[must_use]
    pub fn with_template(self, revision: Revision, template: Template) -> Self {
        self.define(revision, template);
        self
    }

    /// Starts replicas of `revision` from `template` from now on. Those there are keep the template
    /// they were first started from, also when they are restarted.
    pub fn define(&self, revision: Revision, template: Template) {
        self.books
            .change(|books| books.templates.insert(revision, Arc::new(template)));
    }

    /// The revision that is stable in the executor's books: the one that was promoted, or that the
    /// fleet named, last.
    #[must_use]
    pub fn stable(&self) -> Option<Revision> {
        self.books.read(|books| books.stable.clone())
    }

    /// What is there, and whatever it becomes: a replica that becomes ready or dies is seen here at
    /// once. The receiver holds the latest status, and may miss one that was replaced quickly.
    ///
    /// While a status is borrowed from it, also in the predicate of `wait_for`, ask the executor what
    /// you like but do not make it change anything: it would wait for the borrow to end.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<FleetStatus> {
        self.books.subscribe()
    }

    /// The replicas of `revision`, oldest first.
    #[must_use]
    pub fn replicas(&self, revision: &Revision) -> Vec<ReplicaStatus> {
        self.books.read(|books| books.replicas(revision))
    }

    /// Why the last replica of `revision` that failed did, with its last lines of output. It is kept
    /// when the revision is retired.
    #[must_use]
    pub fn last_failure(&self, revision: &Revision) -> Option<ReplicaFailure> {
        self.books
            .read(|books| books.failures.get(revision).cloned())
    }

    /// Stops everything and starts nothing again: each replica is drained, told to end, and killed
    /// after `grace`, which counts from `SIGTERM` and holds for those too that were stopping already.
    /// Returns how many replicas had to be killed.
    ///
    /// Cancelled, it goes on by itself; called again, it waits for the rest, with the new grace.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.books
            .change(|books| books.close(Order::Stop { grace }));
        // An error would mean that nobody can publish, and so that nothing is left.
        let _ = self
            .changes()
            .wait_for(|status| status.iter().next().is_none())
            .await;
        self.books.read(Ledger::killed)
    }

    fn spawn(&self, newcomers: Vec<Newcomer>) {
        for newcomer in newcomers {
            let (config, endpoints) = (self.config.clone(), self.endpoints.clone());
            let replica = Replica::new(newcomer, config, endpoints, self.books.clone());
            tokio::spawn(replica.live());
        }
    }
}

impl Drop for ProcessExecutor {
    fn drop(&mut self) {
        self.books.change(|books| books.close(Order::Kill));
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        let (stable, grace) = (&fleet.stable.revision, self.config.grace);
        let mut wanted = BTreeMap::new();
        for group in [&fleet.stable, &fleet.canary] {
            if let Some(count) = group.replicas {
                // One revision in both roles: what the larger needs is enough for the smaller.
                let desired = wanted.entry(&group.revision).or_insert(count);
                *desired = count.max(*desired);
            }
        }
        let newcomers = self.books.change(|books| {
            // All is checked before anything is changed.
            wanted
                .iter()
                .try_for_each(|(revision, count)| books.check(revision, *count))?;
            books.stable = Some(stable.clone());
            let resize = |(revision, count)| books.resize(revision, count, grace);
            Ok::<_, ProcessError>(wanted.into_iter().flat_map(resize).collect())
        })?;
        self.spawn(newcomers);
        self.status().await
    }

    async fn status(&self) -> Result<FleetStatus> {
        Ok(self.books.read(Ledger::status))
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        self.books.change(|books| {
            if !books.templates.contains_key(revision) {
                let (doing, revision) = ("promote", revision.clone());
                return Err(ProcessError::NoTemplate { doing, revision });
            }
            books.stable = Some(revision.clone());
            Ok(())
        })?;
        Ok(Progress::Done)
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        let grace = self.config.grace;
        Ok(
            match self.books.change(|books| books.retire(revision, grace)) {
                (0, _) => Progress::Done,
                (left, 1) => Progress::Pending(format!("{left} of 1 replica stopping")),
                (left, of) => Progress::Pending(format!("{left} of {of} replicas stopping")),
            },
        )
    }
}
