//! The journal of [Codedance](https://docs.rs/codedance) rollouts in SQL.
//!
//! A [`Store`] is a [`Journal`](codedance_core::journal::Journal) on SQLite, in one file, or on Postgres,
//! for several processes on several machines. Both have the same tables, made by the same migrations,
//! and pass the same conformance suite.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use codedance_core::driver::Driver;
//! use codedance_store::Store;
//!
//! # async fn example() -> codedance_core::Result<()> {
//! let store = Store::open("sqlite:rollouts.db").await?;
//! let driver = Driver::new(Arc::new(store));
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - **Durable.** An append returns after the commit that holds it: in SQLite after an `fsync` of its
//!   write-ahead log, in Postgres as `synchronous_commit` says there, by default likewise.
//! - **Grouped.** Appends, renewals and releases of all rollouts of a process that wait at the same time
//!   share one commit. One that is refused does not disturb the others.
//! - **Fenced.** Each append locks the row of its workload's lease and checks owner, token and time in
//!   the same transaction, so that a writer who lost the lease cannot append, whatever it believes.
//! - **Honest.** Each entry has a checksum, and each workload the number of its entries: one that is
//!   changed, missing or lost from the end is named, never skipped.
//! - **Explained.** [`Store::export`] gives a workload's entries as [`audit`] data: whoever has them can
//!   see each decision again, bit for bit.

pub mod audit;
mod backup;
mod fault;
mod retention;
mod row;
mod store;
mod write;
mod writer;

pub use retention::{Compacted, Retention};
pub use store::Store;
