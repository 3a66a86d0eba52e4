//! A dump of Postgres, taken while the store is in use, is whole and can be gone on with.

use std::path::Path;
use std::process::Command;

use codedance_core::ErrorKind;

use crate::support::World;
use crate::writers::{Writers, is_a_moment};

#[tokio::test]
async fn postgres_in_use_is_dumped_and_restored() {
    let world = World::new().await;
    let restored = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rollouts.dump");

    let writers = Writers::start(&world.store).await;
    writers.go_on().await;
    let least = writers.durable();
    let (url, into) = (world.url.clone(), file.clone());
    let dumped = tokio::task::spawn_blocking(move || {
        let mut dump = Command::new("pg_dump");
        run(dump.arg("--format=custom").arg("--file").arg(into).arg(url));
    });
    dumped.await.unwrap();
    let most = writers.durable();
    writers.go_on().await;

    // Over the empty tables of a store that was opened there already, as after a hasty start.
    restore(&restored.url, &file);
    is_a_moment(&restored.store, &writers.names, &least, &most).await;
}

fn restore(url: &str, file: &Path) {
    let mut restore = Command::new("pg_restore");
    run(restore
        .args([
            "--clean",
            "--if-exists",
            "--single-transaction",
            "--dbname",
            url,
        ])
        .arg(file));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[tokio::test]
async fn postgres_is_not_copied_into_a_file() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    let refused = world.store.back_up(&file).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(!file.exists());
}
