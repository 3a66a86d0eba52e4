//! The journal as a process reaches it, and who holds the lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::lock;
use super::ports::{Access, Fate, Fault};
use super::scenario::Weather;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Entry, Journal, Lease};
use crate::time::Timestamp;
use crate::workload::WorkloadName;

/// Who may act, by the journal's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) process: u32,
    pub(super) expires: Timestamp,
}

impl Access {
    async fn book<T>(&self, what: &'static str, act: impl Fn() -> Option<Result<T>>) -> Result<T> {
        let world = &self.world;
        let weather = if world.is_calm() {
            Weather::default()
        } else {
            world.scenario.journal
        };
        let fate = Fate::draw(&mut lock(&world.books), weather, 10);
        world.time.sleep(fate.before).await;
        let fault = match fate.fault {
            // A judge or a journal that panics ends the rollout's task: a port's business is tested.
            Fault::Panic => Fault::Error(ErrorKind::Internal, Duration::ZERO),
            _ if world.journal_is_down.load(Ordering::Relaxed) => {
                Fault::Error(ErrorKind::Unavailable, Duration::ZERO)
            }
            fault => fault,
        };
        let act =
            || act().unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "use the journal")));
        self.meet(what, fault, act, fate.after).await
    }

    fn holds(&self, lease: &Lease) {
        *lock(&self.world.holder) = Some(Holder {
            process: self.process.number,
            expires: lease.expires,
        });
    }
}

#[async_trait]
impl Journal for Access {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        let journal = &self.world.journal;
        self.book("acquire the lease", || {
            let acquired = journal.acquire(workload, owner, length).now_or_never()?;
            Some(acquired.inspect(|lease| self.holds(lease)))
        })
        .await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        let journal = &self.world.journal;
        self.book("renew the lease", || {
            let renewed = journal.renew(lease, length).now_or_never()?;
            Some(renewed.inspect(|lease| self.holds(lease)))
        })
        .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let journal = &self.world.journal;
        self.book("release the lease", || {
            let mut holder = lock(&self.world.holder);
            if holder.is_some_and(|holder| holder.process == self.process.number) {
                *holder = None;
            }
            journal.release(lease).now_or_never()
        })
        .await
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        let world = &self.world;
        self.process.writing.store(true, Ordering::Relaxed);
        let appended = self.book("write an entry", || {
            let appended = world.journal.append(lease, entry).now_or_never()?;
            if appended.is_ok() {
                if !self.process.actor(world).holds_lease {
                    world.check(Err("an entry is written without the lease".to_owned()));
                }
                let mut audit = world.audit();
                // What is there already is accepted again, and counts once.
                if entry.sequence == audit.entries {
                    let model = world.model(&audit);
                    let written = audit.written(entry, &model);
                    drop(audit);
                    world.check(written);
                    if world.scenario.reads_back {
                        world.check(read_back(entry));
                    }
                }
            }
            Some(appended)
        });
        appended.await?;
        let now = world.time.now().as_millis();
        self.process.wrote.store(now, Ordering::Relaxed);
        self.process.writing.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        let journal = &self.world.journal;
        self.book("load the entries", || journal.load(workload).now_or_never())
            .await
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        let journal = &self.world.journal;
        self.book("list the workloads", || journal.list().now_or_never())
            .await
    }
}

/// Written as it is stored and read again, an entry is the same.
fn read_back(entry: &Entry) -> Result<(), String> {
    let read = serde_json::to_string(entry).and_then(|json| serde_json::from_str::<Entry>(&json));
    match read {
        Ok(read) if read == *entry => Ok(()),
        Ok(read) => Err(format!("{entry:?} is read back as {read:?}")),
        Err(error) => Err(format!("{entry:?} cannot be read back: {error}")),
    }
}

/// The journal for a driver.
pub(super) fn journal(access: &Access) -> Arc<dyn Journal> {
    Arc::new(access.clone())
}
