//! The pure heart of [Codedance](https://github.com/codedance/codedance): a workload goes from one
//! revision to the next a little at a time, and goes back by itself when what happens is bad.
//!
//! # One idea
//!
//! A rollout is a **pure state machine**: plain data in, plain data out, time as an argument. It reads
//! no clock, does no I/O and draws no lots. Everything with a side effect stands behind a trait, a
//! *port*. **What to do next is a function of the state**, so a crash loses nothing: load the state, ask
//! again.
//!
//! ```text
//!   Strategy ──plan──▶ ┌──────────────────────────────┐
//!   Policy ──────────▶ │           Rollout            │
//!                      │  step(now, input) ─▶ events  │
//!   outcomes,          │  next()           ─▶ effect ─┼──▶ Executor       replicas
//!   commands,    ────▶ │  explain()        ─▶ why     │    TrafficRouter  shares of the traffic
//!   alerts, time       │  snapshot() ⇄ restore()      │    MetricsSource  what users see
//!                      └──────────────┬───────────────┘
//!                                     │ evidence ⇄ assessment
//!                                   Judge               pure, like the machine
//! ```
//!
//! # Where to read on
//!
//! 1. [`plan`]: a [`Strategy`](plan::Strategy) makes a [`Plan`](plan::Plan), a list of
//!    [`Stage`](plan::Stage)s. A stage is a desired state of capacity and traffic.
//! 2. [`rollout`]: the machine. Each stage, each promotion and each rollback is reached by the same four
//!    moves: grow, route, drain, shrink.
//! 3. [`decision`]: the [`Policy`](decision::Policy) says what is watched and what is good enough; judges
//!    turn readings into *advance*, *hold* or *roll back*, with a score and reasons.
//! 4. The ports, each beside its values, with its contract: [`workload`] (replicas), [`traffic`]
//!    (shares), [`metrics`] (readings), [`journal`] (what happened). [`wrapper`] composes them.
#![cfg_attr(
    feature = "driver",
    doc = "5. [`driver`]: runs rollouts on tokio, with a journal, retries, deadlines and leases."
)]
#![cfg_attr(
    all(feature = "memory", feature = "testing"),
    doc = "6. [`memory`] and [`testing`]: an adapter in memory for each port, the conformance suites that
   every adapter passes, and the exploration of every state of a small rollout."
)]
//!
//! Who drives the machine chooses how: the driver with a journal, a reconcile loop with a status, a test
//! with a virtual clock. [`Rollout`](rollout::Rollout) has an example that does it by hand.

pub mod config;
pub mod decision;
#[cfg(feature = "driver")]
pub mod driver;
pub mod error;
pub mod journal;
#[cfg(feature = "memory")]
pub mod memory;
pub mod metrics;
pub mod percent;
pub mod plan;
pub mod rollout;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod traffic;
pub mod workload;
pub mod wrapper;

pub use error::{Error, ErrorKind, Failure, Result};
pub use percent::Percent;
pub use time::Timestamp;
