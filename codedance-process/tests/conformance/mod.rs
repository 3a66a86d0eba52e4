//! Every clause of the executor's contract, with real processes.

use std::time::Duration;

use async_trait::async_trait;
use codedance_core::testing::ExecutorHarness;
use codedance_core::workload::{Executor, FleetStatus, Revision};
use codedance_process::{Phase, ProcessExecutor, Template};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use crate::support::endpoints::Recorder;
use crate::support::{executor, in_time, kill, quick, server, shell, v2};

/// How long to wait for a change that may not come.
const QUIET: Duration = Duration::from_millis(50);

struct Harness {
    executor: ProcessExecutor,
    /// What was not settled yet.
    changes: Mutex<watch::Receiver<FleetStatus>>,
}

impl Harness {
    /// Knows three revisions that start, and one that starts from `broken` and does not. What is
    /// lost is restarted quickly.
    fn new(broken: Template, wrap: impl FnOnce(ProcessExecutor) -> ProcessExecutor) -> Self {
        let config = quick()
            .with_restart_limit(3)
            .with_restart_backoff(Duration::from_millis(10), Duration::from_millis(10));
        let executor = executor(config, server::template())
            .with_template(v2(), server::template())
            .with_template(revision("v3"), server::template())
            .with_template(revision("broken"), broken);
        let executor = wrap(executor);
        Self {
            changes: Mutex::new(executor.changes()),
            executor,
        }
    }
}

#[async_trait]
impl ExecutorHarness for Harness {
    fn executor(&self) -> &dyn Executor {
        &self.executor
    }

    fn broken(&self) -> Revision {
        revision("broken")
    }

    fn missing(&self) -> Revision {
        revision("missing")
    }

    /// Kills a ready replica; done when the executor has noticed.
    async fn disturb(&self, revision: &Revision) {
        let mut changes = self.executor.changes();
        let before = changes.borrow_and_update().of(revision);
        let replicas = self.executor.replicas(revision);
        let mut ready = replicas.iter().filter(|r| r.phase == Phase::Ready);
        kill(ready.find_map(|replica| replica.pid).unwrap());
        let noticed = changes.wait_for(|fleet| {
            let now = fleet.of(revision);
            now.failed > before.failed || now.restarts > before.restarts
        });
        drop(in_time(noticed).await.unwrap());
    }

    async fn settle(&self) {
        let mut changes = self.changes.lock().await;
        // Too late is as good: who settles looks again.
        let _ = timeout(QUIET, changes.changed()).await;
    }

    fn patience(&self) -> usize {
        1_000
    }
}

fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// What cannot start ends at once.
mod alone {
    use codedance_core::testing::executor_conformance;

    use super::{Harness, shell};

    async fn harness() -> Harness {
        Harness::new(shell("exit 3"), |executor| executor)
    }

    executor_conformance!(harness);
}

/// What cannot start is no program; every replica is added and drained.
mod with_endpoints {
    use std::sync::Arc;

    use codedance_core::testing::executor_conformance;
    use codedance_process::Template;

    use super::{Harness, Recorder};

    async fn harness() -> Harness {
        let missing = Template::new("/nonexistent/server");
        Harness::new(missing, |executor| {
            executor.with_endpoints(Arc::new(Recorder::new()))
        })
    }

    executor_conformance!(harness);
}
