//! Whole rollouts by the driver in virtual time, each decided by one seed: on a world in which ports fail
//! in every way, answers are late or lost, effects happen twice, processes die or are replaced, rivals
//! compete with them, clocks jump ahead, back and stand still, leases run out, the journal is down,
//! replicas crash, strangers change counts and weights, and operators press every button.
//!
//! While the storm lasts, and after it, this is checked:
//!
//! - of every step, effect and event, what [`explore`](super::explore) checks, against what the rollout
//!   was told;
//! - of everything that is done, that it was written in the journal before, under the lease, by a living
//!   process, one effect at a time;
//! - of the world, as long as nobody else spoiled it: whoever has traffic has the ready capacity for it,
//!   weights fall only on the way back, requests may end before their replicas go;
//! - that a pause raises no weight and passes no stage, that no data is taken as good or bad, that nothing
//!   goes on after its deadline, and that an outcome told twice counts once;
//! - that the live state, what is replayed from the journal, and every snapshot are the same, bit for
//!   bit;
//! - that once the storm is over the rollout ends in the time that its plan adds up to, and stays ended.
//!
//! ```
//! use codedance_core::testing::sim;
//!
//! let tally = sim::run(42)?;
//! println!("{tally}");
//! # Ok::<(), sim::Broken>(())
//! ```

mod audit;
mod books;
mod judge;
mod plans;
mod ports;
mod process;
mod run;
mod scenario;
mod tally;
mod time;
mod troubles;
mod world;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use tally::Tally;

/// A broken invariant, with the last of what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// The seed that leads there again.
    pub seed: u64,
    /// What was broken.
    pub what: String,
    /// What was rolled out.
    pub rollout: String,
    /// What happened last, in order.
    pub history: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        writeln!(f, "{}; the last that happened:", self.rollout)?;
        for line in &self.history {
            writeln!(f, "  {line}")?;
        }
        write!(f, "repeat it with: cargo xtask sim --seed {}", self.seed)
    }
}

impl std::error::Error for Broken {}

/// Simulates the rollout that `seed` stands for.
///
/// # Errors
/// The first broken invariant.
pub fn run(seed: u64) -> Result<Tally, Broken> {
    let world = run::run(seed, false);
    let audit = world.audit();
    if audit.broken.is_none() {
        return Ok(audit.tally.clone());
    }
    drop(audit);
    // The same again, and this time somebody writes it down.
    history(seed).map(|_| Tally::default())
}

/// The same, and the last of what happened in it.
///
/// # Errors
/// The first broken invariant.
pub fn history(seed: u64) -> Result<Vec<String>, Broken> {
    let world = run::run(seed, true);
    let mut audit = world.audit();
    let history = audit.history.take().unwrap_or_default().into();
    match audit.broken.take() {
        None => Ok(history),
        Some(what) => Err(Broken {
            seed,
            what,
            rollout: run::title(&world.scenario.plan),
            history,
        }),
    }
}

/// Locks what is only ever changed as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
