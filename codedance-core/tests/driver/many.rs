//! Many rollouts in one driver, and its end.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use codedance_core::ErrorKind;
use codedance_core::decision::Policy;
use codedance_core::driver::DriverError;
use codedance_core::rollout::Outcome;

use crate::books::Books;
use crate::world::{Gauge, World, Wrong, plan, watching, workload};
use crate::{builder, ended, secs};

#[tokio::test(start_paused = true)]
async fn a_thousand_rollouts_share_eight_effects() {
    let (books, gauge) = (Books::new(), Arc::new(Gauge::default()));
    let driver = builder(&books)
        .with_concurrency(NonZeroUsize::new(8).unwrap())
        .build();
    let mut handles = Vec::new();
    for number in 0..1_000 {
        let plan = plan(&format!("shop-{number}"), 20);
        let ports = World::gauged(&gauge).ports();
        handles.push(driver.start(plan, Policy::default(), ports).await.unwrap());
    }
    assert_eq!(driver.handles().len(), 1_000);
    for handle in handles {
        assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    }
    assert_eq!(gauge.most.load(Ordering::SeqCst), 8);
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_everything_can_be_resumed_at_once() {
    let books = Books::new();
    let driver = builder(&books).build();
    let worlds: Vec<_> = (0..5).map(|_| World::new()).collect();
    worlds[1].goes_wrong("apply", [Wrong::Slow(secs(4))]);
    worlds[3].goes_wrong("apply", [Wrong::Hang]);
    let mut handles = Vec::new();
    for (number, world) in worlds.iter().enumerate() {
        let plan = plan(&format!("shop-{number}"), 60);
        handles.push(driver.start(plan, watching(), world.ports()).await.unwrap());
    }
    tokio::time::sleep(secs(2)).await;
    let began = tokio::time::Instant::now();
    let shutdown = driver.shutdown(secs(10)).await;
    assert!(began.elapsed() < secs(11), "{:?}", began.elapsed());
    assert_eq!(shutdown.cut_short, [workload("shop-3")]);
    for handle in &handles {
        assert_eq!(ended(handle).await, Err(DriverError::ShutDown));
        assert!(!books.is_leased(handle.workload()), "{}", handle.workload());
    }
    let changes: Vec<_> = worlds.iter().map(|world| world.changes()).collect();
    tokio::time::sleep(secs(1_000)).await;
    assert!(
        worlds
            .iter()
            .zip(&changes)
            .all(|(world, before)| world.changes() == *before)
    );
    // The slow effect came to its end and was written down: it is not done again.
    assert_eq!(
        worlds[1].changes().len(),
        worlds[1].distinct_changes().len()
    );

    let driver = builder(&books).with_owner("host-2").build();
    for (number, world) in worlds.iter().enumerate() {
        let name = workload(&format!("shop-{number}"));
        let handle = driver.resume(&name, world.ports()).await.unwrap();
        assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    }
    assert_eq!(worlds[1].changes(), worlds[0].changes());
    assert_eq!(worlds[3].distinct_changes(), worlds[0].changes());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_turn_and_for_no_journal() {
    let (books, busy, waiting) = (Books::new(), World::new(), World::new());
    busy.goes_wrong("status", [Wrong::Hang]);
    let driver = builder(&books).with_concurrency(NonZeroUsize::MIN).build();
    driver
        .start(plan("busy", 60), watching(), busy.ports())
        .await
        .unwrap();
    let second = driver
        .start(plan("waiting", 60), watching(), waiting.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(1)).await;
    books.fail(Some(ErrorKind::Unavailable));
    let shutdown = driver.shutdown(secs(5)).await;
    assert_eq!(shutdown.cut_short, [workload("busy")]);
    assert_eq!(ended(&second).await, Err(DriverError::ShutDown));
    assert_eq!(waiting.calls("status"), []);
    assert!(!books.is_leased(&workload("busy")) && !books.is_leased(&workload("waiting")));
}
