//! An in-memory adapter for each port: deterministic, without clocks, threads or a runtime.
//!
//! Each is a handle on a shared world. Clone it, give one clone to the rollout, keep the other to see
//! what was done and to make the world misbehave:
//!
//! ```
//! use codedance_core::memory::MemoryExecutor;
//! use codedance_core::workload::Revision;
//!
//! let (v1, v2) = (Revision::new("v1")?, Revision::new("v2")?);
//! let executor = MemoryExecutor::new().with_running(&v1, 3);
//! let given_to_the_rollout = executor.clone();
//! executor.cannot_start(&v2); // v2's image does not exist
//! # drop(given_to_the_rollout);
//! # Ok::<(), codedance_core::workload::NameError>(())
//! ```
//!
//! | port | adapter | what a test can do to it |
//! |---|---|---|
//! | [`Executor`](crate::workload::Executor) | [`MemoryExecutor`] | hold back readiness, crash, lose, restart, scale from outside |
//! | [`TrafficRouter`](crate::traffic::TrafficRouter) | [`MemoryRouter`] | choose its capability, change the split from outside |
//! | [`Endpoints`](crate::traffic::Endpoints) | [`MemoryEndpoints`] | begin and finish requests, let time pass |
//! | [`MetricsSource`](crate::metrics::MetricsSource) | [`MemoryMetrics`] | script what is read, or fix the rates |
//! | [`MetricsSource`](crate::metrics::MetricsSource) | [`MemoryRequests`] | record single requests, read them back by window |
//! | [`Journal`](crate::journal::Journal) | [`MemoryJournal`] | let leases expire, damage and tear entries |
//! | [`Observer`](crate::rollout::Observer) | [`MemoryObserver`] | read the events |

mod endpoints;
mod executor;
mod journal;
mod metrics;
mod observer;
mod requests;
mod router;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use endpoints::MemoryEndpoints;
pub use executor::MemoryExecutor;
pub use journal::MemoryJournal;
pub use metrics::MemoryMetrics;
pub use observer::MemoryObserver;
pub use requests::MemoryRequests;
pub use router::MemoryRouter;

/// Opens a shared world. Every change to one is a single assignment or is complete before anything can
/// panic, so a world that a panicking test left behind is whole.
fn open<T>(world: &Mutex<T>) -> MutexGuard<'_, T> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
