//! Ports made of ports.
//!
//! | wrapper | what it is for |
//! |---|---|
//! | [`All`] | several workloads, clusters or routers that move together, a barrier at each stage |
//! | [`Failover`] | a second metrics source for when the first does not answer |
//! | [`DryRun`] | to see what a rollout would do, without doing it |
//!
//! A wrapper is a port like any other, keeps the port's contract and can be wrapped again. To mix
//! adapters of different types, hand it `Arc<dyn Executor>` or the like: an [`Arc`](std::sync::Arc) of a
//! port is that port.

mod all;
mod dry_run;
mod failover;
mod shared;

pub use all::All;
pub use dry_run::DryRun;
pub use failover::Failover;
