//! A copy of SQLite's file, taken while the store is in use, is whole and can be gone on with.

use codedance_core::ErrorKind;
use codedance_store::Store;

use crate::support::World;
use crate::writers::{Writers, is_a_moment};

#[tokio::test]
async fn sqlite_in_use_is_copied_as_of_one_moment() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    // What a crash in the middle of an earlier attempt has left.
    std::fs::write(directory.path().join("copy.db.part"), "half").unwrap();

    let writers = Writers::start(&world.store).await;
    writers.go_on().await;
    let least = writers.durable();
    world.store.back_up(&file).await.unwrap();
    let most = writers.durable();
    writers.go_on().await;

    let copy = Store::open(&format!("sqlite:{}", file.display()))
        .await
        .unwrap();
    is_a_moment(&copy, &writers.names, &least, &most).await;
    let files = std::fs::read_dir(directory.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.ends_with(".part")));
}

#[tokio::test]
async fn a_copy_overwrites_nothing() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    std::fs::write(&file, "precious").unwrap();
    let refused = world.store.back_up(&file).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");

    let nowhere = directory.path().join("no/such/copy.db");
    let failed = world.store.back_up(&nowhere).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed:?}");
    assert!(failed.to_string().contains("copy.db"), "{failed}");
}
