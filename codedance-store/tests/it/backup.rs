//! A copy taken while the store is in use is whole, and can be gone on with.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use codedance_core::ErrorKind;
use codedance_core::journal::Journal;
use codedance_core::workload::WorkloadName;
use codedance_store::Store;
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::support::{World, hold, told, workload};

/// Appends to several journals without a pause, until it is dropped.
struct Writers {
    names: Vec<WorkloadName>,
    /// How many entries of each are durable.
    durable: Vec<Arc<AtomicU64>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    async fn start(store: &Store) -> Self {
        let names = (0..20).map(|number| workload(&format!("shop/{number}")));
        let names = names.collect::<Vec<_>>();
        let durable: Vec<_> = names.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let leases = join_all(names.iter().map(|name| hold(store, name))).await;
        let tasks = leases.into_iter().zip(&durable).map(|(lease, durable)| {
            let (store, durable) = (store.clone(), Arc::clone(durable));
            tokio::spawn(async move {
                for sequence in 0.. {
                    store.append(&lease, &told(sequence)).await.unwrap();
                    durable.store(sequence + 1, Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Self {
            names,
            durable,
            tasks,
        }
    }

    fn durable(&self) -> Vec<u64> {
        self.durable
            .iter()
            .map(|count| count.load(Relaxed))
            .collect()
    }

    /// Waits until each journal has grown.
    async fn go_on(&self) {
        let before = self.durable();
        while self
            .durable()
            .iter()
            .zip(&before)
            .any(|(now, then)| now <= then)
        {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The copy has what was durable before it began, and nothing that came after it was done.
async fn is_a_moment(copy: &Store, names: &[WorkloadName], least: &[u64], most: &[u64]) {
    for (name, (least, most)) in names.iter().zip(least.iter().zip(most)) {
        let entries = copy.export(name).await.unwrap();
        let count = entries.len() as u64;
        // The last may have become durable before its writer knew.
        assert!(
            (*least..=*most + 1).contains(&count),
            "{least}, {count}, {most}"
        );
        assert!(entries.into_iter().eq((0..count).map(told)));
    }
}

#[tokio::test]
async fn sqlite_in_use_is_copied_as_of_one_moment() {
    let world = World::sqlite().await;
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
    let world = World::sqlite().await;
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

    let postgres = World::postgres().await;
    let elsewhere = directory.path().join("postgres.db");
    let refused = postgres.store.back_up(&elsewhere).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn postgres_in_use_is_dumped_and_restored() {
    let world = World::postgres().await;
    let restored = World::postgres().await;
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
