//! Entries that are lost with the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::open;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Entry, Journal, Lease, Record};
use crate::time::Timestamp;
use crate::workload::WorkloadName;

/// A [`Journal`] in memory, with real leases and fencing. Clones share the entries, so a clone outlives
/// the driver that a test drops to play a crash.
///
/// Its clock stands still at the epoch unless it is given one ([`with_clock`](Self::with_clock)) or told
/// that time passes ([`pass`](Self::pass)).
#[derive(Clone)]
pub struct MemoryJournal {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    passed: Duration,
    books: BTreeMap<WorkloadName, Book>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    damaged: Vec<u64>,
    holder: Option<Lease>,
    last_token: u64,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::with_clock(|| Timestamp::EPOCH)
    }
}

impl MemoryJournal {
    /// An empty journal whose clock moves by [`pass`](Self::pass) alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty journal that asks `clock` when a lease expires.
    pub fn with_clock(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            world: Arc::default(),
        }
    }

    /// Puts the journal's clock forward.
    pub fn pass(&self, length: Duration) {
        let mut world = open(&self.world);
        world.passed = world.passed.saturating_add(length);
    }

    /// Every entry of a workload, those before its last [`Record::Began`] included.
    #[must_use]
    pub fn entries(&self, workload: &WorkloadName) -> Vec<Entry> {
        let world = open(&self.world);
        world
            .books
            .get(workload)
            .map_or_else(Vec::new, |book| book.entries.clone())
    }

    /// Damages the entry in its place: loading it is refused as [`ErrorKind::Corrupt`] from now on.
    pub fn damage(&self, workload: &WorkloadName, sequence: u64) {
        if let Some(book) = open(&self.world).books.get_mut(workload) {
            book.damaged.push(sequence);
        }
    }

    /// Tears the last entry, as a loss of power in the middle of its append would.
    pub fn tear_last(&self, workload: &WorkloadName) {
        if let Some(book) = open(&self.world).books.get_mut(workload) {
            book.entries.pop();
        }
    }

    fn now(&self, world: &World) -> Timestamp {
        (self.clock)() + world.passed
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJournal")
            .field("world", &*open(&self.world))
            .finish_non_exhaustive()
    }
}

impl Book {
    fn holds(&self, lease: &Lease, now: Timestamp) -> bool {
        self.holder
            .as_ref()
            .is_some_and(|held| held.token == lease.token && now < held.expires)
    }
}

fn lost(lease: &Lease, operation: &'static str) -> Error {
    let source = format!(
        "lease {} of {} on {} is over",
        lease.token, lease.owner, lease.workload
    );
    Error::new(ErrorKind::LeaseLost, operation).with_source(source)
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        let mut world = open(&self.world);
        let now = self.now(&world);
        let book = world.books.entry(workload.clone()).or_default();
        let token = match &book.holder {
            Some(held) if held.owner == owner => held.token,
            Some(held) if now < held.expires => {
                let operation = format!("acquire the lease on {workload}");
                let source = format!("{} holds it until {}", held.owner, held.expires);
                return Err(Error::new(ErrorKind::Conflict, operation).with_source(source));
            }
            Some(_) | None => book.last_token + 1,
        };
        let lease = Lease::new(workload.clone(), owner.to_owned(), token, now + length);
        book.last_token = token;
        book.holder = Some(lease.clone());
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        let mut world = open(&self.world);
        let now = self.now(&world);
        let book = world.books.entry(lease.workload.clone()).or_default();
        if !book.holds(lease, now) {
            return Err(lost(lease, "renew a lease"));
        }
        let renewed = Lease {
            expires: now + length,
            ..lease.clone()
        };
        book.holder = Some(renewed.clone());
        Ok(renewed)
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        if let Some(book) = open(&self.world).books.get_mut(&lease.workload)
            && book
                .holder
                .as_ref()
                .is_some_and(|held| held.token == lease.token)
        {
            book.holder = None;
        }
        Ok(())
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        let mut world = open(&self.world);
        let now = self.now(&world);
        let book = world.books.entry(lease.workload.clone()).or_default();
        if !book.holds(lease, now) {
            return Err(lost(lease, "append an entry"));
        }
        if book.entries.last() == Some(entry) {
            return Ok(());
        }
        let next = book.entries.len() as u64;
        if entry.sequence != next {
            let operation = format!("append entry {} of {}", entry.sequence, lease.workload);
            let source = format!("the next is {next}");
            return Err(Error::new(ErrorKind::Conflict, operation).with_source(source));
        }
        book.entries.push(entry.clone());
        Ok(())
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        let world = open(&self.world);
        let Some(book) = world.books.get(workload) else {
            return Ok(Vec::new());
        };
        let began = |entry: &Entry| matches!(entry.record, Record::Began(..));
        let first = book.entries.iter().rposition(began).unwrap_or(0);
        let loaded = &book.entries[first..];
        if let Some(entry) = loaded
            .iter()
            .find(|entry| book.damaged.contains(&entry.sequence))
        {
            let operation = format!("load entry {} of {workload}", entry.sequence);
            return Err(Error::new(ErrorKind::Corrupt, operation));
        }
        Ok(loaded.to_vec())
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        let world = open(&self.world);
        let written = world
            .books
            .iter()
            .filter(|(_, book)| !book.entries.is_empty());
        Ok(written.map(|(workload, _)| workload.clone()).collect())
    }
}
