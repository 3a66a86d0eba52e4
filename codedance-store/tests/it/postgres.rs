//! The store on Postgres: started by `cargo xtask services up`, or the one that `CODEDANCE_POSTGRES` names,
//! as `postgres://USER@HOST:PORT`. Each test makes a database of its own there and drops it.
//!
//! Whoever types `cargo test` may have no Postgres, so this target has to be named: `cargo xtask test` does.

mod conformance;
mod damage;
mod driven;
mod dump;
mod grouping;
mod retention;
mod support;
mod writers;

/// What the tests of this target run on.
const ON_POSTGRES: bool = true;
