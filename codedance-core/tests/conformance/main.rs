//! The conformance suites: every adapter of this crate keeps every clause, and every clause catches the
//! adapter that breaks it.
#![cfg(feature = "testing")]
#![expect(
    clippy::disallowed_methods,
    reason = "a port that is too slow takes real time"
)]

mod faults;
mod memory;
mod mutants;
mod wrapped;
