//! How far a proxy is on its way to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::task::Poll;

use tokio::sync::Notify;

/// What comes after a time in which clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No new connection, no further request on a connection that is there.
    Finishing = 1,
    /// Everything ends now.
    Over,
}

/// The phases of one proxy, as everything in it sees them.
///
/// Every connection waits for the next one. So that takes little memory, and no lock to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// A phase, or none yet.
    now: AtomicU8,
    changed: Notify,
}

impl Phases {
    /// Goes on to a phase; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        if self.0.now.fetch_max(phase as u8, SeqCst) < phase as u8 {
            self.0.changed.notify_waiters();
        }
    }

    /// Whether it has come so far.
    pub(crate) fn is_at(&self, phase: Phase) -> bool {
        self.0.now.load(SeqCst) >= phase as u8
    }

    /// Waits until it comes so far. Is to be polled by one task only.
    pub(crate) async fn reached(&self, end: Phase) {
        while !self.is_at(end) {
            let seen = self.0.now.load(SeqCst);
            let mut changed = pin!(self.0.changed.notified());
            let mut is_registered = false;
            poll_fn(|cx| {
                // A connection asks whenever it wakes up: once its task is registered, a look suffices.
                // Asking would take a lock that all connections share.
                if is_registered && self.0.now.load(SeqCst) == seen {
                    return Poll::Pending;
                }
                is_registered = true;
                // Registered first: what changes after this look wakes the task up.
                let woken = changed.as_mut().poll(cx);
                if self.0.now.load(SeqCst) == seen {
                    woken
                } else {
                    Poll::Ready(())
                }
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_phase_and_not_before() {
        let phases = Phases::default();
        let wait = |end| {
            let phases = phases.clone();
            tokio::spawn(async move { phases.reached(end).await })
        };
        let (finishing, over) = (wait(Phase::Finishing), wait(Phase::Over));
        tokio::task::yield_now().await;
        assert!(!finishing.is_finished() && !over.is_finished());
        phases.enter(Phase::Finishing);
        finishing.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!over.is_finished());
        phases.enter(Phase::Over);
        over.await.unwrap();
        phases.enter(Phase::Finishing);
        assert!(phases.is_at(Phase::Over), "it never goes back");
        phases.reached(Phase::Finishing).await;
    }
}
