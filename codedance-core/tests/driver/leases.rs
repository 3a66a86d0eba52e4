//! One driver for a workload, whatever happens.

use codedance_core::ErrorKind;
use codedance_core::driver::{DriverError, StartError};
use codedance_core::rollout::Outcome;

use crate::books::Books;
use crate::world::{World, Wrong, plan, watching, workload};
use crate::{builder, ended, secs};

#[tokio::test(start_paused = true)]
async fn another_driver_waits_until_the_lease_is_free() {
    let (books, world) = (Books::new(), World::new());
    let (one, two) = (
        builder(&books).build(),
        builder(&books).with_owner("host-2").build(),
    );
    let handle = one
        .start(plan("shop", 60), watching(), world.ports())
        .await
        .unwrap();
    // Long enough for the lease to have run out, had nobody renewed it.
    tokio::time::sleep(secs(100)).await;
    let refused = two
        .resume(&workload("shop"), world.ports())
        .await
        .unwrap_err();
    assert!(matches!(refused, StartError::Busy { .. }), "{refused}");

    // A crash leaves the lease to run out.
    drop(one);
    assert_eq!(ended(&handle).await, Err(DriverError::Gone));
    assert!(two.resume(&workload("shop"), world.ports()).await.is_err());
    tokio::time::sleep(secs(30)).await;
    let handle = two.resume(&workload("shop"), world.ports()).await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_lease_stops_in_the_middle_of_an_effect() {
    let (books, world) = (Books::new(), World::new());
    world.goes_wrong("apply", [Wrong::Slow(secs(25))]);
    let driver = builder(&books).build();
    let handle = driver
        .start(plan("shop", 60), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(3)).await;
    assert!(world.busy());
    books.steal(&workload("shop"));
    let appends = books.appends();
    let Err(DriverError::LeaseLost(failure)) = ended(&handle).await else {
        panic!("it went on");
    };
    assert_eq!(failure.kind, ErrorKind::LeaseLost);
    assert!(!world.busy(), "the effect goes on");
    let changes = world.changes();
    tokio::time::sleep(secs(1_000)).await;
    assert_eq!((world.changes(), books.appends()), (changes, appends));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_ends_by_our_own_clock() {
    let (books, world) = (Books::new(), World::new());
    let driver = builder(&books).build();
    let began = tokio::time::Instant::now();
    let handle = driver
        .start(plan("shop", 600), watching(), world.ports())
        .await
        .unwrap();
    books.fail_renewals(Some(ErrorKind::Unavailable));
    let end = ended(&handle).await;
    assert!(matches!(end, Err(DriverError::LeaseLost(_))), "{end:?}");
    assert!(began.elapsed() <= secs(30), "{:?}", began.elapsed());
    assert!(began.elapsed() >= secs(29), "{:?}", began.elapsed());

    // A renewal that is late, but in time, is no harm.
    books.fail_renewals(None);
    tokio::time::sleep(secs(30)).await;
    let handle = driver
        .resume(&workload("shop"), world.ports())
        .await
        .unwrap();
    books.fail_renewals(Some(ErrorKind::Unavailable));
    tokio::time::sleep(secs(25)).await;
    books.fail_renewals(None);
    tokio::time::sleep(secs(100)).await;
    assert!(handle.status().driven);
}

#[tokio::test(start_paused = true)]
async fn a_late_writer_is_refused_by_the_journal() {
    let (books, world) = (Books::new(), World::new());
    // A lease so long that its own clock would not stop it.
    let driver = builder(&books).with_lease(secs(86_400)).build();
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    tokio::time::sleep(secs(25)).await;
    books.steal(&workload("shop"));
    let changes = world.changes();
    let end = ended(&handle).await;
    assert!(matches!(end, Err(DriverError::LeaseLost(_))), "{end:?}");
    assert_eq!(world.changes(), changes);
}
