//! For the tests of those who build on this crate: conformance suites for adapters, and faults.
//!
//! # Conformance
//! Every port has a contract, and for every clause of it that a test can check there is a test here. An
//! adapter runs them all against its real back end with one line, and each clause is a test of its own
//! name:
//!
//! ```
//! # mod adapters_own_tests {
//! use async_trait::async_trait;
//! use codedance_core::memory::MemoryRouter;
//! use codedance_core::testing::{RouterHarness, router_conformance};
//! use codedance_core::traffic::{Split, TrafficRouter};
//! use codedance_core::workload::Revision;
//!
//! struct Harness(MemoryRouter);
//!
//! #[async_trait]
//! impl RouterHarness for Harness {
//!     fn router(&self) -> &dyn TrafficRouter {
//!         &self.0
//!     }
//!     async fn set_outside(&self, split: &Split) {
//!         self.0.set_outside(split.clone());
//!     }
//!     async fn other_settings(&self) -> String {
//!         String::new()
//!     }
//! }
//!
//! /// A new world for each test.
//! async fn harness() -> Harness {
//!     Harness(MemoryRouter::new(Split::all(Revision::new("v1").unwrap())))
//! }
//!
//! router_conformance!(harness);
//! # }
//! ```
//!
//! Attributes go before the harness and onto every test:
//! `router_conformance!(#[ignore = "needs a cluster"] harness)`. The tests run on a tokio runtime of one
//! thread that the suite brings along; the adapter's crate needs no tokio of its own for it. Use each
//! macro in a module of its own.
//!
//! What an adapter cannot do it must refuse, and then the refusal is what is tested: no clause is ever
//! skipped.
//!
//! | port | macro | harness | clauses |
//! |---|---|---|---|
//! | [`Executor`](crate::workload::Executor) | [`executor_conformance!`] | [`ExecutorHarness`] | [`EXECUTOR`] |
//! | [`TrafficRouter`](crate::traffic::TrafficRouter) | [`router_conformance!`] | [`RouterHarness`] | [`ROUTER`] |
//! | [`Endpoints`](crate::traffic::Endpoints) | [`endpoints_conformance!`] | [`EndpointsHarness`] | [`ENDPOINTS`] |
//! | [`MetricsSource`](crate::metrics::MetricsSource) | [`metrics_conformance!`] | [`MetricsHarness`] | [`METRICS`] |
//! | [`Journal`](crate::journal::Journal) | [`journal_conformance!`] | [`JournalHarness`] | [`JOURNAL`] |
//!
//! # Simulation
//! [`explore`] visits every state of a small rollout. [`sim`] runs whole ones by the driver in virtual
//! time, on ports, processes, clocks, replicas and operators that a seed makes go wrong; what both check
//! is the same.
//!
//! # Faults
//! [`Faulty`] wraps any port with errors, lost replies, duplicates and delays, from a seed.

mod conformance;
pub mod explore;
mod faulty;
mod random;
pub mod sim;

#[doc(inline)]
pub use crate::{
    __endpoints_conformance as endpoints_conformance,
    __executor_conformance as executor_conformance, __journal_conformance as journal_conformance,
    __metrics_conformance as metrics_conformance, __router_conformance as router_conformance,
};
pub use conformance::{
    Clause, ENDPOINTS, EXECUTOR, EndpointsHarness, ExecutorHarness, JOURNAL, JournalHarness,
    METRICS, MetricsHarness, ROUTER, Requests, RouterHarness, check,
};
pub use faulty::Faulty;
