//! How far a proxy is on its way to its end.

use tokio::sync::watch;

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
    // An error means that the last handle is gone, which is the end too.
    let _ = phase.wait_for(|phase| *phase >= end).await;
}
