//! A driver on the store: what it decided is what the audit says, after any crash.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::Result;
use codedance_core::decision::Policy;
use codedance_core::driver::{Driver, Ports};
use codedance_core::journal::Record;
use codedance_core::memory::{MemoryExecutor, MemoryMetrics, MemoryRouter};
use codedance_core::plan::{Exponential, Strategy};
use codedance_core::rollout::{Event, Outcome};
use codedance_core::traffic::Split;
use codedance_core::workload::Workload;
use codedance_store::Store;
use codedance_store::audit::{from_json_lines, replay, to_json_lines};
use futures::StreamExt;

use crate::support::{World, revision, workload};

/// The memory adapters' clones share what they stand for, as two processes do.
#[derive(Clone)]
struct Outside {
    executor: MemoryExecutor,
    router: MemoryRouter,
}

impl Outside {
    fn new() -> Self {
        Self {
            executor: MemoryExecutor::new().with_running(&revision("v1"), 3),
            router: MemoryRouter::new(Split::all(revision("v1"))),
        }
    }
}

fn ports(outside: &Outside) -> Ports {
    let Outside { executor, router } = outside.clone();
    Ports::new(
        Arc::new(executor),
        Arc::new(router),
        Arc::new(MemoryMetrics::healthy()),
    )
}

fn plan() -> codedance_core::plan::Plan {
    let workload = Workload::new(workload("shop/web"), revision("v1"), revision("v2"), 3);
    let mut draft: codedance_core::plan::Draft = Exponential::new(Duration::from_millis(300))
        .plan(&workload)
        .unwrap()
        .into();
    draft.drain = Duration::from_millis(10);
    draft.try_into().unwrap()
}

fn policy() -> Policy {
    Policy::builder()
        .with_interval(Duration::from_millis(100))
        .build()
        .unwrap()
}

async fn told_live(driver: &Driver) -> Result<(Vec<Event>, Outcome)> {
    let rollout = driver
        .start(plan(), policy(), ports(&Outside::new()))
        .await
        .unwrap();
    let events = rollout.events();
    let outcome = rollout.wait().await.unwrap();
    let events = events.map(std::result::Result::unwrap).collect().await;
    Ok((events, outcome))
}

#[tokio::test]
async fn the_audit_shows_every_decision_again() {
    let world = World::new().await;
    let driver = Driver::builder(Arc::new(world.store.clone()))
        .with_snapshot_every(5)
        .build();
    let (live, outcome) = told_live(&driver).await.unwrap();
    assert_eq!(outcome, Outcome::Completed);
    let web = workload("shop/web");
    let entries = world.store.export(&web).await.unwrap();
    let snapshots = entries
        .iter()
        .filter(|e| matches!(e.record, Record::Snapshot(_)));
    assert!(
        snapshots.count() > 2,
        "the replay is compared with snapshots on the way"
    );
    let handed_on = from_json_lines(&to_json_lines(&entries)).unwrap();
    let again = replay(handed_on, &[]).unwrap();
    // The listener came after the first events.
    assert!(live.len() > 10, "{live:?}");
    assert_eq!(again[again.len() - live.len()..], live);
}

#[tokio::test]
async fn a_dropped_driver_is_gone_on_from_by_another_process() {
    let world = World::new().await;
    let outside = Outside::new();
    let first = Driver::builder(Arc::new(world.store.clone()))
        .with_owner("one")
        .build();
    let rollout = first
        .start(plan(), policy(), ports(&outside))
        .await
        .unwrap();
    let mut events = rollout.events();
    for _ in 0..6 {
        events.next().await.unwrap().unwrap();
    }
    drop(first);
    rollout.wait().await.unwrap_err();
    let other = Arc::new(Store::open(&world.url).await.unwrap());
    let second = Driver::builder(other).with_owner("one").build();
    let resumed = second
        .resume(&workload("shop/web"), ports(&outside))
        .await
        .unwrap();
    assert_eq!(resumed.wait().await.unwrap(), Outcome::Completed);
    replay(
        world.store.export(&workload("shop/web")).await.unwrap(),
        &[],
    )
    .unwrap();
}
