//! A driver on the store: what it decided is what the audit says, after any crash.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::Result;
use codedance_core::decision::{Assessment, Evidence, Judge, Policy, Reason, Verdict};
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

/// A judge that always says the same.
#[derive(Debug)]
struct House(Verdict);

impl Judge for House {
    fn name(&self) -> &'static str {
        "house"
    }

    fn assess(&self, _: &Evidence<'_>) -> Assessment {
        Assessment::new(self.0, vec![Reason::Other("as always".to_owned())])
    }
}

fn judged_by_house() -> Policy {
    serde_json::from_value(serde_json::json!({
        "interval": "100ms",
        "judges": [{"own": "house"}],
        "metrics": [{"name": "errors", "signal": "error_rate", "limits": {"fail": "5%"}}],
    }))
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
    let again = again.events;
    // The listener came after the first events.
    assert!(live.len() > 10, "{live:?}");
    assert_eq!(again[again.len() - live.len()..], live);
}

#[tokio::test]
async fn what_todays_judge_thinks_otherwise_of_is_named() {
    let world = World::new().await;
    let of = |verdict| Arc::new(House(verdict)) as Arc<dyn Judge>;
    let driver = Driver::builder(Arc::new(world.store.clone()))
        .with_judges([of(Verdict::Advance)])
        .build();
    let started = driver.start(plan(), judged_by_house(), ports(&Outside::new()));
    let outcome = started.await.unwrap().wait().await.unwrap();
    assert_eq!(outcome, Outcome::Completed);
    let entries = world.store.export(&workload("shop/web")).await.unwrap();

    let same = replay(entries.clone(), &[of(Verdict::Advance)]).unwrap();
    assert_eq!(same.departures, []);
    let other = replay(entries.clone(), &[of(Verdict::Rollback)]).unwrap();
    assert_eq!(other.events, same.events, "the word that was given counts");
    let looks = entries.iter().filter(|entry| entry.assessment.is_some());
    let looks: Vec<_> = looks.map(|entry| entry.sequence).collect();
    let departed = other.departures.iter().map(|departure| departure.sequence);
    assert_eq!(departed.collect::<Vec<_>>(), looks);
    assert!(!looks.is_empty());
    let text = other.departures[0].to_string();
    assert!(
        text.ends_with("the judge said `advance`; today's says `roll back`"),
        "{text}"
    );
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
