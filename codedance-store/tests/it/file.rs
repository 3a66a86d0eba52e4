//! SQLite's own file: torn, foreign, of a later version, opened by several at once.

use std::fs;

use codedance_core::ErrorKind;
use codedance_core::error::Failure;
use codedance_core::journal::Journal;
use codedance_store::Store;
use futures::future::join_all;

use crate::support::{World, hold, ten_entries, workload};

/// A copy of the files as a loss of power may leave them: the log ends anywhere.
#[tokio::test]
async fn a_torn_log_loses_only_its_torn_end() {
    let world = World::new().await;
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
    let world = World::new().await;
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
