//! A database for each test.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::journal::{Entry, Journal, Lease, Record};
use codedance_core::plan::{Linear, Strategy};
use codedance_core::rollout::{Command, Input};
use codedance_core::workload::{Revision, Workload, WorkloadName};
use codedance_store::Store;
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;

pub(crate) const TERM: Duration = Duration::from_secs(60);

/// A database with a store in it; gone when the test is over.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) url: String,
    _place: Place,
}

enum Place {
    Directory { _held: TempDir },
    Database { server: String, name: String },
}

impl World {
    pub(crate) async fn new() -> Self {
        if crate::ON_POSTGRES {
            Self::postgres().await
        } else {
            Self::sqlite().await
        }
    }

    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal.db");
        let url = format!("sqlite:{}", file.display());
        Self::open(url, Place::Directory { _held: directory }).await
    }

    async fn postgres() -> Self {
        let server = server();
        let name = format!("test_{}_{:x}", std::process::id(), fastrand::u64(..));
        let mut connection = connect(&format!("{server}/postgres")).await;
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        let url = format!("{server}/{name}");
        Self::open(url, Place::Database { server, name }).await
    }

    async fn open(url: String, place: Place) -> Self {
        let store = Store::open(&url).await.unwrap();
        Self {
            store,
            url,
            _place: place,
        }
    }

    /// Does something behind the store's back.
    pub(crate) async fn sql(&self, statement: &str) -> u64 {
        let mut connection = connect(&self.url).await;
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let done = sqlx::query(statement).execute(&mut connection).await;
        done.unwrap().rows_affected()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self::Database { server, name } = self else {
            return;
        };
        let (url, name) = (format!("{server}/postgres"), name.clone());
        // The test's own runtime may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut connection = connect(&url).await;
                let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
                sqlx::query(drop).execute(&mut connection).await.unwrap();
            });
        });
        dropped.join().unwrap();
    }
}

pub(crate) async fn connect(url: &str) -> AnyConnection {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
    AnyConnection::connect(url).await.unwrap()
}

/// The Postgres for tests, without a database.
fn server() -> String {
    if let Ok(url) = std::env::var("CODEDANCE_POSTGRES") {
        return url.trim_end_matches('/').to_owned();
    }
    let noted = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services/postgres.url");
    let url = std::fs::read_to_string(noted);
    let url = url
        .expect("no Postgres: start one with `cargo xtask services up`, or set CODEDANCE_POSTGRES");
    url.trim().to_owned()
}

pub(crate) fn workload(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

pub(crate) fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

pub(crate) async fn hold(store: &Store, name: &WorkloadName) -> Lease {
    store.acquire(name, "tester", TERM).await.unwrap()
}

/// Begins a rollout.
pub(crate) fn began(sequence: u64, name: &WorkloadName) -> Entry {
    let workload = Workload::new(name.clone(), revision("v1"), revision("v2"), 3);
    let plan = Linear::default().plan(&workload).unwrap();
    let record = Record::Began(Box::new(plan), Box::default());
    Entry::new(sequence, at(sequence), record)
}

pub(crate) fn told(sequence: u64) -> Entry {
    let input = Input::Command(Command::Pause);
    Entry::new(sequence, at(sequence), Record::Told(input))
}

/// A minute for each entry.
pub(crate) fn at(sequence: u64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(60 * sequence)
}

/// A rollout of ten entries.
pub(crate) async fn ten_entries(world: &World) {
    let web = workload("shop/web");
    let lease = hold(&world.store, &web).await;
    world.store.append(&lease, &began(0, &web)).await.unwrap();
    for sequence in 1..10 {
        world.store.append(&lease, &told(sequence)).await.unwrap();
    }
}
