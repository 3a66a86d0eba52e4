//! What is missing or was changed is named; what was torn is not there.

use std::fs;

use codedance_core::ErrorKind;
use codedance_core::error::Failure;
use codedance_core::journal::{Entry, Journal};
use codedance_store::Store;
use futures::future::join_all;

use crate::support::{World, began, hold, told, workload};

/// The message, once it is sure that it is about corruption.
fn corrupt<T: std::fmt::Debug>(answer: codedance_core::Result<T>) -> String {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    Failure::from(&error).message
}

async fn ten_entries(world: &World) {
    let web = workload("shop/web");
    let lease = hold(&world.store, &web).await;
    world.store.append(&lease, &began(0, &web)).await.unwrap();
    for sequence in 1..10 {
        world.store.append(&lease, &told(sequence)).await.unwrap();
    }
}

#[tokio::test]
async fn whatever_was_changed_is_named() {
    for world in [World::sqlite().await, World::postgres().await] {
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
}

#[tokio::test]
async fn an_entry_in_anothers_place_is_named() {
    let world = World::sqlite().await;
    ten_entries(&world).await;
    let swap = "UPDATE entries SET body = (SELECT body FROM entries WHERE sequence = 6), \
                checksum = (SELECT checksum FROM entries WHERE sequence = 6) WHERE sequence = 5";
    assert_eq!(world.sql(swap).await, 1);
    let message = corrupt(world.store.load(&workload("shop/web")).await);
    assert!(message.contains("entry 5"), "{message}");
}

/// A copy of the files as a loss of power may leave them: the log ends anywhere.
#[tokio::test]
async fn a_torn_log_loses_only_its_torn_end() {
    let world = World::sqlite().await;
    ten_entries(&world).await;
    let web = workload("shop/web");
    let whole = world.store.load(&web).await.unwrap();
    let file = world.url.strip_prefix("sqlite:").unwrap();
    let log = fs::read(format!("{file}-wal")).unwrap();
    let copies = tempfile::tempdir().unwrap();

    let cuts = (0..12).map(|part| log.len() * part / 12);
    let mut found = Vec::new();
    for (number, cut) in cuts.enumerate() {
        let copy = copies.path().join(format!("{number}.db"));
        let copy = copy.to_str().unwrap();
        fs::copy(file, copy).unwrap();
        fs::write(format!("{copy}-wal"), &log[..cut]).unwrap();
        let store = Store::open(&format!("sqlite:{copy}")).await.unwrap();
        let entries = store.load(&web).await.unwrap();
        assert_eq!(
            entries,
            whole[..entries.len()],
            "cut at {cut} of {}",
            log.len()
        );
        // It can be gone on with.
        let lease = hold(&store, &web).await;
        for entry in &whole[entries.len()..] {
            store.append(&lease, entry).await.unwrap();
        }
        assert_eq!(store.load(&web).await.unwrap(), whole);
        found.push(entries.len());
    }
    found.dedup();
    assert!(
        found.len() > 3,
        "the cuts must fall between entries: {found:?}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("notes.txt");
    fs::write(
        &file,
        "not a database, but longer than its header would be\n".repeat(100),
    )
    .unwrap();
    let opened = Store::open(&format!("sqlite:{}", file.display())).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corrupt);

    let opened = Store::open("mysql://localhost/shop").await.unwrap_err();
    assert_eq!(opened.kind(), ErrorKind::Invalid);
    assert!(
        Failure::from(&opened).message.contains("sqlite:PATH"),
        "{opened}"
    );

    let opened = Store::open("postgres://nobody@127.0.0.1:1/shop")
        .await
        .unwrap_err();
    assert_eq!(opened.kind(), ErrorKind::Unavailable, "{opened}");
}

#[tokio::test]
async fn a_later_versions_tables_are_left_alone() {
    let world = World::sqlite().await;
    world
        .sql(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'of the future', 1, x'00', 0)",
        )
        .await;
    let opened = Store::open(&world.url).await.unwrap_err();
    assert_eq!(opened.kind(), ErrorKind::Unsupported, "{opened}");
}

#[tokio::test]
async fn several_may_open_a_new_store_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let opened = (0..4).map(|_| Store::in_directory(directory.path()));
    for store in join_all(opened).await {
        assert_eq!(store.unwrap().list().await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    for world in [World::sqlite().await, World::postgres().await] {
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
}
