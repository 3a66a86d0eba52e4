//! The right to act on a workload, kept as long as it is needed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::{Clock, sleep};
use super::lock;
use crate::error::{Error, ErrorKind, Failure};
use crate::journal::{Journal, Lease};
use crate::time::Timestamp;
use crate::workload::WorkloadName;

/// A lease that is being held.
#[derive(Debug)]
pub(super) struct Tenure {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    length: Duration,
    held: Mutex<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    lease: Arc<Lease>,
    /// When it was asked for, on our clock. The journal granted it later, so that by our reckoning it
    /// ends no later than by the journal's.
    asked: Timestamp,
}

impl Tenure {
    pub(super) async fn acquire(
        journal: &Arc<dyn Journal>,
        clock: &Arc<dyn Clock>,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Self, Error> {
        let asked = clock.now();
        let lease = Arc::new(journal.acquire(workload, owner, length).await?);
        Ok(Self {
            journal: Arc::clone(journal),
            clock: Arc::clone(clock),
            length,
            held: Mutex::new(Held { lease, asked }),
        })
    }

    pub(super) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&lock(&self.held).lease)
    }

    /// Whether it is surely ours now.
    pub(super) fn is_held(&self) -> bool {
        self.clock.now() < self.expires()
    }

    pub(super) fn expired() -> Failure {
        Failure::new(
            ErrorKind::LeaseLost,
            "it could not be renewed before it expired",
        )
    }

    /// Renews it when a third of its time has passed, for ever; returns when it is lost.
    pub(super) async fn keep(&self) -> Failure {
        loop {
            let third = self.length / 3;
            // Rollouts that were resumed together should not renew together for ever after.
            let early = third.mul_f64(0.2 * fastrand::f64());
            let due = lock(&self.held).asked + (third - early);
            self.clock.sleep_until(due).await;
            tokio::select! {
                biased;
                () = self.clock.sleep_until(self.expires()) => return Self::expired(),
                renewed = self.renew() => {
                    if let Err(lost) = renewed {
                        return Failure::from(&lost);
                    }
                }
            }
        }
    }

    fn expires(&self) -> Timestamp {
        lock(&self.held).asked + self.length
    }

    /// Asks until it is renewed or refused; the caller sees to the end of its time.
    async fn renew(&self) -> Result<(), Error> {
        loop {
            let asked = self.clock.now();
            match self.journal.renew(&self.lease(), self.length).await {
                Ok(lease) => {
                    let lease = Arc::new(lease);
                    *lock(&self.held) = Held { lease, asked };
                    return Ok(());
                }
                // A conflict says that another owner has it.
                Err(error) if error.is_retryable() && error.kind() != ErrorKind::Conflict => {
                    tracing::warn!(%error, "the lease could not be renewed yet");
                    let wait = error.retry_after().unwrap_or_default();
                    sleep(self.clock.as_ref(), wait.max(self.length / 20)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn release(&self) {
        if let Err(error) = self.journal.release(&self.lease()).await {
            tracing::warn!(%error, "the lease was not released; it ends by itself");
        }
    }
}
