//! Runs rollouts on tokio: one task each, a journal, retries, deadlines, leases.
//!
//! ```text
//!   commands ─┐                 ┌───────────────── one task ─────────────────┐
//!   outcomes ─┤                 │                                            │
//!   changes ──┼─▶ the next one ─┼▶ trial step ─▶ journal ─▶ state ─▶ events  │
//!   alerts ───┤                 │                             │              │
//!   the time ─┘                 │                           next() ─▶ effect ┼─▶ ports
//!                               └────────────────────────────────────────────┘
//! ```
//!
//! # What it promises
//! - **Written before done.** An effect is begun only when all that led to it is in the journal; so a
//!   crash at any point loses nothing. Resumed, the rollout wants what it wanted, and carries out again
//!   at most the one effect that was under way: effects state a desired end, so twice is once.
//! - **One driver for a workload**, also across processes: it acts only while it holds the workload's
//!   [`Lease`](crate::journal::Lease), renews it in time, and stops at once when it is lost. The journal
//!   refuses what a late writer appends.
//! - **One effect at a time** for a rollout. When a command changes what is wanted, the effect under way
//!   is dropped before the new one begins; the ports promise that this is safe.
//! - **Bounded.** Over all rollouts no more effects are under way than
//!   [`with_concurrency`](DriverBuilder::with_concurrency) allows, first come, first served. Each has a
//!   deadline. Retries wait exponentially longer, with jitter, and no shorter than
//!   [`Error::retry_after`](crate::Error::retry_after) asks.
//! - **Contained.** A port that panics is a failed effect. A judge or a journal that panics stops its
//!   own rollout, which can be resumed.
//! - **Never delayed by listeners**, who miss events instead, and are told so.
//!
//! While the journal cannot be written for a reason that may pass, a rollout stands still: it takes in
//! nothing and begins nothing, until the journal is back or the lease has run out.
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use codedance_core::decision::Policy;
//! use codedance_core::driver::{Driver, Ports};
//! use codedance_core::journal::Journal;
//! use codedance_core::plan::Plan;
//! use codedance_core::workload::WorkloadName;
//!
//! # async fn example(journal: Arc<dyn Journal>, plan: Plan, ports: fn(&WorkloadName) -> Ports)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let driver = Driver::new(journal.clone());
//!
//! // What a crash interrupted goes on; what had ended just ends again.
//! for workload in journal.list().await? {
//!     driver.resume(&workload, ports(&workload)).await?;
//! }
//!
//! let ports = ports(plan.workload());
//! let rollout = driver.start(plan, Policy::default(), ports).await?;
//! println!("{}", rollout.explain());
//! println!("{}", rollout.wait().await?);
//!
//! driver.shutdown(Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```

mod clock;
mod core;
mod effect;
mod error;
mod feed;
mod handle;
mod launch;
mod lease;
mod options;
mod replay;
mod run;

pub use clock::{Clock, SystemClock};
pub use effect::Ports;
pub use error::{CommandError, DriverError, Missed, StartError};
pub use handle::{RolloutHandle, Status};
pub use launch::{Driver, Shutdown};
pub use options::DriverBuilder;
pub use replay::{Replay, ReplayError, ReplayProblem, replay};

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is only ever replaced as a whole, so that a panic elsewhere cannot have left it half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic said, where it said something.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
}
