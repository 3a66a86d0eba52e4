//! Where a rollout goes: a [`Strategy`] makes a [`Plan`] for a workload, a plan is a list of [`Stage`]s.
//!
//! A plan is data. It is checked once, where it is made or read; a malformed plan cannot exist.

mod batches;
mod blue_green;
#[expect(
    clippy::module_inception,
    reason = "the room is named after its first inhabitant"
)]
mod plan;
mod rolling;
mod stage;
mod strategy;
mod weights;

pub use batches::Batches;
pub use blue_green::BlueGreen;
pub use plan::{Draft, Plan, PlanError};
pub use rolling::{Recreate, Rolling};
pub use stage::{Gate, OnTimeout, Stage};
pub use strategy::{Amount, AmountError, BuiltIn, Strategy};
pub use weights::{Exponential, Linear, Manual, Step, Steps};
