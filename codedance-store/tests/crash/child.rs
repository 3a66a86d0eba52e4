//! The process that is killed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::Percent;
use codedance_core::Result;
use codedance_core::decision::{JudgeConfig, Limits, Metric, Policy, ThresholdsConfig};
use codedance_core::driver::{Driver, Ports, StartError};
use codedance_core::journal::{Entry, Journal, Lease};
use codedance_core::metrics::Signal;
use codedance_core::plan::{Draft, Exponential, Plan, Strategy};
use codedance_core::workload::{Workload, WorkloadName};
use codedance_store::Store;

use crate::world::World;

pub(crate) const WEB: &str = "shop/web";

/// Where a child waits to be killed, and at which of its journal writes, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Before(u32),
    After(u32),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(write) => write!(f, "before {write}"),
            Self::After(write) => write!(f, "after {write}"),
        }
    }
}

impl FromStr for Stop {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let stop = match text.split_once(' ') {
            Some(("before", write)) => write.parse().map(Self::Before),
            Some(("after", write)) => write.parse().map(Self::After),
            _ => return Err(format!("`{text}` is neither before nor after")),
        };
        stop.map_err(|error| format!("{text}: {error}"))
    }
}

/// The journal, with a place where the process stops for ever.
#[derive(Debug)]
struct Stopping {
    store: Store,
    stop: Option<Stop>,
    /// How many writes began.
    writes: AtomicU32,
}

impl Stopping {
    async fn stop(&self) {
        println!("child: stopped");
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Journal for Stopping {
    async fn acquire(&self, of: &WorkloadName, owner: &str, length: Duration) -> Result<Lease> {
        self.store.acquire(of, owner, length).await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        self.store.renew(lease, length).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.store.release(lease).await
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        let write = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        if self.stop == Some(Stop::Before(write)) {
            self.stop().await;
        }
        self.store.append(lease, entry).await?;
        if self.stop == Some(Stop::After(write)) {
            self.stop().await;
        }
        Ok(())
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        self.store.load(workload).await
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        self.store.list().await
    }
}

fn plan() -> Plan {
    let revision = |name: &str| name.parse().unwrap();
    let workload = Workload::new(WEB.parse().unwrap(), revision("v1"), revision("v2"), 4);
    let plan = Exponential::new(Duration::from_millis(20))
        .plan(&workload)
        .unwrap();
    let mut draft = Draft::from(plan);
    draft.drain = Duration::from_millis(10);
    draft.try_into().unwrap()
}

fn policy() -> Policy {
    let limits = Limits::fail(Percent::ratio(1, 100));
    // The comparison of both sides names the requests that were counted, which depend on when the process was
    // killed: the looks are longer then.
    let limits_alone = ThresholdsConfig::default().with_sequential(None);
    Policy::builder()
        .with_judge(JudgeConfig::Thresholds(limits_alone))
        .with_metric(Metric::new("errors", Signal::ErrorRate, limits))
        .with_interval(Duration::from_millis(10))
        .build()
        .unwrap()
}

/// Not a test of its own: the tests run it in a process that they kill.
#[tokio::test]
#[ignore = "the tests run it themselves, in other processes"]
async fn drives_a_rollout() {
    let variable = |name: &str| std::env::var(format!("CODEDANCE_{name}"));
    let Ok(directory) = variable("DIRECTORY") else {
        // Somebody runs the ignored tests, too.
        return;
    };
    let directory = PathBuf::from(directory);
    let mut world = World::in_directory(&directory);
    world.bad = variable("BAD").unwrap() == "yes";
    let journal = Stopping {
        store: Store::in_directory(&directory).await.unwrap(),
        stop: variable("STOP").ok().map(|stop| stop.parse().unwrap()),
        writes: AtomicU32::new(0),
    };
    let driver = Driver::builder(Arc::new(journal))
        .with_owner(variable("OWNER").unwrap())
        .with_lease(Duration::from_secs(1))
        .with_snapshot_every(5)
        .build();
    let web: WorkloadName = WEB.parse().unwrap();
    let world = Arc::new(world);
    let ports = || Ports::new(world.clone(), world.clone(), world.clone());
    let ended = loop {
        let resumed = match driver.resume(&web, ports()).await {
            Err(StartError::NothingToResume(_)) => driver.start(plan(), policy(), ports()).await,
            resumed => resumed,
        };
        match resumed {
            Ok(rollout) => match rollout.wait().await {
                Ok(outcome) => break outcome,
                Err(left) => eprintln!("left: {left}"),
            },
            Err(StartError::Busy { .. } | StartError::Unfinished(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        // Nobody says when a lease ends that another process has.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("child: ended {ended}");
}
