//! Endpoints that remember what they were told, and can be made to fail or to wait.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::traffic::Endpoints;
use codedance_core::workload::Revision;
use codedance_core::{Error, ErrorKind, Result};
use tokio::sync::{Semaphore, watch};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Add(SocketAddr),
    Drain(SocketAddr, Duration),
    Drained(SocketAddr),
}

#[derive(Debug)]
pub(crate) struct Recorder {
    told: watch::Sender<Vec<Told>>,
    /// How many calls fail before one succeeds.
    failures: Semaphore,
    /// A drain takes one of these to end.
    drains: Semaphore,
}

impl Recorder {
    /// Drains at once.
    pub(crate) fn new() -> Self {
        Self {
            told: watch::Sender::default(),
            failures: Semaphore::new(0),
            drains: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }

    /// Drains when it is let.
    pub(crate) fn gated() -> Self {
        Self {
            drains: Semaphore::new(0),
            ..Self::new()
        }
    }

    pub(crate) fn let_drain(&self) {
        self.drains.add_permits(1);
    }

    pub(crate) fn fail_next(&self, calls: usize) {
        self.failures.add_permits(calls);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    pub(crate) async fn until(&self, mut holds: impl FnMut(&[Told]) -> bool) {
        let mut told = self.told.subscribe();
        super::in_time(told.wait_for(|told| holds(told)))
            .await
            .unwrap();
    }

    fn hear(&self, told: Told) -> Result<()> {
        self.told.send_modify(|all| all.push(told));
        match self.failures.try_acquire() {
            Ok(failure) => {
                failure.forget();
                Err(Error::new(ErrorKind::Unavailable, "reload the test"))
            }
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Endpoints for Recorder {
    async fn add(&self, _: &Revision, address: SocketAddr) -> Result<()> {
        self.hear(Told::Add(address))
    }

    async fn drain(&self, _: &Revision, address: SocketAddr, within: Duration) -> Result<u64> {
        self.hear(Told::Drain(address, within))?;
        self.drains.acquire().await.unwrap().forget();
        self.told
            .send_modify(|all| all.push(Told::Drained(address)));
        Ok(0)
    }
}
