//! A journal in memory that can fail, hang, or stop the world at a given append.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::driver::{Clock, SystemClock};
use codedance_core::journal::{Entry, Journal, Lease, Record};
use codedance_core::workload::WorkloadName;
use codedance_core::{Error, ErrorKind, Result, Timestamp};
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Books {
    clock: SystemClock,
    state: Mutex<State>,
    /// Told when an append crashes.
    pub(crate) crashed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<WorkloadName, Vec<Entry>>,
    leases: BTreeMap<WorkloadName, Lease>,
    tokens: u64,
    appends: usize,
    crash: Option<Crash>,
    failing: Option<ErrorKind>,
    renewing: Option<ErrorKind>,
}

/// Where the process dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crash {
    /// The append with this number does not happen.
    Before(usize),
    /// It happens, and nobody learns of it.
    After(usize),
}

impl Books {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: SystemClock::starting_at(Timestamp::EPOCH),
            state: Mutex::default(),
            crashed: Notify::new(),
        })
    }

    /// The clock of this journal, for drivers too: they agree.
    pub(crate) const fn clock(&self) -> SystemClock {
        self.clock
    }

    pub(crate) fn entries(&self, workload: &WorkloadName) -> Vec<Entry> {
        let state = self.state.lock().unwrap();
        let mut entries = state.entries.get(workload).cloned().unwrap_or_default();
        let began = |entry: &Entry| matches!(entry.record, Record::Began(..));
        entries.split_off(entries.iter().rposition(began).unwrap_or(0))
    }

    pub(crate) fn crash(&self, crash: Option<Crash>) {
        self.state.lock().unwrap().crash = crash;
    }

    pub(crate) fn appends(&self) -> usize {
        self.state.lock().unwrap().appends
    }

    /// Every append fails so, until told otherwise.
    pub(crate) fn fail(&self, kind: Option<ErrorKind>) {
        self.state.lock().unwrap().failing = kind;
    }

    /// Every renewal fails so.
    pub(crate) fn fail_renewals(&self, kind: Option<ErrorKind>) {
        self.state.lock().unwrap().renewing = kind;
    }

    /// Somebody else takes the lease away.
    pub(crate) fn steal(&self, workload: &WorkloadName) {
        let mut state = self.state.lock().unwrap();
        state.tokens += 1;
        let (token, expires) = (state.tokens, self.clock.now() + Duration::from_secs(3600));
        let lease = Lease::new(workload.clone(), "thief".to_owned(), token, expires);
        state.leases.insert(workload.clone(), lease);
    }

    pub(crate) fn is_leased(&self, workload: &WorkloadName) -> bool {
        self.state.lock().unwrap().leases.contains_key(workload)
    }

    async fn hang(&self) {
        self.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}

impl State {
    fn held(&mut self, lease: &Lease, now: Timestamp) -> Result<&mut Lease> {
        match self.leases.get_mut(&lease.workload) {
            Some(held) if held.token == lease.token && held.expires > now => Ok(held),
            _ => Err(Error::new(ErrorKind::LeaseLost, "use the lease")),
        }
    }
}

#[async_trait]
impl Journal for Books {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        let held = state.leases.get(workload).filter(|held| held.expires > now);
        let token = match held {
            Some(held) if held.owner == owner => held.token,
            Some(_) => return Err(Error::new(ErrorKind::Conflict, "acquire the lease")),
            None => {
                state.tokens += 1;
                state.tokens
            }
        };
        let lease = Lease::new(workload.clone(), owner.to_owned(), token, now + length);
        state.leases.insert(workload.clone(), lease.clone());
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        if let Some(kind) = state.renewing {
            return Err(Error::new(kind, "renew the lease"));
        }
        let held = state.held(lease, now)?;
        held.expires = now + length;
        Ok(held.clone())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.held(lease, self.clock.now()).is_ok() {
            state.leases.remove(&lease.workload);
        }
        Ok(())
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = self.clock.now();
        let crash = {
            let mut state = self.state.lock().unwrap();
            let number = state.appends;
            state.appends += 1;
            match state.crash {
                Some(Crash::Before(at)) if number >= at => true,
                crash => {
                    if let Some(kind) = state.failing {
                        return Err(Error::new(kind, "append"));
                    }
                    state.held(lease, now)?;
                    // What lies in a journal has been JSON.
                    let json = serde_json::to_string(entry).unwrap();
                    let entry: Entry = serde_json::from_str(&json).unwrap();
                    let entries = state.entries.entry(lease.workload.clone()).or_default();
                    match entry.sequence.cmp(&(entries.len() as u64)) {
                        std::cmp::Ordering::Equal => entries.push(entry),
                        _ if entries.last() == Some(&entry) => {}
                        _ => return Err(Error::new(ErrorKind::Conflict, "append")),
                    }
                    matches!(crash, Some(Crash::After(at)) if number >= at)
                }
            }
        };
        if crash {
            self.hang().await;
        }
        Ok(())
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        Ok(self.entries(workload))
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        Ok(self.state.lock().unwrap().entries.keys().cloned().collect())
    }
}
