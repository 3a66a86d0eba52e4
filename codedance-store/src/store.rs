//! The store itself: opened, asked, closed.

use std::path::Path;
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use codedance_core::journal::{Entry, Journal, Lease};
use codedance_core::workload::WorkloadName;
use codedance_core::{Error, ErrorKind, Result, Timestamp};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection, Executor};

use crate::fault::fault;
use crate::row::Row;
use crate::write::Change;
use crate::writer::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Connections for reading, beside the one that the writer takes.
const CONNECTIONS: u32 = 5;
/// How long to wait for a connection, or for SQLite's lock, before the journal counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(5);

/// A [`Journal`] in SQL. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    kind: Kind,
    pool: AnyPool,
    writer: Writer,
}

/// Which database it is, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens the store at `url` and brings its tables up to date:
    /// - `sqlite:PATH`, a file that is created if it is not there; several processes of one machine
    ///   may share it, on a local disk;
    /// - `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, also on several machines. Leases follow the
    ///   database's own clock.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the URL is neither, [`ErrorKind::Unavailable`] when the database
    /// cannot be reached, [`ErrorKind::Corrupt`] when the file is no database, and
    /// [`ErrorKind::Unsupported`] when its tables are those of a later version.
    pub async fn open(url: &str) -> Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let (kind, url) = if url.starts_with("sqlite:") {
            let joint = if url.contains('?') { '&' } else { '?' };
            (Kind::Sqlite, format!("{url}{joint}mode=rwc"))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            (Kind::Postgres, url.to_owned())
        } else {
            let source = "write sqlite:PATH or postgres://USER@HOST/DATABASE";
            return Err(Error::new(ErrorKind::Invalid, "open the store").with_source(source));
        };
        let failed = |error| fault("open the store", error);
        // By a connection of its own: a pool would try again what cannot be, and not say why.
        let mut first = AnyConnection::connect(&url).await.map_err(failed)?;
        kind.prepare(&mut first).await.map_err(failed)?;
        kind.migrate(&mut first).await?;
        first.close().await.map_err(failed)?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| Box::pin(kind.prepare(connection)))
            .connect(&url)
            .await
            .map_err(failed)?;
        let writer = Writer::start(pool.clone(), kind);
        Ok(Self { kind, pool, writer })
    }

    /// The store in the file `rollouts.db` of this directory, which is created if it is not there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn in_directory(directory: &Path) -> Result<Self> {
        let invalid =
            |source: String| Error::new(ErrorKind::Invalid, "open the store").with_source(source);
        std::fs::create_dir_all(directory)
            .map_err(|error| invalid(format!("{}: {error}", directory.display())))?;
        let file = directory.join("rollouts.db");
        let Some(path) = file.to_str() else {
            return Err(invalid(format!("{} is not UTF-8", file.display())));
        };
        // What a URL gives a meaning to.
        let path = path
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        Self::open(&format!("sqlite:{path}")).await
    }

    /// Closes the connections once those at work are done. Without it a process may end at any time:
    /// what an append returned for is durable.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Every entry of a workload that compaction has left, in order, those of earlier rollouts
    /// included: its audit trail.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] names the first entry that is missing or not what was written.
    pub async fn export(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        let first = "SELECT MIN(sequence) FROM entries WHERE workload = $1";
        self.entries(workload, first).await
    }

    /// The entries from the one on that `first` selects.
    async fn entries(&self, workload: &WorkloadName, first: &'static str) -> Result<Vec<Entry>> {
        let failed = |error| fault(format!("read the journal of {workload}"), error);
        // All as of one moment: meanwhile others append, and compact.
        let begin = self.kind.begin_reading();
        let mut tx = self.pool.begin_with(begin).await.map_err(failed)?;
        let next: Option<i64> = sqlx::query_scalar("SELECT next FROM journals WHERE workload = $1")
            .bind(workload.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        let first: Option<i64> = sqlx::query_scalar(first)
            .bind(workload.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        let (first, next) = (first.unwrap_or_default(), next.unwrap_or_default());
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT sequence, written, kind, body, checksum FROM entries \
             WHERE workload = $1 AND sequence >= $2 ORDER BY sequence",
        )
        .bind(workload.as_str())
        .bind(first)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;

        let mut rows = rows.iter();
        let entries = (first..next).map(|expected| match rows.next() {
            Some(row) if row.sequence == expected => row.decode(workload),
            Some(_) | None => Err(missing(workload, expected)),
        });
        entries.collect()
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) const fn pool(&self) -> &AnyPool {
        &self.pool
    }
}

#[async_trait]
impl Journal for Store {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        let change = Change::Acquire {
            workload: workload.clone(),
            owner: owner.to_owned(),
            length,
        };
        granted(self.writer.make(change).await)
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        let lease = lease.clone();
        granted(self.writer.make(Change::Renew { lease, length }).await)
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let released = self.writer.make(Change::Release(lease.clone())).await;
        released.map(drop)
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        let row = Row::encode(&lease.workload, entry)?;
        let lease = lease.clone();
        let appended = self.writer.make(Change::Append { lease, row }).await;
        appended.map(drop)
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        let began = "SELECT MAX(sequence) FROM entries WHERE workload = $1 AND kind = 0";
        self.entries(workload, began).await
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        let operation = "list the journals";
        let names: Vec<String> = sqlx::query_scalar("SELECT workload FROM journals WHERE next > 0")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| fault(operation, error))?;
        let names = names.into_iter().map(WorkloadName::new);
        let names = names.collect::<std::result::Result<Vec<_>, _>>();
        let mut names =
            names.map_err(|error| Error::new(ErrorKind::Corrupt, operation).with_source(error))?;
        names.sort();
        Ok(names)
    }
}

impl Kind {
    async fn prepare(self, connection: &mut AnyConnection) -> sqlx::Result<()> {
        if self == Self::Sqlite {
            // The first waits for other processes that open the file at the same time.
            connection
                .execute(
                    "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
                )
                .await?;
        }
        Ok(())
    }

    async fn migrate(self, connection: &mut AnyConnection) -> Result<()> {
        let operation = "bring the store's tables up to date";
        let migrated = match self {
            // The lock of the whole file, for the whole time: others may open it, too.
            Self::Sqlite => {
                let failed = |error| fault(operation, error);
                let mut tx = connection
                    .begin_with("BEGIN IMMEDIATE")
                    .await
                    .map_err(failed)?;
                let migrated = MIGRATIONS.run(&mut *tx).await;
                if migrated.is_ok() {
                    tx.commit().await.map_err(failed)?;
                }
                migrated
            }
            // The migrator takes an advisory lock.
            Self::Postgres => MIGRATIONS.run(connection).await,
        };
        migrated.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                fault(operation, error)
            }
            error => Error::new(ErrorKind::Unsupported, operation).with_source(error),
        })
    }

    const fn begin_reading(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// The time by which leases end: where several machines write, the database's own.
    pub(crate) async fn now(self, connection: &mut AnyConnection) -> Result<Timestamp> {
        let millis = match self {
            Self::Sqlite => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
                since_epoch.map_or(0, |length| {
                    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
                })
            }
            Self::Postgres => sqlx::query_scalar(
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
            )
            .fetch_one(connection)
            .await
            .map_err(|error| fault("ask the database for the time", error))?,
        };
        Ok(Timestamp::from_millis(millis))
    }
}

/// A change that asks for a lease is answered with one.
fn granted(answer: crate::write::Answer) -> Result<Lease> {
    answer?.ok_or_else(|| Error::new(ErrorKind::Internal, "grant a lease"))
}

fn missing(workload: &WorkloadName, sequence: i64) -> Error {
    let operation = format!("read entry {sequence} of {workload}");
    Error::new(ErrorKind::Corrupt, operation).with_source("it is missing")
}
