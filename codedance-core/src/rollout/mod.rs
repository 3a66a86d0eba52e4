//! The rollout: a pure state machine. Plain data in, plain data out, time as an argument.
//!
//! ```text
//!             ┌──────────────── step(now, input) ────────────────┐
//!             │                                                  ▼
//!   clock, ports, operators                                   Rollout ── snapshot() ──▶ a journal,
//!             ▲                                                  │                      a status
//!             └──── Run(effect) │ WaitUntil │ AwaitCommand ◀── next()
//! ```
//!
//! What to do next is a function of the state alone, so a crash loses nothing: restore the snapshot,
//! ask [`Rollout::next`] again. Every stage, every promotion and every rollback is reached by the same
//! four moves, **grow → route → drain → shrink**.

mod bake;
mod command;
mod effect;
mod event;
mod explain;
mod input;
mod machine;
mod outcome;
mod phase;
mod reach;
mod snapshot;
mod state;
mod transition;

pub use effect::{Action, Effect, EffectId, Measurement, Next, Report};
pub use event::{Event, Happening, Observer};
pub use explain::{Explanation, Then, Waiting};
pub use input::{Alert, Command, Input, Observation, Rejected, Signalled};
pub use machine::Rollout;
pub use phase::{Cause, Outcome, Phase};
pub use snapshot::{RestoreError, Snapshot};
