//! How effects are carried out, and who hears of it.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::ErrorKind;
use codedance_core::decision::Policy;
use codedance_core::driver::{DriverError, Missed};
use codedance_core::rollout::{Cause, Event, Happening, Observation, Observer, Outcome, Phase};
use codedance_core::workload::{FleetStatus, GroupStatus};
use futures::{FutureExt, StreamExt};

use crate::books::Books;
use crate::world::{World, Wrong, plan, revision, watching, workload};
use crate::{builder, ended, secs};

#[tokio::test(start_paused = true)]
async fn a_good_rollout_completes() {
    let (books, world) = (Books::new(), World::new());
    world.audited_by(&books, "shop");
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    assert_eq!(handle.status().phase, Phase::Completed);
    assert!(!handle.status().driven);
    assert_eq!(
        world.end().0,
        FleetStatus::new().with(revision("v2"), GroupStatus::new(4, 4))
    );
    // Each stage was looked at twice, every 10 s.
    assert!(world.calls("measure").len() >= 12);
    assert!(
        !books.is_leased(&workload("shop")),
        "the lease was not released"
    );
    assert!(driver.handles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_metrics_asks_no_source() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let ports = world.ports();
    let handle = driver
        .start(plan("shop", 20), Policy::default(), ports)
        .await
        .unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    assert_eq!(world.calls("measure"), []);
}

#[tokio::test(start_paused = true)]
async fn a_bad_canary_is_rolled_back() {
    let (books, world) = (Books::new(), World::new());
    world.audited_by(&books, "shop");
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(50)).await;
    assert!(world.weight() > codedance_core::percent::Percent::ZERO);
    world.breaks("v2");
    let outcome = ended(&handle).await.unwrap();
    assert!(
        matches!(outcome, Outcome::RolledBack(Cause::Crashed(_))),
        "{outcome}"
    );
    assert_eq!(world.weight(), codedance_core::percent::Percent::ZERO);
    assert_eq!(
        world.end().0,
        FleetStatus::new().with(revision("v1"), GroupStatus::new(4, 4))
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_sees_counts_at_once_and_its_end_or_panic_does_no_harm() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let there = FleetStatus::new().with(revision("v1"), GroupStatus::new(4, 4));
    let crashed = there.with(revision("v2"), GroupStatus::new(1, 0).with_failed(1));
    let changes = futures::stream::once(async move {
        tokio::time::sleep(secs(45)).await;
        Observation::from(crashed)
    });
    let out_of_order = futures::stream::once(async { panic!("the watch is out of order") });
    let ports = world.ports().with_changes(changes.chain(out_of_order));
    let handle = driver
        .start(plan("shop", 20), Policy::default(), ports)
        .await
        .unwrap();
    tokio::time::sleep(secs(44)).await;
    assert_eq!(handle.status().phase, Phase::Progressing);
    tokio::time::sleep(secs(2)).await;
    assert_eq!(handle.status().phase, Phase::RollingBack);
    assert!(matches!(
        ended(&handle).await,
        Ok(Outcome::RolledBack(Cause::Crashed(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_repeats_itself_leaves_no_trace() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 60), Policy::default(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(30)).await;
    let (appends, seen) = (books.appends(), Observation::from(world.end().0));
    for _ in 0..100 {
        handle.observe(seen.clone()).await.unwrap();
    }
    assert_eq!(books.appends(), appends);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_within_the_effect() {
    let (books, world) = (Books::new(), World::new());
    let shaky = [
        ErrorKind::Unavailable,
        ErrorKind::Conflict,
        ErrorKind::Timeout,
    ];
    for call in [
        "status", "observe", "scale", "apply", "promote", "retire", "measure",
    ] {
        world.goes_wrong(call, shaky.map(Wrong::Error));
    }
    let driver = builder(&books).build();
    let mut events = driver.events();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    // The machine never learned of it.
    while let Some(Some(event)) = events.next().now_or_never() {
        let Event { what, .. } = event.unwrap();
        assert!(!matches!(what, Happening::EffectFailed { .. }), "{what}");
    }
    let waits: Vec<_> = world
        .calls("scale")
        .windows(2)
        .map(|at| at[1] - at[0])
        .collect();
    for (wait, least) in waits.iter().zip([100, 200, 400]) {
        let (least, most) = (
            Duration::from_millis(least),
            Duration::from_millis(2 * least + 20),
        );
        assert!((least..=most).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_mended_is_not_tried_again() {
    let (books, world) = (Books::new(), World::new());
    world.goes_wrong("apply", [Wrong::Error(ErrorKind::Unsupported)]);
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    let outcome = ended(&handle).await.unwrap();
    assert!(
        matches!(outcome, Outcome::RolledBack(Cause::EffectFailed { .. })),
        "{outcome}"
    );
    assert_eq!(world.calls("apply").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_the_machine_goes_on_from_there() {
    let (books, world) = (Books::new(), World::new());
    world.goes_wrong("scale", vec![Wrong::Error(ErrorKind::Unavailable); 3]);
    let driver = builder(&books).with_attempts(3).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(world.calls("scale").len(), 3);
    assert!(
        handle
            .explain()
            .to_string()
            .contains("another attempt to scale")
    );
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_back_end_that_asks_for_quiet_gets_it_even_beyond_the_deadline() {
    for asked in [3, 25, 100] {
        let (books, world) = (Books::new(), World::new());
        world.goes_wrong("scale", [Wrong::After(ErrorKind::RateLimited, secs(asked))]);
        let driver = builder(&books).build();
        let handle = driver
            .start(plan("shop", 20), watching(), world.ports())
            .await
            .unwrap();
        assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
        let calls = world.calls("scale");
        let quiet = calls[1] - calls[0];
        assert!(
            (secs(asked)..secs(asked + 35)).contains(&quiet),
            "{asked}: {quiet:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_hangs_fails_at_its_deadline() {
    let (books, world) = (Books::new(), World::new());
    world.goes_wrong("scale", [Wrong::Hang]);
    let driver = builder(&books).with_effect_deadline(secs(5)).build();
    let mut events = driver.events();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    let failure = loop {
        let event = events.next().await.unwrap().unwrap();
        if let Happening::EffectFailed { failure, .. } = event.what {
            break failure;
        }
    };
    assert_eq!(failure.kind, ErrorKind::Timeout);
    assert!(failure.message.ends_with("not done within 5s"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_port_that_panics_fails_its_effect_and_hurts_nobody_else() {
    let books = Books::new();
    let (good, bad) = (World::new(), World::new());
    bad.goes_wrong("apply", [Wrong::Panic]);
    let driver = builder(&books).with_concurrency(NonZeroUsize::MIN).build();
    let good = driver
        .start(plan("good", 20), watching(), good.ports())
        .await
        .unwrap();
    let bad = driver
        .start(plan("bad", 20), watching(), bad.ports())
        .await
        .unwrap();
    let outcome = ended(&bad).await.unwrap();
    let Outcome::RolledBack(Cause::EffectFailed { failure, .. }) = outcome else {
        panic!("{outcome}");
    };
    assert_eq!(failure.kind, ErrorKind::Internal);
    assert!(
        failure.message.contains("apply is out of order"),
        "{failure}"
    );
    assert_eq!(ended(&good).await, Ok(Outcome::Completed));
}

/// Collects events, or is stuck, or panics.
#[derive(Debug, Default)]
struct Listener {
    heard: Mutex<Vec<Event>>,
    stuck: bool,
    panics: bool,
}

#[async_trait]
impl Observer for Listener {
    async fn on_event(&self, event: &Event) {
        if self.stuck {
            pending::<()>().await;
        }
        self.heard.lock().unwrap().push(event.clone());
        assert!(!self.panics, "the observer is out of order");
    }
}

#[tokio::test(start_paused = true)]
async fn observers_hear_everything_in_order_and_never_delay() {
    let (books, world) = (Books::new(), World::new());
    let alone = builder(&books).build();
    let handle = alone
        .start(plan("alone", 20), watching(), world.ports())
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    ended(&handle).await.unwrap();
    let length = began.elapsed();

    let (books, world) = (Books::new(), World::new());
    let good = Arc::new(Listener::default());
    let stuck = Arc::new(Listener {
        stuck: true,
        ..Listener::default()
    });
    let panics = Arc::new(Listener {
        panics: true,
        ..Listener::default()
    });
    let driver = builder(&books)
        .with_observer(stuck)
        .with_observer(panics.clone())
        .with_observer(good.clone())
        .build();
    let mut events = driver.events();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    let mut own = handle.events();
    let began = tokio::time::Instant::now();
    ended(&handle).await.unwrap();
    assert_eq!(began.elapsed(), length);
    driver.shutdown(secs(1)).await;

    let mut heard = Vec::new();
    while let Some(event) = events.next().await {
        heard.push(event.unwrap());
    }
    assert!(heard.len() > 30, "{}", heard.len());
    assert!(heard.is_sorted_by_key(|event| event.at));
    assert_eq!(*good.heard.lock().unwrap(), heard);
    assert_eq!(*panics.heard.lock().unwrap(), heard);
    assert_eq!(own.next().await, Some(Ok(heard[0].clone())));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_lags_is_told_how_much_it_missed() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 400), watching(), world.ports())
        .await
        .unwrap();
    let mut events = handle.events();
    let heard = driver.events();
    ended(&handle).await.unwrap();
    driver.shutdown(secs(1)).await;
    let all: Vec<_> = heard.map(Result::unwrap).collect().await;
    let Some(Err(Missed(missed))) = events.next().await else {
        panic!("nothing was missed");
    };
    let rest: Vec<_> = events.map(Result::unwrap).collect().await;
    assert_eq!(rest.len() + usize::try_from(missed).unwrap(), all.len());
    assert!(all.ends_with(&rest));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_ends_its_handles() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    let events = handle.events();
    tokio::time::sleep(secs(30)).await;
    drop(driver);
    assert_eq!(ended(&handle).await, Err(DriverError::Gone));
    assert!(!handle.status().driven);
    assert_eq!(
        handle.pause().await,
        Err(codedance_core::driver::CommandError::Gone)
    );
    events.collect::<Vec<_>>().await;
}
