//! How far a proxy is on its way to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::watch;
use tokio::task::unconstrained;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    Serving,
    /// No new connection, no further request on a connection that is there.
    Finishing,
    /// Everything ends now.
    Over,
}

/// Waits until the proxy comes to `end`.
pub(crate) async fn reached(phase: &mut watch::Receiver<Phase>, end: Phase) {
    while *phase.borrow_and_update() < end {
        let seen = phase.clone();
        // Unconstrained, because it would not be registered where its task had used up its budget.
        let mut changed = pin!(unconstrained(phase.changed()));
        let mut is_registered = false;
        let changed = poll_fn(|cx| {
            // A connection asks whenever it wakes up, and always from one task: once that is
            // registered, a look at the version suffices. Waiting would take a lock that all
            // connections share.
            if is_registered && matches!(seen.has_changed(), Ok(false)) {
                return Poll::Pending;
            }
            is_registered = true;
            changed.as_mut().poll(cx)
        });
        if changed.await.is_err() {
            // The last handle is gone, which is the end too.
            return;
        }
    }
}
