//! Copies of requests that nobody waits for.

mod config;
mod copy;
mod counters;
mod send;

pub use config::Mirror;
pub use counters::MirrorTotals;

pub(crate) use copy::{Copying, MirrorTarget, MirrorTasks, Mirroring};
pub(crate) use counters::MirrorCounters;
