//! Commands, and what a rejected one leaves.

use std::time::Duration;

use codedance_core::decision::Policy;
use codedance_core::driver::{CommandError, DriverError, StartError};
use codedance_core::percent::Percent;
use codedance_core::plan::{Linear, Manual, Strategy};
use codedance_core::rollout::{Alert, Cause, Outcome, Phase, Rejected, Signalled};
use codedance_core::workload::Workload;
use codedance_core::{ErrorKind, Failure};

use crate::books::Books;
use crate::world::{World, Wrong, plan, revision, watching, workload};
use crate::{builder, ended, secs};

#[tokio::test(start_paused = true)]
async fn a_rejected_command_changes_nothing() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 60), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(25)).await;
    let (appends, before, changes) = (books.appends(), handle.snapshot(), world.changes());
    let rejected = |error| Err(CommandError::Rejected(error));
    assert_eq!(handle.resume().await, rejected(Rejected::NotPaused));
    assert_eq!(handle.retry().await, rejected(Rejected::NothingToRetry));
    let same = plan("shop", 1);
    assert_eq!(
        handle.supersede(same, watching()).await,
        rejected(Rejected::SameRevision)
    );
    let other = plan("other", 1);
    assert_eq!(
        handle.amend(other, watching()).await,
        rejected(Rejected::OtherRevision)
    );
    // What is no change is no error, and leaves no trace either.
    assert_eq!(handle.amend(plan("shop", 60), watching()).await, Ok(()));
    assert_eq!(books.appends(), appends);
    assert_eq!((handle.snapshot(), world.changes()), (before, changes));
}

#[tokio::test(start_paused = true)]
async fn commands_are_in_the_journal_when_they_return() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(25)).await;
    handle.pause().await.unwrap();
    assert_eq!(handle.status().phase, Phase::Paused);
    drop(driver);

    let driver = builder(&books).build();
    let handle = driver
        .resume(&workload("shop"), world.ports())
        .await
        .unwrap();
    assert_eq!(handle.status().phase, Phase::Paused);
    let weight = world.weight();
    tokio::time::sleep(secs(1_000)).await;
    assert_eq!(world.weight(), weight);
    handle.resume().await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    assert_eq!(
        handle.pause().await,
        Err(CommandError::Rejected(Rejected::Finished))
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_stops_the_effect_that_it_makes_unwanted() {
    let (books, world) = (Books::new(), World::new());
    world.audited_by(&books, "shop");
    world.goes_wrong("apply", [Wrong::Hang]);
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(3)).await;
    assert!(world.busy(), "the router hangs");
    handle.abort().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    assert!(!world.busy(), "it goes on with what nobody wants");
    assert_eq!(
        ended(&handle).await,
        Ok(Outcome::RolledBack(Cause::Aborted))
    );
    assert_eq!(world.weight(), Percent::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_still_wanted_goes_on_under_a_command() {
    let (books, world) = (Books::new(), World::new());
    world.goes_wrong("scale", [Wrong::Slow(secs(10))]);
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(3)).await;
    handle
        .alert(Alert::new("unrelated", Signalled::Resolved))
        .await
        .unwrap();
    tokio::time::sleep(secs(8)).await;
    assert_eq!(world.calls("scale").len(), 1);
    assert!(world.weight() > Percent::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_operator_walks_through_a_manual_rollout() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let shop = Workload::new(workload("shop"), revision("v1"), revision("v2"), 4);
    let plan = Manual::default().plan(&shop).unwrap();
    let handle = driver
        .start(plan, Policy::default(), world.ports())
        .await
        .unwrap();
    for percent in [5, 10, 25] {
        tokio::time::sleep(secs(600)).await;
        assert_eq!(handle.status().weight, Percent::new(percent).unwrap());
        assert_eq!(world.weight(), handle.status().weight);
        assert!(
            handle.explain().to_string().contains("operator"),
            "{}",
            handle.explain()
        );
        handle.promote().await.unwrap();
    }
    handle.promote_full().await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_takes_over_and_the_handle_follows() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 60), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(90)).await;
    let newer = Workload::new(workload("shop"), revision("v1"), revision("v3"), 4);
    let newer = Linear::new(secs(20)).plan(&newer).unwrap();
    handle.supersede(newer, watching()).await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
    assert_eq!(handle.status().canary, revision("v3"));
    let there: Vec<_> = world
        .end()
        .0
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(there, ["v3"]);
}

#[tokio::test(start_paused = true)]
async fn a_firing_alert_rolls_back() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 60), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(30)).await;
    handle
        .alert(Alert::new("burning", Signalled::Firing))
        .await
        .unwrap();
    let outcome = ended(&handle).await.unwrap();
    assert!(
        matches!(outcome, Outcome::RolledBack(Cause::Alerted(_))),
        "{outcome}"
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_journal_fails_nothing_goes_on_and_afterwards_all_does() {
    let (books, world) = (Books::new(), World::new());
    world.audited_by(&books, "shop");
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(25)).await;
    books.fail(Some(ErrorKind::Unavailable));
    let changes = world.changes();
    // The command waits with it.
    let pausing = tokio::time::timeout(secs(300), handle.pause()).await;
    assert!(pausing.is_err());
    assert_eq!(world.changes(), changes);
    books.fail(None);
    // Its caller has gone, but it was given.
    tokio::time::sleep(secs(30)).await;
    assert_eq!(handle.status().phase, Phase::Paused);
    handle.resume().await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_broken_stops_the_rollout_and_it_can_be_resumed() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(25)).await;
    for kind in [ErrorKind::Denied, ErrorKind::Conflict] {
        books.fail(Some(kind));
        let end = ended(&driver.handle(&workload("shop")).unwrap()).await;
        let failure = Failure::new(kind, format!("failed to append ({kind})"));
        assert_eq!(end, Err(DriverError::Journal(failure)));
        books.fail(None);
        driver
            .resume(&workload("shop"), world.ports())
            .await
            .unwrap();
    }
    assert_eq!(handle.pause().await, Err(CommandError::Gone));
    let handle = driver.handle(&workload("shop")).unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_started_or_resumed_says_why() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let name = workload("shop");
    let refused = driver.resume(&name, world.ports()).await.unwrap_err();
    assert!(
        matches!(refused, StartError::NothingToResume(_)),
        "{refused}"
    );
    assert!(!books.is_leased(&name));

    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    for refused in [
        driver
            .start(plan("shop", 20), watching(), world.ports())
            .await
            .unwrap_err(),
        driver.resume(&name, world.ports()).await.unwrap_err(),
    ] {
        assert!(matches!(refused, StartError::Running(_)), "{refused}");
    }
    tokio::time::sleep(secs(30)).await;
    driver.shutdown(secs(10)).await;
    assert_eq!(ended(&handle).await, Err(DriverError::ShutDown));
    let refused = driver.resume(&name, world.ports()).await.unwrap_err();
    assert!(matches!(refused, StartError::ShutDown), "{refused}");

    let driver = builder(&books).build();
    let refused = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap_err();
    assert!(matches!(refused, StartError::Unfinished(_)), "{refused}");
    assert!(!books.is_leased(&name));
    let handle = driver.resume(&name, world.ports()).await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));

    // One that has ended ends again, without any effect; and another can begin.
    let changes = world.changes();
    let again = driver.resume(&name, world.ports()).await.unwrap();
    assert_eq!(ended(&again).await, Ok(Outcome::Completed));
    assert_eq!(world.changes(), changes);
    let next = Workload::new(name, revision("v2"), revision("v3"), 4);
    let next = Linear::new(Duration::ZERO).plan(&next).unwrap();
    let handle = driver
        .start(next, Policy::default(), world.ports())
        .await
        .unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
}
