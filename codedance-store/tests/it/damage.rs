//! What is missing or was changed is named.

use codedance_core::ErrorKind;
use codedance_core::error::Failure;
use codedance_core::journal::{Entry, Journal};
use codedance_store::Store;

use crate::support::{World, ten_entries, workload};

/// The message, once it is sure that it is about corruption.
fn corrupt<T: std::fmt::Debug>(answer: codedance_core::Result<T>) -> String {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    Failure::from(&error).message
}

#[tokio::test]
async fn whatever_was_changed_is_named() {
    let world = World::new().await;
    ten_entries(&world).await;
    let web = workload("shop/web");
    world
        .sql("CREATE TABLE whole AS SELECT * FROM entries")
        .await;
    for (change, named) in [
        ("DELETE FROM entries WHERE sequence = 4", "entry 4"),
        // The end is missed, too.
        ("DELETE FROM entries WHERE sequence > 2", "entry 3"),
        (
            "UPDATE entries SET written = 1 WHERE sequence = 2",
            "entry 2",
        ),
        ("UPDATE entries SET kind = 0 WHERE sequence = 1", "entry 1"),
        ("UPDATE entries SET kind = 1 WHERE sequence = 0", "entry 0"),
        ("DELETE FROM entries", "entry 0"),
    ] {
        assert!(world.sql(change).await > 0);
        let message = corrupt(world.store.load(&web).await);
        assert!(message.contains(named), "{change}: {message}");
        corrupt(world.store.export(&web).await);
        world.sql("DELETE FROM entries").await;
        world.sql("INSERT INTO entries SELECT * FROM whole").await;
        assert_eq!(world.store.load(&web).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn an_entry_in_anothers_place_is_named() {
    let world = World::new().await;
    ten_entries(&world).await;
    let swap = "UPDATE entries SET body = (SELECT body FROM entries WHERE sequence = 6), \
                checksum = (SELECT checksum FROM entries WHERE sequence = 6) WHERE sequence = 5";
    assert_eq!(world.sql(swap).await, 1);
    let message = corrupt(world.store.load(&workload("shop/web")).await);
    assert!(message.contains("entry 5"), "{message}");
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    let world = World::new().await;
    ten_entries(&world).await;
    let web = workload("shop/web");
    let written = world.store.load(&web).await.unwrap();
    world.store.close().await;
    let closed = world.store.load(&web).await;
    assert!(closed.is_err(), "a closed store answers nothing");
    let again = Store::open(&world.url).await.unwrap();
    let read: Vec<Entry> = again.load(&web).await.unwrap();
    assert_eq!(read, written);
}
