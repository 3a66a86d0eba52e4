//! The driver in virtual time: nothing here waits for real, and nothing depends on a real clock.
#![expect(
    clippy::disallowed_methods,
    reason = "tokio's clock is paused in these tests: it is virtual"
)]

mod acting;
mod books;
mod commands;
mod crash;
mod leases;
mod many;
mod past;
mod world;

use std::sync::Arc;
use std::time::Duration;

use codedance_core::driver::{Driver, DriverBuilder, DriverError, RolloutHandle};
use codedance_core::rollout::Outcome;

use books::Books;

/// A builder on the journal's clock, under one name, so that a successor need not wait for the lease.
fn builder(books: &Arc<Books>) -> DriverBuilder {
    Driver::builder(books.clone())
        .with_clock(books.clock())
        .with_owner("host-1")
        .with_snapshot_every(10)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How it ends, within a virtual day: a rollout that hangs must fail its test, not hang it.
async fn ended(handle: &RolloutHandle) -> Result<Outcome, DriverError> {
    let day = tokio::time::timeout(secs(86_400), handle.wait());
    day.await.expect("the rollout never ends")
}
