//! How many entries a second become durable, from one rollout and from a thousand at once, on SQLite and
//! on Postgres; beside what the disk itself can do, one `fdatasync` after the other.
//!
//! Every rollout appends the next entry when the last one is durable, as the driver does. Postgres is the
//! one that `cargo xtask services up` started, or that `CODEDANCE_POSTGRES` names.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use codedance_core::Timestamp;
use codedance_core::journal::{Entry, Journal, Record};
use codedance_core::plan::{Linear, Strategy};
use codedance_core::rollout::Input;
use codedance_core::workload::{FleetStatus, GroupStatus, Revision, Workload, WorkloadName};
use codedance_store::Store;
use futures::future::join_all;
use sqlx::{AnyConnection, Connection};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const MANY: usize = 1_000;
const TERM: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Store::in_directory(directory.path()).await.unwrap();
    let database = Database::create().await;
    let postgres = Store::open(&database.url()).await.unwrap();
    println!("each entry is {} bytes of JSON", size(&told(1)));

    // In turns, so that what else goes on on the machine meets all of them alike.
    let mut syncs = Vec::new();
    let mut appends = [(); 4].map(|()| Vec::new());
    for round in 0..ROUNDS {
        syncs.push(sync_rate(directory.path()));
        let rates = [
            append_rate(&sqlite, 1, round).await,
            append_rate(&sqlite, MANY, round).await,
            append_rate(&postgres, 1, round).await,
            append_rate(&postgres, MANY, round).await,
        ];
        appends
            .iter_mut()
            .zip(rates)
            .for_each(|(all, rate)| all.push(rate));
    }
    sqlite.close().await;
    postgres.close().await;
    database.drop().await;

    let [sqlite_one, sqlite_thousand, postgres_one, postgres_thousand] = appends;
    let rounds = serde_json::json!({
        "syncs": syncs,
        "sqlite_one": sqlite_one,
        "sqlite_thousand": sqlite_thousand,
        "postgres_one": postgres_one,
        "postgres_thousand": postgres_thousand,
    });
    println!("{rounds}");
}

/// How often a second one page at the end of a file becomes durable.
fn sync_rate(directory: &Path) -> f64 {
    let mut file = File::create(directory.join("syncs")).unwrap();
    let begun = Instant::now();
    let mut syncs = 0_u32;
    while begun.elapsed() < ROUND {
        file.write_all(&[1; 4_096]).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    f64::from(syncs) / begun.elapsed().as_secs_f64()
}

/// How many entries a second become durable, appended by so many rollouts side by side.
async fn append_rate(store: &Store, rollouts: usize, round: usize) -> f64 {
    let leases = (0..rollouts).map(|rollout| async move {
        let name = WorkloadName::new(format!("web-{rollouts}-{round}-{rollout}")).unwrap();
        let lease = store.acquire(&name, "bench", TERM).await.unwrap();
        store.append(&lease, &began(&name)).await.unwrap();
        lease
    });
    let leases = join_all(leases).await;

    let begun = Instant::now();
    let writers = leases.into_iter().map(|lease| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut sequence = 1;
            while begun.elapsed() < ROUND {
                store.append(&lease, &told(sequence)).await.unwrap();
                sequence += 1;
            }
            (sequence - 1, lease)
        })
    });
    let written = join_all(writers).await;
    let took = begun.elapsed();
    let mut entries = 0;
    for writer in written {
        let (count, lease) = writer.unwrap();
        entries += count;
        store.release(&lease).await.unwrap();
    }
    entries as f64 / took.as_secs_f64()
}

fn began(name: &WorkloadName) -> Entry {
    let [v1, v2] = ["v1", "v2"].map(|version| Revision::new(version).unwrap());
    let workload = Workload::new(name.clone(), v1, v2, 3);
    let plan = Linear::default().plan(&workload).unwrap();
    let record = Record::Began(Box::new(plan), Box::default());
    Entry::new(0, Timestamp::EPOCH, record)
}

/// What a watch saw: the entry that a rollout writes most often.
fn told(sequence: u64) -> Entry {
    let fleet =
        ["v1", "v2"].map(|version| (Revision::new(version).unwrap(), GroupStatus::new(3, 3)));
    let fleet: FleetStatus = fleet.into_iter().collect();
    let at = Timestamp::EPOCH + Duration::from_secs(sequence);
    Entry::new(sequence, at, Record::Told(Input::Observed(fleet.into())))
}

fn size(entry: &Entry) -> usize {
    serde_json::to_string(entry).unwrap().len()
}

/// A database of its own.
struct Database {
    server: String,
    name: String,
}

impl Database {
    async fn create() -> Self {
        let noted = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/services/postgres.url"
        );
        let server = std::env::var("CODEDANCE_POSTGRES");
        let server = server.or_else(|_| std::fs::read_to_string(noted));
        let server = server.expect("no Postgres: start one with `cargo xtask services up`");
        let database = Self {
            server: server.trim().trim_end_matches('/').to_owned(),
            name: format!("bench_{}", std::process::id()),
        };
        sqlx::any::install_default_drivers();
        database
            .tell(&format!("CREATE DATABASE {}", database.name))
            .await;
        database
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    async fn drop(self) {
        self.tell(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await;
    }

    async fn tell(&self, statement: &str) {
        let url = format!("{}/postgres", self.server);
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
}
